/* SPDX-License-Identifier: Apache-2.0 */
/* shims - see shims.h */
#include "workers/task/shims.h"

#include <errno.h>
#include <stdio.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/ttrpc/shim.h"
#include "workers/task/tells.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
#define RETRY_TELL 8 /* tries after which callers hear that it does not answer; some 10 s */

static void connect_try(struct box *b);
static void resync(struct box *b);

char *
shim_text(const char *s)
{
	/* protobuf-c's fields are not const; packing does not write. */
	union {
		const char *in;
		char *out;
	} cast = { .in = s };

	return cast.out;
}

int64_t
shim_time(const Google__Protobuf__Timestamp *ts)
{
	if (ts == NULL || ts->seconds <= 0 || ts->seconds > INT64_MAX / 1000000000 - 1)
		return 0;
	return ts->seconds * 1000000000 + ts->nanos % 1000000000;
}

bool
shim_lost(const struct err *e)
{
	return e->code == ERR_UNAVAILABLE;
}

static void
waiters_tell(struct box *b, const struct err *e)
{
	struct shim_waiter *list = b->shim_waiters;

	b->shim_waiters = NULL;
	while (list != NULL) {
		struct shim_waiter *w = list;

		list = w->next;
		w->fn(w->arg, e);
		free(w);
	}
}

static void
wait_for(struct box *b, void (*fn)(void *arg, const struct err *e), void *arg)
{
	struct shim_waiter **at = &b->shim_waiters, *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	while (*at != NULL)
		at = &(*at)->next;
	*at = w;
}

/* The state is settled: tells who waited, last, since the box may go with the last of them. */
static void
settled(struct box *b, enum shim_state state, const struct err *e)
{
	b->shim_state = state;
	b->shim_tries = 0;
	b->free_ops++;
	waiters_tell(b, e);
	b->free_ops--;
	box_settle(b);
}

/* --- a shim that died ------------------------------------------------------------------------------ */

static void
all_died(struct box *b, uint64_t status, int64_t at)
{
	for (struct proc *p = b->execs, *next; p != NULL; p = next) {
		next = p->next;
		p->starting = p->exit_held = false;
		proc_exit(p, EXIT_KILLED, at, "its shim died");
	}
	if (b->init != NULL) {
		b->init->starting = b->init->exit_held = false;
		proc_exit(b->init, status, at, "its shim died");
	}
}

static void
on_delete(void *arg, const struct order_result *r)
{
	struct box *b = arg;
	struct err e = ERR_ZERO;
	uint64_t status = EXIT_KILLED;
	int64_t at = clock_real_ns();

	b->shim_order = 0;
	if (r->e->code == ERR_NONE && r->len > 0) {
		Containerd__Task__V2__DeleteResponse *d =
		    containerd__task__v2__delete_response__unpack(
			NULL, r->len, (const uint8_t *)r->data);

		if (d != NULL && d->exit_status != 0) {
			status = d->exit_status;
			at = shim_time(d->exited_at) > 0 ? shim_time(d->exited_at) : at;
		}
		containerd__task__v2__delete_response__free_unpacked(d, NULL);
	} else if (r->e->code != ERR_NONE && r->e->code != ERR_NOT_FOUND) {
		log_warn("%s/%s: clear away after its dead shim: %s", b->ns, b->id, r->e->msg);
	}
	b->free_ops++;
	all_died(b, status, at);
	b->free_ops--;
	(void)err_set(&e, ERR_FAILED_PRECONDITION, "the shim of container \"%s\" died", b->id);
	settled(b, SHIM_GONE, &e);
}

static void
died(struct box *b)
{
	struct order o;

	log_warn("%s/%s: its shim is dead: nobody listens on %s", b->ns, b->id, b->address);
	order_init(&o, ORDER_SHIM_DELETE, b->ns, b->id);
	(void)snprintf(o.runtime, sizeof(o.runtime), "%s", b->shim);
	b->shim_order = orders_send(b->t->orders, &o, NULL, 0, on_delete, b);
}

/* --- connecting ------------------------------------------------------------------------------------ */

static void
ended(struct box *b)
{
	void (*fn)(void *arg) = b->shim_ended;

	b->shim_ended = NULL;
	shim_drop(b);
	fn(b->shim_ended_arg);
}

