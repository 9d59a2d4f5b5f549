/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers - layers being unpacked, and the calls that wait for them.
 *
 * One job per snapshotter and chain id, whoever asks and however often (a second request joins). A job ends when nobody
 * waits for it any more: all were answered, or went away.
 *
 *	QUEUED --a place is free--> UNPACKING --digest right--> UNPACKED
 *	UNPACKED --parent committed, no implied folders----------> (place)
 *	UNPACKED --parent committed, implied folders, a whole tree or a seal to be made--> SETTLING -> (place)
 *	(place): new/<x> becomes <snapshotter>/<n>, then one transaction: layer row, the waiter's snapshot row,
 *		event, stored reply -> PLACED
 *	PLACED: each further waiter gets its snapshot row when the parent's is in its namespace
 *	any -> FAILED: all waiters are told, and those that wait for layers above, too
 *
 * A layer that is on disk already (another namespace has it) starts as PLACED.
 *
 * Followed jobs. layer_follow starts a job while content still downloads the blob, under a number (take,
 * see follow.h): the child reads the file in content's ingest/ as it grows. Such a call keeps the job
 * alive but is no waiter to commit for. A layer_unpack with the same take says that what was written under
 * it is the blob, verified: the job has arrived and is one like any other. With another take, or when nobody
 * follows any more, or when the child fails, it is done again from the blob in the store. Children that
 * follow have places of their own, since they may wait for the network: they hold up none that could work,
 * and one whose blob has arrived counts among these, whether there is a place or not.
 *
 * Crash story: nothing of a job but the blob outlives the worker. new/ is dropped at the start, the
 * callers ask again, and the job starts over. Between the rename and the transaction a folder without
 * a row is left: dropped at the start as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "lib/oci/digest.h"
#include "workers/snapshot/snapshot.h"

#define SETTLING_MAX 4
#define FOLLOWING_MAX 8

enum layer_state { LAYER_QUEUED, LAYER_UNPACKING, LAYER_UNPACKED, LAYER_SETTLING, LAYER_PLACED };

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct call *call;
	bool follows; /* layer_follow */
	bool existed; /* the layer was there when it asked */
};

struct layer_job {
	TAILQ_ENTRY(layer_job) link;
	struct snapshot_state *state;
	const struct snapshotter *sn;
	enum layer_state at;
	TAILQ_HEAD(, waiter) waiters;
	struct digest chain, parent, diff, blob;
	bool has_parent;
	bool arrived;		   /* or it was never followed */
	uint32_t take, slot;	   /* while it was not: of the download */
	char ingest[NAME_MAX + 1]; /* the same: its file */
	uint64_t blob_size, started_ms;
	char name[SHELF_NAME_MAX]; /* in new/, "" = none */
	int folder, list;	   /* its fs/; its implied folders */
	struct nursery_job *child;
	struct nursery_report result;
	bool settled, awake;
};

static void job_wake(struct layer_job *j);
static void start_queued(struct snapshot_state *s);

static struct layer_job *
job_find(struct snapshot_state *s, const struct layer_job *names)
{
	struct layer_job *j;

	TAILQ_FOREACH (j, &s->layers, link)
		if (j->sn == names->sn && digest_equal(&j->chain, &names->chain))
			break;
	return j;
}

/* Does a stand on b? */
static bool
stands_on(const struct layer_job *a, const struct snapshotter *sn, const struct digest *chain)
{
	return a->has_parent && a->sn == sn && digest_equal(&a->parent, chain);
}

/* Those that its child counts among. */
static unsigned *
places(struct layer_job *j)
{
	return j->arrived ? &j->state->unpacking : &j->state->following;
}

static bool
followed(const struct layer_job *j)
{
	const struct waiter *w;

	TAILQ_FOREACH (w, &j->waiters, link)
		if (w->follows)
			return true;
	return false;
}

/* --- the end of a job ---------------------------------------------------------------------------- */

/* Gives up what the job has on disk and in the nursery. */
static void
job_drop(struct layer_job *j)
{
	struct err e = ERR_ZERO;

	if (j->at == LAYER_UNPACKING)
		(*places(j))--;
	if (j->at == LAYER_SETTLING)
		j->state->settling--;
	nursery_cancel(&j->child);
	fd_close(&j->folder);
	fd_close(&j->list);
	if (j->name[0] != '\0') {
		if (shelf_drop_new(j->state->shelf, j->name, &e) < 0)
			log_warn("%s", e.msg);
		j->name[0] = '\0';
		trash_kick(j->state);
	}
}

