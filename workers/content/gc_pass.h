/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc_pass - the two halves of garbage collection that touch the store: filling the graph from one
 * consistent read, and dropping rows in small write transactions.
 *
 * Between the two, others write. Each write that makes something be held, or makes a row, touches it
 * (gc_touch in gc.h): the sweep brings the graph up to date with what was touched before it looks.
 * What was removed meanwhile is found by the next collection.
 */
#ifndef CF_CONTENT_GC_PASS_H
#define CF_CONTENT_GC_PASS_H

#include "workers/content/content.h"
#include "workers/content/graph.h"
#include "workers/content/tree.h"

#define GC_LABEL_ROOT "containerd.io/gc.root"
#define GC_LABEL_EXPIRE "containerd.io/gc.expire"
#define GC_LABEL_FLAT "containerd.io/gc.flat"

/* What one collection took away. */
struct gc_totals {
	uint64_t images, blobs, bytes, ingests, leases, snapshots, took_ns;
};

/* Adds images, blobs, ingests and leases as t sees them. Lowers *next to when the first of them ends by
 * itself (Unix ns). May run on a thread that has t to itself. */
int gc_load(const struct content *c, struct graph *g, struct txn *t, int64_t now, int64_t *next,
    struct err *e);

/* Drops rows of what nobody holds, up to max of them, from node *at on, which moves on. Files that have
 * no row left go into files: to be thrown away behind the commit, along with the files of drafts. */
struct gc_dropped {
	struct set files;  /* digests of blobs */
	struct set drafts; /* ns/ref */
};
int gc_drop(struct content *c, struct graph *g, struct txn *t, uint32_t *at, unsigned max,
    struct gc_dropped *out, struct gc_totals *sum, struct err *e);
/* Behind the commit. */
void gc_dropped_files(struct content *c, struct gc_dropped *d, struct gc_totals *sum);

#endif
