/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Garbage collection against a model: thousands of random operations on images, blobs, leases, ingests and
 * snapshots, with collections running in small steps between them.
 *
 * The model knows the rules as they are written down (README.md), not the code: it holds what is there in
 * tables of its own and asks, by plain recursion, who is held. At every step what a collection takes must
 * be held by nobody at that moment, and what is there must be the same on both sides; after a collection
 * that nobody disturbed nothing may be left that nobody holds.
 *
 *	COFFER_SEED=N repeats a run.
 */
#include "workers/content/gc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "workers/content/drafts.h"
#include "workers/content/images.h"
#include "workers/content/leases.h"

#define OPERATIONS 10000
#define SPACES 2
#define POOL 20 /* things of each type in each namespace */
#define REFS 3
#define HELD 6

enum kind { IMAGE, BLOB, DRAFT, LEASE, SNAP, KINDS };

struct ref {
	enum kind kind;
	int to;
	bool back;
};

struct thing {
	bool there, root, flat;
	int target; /* image: blob; draft: blob it expects; snapshot: parent; -1 = none */
	struct ref refs[HELD];
	int nrefs;
};

struct world {
	char dir[40];
	struct content c;
	uint64_t random;
	struct thing things[SPACES][KINDS][POOL];
	/* the collection that runs */
	enum { REST, BEGUN, SWEEPING } step;
	struct graph *g;
	struct txn *t;
	uint32_t at;
	unsigned runs, taken;
};

static const char *const spaces[SPACES] = { "a", "b" };

static unsigned
pick(struct world *w, unsigned n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (unsigned)(w->random >> 20) % n;
}

/* --- the model: who is held ------------------------------------------------------------------------- */

struct holding {
	const struct world *w;
	int ns;
	int mark[KINDS][POOL]; /* 1: it and what is one with it; 2: all it refers to as well */
};

static void
hold(struct holding *h, enum kind kind, int i, int how)
{
	const struct thing *me = &h->w->things[h->ns][kind][i];

	if (h->mark[kind][i] >= how)
		return;
	h->mark[kind][i] = how;
	if (me->there && me->target >= 0)
		hold(h, kind == SNAP ? SNAP : BLOB, me->target, how);
	if (me->there && (how == 2 || kind == LEASE))
		for (int r = 0; r < me->nrefs; r++)
			if (!me->refs[r].back)
				hold(h, me->refs[r].kind, me->refs[r].to, how);
	for (int k = 0; how == 2 && k < KINDS; k++)
		for (int j = 0; j < POOL; j++) {
			const struct thing *other = &h->w->things[h->ns][k][j];

			for (int r = 0; other->there && r < other->nrefs; r++)
				if (other->refs[r].back && other->refs[r].kind == kind &&
				    other->refs[r].to == i)
					hold(h, (enum kind)k, j, 2);
		}
}

static bool
is_held(const struct world *w, int ns, enum kind kind, int i)
{
	struct holding h = { .w = w, .ns = ns };

	for (int k = 0; k < KINDS; k++)
		for (int j = 0; j < POOL; j++) {
			const struct thing *o = &w->things[ns][k][j];

			if (o->there && o->root)
				hold(&h, (enum kind)k, j, o->flat ? 1 : 2);
		}
	return h.mark[kind][i] > 0;
}

/* --- names ------------------------------------------------------------------------------------------- */

static const char *
name_of(enum kind kind, int i, char text[DIGEST_TEXT_MAX])
{
	static const char letters[] = "ibdls";
	struct digest d;

	(void)snprintf(text, DIGEST_TEXT_MAX, "%c%d", letters[kind], i);
	if (kind == BLOB) {
		digest_of(DIGEST_SHA256, text, strlen(text), &d);
		(void)strcpy(text, d.text);
	}
	return text;
}

/* --- what is done to the store ----------------------------------------------------------------------- */

struct change {
	struct arena a;
	struct txn *t;
};

static void
begin(struct world *w, struct change *ch)
{
	struct err e = ERR_ZERO;

	*ch = (struct change){ .a = ARENA_ZERO };
	assert_int_equal(store_write(w->c.store, &ch->t, &e), 0);
}

static void
end(struct change *ch)
{
	struct err e = ERR_ZERO;

	if (store_commit(&ch->t, &e) < 0)
		fail_msg("%s", e.msg);
	arena_free(&ch->a);
}

static void
fine(int r, const struct err *e)
{
	if (r < 0)
		fail_msg("%s", e->msg);
}

