/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - see client.h.
 *
 * A call:  sent -> (progress)* -> reply | error | deadline | cancelled
 *          sent -> given up -> reply | error (cancelled: the actor has let go) | deadline
 * The encoded request is kept until the answer. A monitor tells when a connection was made: the first
 * one finds the requests still queued in libzmq; at every later one the peer may have lost what it
 * had, so all unanswered requests go out again with their ids. Twice is harmless, lost is not.
 */
#include "bus/peer/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bus/peer/hub.h"
#include "bus/wire/wire.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"

#define ID_BYTES 16
#define RECONNECT_MS 2
#define RECONNECT_MAX_MS 200
#define CALL_BUCKETS 64 /* calls in flight are found by id */

struct peer {
	struct client *client;
	const char *actor;
	struct zsock *sock, *monitor;
	bool was_connected;
};

struct client_call {
	struct client_call *next;
	struct peer *peer;
	const struct method *method;
	uint8_t id[ID_BYTES];
	struct buf body;
	char ns[80], lease[80];
	uint64_t deadline_mono_ms; /* 0 = none */
	struct loop_source *timer;
	bool given_up; /* a cancel went out; its answer is awaited */
	client_done_fn *done;
	client_progress_fn *on_progress;
	void *arg;
};

struct client {
	struct loop *loop;
	struct hub *hub;
	char *state_dir;
	struct peer peers[PROC_COUNT];
	struct client_call *calls[CALL_BUCKETS];
};

static const char *const actors[PROC_COUNT] = {
#define PROC(NAME, name, uid, caps, doc) #name,
#include "schemas/procs.def"
};

int
client_new(struct loop *l, const char *state_dir, struct client **ret, struct err *e)
{
	struct client *c = xcalloc(1, sizeof(*c));
	int r;

	c->loop = l;
	r = hub_new(l, &c->hub, e);
	if (r < 0) {
		free(c);
		return r;
	}
	c->state_dir = xstrdup(state_dir);
	for (unsigned i = 0; i < PROC_COUNT; i++)
		c->peers[i] = (struct peer){ .client = c, .actor = actors[i] };
	*ret = c;
	return 0;
}

struct hub *
client_hub(struct client *c)
{
	return c->hub;
}

static struct client_call **
call_slot(struct client *c, const uint8_t *id)
{
	struct client_call **at = &c->calls[id[0] % CALL_BUCKETS];

	while (*at != NULL && memcmp((*at)->id, id, ID_BYTES) != 0)
		at = &(*at)->next;
	return at;
}

static void
call_free(struct client_call *call)
{
	struct client_call **at = call_slot(call->peer->client, call->id);

	if (*at == call)
		*at = call->next;
	loop_del(&call->timer);
	buf_free(&call->body);
	free(call);
}

void
client_free(struct client **cp)
{
	struct client *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	for (unsigned i = 0; i < CALL_BUCKETS; i++)
		while (c->calls[i] != NULL)
			call_free(c->calls[i]);
	hub_free(&c->hub);
	free(c->state_dir);
	free(c);
}

static int
send_envelope(struct client_call *call, const char *kind, const struct buf *body, struct err *e)
{
	struct envelope env = { .v = BUS_VERSION, .kind = kind, .id = { call->id, ID_BYTES } };
	AUTO(buf_free) struct buf head = BUF_ZERO;
	uint64_t now = clock_mono_ms();
	int r;

	env.method = call->method->name;
	env.ns = call->ns[0] == '\0' ? NULL : call->ns;
	env.lease = call->lease[0] == '\0' ? NULL : call->lease;
	if (call->deadline_mono_ms != 0)
		env.deadline_ms = call->deadline_mono_ms > now ? call->deadline_mono_ms - now : 1;
	r = wire_encode(&envelope_schema, &env, &head, e);
	if (r < 0)
		return r;
	if (zsock_send(call->peer->sock,
		(struct iovec[]){ { head.data, head.len }, { body->data, body->len } }, 2) < 0)
		return err_sys(e, errno, "send %s to %s", call->method->name, call->peer->actor);
	return 0;
}

static void
send_cancel(struct client_call *call)
{
	struct buf none = BUF_ZERO;
	struct err ignored = ERR_ZERO;

	/* Best effort: who waits for an answer has a limit of time. */
	(void)send_envelope(call, "cancel", &none, &ignored);
}

static void
resend(struct client_call *call)
{
	struct err ignored = ERR_ZERO;

	if (call->given_up)
		send_cancel(call);
	else /* a full queue still holds the first one */
		(void)send_envelope(call, "request", &call->body, &ignored);
}

