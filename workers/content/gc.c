/* SPDX-License-Identifier: Apache-2.0 */
/* gc - see gc.h */
#include "workers/content/gc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"
#include "lib/filter/labels.h"
#include "workers/content/pull.h"
#include "workers/content/unpack.h"

#define FIRST_MS 60000	/* after the start: whoever had a request here has asked again by then */
#define SOON_MS 100	/* for removals that come together */
#define LIST_MS 30000	/* for an actor to say what it has: others wait for this run */
#define RETRY_MS 60000	/* after a failure */
#define REST_FACTOR 50	/* a run of 20 ms is followed by a second's rest */
#define CHANGES_MAX 100 /* so many changes start one */
#define BATCH 128	/* rows per transaction: a few milliseconds */
#define ACTIVE_NS (3600LL * 1000000000)
#define LABEL_OWNER "coffer.container"

enum step { IDLE, LISTING, MARKING, SWEEPING, LAYERS };

struct touched {
	enum node_type type;
	char *ns, *key;
};

struct gc_wait {
	struct gc_wait *next;
	gc_done_fn *done; /* NULL: detached */
	void *arg;
};

/* A snapshot as it was listed. */
struct snap {
	uint32_t node, parent; /* parent: its node, or itself */
	unsigned depth;
};

struct gc {
	struct content *c;
	enum step step;
	bool ready;			  /* the bus is there */
	struct gc_wait *waiting, *served; /* for a run that is to come; for the one that runs */
	struct loop_source *timer;	  /* the next run, or the next step */
	uint64_t timer_at_ms;
	unsigned changes;   /* since the last run began */
	bool deleted;	    /* the same */
	uint64_t rested_ms; /* no run by itself before */
	int64_t next;	    /* something ends by itself, Unix ns */

	char *condemned; /* namespace that is to go; NULL: none */
	bool tracking;
	struct touched *touched;
	size_t ntouched, touched_room;

	/* of the run */
	uint64_t since_ns;
	struct gc_totals sum;
	struct err err;
	struct graph *graph;
	struct txn *t;
	struct set names;    /* namespaces */
	int64_t marked_next; /* as next, found by the thread */
	size_t at;
	char *after; /* of a page */
	struct client_call *asked;
	struct snap *snaps;
	size_t nsnaps, snaps_room;
	struct gc_dropped dropped;
	uint32_t node;
};

static void begin(void *arg);
static void schedule_rested(struct gc *g, uint64_t in_ms);
static void list_next(struct gc *g);
static void layers_next(void *arg);

/* --- touching -------------------------------------------------------------------------------------- */

void
gc_touch(struct content *c, enum node_type type, const char *ns, const char *key)
{
	struct gc *g = c->gc;

	if (++g->changes >= CHANGES_MAX)
		schedule_rested(g, SOON_MS);
	if (!g->tracking)
		return;
	if (g->ntouched == g->touched_room) {
		g->touched_room = g->touched_room == 0 ? 64 : 2 * g->touched_room;
		g->touched = xrealloc(g->touched, g->touched_room * sizeof(*g->touched));
	}
	g->touched[g->ntouched++] = (struct touched){ type, xstrdup(ns), xstrdup(key) };
}

struct toucher {
	struct content *c;
	const char *ns;
};

static void
touch_ref(void *arg, enum node_type type, const char *key, bool back)
{
	const struct toucher *t = arg;

	(void)back; /* what is labelled is touched itself: it may be held by that one now */
	gc_touch(t->c, type, t->ns, key);
}

void
gc_touch_labels(struct content *c, const char *ns, const struct kvs *labels)
{
	struct toucher t = { c, ns };

	if (c->gc->tracking)
		graph_refs(labels, touch_ref, &t);
}

void
gc_touched(struct content *c, struct graph *graph)
{
	struct gc *g = c->gc;

	for (size_t i = 0; i < g->ntouched; i++) {
		struct touched *t = &g->touched[i];

		if (graph != NULL)
			graph_touch(graph, t->type, t->ns, t->key);
		free_ptr(&t->ns);
		free_ptr(&t->key);
	}
	g->ntouched = 0;
}

void
gc_track(struct content *c, bool on)
{
	gc_touched(c, NULL);
	c->gc->tracking = on;
}

/* --- when ------------------------------------------------------------------------------------------ */