static const char *
past_or_future(struct change *ch, bool future)
{
	char text[CLOCK_TEXT_MAX];

	return arena_strdup(
	    &ch->a, clock_text(clock_real_ns() + (future ? 1 : -1) * 86400LL * 1000000000, text));
}

/* Random references for a thing, and the labels that say so. */
static void
refs_make(struct world *w, struct thing *th, struct change *ch, struct kvs *labels)
{
	static const char *const what[KINDS] = { "image", "content", "", "", "snapshot.overlay" };
	static const enum kind kinds[] = { IMAGE, BLOB, BLOB, BLOB, SNAP };

	labels->v = arena_calloc(&ch->a, REFS + 4, sizeof(*labels->v));
	th->nrefs = pick(w, 3) == 0 ? (int)pick(w, REFS + 1) : 0;
	for (int r = 0; r < th->nrefs; r++) {
		char text[DIGEST_TEXT_MAX];
		struct ref *ref = &th->refs[r];

		*ref = (struct ref){ kinds[pick(w, 5)], (int)pick(w, POOL), pick(w, 5) == 0 };
		labels->v[labels->n++] = (struct kv){
			arena_printf(&ch->a, "containerd.io/gc.%s.%s%s%d",
			    ref->back ? "bref" : "ref", what[ref->kind],
			    ref->kind == SNAP ? "/" : ".", r),
			arena_strdup(&ch->a, name_of(ref->kind, ref->to, text)),
		};
	}
}

static void
label(struct kvs *labels, const char *k, const char *v)
{
	labels->v[labels->n++] = (struct kv){ k, v };
}

static void
image_op(struct world *w, int ns, int i)
{
	struct thing *th = &w->things[ns][IMAGE][i];
	char name[DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX];
	struct descriptor target = { .media_type = "x/y", .digest = digest, .size = 1 };
	struct image im = { .name = name, .target = &target };
	struct err e = ERR_ZERO;
	struct change ch;

	begin(w, &ch);
	(void)name_of(IMAGE, i, name);
	if (pick(w, 3) == 0) {
		th->there = false;
		fine(image_row_drop(ch.t, spaces[ns], name, &e), &e);
		end(&ch);
		return;
	}
	*th = (struct thing){ .there = true, .root = true, .target = (int)pick(w, POOL) };
	refs_make(w, th, &ch, &im.labels);
	if (pick(w, 4) == 0) {
		th->root = pick(w, 2) == 0;
		label(&im.labels, GC_LABEL_EXPIRE, past_or_future(&ch, th->root));
	}
	(void)name_of(BLOB, th->target, digest);
	fine(image_put(&w->c, ch.t, spaces[ns], &im, &e), &e);
	end(&ch);
}

static void
blob_op(struct world *w, int ns, int i)
{
	struct thing *th = &w->things[ns][BLOB][i];
	struct err e = ERR_ZERO;
	struct blob row = { .size = 1, .created_at = 1 };
	struct change ch;
	struct digest d;
	char text[8];

	(void)snprintf(text, sizeof(text), "b%d", i);
	digest_of(DIGEST_SHA256, text, strlen(text), &d);
	begin(w, &ch);
	if (pick(w, 4) == 0) {
		th->there = false;
		fine(blob_row_drop(ch.t, spaces[ns], &d, &e), &e);
		end(&ch);
		return;
	}
	*th = (struct thing){ .there = true, .target = -1 };
	row.digest = d.text;
	refs_make(w, th, &ch, &row.labels);
	if (pick(w, 8) == 0) {
		label(&row.labels, GC_LABEL_ROOT, "1");
		th->root = true;
	}
	fine(blob_row_put(&w->c, ch.t, spaces[ns], &row, &e), &e);
	end(&ch);
}

static void
draft_op(struct world *w, int ns, int i)
{
	struct thing *th = &w->things[ns][DRAFT][i];
	char name[DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX];
	struct ingest_info row = { .ref = name };
	struct err e = ERR_ZERO;
	struct change ch;
	struct key k;

	begin(w, &ch);
	(void)name_of(DRAFT, i, name);
	th->there = pick(w, 3) != 0;
	if (th->there) {
		*th = (struct thing){ .there = true, .root = pick(w, 2) == 0, .target = -1 };
		row.updated_at = clock_real_ns() - (th->root ? 0 : 2 * DRAFT_AGE_NS);
		if (pick(w, 2) == 0) {
			th->target = (int)pick(w, POOL);
			row.expected = name_of(BLOB, th->target, digest);
		}
		/* As drafts.c makes a row. */
		gc_touch(&w->c, NODE_DRAFT, spaces[ns], name);
		if (row.expected != NULL)
			gc_touch(&w->c, NODE_BLOB, spaces[ns], row.expected);
		store_key(&k, spaces[ns], name);
		fine(store_put(ch.t, TABLE_DRAFTS, &k, &ingest_info_schema, &row, &e), &e);
	} else {
		fine(draft_row_drop(ch.t, spaces[ns], name, &e), &e);
	}
	end(&ch);
}

