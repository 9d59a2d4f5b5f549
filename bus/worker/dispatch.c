/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch - from a message to a handler and back.
 *
 *	mail -> envelope ok? -> seen before? -> known, allowed, well-formed? -> handler -> answer
 *
 * A request that comes twice is executed once: while it runs, the new connection takes over the way
 * back; when it was answered, the answer is sent again, from memory or, after a death, from the store
 * that has it beside its effect. One that killed its worker POISON_DEATHS times is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/wire/wire.h"
#include "bus/worker/impl.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"

#define POISON_DEATHS 3

static const uint8_t no_id[16];

static void
send_error(struct worker *w, const struct route *to, const uint8_t *id, const struct err *why)
{
	struct failure f = {
		.code = (uint64_t)why->code, .class = err_text(why->code), .message = why->msg
	};
	AUTO(buf_free) struct buf body = BUF_ZERO;
	struct err e = ERR_ZERO;

	MUST(wire_encode(&failure_schema, &f, &body, &e) == 0);
	(void)mailbox_send(
	    w->mailbox, to, "error", id, body.data, body.len); /* the caller may be gone */
}

static void
send_failure(struct worker *w, const struct route *to, const uint8_t *id, const struct err *why)
{
	w->board->self.failed++;
	send_error(w, to, id, why);
}

static struct call **
call_slot(struct worker *w, const uint8_t *id)
{
	struct call **at = &w->calls[id[0]];

	while (*at != NULL && memcmp((*at)->id, id, 16) != 0)
		at = &(*at)->next;
	return at;
}

static void
call_free(struct call *c)
{
	struct worker *w = c->worker;
	struct call **at = call_slot(w, c->id);

	if (*at == c) {
		*at = c->next;
		w->ncalls--;
		w->board->self.in_flight = w->ncalls;
	}
	loop_del(&c->timer);
	(void)zmq_msg_close(&c->body);
	arena_free(&c->arena);
	free(c);
}

static void
recent_add(struct worker *w, const struct call *c, const char *body, size_t n, bool error)
{
	struct recent *r = &w->recent[w->recent_next];

	if (c->method->flag == RPC_READ || c->method->flag == RPC_WAIT || n > RECENT_BYTES_MAX)
		return; /* may simply run again */
	w->recent_next = (w->recent_next + 1) % RECENT_MAX;
	free(r->body);
	memcpy(r->id, c->id, sizeof(r->id));
	r->body = xcalloc(1, n + 1);
	memcpy(r->body, body, n);
	r->n = n;
	r->error = error;
}

static void
latency_add(struct board_self *s, uint64_t since_ns)
{
	uint64_t us = (clock_mono_ns() - since_ns) / 1000;
	unsigned bucket = us < 2 ? 0 : 63U - (unsigned)__builtin_clzll(us);

	s->latency_us[bucket < BOARD_BUCKETS ? bucket : BOARD_BUCKETS - 1]++;
}

static void
call_answer(struct call *c, const char *kind, const struct buf *body)
{
	struct worker *w = c->worker;
	bool error = strcmp(kind, "error") == 0;

	if (c->method->flag != RPC_WAIT) /* they take as long as nothing happens */
		latency_add(&w->board->self, c->since_ns);
	if (error)
		w->board->self.failed++;
	else
		w->board->self.served++;
	recent_add(w, c, body->data, body->len, error);
	/* Who ends answers nobody: what is being taken down looks as if it had never been. The caller's
	 * client asks the next incarnation. */
	if (c->from.len > 0 && !w->ending &&
	    mailbox_send(w->mailbox, &c->from, kind, c->id, body->data, body->len) < 0)
		log_debug("%s: answer dropped: %s request=%s", c->method->name, strerror(errno),
		    c->id_text); /* should the caller come back, it asks again and gets it */
	call_free(c);
}

