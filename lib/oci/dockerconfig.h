/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerconfig - logins as docker keeps them: ~/.docker/config.json.
 *
 *	{"auths": {"quay.io": {"auth": "base64 of user:password"}}, "credsStore": "pass",
 *	 "credHelpers": {"registry.example.com": "gcr"}}
 *
 * Entries are found by host, whatever scheme and path docker put around it; docker.io's is
 * https://index.docker.io/v1/. A helper is a program docker-credential-NAME, to be run by the caller.
 */
#ifndef CF_OCI_DOCKERCONFIG_H
#define CF_OCI_DOCKERCONFIG_H

#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

/* What config.json (n bytes; file is for messages) has for host. Returns 0 when it has nothing; 1 with
 * the login in *ret, or, when *ret_helper is not NULL, with the name of the helper to ask instead. */
int dockerconfig_find(const void *text, size_t n, const char *file, const char *host,
    struct arena *a, struct registry_auth *ret, const char **ret_helper, struct err *e);

/* The name that helpers know host by: docker.io is https://index.docker.io/v1/. */
const char *dockerconfig_server(const char *host);

/* The answer of a helper's "get". */
int dockerconfig_answer(const void *text, size_t n, const char *helper, struct arena *a,
    struct registry_auth *ret, struct err *e);

#endif