static void
job_free(struct layer_job *j)
{
	struct snapshot_state *s = j->state;

	job_drop(j);
	TAILQ_REMOVE(&s->layers, j, link);
	free(j);
	start_queued(s);
}

static void
waiter_end(struct layer_job *j, struct waiter *w)
{
	TAILQ_REMOVE(&j->waiters, w, link);
	free(w);
}

static struct layer_job *
job_above(struct snapshot_state *s, const struct snapshotter *sn, const struct digest *chain)
{
	struct layer_job *j;

	TAILQ_FOREACH (j, &s->layers, link)
		if (stands_on(j, sn, chain))
			break;
	return j;
}

/* A new start. */
static void
job_again(struct layer_job *j, bool arrived)
{
	job_drop(j);
	j->at = LAYER_QUEUED;
	j->arrived = arrived;
	job_wake(j); /* and the queue */
}

/* Answers those who follow: with an error, or (NULL) that they ask for the layer itself now. */
static void
followers_end(struct layer_job *j, const struct err *why)
{
	struct waiter *w, *next;
	struct nothing rep;

	for (w = TAILQ_FIRST(&j->waiters); w != NULL; w = next) {
		struct call *c = w->call;

		next = TAILQ_NEXT(w, link);
		if (!w->follows)
			continue;
		waiter_end(j, w);
		if (why != NULL)
			call_fail(c, why);
		else
			call_reply(c, &rep);
	}
}

/* What was followed came to nothing: who only followed hears of it, who wants the layer gets it from the
 * store. j may be gone. */
static void
follow_failed(struct layer_job *j, const struct err *why)
{
	followers_end(j, why);
	if (TAILQ_EMPTY(&j->waiters))
		job_free(j);
	else
		job_again(j, true);
}

/* Tells all that wait for j, and for layers above it, and frees those jobs. */
static void
job_fail(struct layer_job *j, const struct err *why)
{
	struct snapshot_state *s = j->state;
	const struct snapshotter *sn = j->sn;
	struct digest chain = j->chain;
	struct layer_job *above;
	struct waiter *w;
	struct err e = *why;

	while ((w = TAILQ_FIRST(&j->waiters)) != NULL) {
		struct call *c = w->call;

		waiter_end(j, w);
		call_fail(c, why);
	}
	job_free(j);
	if (strncmp(e.msg, "layer below: ", 13) != 0)
		(void)err_wrap(&e, "layer below");
	while ((above = job_above(s, sn, &chain)) != NULL)
		job_fail(above, &e);
}

static void
job_fail_as(struct layer_job *j, struct err *e)
{
	(void)err_wrap(e, "layer %s", j->blob.text);
	if (j->arrived)
		job_fail(j, e);
	else
		follow_failed(j, e);
}

/* --- commit -------------------------------------------------------------------------------------- */

static bool
waiter_ready(struct layer_job *j, const struct waiter *w, struct txn *t)
{
	return j->arrived && !w->follows &&
	       (!j->has_parent || snapshots_has(t, call_ns(w->call), j->sn->name, j->parent.text));
}

/* A waiter whose parent is committed in its namespace, NULL when there is none yet. */
static struct waiter *
ready_waiter(struct layer_job *j, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct waiter *w;

	if (store_read(j->state->store, &t, e) < 0)
		return NULL;
	TAILQ_FOREACH (w, &j->waiters, link)
		if (waiter_ready(j, w, t))
			return w;
	return NULL;
}

static struct snapshot *
committed(struct layer_job *j, const struct layer_row *l, struct arena *a)
{
	struct snapshot *s = arena_calloc(a, 1, sizeof(*s));
	int64_t now = clock_real_ns();

	*s = (struct snapshot){ .key = j->chain.text,
		.parent = j->has_parent ? j->parent.text : NULL,
		.kind = "committed",
		.snapshotter = j->sn->name,
		.created_at = now,
		.updated_at = now,
		.size = l->size,
		.inodes = l->inodes };
	return s;
}

