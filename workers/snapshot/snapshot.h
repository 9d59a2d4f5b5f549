/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot - state of the snapshot actor, and what its files give each other.
 *
 * One loop, one thread; whatever takes long runs in children of the nursery.
 */
#ifndef CF_SNAPSHOT_SNAPSHOT_H
#define CF_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bus/worker/worker.h"
#include "workers/snapshot/nursery.h"
#include "workers/snapshot/shelf.h"
#include "workers/snapshot/snapshotter.h"
#include "workers/snapshot/snapshots.h"

TAILQ_HEAD(layer_jobs, layer_job);
TAILQ_HEAD(chores, chore);
TAILQ_HEAD(cleanups, cleanup);
TAILQ_HEAD(diff_jobs, diff_job);

struct snapshot_state {
	struct worker *worker;
	struct store *store;
	struct shelf *shelf;
	const struct snapshotter *chosen;	/* when nobody says which */
	struct err problems[SNAPSHOTTER_COUNT]; /* why one does not work here */
	struct nursery *nursery;
	struct unpack_limits limits;
	bool fsverity; /* images are sealed */
	unsigned max_unpacks, unpacking, following, settling;
	struct layer_jobs layers; /* layers.c */
	bool layers_awake;
	struct chores chores; /* chores.c */
	unsigned at_chores;
	struct nursery_job *sweeping; /* trash.c */
	bool sweep_again;
	struct loop_source *sweep_retry; /* NULL: nothing failed lately */
	unsigned sweep_wait_s;
	struct cleanups cleanups;
	struct diff_jobs diffs; /* diffs.c */
	unsigned diffing;
};

/* layers.c: layers being unpacked, and who waits for them. */
int layers_unpack(struct snapshot_state *s, struct call *c, const struct layer_unpack_req *req,
    struct layer_unpack_rep *rep, struct err *e);
/* Begins with a layer that is still being downloaded; see layers.c. */
int layers_follow(
    struct snapshot_state *s, struct call *c, const struct layer_follow_req *req, struct err *e);
/* The call is not to be answered any more; false when it is none of these. */
bool layers_cancelled(struct snapshot_state *s, struct call *c);
void layers_free(struct snapshot_state *s);

/* choice.c: tries them all, and chooses what is taken when nobody says which: the one of that name, which must
 * work, or the first that does (NULL). */
int snapshotter_choose(struct snapshot_state *s, const char *name, struct err *e);
/* The one of that name, or what was chosen when name is NULL; it works here. NULL with e. */
const struct snapshotter *
snapshotter_wanted(struct snapshot_state *s, const char *name, struct err *e);

/*
 * chores.c: what a call needs a child for. Gives the order to one, as soon as there is a place, and then
 * calls done, in the call's context, for the answer: *ret_rep, or an error. r is NULL when there is
 * nothing to answer, since the child failed or the call was taken back (then c is NULL): done only tidies
 * up what arg stands for. folder and file are taken (-1: none). Returns CALL_LATER.
 */
typedef int chore_fn(struct snapshot_state *s, struct call *c, void *arg,
    const struct nursery_report *r, const void **ret_rep, struct err *e);
struct chore_ask {
	uint32_t op; /* enum nursery_op */
	int folder, file;
	const char *what; /* in errors: "count snapshot x" */
	chore_fn *done;
	void *arg; /* the call's arena holds it */
};
int chore_add(struct snapshot_state *s, struct call *c, const struct chore_ask *ask);
bool chore_cancelled(struct snapshot_state *s, struct call *c);
void chores_free(struct snapshot_state *s);

/* handlers_snapshot.c: the folders whose stack is a snapshot's tree, or that of what is below it, nearest
 * first. Returns how many, LOWERS_MAX + 1 at most. */
int snapshot_folders(struct txn *t, struct call *c, const struct snapshotter *sn,
    const struct snapshot_row *row, bool below, uint64_t *numbers, struct err *e);

/* diffs.c: what changed, as a blob. */
int diffs_add(
    struct snapshot_state *s, struct call *c, const struct snapshot_diff_req *req, struct err *e);
bool diffs_cancelled(struct snapshot_state *s, struct call *c);
void diffs_free(struct snapshot_state *s);

/* trash.c: deletes what is in the trash, in the background; snapshot_cleanup waits for that. */
void trash_kick(struct snapshot_state *s);
bool trash_cancelled(struct snapshot_state *s, struct call *c);
void trash_free(struct snapshot_state *s);

#endif
