/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replies - answers kept beside their effects, by request id; see store.h.
 *
 *	table replies	'i' id (16 bytes)			-> time (8 bytes), body
 *			't' time (8 bytes, big endian) id	-> nothing: the order of expiry
 *
 * A reply from the future (the clock was set back) is as expired as one that is too old.
 */
#include "lib/store/private.h"

#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"

#define ID_KEY 17
#define TIME_KEY 25
#define EXPIRE_MAX 4096 /* per call: keeps the transaction small */

static void
id_key(unsigned char key[ID_KEY], const unsigned char id[16])
{
	key[0] = 'i';
	memcpy(key + 1, id, 16);
}

int
store_reply_put(struct txn *t, const uint8_t id[16], const void *body, size_t n, struct err *e)
{
	unsigned table = own(t->s, TABLE_REPLIES);
	unsigned char by_id[ID_KEY], by_time[TIME_KEY];
	AUTO(buf_free) struct buf val = BUF_ZERO;
	MDB_val old;
	int r;

	MUST(t->write);
	id_key(by_id, id);
	by_time[0] = 't';
	u64_put(by_time + 1, (uint64_t)clock_real_ns());
	memcpy(by_time + 9, id, 16);
	(void)buf_add(&val, by_time + 1, 8); /* no limit: cannot fail */
	(void)buf_add(&val, body, n);
	r = raw_get(t, table, by_id, sizeof(by_id), &old, e);
	if (r == 1 && old.mv_size >= 8) { /* replaced: its place in the order goes too */
		unsigned char stale[TIME_KEY];

		memcpy(stale, by_time, sizeof(stale));
		memcpy(stale + 1, old.mv_data, 8);
		r = raw_del(t, table, stale, sizeof(stale), e);
	}
	if (r >= 0)
		r = raw_put(t, table, by_id, sizeof(by_id), val.data, val.len, e);
	return r < 0 ? r : raw_put(t, table, by_time, sizeof(by_time), "", 0, e);
}

bool
store_reply_get(struct store *s, const uint8_t id[16], struct buf *out)
{
	AUTO(store_abort) struct txn *t = NULL;
	unsigned char key[ID_KEY];
	struct err e = ERR_ZERO;
	MDB_val val;

	id_key(key, id);
	if (store_read(s, &t, &e) < 0 ||
	    raw_get(t, own(s, TABLE_REPLIES), key, sizeof(key), &val, &e) != 1 || val.mv_size < 8)
		return false;
	return buf_add(out, (const char *)val.mv_data + 8, val.mv_size - 8) == 0;
}

/* The oldest entry of the order of expiry (or the newest) into key; false when there is none. */
static bool
order_end(struct txn *t, bool newest, unsigned char key[TIME_KEY])
{
	MDB_cursor *c = NULL;
	MDB_val k = { 1, (void *)(uintptr_t) "t" }, v;
	bool found = false;

	if (mdb_cursor_open(t->mdb, t->s->dbi[own(t->s, TABLE_REPLIES)], &c) != 0)
		return false;
	if (mdb_cursor_get(c, &k, &v, newest ? MDB_LAST : MDB_SET_RANGE) == 0 &&
	    k.mv_size == TIME_KEY && *(const char *)k.mv_data == 't') {
		memcpy(key, k.mv_data, TIME_KEY);
		found = true;
	}
	mdb_cursor_close(c);
	return found;
}

/* An entry that is due, into key. */
static bool
due(struct txn *t, int64_t now, uint64_t max_age_ns, unsigned char key[TIME_KEY])
{
	if (order_end(t, false, key) && (int64_t)u64_get(key + 1) <= now &&
	    (uint64_t)(now - (int64_t)u64_get(key + 1)) > max_age_ns)
		return true;
	return order_end(t, true, key) && (int64_t)u64_get(key + 1) > now &&
	       (uint64_t)((int64_t)u64_get(key + 1) - now) > max_age_ns;
}

int
store_replies_expire(struct store *s, uint64_t max_age_ms, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	unsigned table = own(s, TABLE_REPLIES);
	uint64_t max_age_ns = max_age_ms * 1000000;
	int64_t now = clock_real_ns();
	unsigned char key[TIME_KEY], id[ID_KEY];
	int r = store_read(s, &t, e);

	if (r < 0 || !due(t, now, max_age_ns, key)) /* mostly: no write, no sync */
		return r;
	store_abort(&t);
	r = store_write(s, &t, e);
	for (unsigned i = 0; r == 0 && i < EXPIRE_MAX && due(t, now, max_age_ns, key); i++) {
		id_key(id, key + 9);
		r = raw_del(t, table, id, sizeof(id), e);
		if (r == 0)
			r = raw_del(t, table, key, sizeof(key), e);
	}
	return r < 0 ? r : store_commit(&t, e);
}
