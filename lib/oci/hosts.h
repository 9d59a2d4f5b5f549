/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts - where to ask for the images of a registry: the ecosystem's hosts.toml, and docker's folders
 * of certificates.
 *
 *	DIR/registry.example.com_5000_/hosts.toml	or registry.example.com:5000/, or _default/
 *	DIR/registry.example.com/{*.crt,*.cert,*.key}	when there is no hosts.toml
 *
 * Keys and meaning are containerd's (docs/hosts.md): server, and [host."URL"] tables in the order of the
 * file, each with capabilities, ca, client, skip_verify, header, override_path, dial_timeout; those at the
 * top level belong to server. What is different: an unknown key or a file that cannot be read is an error
 * that names file and line, not a warning; a host may have one client certificate, not several.
 *
 * The result holds the certificates themselves, so who reads the folder and who uses it may be two.
 */
#ifndef CF_OCI_HOSTS_H
#define CF_OCI_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

/* What dir says about the registry host ("docker.io", "127.0.0.1:5000"): the places to ask, in order,
 * the server last; its url is NULL when the file names none: the registry itself. Memory is in a.
 * Returns 1, or 0 when dir or a folder for host is not there. */
int hosts_find(const char *dir, const char *host, struct arena *a, struct registry_host_list *ret,
    struct err *e);

/* Splits "http(s)://host[:port][/path]"; path ("" or "/..") points into url. invalid_argument when it is
 * anything else. */
int hosts_url(const char *url, bool *ret_https, char *host, size_t size, const char **ret_path,
    struct err *e);

/* May h be asked to "pull", "resolve" or "push"? */
bool hosts_can(const struct registry_host *h, const char *what);

#endif
