/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - the answering end of ttrpc; see ttrpc.h.
 *
 * A request outlives its connection: when the peer vanishes its requests are cut loose (conn NULL) and
 * their answers go nowhere. So handlers that answer later need not know of connections.
 */
#include "lib/ttrpc/ttrpc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "lib/ttrpc/frame.h"
#include "lib/ttrpc/proto/ttrpc.pb-c.h"

#define CLIENTS_MAX 64
#define REQUESTS_MAX 1024 /* in flight, per connection */

struct conn {
	struct conn *next;
	struct ttrpc_server *server;
	struct frames *frames;
	struct ttrpc_request *requests;
	unsigned nrequests;
};

struct ttrpc_request {
	struct ttrpc_request *next; /* in conn */
	struct conn *conn;
	uint32_t stream;
};

struct ttrpc_server {
	struct loop *loop;
	struct loop_source *watch;
	int fd;
	const char *service;
	const struct ttrpc_method *methods;
	size_t nmethods;
	void *arg;
	struct conn *conns;
	size_t nconns;
};

static void
conn_free(struct conn *cn)
{
	struct conn **at = &cn->server->conns;

	while (*at != cn)
		at = &(*at)->next;
	*at = cn->next;
	cn->server->nconns--;
	for (struct ttrpc_request *rq = cn->requests; rq != NULL; rq = rq->next)
		rq->conn = NULL;
	frames_free(&cn->frames);
	free(cn);
}

static void
on_end(void *arg, const struct err *e)
{
	if (e->code != ERR_UNAVAILABLE)
		log_warn("connection dropped: %s", e->msg);
	conn_free(arg);
}

/* Takes the request off its connection; NULL when that is gone. */
static struct conn *
request_end(struct ttrpc_request *rq)
{
	struct conn *cn = rq->conn;

	if (cn != NULL) {
		struct ttrpc_request **at = &cn->requests;

		while (*at != rq)
			at = &(*at)->next;
		*at = rq->next;
		cn->nrequests--;
	}
	return cn;
}

static void
answer(struct ttrpc_request *rq, Ttrpc__Response *rep)
{
	struct conn *cn = request_end(rq);
	struct err e = ERR_ZERO;

	if (cn != NULL && frames_send(cn->frames, rq->stream, FRAME_RESPONSE, &rep->base, &e) < 0) {
		Ttrpc__Status st;
		Ttrpc__Response instead;

		ttrpc__status__init(&st);
		ttrpc__response__init(&instead);
		st.code = (int32_t)e.code;
		st.message = e.msg;
		instead.status = &st;
		e = ERR_ZERO;
		(void)frames_send(cn->frames, rq->stream, FRAME_RESPONSE, &instead.base, &e);
	}
	free(rq);
}

void
ttrpc_reply(struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	Ttrpc__Response rep;
	size_t len = protobuf_c_message_get_packed_size(m);
	AUTO(free_ptr) uint8_t *payload = xcalloc(1, len + 1);

	ttrpc__response__init(&rep);
	(void)protobuf_c_message_pack(m, payload);
	rep.payload = (ProtobufCBinaryData){ .len = len, .data = payload };
	answer(rq, &rep);
}

void
ttrpc_fail(struct ttrpc_request *rq, const struct err *e)
{
	Ttrpc__Response rep;
	Ttrpc__Status st;
	char text[ERR_MSG_MAX];
	size_t n = 0;

	ttrpc__response__init(&rep);
	ttrpc__status__init(&st);
	/* protobuf strings are UTF-8, and what a runtime says is anything: a peer in another language
	 * would refuse the whole message for one bad byte. */
	for (const char *p = e->msg; *p != '\0' && n + 1 < sizeof(text); p++)
		text[n++] = (unsigned char)*p < 0x80 ? *p : '?';
	text[n] = '\0';
	st.code = e->code == ERR_NONE ? ERR_UNKNOWN : (int32_t)e->code;
	st.message = text;
	rep.status = &st;
	answer(rq, &rep);
}

static const struct ttrpc_method *
find_method(const struct ttrpc_server *s, const Ttrpc__Request *rq, struct err *e)
{
	if (strcmp(rq->service, s->service) != 0) {
		(void)err_set(e, ERR_UNIMPLEMENTED, "service %.100s: not served here", rq->service);
		return NULL;
	}
	for (size_t i = 0; i < s->nmethods; i++)
		if (strcmp(s->methods[i].name, rq->method) == 0)
			return &s->methods[i];
	(void)err_set(e, ERR_UNIMPLEMENTED, "method %.100s: not served here", rq->method);
	return NULL;
}

