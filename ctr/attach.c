/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach - see attach.h.
 *
 * One packet of each direction is in hand at a time:
 *
 *	socket --recv--> out.packet --write--> 1 or 2      no recv while out.left > 0
 *	0      --read--> in.packet  --send-->  socket      no read while in.left > 0
 *
 * A pipe or terminal that poll calls writable takes PIPE_BUF bytes without blocking, so that much is
 * written at a time. Files cannot be polled and never block: they are written whole, and read when the
 * loop comes round.
 */
#include "ctr/attach.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"

#define PACKET_MAX (32 * 1024)
#define WELCOME_MS 10000

#define KEY_DETACH_1 0x10 /* ctrl-p */
#define KEY_DETACH_2 0x11 /* ctrl-q */

enum { TO_CLIENT_HELLO, TO_CLIENT_STDOUT, TO_CLIENT_STDERR, TO_CLIENT_END, TO_CLIENT_ERROR };
enum { TO_SHIM_STDIN, TO_SHIM_EOF };

struct outlet {
	int fd;
	bool pollable, broken;
	struct loop_source *source; /* while it holds us up */
};

struct attach {
	struct loop *loop;
	int sock;
	struct loop_source *source;
	bool tty, welcomed, copying, finished;
	attach_fn *fn;
	void *arg;

	struct outlet outlets[2]; /* stdout, stderr */
	struct outlet *outlet;	  /* whom the packet in hand is for */
	unsigned char out[PACKET_MAX + 1];
	size_t out_at, out_left;
	uint64_t seen;

	bool input, pass_eof, keys, input_pollable, held_key;
	struct loop_source *in_source;
	unsigned char in[PACKET_MAX + 1];
	size_t in_left; /* bytes of the packet in hand, type byte included; 0 = none */
};

static void input_resume(struct attach *a);
static void on_socket(void *arg, uint32_t events);
static void finish(struct attach *a, enum attach_event event, const char *text);

static bool
pollable(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) &&
	       !S_ISBLK(st.st_mode);
}

static void
socket_watch(struct attach *a)
{
	uint32_t events = 0;

	if (a->finished || !a->copying)
		return;
	if (a->source == NULL)
		a->source = loop_fd(a->loop, a->sock, 0, on_socket, a);
	if (a->source == NULL) {
		finish(a, ATTACH_LOST, strerror(errno));
		return;
	}
	if (a->out_left == 0)
		events |= EPOLLIN;
	if (a->in_left > 0)
		events |= EPOLLOUT;
	loop_fd_events(a->source, events);
}

static void
finish(struct attach *a, enum attach_event event, const char *text)
{
	if (a->finished)
		return;
	a->finished = true;
	loop_del(&a->source);
	loop_del(&a->in_source);
	if (a->fn != NULL)
		a->fn(a->arg, event, text);
}

/* --- output --------------------------------------------------------------------------------------- */

static void on_outlet(void *arg, uint32_t events);

static void
outlet_broke(struct attach *a, struct outlet *o)
{
	o->broken = true;
	a->out_left = 0;
	if (a->fn != NULL)
		a->fn(a->arg, ATTACH_BROKEN, strerror(errno));
}

/* Bytes that fd takes without blocking, at least 1; 0 = none now. */
static size_t
outlet_room(const struct outlet *o)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };

	if (!o->pollable)
		return PACKET_MAX;
	return poll(&p, 1, 0) > 0 ? PIPE_BUF : 0;
}

/* Writes what is in hand as far as it goes now. */
static void
output_flush(struct attach *a)
{
	struct outlet *o = a->outlet;

	while (a->out_left > 0) {
		size_t room = outlet_room(o), n = a->out_left < room ? a->out_left : room;
		ssize_t done = n == 0 ? -1 : write(o->fd, a->out + a->out_at, n);

		if (n == 0 || (done < 0 && errno == EAGAIN)) {
			if (o->source == NULL)
				o->source = loop_fd(a->loop, o->fd, EPOLLOUT, on_outlet, a);
			if (o->source != NULL)
				break;
			/* A descriptor that poll knows and epoll does not: wait for it here. */
			(void)poll(&(struct pollfd){ .fd = o->fd, .events = POLLOUT }, 1, 100);
			continue;
		}
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			outlet_broke(a, o);
			break;
		}
		a->out_at += (size_t)done;
		a->out_left -= (size_t)done;
	}
	if (a->out_left == 0)
		loop_del(&o->source);
	socket_watch(a);
}

