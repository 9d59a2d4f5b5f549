/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diffs - snapshot_diff: a child writes the tar of what changed, packed, into a pipe; from there it goes to
 * content as an ingest, a piece at a time.
 *
 *	WAITING --a place is free--> READING --pipe ended, child done, all written--> COMMITTING -> answered
 *	READING, COMMITTING --something fails--> DROPPING (the ingest is thrown away) -> answered
 *
 * One piece is in memory; while content writes it nothing is read from the pipe, which holds the child up. Once
 * it is done, the records are looked at again: of a snapshot that was removed or committed meanwhile,
 * nobody knows what was read.
 *
 * Crash story: nothing of a job outlives the worker but the ingest. The call is sent again, and starts that
 * from its beginning, for the name is the call's (or the caller's own). An ingest that nobody comes back to is content's
 * to collect.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/ident.h"
#include "lib/oci/digest.h"
#include "workers/snapshot/layer_out.h"
#include "workers/snapshot/snapshot.h"

#define AT_ONCE 4
#define PIECE (1U << 20) /* what content takes at a time */
#define ABORT_MS 10000
#define GZIP_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"
#define UNCOMPRESSED "containerd.io/uncompressed"

struct diff_job {
	TAILQ_ENTRY(diff_job) link;
	struct snapshot_state *state;
	struct call *call;
	const struct snapshot_diff_req *req; /* the call's */
	const struct snapshotter *sn;
	const char *media_type, *ref;
	struct nursery_order order; /* what is compared */
	struct nursery_job *child;
	struct nursery_report result;
	bool done; /* the child is, and result says what came out */
	int pipe;
	struct loop_source *source; /* NULL: not read from now */
	bool ended;
	char *piece;
	size_t n;
	uint64_t sent;
	bool begun; /* there may be an ingest */
	struct client_call *asked;
	struct err why; /* of a failure, while the ingest is thrown away */
};

static void start_waiting(struct snapshot_state *s);
static void diffs_next(void *arg);
static void settle(struct diff_job *j);

/* --- the end of a job -------------------------------------------------------------------------------- */

/* Ends what goes on. */
static void
job_stop(struct diff_job *j)
{
	nursery_cancel(&j->child);
	client_cancel(&j->asked);
	loop_del(&j->source);
	fd_close(&j->pipe);
}

static void
job_free(struct diff_job *j)
{
	struct snapshot_state *s = j->state;

	job_stop(j);
	if (j->order.op != 0)
		s->diffing--;
	TAILQ_REMOVE(&s->diffs, j, link);
	free(j->piece);
	free(j);
}

static int
ask(struct diff_job *j, const struct method *m, const void *req, client_done_fn *done, void *arg,
    struct err *e)
{
	struct client_opts opts = { .ns = call_ns(j->call), .lease = call_lease(j->call) };

	return client_call(worker_client(j->state->worker), m, &opts, req, done, arg,
	    arg == NULL ? NULL : &j->asked, e);
}

static void
answer_failure(struct diff_job *j)
{
	struct snapshot_state *s = j->state;
	struct call *c = j->call;
	struct err e = j->why;

	job_free(j);
	call_fail(c, &e);
	start_waiting(s);
}

static void
on_dropped(void *arg, const void *rep, const struct err *e)
{
	struct diff_job *j = arg;

	(void)rep;
	(void)e; /* content drops it in a day, then */
	j->asked = NULL;
	answer_failure(j);
}

/* Fails the call once the ingest is gone. */
static void
job_fail(struct diff_job *j, const struct err *why)
{
	struct ingest_ref req = { .ref = j->ref };
	struct err e = ERR_ZERO;
	char shown[300];

	job_stop(j);
	j->why = *why;
	(void)err_wrap(
	    &j->why, "diff of snapshot %s", ident_show(j->req->key, shown, sizeof(shown)));
	if (!j->begun || ask(j, &content_ingest_abort_method, &req, on_dropped, j, &e) < 0)
		answer_failure(j);
}