static const char *
lease_type(enum kind kind)
{
	return kind == IMAGE   ? LEASE_IMAGES
	       : kind == BLOB  ? LEASE_CONTENT
	       : kind == DRAFT ? LEASE_INGESTS
			       : LEASE_SNAPSHOTS "overlay";
}

static void
lease_hold_op(struct world *w, int ns, int i)
{
	static const enum kind kinds[] = { IMAGE, BLOB, BLOB, DRAFT, SNAP };
	struct thing *th = &w->things[ns][LEASE][i];
	struct ref ref = { kinds[pick(w, 5)], (int)pick(w, POOL), false };
	char lease[DIGEST_TEXT_MAX], name[DIGEST_TEXT_MAX];
	struct err e = ERR_ZERO;
	struct change ch;

	begin(w, &ch);
	(void)name_of(LEASE, i, lease);
	(void)name_of(ref.kind, ref.to, name);
	if (th->nrefs == HELD) {
		ref = th->refs[--th->nrefs];
		(void)name_of(ref.kind, ref.to, name);
		for (int r = 0; r < th->nrefs; r++) /* it may have been given twice */
			if (th->refs[r].kind == ref.kind && th->refs[r].to == ref.to)
				th->refs[r--] = th->refs[--th->nrefs];
		fine(lease_release(ch.t, spaces[ns], lease, lease_type(ref.kind), name, &e), &e);
	} else {
		th->refs[th->nrefs++] = ref;
		fine(
		    lease_hold(&w->c, ch.t, spaces[ns], lease, lease_type(ref.kind), name, &e), &e);
	}
	end(&ch);
}

static void
lease_op(struct world *w, int ns, int i)
{
	struct thing *th = &w->things[ns][LEASE][i];
	struct lease row = { .created_at = 1 };
	char name[DIGEST_TEXT_MAX];
	struct err e = ERR_ZERO;
	struct change ch;
	struct key k;

	if (th->there && pick(w, 4) != 0) {
		lease_hold_op(w, ns, i);
		return;
	}
	begin(w, &ch);
	row.id = name_of(LEASE, i, name);
	if (th->there) {
		th->there = false;
		fine(lease_drop(ch.t, spaces[ns], name, &e), &e);
	} else {
		*th = (struct thing){ .there = true, .root = pick(w, 4) != 0, .target = -1 };
		th->flat = pick(w, 3) == 0;
		row.labels.v = arena_calloc(&ch.a, 4, sizeof(*row.labels.v));
		if (!th->root || pick(w, 2) == 0)
			label(&row.labels, GC_LABEL_EXPIRE, past_or_future(&ch, th->root));
		if (th->flat)
			label(&row.labels, GC_LABEL_FLAT, "1");
		/* As lease_create makes a row. */
		gc_touch(&w->c, NODE_LEASE, spaces[ns], name);
		store_key(&k, spaces[ns], name);
		fine(store_put(ch.t, TABLE_LEASES, &k, &lease_schema, &row, &e), &e);
	}
	end(&ch);
}

static bool
has_child(const struct world *w, int ns, int i)
{
	for (int j = 0; j < POOL; j++)
		if (w->things[ns][SNAP][j].there && w->things[ns][SNAP][j].target == i)
			return true;
	return false;
}

/* The snapshot worker's side: a table of the test's. A parent is there before its child, and stays. Its
 * labels never change, and what is new is not in the list that a running collection was given. */
static void
snap_op(struct world *w, int ns, int i)
{
	struct thing *th = &w->things[ns][SNAP][i];
	struct kvs labels = { .n = 0 };
	struct change ch = { .a = ARENA_ZERO };
	int parent = (int)pick(w, POOL);

	if (th->there) {
		th->there = has_child(w, ns, i);
		return;
	}
	if (w->step != REST)
		return;
	*th = (struct thing){ .there = true, .root = pick(w, 4) == 0, .target = -1 };
	if (parent != i && w->things[ns][SNAP][parent].there)
		th->target = parent;
	refs_make(w, th, &ch, &labels);
	arena_free(&ch.a);
}

