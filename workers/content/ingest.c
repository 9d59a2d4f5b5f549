/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest - see ingest.h.
 *
 * Bytes are gathered in chunks, each with its place in the blob: filling (the loop's, one per stream that
 * brings some) -> queued -> out (the running job's). A job writes what is out, and hashes on from where
 * the last one stopped: from memory when the next bytes are at hand, else from the file, as far as
 * nothing before them is still on its way.
 *
 * An ingest that is closed while a job runs moves to closing and is freed when the job has ended; when
 * the same digest is opened before that, the closing one is taken up again, so that two never write one
 * file. One that is synced waits in synced for the job that renames; while that runs, others gather.
 */
#include "workers/content/ingest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"

#define INGEST_NAME_MAX (IDENT_MAX + 1 + DIGEST_TEXT_MAX)
#define CHUNK_BYTES INGEST_ADD_MAX
#define CHUNKS_MAX 32	       /* 8 MiB for all downloads together */
#define CHUNKS_EACH 8	       /* for one of them */
#define HASH_PIECE (64U << 10) /* read from the file at once: stays in the cache */
#define HASH_STEP (8ULL << 20) /* read from the file by one job */
#define SYNC_STEP (1ULL << 20) /* the kernel starts to write: the sync at the end has little left */
#define SPANS_FOUND (SPANS_MAX / 2) /* taken up of what is there: the rest is room for what comes */

enum op { OP_NONE, OP_OPEN, OP_WRITE, OP_RESTART, OP_SYNC, OP_PUBLISH };

struct chunk {
	struct chunk *next;
	uint64_t at;
	size_t len;
	char data[CHUNK_BYTES];
};

struct ingest {
	struct blobs *b;
	struct ingest *next; /* in open or closing */
	struct ingest *peer; /* in synced or publishing */
	struct digest digest;
	char name[INGEST_NAME_MAX]; /* of its file */
	uint64_t size;		    /* what it must have; changed between jobs only */
	uint64_t expect;
	struct spans have; /* taken */
	uint64_t hashed;   /* in the file and hashed, as the loop knows it */
	struct chunk *filling, *queued;
	unsigned chunks; /* its own, those of the job too */
	enum op op;	 /* the job that runs */
	bool ready, flushing, finishing, restarting;
	bool wanting;	/* wants to hear of room */
	bool closed;	/* nobody waits for it */
	bool gone;	/* its file was removed when it was closed */
	bool reopening; /* taken up again: what it knows is not what is there */
	ingest_fn *fn;
	void *arg;
	struct board_ingest *slot; /* NULL: none was free */

	/* The running job's: */
	int fd;
	struct hasher *hash;
	uint64_t at;	  /* hashed so far */
	uint64_t hash_to; /* it may read from the file up to here */
	uint64_t unsynced;
	struct chunk *out;  /* to be written */
	struct spans found; /* by OP_OPEN */
	struct err result;
};

static void job_start(struct ingest *in, enum op op);

/* A number that no other ingest has had lately, this worker's earlier lives included. */
static uint32_t
take_next(struct ingests *all)
{
	if (all->take == 0)
		(void)!getrandom(&all->take, sizeof(all->take), 0);
	if (++all->take == 0)
		all->take = 1;
	return all->take;
}

static void
slot_wake(struct board_ingest *s)
{
	__atomic_fetch_add(&s->seq, 1, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &s->seq, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* The slot begins again: whoever follows what was written under the last take reads no further. */
static void
slot_begin(struct ingest *in)
{
	struct board_ingest *s = in->slot;

	if (s == NULL)
		return;
	__atomic_store_n(&s->used, take_next(&in->b->ingests), __ATOMIC_RELEASE);
	__atomic_store_n(&s->total, in->expect, __ATOMIC_RELAXED);
	__atomic_store_n(&s->written, 0, __ATOMIC_RELEASE);
	slot_wake(s);
}

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
		in->slot = s;
		slot_begin(in);
		return;
	}
}

static void
slot_update(struct ingest *in)
{
	if (in->slot == NULL)
		return;
	__atomic_store_n(&in->slot->written, in->hashed, __ATOMIC_RELEASE);
	slot_wake(in->slot);
}

static void
slot_drop(struct ingest *in)
{
	if (in->slot == NULL)
		return;
	__atomic_store_n(&in->slot->used, 0, __ATOMIC_RELEASE);
	slot_wake(in->slot);
	in->slot = NULL;
}

void
ingest_place(const struct ingest *in, struct ingest_place *ret)
{
	*ret = (struct ingest_place){ .name = in->name };
	if (in->slot == NULL)
		return;
	ret->slot = (unsigned)(in->slot - in->b->board->self.ingest);
	ret->take = in->slot->used;
}

/* --- chunks ----------------------------------------------------------------------------------------- */

static bool
no_chunk(const struct ingest *in)
{
	return in->chunks >= CHUNKS_EACH || in->b->ingests.chunks >= CHUNKS_MAX;
}

static struct chunk *
chunk_take(struct ingest *in, uint64_t at)
{
	struct ingests *all = &in->b->ingests;
	struct chunk *c = all->spare;

	if (c != NULL)
		all->spare = c->next;
	else
		c = xcalloc(1, sizeof(*c));
	all->chunks++;
	in->chunks++;
	c->at = at;
	c->len = 0;
	c->next = NULL;
	return c;
}

static void
chunks_drop(struct ingest *in, struct chunk **list)
{
	struct ingests *all = &in->b->ingests;

	while (*list != NULL) {
		struct chunk *c = *list;

		*list = c->next;
		c->next = all->spare;
		all->spare = c;
		all->chunks--;
		in->chunks--;
	}
}

static void
chunk_queue(struct ingest *in, struct chunk *c)
{
	struct chunk **end = &in->queued;

	while (*end != NULL)
		end = &(*end)->next;
	c->next = NULL;
	*end = c;
}

static void
filling_queue(struct ingest *in)
{
	while (in->filling != NULL) {
		struct chunk *c = in->filling;

		in->filling = c->next;
		chunk_queue(in, c);
	}
	in->flushing = false;
}

/* --- jobs: on a thread, with what is theirs ------------------------------------------------------- */

static int
io_failed(struct ingest *in, const char *what)
{
	return err_sys(&in->result, errno, "%s blob %s", what, in->digest.text);
}

/*
 * What an earlier download left: the file's data, not its holes. A hole begins at the end of a block, which
 * may hold zeros behind what was written: that block is taken for a hole too. Where a file system
 * knows nothing of holes, or the hole that was left is smaller than a block, the digest will tell.
 */
static int
spans_find(struct ingest *in)
{
	struct stat st;
	off_t data, end, hole = 0;

	in->found.n = 0;
	if (fstat(in->fd, &st) < 0)
		return io_failed(in, "look at");
	if ((uint64_t)st.st_size > in->size)
		return ftruncate(in->fd, 0) < 0 ? io_failed(in, "truncate") : 0;
	while (in->found.n < SPANS_FOUND && hole < st.st_size) {
		data = lseek(in->fd, hole, SEEK_DATA);
		if (data < 0 || (hole = lseek(in->fd, data, SEEK_HOLE)) < 0)
			break; /* ENXIO: no more */
		end = hole < st.st_size ? hole - st.st_blksize : hole;
		if (end > data)
			(void)spans_add(&in->found, (uint64_t)data, (uint64_t)end);
	}
	return 0;
}

static int
run_open(struct ingest *in)
{
	fd_close(&in->fd);
	hasher_reset(in->hash);
	in->at = in->unsynced = 0;
	/* One that was whole when its worker died may be read-only already. */
	(void)!fchmodat(in->b->ingest_fd, in->name, 0640, 0);
	in->fd = openat(
	    in->b->ingest_fd, in->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (in->fd < 0)
		return io_failed(in, "create");
	if (fchmod(in->fd, 0640) < 0) /* whatever the umask says: snapshot's group reads it */
		return io_failed(in, "set mode of");
	return spans_find(in);
}

static int
run_restart(struct ingest *in)
{
	hasher_reset(in->hash);
	in->at = in->unsynced = 0;
	return ftruncate(in->fd, 0) < 0 ? io_failed(in, "truncate") : 0;
}

static int
chunk_write(struct ingest *in, const struct chunk *c)
{
	if (FAULT_FAILS("content.ingest.write") ||
	    fs_write_all_at(in->fd, c->data, c->len, c->at) < 0)
		return io_failed(in, "write");
	in->unsynced += c->len;
	return 0;
}

/* On from in->at, as far as the file has it. */
static int
hash_file(struct ingest *in)
{
	uint64_t end = in->hash_to - in->at > HASH_STEP ? in->at + HASH_STEP : in->hash_to;
	char piece[HASH_PIECE];

	while (in->at < end) {
		size_t want = end - in->at < sizeof(piece) ? (size_t)(end - in->at) : sizeof(piece);
		ssize_t n = pread(in->fd, piece, want, (off_t)in->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_failed(in, "read");
		if (n == 0)
			return err_set(&in->result, ERR_DATA_LOSS,
			    "blob %s was cut at %llu bytes while it came", in->digest.text,
			    (unsigned long long)in->at);
		hasher_add(in->hash, piece, (size_t)n);
		in->at += (uint64_t)n;
	}
	return 0;
}

static int
run_write(struct ingest *in)
{
	for (const struct chunk *c = in->out; c != NULL; c = c->next) {
		if (c->at == in->at) {
			hasher_add(in->hash, c->data, c->len);
			in->at += c->len;
		}
		if (chunk_write(in, c) < 0)
			return -1;
	}
	/* A hint only: the fsync at the end decides. */
	if (in->unsynced >= SYNC_STEP) {
		(void)sync_file_range(in->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
		in->unsynced = 0;
	}
	return in->at < in->hash_to ? hash_file(in) : 0;
}

static int
run_sync(struct ingest *in)
{
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
	if (fchmod(in->fd, 0440) < 0 || FAULT_FAILS("content.ingest.sync") || fsync(in->fd) < 0)
		return io_failed(in, "sync");
	FAULT_POINT("content.ingest.synced");
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
	case OP_SYNC:
		(void)run_sync(in);
		break;
	case OP_PUBLISH: /* publish_run */
	case OP_NONE:
		break;
	}
}

/* All of b->ingests.publishing: renamed, then one sync of each folder that got some. */
static void
publish_run(void *arg)
{
	struct blobs *b = arg;
	bool touched[COUNT(b->algs)] = { false };

	for (struct ingest *in = b->ingests.publishing; in != NULL; in = in->peer) {
		if (FAULT_FAILS("content.ingest.rename") ||
		    renameat(b->ingest_fd, in->name, b->algs[in->digest.alg],
			digest_hex(&in->digest)) < 0)
			(void)io_failed(in, "store");
		touched[in->digest.alg] = true;
	}
	FAULT_POINT("content.ingest.renamed");
	for (unsigned alg = 0; alg < COUNT(b->algs); alg++) {
		if (!touched[alg] || fsync(b->algs[alg]) == 0)
			continue;
		for (struct ingest *in = b->ingests.publishing; in != NULL; in = in->peer)
			if (in->digest.alg == alg && in->result.code == ERR_NONE)
				(void)io_failed(in, "sync folder of");
	}
}

/* --- the loop's side ------------------------------------------------------------------------------ */

static void
list_remove(struct ingest **at, struct ingest *in)
{
	while (*at != in)
		at = &(*at)->next;
	*at = in->next;
}

static void
ingest_free(struct ingest **inp)
{
	struct ingest *in = *inp;

	slot_drop(in);
	fd_close(&in->fd);
	hasher_free(&in->hash);
	chunks_drop(in, &in->filling);
	chunks_drop(in, &in->queued);
	free_ptr(inp);
}

/* How far the file will have no gap when what is out is written. */
static uint64_t
file_front(const struct ingest *in)
{
	uint64_t front = spans_front(&in->have);

	for (const struct chunk *c = in->filling; c != NULL; c = c->next)
		front = c->at < front ? c->at : front;
	for (const struct chunk *c = in->queued; c != NULL; c = c->next)
		front = c->at < front ? c->at : front;
	return front;
}

static void
write_start(struct ingest *in)
{
	in->out = in->queued;
	in->queued = NULL;
	in->hash_to = file_front(in);
	job_start(in, OP_WRITE);
}

/* What to do now that no job runs. */
static void
job_next(struct ingest *in)
{
	if (in->restarting) {
		in->restarting = in->ready = false;
		in->have.n = 0;
		in->hashed = 0;
		slot_begin(in);
		job_start(in, OP_RESTART);
		return;
	}
	if (in->finishing || in->flushing)
		filling_queue(in);
	if (in->queued != NULL || file_front(in) > in->hashed)
		write_start(in);
	else if (in->finishing)
		job_start(in, OP_SYNC);
}

/* Tells those that wait for room, as far as there is some. */
static void
room_tell(struct blobs *b)
{
	struct ingest *in = b->ingests.open;

	while (in != NULL) {
		if (!in->wanting || no_chunk(in)) {
			in = in->next;
			continue;
		}
		in->wanting = false;
		in->fn(in->arg, INGEST_ROOM, NULL);
		in = b->ingests.open; /* whatever the callback did */
	}
}

static void
closed_end(struct ingest *in)
{
	if (in->gone) /* the job may have made it again */
		(void)unlinkat(in->b->ingest_fd, in->name, 0);
	list_remove(&in->b->ingests.closing, in);
	ingest_free(&in);
}

static void publish_start(struct blobs *b);

static void
synced(struct ingest *in)
{
	in->op = OP_PUBLISH;
	in->peer = in->b->ingests.synced;
	in->b->ingests.synced = in;
	if (in->b->ingests.publishing == NULL)
		publish_start(in->b);
}

/* A job of an open ingest went well. in may be gone after it. */
static void
job_worked(struct ingest *in, enum op op)
{
	if (op == OP_SYNC) {
		synced(in);
		return;
	}
	slot_update(in);
	if (op == OP_PUBLISH) {
		in->fn(in->arg, INGEST_DONE, NULL);
		return;
	}
	job_next(in);
	if (in->ready || in->op == OP_RESTART || in->finishing)
		return;
	in->ready = true;
	in->fn(in->arg, INGEST_READY, NULL);
}

static void
job_done(void *arg)
{
	struct ingest *in = arg;
	struct blobs *b = in->b;
	enum op op = in->op;
	bool worked = in->result.code == ERR_NONE;

	chunks_drop(in, &in->out);
	in->op = OP_NONE;
	in->hashed = in->at;
	in->size = in->expect;
	if (op == OP_OPEN)
		in->have = in->found;
	if (in->closed) {
		closed_end(in);
	} else if (in->reopening && (op != OP_PUBLISH || !worked)) {
		in->reopening = false;
		job_start(in, OP_OPEN);
	} else if (worked) {
		job_worked(in, op);
	} else {
		in->fn(in->arg, INGEST_FAILED, &in->result);
	}
	room_tell(b);
}

static void
publish_done(void *arg)
{
	struct blobs *b = arg;
	struct ingest *in = b->ingests.publishing;

	b->ingests.publishing = NULL;
	if (b->ingests.synced != NULL)
		publish_start(b);
	while (in != NULL) {
		struct ingest *peer = in->peer;

		job_done(in);
		in = peer;
	}
}

static void
publish_start(struct blobs *b)
{
	b->ingests.publishing = b->ingests.synced;
	b->ingests.synced = NULL;
	work_add(b->work, publish_run, publish_done, b);
}

static void
job_start(struct ingest *in, enum op op)
{
	in->op = op;
	in->result = ERR_ZERO;
	work_add(in->b->work, job_run, job_done, in);
}

static struct ingest *
ingest_new(struct blobs *b, const struct digest *d)
{
	struct ingest *in = xcalloc(1, sizeof(*in));

	in->b = b;
	in->digest = *d;
	in->fd = -1;
	in->hash = hasher_new(d->alg);
	return in;
}

struct ingest *
ingest_open(struct blobs *b, const char *scope, const struct digest *d, uint64_t size,
    ingest_fn *fn, void *arg)
{
	struct ingest *in = b->ingests.closing;
	char name[INGEST_NAME_MAX];

	(void)snprintf(name, sizeof(name), "%.*s%s%s", IDENT_MAX, scope,
	    scope[0] == '\0' ? "" : "~", digest_hex(d));
	while (in != NULL && strcmp(in->name, name) != 0)
		in = in->next;
	if (in != NULL) {
		list_remove(&b->ingests.closing, in);
		in->reopening = true;
		in->closed = in->gone = in->ready = in->finishing = in->restarting = false;
		in->flushing = in->wanting = false;
		in->have.n = 0;
	} else {
		in = ingest_new(b, d);
		(void)strcpy(in->name, name);
	}
	ingest_expect(in, size);
	in->fn = fn;
	in->arg = arg;
	in->next = b->ingests.open;
	b->ingests.open = in;
	slot_take(in);
	if (in->op == OP_NONE)
		job_start(in, OP_OPEN);
	return in;
}

/* Nothing that is half full may hold up those who wait. */
static void
want_room(struct ingest *in)
{
	in->wanting = true;
	for (in = in->b->ingests.open; in != NULL; in = in->next)
		ingest_flush(in);
}

/* Copies what fits and takes the chunk off filling when that made it full. */
static size_t
chunk_fill(struct ingest *in, struct chunk **at, const char *p, size_t n)
{
	struct chunk *c = *at;
	size_t fits = n < CHUNK_BYTES - c->len ? n : CHUNK_BYTES - c->len;

	memcpy(c->data + c->len, p, fits);
	c->len += fits;
	if (c->len == CHUNK_BYTES) {
		*at = c->next;
		chunk_queue(in, c);
	}
	return fits;
}

bool
ingest_add(struct ingest *in, uint64_t at, const void *p, size_t n)
{
	struct chunk **c = &in->filling;
	size_t fitted = 0;

	MUST(n <= INGEST_ADD_MAX);
	while (*c != NULL && (*c)->at + (*c)->len != at)
		c = &(*c)->next;
	if ((*c == NULL || CHUNK_BYTES - (*c)->len < n) && no_chunk(in)) {
		want_room(in);
		return false;
	}
	if (*c != NULL)
		fitted = chunk_fill(in, c, p, n);
	if (fitted < n) {
		struct chunk *more = chunk_take(in, at + fitted);

		more->next = in->filling;
		in->filling = more;
		(void)chunk_fill(in, &in->filling, (const char *)p + fitted, n - fitted);
	}
	MUST(spans_add(&in->have, at, at + n));
	if (in->op == OP_NONE)
		job_next(in);
	return true;
}

bool
ingest_full(struct ingest *in)
{
	bool full = no_chunk(in);

	if (full)
		want_room(in);
	return full;
}

void
ingest_flush(struct ingest *in)
{
	in->flushing = in->filling != NULL;
	if (in->op == OP_NONE && in->flushing)
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
	in->have.n = 0;
	chunks_drop(in, &in->filling);
	chunks_drop(in, &in->queued);
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

const struct spans *
ingest_spans(const struct ingest *in)
{
	return &in->have;
}

void
ingest_close(struct ingest **inp, bool keep)
{
	struct ingest *in = *inp;
	struct blobs *b;

	if (in == NULL)
		return;
	*inp = NULL;
	b = in->b;
	slot_drop(in);
	list_remove(&b->ingests.open, in);
	in->gone = !keep || (in->ready && in->have.n == 0);
	if (in->gone) /* it may be renamed in already */
		(void)unlinkat(b->ingest_fd, in->name, 0);
	chunks_drop(in, &in->filling);
	chunks_drop(in, &in->queued);
	if (in->op == OP_NONE) {
		ingest_free(&in);
	} else {
		in->closed = true;
		in->next = b->ingests.closing;
		b->ingests.closing = in;
	}
}

void
ingest_rest(struct blobs *b)
{
	while (b->ingests.spare != NULL) {
		struct chunk *c = b->ingests.spare;

		b->ingests.spare = c->next;
		free_ptr(&c);
	}
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
