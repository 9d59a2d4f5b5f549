/* SPDX-License-Identifier: Apache-2.0 */
/* stdio - see stdio.h */
#include "workers/task/shim/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/ttrpc/shim.h"
#include "workers/task/shim/crilog.h"
#include "workers/task/shim/input.h"
#include "workers/task/shim/outfile.h"

#define PIECE 16384
/* What a process wrote to its terminal reaches the master a little later; a terminal that a child holds
 * open has no other end. */
#define TERMINAL_GRACE_MS 100

struct stream {
	struct stdio *io;
	struct loop_source *watch, *grace;
	int number;    /* 1, 2 */
	int fd, child; /* our end, the process' end */
	struct outfile *file;
	bool done; /* nothing more is passed on */
};

struct stdio {
	struct loop *loop;
	struct attach_group *clients; /* NULL without an attach socket */
	struct crilog *log;
	struct input *in; /* NULL: /dev/null */
	int child_in;
	struct stream out[2];
	struct loop_source *resume;
	bool terminal, started, exited, ended;
};

static void on_stream(void *arg, uint32_t events);

/* --- who holds the output up --------------------------------------------------------------------- */

static bool
held(const struct stdio *io)
{
	if (io->clients != NULL && attach_group_holds(io->clients))
		return true;
	for (int i = 0; i < 2; i++)
		if (io->out[i].file != NULL && outfile_holds(io->out[i].file))
			return true;
	return false;
}

static void
streams_watch(struct stdio *io)
{
	bool want = io->started && !held(io);

	for (int i = 0; i < 2; i++) {
		struct stream *s = &io->out[i];

		/* Unwatched rather than with no events: a hangup would be told for ever. */
		if (!want || s->fd < 0)
			loop_del(&s->watch);
		else if (s->watch == NULL)
			s->watch = loop_fd(io->loop, s->fd, EPOLLIN, on_stream, s);
	}
}

static void
on_resume(void *arg)
{
	struct stdio *io = arg;

	io->resume = NULL;
	streams_watch(io);
	if (io->exited)
		stdio_exited(io);
}

/* Not at once: whoever calls may be in the middle of giving output away. */
static void
resume_later(void *arg)
{
	struct stdio *io = arg;

	if (io->resume == NULL)
		io->resume = loop_once(io->loop, 0, on_resume, io);
}

/* --- output -------------------------------------------------------------------------------------- */

static void
stream_done(struct stream *s)
{
	struct stdio *io = s->io;

	if (s->done)
		return;
	s->done = true;
	loop_del(&s->grace);
	if (io->log != NULL)
		crilog_flush(io->log, s->number);
	/* a fifo's reader waits for this end; what the fifo did not take yet goes with it */
	outfile_close(&s->file);
	if (!io->out[0].done || !io->out[1].done || io->ended)
		return;
	io->ended = true;
	crilog_close(&io->log);
	if (io->clients != NULL)
		attach_group_end(io->clients);
}

static void
on_grace(void *arg)
{
	struct stream *s = arg;

	s->grace = NULL;
	stream_done(s);
}

/* One piece. Returns > 0 when there was one, 0 when there is nothing now, < 0 at the end. */
static int
stream_read(struct stream *s)
{
	struct stdio *io = s->io;
	char piece[PIECE];
	ssize_t n = read(s->fd, piece, sizeof(piece));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) /* EIO: the last one has closed the terminal */
		return -1;
	if (s->done)
		return 1;
	if (io->log != NULL)
		crilog_write(io->log, s->number, piece, (size_t)n);
	if (s->file != NULL)
		outfile_write(s->file, piece, (size_t)n);
	if (io->clients != NULL)
		attach_group_output(io->clients, s->number, piece, (size_t)n);
	return 1;
}

static void
stream_close(struct stream *s)
{
	loop_del(&s->watch);
	fd_close(&s->fd);
	stream_done(s);
}

static void
on_stream(void *arg, uint32_t events)
{
	struct stream *s = arg;
	struct stdio *io = s->io;

	(void)events;
	if (stream_read(s) < 0) {
		stream_close(s);
		return;
	}
	if (s->grace != NULL) { /* the terminal is not quiet yet */
		loop_del(&s->grace);
		s->grace = loop_once(io->loop, TERMINAL_GRACE_MS, on_grace, s);
	}
	if (held(io))
		streams_watch(io);
}

