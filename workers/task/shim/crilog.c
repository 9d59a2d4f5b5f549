/* SPDX-License-Identifier: Apache-2.0 */
/* crilog - see crilog.h */
#include "workers/task/shim/crilog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define BATCH 32 /* lines per write */
#define HEAD_MAX 64

struct crilog {
	char *path;
	gid_t gid;
	uint64_t max_size, size;
	unsigned max_files;
	int fd;
	uint64_t lost; /* lines, since the last one that was written */
	struct buf held[2];
};

/* Lines on their way into one writev. */
struct batch {
	struct crilog *log;
	const char *when;
	int stream;
	unsigned n;
	size_t bytes;
	char head[BATCH][HEAD_MAX];
	struct iovec iov[3 * BATCH];
};

static int
log_open_file(struct crilog *log, struct err *e)
{
	struct stat st;
	int fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0 || fstat(fd, &st) < 0 || fchown(fd, (uid_t)-1, log->gid) < 0) {
		int keep = errno;

		fd_close(&fd);
		return err_sys(e, keep, "open log %s", log->path);
	}
	log->fd = fd;
	log->size = (uint64_t)st.st_size;
	return 0;
}

/* Makes the last two folders of the path (namespace, container) for root and the log's group. */
static int
make_folders(const char *path, gid_t gid, struct err *e)
{
	char dir[PATH_MAX];
	char *last, *before;

	if (snprintf(dir, sizeof(dir), "%s", path) >= (int)sizeof(dir))
		return err_sys(e, ENAMETOOLONG, "open log");
	last = strrchr(dir, '/');
	if (last == NULL || last == dir)
		return 0;
	*last = '\0';
	before = strrchr(dir, '/');
	for (int i = 0; i < 2; i++) {
		if (i == 0 && (before == NULL || before == dir))
			continue;
		if (i == 0)
			*before = '\0';
		if (mkdir(dir, 0750) == 0)
			(void)!chown(
			    dir, (uid_t)-1, gid); /* root can; else it stays root's alone */
		else if (errno != EEXIST)
			return err_sys(e, errno, "make folder %s", dir);
		if (i == 0)
			*before = '/';
	}
	return 0;
}

int
crilog_open(const struct crilog_spec *spec, struct crilog **ret_log, struct err *e)
{
	struct crilog *log;

	if (make_folders(spec->path, spec->gid, e) < 0)
		return -(int)e->code;
	log = xcalloc(1, sizeof(*log));
	*log = (struct crilog){ .path = xstrdup(spec->path),
		.gid = spec->gid,
		.max_size = spec->max_size,
		.max_files = spec->max_files == 0 ? 1 : spec->max_files,
		.fd = -1 };
	if (log_open_file(log, e) < 0) {
		crilog_close(&log);
		return -(int)e->code;
	}
	*ret_log = log;
	return 0;
}

void
crilog_close(struct crilog **plog)
{
	struct crilog *log = *plog;

	if (log == NULL)
		return;
	*plog = NULL;
	for (int s = 1; s <= 2 && log->fd >= 0; s++)
		crilog_flush(log, s);
	buf_free(&log->held[0]);
	buf_free(&log->held[1]);
	fd_close(&log->fd);
	free(log->path);
	free(log);
}

/* log -> log.1 -> log.2 ..; the last one is replaced. What cannot be renamed is simply appended to. */
static void
rotate(struct crilog *log)
{
	struct err e = ERR_ZERO;
	char from[PATH_MAX + 16], to[PATH_MAX + 16];

	if (log->max_files < 2) {
		(void)!ftruncate(log->fd, 0);
		log->size = 0;
		return;
	}
	for (unsigned i = log->max_files - 1; i > 0; i--) {
		(void)snprintf(to, sizeof(to), "%s.%u", log->path, i);
		if (i > 1)
			(void)snprintf(from, sizeof(from), "%s.%u", log->path, i - 1);
		else
			(void)snprintf(from, sizeof(from), "%s", log->path);
		(void)rename(from, to);
	}
	fd_close(&log->fd);
	if (log_open_file(log, &e) < 0)
		log_error("%s", e.msg);
}