static void
on_closed(void *arg, const struct err *e)
{
	struct box *b = arg;

	(void)e;
	for (struct proc *p = b->execs; p != NULL; p = p->next)
		p->wait_call = 0;
	if (b->init != NULL)
		b->init->wait_call = 0;
	ttrpc_client_free(&b->client);
	b->resync = 0;
	if (b->shim_ended != NULL)
		ended(b);
	else if (b->shim_state == SHIM_UP || b->shim_state == SHIM_CONNECTING)
		shim_reconnect(b);
}

static void
on_retry(void *arg)
{
	struct box *b = arg;

	b->shim_timer = NULL;
	connect_try(b);
}

static void
retry_later(struct box *b, const struct err *why)
{
	uint64_t ms = (uint64_t)RETRY_MIN_MS << (b->shim_tries < 6 ? b->shim_tries : 6);

	b->shim_tries++;
	if (b->shim_tries == RETRY_TELL) {
		log_warn("%s/%s: its shim does not answer: %s", b->ns, b->id, why->msg);
		waiters_tell(b, why);
	}
	b->shim_timer = loop_once(b->t->loop, ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS, on_retry, b);
}

/* No socket, or one that nobody listens on. */
static bool
proves_death(const struct err *e)
{
	return e->code == ERR_NOT_FOUND || strstr(e->msg, strerror(ECONNREFUSED)) != NULL;
}

static void
on_connect(void *arg, const struct order_result *r)
{
	struct box *b = arg;
	struct err e = *r->e;
	int fd = r->fd;

	b->shim_order = 0;
	if (e.code == ERR_NONE && fd >= 0) {
		b->client = ttrpc_client_new(b->t->loop, fd, on_closed, b);
		if (b->client != NULL) {
			resync(b);
			return;
		}
		(void)err_sys(&e, errno, "connect to shim");
	} else if (e.code == ERR_NONE) {
		(void)err_set(&e, ERR_INTERNAL, "connect to shim: no descriptor came");
	}
	if (proves_death(&e))
		died(b);
	else
		retry_later(b, &e);
}

static void
connect_try(struct box *b)
{
	struct order o;

	order_init(&o, ORDER_SHIM_CONNECT, b->ns, b->id);
	(void)snprintf(o.address, sizeof(o.address), "%s", b->address);
	(void)snprintf(o.runtime, sizeof(o.runtime), "%s", b->shim);
	b->shim_order = orders_send(b->t->orders, &o, NULL, 0, on_connect, b);
}

void
shim_connect(struct box *b, void (*fn)(void *arg, const struct err *e), void *arg)
{
	b->shim_state = SHIM_CONNECTING;
	wait_for(b, fn, arg);
	connect_try(b);
}

void
shim_guess_address(struct box *b)
{
	char name[2 * IDENT_MAX + 2], hex[SHA256_DIGEST_STRING_LENGTH];
	uint8_t sum[SHA256_DIGEST_LENGTH];
	int n = snprintf(name, sizeof(name), "%s/%s", b->ns, b->id);
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)name, (size_t)n);
	SHA256Final(sum, &ctx);
	for (size_t i = 0; i < sizeof(sum); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	(void)snprintf(b->address, sizeof(b->address), "%s/s/%.16s.sock", b->t->state, hex);
}

void
shim_reconnect(struct box *b)
{
	b->shim_state = SHIM_CONNECTING;
	connect_try(b);
}

void
shim_when_up(struct box *b, void (*fn)(void *arg, const struct err *e), void *arg)
{
	struct err e = ERR_ZERO;

	switch (b->shim_state) {
	case SHIM_UP:
		fn(arg, NULL);
		return;
	case SHIM_CONNECTING:
		if (b->shim_tries < RETRY_TELL) {
			wait_for(b, fn, arg);
			return;
		}
		(void)err_set(
		    &e, ERR_UNAVAILABLE, "the shim of container \"%s\" does not answer", b->id);
		break;
	case SHIM_GONE:
		(void)err_set(
		    &e, ERR_FAILED_PRECONDITION, "the shim of container \"%s\" died", b->id);
		break;
	case SHIM_NONE:
		(void)err_set(
		    &e, ERR_FAILED_PRECONDITION, "container \"%s\" has no shim yet", b->id);
		break;
	}
	fn(arg, &e);
}

