/* SPDX-License-Identifier: Apache-2.0 */
/* input - see input.h */
#include "workers/task/shim/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"

struct input {
	struct loop *loop;
	struct loop_source *watch, *fifo_watch;
	int fd;		     /* -1: not yet, or ended */
	int fifo, fifo_hold; /* hold: our own writing end, so that a client may come and go */
	bool terminal, ending, ended;
	bool told; /* the givers that they are paused */
	struct buf rest;
	input_paused_fn *paused;
	void *arg;
};

static void on_room(void *arg, uint32_t events);
static void on_fifo(void *arg, uint32_t events);

struct input *
input_new(struct loop *l, bool terminal, input_paused_fn *paused, void *arg)
{
	struct input *in = xcalloc(1, sizeof(*in));

	*in = (struct input){ .loop = l,
		.fd = -1,
		.fifo = -1,
		.fifo_hold = -1,
		.terminal = terminal,
		.paused = paused,
		.arg = arg };
	return in;
}

static void
fifo_close(struct input *in)
{
	loop_del(&in->fifo_watch);
	fd_close(&in->fifo);
	fd_close(&in->fifo_hold);
}

/* Nothing is taken any more: ended, or the process has closed its stdin. */
static void
finish(struct input *in)
{
	in->ended = true;
	loop_del(&in->watch);
	fd_close(&in->fd);
	fifo_close(in);
	buf_free(&in->rest);
}

void
input_free(struct input **pin)
{
	struct input *in = *pin;

	if (in == NULL)
		return;
	*pin = NULL;
	finish(in);
	free(in);
}

static bool
full(const struct input *in)
{
	return in->rest.len > 0 || in->fd < 0;
}

static void
fifo_watch(struct input *in)
{
	bool want = in->fifo >= 0 && !full(in);

	if (!want)
		loop_del(&in->fifo_watch);
	else if (in->fifo_watch == NULL)
		in->fifo_watch = loop_fd(in->loop, in->fifo, EPOLLIN, on_fifo, in);
}

/* Writes what waits; < 0 when the process has closed its stdin. */
static int
flush(struct input *in)
{
	while (in->rest.len > 0) {
		ssize_t n = write(in->fd, in->rest.data, in->rest.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		buf_drop(&in->rest, (size_t)n);
	}
	buf_free(&in->rest);
	return 0;
}

static void
end_now(struct input *in)
{
	struct termios t;
	char eof = 4;

	in->ending = false;
	if (!in->terminal) {
		finish(in);
		return;
	}
	/* A terminal cannot be half closed; its end-of-file character says the same to the reader. */
	if (tcgetattr(in->fd, &t) == 0 && (t.c_lflag & ICANON))
		eof = (char)t.c_cc[VEOF];
	(void)!write(in->fd, &eof, 1);
}

static void
tell(struct input *in)
{
	bool full_now = !in->ended && in->rest.len > 0;

	if (full_now == in->told)
		return;
	in->told = full_now;
	in->paused(in->arg, full_now);
}

static void
settle(struct input *in)
{
	if (!in->ended && in->fd >= 0) {
		if (flush(in) < 0) {
			finish(in);
		} else if (in->rest.len > 0) {
			if (in->watch == NULL)
				in->watch = loop_fd(in->loop, in->fd, EPOLLOUT, on_room, in);
		} else {
			loop_del(&in->watch);
			if (in->ending)
				end_now(in);
		}
		fifo_watch(in);
	}
	tell(in);
}

static void
on_room(void *arg, uint32_t events)
{
	(void)events;
	settle(arg);
}

static void
on_fifo(void *arg, uint32_t events)
{
	struct input *in = arg;
	char piece[4096];
	ssize_t n = read(in->fifo, piece, sizeof(piece));

	(void)events;
	if (n > 0) {
		input_write(in, piece, (size_t)n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		fifo_close(in);
		input_end(in);
	}
}

void
input_set_fd(struct input *in, int take_fd)
{
	int flags = fcntl(take_fd, F_GETFL);

	if (flags >= 0)
		(void)fcntl(take_fd, F_SETFL, flags | O_NONBLOCK);
	in->fd = take_fd;
	settle(in);
}

int
input_fifo(struct input *in, const char *path, struct err *e)
{
	in->fifo = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (in->fifo < 0)
		return err_sys(e, errno, "open stdin %s", path);
	in->fifo_hold = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (in->fifo_hold < 0)
		return err_sys(e, errno, "open stdin %s: not a fifo", path);
	return 0;
}

void
input_write(struct input *in, const char *data, size_t n)
{
	if (in->ended || in->ending)
		return;
	(void)buf_add(&in->rest, data, n);
	settle(in);
}

void
input_end(struct input *in)
{
	if (in->ended)
		return;
	in->ending = true;
	settle(in);
}

void
input_close(struct input *in)
{
	if (in->fifo >= 0)
		fd_close(&in->fifo_hold);
	else
		input_end(in);
}
