/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs - files and folders by descriptor: atomic writes, whole reads with a cap, tree removal.
 *
 * Paths are relative to a directory descriptor (AT_FDCWD works too). Reading, writing and removing do
 * not follow a symbolic link in the last component; making and opening folders does, since an admin may
 * have put ours elsewhere. Tree removal never leaves the folder or its mount.
 */
#ifndef CF_BASE_FS_H
#define CF_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

/* mkdir -p with this mode for what is made (the umask does not apply to the last one). */
int fs_mkdirs(int dirfd, const char *path, mode_t mode, struct err *e);

/* fs_mkdirs, then opens it (O_DIRECTORY|O_CLOEXEC). ret_fd is the caller's. */
int fs_open_dir(int dirfd, const char *path, mode_t mode, int *ret_fd, struct err *e);

/* Reads a whole regular file of at most max bytes into out (appended; its limit counts as well).
 * resource_exhausted when there is more, invalid_argument when it is not a regular file. */
int fs_read(int dirfd, const char *path, size_t max, struct buf *out, struct err *e);
/* The same from an open descriptor, from its offset to its end. */
int fs_read_fd(int fd, size_t max, struct buf *out, struct err *e);

/* Replaces path with these bytes: temporary name, write, fsync (when durable), rename, fsync of the
 * folder (when durable). A crash leaves the old file or the new one. */
int fs_write(int dirfd, const char *path, const void *data, size_t n, mode_t mode, bool durable,
    struct err *e);

/* Writes all n bytes, whatever short writes happen. 0 or -1 with errno. */
int fs_write_all(int fd, const void *data, size_t n);
/* The same at a place in the file. */
int fs_write_all_at(int fd, const void *data, size_t n, uint64_t at);

int fs_sync_dir(int dirfd, const char *path, struct err *e);

/* rm -rf: does not cross mount points, bind mounts of the same filesystem included (a mount in the way
 * is failed_precondition), and does not follow links. Any depth, about 70 descriptors at most. A path
 * that is not there is success. */
int fs_remove_tree(int dirfd, const char *path, struct err *e);

#endif
