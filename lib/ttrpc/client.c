/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - the calling end of ttrpc; see ttrpc.h.
 *
 * Calls in flight are a list: a shim has a handful (one Wait per process and what is asked now).
 * Deadlines are kept by one timer per call. A call whose deadline passed is told and forgotten; its
 * answer, when it comes after all, belongs to nobody and is dropped.
 */
#include "lib/ttrpc/ttrpc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/ttrpc/frame.h"
#include "lib/ttrpc/proto/ttrpc.pb-c.h"

struct call {
	struct call *next;
	struct ttrpc_client *client;
	struct loop_source *timer;
	uint32_t stream;
	const ProtobufCMessageDescriptor *rep_type;
	ttrpc_done_fn *done;
	void *arg;
	struct err failed; /* when it could not even be sent: told from the timer */
	char what[64];	   /* "Task/Create" */
};

struct ttrpc_client {
	struct loop *loop;
	struct frames *frames;
	ttrpc_closed_fn *closed;
	void *arg;
	struct call *calls;
	struct loop_source *telling; /* one-shot that tells of the end */
	uint32_t next_stream;
	struct err end; /* code != 0: the connection is gone */
	bool *freed;
};

static struct call **
find(struct ttrpc_client *c, uint32_t stream)
{
	struct call **at = &c->calls;

	while (*at != NULL && (*at)->stream != stream)
		at = &(*at)->next;
	return at;
}

static void
call_free(struct call *call)
{
	loop_del(&call->timer);
	free(call);
}

/* Takes the call off the list and tells it. The client may be gone afterwards. */
static void
finish(struct call **at, const ProtobufCMessage *rep, const struct err *e)
{
	struct call *call = *at;
	ttrpc_done_fn *done;
	void *arg;

	MUST(call != NULL);
	done = call->done;
	arg = call->arg;
	*at = call->next;
	call_free(call);
	done(arg, rep, e);
}

static void
unpack_reply(struct call **at, const Ttrpc__Response *rep)
{
	struct err e = ERR_ZERO;
	ProtobufCMessage *m = NULL;
	const struct call *call = *at;

	if (rep->status != NULL && rep->status->code != 0)
		(void)err_set(&e, err_from_wire((unsigned)rep->status->code), "%s",
		    rep->status->message[0] != '\0' ? rep->status->message : "no reason given");
	else if ((m = protobuf_c_message_unpack(
		      call->rep_type, NULL, rep->payload.len, rep->payload.data)) == NULL)
		(void)err_set(&e, ERR_INTERNAL, "ttrpc: malformed answer to %s", call->what);
	finish(at, m, &e);
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
}

static void on_end(void *arg, const struct err *e);

static void
on_frame(void *arg, const struct frame *f)
{
	struct ttrpc_client *c = arg;
	struct call **at = find(c, f->stream);
	Ttrpc__Response *rep;
	struct err e = ERR_ZERO;

	if (f->type != FRAME_RESPONSE) {
		(void)err_set(&e, ERR_INVALID_ARGUMENT, "ttrpc: peer sent what only a client may");
		on_end(c, &e);
		return;
	}
	if (*at == NULL)
		return; /* forgotten */
	rep = ttrpc__response__unpack(NULL, f->len, f->data);
	if (rep == NULL) {
		(void)err_set(&e, ERR_INVALID_ARGUMENT, "ttrpc: malformed response");
		on_end(c, &e);
		return;
	}
	unpack_reply(at, rep);
	ttrpc__response__free_unpacked(rep, NULL);
}

/* Tells every call, then the owner, that the connection is gone. */
static void
tell_end(void *arg)
{
	struct ttrpc_client *c = arg;
	struct err e = c->end;
	bool freed = false;

	c->telling = NULL;
	c->freed = &freed;
	while (!freed && c->calls != NULL)
		finish(&c->calls, NULL, &e);
	if (freed)
		return;
	c->freed = NULL;
	if (c->closed != NULL) {
		ttrpc_closed_fn *closed = c->closed;

		c->closed = NULL;
		closed(c->arg, &e);
	}
}

