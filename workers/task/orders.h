/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orders - what the task actor asks of the supervisor: start a shim, connect to it, remove a bundle.
 *
 * supervisor/control.h is the protocol. Orders are sent at once, or kept until the socket takes them;
 * answers come in any order and are matched by number. The end of the socket is the end of the
 * supervisor: closed is called once, and what is in flight is never answered.
 */
#ifndef CF_TASK_ORDERS_H
#define CF_TASK_ORDERS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "supervisor/control.h"

struct orders;

/* e->code is ERR_NONE or what the supervisor said. data (a NUL behind it) dies after the callback;
 * fd is -1 or belongs to the callback. */
struct order_result {
	const struct err *e;
	const char *data;
	size_t len;
	int exit_status;
	int fd;
};

typedef void order_done_fn(void *arg, const struct order_result *r);
typedef void orders_closed_fn(void *arg);

/* fd is borrowed and made non-blocking. NULL with errno when the loop refuses it. */
struct orders *orders_new(struct loop *l, int fd, orders_closed_fn *closed, void *arg);
void orders_free(struct orders **o);

/* Sends o (version, size and seq are filled in) with descriptors (taken). done is called exactly once,
 * never from within, unless the orders are freed first or the order is forgotten. Returns its number. */
uint64_t orders_send(struct orders *os, struct order *o, int *take_fds, unsigned nfds,
    order_done_fn *done, void *arg);

/* The answer will be dropped (its descriptor closed). 0 and unknown numbers are fine. */
void orders_forget(struct orders *os, uint64_t seq);

/* A sealed memfd with these bytes. */
int orders_memfd(const char *name, const void *data, size_t n, int *ret_fd, struct err *e);

/* Fills op, ns and id, which must be idents. */
void order_init(struct order *o, enum order_op op, const char *ns, const char *id);

#endif
