/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_mount - an EROFS image made readable: mounted straight from its file (Linux 6.12 and later), else
 * through a loop device that goes with the mount.
 */
#ifndef CF_SNAPSHOT_EROFS_MOUNT_H
#define CF_SNAPSHOT_EROFS_MOUNT_H

#include "lib/base/err.h"

/* A mount of the image that is nowhere in the tree yet, read-only. path: its name. *ret_fd is the
 * caller's. Two ways; unimplemented when the kernel does not know how to take a file. */
int erofs_mount_file(int image, const char *path, int *ret_fd, struct err *e);
int erofs_mount_loop(int image, int *ret_fd, struct err *e);

#endif
