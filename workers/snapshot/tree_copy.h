/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_copy - whole trees out of others: for snapshots that lean on nothing below them.
 *
 * Trees hold what archives held: nothing is followed, and everything is relative to descriptors. Blocks
 * are shared where the filesystem can (FICLONE). Files with several names stay such, holes stay holes; of
 * attributes those are taken over that layers have (xattrs.h). Changes the working folder.
 */
#ifndef CF_SNAPSHOT_TREE_COPY_H
#define CF_SNAPSHOT_TREE_COPY_H

#include "lib/base/err.h"

/* Fills the empty folder behind to with a copy of what from holds, and makes it look like from. Both are
 * borrowed. */
int tree_copy(int from, int to, struct err *e);

/* Applies the layer behind layer, a folder with overlayfs' marks, to the tree behind to: what the layer
 * holds is moved there, what it hides goes. */
int tree_apply(int layer, int to, struct err *e);

#endif
