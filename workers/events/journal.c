/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal - see journal.h.
 *
 *	table events	number (8 bytes, big endian) -> event
 *	table state	"ring" -> journal_ring; actor -> journal_position
 *
 * Crash story: every change is one transaction of lib/store, which is whole or not there. What is held
 * in memory (the ring's bounds) is read at open and changed after a commit only.
 */
#include "workers/events/journal.h"

#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/store/store.h"

#define SCAN_MAX 4096	      /* events looked at by one journal_read */
#define SCAN_BYTES (1u << 20) /* and bytes: its answer fits into a message */
#define TRIM_EXTRA 1024	      /* beyond one for each that came, when the ring was made smaller */

enum { TABLE_EVENTS, TABLE_STATE };
static const char *const tables[] = { "events", "state" };

struct journal {
	struct store *store;
	uint64_t max_events, max_bytes;
	struct journal_ring ring;
};

static void
state_key(struct key *k, const char *name)
{
	store_key_text(k, name);
}

static int
ring_load(struct journal *j, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct key k;
	int r = store_read(j->store, &t, e);

	if (r < 0)
		return r;
	state_key(&k, "ring");
	r = store_get(t, TABLE_STATE, &k, &journal_ring_schema, &a, &j->ring, e);
	if (r == -ERR_NOT_FOUND)
		j->ring = (struct journal_ring){ .first = 1, .next = 1 };
	else if (r < 0)
		return r;
	if (j->ring.first == 0 || j->ring.first > j->ring.next)
		return err_set(e, ERR_DATA_LOSS, "journal: events %llu to %llu make no sense",
		    (unsigned long long)j->ring.first, (unsigned long long)j->ring.next);
	return 0;
}

int
journal_open(
    const char *path, uint64_t max_events, uint64_t max_bytes, struct journal **ret, struct err *e)
{
	AUTO(journal_close) struct journal *j = xcalloc(1, sizeof(*j));
	int r = store_open(path, tables, COUNT(tables), true, &j->store, e);

	if (r == 0)
		r = ring_load(j, e);
	if (r < 0)
		return r;
	j->max_events = max_events;
	j->max_bytes = max_bytes;
	*ret = TAKE(j);
	return 0;
}

void
journal_close(struct journal **jp)
{
	if (*jp == NULL)
		return;
	store_close(&(*jp)->store);
	free_ptr(jp);
}

uint64_t
journal_first(const struct journal *j)
{
	return j->ring.first;
}

uint64_t
journal_next(const struct journal *j)
{
	return j->ring.next;
}

int
journal_position(struct journal *j, const char *actor, uint64_t *ret, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct journal_position p = { .seq = 0 };
	struct key k;
	int r = store_read(j->store, &t, e);

	if (r < 0)
		return r;
	state_key(&k, actor);
	r = store_get(t, TABLE_STATE, &k, &journal_position_schema, &a, &p, e);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	*ret = p.seq;
	return 0;
}

/* What an event counts for in the ring: its bytes and those of its key and record, about. */
static uint64_t
weight(const struct event *ev)
{
	return 96 + strlen(ev->ns) + strlen(ev->topic) + strlen(ev->actor) + ev->body.n;
}

static int
event_put(struct txn *t, struct journal_ring *ring, const char *actor, const struct outbox_entry *o,
    struct err *e)
{
	struct event ev = { .seq = ring->next,
		.time = o->time,
		.ns = o->ns,
		.topic = o->topic,
		.actor = actor,
		.body = o->body };
	struct key k;
	int r;

	store_key_u64(&k, ev.seq);
	r = store_put(t, TABLE_EVENTS, &k, &event_schema, &ev, e);
	if (r < 0)
		return r;
	ring->next++;
	ring->size += weight(&ev);
	return 0;
}

static int
oldest_drop(struct txn *t, struct journal_ring *ring, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct event ev;
	struct key k;
	int r;

	store_key_u64(&k, ring->first);
	r = store_get(t, TABLE_EVENTS, &k, &event_schema, &a, &ev, e);
	if (r == 0) {
		uint64_t w = weight(&ev);

		ring->size -= w < ring->size ? w : ring->size;
	} else if (r != -ERR_NOT_FOUND && r != -ERR_DATA_LOSS) {
		return r; /* a hole or a damaged event leaves the ring as any other one does */
	}
	ring->first++;
	return store_del(t, TABLE_EVENTS, &k, e);
}

static int
ring_trim(struct journal *j, struct txn *t, struct journal_ring *ring, unsigned most, struct err *e)
{
	int r = 0;

	while (r == 0 && most-- > 0 && ring->first < ring->next &&
	       (ring->next - ring->first > j->max_events || ring->size > j->max_bytes))
		r = oldest_drop(t, ring, e);
	return r;
}

static int
state_put(struct txn *t, const char *name, const struct schema *s, const void *rec, struct err *e)
{
	struct key k;

	state_key(&k, name);
	return store_put(t, TABLE_STATE, &k, s, rec, e);
}

int
journal_append(
    struct journal *j, const char *actor, const struct outbox_entry_list *entries, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct journal_ring ring = j->ring;
	struct journal_position p;
	int r;

	if (entries->n == 0)
		return 0;
	p.seq = entries->v[entries->n - 1].seq;
	r = store_write(j->store, &t, e);
	for (uint32_t i = 0; r == 0 && i < entries->n; i++)
		r = event_put(t, &ring, actor, &entries->v[i], e);
	if (r == 0)
		r = ring_trim(j, t, &ring, entries->n + TRIM_EXTRA, e);
	if (r == 0)
		r = state_put(t, "ring", &journal_ring_schema, &ring, e);
	if (r == 0)
		r = state_put(t, actor, &journal_position_schema, &p, e);
	if (r < 0)
		return r;
	FAULT_POINT("events.append.before");
	r = store_commit(&t, e);
	FAULT_POINT("events.append.after");
	if (r == 0)
		j->ring = ring;
	return r;
}

struct scan {
	journal_match_fn *match;
	void *arg;
	struct event_list found;
	unsigned limit, seen;
	uint64_t bytes, next;
	bool stopped;
};

static int
scan_event(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct scan *s = arg;
	const struct event *ev = rec;

	(void)k;
	(void)e;
	s->next = ev->seq + 1;
	s->seen++;
	s->bytes += weight(ev);
	if (s->match(s->arg, ev->ns, ev->topic))
		s->found.v[s->found.n++] = *ev;
	s->stopped = s->found.n == s->limit || s->seen == SCAN_MAX || s->bytes >= SCAN_BYTES;
	return s->stopped;
}

int
journal_read(struct journal *j, uint64_t from, unsigned limit, journal_match_fn *match, void *arg,
    struct arena *a, struct event_list *ret, uint64_t *ret_next, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct scan s = { .match = match, .arg = arg, .limit = limit };
	struct key after;
	int r = store_read(j->store, &t, e);

	MUST(limit > 0);
	if (r < 0)
		return r;
	if (from < j->ring.first)
		from = j->ring.first;
	s.found.v = arena_calloc(a, limit, sizeof(*s.found.v));
	store_key_u64(&after, from - 1);
	r = store_each(t, TABLE_EVENTS, NULL, &after, &event_schema, a, scan_event, &s, e);
	if (r < 0)
		return r;
	*ret = s.found;
	*ret_next = s.stopped ? s.next : j->ring.next;
	return 0;
}
