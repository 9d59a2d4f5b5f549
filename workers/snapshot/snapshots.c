/* SPDX-License-Identifier: Apache-2.0 */
/* snapshots - see snapshots.h */
#include "workers/snapshot/snapshots.h"

#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"

#define KEY_MAX 255
#define SHOWN 300
#define LAYERS_MAX 1000 /* that go with one snapshot */
#define FIRST_SNAPSHOTTER "overlay"

const char *const snapshots_tables[TABLE_COUNT] = { "snapshots", "layers", "children" };

int
snapshots_key_check(const char *key, struct err *e)
{
	char shown[SHOWN];
	size_t n = strlen(key);

	if (n == 0 || n > KEY_MAX)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "snapshot key of %zu bytes: 1 to %d", n, KEY_MAX);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)key[i] <= ' ' || (unsigned char)key[i] >= 0x7f)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "snapshot key \"%s\": only printable ASCII without spaces",
			    ident_show(key, shown, sizeof(shown)));
	return 0;
}

/* No snapshotter's name has a slash. */
static void
row_key(struct key *k, const char *ns, const char *sn, const char *key)
{
	AUTO(free_ptr) char *text = xasprintf("%s/%s", sn, key);

	store_key(k, ns, text);
}

/* Keys have no control bytes, so \1 ends the parent's. */
static void
child_key(struct key *k, const char *ns, const char *sn, const char *parent, const char *child)
{
	AUTO(free_ptr) char *text = xasprintf("%s/%s\1%s", sn, parent, child);

	store_key(k, ns, text);
}

static void
layer_key(struct key *k, const char *sn, const char *layer)
{
	AUTO(free_ptr) char *text = xasprintf("%s/%s", sn, layer);

	store_key_text(k, text);
}

int
snapshots_get(struct txn *t, const char *ns, const char *sn, const char *key, struct arena *a,
    struct snapshot_row *ret, struct err *e)
{
	struct key k;
	char shown[SHOWN];
	int r;

	row_key(&k, ns, sn, key);
	r = store_get(t, TABLE_SNAPSHOTS, &k, &snapshot_row_schema, a, ret, e);
	if (r == -ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND, "there is no snapshot %s",
		    ident_show(key, shown, sizeof(shown)));
	return r;
}

bool
snapshots_has(struct txn *t, const char *ns, const char *sn, const char *key)
{
	struct key k;

	row_key(&k, ns, sn, key);
	return store_has(t, TABLE_SNAPSHOTS, &k);
}

int
snapshots_put(struct txn *t, const char *ns, const struct snapshot_row *row, struct err *e)
{
	struct key k;

	row_key(&k, ns, row->snapshot->snapshotter, row->snapshot->key);
	return store_put(t, TABLE_SNAPSHOTS, &k, &snapshot_row_schema, row, e);
}

static bool
is_layer(const struct snapshot_row *row)
{
	return strcmp(row->snapshot->kind, "committed") == 0;
}

const char *
snapshots_layer(const struct snapshot_row *row)
{
	return row->layer != NULL ? row->layer : row->snapshot->key;
}

static int
layer_put(struct txn *t, const struct layer_row *l, struct err *e)
{
	struct key k;

	layer_key(&k, l->snapshotter, l->chain_id);
	return store_put(t, TABLE_LAYERS, &k, &layer_row_schema, l, e);
}

static int
layer_ref(struct txn *t, const char *sn, const char *layer, struct arena *a, struct err *e)
{
	struct layer_row l;
	int r = layers_get(t, sn, layer, a, &l, e);

	if (r < 0)
		return r;
	l.refs++;
	return layer_put(t, &l, e);
}

/* One less; without any it goes, and counts no more in the one it stood on. */
static int
layer_unref(struct txn *t, const char *sn, const char *layer, struct arena *a,
    struct snapshots_gone *gone, struct err *e)
{
	while (layer != NULL) {
		struct layer_row l;
		struct key k;
		int r = layers_get(t, sn, layer, a, &l, e);

		if (r < 0)
			return r == -ERR_NOT_FOUND ? 0 : r;
		if (l.refs > 1) {
			l.refs--;
			return layer_put(t, &l, e);
		}
		layer_key(&k, sn, layer);
		r = store_del(t, TABLE_LAYERS, &k, e);
		if (r < 0)
			return r;
		gone->v[gone->n++] = l.number;
		layer = gone->n < LAYERS_MAX ? l.parent : NULL;
	}
	return 0;
}

int
snapshots_add(
    struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a, struct err *e)
{
	const struct snapshot *s = row->snapshot;
	struct snapshot_child child = { .key = s->key };
	struct key k;
	int r = snapshots_put(t, ns, row, e);

	if (r == 0 && s->parent != NULL) {
		child_key(&k, ns, s->snapshotter, s->parent, s->key);
		r = store_put(t, TABLE_CHILDREN, &k, &snapshot_child_schema, &child, e);
	}
	if (r == 0 && is_layer(row))
		r = layer_ref(t, s->snapshotter, snapshots_layer(row), a, e);
	return r;
}

