/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounting - mount(2) by the options that people and snapshotters write: "ro", "rbind", "lowerdir=...".
 */
#ifndef CF_BASE_MOUNTING_H
#define CF_BASE_MOUNTING_H

#include <stddef.h>

#include "lib/base/err.h"

/* Mounts source at path. Types "bind" and "rbind" bind; options that are no flags are the filesystem's.
 * On failure it may be mounted without its flags: unmount it. */
int mounting_make(const char *path, const char *type, const char *source,
    const char *const *options, size_t n, struct err *e);

#endif
