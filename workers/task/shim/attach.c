/* SPDX-License-Identifier: Apache-2.0 */
/* attach - see attach.h */
#include "workers/task/shim/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

#define CLIENTS_MAX 256
#define BEHIND_MAX (1u << 20)
#define HELLO_MS 10000 /* to say which process it wants */
#define LINGER_MS 10000

enum to_client { SEND_HELLO, SEND_OUT, SEND_ERR, SEND_END, SEND_ERROR };
enum to_shim { GOT_INPUT, GOT_INPUT_END };

struct client {
	struct client *next;	   /* in server */
	struct client *group_next; /* in group */
	struct attach_server *server;
	struct attach_group *group; /* NULL: has not said, or lingers */
	struct loop_source *watch, *timer;
	int fd;
	struct buf queue; /* packets, each with its length (uint32_t) before it */
	size_t sent;
	bool holds;   /* joined before the start */
	bool leaving; /* closed once its queue is empty */
};

struct attach_server {
	struct loop *loop;
	struct loop_source *watch;
	int fd;
	attach_find_fn *find;
	void *arg;
	struct client *clients;
	unsigned nclients;
};

struct attach_group {
	struct client *clients;
	struct attach_hooks hooks;
	void *arg;
	bool terminal, started, ended, paused;
};

static void client_watch(struct client *c);

static size_t
unsent(const struct client *c)
{
	return c->queue.len - c->sent;
}

bool
attach_group_holds(const struct attach_group *g)
{
	for (const struct client *c = g->clients; c != NULL; c = c->group_next)
		if (c->holds && unsent(c) > 0)
			return true;
	return false;
}

/* Takes the client off its group. */
static void
client_part(struct client *c)
{
	struct attach_group *g = c->group;
	struct client **at;

	if (g == NULL)
		return;
	for (at = &g->clients; *at != c; at = &(*at)->group_next)
		;
	*at = c->group_next;
	c->group = NULL;
	if (c->holds && !attach_group_holds(g))
		g->hooks.drained(g->arg);
}

static void
client_free(struct client *c)
{
	struct client **at = &c->server->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->server->nclients--;
	loop_del(&c->watch);
	loop_del(&c->timer);
	fd_close(&c->fd);
	buf_free(&c->queue);
	c->queue.len = c->sent = 0;
	client_part(c);
	free(c);
}

static void
on_late(void *arg)
{
	struct client *c = arg;

	c->timer = NULL;
	client_free(c);
}

/* From here on the client only gets what is queued. Frees it when that is nothing. */
static void
client_leave(struct client *c)
{
	c->leaving = true;
	if (unsent(c) == 0) {
		client_free(c);
		return;
	}
	client_part(c);
	loop_del(&c->timer);
	c->timer = loop_once(c->server->loop, LINGER_MS, on_late, c);
	client_watch(c);
}

/* 1 sent, 0 not now, -1 broken */
static int
send_packet(struct client *c, unsigned char type, const void *data, size_t n)
{
	struct iovec iov[2] = { { &type, 1 }, { (void *)(uintptr_t)data, n } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t r = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (r >= 0)
		return 1;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
}

static void
queue_packet(struct client *c, unsigned char type, const void *data, size_t n)
{
	uint32_t len = (uint32_t)n;

	if (c->sent > c->queue.len / 2) {
		buf_drop(&c->queue, c->sent);
		c->sent = 0;
	}
	(void)buf_add(&c->queue, &len, sizeof(len));
	(void)buf_add(&c->queue, &type, 1);
	(void)buf_add(&c->queue, data, n);
}

/* Sends what is queued; < 0 when the client is gone. */
static int
client_flush(struct client *c)
{
	while (unsent(c) > 0) {
		const char *p = c->queue.data + c->sent;
		uint32_t len;
		int r;

		memcpy(&len, p, sizeof(len));
		r = send_packet(c, (unsigned char)p[4], p + 5, len);
		if (r <= 0)
			return r;
		c->sent += 5 + len;
	}
	buf_free(&c->queue);
	c->sent = 0;
	return 0;
}

/* Frees the client when it turns out to be gone. */
static void
client_give(struct client *c, enum to_client type, const void *data, size_t n)
{
	int r = unsent(c) > 0 ? 0 : send_packet(c, (unsigned char)type, data, n);

	if (r < 0) {
		client_free(c);
		return;
	}
	if (r == 0) {
		queue_packet(c, (unsigned char)type, data, n);
		client_watch(c);
	}
}

static void
client_refuse(struct client *c, const char *text)
{
	client_part(c);
	/* What it did not read would only delay the reason. */
	buf_free(&c->queue);
	c->sent = 0;
	queue_packet(c, SEND_ERROR, text, strlen(text));
	if (client_flush(c) < 0) {
		client_free(c);
		return;
	}
	client_leave(c);
}

static void
client_join(struct client *c, const char *exec_id)
{
	struct attach_group *g = NULL;
	char tty;

	loop_del(&c->timer);
	if (!c->server->find(c->server->arg, exec_id, &g)) {
		client_refuse(
		    c, exec_id[0] == '\0' ? "the container has no process" : "no such exec");
		return;
	}
	c->group = g;
	c->group_next = g->clients;
	c->holds = !g->started;
	g->clients = c;
	tty = g->terminal;
	queue_packet(c, SEND_HELLO, &tty, 1);
	if (g->ended)
		queue_packet(c, SEND_END, "", 0);
	if (client_flush(c) < 0) {
		client_free(c);
		return;
	}
	if (g->ended)
		client_leave(c);
	else
		client_watch(c);
}

/* One packet from the client. May free it. */
static void
client_packet(struct client *c, const char *data, size_t n)
{
	char exec_id[80];
	struct attach_group *g = c->group;

	if (g == NULL) {
		if (n >= sizeof(exec_id)) {
			client_refuse(c, "the first packet must be the name of an exec");
			return;
		}
		memcpy(exec_id, data, n);
		exec_id[n] = '\0';
		client_join(c, exec_id);
		return;
	}
	if (data[0] == GOT_INPUT && n <= ATTACH_PIECE_MAX + 1)
		g->hooks.input(g->arg, data + 1, n - 1);
	else if (data[0] == GOT_INPUT_END && n == 1)
		g->hooks.input_end(g->arg);
	else
		client_refuse(c, "malformed packet");
}

static void
client_read(struct client *c)
{
	ssize_t n = recv(c->fd, NULL, 0, MSG_PEEK | MSG_TRUNC);
	AUTO(free_ptr) char *data = NULL;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && n <= ATTACH_PIECE_MAX + 1) {
		data = xcalloc(1, (size_t)n);
		n = recv(c->fd, data, (size_t)n, 0);
	}
	if (n > ATTACH_PIECE_MAX + 1)
		client_refuse(c, "packet is too long");
	else if (n > 0)
		client_packet(c, data, (size_t)n);
	else
		client_free(c);
}