/* The row of the layer itself, made of what the child found. below: the layer it stands on, or NULL. */
static int
add_layer(struct layer_job *j, struct txn *t, uint64_t number, const char *below, struct arena *a,
    struct layer_row *l, struct err *e)
{
	*l = (struct layer_row){ .chain_id = j->chain.text,
		.snapshotter = j->sn->name,
		.parent = below,
		.diff_id = j->diff.text,
		.number = number,
		.opaque_root = j->result.opaque_root != 0,
		.size = j->result.bytes,
		.inodes = j->result.inodes };
	return layers_add(t, l, a, e);
}

/* The layer below, as the caller's namespace has it. */
static int
layer_below(struct layer_job *j, struct txn *t, struct call *c, const char **ret, struct err *e)
{
	struct snapshot_row row;
	int r;

	*ret = NULL;
	if (!j->has_parent)
		return 0;
	r = snapshots_get(t, call_ns(c), j->sn->name, j->parent.text, call_arena(c), &row, e);
	if (r == 0)
		*ret = snapshots_layer(&row);
	return r;
}

/* One transaction: the layer (number != 0: it is new), the waiter's snapshot, the event, the reply. */
static int
commit_for(struct layer_job *j, struct waiter *w, uint64_t number, struct layer_unpack_rep *rep,
    struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(w->call);
	const char *ns = call_ns(w->call);
	const char *sn = j->sn->name, *below;
	struct ev_snapshot ev = { .key = j->chain.text, .snapshotter = sn };
	struct snapshot_row row;
	struct layer_row l;
	int r = store_write(j->state->store, &t, e);

	if (r == 0)
		r = layer_below(j, t, w->call, &below, e);
	if (r == 0)
		r = number != 0 ? add_layer(j, t, number, below, a, &l, e)
				: layers_get(t, sn, j->chain.text, a, &l, e);
	if (r == 0 && snapshots_has(t, ns, sn, j->chain.text)) {
		r = snapshots_get(t, ns, sn, j->chain.text, a, &row, e);
		rep->existed = true;
	} else if (r == 0) {
		row = (struct snapshot_row){ .snapshot = committed(j, &l, a), .number = l.number };
		rep->existed = w->existed;
		ev.parent = row.snapshot->parent;
		r = snapshots_add(t, ns, &row, a, e);
		if (r == 0)
			r = store_event(t, ns, "/snapshot/commit", &ev, e);
	}
	if (r < 0)
		return r;
	rep->snapshot = row.snapshot;
	return call_commit(w->call, &t, rep, e);
}

/* Answers w. */
static int
answer(struct layer_job *j, struct waiter *w, uint64_t number, struct err *e)
{
	struct layer_unpack_rep *rep = arena_calloc(call_arena(w->call), 1, sizeof(*rep));
	struct call *c = w->call;
	int r;

	call_enter(c);
	r = commit_for(j, w, number, rep, e);
	call_leave(c);
	if (r < 0)
		return r;
	waiter_end(j, w);
	call_reply(c, rep);
	return 0;
}

/* The folder gets its number, then its row. */
static int
place(struct layer_job *j, struct waiter *w, struct err *e)
{
	struct err drop = ERR_ZERO;
	uint64_t number;
	int r;

	FAULT_POINT("snapshot.layer.place");
	r = shelf_place(j->state->shelf, j->sn->id, j->name, &number, e);
	if (r < 0)
		return r;
	FAULT_POINT("snapshot.layer.placed");
	j->name[0] = '\0';
	fd_close(&j->folder);
	r = answer(j, w, number, e);
	if (r < 0) {
		if (shelf_drop(j->state->shelf, j->sn->id, number, &drop) < 0)
			log_warn("%s", drop.msg);
		trash_kick(j->state);
		return r;
	}
	j->at = LAYER_PLACED;
	log_info("unpacked %s: %llu bytes, %llu inodes in %llu ms%s", j->chain.text,
	    (unsigned long long)j->result.bytes, (unsigned long long)j->result.inodes,
	    (unsigned long long)(clock_mono_ms() - j->started_ms),
	    j->result.xattrs_skipped > 0 ? "; some user attributes could not be kept" : "");
	return 0;
}

/* --- children ------------------------------------------------------------------------------------ */

