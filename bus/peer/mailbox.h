/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox - the actor's end of the bus: a ROUTER on the listening socket the supervisor holds.
 *
 * libzmq neither binds nor unlinks the path (ZMQ_USE_FD), so callers queue in the kernel while a
 * worker is being replaced. Every request comes with who sent it, as the kernel says.
 */
#ifndef CF_BUS_MAILBOX_H
#define CF_BUS_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bus/peer/hub.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

#define ROUTE_MAX 8

/* The way back to a caller: libzmq's name for its connection. */
struct route {
	uint8_t name[ROUTE_MAX];
	uint8_t len;
	int fd; /* number of the connection's descriptor, to learn that it closed */
};

struct mail {
	struct route from;
	uid_t uid;
	pid_t pid;
	zmq_msg_t *envelope, *body; /* borrowed; zmq_msg_move keeps them */
};

struct mailbox;

typedef void mailbox_mail_fn(void *arg, struct mail *m);
/* Every caller whose connection had this descriptor number is gone. */
typedef void mailbox_gone_fn(void *arg, int fd);

/* fd: the listening socket, taken over by libzmq; path: where it is bound. */
int mailbox_open(struct hub *h, int fd, const char *path, mailbox_mail_fn *on_mail,
    mailbox_gone_fn *on_gone, void *arg, struct mailbox **ret, struct err *e);
void mailbox_close(struct mailbox **m);

/* One message: envelope {kind, id} and body (wire form). -1 with errno when the caller is gone
 * (EHOSTUNREACH) or does not read (EAGAIN). */
int mailbox_send(struct mailbox *m, const struct route *to, const char *kind, const uint8_t id[16],
    const void *body, size_t n);

#endif