static void
resend_all(struct peer *p)
{
	for (unsigned i = 0; i < CALL_BUCKETS; i++)
		for (struct client_call *call = p->client->calls[i]; call != NULL;
		     call = call->next)
			if (call->peer == p)
				resend(call);
}

static void
on_monitor(void *arg, struct zmsg *m)
{
	struct peer *p = arg;
	unsigned event;
	int value;

	zsock_event(m, &event, &value);
	if (event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
		return;
	if (p->was_connected)
		resend_all(p);
	p->was_connected = true;
}

/* Answers the caller and forgets the call. rep NULL: the error in e. */
static void
call_finish(struct client_call *call, const void *rep, const struct err *e)
{
	client_done_fn *done = call->done;
	void *arg = call->arg;

	call_free(call);
	done(arg, rep, rep == NULL ? e : NULL);
}

static void
on_deadline(void *arg)
{
	struct client_call *call = arg;
	struct err e = ERR_ZERO;

	call->timer = NULL;
	send_cancel(call);
	(void)err_set(&e, ERR_DEADLINE_EXCEEDED, "%s: no answer from %s in time",
	    call->method->name, call->peer->actor);
	call_finish(call, NULL, &e);
}

static void
failure_to_err(const struct failure *f, struct err *e)
{
	(void)err_set(e, err_from_wire((unsigned)f->code), "%s", f->message);
}

static void
take_answer(struct client_call *call, const char *kind, const void *body, size_t n, struct arena *a)
{
	bool error = strcmp(kind, "error") == 0, progress = strcmp(kind, "progress") == 0;
	const struct schema *s = error	    ? &failure_schema
				 : progress ? call->method->progress
					    : call->method->rep;
	void *rec = arena_calloc(a, 1, s->size);
	struct err e = ERR_ZERO;

	if (wire_decode(s, body, n, a, rec, &e) < 0) {
		(void)err_wrap(&e, "answer of %s to %s", call->peer->actor, call->method->name);
		e.code = ERR_INTERNAL;
		if (!progress)
			call_finish(call, NULL, &e);
	} else if (progress) {
		if (call->on_progress != NULL)
			call->on_progress(call->arg, rec);
	} else if (error) {
		failure_to_err(rec, &e);
		call_finish(call, NULL, &e);
	} else {
		call_finish(call, rec, NULL);
	}
}

static void
on_message(void *arg, struct zmsg *m)
{
	struct peer *p = arg;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct envelope env;
	struct err e = ERR_ZERO;
	struct client_call *call;

	if (m->n != 2 || m->more ||
	    wire_decode(&envelope_schema, zmq_msg_data(&m->frames[0]), zmq_msg_size(&m->frames[0]),
		&a, &env, &e) < 0 ||
	    env.id.n != ID_BYTES)
		return; /* not an answer to anything of ours */
	call = *call_slot(p->client, env.id.p);
	if (call == NULL || call->peer != p)
		return; /* answered already: the request had been sent twice */
	take_answer(call, env.kind, zmq_msg_data(&m->frames[1]), zmq_msg_size(&m->frames[1]), &a);
}

/* Says at once when nobody can be there: no socket, nobody who listens, no right to use it. */
static int
probe(const struct client *c, const char *path, struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, errno, "make a socket");
	if (snprintf(to.sun_path, sizeof(to.sun_path), "%s", path) >= (int)sizeof(to.sun_path))
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "state folder %s: its path is too long for a socket", c->state_dir);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EAGAIN)
		return 0; /* EAGAIN: many wait already */
	if (errno == EACCES || errno == EPERM)
		return err_set(e, ERR_PERMISSION_DENIED,
		    "no permission to use %s: be root or a member of group coffer", path);
	return err_set(e, ERR_UNAVAILABLE, "cofferd does not answer at %s (%s): is it running?",
	    c->state_dir, strerror(errno));
}