static void
on_settled(void *arg, const struct nursery_report *r)
{
	struct layer_job *j = arg, *other;
	struct err e = ERR_ZERO;

	if (r->kind == NURSERY_PROGRESS)
		return;
	j->child = NULL;
	j->at = LAYER_UNPACKED;
	j->state->settling--;
	if (r->kind == NURSERY_DONE && j->sn->whole) {
		j->result.bytes = r->bytes;
		j->result.inodes = r->inodes;
	}
	TAILQ_FOREACH (other, &j->state->layers, link)
		if (other->at == LAYER_UNPACKED) /* j too, and whoever found no place */
			job_wake(other);
	if (r->kind == NURSERY_DONE) {
		j->settled = true;
		return;
	}
	(void)err_set(&e, (enum err_code)r->code, "%s", r->message);
	job_fail_as(j, &e);
}

/* The layers below j as w's namespace has them, open. Returns how many. */
static int
lowers_of(struct layer_job *j, struct waiter *w, uint64_t *numbers, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct snapshot_state *s = j->state;
	const char *below;
	int n = store_read(s->store, &t, e);

	if (n == 0)
		n = layer_below(j, t, w->call, &below, e);
	if (n == 0)
		n = layers_chain(
		    t, j->sn->name, below, call_arena(w->call), numbers, LOWERS_MAX, e);
	if (n > 0 && snapshotter_open(j->sn, s->shelf, numbers, (unsigned)n, e) < 0)
		return -(int)e->code;
	return n;
}

static bool
seals(const struct layer_job *j)
{
	return j->state->fsverity && j->sn->form == NURSERY_IMAGE;
}

/* Whether there is something to do once the layers below are known. */
static bool
settles(const struct layer_job *j)
{
	return j->sn->whole || seals(j) || (j->has_parent && j->result.implied != 0);
}

static int
settle(struct layer_job *j, struct waiter *w, struct err *e)
{
	AUTO(free_ptr) struct nursery_order *o = xcalloc(1, sizeof(*o));
	AUTO(fd_close) int made = shelf_made_fd(j->state->shelf, j->name);
	struct nursery_fds fds = {
		.folder = j->sn->whole || j->sn->form == NURSERY_IMAGE ? made : j->folder,
		.file = shelf_kind_fd(j->state->shelf, j->sn->id),
		.list = j->list
	};
	int n = lowers_of(j, w, o->lowers, e);

	if (n < 0)
		return n;
	if (made < 0)
		return err_sys(e, errno, "open new/%s", j->name);
	o->op = j->sn->whole ? NURSERY_APPLY : NURSERY_SETTLE;
	o->form = j->sn->form;
	o->seal = seals(j);
	o->nlowers = !j->sn->whole	     ? (uint32_t)n
		     : j->result.opaque_root ? 0
					     : n > 0; /* that one has the others in it */
	n = nursery_run(j->state->nursery, o, &fds, on_settled, j, &j->child, e);
	if (n < 0)
		return n;
	j->at = LAYER_SETTLING;
	j->state->settling++;
	return 0;
}

static void
tell_progress(struct layer_job *j, uint64_t offset)
{
	struct layer_unpack_progress p = { .offset = offset };
	struct waiter *w;

	TAILQ_FOREACH (w, &j->waiters, link)
		call_progress(w->call, &p);
}

static void
on_unpacked(void *arg, const struct nursery_report *r)
{
	struct layer_job *j = arg;
	struct err e = ERR_ZERO;
	struct digest got;

	if (r->kind == NURSERY_PROGRESS) {
		tell_progress(j, r->offset <= j->blob_size ? r->offset : j->blob_size);
		return;
	}
	j->child = NULL;
	(*places(j))--;
	j->at = LAYER_UNPACKED;
	j->result = *r;
	if (r->kind == NURSERY_FAILED)
		(void)err_set(&e, (enum err_code)r->code, "%s", r->message);
	else if (digest_parse(r->diff_id, &got, &e) == 0 && !digest_equal(&got, &j->diff))
		(void)err_set(&e, ERR_DATA_LOSS, "what is in it has digest %s, the image says %s",
		    got.text, j->diff.text);
	if (e.code != ERR_NONE) {
		job_fail_as(j, &e);
		return;
	}
	job_wake(j); /* and the queue */
}

static int
open_blob(struct layer_job *j, int *ret_fd, struct err *e)
{
	AUTO(free_ptr)
	char *path = xasprintf("%s/content/blobs/%s/%s", worker_root(j->state->worker),
	    digest_alg_name(&j->blob), digest_hex(&j->blob));
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "its blob is not in the content store");
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open its blob");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != j->blob_size)
		return err_set(e, ERR_DATA_LOSS, "its blob has %llu bytes, the image says %llu",
		    (unsigned long long)st.st_size, (unsigned long long)j->blob_size);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* The file that content is writing, and the board that says how far it is. */
