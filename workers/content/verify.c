/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify - the blob_verify call: reads blobs and compares them with their digests, on all processors.
 *
 * A pool of its own, so that downloads keep theirs. What is damaged goes aside, to ROOT/content/damaged,
 * and loses its rows in all namespaces: the next pull fetches it anew. Killed in between: the start drops
 * rows without a file, or removes the file without rows. A call whose worker died begins again.
 */
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
#include "lib/base/log.h"
#include "workers/content/gc.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"

#define CHUNK (256U << 10)
#define TELL_MS 200
#define DAY_NS (24LL * 3600 * 1000000000)
#define DAMAGED_MAX 1000 /* named in an answer */

struct check {
	struct verify *v;
	struct digest digest;
	uint64_t size;
	ino_t inode; /* of what was read */
	bool bad;
	struct err why;
};

struct verify {
	struct content_note note;
	struct content *c;
	struct call *call; /* NULL: nobody waits any more */
	struct arena arena;
	struct work *pool;
	struct check *checks;
	uint32_t n, started, done, lanes;
	uint64_t total;
	uint64_t bytes; /* atomic: read so far */
	bool stop;	/* atomic: nobody waits any more */
	struct loop_source *timer;
	struct blob_damage *damaged;
	uint32_t ndamaged;
};

/* --- on a thread ----------------------------------------------------------------------------------- */

static int
check_hash(struct check *k, int fd, struct digest *ret)
{
	AUTO(free_ptr) char *chunk = xcalloc(1, CHUNK);
	AUTO(hasher_free) struct hasher *h = hasher_new(k->digest.alg);
	ssize_t n;

	while ((n = read(fd, chunk, CHUNK)) != 0) {
		if (__atomic_load_n(&k->v->stop, __ATOMIC_RELAXED))
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(&k->why, errno, "read");
		hasher_add(h, chunk, (size_t)n);
		__atomic_fetch_add(&k->v->bytes, (uint64_t)n, __ATOMIC_RELAXED);
	}
	hasher_digest(h, ret);
	return 0;
}

static void
check_run(void *arg)
{
	struct check *k = arg;
	AUTO(fd_close) int fd = -1;
	struct digest got = k->digest;
	struct stat st;

	if (blobs_open_one(&k->v->c->blobs, &k->digest, &fd, &k->why) < 0 || fstat(fd, &st) < 0) {
		k->bad = true;
		return;
	}
	k->inode = st.st_ino;
	if ((uint64_t)st.st_size != k->size)
		(void)err_set(&k->why, ERR_DATA_LOSS, "%llu bytes instead of %llu",
		    (unsigned long long)st.st_size, (unsigned long long)k->size);
	else if (check_hash(k, fd, &got) == 0 && !digest_equal(&got, &k->digest))
		(void)err_set(&k->why, ERR_DATA_LOSS, "its digest is %s", got.text);
	k->bad = k->why.code != ERR_NONE;
}

/* --- on the loop ----------------------------------------------------------------------------------- */

struct row_drops {
	struct content *c;
	struct txn *t;
	const struct digest *d;
	const char *ns;
	struct err *e;
	int r;
};

/* What a damaged document refers to waits for the next one, for a day. */
static void
ref_hold(void *arg, enum node_type type, const char *key, bool back)
{
	struct row_drops *r = arg;

	if (type == NODE_BLOB && !back && r->r == 0)
		r->r = blob_row_hold(r->c, r->t, r->ns, key, clock_real_ns() + DAY_NS, r->e);
}

static int
row_drop(void *arg, const struct key *k, void *rec, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct row_drops *r = arg;
	const struct namespace *ns = rec;
	struct blob row;

	(void)k;
	r->ns = ns->name;
	r->e = e;
	r->r = blob_row_get(r->t, ns->name, r->d, &a, &row, e);
	if (r->r == -ERR_NOT_FOUND) {
		*e = ERR_ZERO;
		return 0;
	}
	if (r->r == 0)
		graph_refs(&row.labels, ref_hold, r);
	return r->r < 0 ? r->r : blob_row_drop(r->t, ns->name, r->d, e);
}

static int
set_aside(struct content *c, const struct digest *d, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(fd_close) int to = -1;
	struct row_drops drops = { .c = c, .d = d };
	int r;

	if ((r = fs_open_dir(c->dirfd, "damaged", 0700, &to, e)) < 0 ||
	    (r = store_write(c->store, &t, e)) < 0)
		return r;
	drops.t = t;
	if ((r = store_each(t, TABLE_NAMESPACES, NULL, NULL, &namespace_schema, &a, row_drop,
		 &drops, e)) < 0 ||
	    (r = content_commit(c, &t, e)) < 0)
		return r;
	FAULT_POINT("content.verify.dropped");
	if (renameat(c->blobs.algs[d->alg], digest_hex(d), to, digest_hex(d)) < 0 &&
	    errno != ENOENT)
		return err_sys(e, errno, "set blob %s aside", d->text);
	return 0;
}