static void
batch_send(struct batch *b)
{
	struct crilog *log = b->log;
	struct err ignored = ERR_ZERO;
	ssize_t n;

	if (b->n == 0)
		return;
	if (log->max_size != 0 && log->size > 0 && log->size + b->bytes > log->max_size)
		rotate(log);
	if (log->fd < 0 && log_open_file(log, &ignored) < 0) {
		log->lost += b->n;
	} else {
		n = writev(log->fd, b->iov, (int)(3 * b->n));
		if (n == (ssize_t)b->bytes) {
			log->size += b->bytes;
			if (log->lost > 0)
				log_warn("%s: %" PRIu64 " lines were lost", log->path, log->lost);
			log->lost = 0;
		} else {
			log->lost += b->n;
			if (n > 0) /* no half line */
				(void)!ftruncate(log->fd, (off_t)log->size);
		}
	}
	b->n = 0;
	b->bytes = 0;
}

static void
batch_add(struct batch *b, char tag, const char *text, size_t len)
{
	struct iovec *iov = b->iov + 3 * b->n;
	char *head = b->head[b->n];
	int n = snprintf(
	    head, HEAD_MAX, "%s %s %c ", b->when, b->stream == 2 ? "stderr" : "stdout", tag);

	iov[0] = (struct iovec){ head, (size_t)n };
	iov[1] = (struct iovec){ (void *)(uintptr_t)text, len };
	iov[2] = (struct iovec){ (void *)(uintptr_t) "\n", 1 };
	b->bytes += (size_t)n + len + 1;
	if (++b->n == BATCH)
		batch_send(b);
}

/* The start of data completes what is held. Returns how much of data was used. */
static size_t
finish_held(struct batch *b, struct buf *held, const char *data, size_t n)
{
	const char *nl = memchr(data, '\n', n);
	size_t len = nl == NULL ? n : (size_t)(nl - data), room = CRILOG_PART - held->len;
	bool whole = nl != NULL && len <= room;
	size_t take = len < room ? len : room;

	(void)buf_add(held, data, take);
	if (!whole && held->len < CRILOG_PART)
		return take; /* still no end */
	batch_add(b, whole ? 'F' : 'P', held->data, held->len);
	batch_send(b); /* before held changes */
	buf_free(held);
	return take + whole;
}

void
crilog_write(struct crilog *log, int stream, const char *data, size_t n)
{
	char when[CLOCK_TEXT_MAX];
	struct buf *held = &log->held[stream == 2];
	struct batch b;

	b.log = log;
	b.when = clock_text(clock_real_ns(), when);
	b.stream = stream;
	b.n = 0;
	b.bytes = 0;
	while (n > 0) {
		const char *nl;
		size_t used;

		if (held->len > 0) {
			used = finish_held(&b, held, data, n);
		} else if ((nl = memchr(data, '\n', n < CRILOG_PART + 1 ? n : CRILOG_PART + 1)) !=
			   NULL) {
			batch_add(&b, 'F', data, (size_t)(nl - data));
			used = (size_t)(nl - data) + 1;
		} else if (n >= CRILOG_PART) {
			batch_add(&b, 'P', data, CRILOG_PART);
			used = CRILOG_PART;
		} else {
			(void)buf_add(held, data, n);
			used = n;
		}
		data += used;
		n -= used;
	}
	batch_send(&b);
}

void
crilog_flush(struct crilog *log, int stream)
{
	struct buf *held = &log->held[stream == 2];

	if (held->len > 0)
		crilog_write(log, stream, "\n", 1);
}

/* A number up to max; false when it is not one. */
static bool
number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *ret <= max;
}

int
crilog_uri(char *uri, struct crilog_spec *spec, struct err *e)
{
	static const char scheme[] = "cri-log://";
	char *path = uri + strlen(scheme), *query, *kv;
	uint64_t v;

	if (strncmp(uri, scheme, strlen(scheme)) != 0 || path[0] != '/')
		return err_set(e, ERR_INVALID_ARGUMENT, "log %.200s: not cri-log:///PATH", uri);
	query = strchr(path, '?');
	if (query != NULL)
		*query++ = '\0';
	while ((kv = strsep(&query, "&")) != NULL) {
		if (strncmp(kv, "max-size=", 9) == 0 && number(kv + 9, UINT64_MAX / 2, &v))
			spec->max_size = v;
		else if (strncmp(kv, "max-files=", 10) == 0 && number(kv + 10, 1000, &v))
			spec->max_files = (unsigned)v;
		else
			return err_set(e, ERR_INVALID_ARGUMENT, "log option %.100s: not known", kv);
	}
	spec->path = path;
	return 0;
}