static void
on_nothing(void *arg, const void *rep, const struct err *e)
{
	(void)arg;
	(void)rep;
	(void)e;
}

bool
diffs_cancelled(struct snapshot_state *s, struct call *c)
{
	struct diff_job *j;
	struct err ignored = ERR_ZERO;
	struct ingest_ref req;

	TAILQ_FOREACH (j, &s->diffs, link)
		if (j->call == c)
			break;
	if (j == NULL)
		return false;
	req.ref = j->ref;
	job_stop(j);
	if (j->begun)
		(void)ask(j, &content_ingest_abort_method, &req, on_nothing, NULL, &ignored);
	job_free(j);
	start_waiting(s);
	return true;
}

void
diffs_free(struct snapshot_state *s)
{
	struct diff_job *j;

	while ((j = TAILQ_FIRST(&s->diffs)) != NULL) {
		j->child = NULL; /* it went with the nursery */
		job_free(j);
	}
}

/* --- what is compared ---------------------------------------------------------------------------------- */

/* The folders of a snapshot, or of what is below it, behind those that o has. */
static int
stack_add(struct diff_job *j, struct txn *t, const char *key, bool below, struct err *e)
{
	struct nursery_order *o = &j->order;
	struct arena *a = call_arena(j->call);
	uint64_t *numbers = arena_calloc(a, LOWERS_MAX + 1, sizeof(*numbers));
	struct snapshot_row row;
	int n = snapshots_get(t, call_ns(j->call), j->sn->name, key, a, &row, e);

	if (n == 0)
		n = shelf_check_owners(j->state->shelf, j->sn->id, row.number, e);
	if (n == 0)
		n = snapshot_folders(t, j->call, j->sn, &row, below, numbers, e);
	if (n < 0)
		return n;
	if ((unsigned)n > COUNT(o->lowers) - o->nlowers)
		return err_set(
		    e, ERR_RESOURCE_EXHAUSTED, "more than %zu layers in all", COUNT(o->lowers));
	memcpy(o->lowers + o->nlowers, numbers, (size_t)n * sizeof(*numbers));
	o->nlowers += (uint32_t)n;
	return 0;
}

static int
stacks(struct diff_job *j, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const char *against = j->req->against;
	int r;

	j->order.nlowers = 0;
	if ((r = store_read(j->state->store, &t, e)) < 0 ||
	    (r = stack_add(j, t, j->req->key, false, e)) < 0)
		return r;
	j->order.nuppers = j->order.nlowers;
	return stack_add(j, t, against == NULL ? j->req->key : against, against == NULL, e);
}

/* Are both still what they were? */
static int
stacks_again(struct diff_job *j, struct err *e)
{
	AUTO(free_ptr) struct nursery_order *was = xcalloc(1, sizeof(*was));
	int r;

	*was = j->order;
	r = stacks(j, e);
	if (r < 0)
		return err_wrap(e, "while it was read");
	if (was->nlowers != j->order.nlowers || was->nuppers != j->order.nuppers ||
	    memcmp(was->lowers, j->order.lowers, was->nlowers * sizeof(was->lowers[0])) != 0)
		return err_set(e, ERR_FAILED_PRECONDITION, "it changed while it was read");
	return 0;
}

/* --- to content ------------------------------------------------------------------------------------------ */

static void
on_committed(void *arg, const void *rep, const struct err *e)
{
	struct diff_job *j = arg;
	struct snapshot_state *s = j->state;
	struct call *c = j->call;
	struct snapshot_diff_rep out = { .media_type = j->media_type,
		.digest = j->result.digest,
		.size = j->sent,
		.diff_id = j->result.diff_id,
		.sockets = j->result.sockets };

	(void)rep;
	j->asked = NULL;
	if (e != NULL && e->code != ERR_ALREADY_EXISTS) {
		job_fail(j, e);
		return;
	}
	call_reply(c, &out);
	job_free(j);
	start_waiting(s);
}

