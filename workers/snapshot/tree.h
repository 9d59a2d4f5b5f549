/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - a layer's folder while it is being filled by a hostile archive.
 *
 * Every name is cleaned (tree_clean) before it gets here, and every operation is relative to a
 * descriptor below the tree's root: parents are opened with openat2(RESOLVE_IN_ROOT), so that links
 * inside of the layer lead where they would in the container and never out of it; last components are
 * never followed. Nothing is ever looked up twice between check and use.
 *
 * A parent that the archive did not name is made on the way ("implied"): its real mode and owner are
 * those of the layer below, which is not known here. tree_implied lists those that stayed so.
 *
 * The thread that uses a tree owns the process's working folder (attributes of links and nodes can be
 * set by name only). Not thread safe.
 */
#ifndef CF_SNAPSHOT_TREE_H
#define CF_SNAPSHOT_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

#define TREE_IMPLIED_MAX 10000

struct tree;

/* Fills the folder behind root (borrowed). held_max: most bytes of memory for what has to be
 * remembered until the end (times of folders). */
struct tree *tree_new(int root, size_t held_max);
void tree_free(struct tree **t);

/* Makes "./a//b/../c" into "a/c" (to: PATH_MAX bytes; "" for the root itself). ".." at the root stays
 * there, as in a chroot. invalid_argument for an empty name and for one too long. */
int tree_clean(const char *name, char *to, struct err *e);

/* What an entry is to look like, applied in the right order. */
struct tree_meta {
	uid_t uid;
	gid_t gid;
	mode_t mode; /* permission bits with setuid, setgid, sticky */
	struct timespec atime, mtime;
	const struct tree_xattr *xattrs;
	unsigned nxattrs;
};

struct tree_xattr {
	const char *name;
	const void *value;
	size_t n;
};

/* A place in the tree: a folder and a name in it. dir stays the tree's and is valid until the next
 * call of tree_at. */
struct tree_at {
	int dir;
	const char *name; /* the last component of the cleaned path, in that path */
};

/* Finds the folder of a cleaned path, making what is missing on the way. */
int tree_at(struct tree *t, const char *path, struct tree_at *ret, struct err *e);

/* Each replaces what is there (but a folder by a folder, which is kept and gets the new attributes). */
int tree_folder(struct tree *t, const char *path, const struct tree_meta *m, struct err *e);
int tree_symlink(
    struct tree *t, const char *path, const char *target, const struct tree_meta *m, struct err *e);
int tree_node(struct tree *t, const char *path, mode_t type, dev_t dev, const struct tree_meta *m,
    struct err *e);
/* A new empty regular file, open for writing; ret_fd is the caller's. */
int tree_file(struct tree *t, const char *path, int *ret_fd, struct err *e);
/* Sets the attributes of a file that has its bytes; disk_bytes is how many were written. */
int tree_file_done(
    struct tree *t, int fd, uint64_t disk_bytes, const struct tree_meta *m, struct err *e);
/* not_found when the target is not in this tree. */
int tree_link(struct tree *t, const char *path, const char *target, struct err *e);

/* Attributes of the root itself. */
int tree_root(struct tree *t, const struct tree_meta *m, struct err *e);

/* overlayfs' marks: something of that name is gone from below; nothing from below shows in there. */
int tree_whiteout(struct tree *t, const char *path, struct err *e);
int tree_opaque(struct tree *t, const char *dir_path, struct err *e);

/* After the last entry: times of folders, final counts. */
int tree_finish(struct tree *t, struct err *e);

struct tree_usage {
	uint64_t bytes, inodes;
	unsigned xattrs_skipped; /* user attributes that the filesystem does not take */
	bool opaque_root;	 /* nothing of the layers below is to be seen */
};
void tree_usage(const struct tree *t, struct tree_usage *ret);

/* Appends the paths of implied folders, each with its NUL. */
int tree_implied(const struct tree *t, struct buf *out);

/* Counts what is below the folder behind dir (borrowed), itself too: bytes on disk (a file with several
 * names once, as long as there are not too many of those) and inodes. */
int tree_count(int dir, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *e);

/* Removes everything below the folder behind dir (borrowed), however deep, with a bounded number of
 * descriptors; does not cross into other filesystems. */
int tree_empty(int dir, struct err *e);

#endif
