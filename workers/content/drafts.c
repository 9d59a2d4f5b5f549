/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drafts - see drafts.h.
 *
 * An operation (op) is a call on its way through its draft's queue: run on a thread, then ended on the
 * loop. Its data is its own, so that a caller who gives up takes nothing away from under the thread.
 */
#include "workers/content/drafts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "lib/filter/page.h"
#include "workers/content/gc.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"
#include "lib/filter/labels.h"
#include "workers/content/leases.h"
#include "workers/content/pull.h"
#include "workers/content/tree.h"

#define OPEN_MAX 256	 /* drafts spoken to at the same time */
#define REST_S 30	 /* so long without an operation closes one */
#define CHUNK (1U << 20) /* for hashing what is there */

enum op_kind { OP_WRITE, OP_COMMIT, OP_ABORT };

struct op {
	struct content_note note;
	struct op *next;
	struct draft *draft;
	struct call *call; /* NULL: its caller gave up */
	enum op_kind kind;
	uint64_t offset; /* write: where; commit: the size it must have, 0 = any */
	char *data;
	size_t n;
	const struct kvs *labels; /* commit: in the call's arena */
	struct digest digest;	  /* commit: must have (text "" = any), then: has */
	bool linked;		  /* commit: this op put it into blobs/ */
	struct err err;
};

struct draft {
	struct draft *next;
	struct content *c;
	char ns[IDENT_MAX + 1];
	char file[65];
	struct arena arena; /* row's texts */
	struct ingest_info row;
	int fd; /* -1: not opened yet, or after a failure: the next operation does */
	struct hasher *hash;
	enum digest_alg alg;
	uint64_t at;
	bool gone; /* no row any more */
	struct op *running, *first, **last;
	uint64_t used_ms;
};

static void pump(struct draft *d);

static void
file_name(char file[65], const char *ns, const char *ref)
{
	AUTO(free_ptr) char *text = xasprintf("%s/%s", ns, ref);
	struct digest d;

	digest_of(DIGEST_SHA256, text, strlen(text), &d);
	(void)snprintf(file, 65, "%s", digest_hex(&d));
}

/* --- on a thread ----------------------------------------------------------------------------------- */

static int
io_failed(struct op *op, const char *what)
{
	return err_sys(&op->err, errno, "%s ingest %.200s", what, op->draft->row.ref);
}

