/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs - see logs.h.
 *
 * A file is known by its inode. At the end of one, if the newest has another inode, the shim has
 * rotated: ours is found among log.1, log.2, ..., read to its end once more (what was written between
 * the last read and the renaming), and the next newer one is opened.
 */
#include "ctr/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"

#define FILES_MAX 64
#define CHUNK (64 * 1024)
#define LINE_LIMIT (256 * 1024) /* the shim cuts lines at 16 KiB; anything longer is not its work */
#define HEAD_MAX 64		/* time, stream, tag */

struct logs {
	struct logs_opts opts;
	char *path;
	int fd, inotify;
	struct stat st; /* of fd, when it was opened */
	off_t at;
	struct buf held;  /* bytes of a line whose end has not come */
	bool mid_line[2]; /* the stream's last piece was a part */
	int last_stream;
};

/* A line of the log, its head taken apart. */
struct line {
	size_t time_len; /* at the start of the line; 0 = not of our form */
	int stream;	 /* 0 stdout, 1 stderr */
	bool part;
	size_t text; /* where the text starts */
};

static struct line
line_parse(const char *s, size_t n)
{
	struct line l = { .stream = 0 };
	const char *space = memchr(s, ' ', n < HEAD_MAX ? n : HEAD_MAX);
	size_t at;

	if (space == NULL || space - s < 20 || s[10] != 'T')
		return l;
	at = (size_t)(space - s) + 1;
	if (n - at < 9 || (memcmp(s + at, "stdout ", 7) != 0 && memcmp(s + at, "stderr ", 7) != 0))
		return l;
	l.stream = s[at + 3] == 'e';
	at += 7;
	if ((s[at] != 'P' && s[at] != 'F') || s[at + 1] != ' ')
		return l;
	l.part = s[at] == 'P';
	l.text = at + 2;
	l.time_len = (size_t)(space - s);
	return l;
}

/* --- printing ------------------------------------------------------------------------------------- */

static FILE *
stream_file(struct logs *l, int stream)
{
	/* So that what goes to one place by two ways stays in order. */
	if (stream != l->last_stream)
		(void)fflush(l->last_stream == 0 ? l->opts.out : l->opts.err);
	l->last_stream = stream;
	return stream == 0 ? l->opts.out : l->opts.err;
}

/* Without its line feed. */
static void
line_print(struct logs *l, const char *s, size_t n)
{
	struct line line = line_parse(s, n);
	FILE *to = stream_file(l, line.stream);

	if (line.time_len > 0 && l->opts.timestamps && !l->mid_line[line.stream])
		(void)fprintf(to, "%.*s ", (int)line.time_len, s);
	(void)fwrite(s + line.text, 1, n - line.text, to);
	if (!line.part)
		(void)fputc('\n', to);
	l->mid_line[line.stream] = line.part;
}

static void
bytes_print(struct logs *l, const char *s, size_t n)
{
	while (n > 0) {
		const char *end = memchr(s, '\n', n);
		size_t len = end == NULL ? n : (size_t)(end - s);

		if (end == NULL) {
			(void)buf_add(&l->held, s, n);
			if (l->held.len > LINE_LIMIT)
				logs_finish(l);
			return;
		}
		if (l->held.len > 0) {
			(void)buf_add(&l->held, s, len);
			line_print(l, l->held.data, l->held.len);
			l->held.len = 0;
		} else {
			line_print(l, s, len);
		}
		s += len + 1;
		n -= len + 1;
	}
}

void
logs_finish(struct logs *l)
{
	if (l->held.len > 0)
		line_print(l, l->held.data, l->held.len);
	l->held.len = 0;
	(void)fflush(l->opts.out);
	(void)fflush(l->opts.err);
}

/* --- files ---------------------------------------------------------------------------------------- */

/* The n-th file, 0 the newest; -1 with errno. */
static int
file_open(const struct logs *l, unsigned n, struct stat *st)
{
	AUTO(free_ptr)
	char *path = n == 0 ? xstrdup(l->path) : xasprintf("%s.%u", l->path, n);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) {
		fd_close(&fd);
		errno = EINVAL;
	}
	return fd;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static void
file_take(struct logs *l, int take_fd, const struct stat *st, off_t at)
{
	fd_close(&l->fd);
	l->fd = take_fd;
	l->st = *st;
	l->at = at;
}

static int
read_to_end(struct logs *l, struct err *e)
{
	AUTO(free_ptr) char *chunk = xcalloc(1, CHUNK);
	struct stat st;
	ssize_t n;

	if (fstat(l->fd, &st) == 0 && st.st_size < l->at)
		l->at = 0; /* it was cut to start again */
	while ((n = pread(l->fd, chunk, CHUNK, l->at)) > 0) {
		l->at += n;
		bytes_print(l, chunk, (size_t)n);
	}
	if (n < 0)
		return err_sys(e, errno, "read log %s", l->path);
	return 0;
}

