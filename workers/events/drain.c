/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain - see drain.h.
 *
 * Crash story: the position is committed with the entries. Killed before that, the same entries are
 * asked for again; killed after, the next ones are. The actor may be killed as well: its entries stay
 * in its outbox until we name a higher number.
 */
#include "workers/events/drain.h"

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"

#define WAIT_MS 30000
#define DEADLINE_MS (WAIT_MS + 15000)
#define BATCH 256
#define REST_MIN_MS 100
#define REST_MAX_MS 5000
#define QUIET_ERRORS 3 /* an actor that is just being started again is no news */

struct drain {
	struct loop *loop;
	struct client *client;
	struct journal *journal;
	struct readers *readers;
	const struct method *method;
	struct client_call *call;
	struct loop_source *rest;
	uint64_t after, rest_ms;
	unsigned errors; /* in a row */
};

int
drain_new(struct loop *l, struct client *c, struct journal *j, struct readers *rs,
    const struct method *method, struct drain **ret, struct err *e)
{
	AUTO(free_ptr) struct drain *d = xcalloc(1, sizeof(*d));

	*d =
	    (struct drain){ .loop = l, .client = c, .journal = j, .readers = rs, .method = method };
	d->rest_ms = REST_MIN_MS;
	if (journal_position(j, method->actor, &d->after, e) < 0)
		return -(int)e->code;
	*ret = TAKE(d);
	return 0;
}

void
drain_free(struct drain **dp)
{
	if (*dp == NULL)
		return;
	client_cancel(&(*dp)->call);
	loop_del(&(*dp)->rest);
	free_ptr(dp);
}

uint64_t
drain_after(const struct drain *d)
{
	return d->after;
}

/* How many of the entries count: those whose numbers go up. The rest of a list that does not is left. */
static uint32_t
rising(const struct outbox_entry_list *l)
{
	uint32_t n = l->n > 0;

	while (n < l->n && l->v[n].seq > l->v[n - 1].seq)
		n++;
	return n;
}

int
drain_take(struct drain *d, const struct outbox_entry_list *entries, struct err *e)
{
	struct outbox_entry_list good = { entries->v, rising(entries) };
	const char *actor = d->method->actor;
	uint64_t first;
	int r;

	if (good.n == 0)
		return 0;
	first = good.v[0].seq;
	if (first <= d->after)
		log_warn("outbox of %s begins again at %llu behind %llu: following it", actor,
		    (unsigned long long)first, (unsigned long long)d->after);
	else if (first > d->after + 1 && d->after != 0)
		log_warn("outbox of %s goes on at %llu behind %llu: what was between is lost",
		    actor, (unsigned long long)first, (unsigned long long)d->after);
	if (good.n < entries->n)
		log_warn("outbox of %s: numbers do not rise behind %llu", actor,
		    (unsigned long long)good.v[good.n - 1].seq);
	r = journal_append(d->journal, actor, &good, e);
	if (r < 0)
		return r;
	d->after = good.v[good.n - 1].seq;
	readers_wake(d->readers, &good);
	return 0;
}

static void
on_rested(void *arg)
{
	struct drain *d = arg;

	d->rest = NULL;
	drain_begin(d);
}

static void
rest(struct drain *d, const struct err *why)
{
	if (++d->errors == QUIET_ERRORS)
		log_warn(
		    "cannot read the outbox of %s: %s (trying on)", d->method->actor, why->msg);
	else
		log_debug("cannot read the outbox of %s: %s", d->method->actor, why->msg);
	d->rest = loop_once(d->loop, d->rest_ms, on_rested, d);
	d->rest_ms = d->rest_ms * 2 < REST_MAX_MS ? d->rest_ms * 2 : REST_MAX_MS;
}

static void
on_answer(void *arg, const void *rep, const struct err *why)
{
	struct drain *d = arg;
	const struct outbox_read_rep *p = rep;
	struct err e = ERR_ZERO;

	d->call = NULL;
	if (p == NULL && why->code != ERR_DEADLINE_EXCEEDED) {
		rest(d, why);
		return;
	}
	FAULT_POINT("events.drain.answer");
	if (p != NULL && drain_take(d, &p->entries, &e) < 0) {
		rest(d, &e);
		return;
	}
	if (d->errors >= QUIET_ERRORS && p != NULL)
		log_info("reading the outbox of %s again", d->method->actor);
	d->errors = 0;
	d->rest_ms = REST_MIN_MS;
	drain_begin(d);
}

void
drain_begin(struct drain *d)
{
	struct client_opts opts = { .deadline_ms = DEADLINE_MS };
	struct outbox_read_req req = { .after = d->after, .limit = BATCH, .wait_ms = WAIT_MS };
	struct err e = ERR_ZERO;

	if (client_call(d->client, d->method, &opts, &req, on_answer, d, &d->call, &e) < 0)
		rest(d, &e);
}