static void
operation(struct world *w)
{
	int ns = (int)pick(w, SPACES), i = (int)pick(w, POOL);

	switch (pick(w, 10)) {
	case 0:
	case 1:
		image_op(w, ns, i);
		break;
	case 2:
	case 3:
	case 4:
		blob_op(w, ns, i);
		break;
	case 5:
		draft_op(w, ns, i);
		break;
	case 6:
	case 7:
	case 8:
		lease_op(w, ns, i);
		break;
	default:
		snap_op(w, ns, i);
	}
}

/* --- a collection in steps --------------------------------------------------------------------------- */

static void
snaps_list(struct world *w)
{
	for (int ns = 0; ns < SPACES; ns++)
		for (int i = 0; i < POOL; i++) {
			const struct thing *th = &w->things[ns][SNAP][i];
			char name[DIGEST_TEXT_MAX], key[160];
			static const enum node_type types[KINDS] = { NODE_IMAGE, NODE_BLOB,
				NODE_DRAFT, NODE_LEASE, NODE_SNAPSHOT };
			uint32_t node, other;

			if (!th->there)
				continue;
			(void)snprintf(key, sizeof(key), "overlay/%s", name_of(SNAP, i, name));
			node = graph_node(w->g, NODE_SNAPSHOT, spaces[ns], key);
			graph_exists(w->g, node);
			if (th->root)
				graph_root(w->g, node, false);
			if (th->target >= 0) {
				(void)snprintf(key, sizeof(key), "overlay/%s",
				    name_of(SNAP, th->target, name));
				other = graph_node(w->g, NODE_SNAPSHOT, spaces[ns], key);
				graph_edge(w->g, node, other, true);
			}
			for (int r = 0; r < th->nrefs; r++) {
				const struct ref *ref = &th->refs[r];

				(void)snprintf(key, sizeof(key), "%s%s",
				    ref->kind == SNAP ? "overlay/" : "",
				    name_of(ref->kind, ref->to, name));
				other = graph_node(w->g, types[ref->kind], spaces[ns], key);
				graph_edge(w->g, ref->back ? other : node, ref->back ? node : other,
				    false);
			}
		}
}

/* One that a collection took: was it right? */
static void
taken(struct world *w, int ns, enum kind kind, int i)
{
	char name[DIGEST_TEXT_MAX];

	if (is_held(w, ns, kind, i))
		fail_msg(
		    "%s of namespace %s was taken and is held", name_of(kind, i, name), spaces[ns]);
	w->things[ns][kind][i].there = false;
	w->taken++;
}

/* Is it in the store? */
static bool
stored(struct world *w, struct txn *t, int ns, enum kind kind, int i)
{
	static const unsigned tables[] = { TABLE_IMAGES, TABLE_BLOBS, TABLE_DRAFTS, TABLE_LEASES };
	char name[DIGEST_TEXT_MAX];
	struct key k;

	(void)w;
	store_key(&k, spaces[ns], name_of(kind, i, name));
	return store_has(t, tables[kind], &k);
}

/* All that is missing in the store was taken by a collection (may_take) or never was; nothing is there
 * that the model does not know. */
static void
compare(struct world *w, bool may_take)
{
	struct err e = ERR_ZERO;
	struct txn *t = NULL;
	bool lost[KINDS][POOL];

	assert_int_equal(store_read(w->c.store, &t, &e), 0);
	for (int ns = 0; ns < SPACES; ns++) {
		for (int k = 0; k < SNAP; k++)
			for (int i = 0; i < POOL; i++) {
				bool there = w->things[ns][k][i].there;

				lost[k][i] = there != stored(w, t, ns, (enum kind)k, i);
				if (lost[k][i] && (!may_take || !there))
					fail_msg("kind %d number %d of %s: %s", k, i, spaces[ns],
					    there ? "lost" : "came back");
			}
		/* All of one transaction went together: none of them was held by what stayed. */
		for (int k = 0; k < SNAP; k++)
			for (int i = 0; i < POOL; i++)
				if (lost[k][i])
					taken(w, ns, (enum kind)k, i);
	}
	store_abort(&t);
}

