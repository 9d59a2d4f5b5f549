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
#include "workers/snapshot/overlay.h"
#include "workers/snapshot/snapshots.h"

#define SNAPSHOTTER "overlay"

TAILQ_HEAD(layer_jobs, layer_job);
TAILQ_HEAD(usage_jobs, usage_job);

struct snapshot_state {
	struct worker *worker;
	struct store *store;
	struct overlay *overlay;
	struct nursery *nursery;
	struct unpack_limits limits;
	unsigned max_unpacks, unpacking, settling;
	struct layer_jobs layers; /* layers.c */
	bool layers_awake;
	struct usage_jobs usages; /* usage.c */
	unsigned counting;
	struct nursery_job *sweeping; /* trash.c */
	bool sweep_again;
};

/* layers.c: layers being unpacked, and who waits for them. */
int layers_unpack(struct snapshot_state *s, struct call *c, const struct layer_unpack_req *req,
    struct layer_unpack_rep *rep, struct err *e);
/* The call is not to be answered any more; false when it is none of these. */
bool layers_cancelled(struct snapshot_state *s, struct call *c);
void layers_free(struct snapshot_state *s);

/* usage.c: counting what snapshots that are written to take on disk. */
int usage_count(struct snapshot_state *s, struct call *c, uint64_t number);
bool usage_cancelled(struct snapshot_state *s, struct call *c);
void usage_free(struct snapshot_state *s);

/* trash.c: deletes what is in the trash, in the background. */
void trash_kick(struct snapshot_state *s);

#endif
