/* SPDX-License-Identifier: Apache-2.0 */
/* outfile - see outfile.h */
#include "workers/task/shim/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"

#define READER_WAIT_MS 10000

struct outfile {
	struct loop *loop;
	struct loop_source *watch, *timer;
	int fd, reader; /* reader: our own hold on a fifo, -1 later */
	struct buf rest;
	loop_timer_fn *drained;
	void *arg;
};

static void
on_reader_wait(void *arg)
{
	struct outfile *f = arg;

	f->timer = NULL;
	fd_close(&f->reader);
}

static int
open_fifo(struct outfile *f, const char *path, struct err *e)
{
	f->reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (f->reader < 0)
		return err_sys(e, errno, "open fifo %s", path);
	f->fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (f->fd < 0)
		return err_sys(e, errno, "open fifo %s", path);
	f->timer = loop_once(f->loop, READER_WAIT_MS, on_reader_wait, f);
	return 0;
}

static int
open_any(struct outfile *f, const char *what, struct err *e)
{
	const char *path = what;
	bool fifo = false, file = false;
	struct stat st;

	if (strncmp(what, "fifo://", 7) == 0)
		fifo = true, path += 7;
	else if (strncmp(what, "file://", 7) == 0)
		file = true, path += 7;
	else if (strstr(what, "://") != NULL)
		return err_set(e, ERR_UNIMPLEMENTED, "output to %.200s: not supported", what);
	if (path[0] != '/')
		return err_set(e, ERR_INVALID_ARGUMENT, "output to %.200s: not absolute", what);
	if (!file && stat(path, &st) < 0)
		return err_sys(e, errno, "output to %s", path);
	if (!file && S_ISFIFO(st.st_mode))
		return open_fifo(f, path, e);
	if (fifo || (!file && !S_ISREG(st.st_mode)))
		return err_set(e, ERR_INVALID_ARGUMENT, "output to %.200s: not a fifo", what);
	f->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0644);
	return f->fd < 0 ? err_sys(e, errno, "output to %s", path) : 0;
}

int
outfile_open(struct loop *l, const char *what, loop_timer_fn *drained, void *arg,
    struct outfile **ret_f, struct err *e)
{
	struct outfile *f = xcalloc(1, sizeof(*f));

	*f = (struct outfile){ .loop = l, .fd = -1, .reader = -1, .drained = drained, .arg = arg };
	if (open_any(f, what, e) < 0) {
		outfile_close(&f);
		return -(int)e->code;
	}
	*ret_f = f;
	return 0;
}

void
outfile_close(struct outfile **pf)
{
	struct outfile *f = *pf;

	if (f == NULL)
		return;
	*pf = NULL;
	loop_del(&f->watch);
	loop_del(&f->timer);
	fd_close(&f->fd);
	fd_close(&f->reader);
	buf_free(&f->rest);
	free(f);
}

/* Writes what the fifo takes. Returns how many bytes are done with; without a reader all are. */
static size_t
put(struct outfile *f, const char *data, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t w = write(f->fd, data + done, n - done);

		if (w > 0)
			done += (size_t)w;
		else if (w < 0 && errno == EAGAIN)
			return done;
		else if (w == 0 || errno != EINTR)
			return n; /* no reader, disk full: dropped */
	}
	return done;
}

static void
on_room(void *arg, uint32_t events)
{
	struct outfile *f = arg;

	(void)events;
	buf_drop(&f->rest, put(f, f->rest.data, f->rest.len));
	if (f->rest.len > 0)
		return;
	buf_free(&f->rest);
	loop_del(&f->watch);
	f->drained(f->arg);
}

void
outfile_write(struct outfile *f, const char *data, size_t n)
{
	size_t done = f->rest.len > 0 ? 0 : put(f, data, n);

	if (done == n)
		return;
	(void)buf_add(&f->rest, data + done, n - done);
	if (f->watch == NULL)
		f->watch = loop_fd(f->loop, f->fd, EPOLLOUT, on_room, f);
	if (f->watch == NULL)
		buf_free(&f->rest);
}

bool
outfile_holds(const struct outfile *f)
{
	return f->rest.len > 0;
}
