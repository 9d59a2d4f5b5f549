/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc - garbage collection: what nobody holds goes, while everybody else goes on.
 *
 *	IDLE -> LISTING   snapshots and containers of each namespace, asked from their actors
 *	     -> MARKING   one read transaction on a thread: rows alone, no document is read
 *	     -> SWEEPING  rows in small write transactions, files behind each (gc_pass.h)
 *	     -> LAYERS    snapshots, children first, by message
 *	     -> IDLE
 *
 * Rules as containerd's: images, leases, ingests of the last day, containers and what is labelled
 * containerd.io/gc.root hold what they refer to, by labels (graph.h). Beside these: a running pull holds
 * its blobs and layers, a blob of one that did not end is held for a day (held_until), snapshots of
 * containers are left alone, and so are active ones of the last hour.
 *
 * It runs soon after something was removed, after every hundredth change, when something ends by itself,
 * a minute after the start, and when it is asked to. It rests between two runs for fifty times as long
 * as one took. A collection that dies with its worker leaves less garbage than there was, nothing else.
 */
#ifndef CF_CONTENT_GC_H
#define CF_CONTENT_GC_H

#include "workers/content/gc_pass.h"

struct gc;
struct gc_wait;

struct gc *gc_new(struct content *c);
void gc_free(struct gc **g);
/* The bus is there: the first collection will come. */
void gc_ready(struct content *c);

/* A whole collection that starts from now on; done is called with what it took, or why it failed. Never
 * called from within. gc_detach: no callback comes; NULL is fine. */
typedef void gc_done_fn(void *arg, const struct gc_totals *sum, const struct err *e);
struct gc_wait *gc_run(struct content *c, gc_done_fn *done, void *arg);
void gc_detach(struct gc_wait **w);

/* For a handler whose reply is empty, and that has committed: answers behind a collection, whatever
 * came of that. Returns CALL_LATER. */
int gc_before_reply(struct content *c, struct call *call);

/* From the next collection on everything in ns goes, but for what somebody touches; until it is called
 * with NULL. false: that is so for another one already. */
bool gc_condemn(struct content *c, const char *ns);

/* Something was removed or let go of; something will end at `when` (Unix ns). */
void gc_deleted(struct content *c);
void gc_expects(struct content *c, int64_t when);

/* In the transaction that makes the row of a thing, or makes it be held: a collection that runs leaves
 * it, and what it holds, alone. Counted as a change. */
void gc_touch(struct content *c, enum node_type type, const char *ns, const char *key);
void gc_touch_labels(struct content *c, const char *ns, const struct kvs *labels);
/* For who sweeps: from begin on touches are kept; each gc_touched gives them to g. */
void gc_track(struct content *c, bool on);
void gc_touched(struct content *c, struct graph *g);

/* Removes the blob's file when no namespace has a row for it and no pull holds it. */
void gc_forget(struct content *c, const struct digest *d);

#endif
