/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - a layer's folder while it is being filled by a hostile archive.
 *
 * A sink (sink.h): names come cleaned, and every operation is relative to a descriptor below the tree's root: parents are opened with openat2(RESOLVE_IN_ROOT), so that links
 * inside of the layer lead where they would in the container and never out of it; last components are
 * never followed. Nothing is ever looked up twice between check and use.
 *
 * A parent that the archive did not name is made on the way ("implied"): its real mode and owner are
 * those of the layer below, which is not known here.
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

#include "lib/base/err.h"
#include "workers/snapshot/sink.h"

#define TREE_IMPLIED_MAX 10000

struct tree;

/* Fills the folder behind root (borrowed). held_max: most bytes of memory for what has to be
 * remembered until the end (times of folders). */
struct tree *tree_new(int root, size_t held_max);
void tree_free(struct tree **t);

/* What fills it; sink->implied lists the folders that stayed implied. */
struct sink *tree_sink(struct tree *t);

/* Counts what is below the folder behind dir (borrowed), itself too: bytes on disk (a file with several
 * names once) and inodes. */
int tree_count(int dir, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *e);

/* Removes everything below the folder behind dir (borrowed), however deep, with a bounded number of
 * descriptors; does not cross into other filesystems. */
int tree_empty(int dir, struct err *e);

#endif
