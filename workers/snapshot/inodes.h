/* SPDX-License-Identifier: Apache-2.0 */
/* inodes - which files with several names were met already, and where. */
#ifndef CF_SNAPSHOT_INODES_H
#define CF_SNAPSHOT_INODES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct inode_seen {
	dev_t dev;
	ino_t ino;  /* 0: free */
	char *path; /* the caller's note, freed with the table; NULL at first */
};

struct inodes {
	struct inode_seen *v;
	size_t n, room;
};

/* The entry of st's file, valid until the next call. *ret_new: it was not met before. */
struct inode_seen *inodes_meet(struct inodes *t, const struct stat *st, bool *ret_new);
void inodes_free(struct inodes *t);

#endif