/* The next run comes at `at` (monotonic ms) unless one comes earlier. */
static void
schedule(struct gc *g, uint64_t at)
{
	uint64_t now = clock_mono_ms();

	if (!g->ready || g->step != IDLE || (g->timer != NULL && g->timer_at_ms <= at))
		return;
	loop_del(&g->timer);
	g->timer_at_ms = at;
	g->timer = loop_once(g->c->loop, at > now ? at - now : 0, begin, g);
}

static void
schedule_rested(struct gc *g, uint64_t in_ms)
{
	uint64_t at = clock_mono_ms() + in_ms;

	schedule(g, at > g->rested_ms ? at : g->rested_ms);
}

void
gc_deleted(struct content *c)
{
	c->gc->deleted = true;
	schedule_rested(c->gc, SOON_MS);
}

void
gc_expects(struct content *c, int64_t when)
{
	struct gc *g = c->gc;
	int64_t ms = (when - clock_real_ns()) / 1000000 + 1;

	if (when < g->next)
		g->next = when;
	if (g->next == when && when != INT64_MAX)
		schedule_rested(g, ms > 0 ? (uint64_t)ms : 0);
}

struct gc_wait *
gc_run(struct content *c, gc_done_fn *done, void *arg)
{
	struct gc_wait *w = xcalloc(1, sizeof(*w));

	w->done = done;
	w->arg = arg;
	w->next = c->gc->waiting;
	c->gc->waiting = w;
	schedule(c->gc, 0);
	return w;
}

bool
gc_condemn(struct content *c, const char *ns)
{
	struct gc *g = c->gc;

	if (ns != NULL && g->condemned != NULL)
		return false;
	free_ptr(&g->condemned);
	g->condemned = ns != NULL ? xstrdup(ns) : NULL;
	return true;
}

void
gc_detach(struct gc_wait **w)
{
	if (*w != NULL)
		(*w)->done = NULL;
	*w = NULL;
}

struct gc *
gc_new(struct content *c)
{
	struct gc *g = xcalloc(1, sizeof(*g));

	g->c = c;
	g->next = INT64_MAX;
	return g;
}

static void
run_free(struct gc *g)
{
	store_abort(&g->t);
	graph_free(&g->graph);
	set_free(&g->names);
	free_ptr(&g->after);
	free_ptr(&g->snaps);
	g->nsnaps = g->snaps_room = 0;
	set_free(&g->dropped.files);
	set_free(&g->dropped.drafts);
	gc_track(g->c, false);
}

void
gc_free(struct gc **gp)
{
	struct gc *g = *gp;
	struct gc_wait *w;

	if (g == NULL)
		return;
	loop_del(&g->timer);
	run_free(g);
	while ((w = g->waiting != NULL ? g->waiting : g->served) != NULL) {
		*(g->waiting != NULL ? &g->waiting : &g->served) = w->next;
		free_ptr(&w);
	}
	free_ptr(&g->touched);
	free_ptr(&g->condemned);
	free_ptr(gp);
}

void
gc_ready(struct content *c)
{
	c->gc->ready = true;
	schedule(c->gc, clock_mono_ms() + (c->gc->waiting != NULL ? 0 : FIRST_MS));
}

/* --- a run ------------------------------------------------------------------------------------------ */

/* Through the loop, so that others get their turn. */
static void
step_later(struct gc *g, void (*step)(void *))
{
	g->timer = loop_once(g->c->loop, 0, step, g);
}

static void
run_log(const struct gc *g)
{
	const struct gc_totals *s = &g->sum;

	if (g->err.code != ERR_NONE)
		log_warn("garbage collection: %s", g->err.msg);
	else if (s->images + s->blobs + s->ingests + s->leases + s->snapshots > 0)
		log_info("garbage collection: %llu images, %llu blobs (%llu bytes), %llu "
			 "snapshots, %llu ingests, %llu leases in %llu ms",
		    (unsigned long long)s->images, (unsigned long long)s->blobs,
		    (unsigned long long)s->bytes, (unsigned long long)s->snapshots,
		    (unsigned long long)s->ingests, (unsigned long long)s->leases,
		    (unsigned long long)s->took_ns / 1000000);
}

