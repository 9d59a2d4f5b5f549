/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest - see ingest.h.
 *
 * Two buffers: fill, which the loop's thread appends to, and out, which the running job writes. An
 * ingest that is closed while a job runs moves to blobs->closing and is freed when the job has ended;
 * when the same digest is opened before that, the closing one is taken up again, so that two never
 * write one file.
 */
#include "workers/content/ingest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"

#define FILL_MAX (1U << 20)	/* most bytes that wait for a job */
#define FILL_WRITE (256U << 10) /* enough to be worth a job */
#define SYNC_STEP (16ULL << 20) /* let the kernel start writing every so many bytes */

enum op { OP_NONE, OP_OPEN, OP_WRITE, OP_RESTART, OP_COMMIT };

struct ingest {
	struct blobs *b;
	struct ingest *next; /* in closing */
	struct digest digest;
	uint64_t size; /* what it must have; changed between jobs only */
	uint64_t expect;
	uint64_t written; /* written: as the loop knows it */
	uint64_t at;	  /* the same, as the job knows it */
	int fd;
	struct hasher *hash;
	struct buf fill, out;
	enum op op; /* the job that runs */
	bool ready, flushing, finishing, restarting;
	bool closed;	   /* nobody waits for it */
	bool gone;	   /* its file was removed when it was closed */
	bool reopening;	   /* taken up again although its file was removed */
	struct err result; /* of the job */
	ingest_fn *fn;
	void *arg;
	struct board_ingest *slot; /* NULL: none was free */
};

static void job_start(struct ingest *in, enum op op);

/* The board: what this download is and how far it is, for whoever follows it. */
static void
slot_take(struct ingest *in)
{
	struct board *bd = in->b->board;

	for (unsigned i = 0; bd != NULL && i < BOARD_INGESTS; i++) {
		struct board_ingest *s = &bd->self.ingest[i];

		if (__atomic_load_n(&s->used, __ATOMIC_RELAXED) != 0)
			continue;
		(void)snprintf(s->digest, sizeof(s->digest), "%.79s", in->digest.text);
		__atomic_store_n(&s->total, in->expect, __ATOMIC_RELAXED);
		__atomic_store_n(&s->written, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&s->used, 1, __ATOMIC_RELEASE);
		in->slot = s;
		return;
	}
}