static void
snaps_take(struct world *w)
{
	for (bool again = true; again;) {
		again = false;
		for (uint32_t n = 0; n < graph_count(w->g); n++) {
			struct graph_item it;
			int ns, i;

			if (!graph_garbage(w->g, n, &it) || it.type != NODE_SNAPSHOT)
				continue;
			ns = strcmp(it.ns, "a") == 0 ? 0 : 1;
			i = (int)strtol(it.key + strlen("overlay/s"), NULL, 10);
			if (!w->things[ns][SNAP][i].there || has_child(w, ns, i))
				continue; /* refused by the snapshot worker */
			taken(w, ns, SNAP, i);
			again = true;
		}
	}
}

static void
gc_begin(struct world *w)
{
	struct err e = ERR_ZERO;

	gc_track(&w->c, true);
	w->g = graph_new();
	snaps_list(w);
	assert_int_equal(store_read(w->c.store, &w->t, &e), 0);
	w->step = BEGUN;
}

static void
gc_mark(struct world *w)
{
	int64_t next = INT64_MAX;
	struct err e = ERR_ZERO;

	fine(gc_load(&w->c, w->g, w->t, clock_real_ns(), &next, &e), &e);
	store_abort(&w->t);
	graph_trace(w->g);
	w->at = 0;
	w->step = SWEEPING;
}

static void
gc_sweep(struct world *w)
{
	struct gc_dropped out = { .files = { .n = 0 } };
	struct gc_totals sum = { .blobs = 0 };
	struct err e = ERR_ZERO;
	struct change ch;

	begin(w, &ch);
	gc_touched(&w->c, w->g);
	fine(gc_drop(&w->c, w->g, ch.t, &w->at, 1, &out, &sum, &e), &e);
	end(&ch);
	gc_dropped_files(&w->c, &out, &sum);
	compare(w, true);
	if (w->at < graph_count(w->g))
		return;
	gc_touched(&w->c, w->g);
	snaps_take(w);
	gc_track(&w->c, false);
	graph_free(&w->g);
	w->step = REST;
	w->runs++;
}

static void
gc_step(struct world *w)
{
	if (w->step == REST)
		gc_begin(w);
	else if (w->step == BEGUN && pick(w, 4) == 0) /* others were busy on the thread's time */
		gc_mark(w);
	else if (w->step == SWEEPING)
		gc_sweep(w);
}

/* Nobody disturbs it: what nobody holds is gone. */
static void
gc_quiet(struct world *w)
{
	char name[DIGEST_TEXT_MAX];

	while (w->step != REST)
		gc_step(w);
	do
		gc_step(w);
	while (w->step != REST);
	for (int ns = 0; ns < SPACES; ns++)
		for (int k = 0; k < KINDS; k++)
			for (int i = 0; i < POOL; i++)
				if (w->things[ns][k][i].there && !is_held(w, ns, (enum kind)k, i))
					fail_msg("%s of namespace %s is held by nobody and stayed",
					    name_of((enum kind)k, i, name), spaces[ns]);
}

/* --- the test ---------------------------------------------------------------------------------------- */

static int
up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	const char *seed = getenv("COFFER_SEED");
	struct err e = ERR_ZERO;

	/* No disk: ten thousand transactions would wait for it. */
	(void)strcpy(w->dir, "/dev/shm/coffer-gc-XXXXXX");
	if (mkdtemp(w->dir) == NULL) {
		(void)strcpy(w->dir, "/tmp/coffer-gc-XXXXXX");
		assert_non_null(mkdtemp(w->dir));
	}
	w->random = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	(void)printf("COFFER_SEED=%llu\n", (unsigned long long)w->random);
	w->random = w->random * 2654435761U + 1;
	w->c = (struct content){ .loop = loop_new(), .options = CONTENT_OPTIONS_DEFAULT };
	if (content_up(&w->c, w->dir, NULL, &e) < 0)
		fail_msg("%s", e.msg);
	*state = w;
	return 0;
}

static int
down(void **state)
{
	struct world *w = *state;
	struct err e = ERR_ZERO;

	store_abort(&w->t);
	graph_free(&w->g);
	content_down(&w->c);
	loop_free(&w->c.loop);
	assert_int_equal(fs_remove_tree(AT_FDCWD, w->dir, &e), 0);
	free(w);
	return 0;
}

static void
the_model_agrees(void **state)
{
	struct world *w = *state;

	for (int n = 0; n < OPERATIONS; n++) {
		operation(w);
		compare(w, false);
		if (pick(w, 2) > 0)
			gc_step(w);
		if (n % 500 == 499)
			gc_quiet(w);
	}
	(void)printf("%u collections took %u things\n", w->runs, w->taken);
	assert_true(w->runs > 100);
	assert_true(w->taken > 500);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_model_agrees, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