static int
open_ingest(struct layer_job *j, int *ret_file, int *ret_board, struct err *e)
{
	struct worker *w = j->state->worker;
	AUTO(free_ptr)
	char *path = xasprintf("%s/content/ingest/%s", worker_root(w), j->ingest);
	AUTO(free_ptr) char *board = xasprintf("%s/board/content", worker_state(w));
	AUTO(fd_close) int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (file < 0) /* not made yet, or not there any more */
		return err_set(e, ERR_UNAVAILABLE, "open its download: %s", strerror(errno));
	*ret_board = open(board, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (*ret_board < 0)
		return err_sys(e, errno, "open content's board");
	*ret_file = fd_take(&file);
	return 0;
}

static int
start_unpack(struct layer_job *j, struct err *e)
{
	struct snapshot_state *s = j->state;
	AUTO(free_ptr) struct nursery_order *o = xcalloc(1, sizeof(*o));
	AUTO(fd_close) int blob = -1;
	AUTO(fd_close) int board = -1;
	AUTO(fd_close) int made = -1;
	struct nursery_fds fds;
	int r = j->arrived ? open_blob(j, &blob, e) : open_ingest(j, &blob, &board, e);

	if (r == 0)
		r = shelf_make(s->shelf, j->name, &j->folder, e);
	if (r < 0)
		return r;
	j->list = memfd_create("implied", MFD_CLOEXEC);
	if (j->list < 0)
		return err_sys(e, errno, "make a memory file");
	o->op = NURSERY_UNPACK;
	o->form = j->sn->form;
	o->limits = s->limits;
	o->take = j->arrived ? 0 : j->take;
	o->slot = j->slot;
	o->blob_size = j->blob_size;
	made = shelf_made_fd(s->shelf, j->name);
	if (made < 0)
		return err_sys(e, errno, "open new/%s", j->name);
	fds = (struct nursery_fds){ .folder = o->form == NURSERY_IMAGE ? made : j->folder,
		.file = blob,
		.list = j->list,
		.board = board };
	r = nursery_run(s->nursery, o, &fds, on_unpacked, j, &j->child, e);
	if (r < 0)
		return r;
	j->at = LAYER_UNPACKING;
	j->started_ms = clock_mono_ms();
	(*places(j))++;
	return 0;
}

static bool
place_free(struct layer_job *j)
{
	return *places(j) < (j->arrived ? j->state->max_unpacks : FOLLOWING_MAX);
}

static void
start_queued(struct snapshot_state *s)
{
	struct layer_job *j, *next;

	for (j = TAILQ_FIRST(&s->layers); j != NULL; j = next) {
		struct err e = ERR_ZERO;

		next = TAILQ_NEXT(j, link);
		if (j->at != LAYER_QUEUED || !place_free(j) || start_unpack(j, &e) == 0)
			continue;
		job_fail_as(j, &e); /* which looks at the queue again */
		return;
	}
}

/* --- the machine --------------------------------------------------------------------------------- */

/* One step with a waiter that is ready. Returns 1 when there is nothing to do now. */
static int
step_once(struct layer_job *j, struct err *e)
{
	struct waiter *w = ready_waiter(j, e);

	if (w == NULL)
		return e->code == ERR_NONE ? 1 : -(int)e->code;
	if (j->at == LAYER_PLACED)
		return answer(j, w, 0, e);
	if (!j->settled && settles(j)) {
		int r = j->state->settling < SETTLING_MAX ? settle(j, w, e) : 1;

		return r < 0 ? r : 1;
	}
	return place(j, w, e);
}

/* Takes the job as far as it can go now; frees it when nobody waits for it any more. */
static void
job_step(struct layer_job *j)
{
	struct snapshot_state *s = j->state;
	struct layer_job *above;
	struct err e = ERR_ZERO;
	bool moved = false;
	int r = 1;

	if (j->at == LAYER_UNPACKED || j->at == LAYER_PLACED)
		while ((r = step_once(j, &e)) == 0)
			moved = true;
	if (j->arrived)
		followers_end(j, NULL);
	TAILQ_FOREACH (above, &s->layers, link)
		if (moved && stands_on(above, j->sn, &j->chain))
			job_wake(above);
	if (r < 0)
		job_fail_as(j, &e);
	else if (TAILQ_EMPTY(&j->waiters))
		job_free(j);
	else if (!j->arrived && !followed(j))
		job_again(j, true);
}

static void
step_awake(void *arg)
{
	struct snapshot_state *s = arg;
	struct layer_job *j;

	s->layers_awake = false;
	start_queued(s);
	do { /* the list changes with every step */
		TAILQ_FOREACH (j, &s->layers, link)
			if (j->awake)
				break;
		if (j != NULL) {
			j->awake = false;
			job_step(j);
		}
	} while (j != NULL);
}

/* The job is looked at in the next turn of the loop: never from within a handler, whose call must not
 * be answered before it has returned. */
static void
job_wake(struct layer_job *j)
{
	j->awake = true;
	if (j->state->layers_awake)
		return;
	j->state->layers_awake = true;
	(void)loop_once(worker_loop(j->state->worker), 0, step_awake, j->state);
}

/* --- requests ------------------------------------------------------------------------------------ */

static int
media_type_check(const char *type, struct err *e)
{
	static const char *const known[] = { "application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar" };
	static const char *const forms[] = { "", "+gzip", "+zstd", ".gzip", ".zstd" };
	char shown[128];

	for (unsigned i = 0; i < COUNT(known); i++) {
		size_t n = strlen(known[i]);

		for (unsigned f = 0; f < COUNT(forms); f++)
			if (strncmp(type, known[i], n) == 0 && strcmp(type + n, forms[f]) == 0)
				return 0;
	}
	return err_set(e, ERR_UNIMPLEMENTED, "layers of type %s can't be unpacked",
	    ident_show(type, shown, sizeof(shown)));
}

/* chain id = diff id of the lowest layer; above, the digest of "parent's chain id, space, diff id". */
static int
chain_check(const struct layer_job *j, struct err *e)
{
	AUTO(free_ptr) char *text = xasprintf("%s %s", j->parent.text, j->diff.text);
	struct digest want = j->diff;

	if (j->has_parent)
		digest_of(DIGEST_SHA256, text, strlen(text), &want);
	if (!digest_equal(&want, &j->chain))
		return err_set(e, ERR_INVALID_ARGUMENT, "chain_id %s: these layers have %s",
		    j->chain.text, want.text);
	return 0;
}

/* Fills the job's names; nothing else. */
static int
job_name(struct snapshot_state *s, struct layer_job *j, const struct layer *l, const char *parent,
    const char *snapshotter, struct err *e)
{
	int r;

	j->sn = snapshotter_wanted(s, snapshotter, e);
	if (j->sn == NULL)
		return -(int)e->code;
	r = digest_parse(l->digest, &j->blob, e);
	if (r < 0)
		return err_wrap(e, "layer.digest");
	r = digest_parse(l->diff_id, &j->diff, e);
	if (r == 0 && j->diff.alg != DIGEST_SHA256)
		r = err_set(e, ERR_UNIMPLEMENTED, "%s: only sha256", j->diff.text);
	if (r < 0)
		return err_wrap(e, "layer.diff_id");
	r = digest_parse(l->chain_id, &j->chain, e);
	if (r < 0)
		return err_wrap(e, "layer.chain_id");
	j->has_parent = parent != NULL;
	if (j->has_parent && digest_parse(parent, &j->parent, e) < 0)
		return err_wrap(e, "parent");
	j->blob_size = l->size;
	r = media_type_check(l->media_type, e);
	if (r == 0)
		r = chain_check(j, e);
	return r < 0 ? err_wrap(e, "layer %s", j->blob.text) : 0;
}

/* Is it there already, in the caller's namespace (1, the reply filled), in another (2), or not (0)? */
static int
find_done(struct snapshot_state *s, struct call *c, const struct layer_job *names,
    struct layer_unpack_rep *rep, struct err *e)
{
	const char *sn = names->sn->name, *chain = names->chain.text;
	AUTO(store_abort) struct txn *t = NULL;
	struct snapshot_row row;
	struct layer_row l;
	int r = store_read(s->store, &t, e);

	if (r < 0)
		return r;
	if (snapshots_has(t, call_ns(c), sn, chain)) {
		r = snapshots_get(t, call_ns(c), sn, chain, call_arena(c), &row, e);
		rep->snapshot = r == 0 ? row.snapshot : NULL;
		rep->existed = true;
		return r < 0 ? r : 1;
	}
	r = layers_get(t, sn, chain, call_arena(c), &l, e);
	return r == 0 ? 2 : r == -ERR_NOT_FOUND ? 0 : r;
}

static struct layer_job *
job_new(struct snapshot_state *s, const struct layer_job *names, bool placed)
{
	struct layer_job *j = xcalloc(1, sizeof(*j));

	*j = *names;
	j->state = s;
	j->at = placed ? LAYER_PLACED : LAYER_QUEUED;
	j->folder = j->list = -1;
	TAILQ_INIT(&j->waiters);
	TAILQ_INSERT_TAIL(&s->layers, j, link);
	return j;
}

static void
job_join(struct layer_job *j, struct call *c, struct waiter as)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	*w = as;
	w->call = c;
	TAILQ_INSERT_TAIL(&j->waiters, w, link);
	job_wake(j);
}

