/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ident - names that people give to containers, execs, namespaces and leases.
 *
 * The ecosystem's rule: ^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$ and at most 76 bytes (containerd,
 * pkg/identifiers). It leaves no room for '/', "..", options or control bytes, so an ident is safe
 * as one path component and as one argument.
 */
#ifndef CF_BASE_IDENT_H
#define CF_BASE_IDENT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

#define IDENT_MAX 76

bool ident_ok(const char *name);

/* invalid_argument with "WHAT name "...": what is wrong and what is allowed" unless it is fine. */
int ident_check(const char *what, const char *name, struct err *e);

/* 2 * n hex digits of randomness and a NUL into text (2 * n + 1 bytes). */
void ident_random(char *text, size_t n);

/* Copies a name from outside into to (size bytes, 8 or more), escaping what is not printable UTF-8 and
 * cutting it with "..." so that it can be shown in an error; returns to. */
const char *ident_show(const char *name, char *to, size_t size);

#endif
