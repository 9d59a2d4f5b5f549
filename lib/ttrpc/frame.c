/* SPDX-License-Identifier: Apache-2.0 */
/* frame - see frame.h */
#include "lib/ttrpc/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/ttrpc/ttrpc.h"

/* A peer that asks but does not read its answers is no longer heard while so much waits for it. */
#define UNSENT_PAUSE (8u << 20)
#define READ_STEP 4096

struct frames {
	struct loop *loop;
	struct loop_source *watch;
	int fd;
	frame_fn *on_frame;
	frame_end_fn *on_end;
	void *arg;
	struct buf in, out;
	size_t sent; /* of out */
	bool ended;
	bool *freed; /* set when the frames dies inside one of its own callbacks */
};

static uint32_t
be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
put_be32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

size_t
frames_unsent(const struct frames *fs)
{
	return fs->out.len - fs->sent;
}

static void
watch_again(struct frames *fs)
{
	uint32_t events = frames_unsent(fs) > 0 ? EPOLLOUT : 0;

	if (frames_unsent(fs) < UNSENT_PAUSE)
		events |= EPOLLIN;
	loop_fd_events(fs->watch, events);
}

static void
end(struct frames *fs, const struct err *e)
{
	if (fs->ended)
		return;
	fs->ended = true;
	loop_del(&fs->watch);
	fs->on_end(fs->arg, e);
}

/* 0, or -1 when the connection is broken (errno). */
static int
flush(struct frames *fs)
{
	while (frames_unsent(fs) > 0) {
		ssize_t n = send(fs->fd, fs->out.data + fs->sent, frames_unsent(fs), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		fs->sent += (size_t)n;
	}
	buf_free(&fs->out);
	fs->sent = 0;
	return 0;
}

/* How many more bytes the frame in the making needs; < 0 when its header is not acceptable. */
static int
missing(struct frames *fs, size_t *ret_n, struct err *e)
{
	const unsigned char *h = (const unsigned char *)fs->in.data;
	size_t len;

	if (fs->in.len < FRAME_HEADER) {
		*ret_n = FRAME_HEADER - fs->in.len;
		return 0;
	}
	len = be32(h);
	if (len > TTRPC_MESSAGE_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "ttrpc: frame of %zu bytes, at most %u are allowed", len, TTRPC_MESSAGE_MAX);
	if (be32(h + 4) == 0 || h[8] < FRAME_REQUEST || h[8] > FRAME_DATA)
		return err_set(e, ERR_INVALID_ARGUMENT, "ttrpc: malformed frame header");
	*ret_n = FRAME_HEADER + len - fs->in.len;
	return 0;
}

static void
deliver(struct frames *fs)
{
	struct buf whole = fs->in;
	const unsigned char *h = (const unsigned char *)whole.data;
	struct frame f = { .stream = be32(h + 4),
		.type = h[8],
		.flags = h[9],
		.data = h + FRAME_HEADER,
		.len = whole.len - FRAME_HEADER };

	fs->in = BUF_ZERO; /* the callback may free fs */
	fs->on_frame(fs->arg, &f);
	buf_free(&whole);
}

/* Reads one step. Returns 1 when something was read, 0 when there is nothing now, < 0 at the end. */
static int
read_step(struct frames *fs, struct err *e)
{
	size_t want = 0;
	char *to;
	ssize_t n;
	int r = missing(fs, &want, e);

	if (r < 0)
		return r;
	/* Memory grows with what has come, not with what the header claims. */
	if (want > READ_STEP)
		want = fs->in.len > READ_STEP && want > fs->in.len ? fs->in.len : READ_STEP;
	to = buf_room(&fs->in, want);
	n = recv(fs->fd, to, want, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR
			   ? 0
			   : err_sys(e, errno, "ttrpc: read from peer");
	if (n == 0)
		return err_set(e, ERR_UNAVAILABLE, "ttrpc: connection closed by peer");
	fs->in.len += (size_t)n;
	return 1;
}

static void
readable(struct frames *fs)
{
	struct err e = ERR_ZERO;
	bool freed = false;
	int r;

	/* A bounded number of steps, so that one busy peer does not keep the loop for itself. */
	for (int i = 0; i < 64; i++) {
		size_t left = 1;

		r = read_step(fs, &e);
		if (r == 0)
			break;
		if (r > 0 && (r = missing(fs, &left, &e)) == 0 && left > 0)
			continue;
		if (r < 0) {
			end(fs, &e);
			return;
		}
		fs->freed = &freed;
		deliver(fs);
		if (freed)
			return;
		fs->freed = NULL;
		if (fs->ended)
			return;
	}
	if (fs->in.len == 0)
		buf_free(&fs->in);
}

static void
on_socket(void *arg, uint32_t events)
{
	struct frames *fs = arg;
	struct err e = ERR_ZERO;

	if (events & EPOLLOUT) {
		if (flush(fs) < 0) {
			(void)err_sys(&e, errno, "ttrpc: send to peer");
			end(fs, &e);
			return;
		}
		watch_again(fs);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		readable(fs);
}

struct frames *
frames_new(struct loop *l, int take_fd, frame_fn *on_frame, frame_end_fn *on_end, void *arg)
{
	struct frames *fs;
	struct loop_source *watch;
	int flags = fcntl(take_fd, F_GETFL);

	if (flags < 0 || fcntl(take_fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		fd_close(&take_fd);
		return NULL;
	}
	fs = xcalloc(1, sizeof(*fs));
	watch = loop_fd(l, take_fd, EPOLLIN, on_socket, fs);
	if (watch == NULL) {
		free(fs);
		fd_close(&take_fd);
		return NULL;
	}
	*fs = (struct frames){ .loop = l,
		.watch = watch,
		.fd = take_fd,
		.on_frame = on_frame,
		.on_end = on_end,
		.arg = arg };
	return fs;
}

void
frames_free(struct frames **pfs)
{
	struct frames *fs = *pfs;

	if (fs == NULL)
		return;
	*pfs = NULL;
	if (fs->freed != NULL)
		*fs->freed = true;
	loop_del(&fs->watch);
	fd_close(&fs->fd);
	buf_free(&fs->in);
	buf_free(&fs->out);
	free(fs);
}

int
frames_send(struct frames *fs, uint32_t stream, enum frame_type type, const ProtobufCMessage *m,
    struct err *e)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	unsigned char *to;

	if (len > TTRPC_MESSAGE_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "ttrpc: message of %zu bytes, at most %u are allowed", len, TTRPC_MESSAGE_MAX);
	if (fs->ended)
		return 0; /* its owner has been told */
	if (fs->sent > 0) {
		buf_drop(&fs->out, fs->sent);
		fs->sent = 0;
	}
	to = buf_room(&fs->out, FRAME_HEADER + len);
	put_be32(to, (uint32_t)len);
	put_be32(to + 4, stream);
	to[8] = (unsigned char)type;
	to[9] = 0;
	(void)protobuf_c_message_pack(m, to + FRAME_HEADER);
	fs->out.len += FRAME_HEADER + len;
	/* A broken socket is noticed by the loop (HUP or ERR), where telling is safe. */
	(void)flush(fs);
	watch_again(fs);
	return 0;
}