/* After the process' end: what it wrote is all in the pipe. */
static void
stream_drain(struct stream *s)
{
	int r = 1;

	while (s->fd >= 0 && !s->done && !held(s->io) && (r = stream_read(s)) > 0)
		;
	if (r < 0)
		stream_close(s);
	else if (r == 0 && !s->io->terminal)
		stream_done(s);
	else if (r == 0 && s->grace == NULL && !s->done)
		s->grace = loop_once(s->io->loop, TERMINAL_GRACE_MS, on_grace, s);
}

void
stdio_exited(struct stdio *io)
{
	io->exited = true;
	for (int i = 0; i < 2; i++)
		stream_drain(&io->out[i]);
	streams_watch(io);
	if (io->in != NULL)
		input_free(&io->in);
}

/* --- input and clients --------------------------------------------------------------------------- */

static void
on_input_paused(void *arg, bool paused)
{
	struct stdio *io = arg;

	if (io->clients != NULL)
		attach_group_pause(io->clients, paused);
}

static void
on_client_input(void *arg, const char *data, size_t n)
{
	struct stdio *io = arg;

	if (io->in != NULL && n > 0)
		input_write(io->in, data, n);
}

static void
on_client_input_end(void *arg)
{
	struct stdio *io = arg;

	if (io->in != NULL)
		input_end(io->in);
}

/* --- life ---------------------------------------------------------------------------------------- */

static bool
is_attach(const char *what)
{
	return what[0] == '\0' || strcmp(what, SHIM_STDIO_ATTACH) == 0;
}

static int
open_log(struct stdio *io, const struct place *p, const char *out, struct err *e)
{
	AUTO(free_ptr) char *text = NULL;
	struct crilog_spec spec = {
		.gid = p->gid, .max_size = CRILOG_SIZE, .max_files = CRILOG_FILES
	};

	if (strncmp(out, "cri-log://", 10) == 0) {
		text = xstrdup(out);
		if (crilog_uri(text, &spec, e) < 0)
			return -(int)e->code;
	} else if (p->log_dir[0] != '\0') {
		text = xasprintf("%s/log", p->log_dir);
		spec.path = text;
	} else {
		return 0;
	}
	return crilog_open(&spec, &io->log, e);
}

static int
pipe_make(const struct stdio_spec *spec, int fd[2], struct err *e)
{
	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	if ((spec->uid == 0 && spec->gid == 0) || fchown(fd[0], spec->uid, spec->gid) == 0)
		return 0;
	(void)err_sys(e, errno, "give a pipe to %u:%u", spec->uid, spec->gid);
	fd_close(&fd[0]);
	fd_close(&fd[1]);
	return -(int)e->code;
}

static int
open_stream(struct stdio *io, int i, const char *what, const struct stdio_spec *spec, struct err *e)
{
	struct stream *s = &io->out[i];
	bool elsewhere = !is_attach(what) && strncmp(what, "cri-log://", 10) != 0;
	int fd[2];

	if (elsewhere && outfile_open(io->loop, what, resume_later, io, &s->file, e) < 0)
		return -(int)e->code;
	if (io->terminal || (s->file == NULL && io->clients == NULL && io->log == NULL))
		return 0; /* the terminal comes later; nobody listens: /dev/null */
	if (pipe_make(spec, fd, e) < 0)
		return -(int)e->code;
	(void)fcntl(fd[0], F_SETFL, O_NONBLOCK);
	s->fd = fd[0];
	s->child = fd[1];
	return 0;
}

static int
open_input(struct stdio *io, const struct stdio_spec *spec, struct err *e)
{
	const char *what = spec->in;
	int fd[2];

	if (what[0] == '\0' && !io->terminal)
		return 0;
	io->in = input_new(io->loop, io->terminal, on_input_paused, io);
	if (!is_attach(what)) {
		const char *path = strncmp(what, "fifo://", 7) == 0 ? what + 7 : what;

		if (input_fifo(io->in, path, e) < 0)
			return -(int)e->code;
	}
	if (io->terminal)
		return 0;
	if (pipe_make(spec, fd, e) < 0)
		return -(int)e->code;
	io->child_in = fd[0];
	input_set_fd(io->in, fd[1]);
	return 0;
}

