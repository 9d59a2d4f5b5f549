/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub - ZeroMQ sockets on our loop: the context, and for each socket its descriptor and its messages.
 * Used by client and mailbox; with them the only home of zmq.h.
 *
 * A ZeroMQ socket's descriptor is edge-triggered and any call on the socket may swallow the edge, so
 * a socket that was written to is drained again before the loop waits.
 */
#ifndef CF_BUS_HUB_H
#define CF_BUS_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <zmq.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"

/* Largest message that is accepted: a request, a reply. Its parts are bounded by the declarations. */
#define BUS_MSG_MAX (8 * 1024 * 1024)
#define BUS_FRAMES_MAX 4
#define BUS_VERSION 1

struct hub;
struct zsock;

/* A message as it came: frames[0..n). more: there were further frames; they were dropped. */
struct zmsg {
	zmq_msg_t frames[BUS_FRAMES_MAX];
	unsigned n;
	bool more;
};

/* The message is borrowed: it is closed when the callback returns (zmq_msg_move keeps a frame). */
typedef void zsock_fn(void *arg, struct zmsg *m);

/* Threads start with the first socket, not here. */
int hub_new(struct loop *l, struct hub **ret, struct err *e);
void hub_free(struct hub **h); /* closes all sockets */

struct zsock *hub_socket(struct hub *h, int type, zsock_fn *fn, void *arg, struct err *e);
/* Events of another socket's connections (ZMQ_EVENT_*), as messages of a PAIR. */
struct zsock *
hub_monitor(struct hub *h, struct zsock *of, int events, zsock_fn *fn, void *arg, struct err *e);
void zsock_close(struct zsock **s);
void *zsock_raw(struct zsock *s);
int zsock_set(struct zsock *s, int option, int value);

/* Handles what has arrived, now. */
void zsock_drain(struct zsock *s);

/* Sends n parts as one message, copying them. 0 or -1 with errno (EAGAIN, EHOSTUNREACH). */
int zsock_send(struct zsock *s, const struct iovec *parts, unsigned n);

/* What a monitor's message says. */
void zsock_event(struct zmsg *m, unsigned *event, int *value);

#endif