static void
on_end(void *arg, const struct err *e)
{
	struct ttrpc_client *c = arg;

	if (c->end.code != ERR_NONE)
		return;
	(void)err_set(&c->end, ERR_UNAVAILABLE, "%s", e->msg);
	frames_free(&c->frames);
	c->telling = loop_once(c->loop, 0, tell_end, c);
}

struct ttrpc_client *
ttrpc_client_new(struct loop *l, int take_fd, ttrpc_closed_fn *closed, void *arg)
{
	struct ttrpc_client *c = xcalloc(1, sizeof(*c));

	*c = (struct ttrpc_client){ .loop = l, .closed = closed, .arg = arg, .next_stream = 1 };
	c->frames = frames_new(l, take_fd, on_frame, on_end, c);
	if (c->frames == NULL) {
		free(c);
		return NULL;
	}
	return c;
}

void
ttrpc_client_free(struct ttrpc_client **pc)
{
	struct ttrpc_client *c = *pc;

	if (c == NULL)
		return;
	*pc = NULL;
	if (c->freed != NULL)
		*c->freed = true;
	while (c->calls != NULL) {
		struct call *call = c->calls;

		c->calls = call->next;
		call_free(call);
	}
	loop_del(&c->telling);
	frames_free(&c->frames);
	free(c);
}

static void
on_deadline(void *arg)
{
	struct call *call = arg;
	struct ttrpc_client *c = call->client;
	struct err e = call->failed;

	call->timer = NULL; /* a one-shot is gone by itself */
	if (e.code == ERR_NONE)
		(void)err_set(&e, ERR_DEADLINE_EXCEEDED, "%s: no answer in time", call->what);
	finish(find(c, call->stream), NULL, &e);
}

static int
send_request(struct ttrpc_client *c, struct call *call, const char *service, const char *method,
    uint64_t timeout_ms, const ProtobufCMessage *req)
{
	Ttrpc__Request rq;
	size_t len = protobuf_c_message_get_packed_size(req);
	AUTO(free_ptr) uint8_t *payload = xcalloc(1, len + 1);

	ttrpc__request__init(&rq);
	(void)protobuf_c_message_pack(req, payload);
	/* protobuf-c's structs are not const, though packing does not write to them */
	rq.service = (char *)(uintptr_t)service;
	rq.method = (char *)(uintptr_t)method;
	rq.payload = (ProtobufCBinaryData){ .len = len, .data = payload };
	rq.timeout_nano = timeout_ms < INT64_MAX / 1000000 ? (int64_t)timeout_ms * 1000000 : 0;
	return frames_send(c->frames, call->stream, FRAME_REQUEST, &rq.base, &call->failed);
}

uint32_t
ttrpc_call(struct ttrpc_client *c, const char *service, const char *method, uint64_t timeout_ms,
    const ProtobufCMessage *req, const ProtobufCMessageDescriptor *rep_type, ttrpc_done_fn *done,
    void *arg)
{
	struct call *call = xcalloc(1, sizeof(*call));
	const char *dot = strrchr(service, '.');
	bool gone = c->end.code != ERR_NONE;

	*call = (struct call){ .next = c->calls,
		.client = c,
		.stream = c->next_stream,
		.rep_type = rep_type,
		.done = done,
		.arg = arg };
	c->next_stream += 2; /* odd for ever: 2^31 calls, then from the start */
	(void)snprintf(
	    call->what, sizeof(call->what), "%s/%s", dot == NULL ? service : dot + 1, method);
	c->calls = call;
	if (gone)
		call->failed = c->end;
	else if (send_request(c, call, service, method, timeout_ms, req) == 0)
		call->failed = ERR_ZERO;
	if (call->failed.code != ERR_NONE)
		call->timer = loop_once(c->loop, 0, on_deadline, call);
	else if (timeout_ms != 0)
		call->timer = loop_once(c->loop, timeout_ms, on_deadline, call);
	return call->stream;
}

void
ttrpc_forget(struct ttrpc_client *c, uint32_t stream)
{
	struct call **at = find(c, stream), *call = *at;

	if (call == NULL)
		return;
	*at = call->next;
	call_free(call);
}