static void
run_end(struct gc *g)
{
	struct gc_wait *w, *served = g->served;

	g->sum.took_ns = clock_mono_ns() - g->since_ns;
	run_free(g);
	run_log(g);
	g->step = IDLE;
	g->served = NULL;
	g->rested_ms = clock_mono_ms() + g->sum.took_ns / 1000000 * REST_FACTOR;
	while ((w = served) != NULL) {
		served = w->next;
		if (w->done != NULL)
			w->done(w->arg, &g->sum, g->err.code != ERR_NONE ? &g->err : NULL);
		free_ptr(&w);
	}
	if (g->waiting != NULL)
		schedule(g, 0);
	else if (g->err.code != ERR_NONE)
		schedule(g, clock_mono_ms() + RETRY_MS);
	else if (g->deleted || g->changes >= CHANGES_MAX)
		schedule_rested(g, SOON_MS);
	gc_expects(g->c, g->next);
}

static int
name_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	const struct namespace *ns = rec;

	(void)k;
	(void)e;
	set_add(arg, ns->name);
	return 0;
}

static void
begin(void *arg)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *t = NULL;
	struct gc *g = arg;

	g->timer = NULL;
	g->step = LISTING;
	g->served = TAKE(g->waiting);
	g->sum = (struct gc_totals){ .images = 0 };
	g->err = ERR_ZERO;
	g->changes = 0;
	g->deleted = false;
	g->next = INT64_MAX;
	g->since_ns = clock_mono_ns();
	g->graph = graph_new();
	graph_condemn(g->graph, g->condemned);
	g->at = 0;
	gc_track(g->c, true);
	if (store_read(g->c->store, &t, &g->err) < 0 ||
	    store_each(t, TABLE_NAMESPACES, NULL, NULL, &namespace_schema, &a, name_one, &g->names,
		&g->err) < 0) {
		run_end(g);
		return;
	}
	store_abort(&t);
	list_next(g);
}

/* --- sweeping --------------------------------------------------------------------------------------- */

static void sweep(void *arg);

static void
trash_run(void *arg)
{
	struct gc *g = arg;

	blobs_empty_trash(&g->c->blobs);
}

static void
trash_done(void *arg)
{
	struct gc *g = arg;

	step_later(g, g->node < graph_count(g->graph) ? sweep : layers_next);
}

static void
sweep(void *arg)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct gc *g = arg;
	uint64_t bytes = g->sum.bytes;

	g->timer = NULL;
	if (store_write(g->c->store, &t, &g->err) < 0) {
		run_end(g);
		return;
	}
	gc_touched(g->c, g->graph);
	if (gc_drop(g->c, g->graph, t, &g->node, BATCH, &g->dropped, &g->sum, &g->err) < 0 ||
	    content_commit(g->c, &t, &g->err) < 0) {
		run_end(g);
		return;
	}
	FAULT_POINT("content.gc.committed");
	gc_dropped_files(g->c, &g->dropped, &g->sum);
	if (g->sum.bytes != bytes)
		work_add(g->c->work, trash_run, trash_done, g);
	else
		trash_done(g);
}

/* --- marking ---------------------------------------------------------------------------------------- */

static void
mark_run(void *arg)
{
	struct gc *g = arg;

	if (gc_load(g->c, g->graph, g->t, clock_real_ns(), &g->marked_next, &g->err) == 0)
		graph_trace(g->graph);
}

static int
deeper(const void *a, const void *b)
{
	const struct snap *x = a, *y = b;

	return x->depth == y->depth ? 0 : x->depth < y->depth ? 1 : -1;
}

static int
by_node(const void *a, const void *b)
{
	const struct snap *x = a, *y = b;

	return x->node == y->node ? 0 : x->node < y->node ? -1 : 1;
}

/* Children before parents. */
static void
snaps_sort(struct gc *g)
{
	if (g->nsnaps == 0)
		return;
	qsort(g->snaps, g->nsnaps, sizeof(*g->snaps), by_node);
	for (size_t i = 0; i < g->nsnaps; i++) {
		const struct snap *up = &g->snaps[i];

		while (up != NULL && up->parent != up->node && g->snaps[i].depth < g->nsnaps) {
			struct snap want = { .node = up->parent };

			g->snaps[i].depth++;
			up = bsearch(&want, g->snaps, g->nsnaps, sizeof(want), by_node);
		}
	}
	qsort(g->snaps, g->nsnaps, sizeof(*g->snaps), deeper);
}

