/* SPDX-License-Identifier: Apache-2.0 */
/* tree_impl - what the files tree*.c share. */
#ifndef CF_SNAPSHOT_TREE_IMPL_H
#define CF_SNAPSHOT_TREE_IMPL_H

#include "workers/snapshot/tree.h"

struct implied {
	ino_t ino;
	char *path;
};

struct tree {
	struct sink sink; /* first */
	int root;
	int dir;	/* the folder tree_at gave last, -1 = none */
	bool dir_stale; /* something that was part of its path may be gone: do not use it again */
	bool
	    recount; /* a folder with what it held was removed: the counts are not right any more */
	char dir_path[PATH_MAX];
	bool acls; /* some folder has a list that is inherited by what is made in it */
	int file;  /* being written, -1 = none */
	uint64_t file_size, file_end, file_bytes;
	struct layer_usage usage;
	struct implied *implied;
	unsigned nimplied, implied_room;
	struct buf times; /* struct folder_time and its path, again and again */
};

/* A place in the tree: a folder and a name in it. dir stays the tree's and is valid until the next
 * call of tree_at. */
struct tree_at {
	int dir;
	const char *name; /* the last component of the cleaned path, in that path */
};

/* tree.c */
/* Takes away what an entry that was made just now has from its folder and not from the archive. */
void tree_disinherit(const struct tree *t, int fd);

/* tree_walk.c */
/* Finds the folder of a cleaned path, making what is missing on the way. */
int tree_at(struct tree *t, const char *path, struct tree_at *ret, struct err *e);
/* Opens the folder path ("" is root), links resolved inside of root; -1 with errno. */
int tree_open(int root, const char *path);
/* The same, making what is missing. */
int tree_resolve(struct tree *t, const char *path, int *ret_fd, struct err *e);
/* Removes what name in dir is, folders with all they hold. Sets *was_whiteout when it was one. */
int tree_remove(struct tree *t, int dir, const char *name, bool *was_whiteout, struct err *e);
/* Takes the folder out of the list of implied ones. */
void tree_named(struct tree *t, ino_t ino);

#endif
