/* SPDX-License-Identifier: Apache-2.0 */
/* readers - see readers.h. Nothing here is stored: a caller whose worker died asks again. */
#include "workers/events/readers.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/auto.h"

#define EVENTS_MAX 256
#define WAIT_MAX_MS (60 * 60 * 1000)

struct reader {
	struct readers *all;
	struct reader *prev, *next;
	const struct event_read_req *req;
	const char *ns;
	reader_answer_fn *answer;
	void *arg;
	uint64_t at, lost; /* next number to look at; what fell off the ring before it */
	unsigned limit;
	struct loop_source *step;  /* set while scanning */
	struct loop_source *timer; /* wait_ms, set while there is time left */
};

struct readers {
	struct loop *loop;
	struct journal *journal;
	struct reader *first;
};

struct readers *
readers_new(struct loop *l, struct journal *j)
{
	struct readers *rs = xcalloc(1, sizeof(*rs));

	rs->loop = l;
	rs->journal = j;
	return rs;
}

void
reader_drop(struct reader **rp)
{
	struct reader *r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	loop_del(&r->step);
	loop_del(&r->timer);
	if (r->prev != NULL)
		r->prev->next = r->next;
	else
		r->all->first = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	free(r);
}

void
readers_free(struct readers **rsp)
{
	if (*rsp == NULL)
		return;
	while ((*rsp)->first != NULL) {
		struct reader *r = (*rsp)->first;

		reader_drop(&r);
	}
	free_ptr(rsp);
}

static bool
wanted(void *arg, const char *ns, const char *topic)
{
	const struct reader *r = arg;
	const struct strs *topics = &r->req->topics;

	if (!r->req->all && strcmp(ns, r->ns) != 0)
		return false;
	for (uint32_t i = 0; i < topics->n; i++)
		if (strncmp(topic, topics->v[i], strlen(topics->v[i])) == 0)
			return true;
	return topics->n == 0;
}

static void
finish(struct reader *r, const struct event_list *events, const struct err *e)
{
	struct event_read_rep rep = { .next = r->at, .lost = r->lost };
	reader_answer_fn *answer = r->answer;
	void *arg = r->arg;

	if (events != NULL)
		rep.events = *events;
	reader_drop(&r);
	answer(arg, e == NULL ? &rep : NULL, e);
}

static void on_step(void *arg);

/* Looks at the next events: answers, or goes on in the next turn, or waits. True when answered. */
static bool
look(struct reader *r)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct event_list found = { NULL, 0 };
	struct journal *j = r->all->journal;
	struct err e = ERR_ZERO;

	if (r->at < journal_first(j)) { /* the ring moved on */
		r->lost += journal_first(j) - r->at;
		r->at = journal_first(j);
	}
	if (journal_read(j, r->at, r->limit, wanted, r, &a, &found, &r->at, &e) < 0) {
		finish(r, NULL, &e);
		return true;
	}
	if (found.n > 0 || (r->at >= journal_next(j) && r->timer == NULL)) {
		finish(r, &found, NULL);
		return true;
	}
	if (r->at < journal_next(j))
		r->step = loop_once(r->all->loop, 0, on_step, r);
	return false;
}

static void
on_step(void *arg)
{
	struct reader *r = arg;

	r->step = NULL;
	(void)look(r);
}

/* The wait is over: a waiting reader is answered with nothing; one that still scans goes on to the
 * end, since a caller that gets nothing takes it that there was nothing. */
static void
on_timeout(void *arg)
{
	struct reader *r = arg;

	r->timer = NULL;
	if (r->step == NULL)
		finish(r, NULL, NULL);
}

struct reader *
reader_start(struct readers *rs, const struct event_read_req *req, const char *ns,
    reader_answer_fn *answer, void *arg)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	uint64_t wait = req->wait_ms < WAIT_MAX_MS ? req->wait_ms : WAIT_MAX_MS;

	*r = (struct reader){
		.all = rs, .next = rs->first, .req = req, .ns = ns, .answer = answer, .arg = arg
	};
	r->limit = req->limit == 0 || req->limit > EVENTS_MAX ? EVENTS_MAX : (unsigned)req->limit;
	r->at = req->from == 0 ? journal_next(rs->journal) : req->from;
	if (r->at > journal_next(rs->journal)) /* a number of a journal that is no more */
		r->at = journal_first(rs->journal);
	if (rs->first != NULL)
		rs->first->prev = r;
	rs->first = r;
	if (wait > 0)
		r->timer = loop_once(rs->loop, wait, on_timeout, r);
	return look(r) ? NULL : r;
}

void
readers_wake(struct readers *rs, const struct outbox_entry_list *entries)
{
	for (struct reader *r = rs->first, *next; r != NULL; r = next) {
		bool hit = false;

		next = r->next;
		if (r->step != NULL)
			continue; /* will come to them */
		for (uint32_t i = 0; i < entries->n && !hit; i++)
			hit = wanted(r, entries->v[i].ns, entries->v[i].topic);
		if (hit)
			(void)look(r);
		else
			r->at = journal_next(rs->journal);
	}
}