struct shim_call {
	struct shim_call *next;
	struct box *box;
	uint32_t number;
	ttrpc_done_fn *done;
	void *arg;
};

static void
on_call(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct shim_call *c = arg, **at = &c->box->shim_calls;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->done(c->arg, rep, e);
	free(c);
}

void
shim_call(struct box *b, const char *method, uint64_t timeout_ms, const ProtobufCMessage *req,
    const ProtobufCMessageDescriptor *rep_type, ttrpc_done_fn *done, void *arg)
{
	struct shim_call *c = xcalloc(1, sizeof(*c));

	MUST(b->client != NULL);
	c->box = b;
	c->done = done;
	c->arg = arg;
	c->next = b->shim_calls;
	b->shim_calls = c;
	c->number = ttrpc_call(
	    b->client, SHIM_SERVICE, method, timeout_ms, req, rep_type, on_call, c);
}

/* Tells those who wait for an answer that none will come. */
static void
calls_end(struct box *b)
{
	struct err e = ERR_ZERO;

	(void)err_set(
	    &e, ERR_FAILED_PRECONDITION, "container \"%s\": its task was deleted meanwhile", b->id);
	while (b->shim_calls != NULL) {
		struct shim_call *c = b->shim_calls;

		b->shim_calls = c->next;
		ttrpc_forget(b->client, c->number);
		c->done(c->arg, NULL, &e);
		free(c);
	}
}

void
shim_drop(struct box *b)
{
	loop_del(&b->shim_timer);
	if (b->shim_order != 0)
		orders_forget(b->t->orders, b->shim_order);
	b->shim_order = 0;
	for (struct proc *p = b->execs; p != NULL; p = p->next)
		p->wait_call = 0;
	if (b->init != NULL)
		b->init->wait_call = 0;
	b->shim_state = SHIM_NONE;
	if (b->client != NULL)
		calls_end(b);
	ttrpc_client_free(&b->client);
	b->shim_tries = b->resync = 0;
	b->address[0] = '\0';
}

static void
on_end_now(void *arg)
{
	struct box *b = arg;

	b->shim_timer = NULL;
	ended(b);
}

static void
on_end_late(void *arg)
{
	struct box *b = arg;

	b->shim_timer = NULL;
	log_warn("%s/%s: its shim was asked to end and has not", b->ns, b->id);
	ended(b);
}

/* Its answer says nothing: the end of the connection does. */
static void
on_shutdown(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct box *b = arg;

	(void)rep;
	if (e->code == ERR_NONE || shim_lost(e) || b->shim_ended == NULL)
		return;
	log_debug("%s/%s: shutdown: %s", b->ns, b->id, e->msg);
}

void
shim_shutdown(struct box *b, void (*fn)(void *arg), void *arg)
{
	Containerd__Task__V2__ShutdownRequest req;

	b->shim_state = SHIM_NONE; /* its end is no death */
	b->shim_ended = fn;
	b->shim_ended_arg = arg;
	loop_del(&b->shim_timer);
	if (b->client == NULL) {
		b->shim_timer = loop_once(b->t->loop, 0, on_end_now, b);
		return;
	}
	b->shim_timer = loop_once(b->t->loop, SHIM_END_MS, on_end_late, b);
	containerd__task__v2__shutdown_request__init(&req);
	req.id = shim_text(b->id);
	req.now = 1;
	(void)ttrpc_call(b->client, SHIM_SERVICE, "Shutdown", SHIM_END_MS, &req.base,
	    &google__protobuf__empty__descriptor, on_shutdown, b);
}

/* --- exits ----------------------------------------------------------------------------------------- */

static void
on_wait(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct proc *p = arg;
	const Containerd__Task__V2__WaitResponse *w = (const void *)rep;

	p->wait_call = 0;
	if (e->code == ERR_NONE)
		proc_exit(p, w->exit_status, shim_time(w->exited_at), NULL);
	else if (!shim_lost(e) && p->status != STATUS_STOPPED)
		log_warn("%s/%s %s: wait: %s", p->box->ns, p->box->id, p->exec_id, e->msg);
}