/* A new, empty file. What was there may have a second name as a blob: it is not written to. */
static int
file_make(struct op *op)
{
	struct draft *d = op->draft;

	fd_close(&d->fd);
	hasher_reset(d->hash);
	d->at = 0;
	if (unlinkat(d->c->drafts_fd, d->file, 0) < 0 && errno != ENOENT)
		return io_failed(op, "remove");
	d->fd = openat(d->c->drafts_fd, d->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	return d->fd < 0 ? io_failed(op, "create") : 0;
}

static int
file_hash(struct op *op, struct hasher *h, uint64_t *ret_at)
{
	AUTO(free_ptr) char *chunk = xcalloc(1, CHUNK);
	uint64_t at = 0;
	ssize_t n;

	while ((n = pread(op->draft->fd, chunk, CHUNK, (off_t)at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_failed(op, "read");
		hasher_add(h, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	*ret_at = at;
	return 0;
}

/* Opens the file and hashes what is there. */
static int
file_open(struct op *op)
{
	struct draft *d = op->draft;
	struct stat st;
	int r;

	if (d->fd >= 0)
		return 0;
	/* One whose commit was cut off may be read-only. */
	(void)!fchmodat(d->c->drafts_fd, d->file, 0640, 0);
	d->fd = openat(d->c->drafts_fd, d->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (d->fd < 0 && errno != ENOENT)
		return io_failed(op, "open");
	if (d->fd < 0 || fstat(d->fd, &st) < 0 || st.st_nlink != 1)
		return file_make(op);
	hasher_reset(d->hash);
	r = file_hash(op, d->hash, &d->at);
	if (r < 0)
		fd_close(&d->fd);
	return r;
}

/* Are the bytes of op that lie before the end the same as those that are there? */
static bool
same_bytes(const struct op *op, size_t n)
{
	AUTO(free_ptr) char *there = xcalloc(1, n + 1);

	return pread(op->draft->fd, there, n, (off_t)op->offset) == (ssize_t)n &&
	       memcmp(there, op->data, n) == 0;
}

static int
run_write(struct op *op)
{
	struct draft *d = op->draft;
	size_t skip = 0;

	if (op->n > 0 && op->offset == 0 && d->at > 0 && file_make(op) < 0)
		return -(int)op->err.code;
	if (op->offset < d->at && op->offset > 0 && op->offset + op->n >= d->at)
		skip = (size_t)(d->at - op->offset);
	if (op->offset > 0 && (op->offset + skip != d->at || (skip > 0 && !same_bytes(op, skip))))
		return err_set(&op->err, ERR_OUT_OF_RANGE,
		    "ingest %.200s has %llu bytes: data for offset %llu has no place", d->row.ref,
		    (unsigned long long)d->at, (unsigned long long)op->offset);
	if (FAULT_FAILS("content.draft.write") || lseek(d->fd, (off_t)d->at, SEEK_SET) < 0 ||
	    fs_write_all(d->fd, op->data + skip, op->n - skip) < 0) {
		int cause = errno;

		(void)!ftruncate(d->fd, (off_t)d->at); /* a short write: as if it had not been */
		errno = cause;
		return io_failed(op, "write");
	}
	hasher_add(d->hash, op->data + skip, op->n - skip);
	d->at += op->n - skip;
	return 0;
}

/* What it is, against what it must be. */
static int
commit_check(struct op *op)
{
	struct draft *d = op->draft;
	struct digest want = op->digest;
	struct hasher *other;
	uint64_t at;
	int r = 0;

	if (op->offset != 0 && op->offset != d->at)
		return err_set(&op->err, ERR_FAILED_PRECONDITION,
		    "ingest %.200s has %llu bytes, not the %llu that it should have", d->row.ref,
		    (unsigned long long)d->at, (unsigned long long)op->offset);
	hasher_digest(d->hash, &op->digest);
	if (want.text[0] == '\0' || digest_equal(&want, &op->digest))
		return 0;
	if (want.alg != op->digest.alg) {
		other = hasher_new(want.alg);
		r = file_hash(op, other, &at);
		hasher_digest(other, &op->digest);
		hasher_free(&other);
	}
	if (r < 0 || digest_equal(&want, &op->digest))
		return r;
	return err_set(&op->err, ERR_FAILED_PRECONDITION,
	    "ingest %.200s is not what it should be: its digest is %s, not %s", d->row.ref,
	    op->digest.text, want.text);
}

static int
run_commit(struct op *op)
{
	struct draft *d = op->draft;
	int to;

	if (commit_check(op) < 0)
		return -(int)op->err.code;
	if (blobs_has(&d->c->blobs, &op->digest, d->at, NULL))
		return 0; /* here for another name or namespace */
	to = d->c->blobs.algs[op->digest.alg];
	FAULT_POINT("content.draft.verified");
	if (fchmod(d->fd, 0440) < 0 || fsync(d->fd) < 0)
		return io_failed(op, "sync");
	FAULT_POINT("content.draft.synced");
	(void)unlinkat(to, digest_hex(&op->digest), 0); /* a damaged one of another length */
	if (linkat(d->c->drafts_fd, d->file, to, digest_hex(&op->digest), 0) < 0 && errno != EEXIST)
		return io_failed(op, "store");
	op->linked = true;
	FAULT_POINT("content.draft.linked");
	return fsync(to) < 0 ? io_failed(op, "sync folder of") : 0;
}

static void
op_run(void *arg)
{
	struct op *op = arg;

	if (op->kind == OP_ABORT || file_open(op) < 0)
		return;
	/* The error is in op->err. */
	(void)(op->kind == OP_WRITE ? run_write(op) : run_commit(op));
}

/* --- on the loop ----------------------------------------------------------------------------------- */

static void
op_free(struct op **op)
{
	free_ptr(&(*op)->data);
	free_ptr(op);
}

static void
draft_free(struct draft **dp)
{
	struct draft *d = *dp, **at = &d->c->drafts;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	fd_close(&d->fd);
	hasher_free(&d->hash);
	arena_free(&d->arena);
	free_ptr(dp);
}

/* What a draft with this row looks like. at < 0: as long as its file. */
static void
describe(const struct content *c, const char *ns, const struct ingest_info *row, int64_t at,
    struct ingest_info *ret)
{
	struct stat st = { .st_size = 0 };
	char file[65];

	*ret = *row;
	file_name(file, ns, row->ref);
	if (fstatat(c->drafts_fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
		ret->updated_at = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	ret->offset = at >= 0 ? (uint64_t)at : (uint64_t)st.st_size;
}

static void
op_answer(struct op *op, const void *rep)
{
	struct call *call = op->call;

	if (call == NULL)
		return;
	if (op->err.code != ERR_NONE)
		call_fail(call, &op->err);
	else
		call_reply(call, rep);
}

int
draft_row_drop(struct txn *t, const char *ns, const char *ref, struct err *e)
{
	struct key k;

	store_key(&k, ns, ref);
	return store_del(t, TABLE_DRAFTS, &k, e);
}

/* Row of the blob, no row of the draft, reply. */
static int
commit_rows(struct op *op, struct blob *rep)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct draft *d = op->draft;
	struct arena *a = call_arena(op->call);
	struct kvs labels = { .n = 0 };
	struct err *e = &op->err;
	int r;

	labels_merge(&labels, op->labels, a);
	if ((r = store_write(d->c->store, &t, e)) < 0 ||
	    (r = blob_row_add(
		 d->c, t, d->ns, call_lease(op->call), &op->digest, d->at, &labels, 0, e)) < 0 ||
	    (r = draft_row_drop(t, d->ns, d->row.ref, e)) < 0 ||
	    (r = lease_release(t, d->ns, call_lease(op->call), LEASE_INGESTS, d->row.ref, e)) < 0 ||
	    (r = blob_row_get(t, d->ns, &op->digest, a, rep, e)) < 0)
		return r;
	return call_commit(op->call, &t, rep, e);
}

static void
op_again(struct op *op)
{
	struct draft *d = op->draft;

	op->err = ERR_ZERO;
	op->linked = false;
	op->next = d->first;
	if (d->first == NULL)
		d->last = &op->next;
	d->first = op;
}

/* Without a caller, or without its row, it did not happen: the draft stays. */
static void
commit_end(struct op *op)
{
	struct draft *d = op->draft;
	struct blob rep;

	if (op->err.code == ERR_NONE && op->call != NULL &&
	    !blobs_has(&d->c->blobs, &op->digest, d->at, NULL)) {
		op_again(op); /* somebody removed it since: this draft has it */
		return;
	}
	if (op->err.code == ERR_NONE && op->call != NULL && commit_rows(op, &rep) == 0) {
		FAULT_POINT("content.draft.committed");
		d->gone = true;
		draft_forget(d->c, d->ns, d->row.ref);
		log_debug("stored blob %s", op->digest.text);
	} else if (op->linked) {
		gc_forget(d->c, &op->digest);
	}
	op_answer(op, &rep);
	op_free(&op);
}

static void
abort_end(struct op *op)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct draft *d = op->draft;
	struct err *e = &op->err;
	struct nothing rep;

	if (op->call != NULL && store_write(d->c->store, &t, e) == 0 &&
	    draft_row_drop(t, d->ns, d->row.ref, e) == 0 &&
	    call_commit(op->call, &t, &rep, e) == 0) {
		d->gone = true;
		draft_forget(d->c, d->ns, d->row.ref);
	}
	op_answer(op, &rep);
	op_free(&op);
}

static void
write_end(struct op *op)
{
	struct draft *d = op->draft;
	struct ingest_info rep;

	if (op->err.code != ERR_NONE && op->err.code != ERR_OUT_OF_RANGE)
		fd_close(&d->fd); /* the next one looks at what is there */
	describe(d->c, d->ns, &d->row, (int64_t)d->at, &rep);
	op_answer(op, &rep);
	op_free(&op);
}

static void
op_done(void *arg)
{
	struct op *op = arg;
	struct draft *d = op->draft;

	d->running = NULL;
	d->used_ms = clock_mono_ms();
	if (op->kind == OP_WRITE)
		write_end(op);
	else if (op->kind == OP_COMMIT)
		commit_end(op);
	else
		abort_end(op);
	pump(d);
}

/* The next operation; those behind a commit find nothing any more. */
static void
pump(struct draft *d)
{
	struct op *op;

	while (d->running == NULL && (op = d->first) != NULL) {
		d->first = op->next;
		if (d->first == NULL)
			d->last = &d->first;
		if (!d->gone) {
			d->running = op;
			work_add(d->c->work, op_run, op_done, op);
			return;
		}
		(void)err_set(
		    &op->err, ERR_NOT_FOUND, "ingest %.200s is no longer there", d->row.ref);
		op_answer(op, NULL);
		op_free(&op);
	}
	if (d->gone && d->running == NULL)
		draft_free(&d);
}

static void
op_cancelled(struct content_note *note)
{
	((struct op *)note)->call = NULL;
}

static struct op *
op_new(struct draft *d, struct call *call, enum op_kind kind)
{
	struct op *op = xcalloc(1, sizeof(*op));

	op->note.cancelled = op_cancelled;
	op->draft = d;
	op->call = call;
	op->kind = kind;
	return op;
}

static int
op_add(struct op *op)
{
	struct draft *d = op->draft;

	*d->last = op;
	d->last = &op->next;
	call_note_set(op->call, &op->note);
	pump(d);
	return CALL_LATER;
}

/* --- finding them ---------------------------------------------------------------------------------- */

static struct draft *
open_find(const struct content *c, const char *ns, const char *ref)
{
	struct draft *d = c->drafts;

	while (d != NULL && (d->gone || strcmp(d->ns, ns) != 0 || strcmp(d->row.ref, ref) != 0))
		d = d->next;
	return d;
}

bool
draft_open(const struct content *c, const char *ns, const char *ref)
{
	return open_find(c, ns, ref) != NULL;
}

int64_t
draft_updated_at(const struct content *c, const char *ns, const struct ingest_info *row)
{
	struct ingest_info now;

	describe(c, ns, row, -1, &now);
	return now.updated_at;
}

void
draft_forget(const struct content *c, const char *ns, const char *ref)
{
	char file[65];

	file_name(file, ns, ref);
	if (unlinkat(c->drafts_fd, file, 0) < 0 && errno != ENOENT)
		log_warn("remove ingest %.200s: %s", ref, strerror(errno));
}

static int
row_get(struct txn *t, const char *ns, const char *ref, struct arena *a, struct ingest_info *ret,
    struct err *e)
{
	char show[96];
	struct key k;

	store_key(&k, ns, ref);
	if (!store_has(t, TABLE_DRAFTS, &k))
		return err_set(e, ERR_NOT_FOUND, "there is no ingest %s in namespace %s",
		    ident_show(ref, show, sizeof(show)), ns);
	return store_get(t, TABLE_DRAFTS, &k, &ingest_info_schema, a, ret, e);
}

/* Opens the draft with this row, whose texts it copies. */
static int
draft_new(struct content *c, const char *ns, const struct ingest_info *row, struct draft **ret,
    struct err *e)
{
	struct draft *d;
	unsigned n = 0;

	for (d = c->drafts; d != NULL; d = d->next)
		n++;
	if (n >= OPEN_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "%u ingests are being written: try again when one is done", n);
	d = xcalloc(1, sizeof(*d));
	d->c = c;
	(void)snprintf(d->ns, sizeof(d->ns), "%s", ns);
	file_name(d->file, ns, row->ref);
	d->row = *row;
	d->row.ref = arena_strdup(&d->arena, row->ref);
	d->row.expected = row->expected != NULL ? arena_strdup(&d->arena, row->expected) : NULL;
	d->alg = row->expected != NULL && strncmp(row->expected, "sha512:", 7) == 0 ? DIGEST_SHA512
										    : DIGEST_SHA256;
	d->hash = hasher_new(d->alg);
	d->fd = -1;
	d->last = &d->first;
	d->used_ms = clock_mono_ms();
	d->next = c->drafts;
	c->drafts = d;
	*ret = d;
	return 0;
}

/* The draft of an operation, opened when it is not; not_found when there is none. */
static int
draft_get(struct content *c, const char *ns, const char *ref, struct draft **ret, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *t = NULL;
	struct ingest_info row;
	int r;

	*ret = open_find(c, ns, ref);
	if (*ret != NULL)
		return 0;
	if ((r = store_read(c->store, &t, e)) < 0 || (r = row_get(t, ns, ref, &a, &row, e)) < 0)
		return r;
	return draft_new(c, ns, &row, ret, e);
}

/* --- handlers -------------------------------------------------------------------------------------- */

static int
expected_check(const char *text, struct digest *ret, struct err *e)
{
	ret->text[0] = '\0';
	return text == NULL ? 0 : digest_parse(text, ret, e);
}

/* Is the blob that is announced here already, or may the namespace share it? The caller's lease gets it. */
static int
write_needless(struct content *c, struct call *call, const struct digest *want, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	uint64_t size = 0;
	int r = store_write(c->store, &t, e);

	if (r < 0 || !blob_usable(c, t, call_ns(call), want, 0, &size))
		return r;
	if ((r = blob_row_add(c, t, call_ns(call), call_lease(call), want, size, NULL, 0, e)) < 0 ||
	    (r = content_commit(c, &t, e)) < 0)
		return r;
	return err_set(e, ERR_ALREADY_EXISTS, "blob %s is here already", want->text);
}

/* Makes the row of a new draft. */
static int
row_make(struct content *c, struct call *call, const struct ingest_write_req *req,
    struct ingest_info *row, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const char *ns = call_ns(call);
	struct key k;
	int r;

	*row =
	    (struct ingest_info){ .ref = req->ref, .total = req->total, .expected = req->expected };
	row->started_at = row->updated_at = clock_real_ns();
	store_key(&k, ns, req->ref);
	if ((r = store_write(c->store, &t, e)) < 0 || (r = namespace_ensure(t, ns, e)) < 0 ||
	    (r = lease_hold(c, t, ns, call_lease(call), LEASE_INGESTS, req->ref, e)) < 0 ||
	    (r = store_put(t, TABLE_DRAFTS, &k, &ingest_info_schema, row, e)) < 0)
		return r;
	gc_touch(c, NODE_DRAFT, ns, req->ref);
	if (req->expected != NULL)
		gc_touch(c, NODE_BLOB, ns, req->expected);
	draft_forget(c, ns, req->ref); /* what an earlier one may have left is not ours */
	return content_commit(c, &t, e);
}

/* The draft to be written to, made when there is none or when another length was announced for it. */
static int
write_draft(struct content *c, struct call *call, const struct ingest_write_req *req,
    struct draft **ret, struct err *e)
{
	const char *ns = call_ns(call);
	struct ingest_info row;
	int r = draft_get(c, ns, req->ref, ret, e);

	if (r == 0 && req->total != 0 && (*ret)->row.total != 0 && req->total != (*ret)->row.total)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "ingest %.200s was begun for %llu bytes, not %llu: abort it first", req->ref,
		    (unsigned long long)(*ret)->row.total, (unsigned long long)req->total);
	if (r != -ERR_NOT_FOUND)
		return r;
	*e = ERR_ZERO;
	r = row_make(c, call, req, &row, e);
	return r < 0 ? r : draft_new(c, ns, &row, ret, e);
}

int
content_on_ingest_write(struct content *c, struct call *call, const struct ingest_write_req *req,
    struct ingest_info *rep, struct err *e)
{
	struct digest want;
	struct draft *d;
	struct op *op;
	int r;

	(void)rep;
	if (req->ref[0] == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "an ingest needs a reference");
	if ((r = expected_check(req->expected, &want, e)) < 0 ||
	    (want.text[0] != '\0' && (r = write_needless(c, call, &want, e)) < 0) ||
	    (r = write_draft(c, call, req, &d, e)) < 0)
		return r;
	op = op_new(d, call, OP_WRITE);
	op->offset = req->offset;
	op->n = req->data.n;
	op->data = xcalloc(1, op->n + 1);
	memcpy(op->data, op->n > 0 ? req->data.p : "", op->n);
	return op_add(op);
}

int
content_on_ingest_commit(struct content *c, struct call *call, const struct ingest_commit_req *req,
    struct blob *rep, struct err *e)
{
	struct digest want;
	struct draft *d;
	struct op *op;
	int r;

	(void)rep;
	if ((r = expected_check(req->expected, &want, e)) < 0 ||
	    (r = labels_check(&req->labels, e)) < 0 ||
	    (r = draft_get(c, call_ns(call), req->ref, &d, e)) < 0)
		return r;
	op = op_new(d, call, OP_COMMIT);
	op->offset = req->size;
	op->digest = want;
	op->labels = &req->labels;
	return op_add(op);
}

int
content_on_ingest_abort(struct content *c, struct call *call, const struct ingest_ref *req,
    struct nothing *rep, struct err *e)
{
	struct draft *d;
	int r = draft_get(c, call_ns(call), req->ref, &d, e);

	(void)rep;
	return r < 0 ? r : op_add(op_new(d, call, OP_ABORT));
}

int
content_on_ingest_stat(struct content *c, struct call *call, const struct ingest_ref *req,
    struct ingest_info *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct ingest_info row;
	int r;

	if ((r = store_read(c->store, &t, e)) < 0 ||
	    (r = row_get(t, call_ns(call), req->ref, call_arena(call), &row, e)) < 0)
		return r;
	describe(c, call_ns(call), &row, -1, rep);
	return 0;
}

struct listing {
	const struct content *c;
	const char *ns;
	struct page page;
};

static int
list_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct listing *l = arg;
	struct ingest_info info;

	(void)k;
	describe(l->c, l->ns, rec, -1, &info);
	return page_take(&l->page, &info, e);
}

/* They are few, and stand on the last page: those that have no room there are left out. */
static int
list_downloads(struct listing *l, struct arena *a, struct err *e)
{
	struct ingest_info_list down = { .v = arena_calloc(a, PAGE_ROWS_MAX, sizeof(*down.v)) };
	int r = 0;

	pull_ingests(l->c, l->ns, a, PAGE_ROWS_MAX, &down);
	for (uint32_t i = 0; i < down.n && r == 0; i++)
		r = page_take(&l->page, &down.v[i], e);
	return r < 0 ? r : 0;
}

int
content_on_ingest_list(struct content *c, struct call *call, const struct ingest_list_req *req,
    struct ingest_list_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(call);
	struct listing l = { .c = c, .ns = call_ns(call) };
	struct key prefix, after;
	bool more;
	int r;

	store_key(&prefix, l.ns, "");
	store_key(&after, l.ns, req->after != NULL ? req->after : "");
	if ((r = page_start(&l.page, &ingest_info_schema, &req->filters, req->limit, a, e)) < 0 ||
	    (r = store_read(c->store, &t, e)) < 0 ||
	    (r = store_each(
		 t, TABLE_DRAFTS, &prefix, &after, &ingest_info_schema, a, list_one, &l, e)) < 0)
		return r;
	more = l.page.more;
	if (!more && (r = list_downloads(&l, a, e)) < 0)
		return r;
	l.page.more = more;
	page_end(&l.page, &rep->ingests, &rep->more, &rep->next);
	return 0;
}

/* --- start, end, tick ------------------------------------------------------------------------------ */

static int
file_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	const struct ingest_info *row = rec;
	AUTO(free_ptr) char *ns = xcalloc(1, k->n + 1);
	char file[65];

	(void)e;
	memcpy(ns, k->p, k->n); /* ends with the NUL behind the namespace */
	file_name(file, ns, row->ref);
	set_add(arg, file);
	return 0;
}

static int
files_tidy(struct content *c, struct set *keep, struct err *e)
{
	int fd = openat(c->drafts_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir_close) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	if (dir == NULL)
		return err_sys(e, errno, "list ingests");
	while ((ent = readdir(dir)) != NULL)
		if (ent->d_name[0] != '.' && !set_has(keep, ent->d_name))
			(void)unlinkat(c->drafts_fd, ent->d_name, 0);
	return 0;
}

int
drafts_up(struct content *c, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(set_free) struct set keep = { .n = 0 };
	AUTO(store_abort) struct txn *t = NULL;
	int r;

	if ((r = fs_open_dir(c->dirfd, "drafts", 0750, &c->drafts_fd, e)) < 0 ||
	    (r = store_read(c->store, &t, e)) < 0 ||
	    (r = store_each(
		 t, TABLE_DRAFTS, NULL, NULL, &ingest_info_schema, &a, file_one, &keep, e)) < 0)
		return r;
	return files_tidy(c, &keep, e);
}

void
drafts_down(struct content *c)
{
	while (c->drafts != NULL) {
		struct draft *d = c->drafts;
		struct op *op;

		if (d->running != NULL)
			op_free(&d->running);
		while ((op = d->first) != NULL) {
			d->first = op->next;
			op_free(&op);
		}
		draft_free(&d);
	}
	fd_close(&c->drafts_fd);
}

void
drafts_tick(struct content *c)
{
	uint64_t now = clock_mono_ms();

	for (struct draft *d = c->drafts, *next; d != NULL; d = next) {
		next = d->next;
		if (d->running == NULL && d->first == NULL && now - d->used_ms > REST_S * 1000)
			draft_free(&d);
	}
}