static void
mark_done(void *arg)
{
	struct gc *g = arg;

	store_abort(&g->t);
	if (g->marked_next < g->next)
		g->next = g->marked_next;
	if (g->err.code != ERR_NONE) {
		run_end(g);
		return;
	}
	snaps_sort(g);
	g->step = SWEEPING;
	g->node = 0;
	g->at = 0;
	step_later(g, sweep);
}

static void
mark(struct gc *g)
{
	g->step = MARKING;
	g->marked_next = INT64_MAX;
	if (store_read(g->c->store, &g->t, &g->err) < 0)
		run_end(g);
	else
		work_add(g->c->work, mark_run, mark_done, g);
}

/* --- layers ------------------------------------------------------------------------------------------ */

static void
on_removed(void *arg, const void *rep, const struct err *e)
{
	struct gc *g = arg;

	(void)rep;
	g->asked = NULL;
	if (e == NULL)
		g->sum.snapshots++;
	else if (e->code != ERR_NOT_FOUND && e->code != ERR_FAILED_PRECONDITION)
		log_warn("remove a snapshot: %s", e->msg);
	layers_next(g);
}

/* Asks for the removal of the next snapshot that nobody holds. Keys of snapshots here are
 * "snapshotter/key". */
static void
layers_next(void *arg)
{
	struct gc *g = arg;
	struct graph_item it;

	g->timer = NULL;
	g->step = LAYERS;
	gc_touched(g->c, g->graph);
	while (g->at < g->nsnaps) {
		struct client_opts opts = { .ns = it.ns };
		struct snapshot_key_req req;
		AUTO(free_ptr) char *sn = NULL;

		if (!graph_garbage(g->graph, g->snaps[g->at++].node, &it))
			continue;
		req.key = strchr(it.key, '/') + 1;
		req.snapshotter = sn = xasprintf("%.*s", (int)(req.key - 1 - it.key), it.key);
		if (pull_holds_chain(g->c, it.ns, req.key) ||
		    unpack_holds_chain(g->c, it.ns, req.key))
			continue;
		if (client_call(g->c->client, &snapshot_snapshot_remove_method, &opts, &req,
			on_removed, g, &g->asked, &g->err) < 0)
			break;
		return;
	}
	run_end(g);
}

/* --- listing ----------------------------------------------------------------------------------------- */

static void
snap_add(struct gc *g, const char *ns, const struct snapshot *sn)
{
	AUTO(free_ptr) char *key = xasprintf("%s/%s", sn->snapshotter, sn->key);
	int64_t young = sn->created_at + ACTIVE_NS;
	struct snap s = { .node = graph_node(g->graph, NODE_SNAPSHOT, ns, key) };
	bool active = strcmp(sn->kind, "committed") != 0;

	s.parent = s.node;
	graph_exists(g->graph, s.node);
	graph_labels(g->graph, s.node, ns, &sn->labels);
	if (sn->parent != NULL) {
		AUTO(free_ptr) char *parent = xasprintf("%s/%s", sn->snapshotter, sn->parent);

		s.parent = graph_node(g->graph, NODE_SNAPSHOT, ns, parent);
		graph_edge(g->graph, s.node, s.parent, true);
	}
	if (active && young > clock_real_ns() && young < g->next)
		g->next = young;
	if (labels_get(&sn->labels, GC_LABEL_ROOT) != NULL ||
	    labels_get(&sn->labels, LABEL_OWNER) != NULL || (active && young > clock_real_ns()))
		graph_root(g->graph, s.node, false);
	if (g->nsnaps == g->snaps_room) {
		g->snaps_room = g->snaps_room == 0 ? 64 : 2 * g->snaps_room;
		g->snaps = xrealloc(g->snaps, g->snaps_room * sizeof(*g->snaps));
	}
	g->snaps[g->nsnaps++] = s;
}

static void
container_add(struct gc *g, const char *ns, const struct container *ct)
{
	uint32_t node = graph_node(g->graph, NODE_CONTAINER, ns, ct->id);

	graph_root(g->graph, node, false);
	graph_labels(g->graph, node, ns, &ct->labels);
	if (ct->snapshot_key != NULL) {
		AUTO(free_ptr)
		char *key = xasprintf("%s/%s",
		    ct->snapshotter != NULL ? ct->snapshotter : "overlay", ct->snapshot_key);

		graph_edge(g->graph, node, graph_node(g->graph, NODE_SNAPSHOT, ns, key), true);
	}
}

