/* SPDX-License-Identifier: Apache-2.0 */
/* snapshots - see snapshots.h */
#include "workers/snapshot/snapshots.h"

#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"

#define KEY_MAX 255
#define SHOWN 300

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

int
snapshots_get(struct txn *t, const char *ns, const char *key, struct arena *a,
    struct snapshot_row *ret, struct err *e)
{
	struct key k;
	char shown[SHOWN];
	int r;

	store_key(&k, ns, key);
	r = store_get(t, TABLE_SNAPSHOTS, &k, &snapshot_row_schema, a, ret, e);
	if (r == -ERR_NOT_FOUND)
		return err_set(
		    e, ERR_NOT_FOUND, "snapshot %s", ident_show(key, shown, sizeof(shown)));
	return r;
}

bool
snapshots_has(struct txn *t, const char *ns, const char *key)
{
	struct key k;

	store_key(&k, ns, key);
	return store_has(t, TABLE_SNAPSHOTS, &k);
}

/* Keys have no control bytes, so \1 ends the parent's. */
static void
child_key(struct key *k, const char *ns, const char *parent, const char *child)
{
	AUTO(free_ptr) char *text = xasprintf("%s\1%s", parent, child);

	store_key(k, ns, text);
}

static int
layer_ref(
    struct txn *t, const char *chain_id, int by, struct arena *a, uint64_t *ret_refs, struct err *e)
{
	struct layer_row l;
	int r = layers_get(t, chain_id, a, &l, e);
	struct key k;

	if (r < 0)
		return r;
	l.refs = by < 0 && l.refs == 0 ? 0 : l.refs + (uint64_t)(int64_t)by;
	*ret_refs = l.refs;
	if (l.refs > 0)
		return layers_put(t, &l, e);
	store_key_text(&k, chain_id);
	return store_del(t, TABLE_LAYERS, &k, e);
}

static bool
is_layer(const struct snapshot_row *row)
{
	return strcmp(row->snapshot->kind, "committed") == 0;
}

int
snapshots_add(
    struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a, struct err *e)
{
	const struct snapshot *s = row->snapshot;
	struct snapshot_child child = { .key = s->key };
	struct key k;
	uint64_t refs;
	int r;

	store_key(&k, ns, s->key);
	r = store_put(t, TABLE_SNAPSHOTS, &k, &snapshot_row_schema, row, e);
	if (r == 0 && s->parent != NULL) {
		child_key(&k, ns, s->parent, s->key);
		r = store_put(t, TABLE_CHILDREN, &k, &snapshot_child_schema, &child, e);
	}
	if (r == 0 && is_layer(row))
		r = layer_ref(t, s->key, 1, a, &refs, e);
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
no_children(struct txn *t, const char *ns, const char *key, struct arena *a, struct err *e)
{
	const char *child = NULL;
	struct key prefix;
	int r;

	child_key(&prefix, ns, key, "");
	r = store_each(
	    t, TABLE_CHILDREN, &prefix, NULL, &snapshot_child_schema, a, first_child, &child, e);
	if (r < 0)
		return r;
	if (child != NULL)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "snapshot %s is the parent of %s: remove that first", key, child);
	return 0;
}

int
snapshots_remove(struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a,
    bool *ret_drop, struct err *e)
{
	const struct snapshot *s = row->snapshot;
	uint64_t refs = 0;
	struct key k;
	int r = no_children(t, ns, s->key, a, e);

	if (r < 0)
		return r;
	store_key(&k, ns, s->key);
	r = store_del(t, TABLE_SNAPSHOTS, &k, e);
	if (r == 0 && s->parent != NULL) {
		child_key(&k, ns, s->parent, s->key);
		r = store_del(t, TABLE_CHILDREN, &k, e);
	}
	if (r == 0 && is_layer(row)) {
		r = layer_ref(t, s->key, -1, a, &refs, e);
		if (r == -ERR_NOT_FOUND)
			r = 0;
	}
	*ret_drop = refs == 0;
	return r;
}

int
layers_get(
    struct txn *t, const char *chain_id, struct arena *a, struct layer_row *ret, struct err *e)
{
	struct key k;
	int r;

