/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc - small RPC over a Unix stream socket, as containerd and its shims speak it; both ends, on
 * lib/base/loop, never blocking.
 *
 * A frame is a header of ten bytes (length, stream id, type, flags) and a protobuf message of at
 * most 4 MiB. Only unary calls are made and served. Whatever the peer sends is checked: a frame or a
 * message that is malformed closes that connection and nothing else.
 *
 * Messages are protobuf-c structs from lib/ttrpc/proto: "lib/ttrpc/proto/task.pb-c.h".
 * Begin them with their x__init(&m) (the X__INIT macros of protobuf-c cast const away).
 */
#ifndef CF_TTRPC_TTRPC_H
#define CF_TTRPC_TTRPC_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"

#define TTRPC_MESSAGE_MAX (4u << 20)

/* --- client ------------------------------------------------------------------------------------ */

struct ttrpc_client;

/*
 * The end of a call. e->code is ERR_NONE and rep the unpacked answer, or e says what went wrong and
 * rep is NULL. Both belong to the client and die when this returns. The class of an error is the one
 * the peer gave (gRPC codes, which are ours); of our own making are unavailable (connection lost)
 * and deadline_exceeded. New calls may be made, and the client freed, from here.
 */
typedef void ttrpc_done_fn(void *arg, const ProtobufCMessage *rep, const struct err *e);

/* The connection is gone; every call has been told. Free the client now or later. */
typedef void ttrpc_closed_fn(void *arg, const struct err *e);

/* Takes fd, a connected socket (made non-blocking here). closed may be NULL. NULL when the kernel
 * refuses (errno; fd is closed). */
struct ttrpc_client *
ttrpc_client_new(struct loop *l, int take_fd, ttrpc_closed_fn *closed, void *arg);

/* Closes the connection. Calls in flight are forgotten: their done is not called. */
void ttrpc_client_free(struct ttrpc_client **c);

/*
 * Calls service/method with req; the answer is unpacked as rep_type. timeout_ms 0 waits for ever
 * (Wait). done is always called exactly once, never from inside ttrpc_call, unless the client is freed or
 * the call forgotten first. Returns the call's number (never 0).
 */
uint32_t ttrpc_call(struct ttrpc_client *c, const char *service, const char *method,
    uint64_t timeout_ms, const ProtobufCMessage *req, const ProtobufCMessageDescriptor *rep_type,
    ttrpc_done_fn *done, void *arg);

/* Forgets a call: its done is not called and its answer is dropped. Unknown numbers are fine. */
void ttrpc_forget(struct ttrpc_client *c, uint32_t call);

/* --- server ------------------------------------------------------------------------------------ */

struct ttrpc_server;
struct ttrpc_request;

/* Handles a call: answer with ttrpc_reply or ttrpc_fail, now or later, exactly once. req is freed
 * when this returns: copy what must live longer. */
typedef void ttrpc_handler_fn(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *req);

struct ttrpc_method {
	const char *name;
	const ProtobufCMessageDescriptor *req_type;
	ttrpc_handler_fn *handle;
};

/* Serves one service on a listening socket (taken, made non-blocking). service and methods are
 * borrowed and must outlive the server. NULL when the kernel refuses (errno; fd is closed). */
struct ttrpc_server *ttrpc_server_new(struct loop *l, int take_listen_fd, const char *service,
    const struct ttrpc_method *methods, size_t nmethods, void *arg);

/* Closes everything. Requests that are not answered yet must still be answered (into the void). */
void ttrpc_server_free(struct ttrpc_server **s);

/* Connections that are open, and bytes that wait to be sent to them. */
size_t ttrpc_server_clients(const struct ttrpc_server *s);
size_t ttrpc_server_unsent(const struct ttrpc_server *s);

/* Both end the request: rq is gone afterwards, whether its caller is still there or not. */
void ttrpc_reply(struct ttrpc_request *rq, const ProtobufCMessage *rep);
void ttrpc_fail(struct ttrpc_request *rq, const struct err *e);

#endif