void
call_fail(struct call *c, const struct err *why)
{
	struct failure f = {
		.code = (uint64_t)why->code, .class = err_text(why->code), .message = why->msg
	};
	AUTO(buf_free) struct buf body = BUF_ZERO;
	struct err e = ERR_ZERO;

	if (why->code == ERR_INTERNAL || why->code == ERR_DATA_LOSS)
		log_warn("%s: %s request=%s", c->method->name, why->msg, c->id_text);
	else
		log_debug("%s: %s request=%s", c->method->name, why->msg, c->id_text);
	MUST(wire_encode(&failure_schema, &f, &body, &e) == 0);
	call_answer(c, "error", &body);
}

void
call_reply(struct call *c, const void *rep)
{
	AUTO(buf_free) struct buf body = BUF_LIMIT(BUS_MSG_MAX - 1024);
	struct err e = ERR_ZERO;

	if (wire_encode(c->method->rep, rep, &body, &e) < 0) {
		(void)err_wrap(&e, "reply of %s", c->method->name);
		call_fail(c, &e);
		return;
	}
	call_answer(c, "reply", &body);
}

void
call_progress(struct call *c, const void *progress)
{
	AUTO(buf_free) struct buf body = BUF_LIMIT(BUS_MSG_MAX - 1024);
	struct err e = ERR_ZERO;

	if (c->from.len > 0 && wire_encode(c->method->progress, progress, &body, &e) == 0)
		(void)mailbox_send(c->worker->mailbox, &c->from, "progress", c->id, body.data,
		    body.len); /* one who does not read misses progress, nothing else */
}

void
call_enter(struct call *c)
{
	struct board_self *s = &c->worker->board->self;

	memcpy(s->in_hand, c->id, sizeof(s->in_hand));
	(void)snprintf(s->in_hand_method, sizeof(s->in_hand_method), "%s", c->method->name);
	s->in_hand_since_mono_ms = clock_mono_ms();
	__atomic_store_n(&s->in_hand_set, 1, __ATOMIC_RELEASE);
}

static void
in_hand_clear(struct worker *w)
{
	__atomic_store_n(&w->board->self.in_hand_set, 0, __ATOMIC_RELEASE);
}

void
call_leave(struct call *c)
{
	in_hand_clear(c->worker);
}

/* Forgets a call that nobody waits for; its work is dropped where the worker knows how. Else it goes
 * on, unanswered. */
static void
call_drop(struct call *c)
{
	struct worker *w = c->worker;

	outbox_call_gone(w, c);
	if (w->spec->cancelled == NULL || c->method->rep == &outbox_read_rep_schema) {
		c->from.len = 0;
		if (c->method->rep == &outbox_read_rep_schema)
			call_free(c);
		return;
	}
	w->spec->cancelled(w->state, c);
	call_free(c);
}

static void
on_deadline(void *arg)
{
	struct call *c = arg;
	struct err e = ERR_ZERO;

	c->timer = NULL;
	(void)err_set(&e, ERR_DEADLINE_EXCEEDED, "%s: not done in time", c->method->name);
	send_failure(c->worker, &c->from, c->id, &e);
	call_drop(c);
}

void
dispatch_gone(void *arg, int fd)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < CALL_BUCKETS; i++)
		for (struct call *c = w->calls[i], *next; c != NULL; c = next) {
			next = c->next;
			if (c->from.fd != fd || c->from.len == 0)
				continue;
			if (c->method->flag == RPC_WAIT || c->method->flag == RPC_READ)
				call_drop(c);
			else
				c->from.len =
				    0; /* its effect is wanted; the caller may come back */
		}
}

static const struct board_poison *
poison_of(const struct worker *w, const uint8_t *id)
{
	for (unsigned i = 0; i < BOARD_POISON; i++) {
		const struct board_poison *p = &w->board->self.poison[i];

		if (p->deaths >= POISON_DEATHS && memcmp(p->id, id, sizeof(p->id)) == 0)
			return p;
	}
	return NULL;
}