	store_key_text(&k, chain_id);
	r = store_get(t, TABLE_LAYERS, &k, &layer_row_schema, a, ret, e);
	return r == -ERR_NOT_FOUND ? err_set(e, ERR_NOT_FOUND, "layer %s", chain_id) : r;
}

int
layers_put(struct txn *t, const struct layer_row *row, struct err *e)
{
	struct key k;

	store_key_text(&k, row->chain_id);
	return store_put(t, TABLE_LAYERS, &k, &layer_row_schema, row, e);
}

int
layers_chain(struct txn *t, const char *chain_id, struct arena *a, uint64_t *numbers, unsigned max,
    struct err *e)
{
	unsigned n = 0;

	while (chain_id != NULL) {
		struct layer_row l;
		int r = layers_get(t, chain_id, a, &l, e);

		if (r == -ERR_NOT_FOUND)
			return err_set(e, ERR_FAILED_PRECONDITION,
			    "layer %s is missing on disk: pull the image again", chain_id);
		if (r < 0)
			return r;
		if (n == max)
			return err_set(e, ERR_FAILED_PRECONDITION, "more than %u layers", max);
		numbers[n++] = l.number;
		chain_id = l.opaque_root ? NULL : l.parent;
	}
	return (int)n;
}

/* --- recovery ------------------------------------------------------------------------------------ */

struct recovery {
	struct txn *txn;
	const struct snapshots_recovery *how;
	struct arena *arena;
	uint64_t dropped;
};

/* refs are counted anew: first none, then one for each snapshot that is met. */
static int
recover_layer(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct recovery *rc = arg;
	struct layer_row *l = rec;

	if (!rc->how->has(rc->how->arg, l->number)) {
		log_warn("layer %s has lost its folder %llu: forgotten, to be unpacked again",
		    l->chain_id, (unsigned long long)l->number);
		rc->dropped++;
		return store_del(rc->txn, TABLE_LAYERS, k, e);
	}
	if (l->refs == 0)
		return 0;
	l->refs = 0;
	return store_put(rc->txn, TABLE_LAYERS, k, &layer_row_schema, l, e);
}

static int
recover_snapshot(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct recovery *rc = arg;
	struct snapshot_row *row = rec;
	const struct snapshot *s = row->snapshot;
	const char *ns = k->p; /* its NUL ends it */
	struct key child;
	uint64_t refs;
	int r;

	if (is_layer(row)) {
		r = layer_ref(rc->txn, s->key, 1, rc->arena, &refs, e);
		if (r != -ERR_NOT_FOUND)
			return r;
	} else if (rc->how->has(rc->how->arg, row->number)) {
		rc->how->used(rc->how->arg, row->number);
		return 0;
	}
	log_warn("snapshot %s of namespace %s has lost its folder: forgotten", s->key, ns);
	rc->dropped++;
	if (s->parent != NULL) {
		child_key(&child, ns, s->parent, s->key);
		r = store_del(rc->txn, TABLE_CHILDREN, &child, e);
		if (r < 0)
			return r;
	}
	return store_del(rc->txn, TABLE_SNAPSHOTS, k, e);
}

/* Layers that no snapshot is: their folder goes with them. */
static int
recover_unused(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct recovery *rc = arg;
	struct layer_row *l = rec;

	if (l->refs == 0)
		return store_del(rc->txn, TABLE_LAYERS, k, e);
	rc->how->used(rc->how->arg, l->number);
	return 0;
}

int
snapshots_recover(struct store *s, const struct snapshots_recovery *how, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct recovery rc = { .how = how, .arena = &a };
	int r = store_write(s, &t, e);

	rc.txn = t;
	if (r == 0)
		r = store_each(
		    t, TABLE_LAYERS, NULL, NULL, &layer_row_schema, &a, recover_layer, &rc, e);
	if (r == 0)
		r = store_each(t, TABLE_SNAPSHOTS, NULL, NULL, &snapshot_row_schema, &a,
		    recover_snapshot, &rc, e);
	if (r == 0)
		r = store_each(
		    t, TABLE_LAYERS, NULL, NULL, &layer_row_schema, &a, recover_unused, &rc, e);
	return r < 0 ? r : store_commit(&t, e);
}