static int
first_child(void *arg, const struct key *k, void *rec, struct err *e)
{
	const struct snapshot_child *c = rec;

	(void)k;
	(void)e;
	*(const char **)arg = c->key;
	return 1;
}

static int
no_children(struct txn *t, const char *ns, const struct snapshot *s, struct arena *a, struct err *e)
{
	const char *child = NULL;
	struct key prefix;
	int r;

	child_key(&prefix, ns, s->snapshotter, s->key, "");
	r = store_each(
	    t, TABLE_CHILDREN, &prefix, NULL, &snapshot_child_schema, a, first_child, &child, e);
	if (r < 0)
		return r;
	if (child != NULL)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "snapshot %s is the parent of %s: remove that first", s->key, child);
	return 0;
}

int
snapshots_remove(struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a,
    struct snapshots_gone *ret_drop, struct err *e)
{
	const struct snapshot *s = row->snapshot;
	struct key k;
	int r = no_children(t, ns, s, a, e);

	if (r < 0)
		return r;
	ret_drop->v = arena_calloc(a, LAYERS_MAX, sizeof(*ret_drop->v));
	ret_drop->n = 0;
	row_key(&k, ns, s->snapshotter, s->key);
	r = store_del(t, TABLE_SNAPSHOTS, &k, e);
	if (r == 0 && s->parent != NULL) {
		child_key(&k, ns, s->snapshotter, s->parent, s->key);
		r = store_del(t, TABLE_CHILDREN, &k, e);
	}
	if (r == 0 && is_layer(row))
		return layer_unref(t, s->snapshotter, snapshots_layer(row), a, ret_drop, e);
	ret_drop->v[ret_drop->n++] = row->number;
	return r;
}

int
snapshots_below(struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a,
    uint64_t *numbers, unsigned max, struct err *e)
{
	const struct snapshot *s = row->snapshot;
	struct snapshot_row parent;
	int r;

	if (s->parent == NULL)
		return 0;
	r = snapshots_get(t, ns, s->snapshotter, s->parent, a, &parent, e);
	if (r < 0)
		return err_wrap(e, "parent");
	return layers_chain(t, s->snapshotter, snapshots_layer(&parent), a, numbers, max, e);
}

int
layers_get(struct txn *t, const char *sn, const char *layer, struct arena *a, struct layer_row *ret,
    struct err *e)
{
	struct key k;
	int r;

	layer_key(&k, sn, layer);
	r = store_get(t, TABLE_LAYERS, &k, &layer_row_schema, a, ret, e);
	return r == -ERR_NOT_FOUND ? err_set(e, ERR_NOT_FOUND, "layer %s", layer) : r;
}

int
layers_add(struct txn *t, const struct layer_row *row, struct arena *a, struct err *e)
{
	int r = row->parent != NULL ? layer_ref(t, row->snapshotter, row->parent, a, e) : 0;

	return r < 0 ? r : layer_put(t, row, e);
}

int
layers_chain(struct txn *t, const char *sn, const char *layer, struct arena *a, uint64_t *numbers,
    unsigned max, struct err *e)
{
	unsigned n = 0;

	while (layer != NULL) {
		struct layer_row l;
		int r = layers_get(t, sn, layer, a, &l, e);

		if (r == -ERR_NOT_FOUND)
			return err_set(e, ERR_FAILED_PRECONDITION,
			    "layer %s is missing on disk: pull the image again", layer);
		if (r < 0)
			return r;
		if (n == max)
			return err_set(e, ERR_FAILED_PRECONDITION, "more than %u layers", max);
		numbers[n++] = l.number;
		layer = l.opaque_root ? NULL : l.parent;
	}
	return (int)n;
}

/* --- recovery ------------------------------------------------------------------------------------ */

/* A walk may change the row that it is at, and no other: the rest is done behind it. */
struct late {
	const char *ns;
	struct layer_row layer;
	struct snapshot_row snapshot;
};

struct recovery {
	struct txn *txn;
	const struct snapshots_recovery *how;
	struct arena *arena;
	struct late *late;
	size_t nlate, room;
};

static struct late *
late_add(struct recovery *rc)
{
	if (rc->nlate == rc->room) {
		rc->room = rc->room == 0 ? 16 : 2 * rc->room;
		rc->late = xrealloc(rc->late, rc->room * sizeof(*rc->late));
	}
	return &rc->late[rc->nlate++];
}

/* refs are counted anew: first none, then one for each layer and snapshot that is met. Rows were without
 * their snapshotter once, when there was only one. */
static int
recover_layer(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct recovery *rc = arg;
	struct layer_row *l = rec;
	bool earlier = l->snapshotter == NULL;

	if (earlier)
		l->snapshotter = FIRST_SNAPSHOTTER;
	if (!rc->how->has(rc->how->arg, l->snapshotter, l->number)) {
		log_warn("layer %s has lost its folder %llu: forgotten, to be unpacked again",
		    l->chain_id, (unsigned long long)l->number);
		return store_del(rc->txn, TABLE_LAYERS, k, e);
	}
	if (l->refs == 0 && !earlier)
		return 0;
	l->refs = 0;
	if (!earlier)
		return layer_put(rc->txn, l, e);
	late_add(rc)->layer = *l;
	return store_del(rc->txn, TABLE_LAYERS, k, e);
}