/* The blob is in the store, brought by this take (0: by nobody knows whom). */
static void
job_arrive(struct layer_job *j, uint64_t take)
{
	if (j->arrived || take == 0)
		return; /* if it is another one's download, it arrives too */
	if (take != j->take || j->at == LAYER_QUEUED) {
		job_again(j, true);
		return;
	}
	if (j->at == LAYER_UNPACKING) {
		j->state->following--;
		j->state->unpacking++;
	}
	j->arrived = true;
}

int
layers_follow(
    struct snapshot_state *s, struct call *c, const struct layer_follow_req *req, struct err *e)
{
	struct layer_job names = { .take = (uint32_t)req->take, .slot = (uint32_t)req->slot }, *j;
	struct layer_unpack_rep there = { .existed = false };
	int r = job_name(s, &names, req->layer, req->parent, req->snapshotter, e);

	if (r == 0 &&
	    (names.take == 0 || req->slot >= BOARD_INGESTS || req->ingest[0] == '.' ||
		strchr(req->ingest, '/') != NULL || strlen(req->ingest) >= sizeof(names.ingest)))
		r = err_set(
		    e, ERR_INVALID_ARGUMENT, "ingest, slot or take: not those of a download");
	if (r == 0)
		r = find_done(s, c, &names, &there, e);
	if (r != 0)
		return r < 0 ? r : 0;
	(void)strcpy(names.ingest, req->ingest);
	j = job_find(s, &names);
	if (j == NULL) {
		j = job_new(s, &names, false);
	} else if (!j->arrived && j->take != names.take && strcmp(j->ingest, names.ingest) == 0) {
		j->take = names.take; /* that download began again */
		j->slot = names.slot;
		job_again(j, false);
	}
	job_join(j, c, (struct waiter){ .follows = true });
	return CALL_LATER;
}

