/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounting - mounts by the options that people and snapshotters write: "ro", "rbind", "lowerdir=...", "loop".
 *
 * uidmap= and gidmap= (lists as in idmap.h, both or none) are containerd's words for: as it looks from inside
 * a user namespace with these maps. What is written comes to disk with the ids that it has in there.
 */
#ifndef CF_BASE_MOUNTING_H
#define CF_BASE_MOUNTING_H

#include <stddef.h>

#include "lib/base/err.h"

/* Mounts source at path. Types "bind" and "rbind" bind; options that are no flags are the filesystem's.
 * On failure it may be mounted without its flags: unmount it. unimplemented: no idmapped mounts here. */
int mounting_make(const char *path, const char *type, const char *source,
    const char *const *options, size_t n, struct err *e);

#endif
