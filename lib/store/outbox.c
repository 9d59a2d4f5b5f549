/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox - events on their way to the journal, written with the change they tell of; see store.h.
 *
 *	table outbox	number (8 bytes, big endian) -> outbox_entry
 *	table meta	"last" -> number of the newest entry there ever was
 *
 * Numbers go on for ever: "last" outlives the entries. What the journal has (store_outbox's after) is
 * noted in memory and deleted by the next write transaction, at most TRIM_MAX at a time; a crash in
 * between leaves entries that the next store_outbox skips and notes again.
 */
#include "lib/store/private.h"

#include <string.h>

#include "bus/wire/wire.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"

#define LIST_MAX 256
#define LIST_BYTES (1u << 20)
#define TRIM_MAX 4096

static int
last_get(struct txn *t, uint64_t *ret, struct err *e)
{
	MDB_val val;
	int r = raw_get(t, own(t->s, TABLE_META), "last", 4, &val, e);

	if (r < 0)
		return r;
	if (r == 1 && val.mv_size != 8)
		return store_fail(t->s, MDB_CORRUPTED, e, "read the outbox");
	*ret = r == 0 ? 0 : u64_get(val.mv_data);
	return 0;
}

int
store_event(struct txn *t, const char *ns, const char *topic, const void *body, struct err *e)
{
	AUTO(buf_free) struct buf inner = BUF_ZERO;
	AUTO(buf_free) struct buf outer = BUF_ZERO;
	const struct event_kind *kind = event_kind(topic);
	struct outbox_entry entry = { .ns = ns, .topic = topic, .time = clock_real_ns() };
	unsigned char number[8];
	int r;

	MUST(kind != NULL && t->write);
	r = last_get(t, &entry.seq, e);
	if (r == 0)
		r = wire_encode(kind->body, body, &inner, e);
	if (r < 0)
		return err_wrap(e, "event %s", topic);
	entry.seq++;
	entry.body = (struct bytes){ inner.data, inner.len };
	r = wire_encode(&outbox_entry_schema, &entry, &outer, e);
	if (r < 0)
		return err_wrap(e, "event %s", topic);
	u64_put(number, entry.seq);
	r = raw_put(t, own(t->s, TABLE_OUTBOX), number, 8, outer.data, outer.len, e);
	return r < 0 ? r : raw_put(t, own(t->s, TABLE_META), "last", 4, number, 8, e);
}

int
outbox_trim(struct txn *t, struct err *e)
{
	struct store *s = t->s;
	MDB_cursor *c = NULL;
	MDB_val key, val;
	uint64_t upto = s->forgot;
	int rc = mdb_cursor_open(t->mdb, s->dbi[own(s, TABLE_OUTBOX)], &c);

	for (unsigned i = 0; rc == 0 && i < TRIM_MAX; i++) {
		rc = mdb_cursor_get(c, &key, &val, MDB_FIRST);
		if (rc != 0)
			break;
		if (key.mv_size != 8) {
			rc = MDB_CORRUPTED;
			break;
		}
		if (u64_get(key.mv_data) > s->forget) {
			rc = MDB_NOTFOUND;
			break;
		}
		upto = u64_get(key.mv_data);
		rc = mdb_cursor_del(c, 0);
	}
	mdb_cursor_close(c);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return store_fail(s, rc, e, "outbox");
	/* Should the transaction be aborted, the entries stay until the worker starts again: they are
	 * never listed (forget is past them), and trimming starts at the first entry anyway. */
	s->forgot = rc == MDB_NOTFOUND ? s->forget : upto;
	return 0;
}

/* Lists what is behind `after` into ret, whose v has room for limit entries. */
static int
list_fill(struct txn *t, uint64_t after, unsigned limit, struct arena *a,
    struct outbox_entry_list *ret, struct err *e)
{
	unsigned table = own(t->s, TABLE_OUTBOX);
	struct outbox_entry_list list = { arena_calloc(a, limit, sizeof(*list.v)), 0 };
	unsigned char number[8];
	MDB_cursor *c = NULL;
	MDB_val key = { 8, number }, val;
	size_t bytes = 0;
	int rc = mdb_cursor_open(t->mdb, t->s->dbi[table], &c), r = 0;

	u64_put(number, after + 1);
	if (rc == 0)
		rc = mdb_cursor_get(c, &key, &val, MDB_SET_RANGE);
	while (rc == 0 && r == 0 && list.n < limit && bytes < LIST_BYTES) {
		void *copy = arena_memdup(a, val.mv_data, val.mv_size);

		bytes += val.mv_size;
		r = wire_decode(&outbox_entry_schema, copy, val.mv_size, a, &list.v[list.n++], e);
		rc = mdb_cursor_get(c, &key, &val, MDB_NEXT);
	}
	mdb_cursor_close(c);
	if (r < 0)
		return err_set(e, ERR_DATA_LOSS,
		    "store %s: outbox entry %llu behind %llu is damaged", t->s->path,
		    (unsigned long long)list.n, (unsigned long long)after);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return store_fail(t->s, rc, e, "outbox");
	*ret = list;
	return 0;
}

int
store_outbox(struct store *s, uint64_t after, unsigned limit, struct arena *a,
    struct outbox_entry_list *ret, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	uint64_t last = 0;
	int r = store_read(s, &t, e);

	if (r == 0)
		r = last_get(t, &last, e);
	if (r < 0)
		return r;
	if (after > last)
		after = 0; /* of another life of this store */
	if (after > s->forget)
		s->forget = after;
	if (limit == 0 || limit > LIST_MAX)
		limit = LIST_MAX;
	return list_fill(t, s->forget, limit, a, ret, e);
}

uint64_t
store_outbox_last(struct store *s)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;
	uint64_t last = 0;

	if (store_read(s, &t, &e) == 0)
		(void)last_get(t, &last, &e); /* 0 is what "cannot tell" is to a caller, too */
	return last;
}