static void
slot_update(struct ingest *in)
{
	struct board_ingest *s = in->slot;

	if (s == NULL)
		return;
	__atomic_store_n(&s->written, in->written, __ATOMIC_RELEASE);
	__atomic_fetch_add(&s->seq, 1, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &s->seq, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void
slot_drop(struct ingest *in)
{
	if (in->slot == NULL)
		return;
	__atomic_store_n(&in->slot->used, 0, __ATOMIC_RELEASE);
	slot_update(in);
	in->slot = NULL;
}

static void
ingest_free(struct ingest **inp)
{
	struct ingest *in = *inp;

	slot_drop(in);
	fd_close(&in->fd);
	hasher_free(&in->hash);
	buf_free(&in->fill);
	buf_free(&in->out);
	free_ptr(inp);
}

/* --- jobs: on a thread, with the ingest to themselves but for fill ------------------------------- */

static int
io_failed(struct ingest *in, const char *what)
{
	return err_sys(&in->result, errno, "%s blob %s", what, in->digest.text);
}

/* Opens the file and hashes what an earlier download left; a file that is too long starts anew. */
static int
run_open(struct ingest *in)
{
	AUTO(free_ptr) char *chunk = xcalloc(1, FILL_WRITE);
	ssize_t n;

	fd_close(&in->fd);
	hasher_reset(in->hash);
	in->at = 0;
	/* One that was whole when its worker died may be read-only already. */
	(void)!fchmodat(in->b->ingest_fd, digest_hex(&in->digest), 0640, 0);
	in->fd = openat(in->b->ingest_fd, digest_hex(&in->digest),
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (in->fd < 0)
		return io_failed(in, "create");
	if (fchmod(in->fd, 0640) < 0) /* whatever the umask says: snapshot's group reads it */
		return io_failed(in, "set mode of");
	while ((n = read(in->fd, chunk, FILL_WRITE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_failed(in, "read");
		hasher_add(in->hash, chunk, (size_t)n);
		in->at += (uint64_t)n;
	}
	return 0;
}

static int
run_restart(struct ingest *in)
{
	hasher_reset(in->hash);
	in->at = 0;
	if (ftruncate(in->fd, 0) < 0 || lseek(in->fd, 0, SEEK_SET) < 0)
		return io_failed(in, "truncate");
	return 0;
}

static int
run_write(struct ingest *in)
{
	uint64_t before = in->at;

	hasher_add(in->hash, in->out.data, in->out.len);
	if (fs_write_all(in->fd, in->out.data, in->out.len) < 0)
		return io_failed(in, "write");
	in->at += in->out.len;
	/* A hint only: the fsync at the end decides. */
	if (before / SYNC_STEP != in->at / SYNC_STEP)
		(void)sync_file_range(in->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return 0;
}

static int
run_commit(struct ingest *in)
{
	int to = in->b->algs[in->digest.alg];
	const char *hex = digest_hex(&in->digest);
	struct digest got;

	if (in->at != in->size)
		return err_set(&in->result, ERR_DATA_LOSS,
		    "blob %s is %llu bytes long, not the %llu that were announced", in->digest.text,
		    (unsigned long long)in->at, (unsigned long long)in->size);
	hasher_digest(in->hash, &got);
	if (!digest_equal(&got, &in->digest))
		return err_set(&in->result, ERR_DATA_LOSS,
		    "blob %s is not what it should be: its digest is %s", in->digest.text,
		    got.text);
	FAULT_POINT("content.ingest.verified");
	if (fchmod(in->fd, 0440) < 0 || fsync(in->fd) < 0)
		return io_failed(in, "sync");
	FAULT_POINT("content.ingest.synced");
	if (renameat(in->b->ingest_fd, hex, to, hex) < 0)
		return io_failed(in, "store");
	FAULT_POINT("content.ingest.renamed");
	if (fsync(to) < 0)
		return io_failed(in, "sync folder of");
	return 0;
}

static void
job_run(void *arg)
{
	struct ingest *in = arg;

	switch (in->op) {
	case OP_OPEN:
		(void)run_open(in); /* the error is in result */
		break;
	case OP_RESTART:
		(void)run_restart(in);
		break;
	case OP_WRITE:
		(void)run_write(in);
		break;
	case OP_COMMIT:
		(void)run_commit(in);
		break;
	case OP_NONE:
		break;
	}
}

/* --- the loop's side ------------------------------------------------------------------------------ */

static void
closing_remove(struct ingest *in)
{
	struct ingest **at = &in->b->closing;

	while (*at != in)
		at = &(*at)->next;
	*at = in->next;
}

/* What to do now that no job runs. */
static void
job_next(struct ingest *in)
{
	if (in->restarting) {
		in->restarting = false;
		in->fill.len = 0;
		in->ready = false;
		job_start(in, OP_RESTART);
	} else if (in->fill.len >= FILL_WRITE ||
		   ((in->finishing || in->flushing) && in->fill.len > 0)) {
		struct buf swap = in->out;

		in->out = in->fill;
		in->fill = swap;
		in->fill.len = 0;
		in->flushing = false;
		job_start(in, OP_WRITE);
	} else if (in->finishing) {
		job_start(in, OP_COMMIT);
	}
}

static void
job_done(void *arg)
{
	struct ingest *in = arg;
	enum op op = in->op;

	in->op = OP_NONE;
	in->written = in->at;
	in->size = in->expect;
	if (in->closed) {
		if (in->gone) /* the job may have made it again */
			(void)unlinkat(in->b->ingest_fd, digest_hex(&in->digest), 0);
		closing_remove(in);
		ingest_free(&in);
		return;
	}
	if (in->reopening && (op != OP_COMMIT || in->result.code != ERR_NONE)) {
		in->reopening = false;
		job_start(in, OP_OPEN);
		return;
	}
	if (in->result.code != ERR_NONE) {
		in->fn(in->arg, INGEST_FAILED, &in->result);
		return;
	}
	slot_update(in);
	if (op == OP_COMMIT) {
		in->fn(in->arg, INGEST_DONE, NULL);
		return;
	}
	if (op == OP_OPEN && in->written > in->size)
		in->restarting = true;
	job_next(in);
	if (in->op == OP_RESTART || in->finishing)
		return;
	if (!in->ready) {
		in->ready = true;
		in->fn(in->arg, INGEST_READY, NULL);
	} else {
		in->fn(in->arg, INGEST_ROOM, NULL);
	}
}

static void
job_start(struct ingest *in, enum op op)
{
	in->op = op;
	in->result = ERR_ZERO;
	work_add(in->b->work, job_run, job_done, in);
}

struct ingest *
ingest_open(struct blobs *b, const struct digest *d, uint64_t size, ingest_fn *fn, void *arg)
{
	struct ingest *in = b->closing;

	while (in != NULL && !digest_equal(&in->digest, d))
		in = in->next;
	if (in != NULL) {
		closing_remove(in);
		in->reopening = in->gone;
		in->closed = in->gone = in->ready = in->finishing = in->restarting = false;
		in->fill.len = 0;
	} else {
		in = xcalloc(1, sizeof(*in));
		in->b = b;
		in->digest = *d;
		in->fd = -1;
		in->hash = hasher_new(d->alg);
		in->fill = in->out = BUF_LIMIT(FILL_MAX);
	}
	ingest_expect(in, size);
	in->fn = fn;
	in->arg = arg;
	slot_take(in);
	if (in->op == OP_NONE)
		job_start(in, OP_OPEN);
	return in;
}

bool
ingest_add(struct ingest *in, const void *p, size_t n)
{
	if (buf_add(&in->fill, p, n) < 0)
		return false;
	if (in->op == OP_NONE)
		job_next(in);
	return true;
}

void
ingest_flush(struct ingest *in)
{
	in->flushing = in->fill.len > 0;
	if (in->op == OP_NONE)
		job_next(in);
}

void
ingest_finish(struct ingest *in)
{
	in->finishing = true;
	if (in->op == OP_NONE)
		job_next(in);
}

void
ingest_restart(struct ingest *in)
{
	in->restarting = true;
	in->finishing = in->ready = false;
	in->fill.len = 0;
	if (in->op == OP_NONE)
		job_next(in);
}

void
ingest_expect(struct ingest *in, uint64_t size)
{
	in->expect = size;
	if (in->op == OP_NONE)
		in->size = size;
}

uint64_t
ingest_offset(const struct ingest *in)
{
	return in->written + (in->op == OP_WRITE ? in->out.len : 0) + in->fill.len;
}

void
ingest_close(struct ingest **inp, bool keep)
{
	struct ingest *in = *inp;

	if (in == NULL)
		return;
	*inp = NULL;
	slot_drop(in);
	in->gone = !keep || ingest_offset(in) == 0;
	if (in->gone) /* it may be renamed in already */
		(void)unlinkat(in->b->ingest_fd, digest_hex(&in->digest), 0);
	if (in->op == OP_NONE) {
		ingest_free(&in);
		return;
	}
	in->closed = true;
	in->next = in->b->closing;
	in->b->closing = in;
}

int
ingest_expire(struct blobs *b, int64_t max_age_s, struct err *e)
{
	int fd = openat(b->ingest_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir_close) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	struct stat st;

	if (dir == NULL)
		return err_sys(e, errno, "list ingests");
	while ((ent = readdir(dir)) != NULL) {
		if (ent->d_name[0] == '.' ||
		    fstatat(b->ingest_fd, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    time(NULL) - st.st_mtime < max_age_s)
			continue;
		if (unlinkat(b->ingest_fd, ent->d_name, 0) == 0)
			log_info("removed the rest of a download: ingest/%s", ent->d_name);
	}
	return 0;
}