static bool
list_failed(struct gc *g, const struct err *e)
{
	g->asked = NULL;
	free_ptr(&g->after);
	if (e == NULL)
		return false;
	g->err = *e;
	run_end(g);
	return true;
}

static void containers_ask(struct gc *g);
static void snapshots_ask(struct gc *g);

static void
on_containers(void *arg, const void *rep, const struct err *e)
{
	const struct container_list_rep *list = rep;
	struct gc *g = arg;

	if (list_failed(g, e))
		return;
	for (uint32_t i = 0; i < list->containers.n; i++)
		container_add(g, g->names.v[g->at], list->containers.v[i].container);
	if (list->more && list->containers.n > 0) {
		g->after = xstrdup(list->containers.v[list->containers.n - 1].container->id);
		containers_ask(g);
		return;
	}
	g->at++;
	list_next(g);
}

static void
containers_ask(struct gc *g)
{
	struct container_list_req req = { .after = g->after };
	struct client_opts opts = { .ns = g->names.v[g->at], .deadline_ms = LIST_MS };

	if (client_call(g->c->client, &task_container_list_method, &opts, &req, on_containers, g,
		&g->asked, &g->err) < 0)
		run_end(g);
}

static void
on_snapshots(void *arg, const void *rep, const struct err *e)
{
	const struct snapshot_list_rep *list = rep;
	struct gc *g = arg;

	if (list_failed(g, e))
		return;
	for (uint32_t i = 0; i < list->snapshots.n; i++)
		snap_add(g, g->names.v[g->at], &list->snapshots.v[i]);
	if (!list->more || list->next == NULL) {
		containers_ask(g);
		return;
	}
	g->after = xstrdup(list->next);
	snapshots_ask(g);
}

static void
snapshots_ask(struct gc *g)
{
	struct snapshot_list_req req = { .after = g->after };
	struct client_opts opts = { .ns = g->names.v[g->at], .deadline_ms = LIST_MS };

	if (client_call(g->c->client, &snapshot_snapshot_list_method, &opts, &req, on_snapshots, g,
		&g->asked, &g->err) < 0)
		run_end(g);
}

static void
list_next(struct gc *g)
{
	if (g->at < g->names.n)
		snapshots_ask(g);
	else
		mark(g);
}

/* --- others ------------------------------------------------------------------------------------------ */

void
gc_forget(struct content *c, const struct digest *d)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;
	bool used = true;

	if (pull_holds_blob(c, NULL, d->text))
		return;
	if (store_read(c->store, &t, &e) < 0 || blob_row_anywhere(t, d, false, &used, &e) < 0 ||
	    (!used && blobs_remove(&c->blobs, d, &e) < 0))
		log_warn("forget blob %s: %s", d->text, e.msg);
}

struct asked {
	struct content_note note;
	struct call *call;
	struct gc_wait *wait;
	bool wanted; /* what it took is the reply */
};

static void
on_collected(void *arg, const struct gc_totals *sum, const struct err *e)
{
	struct asked *a = arg;
	struct call *call = a->call;
	struct gc_run_rep rep = {
		.images = sum->images,
		.blobs = sum->blobs,
		.bytes = sum->bytes,
		.snapshots = sum->snapshots,
		.ingests = sum->ingests,
		.leases = sum->leases,
		.took_ns = sum->took_ns,
	};
	struct nothing nothing;

	if (!a->wanted)
		call_reply(call, &nothing);
	else if (e != NULL)
		call_fail(call, e);
	else
		call_reply(call, &rep);
	free_ptr(&a);
}

static void
asked_cancelled(struct content_note *note)
{
	struct asked *a = (struct asked *)note;

	gc_detach(&a->wait);
	free_ptr(&a);
}

static int
collect(struct content *c, struct call *call, bool wanted)
{
	struct asked *a = xcalloc(1, sizeof(*a));

	a->note.cancelled = asked_cancelled;
	a->call = call;
	a->wanted = wanted;
	call_note_set(call, &a->note);
	a->wait = gc_run(c, on_collected, a);
	return CALL_LATER;
}

int
gc_before_reply(struct content *c, struct call *call)
{
	return collect(c, call, false);
}

int
content_on_gc_run(struct content *c, struct call *call, const struct nothing *req,
    struct gc_run_rep *rep, struct err *e)
{
	(void)req;
	(void)rep;
	(void)e;
	return collect(c, call, true);
}