static void
on_outlet(void *arg, uint32_t events)
{
	(void)events;
	output_flush(arg);
}

static void
take_packet(struct attach *a, size_t n)
{
	switch (a->out[0]) {
	case TO_CLIENT_HELLO:
		a->welcomed = true;
		a->tty = n > 1 && a->out[1] == 1;
		break;
	case TO_CLIENT_STDOUT:
	case TO_CLIENT_STDERR:
		a->outlet = &a->outlets[a->out[0] - TO_CLIENT_STDOUT];
		if (a->outlet->broken)
			break;
		a->out_at = 1;
		a->out_left = n - 1;
		output_flush(a);
		break;
	case TO_CLIENT_END:
		finish(a, ATTACH_END, "");
		break;
	case TO_CLIENT_ERROR:
		a->out[n < sizeof(a->out) ? n : sizeof(a->out) - 1] = '\0';
		finish(a, ATTACH_LOST, (const char *)a->out + 1);
		break;
	default:
		break; /* of a later shim: nothing we could know */
	}
}

static void
output_receive(struct attach *a)
{
	/* A few at a time, so that signals and answers get their turn. */
	for (unsigned i = 0; i < 16 && a->out_left == 0 && !a->finished; i++) {
		ssize_t n = recv(a->sock, a->out, sizeof(a->out), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* The shim left with input of ours unread: the kernel says so once, before it gives
		 * out what the shim had sent. */
		if (n < 0 && errno == ECONNRESET)
			continue;
		if (n <= 0) {
			finish(a, ATTACH_LOST,
			    n < 0 ? strerror(errno) : "the shim closed the connection");
			return;
		}
		a->seen++;
		take_packet(a, (size_t)n);
		if (!a->copying)
			return; /* the welcome: what follows waits for attach_copy */
	}
}

/* --- input ---------------------------------------------------------------------------------------- */

/* Sends the packet in hand; false when it must wait. */
static bool
input_send(struct attach *a)
{
	ssize_t n = send(a->sock, a->in, a->in_left, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
		socket_watch(a);
		return false;
	}
	/* Other failures show on the receiving side, with what was written before. */
	a->in_left = 0;
	return true;
}

static void
input_end(struct attach *a)
{
	a->input = false;
	loop_del(&a->in_source);
	if (!a->pass_eof)
		return;
	a->in[0] = TO_SHIM_EOF;
	a->in_left = 1;
	if (input_send(a))
		socket_watch(a);
}

/* Takes the detach keys out of n bytes at in + 1; returns how many remain, -1 when both came. */
static ssize_t
input_keys(struct attach *a, size_t n)
{
	unsigned char *from = a->in + 1;
	unsigned char kept[PACKET_MAX + 1];
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (a->held_key && from[i] == KEY_DETACH_2)
			return -1;
		if (a->held_key)
			kept[k++] = KEY_DETACH_1;
		a->held_key = from[i] == KEY_DETACH_1;
		if (!a->held_key)
			kept[k++] = from[i];
	}
	memcpy(from, kept, k);
	return (ssize_t)k;
}

static void
input_read(struct attach *a)
{
	/* One byte is left free for a held key. */
	ssize_t n = read(STDIN_FILENO, a->in + 1, PACKET_MAX - 1);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		input_end(a);
		return;
	}
	if (a->keys)
		n = input_keys(a, (size_t)n);
	if (n < 0) {
		finish(a, ATTACH_DETACHED, "");
		return;
	}
	if (n == 0)
		return;
	a->in[0] = TO_SHIM_STDIN;
	a->in_left = (size_t)n + 1;
	if (!input_send(a))
		loop_del(&a->in_source);
}

static void
on_input(void *arg, uint32_t events)
{
	(void)events;
	input_read(arg);
}

/* stdin that cannot be polled: a file, /dev/null. */
static void
on_input_turn(void *arg)
{
	struct attach *a = arg;

	a->in_source = NULL;
	input_read(a);
	input_resume(a);
}

static void
input_resume(struct attach *a)
{
	if (!a->input || a->finished || a->in_left > 0 || a->in_source != NULL)
		return;
	if (a->input_pollable)
		a->in_source = loop_fd(a->loop, STDIN_FILENO, EPOLLIN, on_input, a);
	if (a->in_source == NULL) {
		a->input_pollable = false;
		a->in_source = loop_once(a->loop, 0, on_input_turn, a);
	}
}