static void
dispatch(struct conn *cn, uint32_t stream, const Ttrpc__Request *in)
{
	struct ttrpc_server *s = cn->server;
	struct ttrpc_request *rq = xcalloc(1, sizeof(*rq));
	const struct ttrpc_method *m;
	ProtobufCMessage *msg;
	struct err e = ERR_ZERO;

	*rq = (struct ttrpc_request){ .next = cn->requests, .conn = cn, .stream = stream };
	cn->requests = rq;
	if (++cn->nrequests > REQUESTS_MAX) {
		(void)err_set(&e, ERR_RESOURCE_EXHAUSTED, "too many requests at once");
		ttrpc_fail(rq, &e);
		return;
	}
	m = find_method(s, in, &e);
	if (m == NULL) {
		ttrpc_fail(rq, &e);
		return;
	}
	msg = protobuf_c_message_unpack(m->req_type, NULL, in->payload.len, in->payload.data);
	if (msg == NULL) {
		(void)err_set(&e, ERR_INVALID_ARGUMENT, "%s: malformed request", m->name);
		ttrpc_fail(rq, &e);
		return;
	}
	m->handle(s->arg, rq, msg);
	protobuf_c_message_free_unpacked(msg, NULL);
}

static void
on_frame(void *arg, const struct frame *f)
{
	struct conn *cn = arg;
	struct err e = ERR_ZERO;
	Ttrpc__Request *in;

	if (f->type == FRAME_DATA)
		return; /* of a stream that we refused or of an answered call */
	if (f->type != FRAME_REQUEST || f->stream % 2 == 0) {
		(void)err_set(&e, ERR_INVALID_ARGUMENT, "peer sent what only a server may");
		on_end(cn, &e);
		return;
	}
	in = ttrpc__request__unpack(NULL, f->len, f->data);
	if (in == NULL) {
		(void)err_set(&e, ERR_INVALID_ARGUMENT, "malformed ttrpc request");
		on_end(cn, &e);
		return;
	}
	dispatch(cn, f->stream, in);
	ttrpc__request__free_unpacked(in, NULL);
}

static void
on_listen(void *arg, uint32_t events)
{
	struct ttrpc_server *s = arg;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct conn *cn;

	(void)events;
	if (fd < 0)
		return; /* the peer went away, or descriptors are short: asked again on the next turn */
	if (s->nconns >= CLIENTS_MAX) {
		fd_close(&fd);
		return;
	}
	cn = xcalloc(1, sizeof(*cn));
	*cn = (struct conn){ .next = s->conns, .server = s };
	cn->frames = frames_new(s->loop, fd, on_frame, on_end, cn);
	if (cn->frames == NULL) {
		free(cn);
		return;
	}
	s->conns = cn;
	s->nconns++;
}

struct ttrpc_server *
ttrpc_server_new(struct loop *l, int take_listen_fd, const char *service,
    const struct ttrpc_method *methods, size_t nmethods, void *arg)
{
	struct ttrpc_server *s = xcalloc(1, sizeof(*s));
	int flags = fcntl(take_listen_fd, F_GETFL);

	*s = (struct ttrpc_server){ .loop = l,
		.fd = take_listen_fd,
		.service = service,
		.methods = methods,
		.nmethods = nmethods,
		.arg = arg };
	if (flags >= 0 && fcntl(take_listen_fd, F_SETFL, flags | O_NONBLOCK) == 0)
		s->watch = loop_fd(l, take_listen_fd, EPOLLIN, on_listen, s);
	if (s->watch == NULL) {
		fd_close(&s->fd);
		free(s);
		return NULL;
	}
	return s;
}

void
ttrpc_server_free(struct ttrpc_server **ps)
{
	struct ttrpc_server *s = *ps;

	if (s == NULL)
		return;
	*ps = NULL;
	while (s->conns != NULL)
		conn_free(s->conns);
	loop_del(&s->watch);
	fd_close(&s->fd);
	free(s);
}

size_t
ttrpc_server_clients(const struct ttrpc_server *s)
{
	return s->nconns;
}

size_t
ttrpc_server_unsent(const struct ttrpc_server *s)
{
	size_t n = 0;

	for (const struct conn *cn = s->conns; cn != NULL; cn = cn->next)
		n += frames_unsent(cn->frames);
	return n;
}