static void
on_client(void *arg, uint32_t events)
{
	struct client *c = arg;
	struct attach_group *g;

	if (events & EPOLLOUT) {
		if (client_flush(c) < 0 || (c->leaving && unsent(c) == 0)) {
			client_free(c);
			return;
		}
		g = c->group;
		client_watch(c);
		if (g != NULL && c->holds && !attach_group_holds(g)) {
			g->hooks.drained(g->arg);
			return; /* c may be gone */
		}
	}
	if (c->leaving || (c->group != NULL && c->group->paused)) {
		if (!(events & (EPOLLHUP | EPOLLERR)))
			return;
		/* Gone. What it wrote before is still to be read, when the process takes it again. */
		if (c->leaving)
			client_free(c);
		else
			loop_del(&c->watch);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		client_read(c);
}

static void
client_watch(struct client *c)
{
	bool listen = !c->leaving && (c->group == NULL || !c->group->paused);
	uint32_t events = (listen ? EPOLLIN : 0) | (unsent(c) > 0 ? EPOLLOUT : 0);

	if (c->watch != NULL)
		loop_fd_events(c->watch, events);
	else
		c->watch = loop_fd(c->server->loop, c->fd, events, on_client, c);
}

static void
on_listen(void *arg, uint32_t events)
{
	struct attach_server *s = arg;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	(void)events;
	if (fd < 0)
		return;
	if (s->nclients >= CLIENTS_MAX) {
		fd_close(&fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct client){ .next = s->clients, .server = s, .fd = fd };
	s->clients = c;
	s->nclients++;
	c->timer = loop_once(s->loop, HELLO_MS, on_late, c);
	client_watch(c);
	if (c->watch == NULL)
		client_free(c);
}

struct attach_server *
attach_server_new(struct loop *l, int take_listen_fd, attach_find_fn *find, void *arg)
{
	struct attach_server *s = xcalloc(1, sizeof(*s));
	int flags = fcntl(take_listen_fd, F_GETFL);

	*s = (struct attach_server){ .loop = l, .fd = take_listen_fd, .find = find, .arg = arg };
	if (flags >= 0 && fcntl(take_listen_fd, F_SETFL, flags | O_NONBLOCK) == 0)
		s->watch = loop_fd(l, take_listen_fd, EPOLLIN, on_listen, s);
	if (s->watch == NULL) {
		fd_close(&s->fd);
		free_ptr(&s);
	}
	return s;
}

void
attach_server_free(struct attach_server **ps)
{
	struct attach_server *s = *ps;

	if (s == NULL)
		return;
	*ps = NULL;
	while (s->clients != NULL)
		client_free(s->clients);
	loop_del(&s->watch);
	fd_close(&s->fd);
	free(s);
}

bool
attach_server_unsent(const struct attach_server *s)
{
	for (const struct client *c = s->clients; c != NULL; c = c->next)
		if (unsent(c) > 0)
			return true;
	return false;
}

struct attach_group *
attach_group_new(bool terminal, const struct attach_hooks *hooks, void *arg)
{
	struct attach_group *g = xcalloc(1, sizeof(*g));

	*g = (struct attach_group){ .hooks = *hooks, .arg = arg, .terminal = terminal };
	return g;
}

void
attach_group_free(struct attach_group **pg)
{
	struct attach_group *g = *pg;

	if (g == NULL)
		return;
	*pg = NULL;
	if (!g->ended)
		attach_group_end(g);
	free(g);
}

void
attach_group_output(struct attach_group *g, int stream, const char *data, size_t n)
{
	for (struct client *c = g->clients, *next; c != NULL; c = next) {
		next = c->group_next;
		if (!c->holds && unsent(c) + n > BEHIND_MAX)
			client_refuse(c,
			    "more than 1 MiB of output waited to be read: detached, the process "
			    "goes on");
		else
			client_give(c, stream == 2 ? SEND_ERR : SEND_OUT, data, n);
	}
}

void
attach_group_started(struct attach_group *g)
{
	g->started = true;
}

void
attach_group_end(struct attach_group *g)
{
	g->ended = true;
	while (g->clients != NULL) {
		struct client *c = g->clients;

		c->holds = false; /* nothing is left to be held */
		queue_packet(c, SEND_END, "", 0);
		if (client_flush(c) < 0)
			client_free(c);
		else
			client_leave(c);
	}
}

void
attach_group_pause(struct attach_group *g, bool paused)
{
	if (g->paused == paused)
		return;
	g->paused = paused;
	for (struct client *c = g->clients; c != NULL; c = c->group_next)
		client_watch(c);
}