/* --- both ----------------------------------------------------------------------------------------- */

static void
on_socket(void *arg, uint32_t events)
{
	struct attach *a = arg;

	if ((events & EPOLLOUT) != 0 && a->in_left > 0 && input_send(a)) {
		socket_watch(a);
		input_resume(a);
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	/* Hung up while our stdout is behind: what is in hand goes out first, then socket_watch looks
	 * again (epoll would report a hang-up without end). */
	if (a->out_left == 0)
		output_receive(a);
	else
		loop_del(&a->source);
}

static int
attach_connect(struct attach *a, const char *path, const char *exec_id, struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *who = exec_id == NULL ? "" : exec_id;
	size_t n = exec_id == NULL ? 1 : strlen(exec_id);

	if (strlen(path) >= sizeof(to.sun_path))
		return err_set(e, ERR_INTERNAL, "attach socket %s: its path is too long", path);
	memcpy(to.sun_path, path, strlen(path) + 1);
	a->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (a->sock < 0)
		return err_sys(e, errno, "make a socket");
	if (connect(a->sock, (struct sockaddr *)&to, sizeof(to)) < 0)
		return err_sys(e, errno, "connect to the shim at %s", path);
	if (send(a->sock, who, n, MSG_NOSIGNAL) < 0)
		return err_sys(e, errno, "talk to the shim at %s", path);
	return 0;
}

static void
on_welcome_event(void *arg, enum attach_event event, const char *text)
{
	char *why = arg;

	(void)event;
	(void)snprintf(why, ERR_MSG_MAX / 2, "%s", text);
}

static int
attach_welcome(struct attach *a, const int *stop, struct err *e)
{
	uint64_t until = clock_mono_ms() + WELCOME_MS;
	char why[ERR_MSG_MAX / 2] = "";

	a->fn = on_welcome_event;
	a->arg = why;
	while (!a->welcomed && !a->finished && clock_mono_ms() < until && *stop == 0)
		loop_turn(a->loop, 200);
	a->fn = NULL;
	if (*stop != 0)
		return err_set(e, ERR_CANCELLED, "interrupted");
	if (a->finished)
		return err_set(e, ERR_UNAVAILABLE, "attach: %s", why);
	if (!a->welcomed)
		return err_set(e, ERR_DEADLINE_EXCEEDED, "attach: the shim does not answer");
	return 0;
}

int
attach_open(struct loop *l, const char *path, const char *exec_id, const int *stop,
    struct attach **ret, struct err *e)
{
	AUTO(attach_free) struct attach *a = xcalloc(1, sizeof(*a));
	int r;

	a->loop = l;
	a->sock = -1;
	for (int i = 0; i < 2; i++)
		a->outlets[i] = (struct outlet){ .fd = i + 1, .pollable = pollable(i + 1) };
	r = attach_connect(a, path, exec_id, e);
	if (r < 0)
		return r;
	a->source = loop_fd(l, a->sock, EPOLLIN, on_socket, a);
	if (a->source == NULL)
		return err_sys(e, errno, "watch the shim's socket");
	r = attach_welcome(a, stop, e);
	if (r < 0)
		return r;
	loop_del(&a->source); /* until attach_copy */
	*ret = TAKE(a);
	return 0;
}

void
attach_copy(struct attach *a, unsigned flags, attach_fn *fn, void *arg)
{
	a->fn = fn;
	a->arg = arg;
	a->copying = true;
	a->input = (flags & ATTACH_INPUT) != 0;
	a->pass_eof = (flags & ATTACH_EOF) != 0;
	a->keys = (flags & ATTACH_KEYS) != 0;
	a->input_pollable = pollable(STDIN_FILENO);
	socket_watch(a);
	input_resume(a);
}

bool
attach_tty(const struct attach *a)
{
	return a->tty;
}

bool
attach_busy(const struct attach *a)
{
	return a->out_left > 0;
}

uint64_t
attach_seen(const struct attach *a)
{
	return a->seen;
}

void
attach_free(struct attach **ap)
{
	struct attach *a = *ap;

	if (a == NULL)
		return;
	*ap = NULL;
	loop_del(&a->source);
	loop_del(&a->in_source);
	for (int i = 0; i < 2; i++)
		loop_del(&a->outlets[i].source);
	fd_close(&a->sock);
	free(a);
}