int
layers_unpack(struct snapshot_state *s, struct call *c, const struct layer_unpack_req *req,
    struct layer_unpack_rep *rep, struct err *e)
{
	struct layer_job names = { .arrived = true }, *j;
	int there, r = job_name(s, &names, req->layer, req->parent, req->snapshotter, e);

	if (r < 0)
		return r;
	there = find_done(s, c, &names, rep, e);
	if (there < 0 || there == 1)
		return there < 0 ? there : 0;
	j = job_find(s, &names);
	if (j == NULL)
		j = job_new(s, &names, there == 2);
	else
		job_arrive(j, req->take);
	job_join(j, c, (struct waiter){ .existed = there == 2 });
	return CALL_LATER;
}

bool
layers_cancelled(struct snapshot_state *s, struct call *c)
{
	struct layer_job *j;
	struct waiter *w;

	TAILQ_FOREACH (j, &s->layers, link)
		TAILQ_FOREACH (w, &j->waiters, link)
			if (w->call == c) {
				waiter_end(j, w);
				job_wake(j);
				return true;
			}
	return false;
}

void
layers_free(struct snapshot_state *s)
{
	struct layer_job *j;

	while ((j = TAILQ_FIRST(&s->layers)) != NULL) {
		struct waiter *w;

		while ((w = TAILQ_FIRST(&j->waiters)) != NULL)
			waiter_end(j, w);
		fd_close(&j->folder);
		fd_close(&j->list);
		TAILQ_REMOVE(&s->layers, j, link);
		free(j);
	}
}