static unsigned
by_of(const struct worker *w, uid_t uid)
{
	for (unsigned i = 0; uid != 0 && i < PROC_COUNT; i++)
		if (w->args.crew[i] == uid)
			return 1U << i;
	return BY_CLIENT; /* the socket's mode has let only root and group coffer in */
}

/* true when the request was executed before: the answer went out again. */
static bool
answered_before(struct worker *w, const struct mail *m, const uint8_t *id)
{
	AUTO(buf_free) struct buf body = BUF_ZERO;

	for (unsigned i = 0; i < RECENT_MAX; i++) {
		const struct recent *r = &w->recent[i];

		if (r->body == NULL || memcmp(r->id, id, sizeof(r->id)) != 0)
			continue;
		(void)mailbox_send(
		    w->mailbox, &m->from, r->error ? "error" : "reply", id, r->body, r->n);
		return true;
	}
	for (unsigned i = 0; i < w->nstores; i++)
		if (store_reply_get(w->stores[i], id, &body)) {
			(void)mailbox_send(w->mailbox, &m->from, "reply", id, body.data, body.len);
			return true;
		}
	return false;
}

static unsigned
calls_from(const struct worker *w, const struct route *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CALL_BUCKETS; i++)
		for (const struct call *c = w->calls[i]; c != NULL; c = c->next)
			n += c->from.len == r->len && memcmp(c->from.name, r->name, r->len) == 0;
	return n;
}

static int
find_method(const struct worker *w, const char *name, unsigned *ret, struct err *e)
{
	char show[80];

	for (unsigned i = 0; name != NULL && i < w->spec->nmethods; i++)
		if (strcmp(w->spec->methods[i]->name, name) == 0) {
			*ret = i;
			return 0;
		}
	return err_set(e, ERR_UNIMPLEMENTED, "%s has no method \"%s\"", w->name,
	    ident_show(name == NULL ? "" : name, show, sizeof(show)));
}

/* All that can be said against a request before it is executed. */
static int
admit(struct worker *w, const struct mail *m, const struct envelope *env, unsigned *index,
    struct err *e)
{
	const struct board_poison *poison = poison_of(w, env->id.p);
	int r = find_method(w, env->method, index, e);

	if (r < 0)
		return r;
	if ((w->spec->methods[*index]->by & by_of(w, m->uid)) == 0)
		return err_set(
		    e, ERR_PERMISSION_DENIED, "%s is not for user %u", env->method, m->uid);
	if ((env->ns != NULL && ident_check("namespace", env->ns, e) < 0) ||
	    (env->lease != NULL && ident_check("lease", env->lease, e) < 0))
		return -(int)e->code;
	if (poison != NULL)
		return err_set(e, ERR_INTERNAL,
		    "%s: refused: this request ended its worker %u times: %.80s", env->method,
		    poison->deaths, poison->words);
	if (w->ncalls >= CALLS_MAX || calls_from(w, &m->from) >= CALLS_PER_CALLER_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "%s: too many requests at once", w->name);
	return 0;
}

static struct call *
call_new(struct worker *w, struct mail *m, const struct envelope *env, const struct method *method)
{
	struct call *c = xcalloc(1, sizeof(*c));

	c->worker = w;
	c->method = method;
	memcpy(c->id, env->id.p, sizeof(c->id));
	for (unsigned i = 0; i < sizeof(c->id); i++)
		(void)snprintf(c->id_text + 2 * i, 3, "%02x", c->id[i]);
	(void)snprintf(c->ns, sizeof(c->ns), "%s", env->ns == NULL ? NS_DEFAULT : env->ns);
	(void)snprintf(c->lease, sizeof(c->lease), "%s", env->lease == NULL ? "" : env->lease);
	c->from = m->from;
	c->uid = m->uid;
	c->pid = m->pid;
	c->by = by_of(w, m->uid);
	c->since_ns = clock_mono_ns();
	(void)zmq_msg_init(&c->body);
	(void)zmq_msg_move(&c->body, m->body);
	if (env->deadline_ms != 0)
		c->timer = loop_once(w->loop, env->deadline_ms, on_deadline, c);
	c->next = w->calls[c->id[0]];
	w->calls[c->id[0]] = c;
	w->board->self.in_flight = ++w->ncalls;
	return c;
}

