/* SPDX-License-Identifier: Apache-2.0 */
/* hub - see hub.h */
#include "bus/peer/hub.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"

#define TURN_MESSAGES 256 /* per socket, before others get their turn */
#define MAX_SOCKETS 64

struct zsock {
	struct hub *hub;
	struct zsock *next;
	void *raw;
	struct loop_source *source;
	zsock_fn *fn;
	void *arg;
	bool dirty, closed;
};

struct hub {
	struct loop *loop;
	void *ctx;
	struct zsock *socks;
	struct loop_source *again;
	unsigned monitors;
	bool draining;
};

static void
hub_again(void *arg)
{
	struct hub *h = arg;

	h->again = NULL; /* only here to make the loop turn, which sweeps */
}

/* Closed sockets are freed where nobody is walking the list. */
static void
hub_sweep(struct hub *h)
{
	struct zsock **at = &h->socks;

	while (*at != NULL) {
		struct zsock *s = *at;

		if (s->closed) {
			*at = s->next;
			free(s);
		} else {
			at = &s->next;
		}
	}
}

static bool
hub_before_wait(void *arg)
{
	struct hub *h = arg;
	bool worked = false;

	h->draining = true;
	for (struct zsock *s = h->socks; s != NULL; s = s->next)
		if (s->dirty && !s->closed) {
			zsock_drain(s);
			worked = true;
		}
	h->draining = false;
	hub_sweep(h);
	return worked;
}

int
hub_new(struct loop *l, struct hub **ret, struct err *e)
{
	struct hub *h = xcalloc(1, sizeof(*h));

	h->loop = l;
	h->ctx = zmq_ctx_new();
	if (h->ctx == NULL) {
		free(h);
		return err_sys(e, errno, "make a ZeroMQ context");
	}
	(void)zmq_ctx_set(h->ctx, ZMQ_MAX_SOCKETS, MAX_SOCKETS); /* slots are allocated up front */
	(void)zmq_ctx_set(h->ctx, ZMQ_BLOCKY, 0);
	loop_before_wait(l, hub_before_wait, h);
	*ret = h;
	return 0;
}

void
hub_free(struct hub **hp)
{
	struct hub *h = *hp;

	if (h == NULL)
		return;
	*hp = NULL;
	for (struct zsock *s = h->socks; s != NULL; s = s->next) {
		struct zsock *closing = s;

		zsock_close(&closing);
	}
	hub_sweep(h);
	loop_del(&h->again);
	loop_before_wait(h->loop, NULL, NULL);
	(void)zmq_ctx_term(h->ctx); /* cannot block: every socket has linger 0 and is closed */
	free(h);
}

static void
zsock_ready(void *arg, uint32_t events)
{
	struct zsock *s = arg;

	(void)events;
	s->dirty = true; /* drained before the next wait */
}

static struct zsock *
zsock_new(struct hub *h, void *raw, zsock_fn *fn, void *arg, struct err *e)
{
	struct zsock *s;
	size_t n = sizeof(int);
	int fd = -1;

	if (raw == NULL || zmq_getsockopt(raw, ZMQ_FD, &fd, &n) != 0) {
		(void)err_sys(e, zmq_errno(), "make a ZeroMQ socket");
		if (raw != NULL)
			(void)zmq_close(raw);
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->hub = h;
	s->raw = raw;
	s->fn = fn;
	s->arg = arg;
	s->dirty = true;
	s->source = loop_fd(h->loop, fd, EPOLLIN, zsock_ready, s);
	if (s->source == NULL) {
		(void)err_sys(e, errno, "watch a ZeroMQ socket");
		(void)zmq_close(raw);
		free(s);
		return NULL;
	}
	s->next = h->socks;
	h->socks = s;
	(void)zsock_set(s, ZMQ_LINGER, 0);
	return s;
}

struct zsock *
hub_socket(struct hub *h, int type, zsock_fn *fn, void *arg, struct err *e)
{
	return zsock_new(h, zmq_socket(h->ctx, type), fn, arg, e);
}

struct zsock *
hub_monitor(struct hub *h, struct zsock *of, int events, zsock_fn *fn, void *arg, struct err *e)
{
	struct zsock *s;
	char address[64];

	(void)snprintf(address, sizeof(address), "inproc://monitor-%u", h->monitors++);
	if (zmq_socket_monitor(of->raw, address, events) != 0) {
		(void)err_sys(e, zmq_errno(), "monitor a ZeroMQ socket");
		return NULL;
	}
	s = hub_socket(h, ZMQ_PAIR, fn, arg, e);
	if (s != NULL && zmq_connect(s->raw, address) != 0) {
		(void)err_sys(e, zmq_errno(), "connect to a ZeroMQ monitor");
		zsock_close(&s);
	}
	return s;
}

void
zsock_close(struct zsock **sp)
{
	struct zsock *s = *sp;

	*sp = NULL;
	if (s == NULL || s->closed)
		return;
	s->closed = true;
	loop_del(&s->source);
	(void)zmq_socket_monitor(s->raw, NULL, 0);
	(void)zmq_close(s->raw);
	s->raw = NULL;
	if (!s->hub->draining && s->hub->again == NULL) /* the next turn frees it */
		s->hub->again = loop_once(s->hub->loop, 0, hub_again, s->hub);
}

void *
zsock_raw(struct zsock *s)
{
	return s->raw;
}

int
zsock_set(struct zsock *s, int option, int value)
{
	return zmq_setsockopt(s->raw, option, &value, sizeof(value));
}

static void
zmsg_close(struct zmsg *m)
{
	for (unsigned i = 0; i < m->n; i++)
		(void)zmq_msg_close(&m->frames[i]);
	m->n = 0;
}

/* One whole message. false when there is none. */
static bool
zmsg_recv(struct zsock *s, struct zmsg *m)
{
	zmq_msg_t spare;
	bool more = true;

	m->n = 0;
	m->more = false;
	while (more) {
		zmq_msg_t *frame = m->n < BUS_FRAMES_MAX ? &m->frames[m->n] : &spare;

		(void)zmq_msg_init(frame);
		if (zmq_msg_recv(frame, s->raw, ZMQ_DONTWAIT) < 0) {
			(void)zmq_msg_close(frame);
			zmsg_close(m);
			return false;
		}
		more = zmq_msg_more(frame) != 0;
		if (frame == &spare) {
			m->more = true;
			(void)zmq_msg_close(frame);
		} else {
			m->n++;
		}
	}
	return true;
}

void
zsock_drain(struct zsock *s)
{
	struct zmsg m;

	for (int i = 0; i < TURN_MESSAGES && !s->closed; i++) {
		if (!zmsg_recv(s, &m)) {
			s->dirty = false;
			return;
		}
		s->fn(s->arg, &m);
		zmsg_close(&m);
	}
}

int
zsock_send(struct zsock *s, const struct iovec *parts, unsigned n)
{
	s->dirty = true;
	for (unsigned i = 0; i < n; i++) {
		int flags = ZMQ_DONTWAIT | (i + 1 < n ? ZMQ_SNDMORE : 0);

		if (zmq_send(s->raw, parts[i].iov_base, parts[i].iov_len, flags) < 0)
			return -1;
	}
	return 0;
}

void
zsock_event(struct zmsg *m, unsigned *event, int *value)
{
	const unsigned char *p = zmq_msg_data(&m->frames[0]);
	uint16_t what = 0;
	int32_t v = 0;

	if (m->n > 0 && zmq_msg_size(&m->frames[0]) >= 6) {
		memcpy(&what, p, sizeof(what));
		memcpy(&v, p + 2, sizeof(v));
	}
	*event = what;
	*value = v;
}
