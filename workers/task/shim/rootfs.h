/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs - mounts a container's root below its bundle, and takes it away again.
 */
#ifndef CF_SHIM_ROOTFS_H
#define CF_SHIM_ROOTFS_H

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/ttrpc/proto/types.pb-c.h"

/* Mounts each in order at dir (or below it, where it has a target). On failure nothing stays mounted. */
int rootfs_mount(const char *dir, Containerd__Types__Mount *const *mounts, size_t n, struct err *e);

/* Undoes every mount at dir and below it, stacked ones too. They are gone from sight at once; what
 * the kernel has to write out for them, it writes while a child of ours waits. Success when there is
 * none. */
int rootfs_unmount(const char *dir, struct err *e);

#endif