/* The labels that are wanted, and what it is when unpacked. */
static struct kvs
labels_of(struct diff_job *j)
{
	const struct kvs *want = &j->req->labels;
	struct kvs l = { .v = arena_calloc(call_arena(j->call), want->n + 1, sizeof(*l.v)) };

	for (uint32_t i = 0; i < want->n; i++)
		if (strcmp(want->v[i].k, UNCOMPRESSED) != 0)
			l.v[l.n++] = want->v[i];
	if (j->order.packing != LAYER_PLAIN)
		l.v[l.n++] = (struct kv){ .k = UNCOMPRESSED, .v = j->result.diff_id };
	return l;
}

static int
commit(struct diff_job *j, struct err *e)
{
	struct ingest_commit_req req = {
		.ref = j->ref, .size = j->sent, .expected = j->result.digest
	};
	struct digest unused;
	int r;

	if ((r = digest_parse(j->result.diff_id, &unused, e)) < 0 || (r = stacks_again(j, e)) < 0)
		return r;
	req.labels = labels_of(j);
	FAULT_POINT("snapshot.diff.written");
	return ask(j, &content_ingest_commit_method, &req, on_committed, j, e);
}

static void
on_written(void *arg, const void *rep, const struct err *e)
{
	struct diff_job *j = arg;

	(void)rep;
	j->asked = NULL;
	if (e != NULL) {
		job_fail(j, e);
		return;
	}
	j->sent += j->n;
	j->n = 0;
	settle(j);
}

static int
write_piece(struct diff_job *j, struct err *e)
{
	struct ingest_write_req req = {
		.ref = j->ref, .offset = j->sent, .data = { .p = (void *)j->piece, .n = j->n }
	};

	j->begun = true;
	return ask(j, &content_ingest_write_method, &req, on_written, j, e);
}

/* --- from the child -------------------------------------------------------------------------------------- */

static void
on_pipe(void *arg, uint32_t events)
{
	struct diff_job *j = arg;
	ssize_t n = read(j->pipe, j->piece + j->n, PIECE - j->n);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	j->ended = n <= 0;
	if (n > 0)
		j->n += (size_t)n;
	if (j->ended || j->n == PIECE)
		settle(j);
}

/* What is to be done next, while nothing is asked of content. */
static int
step(struct diff_job *j, struct err *e)
{
	if (j->n == PIECE || (j->ended && j->n > 0)) {
		loop_del(&j->source); /* its end would wake us all the time */
		return write_piece(j, e);
	}
	if (j->ended) {
		loop_del(&j->source);
		return j->done ? commit(j, e) : 0;
	}
	if (j->source == NULL)
		j->source = loop_fd(worker_loop(j->state->worker), j->pipe, EPOLLIN, on_pipe, j);
	return j->source == NULL ? err_sys(e, errno, "watch a pipe") : 0;
}

static void
settle(struct diff_job *j)
{
	struct call *c = j->call;
	struct err e = ERR_ZERO;
	int r;

	if (j->asked != NULL)
		return;
	call_enter(c);
	r = step(j, &e);
	call_leave(c);
	if (r < 0)
		job_fail(j, &e);
}

static void
on_report(void *arg, const struct nursery_report *r)
{
	struct diff_job *j = arg;
	struct err e = ERR_ZERO;

	if (r->kind == NURSERY_PROGRESS)
		return;
	j->child = NULL;
	if (r->kind == NURSERY_DONE) {
		j->result = *r;
		j->done = true;
		settle(j);
		return;
	}
	if (stacks_again(j, &e) == 0) /* the better reason */
		(void)err_set(&e, (enum err_code)r->code, "%s", r->message);
	job_fail(j, &e);
}

/* --- requests -------------------------------------------------------------------------------------------- */