void
shim_watch(struct proc *p)
{
	Containerd__Task__V2__WaitRequest req;

	if (p->wait_call != 0 || p->box->client == NULL)
		return;
	containerd__task__v2__wait_request__init(&req);
	req.id = shim_text(p->box->id);
	req.exec_id = shim_text(p->exec_id);
	p->wait_call = ttrpc_call(p->box->client, SHIM_SERVICE, "Wait", 0, &req.base,
	    &containerd__task__v2__wait_response__descriptor, on_wait, p);
}

/* --- what it has, after a break -------------------------------------------------------------------- */

/* Takes over what the shim says of a process; what the row knows better (an exit) stays. */
static void
adopt(struct proc *p, const Containerd__Task__V2__StateResponse *s)
{
	struct err e = ERR_ZERO;
	enum status was = p->status;

	if (s->pid != 0)
		p->pid = s->pid;
	switch (s->status) {
	case CONTAINERD__V1__TYPES__STATUS__RUNNING:
	case CONTAINERD__V1__TYPES__STATUS__PAUSING:
	case CONTAINERD__V1__TYPES__STATUS__PAUSED:
		p->status = s->status == CONTAINERD__V1__TYPES__STATUS__PAUSED ? STATUS_PAUSED
									       : STATUS_RUNNING;
		if ((p->facts & FACT_STARTED) != 0)
			break;
		p->started_at = clock_real_ns();
		p->facts |= FACT_STARTED;
		tell_fact(p, FACT_STARTED);
		break;
	case CONTAINERD__V1__TYPES__STATUS__CREATED:
		p->status = STATUS_CREATED;
		break;
	case CONTAINERD__V1__TYPES__STATUS__STOPPED:
		/* A Start that nobody heard the answer of, and already its end. */
		if (p->intent == INTENT_START && (p->facts & FACT_STARTED) == 0 && s->pid != 0) {
			p->facts |= FACT_STARTED;
			p->started_at = clock_real_ns();
			tell_fact(p, FACT_STARTED);
		}
		p->intent = INTENT_NONE;
		proc_exit(p, s->exit_status, shim_time(s->exited_at), NULL);
		return;
	default:
		break;
	}
	p->intent = INTENT_NONE;
	if (p->status != was && proc_save(p, &e) < 0)
		log_error("%s/%s: store its state: %s", p->box->ns, p->box->id, e.msg);
	shim_watch(p);
}

static void
resynced(struct box *b)
{
	if (--b->resync == 0)
		settled(b, SHIM_UP, NULL);
}

static void
on_state(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct proc *p = arg;
	struct box *b = p->box;

	p->wait_call = 0;
	if (shim_lost(e))
		return; /* on_closed follows */
	if (b->resync == 0)
		return;
	b->free_ops++; /* what hears of an exit may take the process, and the box, away */
	if (e->code == ERR_NONE)
		adopt(p, (const void *)rep);
	else if (e->code == ERR_NOT_FOUND)
		/* Deleted, or never made: whoever did it was cut off before the row said so. */
		proc_exit(p, EXIT_KILLED, 0, "its shim does not know it");
	else {
		log_warn("%s/%s %s: state: %s", b->ns, b->id, p->exec_id, e->msg);
		shim_watch(p);
	}
	b->free_ops--;
	resynced(b);
}

static void
ask_state(struct proc *p)
{
	Containerd__Task__V2__StateRequest req;
	struct box *b = p->box;

	if (!proc_alive(p) && p->intent != INTENT_START)
		return;
	containerd__task__v2__state_request__init(&req);
	req.id = shim_text(b->id);
	req.exec_id = shim_text(p->exec_id);
	b->resync++;
	p->wait_call = ttrpc_call(b->client, SHIM_SERVICE, "State", SHIM_CALL_MS, &req.base,
	    &containerd__task__v2__state_response__descriptor, on_state, p);
}

static void
resync(struct box *b)
{
	b->resync = 1;
	if (b->init != NULL)
		ask_state(b->init);
	for (struct proc *p = b->execs; p != NULL; p = p->next)
		ask_state(p);
	resynced(b);
}
