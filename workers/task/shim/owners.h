/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owners - a container's root whose owners are changed on disk, where the kernel or the filesystem cannot map
 * them (before Linux 5.19, and on filesystems as NFS or 9p).
 *
 * Costs what a copy of the image costs: on an overlay every file is copied up before it is changed. Done once: the
 * snapshot's folder has a file "owners" from then on, with the maps in its first lines and "done" in its last. Who reads
 * the snapshot's files finds the ids of outside in them, and knows by that file.
 *
 * Killed in between, it cannot be told which files were changed: the file does not say "done", and the root is refused
 * from then on. It was never run: delete the container and make it again.
 */
#ifndef CF_SHIM_OWNERS_H
#define CF_SHIM_OWNERS_H

#include "lib/base/err.h"

/* The tree at dir, which is mounted; record: path of the file; uidmap, gidmap: lists as in idmap.h. */
int owners_change(
    const char *dir, const char *record, const char *uidmap, const char *gidmap, struct err *e);

#endif
