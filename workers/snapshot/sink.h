/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink - what the entries of a layer's tar are written into: a folder (tree.h), an image.
 *
 * tar.c decides what an entry means and has cleaned every path ("a/b/c", "" for the root itself); a sink
 * makes it so. For all sinks:
 *	- an entry replaces what has its name (but a folder replaces no folder: that one stays with what
 *	  it holds and gets the new attributes), and what is in the way as its parent
 *	- links in the folder part of a path lead where they would in a chroot
 *	- a parent that the archive has not named is made on the way, root's and 0755 ("implied")
 *	- a whiteout or an opaque mark hides what the layers below hold, never what this layer does (one
 *	  in a folder that this layer has as something else is in vain); a folder made where there was a
 *	  whiteout is opaque
 * Files come one at a time: file, data in any number of pieces that go forward (what is left out is a
 * hole), file_done. After an error nothing but the free function of the sink is to be called.
 */
#ifndef CF_SNAPSHOT_SINK_H
#define CF_SNAPSHOT_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/oci/digest.h"

struct layer_xattr {
	const char *name;
	const void *value;
	size_t n;
};

/* What an entry is to look like. */
struct layer_meta {
	uid_t uid;
	gid_t gid;
	mode_t mode; /* permission bits with setuid, setgid, sticky */
	struct timespec atime, mtime;
	const struct layer_xattr *xattrs;
	unsigned nxattrs;
};

struct layer_usage {
	uint64_t bytes, inodes;
	unsigned xattrs_skipped; /* user attributes that the filesystem does not take */
	bool opaque_root;	 /* nothing of the layers below is to be seen */
};

struct sink {
	const struct sink_ops *ops;
};

struct sink_ops {
	int (*folder)(struct sink *s, const char *path, const struct layer_meta *m, struct err *e);
	int (*symlink)(struct sink *s, const char *path, const char *target,
	    const struct layer_meta *m, struct err *e);
	/* A fifo or a device. */
	int (*node)(struct sink *s, const char *path, mode_t type, dev_t dev,
	    const struct layer_meta *m, struct err *e);
	/* A regular file of this size (holes too). */
	int (*file)(struct sink *s, const char *path, uint64_t size, struct err *e);
	int (*data)(struct sink *s, const void *p, size_t n, uint64_t at, struct err *e);
	int (*file_done)(struct sink *s, const struct layer_meta *m, struct err *e);
	/* Another name of what target is; not_found when that is not in this layer. */
	int (*link)(struct sink *s, const char *path, const char *target, struct err *e);
	int (*whiteout)(struct sink *s, const char *path, struct err *e);
	int (*opaque)(struct sink *s, const char *folder, struct err *e);
	/* After the last entry; diff_id names what was put in. sync: everything is on disk when this returns.
	 * Then usage and implied can be asked for. */
	int (*finish)(struct sink *s, const struct digest *diff_id, bool sync, struct err *e);
	void (*usage)(const struct sink *s, struct layer_usage *ret);
	/* Appends the paths of implied folders, each with its NUL; -1 when out's limit is reached. */
	int (*implied)(const struct sink *s, struct buf *out);
};

#endif