/* Was it replaced since it was read? Then what was read does not count. */
static bool
replaced(const struct check *k)
{
	struct stat st;

	return fstatat(k->v->c->blobs.algs[k->digest.alg], digest_hex(&k->digest), &st,
		   AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_ino != k->inode;
}

static void
check_judge(struct check *k)
{
	struct verify *v = k->v;
	struct err e = ERR_ZERO;

	if (!k->bad || v->stop || replaced(k))
		return;
	log_error("blob %s is damaged: %s", k->digest.text, k->why.msg);
	if (set_aside(v->c, &k->digest, &e) < 0)
		log_error("%s", e.msg);
	if (v->ndamaged < DAMAGED_MAX)
		v->damaged[v->ndamaged++] = (struct blob_damage){
			.digest = k->digest.text,
			.why = arena_strdup(&v->arena, e.code != ERR_NONE ? e.msg : k->why.msg),
		};
}

static void
tell(struct verify *v)
{
	const struct blob_verify_progress p = {
		.checked = v->done,
		.blobs = v->n,
		.bytes = __atomic_load_n(&v->bytes, __ATOMIC_RELAXED),
		.total = v->total,
	};

	if (v->call != NULL)
		call_progress(v->call, &p);
}

static void
on_timer(void *arg)
{
	struct verify *v = arg;

	tell(v);
	v->timer = loop_once(v->c->loop, TELL_MS, on_timer, v);
}

static void
verify_free(void *arg)
{
	struct verify *v = arg;

	work_free(&v->pool);
	free_ptr(&v->checks);
	free_ptr(&v->damaged);
	arena_free(&v->arena);
	free_ptr(&v);
}

static void
verify_end(void *arg)
{
	struct verify *v = arg;
	const struct blob_verify_rep rep = {
		.checked = v->done,
		.bytes = v->bytes,
		.damaged = { .v = v->damaged, .n = v->ndamaged },
	};

	loop_del(&v->timer);
	tell(v);
	if (v->call != NULL)
		call_reply(v->call, &rep);
	if (v->ndamaged > 0)
		gc_deleted(v->c);
	(void)loop_once(v->c->loop, 0, verify_free, v); /* not from within the pool's callback */
}

static void check_done(void *arg);

static void
next(struct verify *v)
{
	if (v->started < v->n && !v->stop)
		work_add(v->pool, check_run, check_done, &v->checks[v->started++]);
	else if (v->done == v->started)
		verify_end(v);
}

static void
check_done(void *arg)
{
	struct check *k = arg;
	struct verify *v = k->v;

	v->done++;
	check_judge(k);
	next(v);
}

static void
cancelled(struct content_note *note)
{
	struct verify *v = (struct verify *)note;

	v->call = NULL;
	__atomic_store_n(&v->stop, true, __ATOMIC_RELAXED); /* its jobs end it */
}

/* --- the call -------------------------------------------------------------------------------------- */

struct listing {
	struct verify *v;
	uint32_t room;
};

static int
add_one(void *arg, const struct key *key, void *rec, struct err *e)
{
	struct listing *l = arg;
	struct verify *v = l->v;
	const struct blob *b = rec;
	struct check *k;

	(void)key;
	if (v->n == l->room) {
		l->room = l->room == 0 ? 256 : 2 * l->room;
		v->checks = xrealloc(v->checks, l->room * sizeof(*v->checks));
	}
	k = &v->checks[v->n];
	*k = (struct check){ .v = v, .size = b->size };
	if (digest_parse(b->digest, &k->digest, e) < 0)
		return -(int)e->code;
	v->n++;
	v->total += b->size;
	return 0;
}

/* The blobs named, or all of the namespace. */
static int
list(struct verify *v, const struct blob_verify_req *req, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *t = NULL;
	struct listing l = { .v = v };
	struct key prefix;
	int r = store_read(v->c->store, &t, e);

	store_key(&prefix, call_ns(v->call), "");
	if (r == 0 && req->digests.n == 0)
		return store_each(t, TABLE_BLOBS, &prefix, NULL, &blob_schema, &a, add_one, &l, e);
	for (uint32_t i = 0; r == 0 && i < req->digests.n; i++) {
		struct digest d;
		struct blob row;

		if ((r = digest_parse(req->digests.v[i], &d, e)) == 0 &&
		    (r = blob_row_get(t, call_ns(v->call), &d, &a, &row, e)) == 0)
			r = add_one(&l, NULL, &row, e);
	}
	return r;
}

int
content_on_blob_verify(struct content *c, struct call *call, const struct blob_verify_req *req,
    struct blob_verify_rep *rep, struct err *e)
{
	struct verify *v = xcalloc(1, sizeof(*v));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int r;

	(void)rep;
	v->note.cancelled = cancelled;
	v->c = c;
	v->call = call;
	v->lanes = cpus < 1 ? 1 : cpus > 64 ? 64 : (uint32_t)cpus;
	if ((r = list(v, req, e)) < 0 || (r = work_new(c->loop, v->lanes, &v->pool, e)) < 0) {
		verify_free(v);
		return r;
	}
	v->damaged = xcalloc(v->n < DAMAGED_MAX ? v->n + 1 : DAMAGED_MAX, sizeof(*v->damaged));
	call_note_set(call, &v->note);
	v->timer = loop_once(c->loop, TELL_MS, on_timer, v);
	for (uint32_t i = 1; i < v->lanes && v->started < v->n; i++)
		work_add(v->pool, check_run, check_done, &v->checks[v->started++]);
	if (v->n > 0)
		next(v);
	else
		(void)loop_once(c->loop, 0, verify_end, v);
	return CALL_LATER;
}
