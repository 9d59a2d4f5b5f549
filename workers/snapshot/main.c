/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main - the snapshot actor: start, recovery, end.
 *
 * Options of its section of the config: snapshotter, fsverity, max-unpacks, max-layer-bytes, max-layer-entries.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "workers/snapshot/snapshot.h"

#define ACTOR snapshot
#define ACTOR_DEF "schemas/snapshot.def"
#define ACTOR_STATE struct snapshot_state
#include "bus/worker/handlers.h"

#define LAYER_BYTES (64ULL << 30)
#define LAYER_ENTRIES 5000000ULL
#define HELD_BYTES (128ULL << 20)

static int
option(struct worker *w, const char *key, uint64_t least, uint64_t most, uint64_t unset,
    uint64_t *ret, struct err *e)
{
	const char *text = worker_option(w, key);
	char *end;

	*ret = unset;
	if (text == NULL)
		return 0;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *ret < least || *ret > most)
		return err_set(e, ERR_INVALID_ARGUMENT, "option %s=%s: a number from %llu to %llu",
		    key, text, (unsigned long long)least, (unsigned long long)most);
	return 0;
}

/* As many unpacks at once as there are processors, from 2 to 4. */
static unsigned
usual_unpacks(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 2;

	return n < 2 ? 2 : n > 4 ? 4 : (unsigned)n;
}

static int
options(struct snapshot_state *s, struct err *e)
{
	struct worker *w = s->worker;
	const char *seal = worker_option(w, "fsverity");
	uint64_t n;
	int r = option(w, "max-unpacks", 1, 16, usual_unpacks(), &n, e);

	if (r < 0)
		return r;
	s->max_unpacks = (unsigned)n;
	s->limits.held = HELD_BYTES;
	s->fsverity = seal != NULL && strcmp(seal, "true") == 0;
	if (seal != NULL && !s->fsverity && strcmp(seal, "false") != 0)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "option fsverity=%.40s: true or false", seal);
	r = option(w, "max-layer-bytes", 1, 1ULL << 60, LAYER_BYTES, &s->limits.bytes, e);
	if (r == 0)
		r = option(
		    w, "max-layer-entries", 1, 1ULL << 40, LAYER_ENTRIES, &s->limits.entries, e);
	return r;
}

static int
snapshot_open(struct worker *w, void **ret_state, struct err *e)
{
	struct snapshot_state *s = xcalloc(1, sizeof(*s));

	(void)e;
	s->worker = w;
	TAILQ_INIT(&s->layers);
	TAILQ_INIT(&s->chores);
	TAILQ_INIT(&s->diffs);
	TAILQ_INIT(&s->cleanups);
	*ret_state = s;
	return 0;
}

static void
nursery_died(void *arg)
{
	struct snapshot_state *s = arg;

	log_error("the nursery ended by itself: starting again");
	worker_stop(s->worker, 1);
}

/* --- recovery ------------------------------------------------------------------------------------ */

/* Which folders have a record. */
struct used {
	struct snapshot_state *state;
	uint64_t *v;
	size_t n, room;
};

static bool
folder_there(void *arg, const char *name, uint64_t number)
{
	const struct used *u = arg;
	const struct snapshotter *sn = snapshotter_named(name);

	return sn != NULL && shelf_has(u->state->shelf, sn->id, number);
}

/* Numbers are one row, whatever the snapshotter. */
static void
number_used(void *arg, const char *name, uint64_t number)
{
	struct used *u = arg;

	(void)name;
	if (u->n == u->room) {
		u->room = u->room == 0 ? 64 : u->room * 2;
		u->v = xrealloc(u->v, u->room * sizeof(*u->v));
	}
	u->v[u->n++] = number;
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool
folder_wanted(void *arg, enum snapshotter_id kind, uint64_t number)
{
	const struct used *u = arg;

	(void)kind;
	return u->n > 0 && bsearch(&number, u->v, u->n, sizeof(*u->v), compare) != NULL;
}

static int
folder_leaves(void *arg, enum snapshotter_id kind, uint64_t number, struct err *e)
{
	const struct used *u = arg;
	const struct snapshotter *sn = snapshotter_of(kind);

	return sn->close == NULL ? 0 : sn->close(u->state->shelf, number, e);
}

/* Records without folders go, then folders without records, then whatever was being made. */
static int
recover(struct snapshot_state *s, struct err *e)
{
	struct used u = { .state = s };
	struct snapshots_recovery how = { .has = folder_there, .used = number_used, .arg = &u };
	struct shelf_sweep sweep = { .wanted = folder_wanted, .leaving = folder_leaves, .arg = &u };
	unsigned swept = 0;
	int r = snapshots_recover(s->store, &how, e);

	if (u.n > 0)
		qsort(u.v, u.n, sizeof(*u.v), compare);
	if (r == 0)
		r = shelf_sweep(s->shelf, &sweep, &swept, e);
	if (r == 0)
		r = shelf_drop_all_new(s->shelf, e);
	if (swept > 0)
		log_info("%u folders without a record go to the trash", swept);
	free(u.v);
	return r;
}

static int
snapshot_start(struct worker *w, void *state, struct err *e)
{
	struct snapshot_state *s = state;
	AUTO(free_ptr) char *db = xasprintf("%s/snapshot/db", worker_root(w));
	int r = options(s, e);

	/* Before the store is opened and before libzmq starts threads: this forks. */
	if (r == 0)
		r = nursery_new(worker_loop(w), nursery_died, s, &s->nursery, e);
	if (r == 0)
		r = shelf_open(worker_root(w), &s->shelf, e);
	if (r == 0)
		r = store_open(db, snapshots_tables, TABLE_COUNT, true, &s->store, e);
	if (r == 0)
		r = recover(s, e);
	if (r == 0)
		r = snapshotter_choose(s, worker_option(w, "snapshotter"), e);
	if (r < 0)
		return r;
	worker_store(w, s->store);
	return 0;
}

static void
snapshot_ready(struct worker *w, void *state)
{
	(void)w;
	trash_kick(state);
}

static void
snapshot_close(void *state)
{
	struct snapshot_state *s = state;

	nursery_free(&s->nursery);
	for (unsigned i = 0; s->shelf != NULL && i < SNAPSHOTTER_COUNT; i++)
		snapshotter_close_all(snapshotter_of((enum snapshotter_id)i), s->shelf);
	layers_free(s);
	chores_free(s);
	diffs_free(s);
	trash_free(s);
	store_close(&s->store);
	shelf_close(&s->shelf);
	free(s);
}

static void
snapshot_cancelled(void *state, struct call *c)
{
	if (!layers_cancelled(state, c) && !chore_cancelled(state, c) && !diffs_cancelled(state, c))
		(void)trash_cancelled(state, c);
}

int
main(int argc, char **argv)
{
	static const struct worker_spec spec = { .proc = PROC_SNAPSHOT,
		.methods = snapshot_methods,
		.thunks = snapshot_thunks,
		.nmethods = COUNT(snapshot_thunks),
		.open = snapshot_open,
		.start = snapshot_start,
		.ready = snapshot_ready,
		.close = snapshot_close,
		.cancelled = snapshot_cancelled };

	return worker_main(argc, argv, &spec);
}