static int
peer_connect(struct peer *p, const char *path, struct err *e)
{
	struct client *c = p->client;
	char address[160];

	p->sock = hub_socket(c->hub, ZMQ_DEALER, on_message, p, e);
	if (p->sock == NULL)
		return -(int)e->code;
	(void)zsock_set(p->sock, ZMQ_RECONNECT_IVL, RECONNECT_MS);
	(void)zsock_set(p->sock, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
	(void)zsock_set(
	    p->sock, ZMQ_HANDSHAKE_IVL, 0); /* a worker may take its time to come back */
	p->monitor = hub_monitor(c->hub, p->sock, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, on_monitor, p, e);
	(void)snprintf(address, sizeof(address), "ipc://%s", path);
	if (p->monitor == NULL || zmq_connect(zsock_raw(p->sock), address) != 0) {
		if (e->code == ERR_NONE)
			(void)err_sys(e, zmq_errno(), "connect to %s", path);
		zsock_close(&p->monitor);
		zsock_close(&p->sock);
		return -(int)e->code;
	}
	return 0;
}

static int
peer_open(struct client *c, const char *actor, struct peer **ret, struct err *e)
{
	char path[128];
	int r;

	for (unsigned i = 0; i < PROC_COUNT; i++) {
		struct peer *p = &c->peers[i];

		if (strcmp(p->actor, actor) != 0)
			continue;
		*ret = p;
		if (p->sock != NULL)
			return 0;
		(void)snprintf(path, sizeof(path), "%s/bus/%s.sock", c->state_dir, actor);
		r = probe(c, path, e);
		return r < 0 ? r : peer_connect(p, path, e);
	}
	return err_set(e, ERR_INTERNAL, "there is no actor %s", actor);
}

static struct client_call *
call_new(struct peer *p, const struct method *m, const struct client_opts *opts)
{
	struct client_call *call = xcalloc(1, sizeof(*call));

	call->peer = p;
	call->method = m;
	call->body = BUF_LIMIT(BUS_MSG_MAX);
	MUST(getrandom(call->id, sizeof(call->id), 0) == sizeof(call->id));
	if (opts == NULL)
		return call;
	(void)snprintf(call->ns, sizeof(call->ns), "%s", opts->ns == NULL ? "" : opts->ns);
	(void)snprintf(
	    call->lease, sizeof(call->lease), "%s", opts->lease == NULL ? "" : opts->lease);
	if (opts->deadline_ms != 0)
		call->deadline_mono_ms = clock_mono_ms() + opts->deadline_ms;
	call->on_progress = opts->on_progress;
	return call;
}

int
client_call(struct client *c, const struct method *m, const struct client_opts *opts,
    const void *req, client_done_fn *done, void *arg, struct client_call **ret_call, struct err *e)
{
	struct client_call *call;
	struct peer *p = NULL;
	int r;

	r = peer_open(c, m->actor, &p, e);
	if (r < 0)
		return r;
	call = call_new(p, m, opts);
	call->done = done;
	call->arg = arg;
	r = wire_encode(m->req, req, &call->body, e);
	if (r == 0)
		r = send_envelope(call, "request", &call->body, e);
	if (r < 0) {
		buf_free(&call->body);
		free(call);
		return r;
	}
	if (call->deadline_mono_ms != 0)
		call->timer = loop_once(c->loop, opts->deadline_ms, on_deadline, call);
	call->next = c->calls[call->id[0] % CALL_BUCKETS];
	c->calls[call->id[0] % CALL_BUCKETS] = call;
	if (ret_call != NULL)
		*ret_call = call;
	return 0;
}

void
client_cancel(struct client_call **callp)
{
	struct client_call *call = *callp;

	if (call == NULL)
		return;
	*callp = NULL;
	send_cancel(call);
	call_free(call);
}

void
client_give_up(struct client_call *call, uint64_t limit_ms)
{
	call->given_up = true;
	loop_del(&call->timer);
	call->timer = loop_once(call->peer->client->loop, limit_ms, on_deadline, call);
	send_cancel(call);
}

/* Waiting for one answer, turning the loop. */
struct sync_wait {
	const struct method *method;
	struct arena *a;
	void *rep;
	struct err *e;
	bool answered;
	int result;
};

/* rep dies with the callback. */
static void
on_sync_done(void *arg, const void *rep, const struct err *e)
{
	struct sync_wait *w = arg;

	w->answered = true;
	if (rep == NULL) {
		*w->e = *e;
		w->result = -(int)e->code;
		return;
	}
	wire_copy(w->method->rep, rep, w->a, w->rep);
}

int
client_call_sync(struct client *c, const struct method *m, const struct client_opts *opts,
    const void *req, struct arena *a, void *rep, struct err *e)
{
	struct sync_wait w = { .method = m, .a = a, .rep = rep, .e = e };
	int r = client_call(c, m, opts, req, on_sync_done, &w, NULL, e);

	if (r < 0)
		return r;
	while (!w.answered)
		loop_turn(c->loop, -1);
	return w.result;
}
