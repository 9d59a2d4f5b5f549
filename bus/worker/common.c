/* SPDX-License-Identifier: Apache-2.0 */
/* common - the methods that every worker answers: version, outbox_read. */
#include <string.h>
#include <unistd.h>

#include "bus/worker/impl.h"

int worker_on_version(void *state, struct call *c, const void *req, void *rep, struct err *e);
int worker_on_outbox_read(void *state, struct call *c, const void *req, void *rep, struct err *e);

int
worker_on_version(void *state, struct call *c, const void *req, void *rep, struct err *e)
{
	struct version *v = rep;

	(void)state;
	(void)req;
	(void)e;
	v->version = CF_VERSION;
	v->revision = CF_REVISION;
	v->pid = (uint64_t)getpid();
	v->worker = c->worker->name;
	return 0;
}

static int
outbox_list(
    struct call *c, uint64_t after, unsigned limit, struct outbox_read_rep *rep, struct err *e)
{
	struct worker *w = c->worker;

	if (w->nstores == 0)
		return 0;
	return store_outbox(w->stores[0], after, limit == 0 || limit > 256 ? 256 : limit, &c->arena,
	    &rep->entries, e);
}

/* Answers a parked reader with what there is, nothing included, and frees its place. */
static void
parked_answer(struct parked *p)
{
	struct call *c = p->call;
	struct outbox_read_rep rep = { .entries = { NULL, 0 } };
	struct err e = ERR_ZERO;
	int r = outbox_list(c, p->after, p->limit, &rep, &e);

	loop_del(&p->timer);
	p->call = NULL;
	if (r < 0)
		call_fail(c, &e);
	else
		call_reply(c, &rep);
}

static void
parked_timeout(void *arg)
{
	struct parked *p = arg;

	p->timer = NULL;
	parked_answer(p);
}

void
outbox_wake(void *worker)
{
	struct worker *w = worker;

	w->outbox_wake = NULL;
	for (unsigned i = 0; i < PARKED_MAX; i++)
		if (w->parked[i].call != NULL)
			parked_answer(&w->parked[i]);
}

void
outbox_call_gone(struct worker *w, struct call *c)
{
	for (unsigned i = 0; i < PARKED_MAX; i++)
		if (w->parked[i].call == c) {
			loop_del(&w->parked[i].timer);
			w->parked[i].call = NULL;
		}
}

int
worker_on_outbox_read(void *state, struct call *c, const void *req, void *rep, struct err *e)
{
	const struct outbox_read_req *q = req;
	struct outbox_read_rep *p = rep;
	struct worker *w = c->worker;
	int r = outbox_list(c, q->after, (unsigned)q->limit, p, e);

	(void)state;
	if (r < 0 || p->entries.n > 0 || q->wait_ms == 0)
		return r;
	for (unsigned i = 0; i < PARKED_MAX; i++) {
		struct parked *at = &w->parked[i];

		if (at->call != NULL)
			continue;
		*at = (struct parked){ .call = c, .after = q->after, .limit = (unsigned)q->limit };
		at->timer = loop_once(w->loop, q->wait_ms, parked_timeout, at);
		return CALL_LATER;
	}
	return err_set(
	    e, ERR_RESOURCE_EXHAUSTED, "outbox_read: %d readers wait already", PARKED_MAX);
}