static void
execute(struct call *c, worker_thunk *thunk)
{
	struct worker *w = c->worker;
	void *req = arena_calloc(&c->arena, 1, c->method->req->size);
	void *rep = arena_calloc(&c->arena, 1, c->method->rep->size);
	struct err e = ERR_ZERO;
	int r = wire_decode(
	    c->method->req, zmq_msg_data(&c->body), zmq_msg_size(&c->body), &c->arena, req, &e);

	if (r < 0) {
		(void)err_wrap(&e, "%s", c->method->name);
		call_fail(c, &e);
		return;
	}
	call_enter(c);
	r = thunk(w->state, c, req, rep, &e);
	in_hand_clear(w); /* c may be gone */
	if (r < 0)
		call_fail(c, &e);
	else if (r != CALL_LATER)
		call_reply(c, rep);
}

static void
take_request(struct worker *w, struct mail *m, const struct envelope *env)
{
	struct call *c = *call_slot(w, env->id.p);
	struct err e = ERR_ZERO;
	unsigned index = 0;

	if (c != NULL && c->uid == m->uid) {
		c->from = m->from; /* sent again over a new connection */
		return;
	}
	if (c != NULL || answered_before(w, m, env->id.p))
		return;
	if (admit(w, m, env, &index, &e) < 0) {
		send_failure(w, &m->from, env->id.p, &e);
		return;
	}
	execute(call_new(w, m, env, w->spec->methods[index]), w->spec->thunks[index]);
}

/* Answered, so that who gave up knows that its work is dropped; no failure of ours. A call that is not there was answered
 * already, or went with a worker that died: whoever still asks hears that it is gone. */
static void
take_cancel(struct worker *w, const struct mail *m, const struct envelope *env)
{
	struct call *c = *call_slot(w, env->id.p);
	struct err e = ERR_ZERO;

	if (c != NULL && c->uid != m->uid)
		return;
	if (c != NULL)
		call_drop(c);
	(void)err_set(&e, ERR_CANCELLED, "cancelled");
	send_error(w, &m->from, env->id.p, &e);
}

void
dispatch_mail(void *arg, struct mail *m)
{
	struct worker *w = arg;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct envelope env;
	struct err e = ERR_ZERO;

	if (wire_decode(&envelope_schema, zmq_msg_data(m->envelope), zmq_msg_size(m->envelope), &a,
		&env, &e) < 0) {
		(void)err_wrap(&e, "envelope");
		send_failure(w, &m->from, no_id, &e);
		return;
	}
	if (env.id.n != sizeof(no_id)) {
		(void)err_set(&e, ERR_INVALID_ARGUMENT, "envelope: id: must be 16 bytes");
		send_failure(w, &m->from, no_id, &e);
	} else if (env.v != BUS_VERSION) {
		(void)err_set(&e, ERR_UNIMPLEMENTED, "protocol version %llu is not known, %d is",
		    (unsigned long long)env.v, BUS_VERSION);
		send_failure(w, &m->from, env.id.p, &e);
	} else if (strcmp(env.kind, "request") == 0) {
		take_request(w, m, &env);
	} else if (strcmp(env.kind, "cancel") == 0) {
		take_cancel(w, m, &env);
	} else {
		(void)err_set(
		    &e, ERR_INVALID_ARGUMENT, "envelope: kind: must be request or cancel here");
		send_failure(w, &m->from, env.id.p, &e);
	}
}
