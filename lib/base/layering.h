/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layering - overlay mounts of as many layers as the kernel stacks (500), however long their names are.
 *
 * mount(2) takes one page of options, which some 95 layers fill. So each layer is opened here and given to
 * the kernel by itself, with the new mount calls:
 *
 *	Linux 6.13	fsconfig takes descriptors ("lowerdir+"; mountinfo shows the true names)
 *	Linux 6.7	fsconfig takes one name at a time, of at most 255 bytes: a longer one as /proc/self/fd/N
 *	before that	mount(2); when the names do not fit its page, all of them as /proc/self/fd/N: some 230
 *
 * With an idmap the layers are given as idmapped clones of their mounts (Linux 5.19): who is inside sees the
 * owners that are on disk, and what is written goes to disk under these. Until Linux 6.15 overlay takes only
 * layers that are mounted somewhere: while it is made the clones lie, one on the other, where it will be.
 * They are taken away again; a death in between leaves them there, and unmounting all that is there ends them.
 */
#ifndef CF_BASE_LAYERING_H
#define CF_BASE_LAYERING_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"

/* Other owners than those on disk. */
struct shift {
	int userns; /* its maps are what the layers get */
	uid_t
	    uid; /* one that these maps have outside: overlay does its own work (work/) as this one, */
	gid_t gid; /* since root of the host would have no id on disk */
};

/* Mounts an overlay at path. bits: MS_* flags. options: the filesystem's own, with lowerdir= among them. shift: NULL
 * for owners as they are; unimplemented when a layer's filesystem or the kernel cannot do that. */
int layering_make(const char *path, const char *source, unsigned long bits,
    const char *const *options, size_t n, const struct shift *shift, struct err *e);

/* Gives a mount that is mounted nowhere (open_tree) the maps of a user namespace; what: for the error, unimplemented
 * as above. */
int layering_shift(int tree, int userns, const char *what, struct err *e);

#endif