static int
open_all(struct stdio *io, const struct place *p, const struct stdio_spec *spec, struct err *e)
{
	static const struct attach_hooks hooks = {
		.input = on_client_input, .input_end = on_client_input_end, .drained = resume_later
	};
	const char *asked[] = { spec->in, spec->out, spec->err };

	for (size_t i = 0; p->attach[0] == '\0' && i < COUNT(asked); i++)
		if (strcmp(asked[i], SHIM_STDIO_ATTACH) == 0)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "stdio \"%s\": this shim has no attach socket", SHIM_STDIO_ATTACH);
	if (p->attach[0] != '\0')
		io->clients = attach_group_new(spec->terminal, &hooks, io);
	if ((spec->logged || strncmp(spec->out, "cri-log://", 10) == 0) &&
	    open_log(io, p, spec->out, e) < 0)
		return -(int)e->code;
	if (open_stream(io, 0, spec->out, spec, e) < 0 ||
	    (!spec->terminal && open_stream(io, 1, spec->err, spec, e) < 0) ||
	    open_input(io, spec, e) < 0)
		return -(int)e->code;
	return 0;
}

int
stdio_new(struct loop *l, const struct place *p, const struct stdio_spec *spec,
    struct stdio **ret_io, struct err *e)
{
	struct stdio *io = xcalloc(1, sizeof(*io));

	*io = (struct stdio){ .loop = l, .child_in = -1, .terminal = spec->terminal };
	for (int i = 0; i < 2; i++)
		io->out[i] = (struct stream){ .io = io, .number = i + 1, .fd = -1, .child = -1 };
	if (open_all(io, p, spec, e) < 0) {
		stdio_free(&io);
		return -(int)e->code;
	}
	*ret_io = io;
	return 0;
}

static void
close_child_ends(struct stdio *io)
{
	fd_close(&io->child_in);
	for (int i = 0; i < 2; i++)
		fd_close(&io->out[i].child);
}

void
stdio_free(struct stdio **pio)
{
	struct stdio *io = *pio;

	if (io == NULL)
		return;
	*pio = NULL;
	close_child_ends(io);
	/* What the process wrote last: at most what its pipes hold, to whoever can take it. */
	for (int i = 0; i < 2; i++) {
		struct stream *s = &io->out[i];

		if (io->started)
			for (int n = 0; n < 16 && s->fd >= 0 && stream_read(s) > 0; n++)
				;
		stream_close(s);
		outfile_close(&s->file);
	}
	input_free(&io->in);
	crilog_close(&io->log);
	attach_group_free(&io->clients);
	loop_del(&io->resume);
	free(io);
}

void
stdio_child_fds(const struct stdio *io, int fds[3])
{
	fds[0] = io->child_in;
	fds[1] = io->out[0].child;
	fds[2] = io->out[1].child;
}

int
stdio_words_fd(const struct stdio *io)
{
	return io->out[1].fd >= 0 ? io->out[1].fd : io->out[0].fd;
}

void
stdio_terminal(struct stdio *io, int take_fd)
{
	int flags = fcntl(take_fd, F_GETFL), in = fcntl(take_fd, F_DUPFD_CLOEXEC, 3);

	if (flags >= 0)
		(void)fcntl(take_fd, F_SETFL, flags | O_NONBLOCK);
	io->out[0].fd = take_fd;
	/* a second number: one descriptor can be watched for one purpose only */
	if (in >= 0)
		input_set_fd(io->in, in);
}

void
stdio_started(struct stdio *io)
{
	io->started = true;
	close_child_ends(io);
	if (io->clients != NULL)
		attach_group_started(io->clients);
	for (int i = 0; i < 2; i++)
		if (io->out[i].fd < 0)
			stream_done(&io->out[i]);
	streams_watch(io);
}

void
stdio_close_stdin(struct stdio *io)
{
	if (io->in != NULL)
		input_close(io->in);
}

int
stdio_resize(struct stdio *io, unsigned width, unsigned height, struct err *e)
{
	struct winsize ws = { .ws_row = (unsigned short)height, .ws_col = (unsigned short)width };

	if (!io->terminal)
		return err_set(e, ERR_FAILED_PRECONDITION, "the process has no terminal");
	if (width > USHRT_MAX || height > USHRT_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "a terminal is not that large");
	if (io->out[0].fd < 0 || ioctl(io->out[0].fd, TIOCSWINSZ, &ws) < 0)
		return err_sys(e, io->out[0].fd < 0 ? ENOTTY : errno, "resize the terminal");
	return 0;
}

struct attach_group *
stdio_clients(const struct stdio *io)
{
	return io->clients;
}
