/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables - typed records under keys; see store.h.
 *
 * A record is decoded from a copy in the caller's arena, so what it points at outlives the
 * transaction. One that does not decode is data loss that names the table and the key.
 */
#include "lib/store/private.h"

#include <string.h>

#include "bus/wire/wire.h"
#include "lib/base/auto.h"
#include "lib/base/ident.h"

int
raw_get(struct txn *t, unsigned table, const void *key, size_t nkey, MDB_val *val, struct err *e)
{
	MDB_val k = { nkey, (void *)(uintptr_t)key };
	int rc = mdb_get(t->mdb, t->s->dbi[table], &k, val);

	if (rc == 0)
		return 1;
	return rc == MDB_NOTFOUND ? 0 : store_fail(t->s, rc, e, t->s->names[table]);
}

int
raw_put(struct txn *t, unsigned table, const void *key, size_t nkey, const void *val, size_t nval,
    struct err *e)
{
	MDB_val k = { nkey, (void *)(uintptr_t)key }, v = { nval, (void *)(uintptr_t)val };
	int rc = mdb_put(t->mdb, t->s->dbi[table], &k, &v, 0);

	return rc == 0 ? 0 : store_fail(t->s, rc, e, t->s->names[table]);
}

int
raw_del(struct txn *t, unsigned table, const void *key, size_t nkey, struct err *e)
{
	MDB_val k = { nkey, (void *)(uintptr_t)key };
	int rc = mdb_del(t->mdb, t->s->dbi[table], &k, NULL);

	return rc == 0 || rc == MDB_NOTFOUND ? 0 : store_fail(t->s, rc, e, t->s->names[table]);
}

/* The key as text for a message: control bytes escaped, the NUL behind the namespace as '/'. */
static const char *
key_show(const struct key *k, char *to, size_t size)
{
	char text[STORE_KEY_MAX + 1];

	for (size_t i = 0; i < k->n; i++)
		text[i] = k->p[i] == '\0' ? '/' : k->p[i];
	text[k->n] = '\0';
	return ident_show(text, to, size);
}

static int
record_decode(struct txn *t, unsigned table, const struct key *k, const MDB_val *val,
    const struct schema *s, struct arena *a, void *rec, struct err *e)
{
	void *copy = arena_memdup(a, val->mv_data, val->mv_size);
	struct err why = ERR_ZERO;
	char show[160];

	if (wire_decode(s, copy, val->mv_size, a, rec, &why) == 0)
		return 0;
	return err_set(e, ERR_DATA_LOSS, "store %s: record %s of table %s is damaged: %s",
	    t->s->path, key_show(k, show, sizeof(show)), t->s->names[table], why.msg);
}

int
store_get(struct txn *t, unsigned table, const struct key *k, const struct schema *s,
    struct arena *a, void *rec, struct err *e)
{
	char show[160];
	MDB_val val;
	int r;

	MUST(table < t->s->ntables);
	r = raw_get(t, table, k->p, k->n, &val, e);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, "no %s in table %s",
		    key_show(k, show, sizeof(show)), t->s->names[table]);
	return record_decode(t, table, k, &val, s, a, rec, e);
}

bool
store_has(struct txn *t, unsigned table, const struct key *k)
{
	struct err e = ERR_ZERO;
	MDB_val val;

	MUST(table < t->s->ntables);
	return raw_get(t, table, k->p, k->n, &val, &e) == 1;
}

int
store_put(struct txn *t, unsigned table, const struct key *k, const struct schema *s,
    const void *rec, struct err *e)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	int r;

	MUST(table < t->s->ntables && t->write);
	r = wire_encode(s, rec, &b, e);
	if (r < 0)
		return err_wrap(e, "table %s", t->s->names[table]);
	return raw_put(t, table, k->p, k->n, b.data, b.len, e);
}

int
store_del(struct txn *t, unsigned table, const struct key *k, struct err *e)
{
	MUST(table < t->s->ntables && t->write);
	return raw_del(t, table, k->p, k->n, e);
}

/* Puts the cursor on the first entry behind k (or on k, when `at` allows it). fn may have deleted or
 * replaced k meanwhile, so each step seeks anew in a write transaction. */
static int
seek(MDB_cursor *c, const struct key *k, bool at, MDB_val *key, MDB_val *val)
{
	int rc;

	if (k->n == 0)
		return mdb_cursor_get(c, key, val, MDB_FIRST);
	*key = (MDB_val){ k->n, (void *)(uintptr_t)k->p };
	rc = mdb_cursor_get(c, key, val, MDB_SET_RANGE);
	if (rc == 0 && !at && key->mv_size == k->n && memcmp(key->mv_data, k->p, k->n) == 0)
		rc = mdb_cursor_get(c, key, val, MDB_NEXT);
	return rc;
}

static bool
starts_with(const struct key *k, const struct key *prefix)
{
	return prefix == NULL || (k->n >= prefix->n && memcmp(k->p, prefix->p, prefix->n) == 0);
}

/* Which of two keys comes later in the order of the table. */
static bool
later(const struct key *a, const struct key *b)
{
	size_t n = a->n < b->n ? a->n : b->n;
	int d = n == 0 ? 0 : memcmp(a->p, b->p, n);

	return d != 0 ? d > 0 : a->n > b->n;
}

struct walk {
	unsigned table;
	const struct key *prefix;
	const struct schema *schema;
	struct arena *arena;
	store_each_fn *fn;
	void *arg;
};

static int
walk_records(
    struct txn *t, MDB_cursor *c, const struct walk *w, struct key *k, bool at, struct err *e)
{
	MDB_val key, val;
	int rc = seek(c, k, at, &key, &val), r;

	while (rc == 0) {
		void *rec = arena_calloc(w->arena, 1, w->schema->size);

		k->n = key.mv_size;
		memcpy(k->p, key.mv_data, key.mv_size);
		if (!starts_with(k, w->prefix))
			return 0;
		r = record_decode(t, w->table, k, &val, w->schema, w->arena, rec, e);
		if (r == 0)
			r = w->fn(w->arg, k, rec, e);
		if (r != 0)
			return r < 0 ? r : 0;
		rc = t->write ? seek(c, k, false, &key, &val)
			      : mdb_cursor_get(c, &key, &val, MDB_NEXT);
	}
	return rc == MDB_NOTFOUND ? 0 : store_fail(t->s, rc, e, t->s->names[w->table]);
}

int
store_each(struct txn *t, unsigned table, const struct key *prefix, const struct key *after,
    const struct schema *s, struct arena *a, store_each_fn *fn, void *arg, struct err *e)
{
	struct walk w = { table, prefix, s, a, fn, arg };
	struct key k = { .n = 0 };
	MDB_cursor *c = NULL;
	bool at = true;
	int rc, r;

	MUST(table < t->s->ntables);
	if (prefix != NULL)
		k = *prefix;
	if (after != NULL && (prefix == NULL || !later(prefix, after))) {
		k = *after;
		at = false;
	}
	rc = mdb_cursor_open(t->mdb, t->s->dbi[table], &c);
	if (rc != 0)
		return store_fail(t->s, rc, e, t->s->names[table]);
	r = walk_records(t, c, &w, &k, at, e);
	mdb_cursor_close(c);
	return r;
}

int
store_count(struct txn *t, unsigned table, uint64_t *ret, struct err *e)
{
	MDB_stat st;
	int rc;

	MUST(table < t->s->ntables);
	rc = mdb_stat(t->mdb, t->s->dbi[table], &st);
	if (rc != 0)
		return store_fail(t->s, rc, e, t->s->names[table]);
	*ret = st.ms_entries;
	return 0;
}