/* Opens the file that is newer than ours by one. False when ours is the newest. */
static bool
next_file(struct logs *l)
{
	struct stat st, older;
	int fd = file_open(l, 0, &st), old;

	if (fd < 0)
		return false; /* between two renames: the next look finds it */
	for (unsigned i = 1; i < FILES_MAX && !same_file(&st, &l->st); i++) {
		old = file_open(l, i, &older);
		/* Ours, or none: the one before is next. (A file that is gone was read by us, or is
		 * lost.) The same file again: it was renamed under our eyes. */
		if (old < 0 || same_file(&older, &l->st)) {
			struct err ignored = ERR_ZERO;

			fd_close(&old);
			(void)read_to_end(l, &ignored);
			file_take(l, fd, &st, 0);
			return true;
		}
		fd_close(&fd);
		fd = old;
		st = older;
	}
	fd_close(&fd);
	return false;
}

static void
inotify_drain(const struct logs *l)
{
	char events[4096];

	while (read(l->inotify, events, sizeof(events)) > 0)
		;
}

int
logs_read(struct logs *l, struct err *e)
{
	int r;

	inotify_drain(l);
	do {
		r = read_to_end(l, e);
	} while (r == 0 && next_file(l));
	(void)fflush(l->opts.out);
	(void)fflush(l->opts.err);
	if (r == 0 && (ferror(l->opts.out) || ferror(l->opts.err)))
		return err_set(e, ERR_INTERNAL, "write output: %s", strerror(errno));
	return r;
}

/* --- where to start ------------------------------------------------------------------------------- */

/* Does the line at this offset end a line of the container? (Parts do not.) */
static bool
line_counts(int fd, off_t at)
{
	char head[HEAD_MAX + 16];
	ssize_t n = pread(fd, head, sizeof(head), at);

	return n <= 0 || !line_parse(head, (size_t)n).part;
}

/*
 * Walks back over the lines of fd. *left: whole lines still wanted; it comes back as what is to be found
 * in older files. True when enough were found: *ret_at is then behind the last line that is not wanted
 * (and so before the parts of the first one that is).
 */
static bool
tail_find(int fd, off_t size, bool newest, int64_t *left, off_t *ret_at)
{
	AUTO(free_ptr) char *chunk = xcalloc(1, CHUNK);
	off_t at = size, following = size;
	bool last = newest; /* parts at the very end are a line too: its end has not come */

	while (at > 0) {
		size_t n = at < CHUNK ? (size_t)at : CHUNK;

		at -= (off_t)n;
		if (pread(fd, chunk, n, at) != (ssize_t)n)
			return false;
		for (size_t i = n; i > 0 || at == 0; i--) {
			/* The line that starts at `start`: behind a line feed, or first of all. */
			off_t start = at + (off_t)i;
			bool counts;

			if (i > 0 && (chunk[i - 1] != '\n' || start == size))
				continue;
			counts = last || line_counts(fd, start);
			last = false;
			if (counts && (*left)-- == 0) {
				*left = 0;
				*ret_at = following;
				return true;
			}
			following = start;
			if (i == 0)
				break;
		}
	}
	return false;
}

/* Opens the oldest file to be read, at the place to start from. */
static int
find_start(struct logs *l, struct err *e)
{
	int64_t left = l->opts.tail;
	bool found = false;

	for (unsigned i = 0; i < FILES_MAX && !found; i++) {
		struct stat st;
		off_t start = 0;
		int fd = file_open(l, i, &st);

		if (fd < 0 && i == 0)
			return err_sys(e, errno, "open log %s", l->path);
		if (fd < 0)
			break;
		if (i > 0 && same_file(&st, &l->st)) { /* renamed while we looked */
			fd_close(&fd);
			continue;
		}
		if (l->opts.tail == 0) {
			start = st.st_size;
			found = true;
		} else if (l->opts.tail > 0) {
			found = tail_find(fd, st.st_size, i == 0, &left, &start);
		}
		file_take(l, fd, &st, start);
	}
	return 0;
}

static int
watch_folder(struct logs *l, struct err *e)
{
	AUTO(free_ptr) char *dir = xstrdup(l->path);
	char *slash = strrchr(dir, '/');

	if (slash == NULL)
		return err_set(e, ERR_INTERNAL, "log %s: not a path", l->path);
	*slash = '\0';
	l->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (l->inotify < 0 || inotify_add_watch(l->inotify, slash == dir ? "/" : dir,
				  IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return err_sys(e, errno, "watch log folder %s", dir);
	return 0;
}

int
logs_open(const struct logs_opts *o, struct logs **ret, struct err *e)
{
	AUTO(logs_free) struct logs *l = xcalloc(1, sizeof(*l));
	int r;

	l->opts = *o;
	l->path = xstrdup(o->path);
	l->fd = l->inotify = -1;
	r = watch_folder(l, e);
	if (r == 0)
		r = find_start(l, e);
	if (r < 0)
		return r;
	*ret = TAKE(l);
	return 0;
}

int
logs_fd(const struct logs *l)
{
	return l->inotify;
}

void
logs_free(struct logs **lp)
{
	struct logs *l = *lp;

	if (l == NULL)
		return;
	*lp = NULL;
	fd_close(&l->fd);
	fd_close(&l->inotify);
	buf_free(&l->held);
	free(l->path);
	free(l);
}
