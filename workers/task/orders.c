/* SPDX-License-Identifier: Apache-2.0 */
/* orders - see orders.h */
#include "workers/task/orders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fdpass.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"

#define FDS_MAX 2

struct pending {
	struct pending *next;
	struct order order;
	int fds[FDS_MAX];
	unsigned nfds;
	bool sent;
	order_done_fn *done; /* NULL: forgotten */
	void *arg;
};

struct orders {
	struct loop *loop;
	struct loop_source *source;
	int fd;
	orders_closed_fn *closed;
	void *arg;
	struct pending *list; /* oldest first: unsent ones are at its end */
	uint64_t seq;
	union {
		struct order_reply head;
		char bytes[sizeof(struct order_reply) + ORDER_DATA_MAX + 1];
	} in;
};

static void
pending_free(struct pending *p)
{
	for (unsigned i = 0; i < p->nfds; i++)
		fd_close(&p->fds[i]);
	free(p);
}

static struct pending *
pending_take(struct orders *os, uint64_t seq)
{
	for (struct pending **at = &os->list; *at != NULL; at = &(*at)->next) {
		struct pending *p = *at;

		if (p->order.seq != seq)
			continue;
		*at = p->next;
		return p;
	}
	return NULL;
}

static void
over(struct orders *os)
{
	loop_del(&os->source);
	os->closed(os->arg);
}

/* Sends what waits; watches for room when the socket is full. */
static void
flush(struct orders *os)
{
	bool full = false;

	for (struct pending *p = os->list; p != NULL && !full; p = p->next) {
		if (p->sent)
			continue;
		if (fdpass_send(os->fd, &p->order, sizeof(p->order), p->fds, p->nfds) == 0) {
			p->sent = true;
			for (unsigned i = 0; i < p->nfds; i++)
				fd_close(&p->fds[i]);
		} else if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) {
			full = true;
		} else {
			log_error("orders: send to the supervisor: %s", strerror(errno));
			return; /* the end of the socket follows */
		}
	}
	if (os->source != NULL)
		loop_fd_events(os->source, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* The supervisor is trusted, but a build that does not match is not: the sizes must agree. */
static bool
reply_ok(const struct order_reply *r, size_t n)
{
	return n >= sizeof(*r) && r->version == CONTROL_VERSION && r->size == n &&
	       r->data_len == n - sizeof(*r) && r->data_len <= ORDER_DATA_MAX;
}

static void
deliver(struct orders *os, struct pending *p, int fd)
{
	struct order_reply *r = &os->in.head;
	struct order_result result = { .exit_status = r->exit_status, .fd = fd };
	struct err e = ERR_ZERO;
	char *data = (char *)r->data;

	r->message[sizeof(r->message) - 1] = '\0';
	data[r->data_len] = '\0';
	if (r->code != 0) {
		enum err_code code = err_from_wire(r->code);

		(void)err_set(&e, code == ERR_NONE ? ERR_UNKNOWN : code, "%s", r->message);
	}
	result.e = &e;
	result.data = data;
	result.len = r->data_len;
	if (p->done != NULL)
		p->done(p->arg, &result);
	else
		fd_close(&fd);
	pending_free(p);
}

static bool
receive(struct orders *os)
{
	int fds[FDPASS_FDS_MAX];
	unsigned nfds = COUNT(fds);
	ssize_t n = fdpass_recv(os->fd, os->in.bytes, sizeof(os->in.bytes) - 1, fds, &nfds);
	struct pending *p;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		over(os);
		return false;
	}
	for (unsigned i = 1; i < nfds; i++)
		fd_close(&fds[i]);
	p = reply_ok(&os->in.head, (size_t)n) ? pending_take(os, os->in.head.seq) : NULL;
	if (p == NULL) {
		log_warn("orders: an answer of %zd bytes that belongs to no order", n);
		if (nfds > 0)
			fd_close(&fds[0]);
		return true;
	}
	deliver(os, p, nfds > 0 ? fds[0] : -1);
	return true;
}

static void
on_socket(void *arg, uint32_t events)
{
	struct orders *os = arg;

	if ((events & EPOLLOUT) != 0)
		flush(os);
	/* One answer a turn is enough for fairness; epoll comes back for the rest. */
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		(void)receive(os);
}

struct orders *
orders_new(struct loop *l, int fd, orders_closed_fn *closed, void *arg)
{
	struct orders *os = xcalloc(1, sizeof(*os));

	os->loop = l;
	os->fd = fd;
	os->closed = closed;
	os->arg = arg;
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	os->source = loop_fd(l, fd, EPOLLIN, on_socket, os);
	if (os->source == NULL)
		free_ptr(&os);
	return os;
}

void
orders_free(struct orders **o)
{
	struct orders *os = *o;

	if (os == NULL)
		return;
	loop_del(&os->source);
	while (os->list != NULL) {
		struct pending *p = os->list;

		os->list = p->next;
		pending_free(p);
	}
	free(os);
	*o = NULL;
}

uint64_t
orders_send(struct orders *os, struct order *o, int *take_fds, unsigned nfds, order_done_fn *done,
    void *arg)
{
	struct pending *p = xcalloc(1, sizeof(*p)), **at = &os->list;

	MUST(nfds <= FDS_MAX);
	p->order = *o;
	p->order.version = CONTROL_VERSION;
	p->order.size = sizeof(p->order);
	p->order.seq = ++os->seq;
	p->nfds = nfds;
	for (unsigned i = 0; i < nfds; i++)
		p->fds[i] = fd_take(&take_fds[i]);
	p->done = done;
	p->arg = arg;
	while (*at != NULL)
		at = &(*at)->next;
	*at = p;
	flush(os);
	return os->seq;
}

void
orders_forget(struct orders *os, uint64_t seq)
{
	for (struct pending *p = os->list; p != NULL; p = p->next)
		if (p->order.seq == seq)
			p->done = NULL;
}

int
orders_memfd(const char *name, const void *data, size_t n, int *ret_fd, struct err *e)
{
	AUTO(fd_close) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || fs_write_all(fd, data, n) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "make %s in memory", name);
	*ret_fd = fd_take(&fd);
	return 0;
}

void
order_init(struct order *o, enum order_op op, const char *ns, const char *id)
{
	*o = (struct order){ .op = op };
	(void)snprintf(o->ns, sizeof(o->ns), "%s", ns);
	(void)snprintf(o->id, sizeof(o->id), "%s", id);
}