static int
start(struct diff_job *j, struct err *e)
{
	struct snapshot_state *s = j->state;
	AUTO(fd_close) int theirs = -1;
	struct nursery_fds fds = { .folder = shelf_kind_fd(s->shelf, j->sn->id), .list = -1 };
	int pair[2], r = stacks(j, e);

	if (r == 0)
		r = snapshotter_open(j->sn, s->shelf, j->order.lowers, j->order.nlowers, e);
	if (r < 0)
		return r;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	j->pipe = pair[0];
	fds.file = theirs = pair[1];
	(void)fcntl(j->pipe, F_SETFL, O_NONBLOCK);
	(void)fcntl(j->pipe, F_SETPIPE_SZ, PIECE); /* or as large as it is */
	j->piece = xcalloc(1, PIECE);
	return nursery_run(s->nursery, &j->order, &fds, on_report, j, &j->child, e);
}

static void
start_waiting(struct snapshot_state *s)
{
	struct diff_job *j;

	TAILQ_FOREACH (j, &s->diffs, link)
		if (j->order.op == 0)
			break;
	if (j != NULL && s->diffing < AT_ONCE)
		(void)loop_once(worker_loop(s->worker), 0, diffs_next, s);
}

/* One at a time: a job that fails changes the list. */
static void
diffs_next(void *arg)
{
	struct snapshot_state *s = arg;
	struct err e = ERR_ZERO;
	struct diff_job *j;

	TAILQ_FOREACH (j, &s->diffs, link)
		if (j->order.op == 0)
			break;
	if (j == NULL || s->diffing >= AT_ONCE)
		return;
	j->order.op = NURSERY_DIFF;
	s->diffing++;
	if (start(j, &e) < 0)
		job_fail(j, &e);
	else
		settle(j);
	start_waiting(s);
}

static int
packing_of(const char *media_type, uint32_t *ret, struct err *e)
{
	static const struct {
		const char *type;
		enum layer_packing packing;
	} known[] = {
		{ "application/vnd.oci.image.layer.v1.tar", LAYER_PLAIN },
		{ "application/vnd.oci.image.layer.v1.tar+gzip", LAYER_GZIP },
		{ "application/vnd.oci.image.layer.v1.tar+zstd", LAYER_ZSTD },
		{ "application/vnd.docker.image.rootfs.diff.tar", LAYER_PLAIN },
		{ "application/vnd.docker.image.rootfs.diff.tar.gzip", LAYER_GZIP },
	};
	char shown[128];

	for (unsigned i = 0; i < COUNT(known); i++)
		if (strcmp(known[i].type, media_type) == 0) {
			*ret = known[i].packing;
			return 0;
		}
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "media type %s: layers are written as %s, +gzip or +zstd, or docker's like",
	    ident_show(media_type, shown, sizeof(shown)), known[0].type);
}

int
diffs_add(
    struct snapshot_state *s, struct call *c, const struct snapshot_diff_req *req, struct err *e)
{
	const struct snapshotter *sn = snapshotter_wanted(s, req->snapshotter, e);
	struct diff_job *j;
	uint32_t packing = LAYER_GZIP;
	int r;

	if (sn == NULL)
		return -(int)e->code;
	r = packing_of(req->media_type == NULL ? GZIP_TYPE : req->media_type, &packing, e);
	if (r < 0)
		return r;
	j = xcalloc(1, sizeof(*j));
	*j = (struct diff_job){ .state = s, .call = c, .req = req, .sn = sn, .pipe = -1 };
	j->order.packing = packing;
	j->media_type = req->media_type == NULL ? GZIP_TYPE : req->media_type;
	j->ref = req->ref != NULL ? req->ref
				  : arena_printf(call_arena(c), "diff-%s", call_id_text(c));
	TAILQ_INSERT_TAIL(&s->diffs, j, link);
	/* Not from here: a call must not be answered before its handler has returned. */
	start_waiting(s);
	return CALL_LATER;
}