static int
recover_layer_late(struct recovery *rc, struct late *l, struct err *e)
{
	return layer_put(rc->txn, &l->layer, e);
}

static int
recover_standing(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct recovery *rc = arg;
	const struct layer_row *l = rec;

	(void)k;
	(void)e;
	if (l->parent != NULL)
		late_add(rc)->layer = *l;
	return 0;
}

static int
recover_standing_late(struct recovery *rc, struct late *l, struct err *e)
{
	int r = layer_ref(rc->txn, l->layer.snapshotter, l->layer.parent, rc->arena, e);

	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* Where a row's place among its parent's children is, or was. */
static void
place_key(
    struct recovery *rc, struct key *k, const char *ns, const struct snapshot *s, bool earlier)
{
	if (earlier)
		store_key(k, ns, arena_printf(rc->arena, "%s\1%s", s->parent, s->key));
	else
		child_key(k, ns, s->snapshotter, s->parent, s->key);
}

/* Its layer or its folder is there: it is counted. */
static int
count_snapshot(struct recovery *rc, const struct snapshot_row *row, struct err *e)
{
	const struct snapshot *s = row->snapshot;

	if (is_layer(row))
		return layer_ref(rc->txn, s->snapshotter, snapshots_layer(row), rc->arena, e);
	if (!rc->how->has(rc->how->arg, s->snapshotter, row->number))
		return -ERR_NOT_FOUND;
	rc->how->used(rc->how->arg, s->snapshotter, row->number);
	return 0;
}

static int
recover_snapshot(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct recovery *rc = arg;
	const struct snapshot_row *row = rec;
	const struct snapshot *s = row->snapshot;
	const char *ns = k->p; /* its NUL ends it */
	struct key now, place;
	int r = count_snapshot(rc, row, e);
	struct late *l;
	bool earlier;

	row_key(&now, ns, s->snapshotter, s->key);
	earlier = now.n != k->n || memcmp(now.p, k->p, k->n) != 0;
	if (r != -ERR_NOT_FOUND && (r < 0 || !earlier))
		return r;
	if (r == 0) {
		l = late_add(rc);
		l->ns = arena_strdup(rc->arena, ns);
		l->snapshot = *row;
	} else {
		log_warn("snapshot %s of namespace %s has lost its folder: forgotten", s->key, ns);
	}
	if (s->parent != NULL) {
		place_key(rc, &place, ns, s, earlier);
		r = store_del(rc->txn, TABLE_CHILDREN, &place, e);
		if (r < 0)
			return r;
	}
	return store_del(rc->txn, TABLE_SNAPSHOTS, k, e);
}

static int
recover_snapshot_late(struct recovery *rc, struct late *l, struct err *e)
{
	const struct snapshot *s = l->snapshot.snapshot;
	struct snapshot_child child = { .key = s->key };
	struct key place;
	int r = snapshots_put(rc->txn, l->ns, &l->snapshot, e);

	if (r < 0 || s->parent == NULL)
		return r;
	place_key(rc, &place, l->ns, s, false);
	return store_put(rc->txn, TABLE_CHILDREN, &place, &snapshot_child_schema, &child, e);
}

/* Layers that nothing needs: their folder goes with them. What they alone stood on goes at the next
 * start. */
static int
recover_unused(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct recovery *rc = arg;
	struct layer_row *l = rec;

	if (l->refs == 0)
		return store_del(rc->txn, TABLE_LAYERS, k, e);
	rc->how->used(rc->how->arg, l->snapshotter, l->number);
	return 0;
}

struct walk {
	enum snapshots_table table;
	const struct schema *schema;
	store_each_fn *fn;
	int (*late)(struct recovery *rc, struct late *l, struct err *e);
};

static int
recover_walk(struct recovery *rc, const struct walk *w, struct err *e)
{
	int r = store_each(rc->txn, w->table, NULL, NULL, w->schema, rc->arena, w->fn, rc, e);

	for (size_t i = 0; r == 0 && i < rc->nlate; i++)
		r = w->late(rc, &rc->late[i], e);
	rc->nlate = 0;
	return r;
}

int
snapshots_recover(struct store *s, const struct snapshots_recovery *how, struct err *e)
{
	static const struct walk walks[] = {
		{ TABLE_LAYERS, &layer_row_schema, recover_layer, recover_layer_late },
		{ TABLE_LAYERS, &layer_row_schema, recover_standing, recover_standing_late },
		{ TABLE_SNAPSHOTS, &snapshot_row_schema, recover_snapshot, recover_snapshot_late },
		{ TABLE_LAYERS, &layer_row_schema, recover_unused, NULL },
	};
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct recovery rc = { .how = how, .arena = &a };
	int r = store_write(s, &t, e);

	rc.txn = t;
	for (unsigned i = 0; r == 0 && i < COUNT(walks); i++)
		r = recover_walk(&rc, &walks[i], e);
	free_ptr(&rc.late);
	return r < 0 ? r : store_commit(&t, e);
}
