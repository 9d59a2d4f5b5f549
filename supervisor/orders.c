/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orders - see orders.h.
 *
 *	FREE -> WAITING (another order for this container runs) -> RUNNING (a shim's call) -> DONE (answer
 *	not sent yet) -> FREE
 *
 * Orders that need no shim's call go to DONE in one step. A full table stops the reading of orders:
 * the kernel's queue, then task itself, holds the rest back.
 */
#include "supervisor/orders.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "supervisor/bundle.h"
#include "supervisor/shim.h"

#define TIMEOUT_MS 30000
#define TIMEOUT_MAX_MS 600000

/* Begins an order: 0 done, RUNS when a call was started, negative an error. */
#define RUNS 1

static int do_start(struct job *j, struct err *e);
static int do_connect(struct job *j, struct err *e);
static int do_delete(struct job *j, struct err *e);
static int do_bundle_remove(struct job *j, struct err *e);
static int do_logs_remove(struct job *j, struct err *e);
static int do_probe(struct job *j, struct err *e);
static int do_kill(struct job *j, struct err *e);
static int do_ready(struct job *j, struct err *e);

static const struct op {
	int (*begin)(struct job *, struct err *);
	const char *name;
	unsigned nfds;
	bool names; /* ns and id are needed; orders for the same two run one after the other */
} ops[] = {
	[ORDER_SHIM_START] = { do_start, "shim start", 2, true },
	[ORDER_SHIM_CONNECT] = { do_connect, "shim connect", 0, false },
	[ORDER_SHIM_DELETE] = { do_delete, "shim delete", 0, true },
	[ORDER_BUNDLE_REMOVE] = { do_bundle_remove, "bundle remove", 0, true },
	[ORDER_LOGS_REMOVE] = { do_logs_remove, "logs remove", 0, true },
	[ORDER_RUNTIME_PROBE] = { do_probe, "runtime probe", 0, false },
	[ORDER_SHIM_KILL] = { do_kill, "shim kill", 1, false },
	[ORDER_MAKE_READY] = { do_ready, "make ready", 0, false },
};

static void job_begin(struct job *j);

/* --- answers ---------------------------------------------------------------------------------------- */

static void
job_free(struct job *j)
{
	struct orders *os = j->orders;

	loop_del(&j->on_exit);
	loop_del(&j->on_out);
	loop_del(&j->on_err);
	loop_del(&j->timer);
	fd_close(&j->fds[0]);
	fd_close(&j->fds[1]);
	fd_close(&j->pidfd);
	fd_close(&j->out_fd);
	fd_close(&j->err_fd);
	fd_close(&j->ret_fd);
	free_ptr(&j->out);
	j->state = JOB_FREE;
	os->used--;
}

static int
job_send(struct job *j)
{
	static union {
		struct order_reply r;
		unsigned char bytes[sizeof(struct order_reply) + ORDER_DATA_MAX];
	} packet; /* one at a time */
	struct order_reply *r = &packet.r;

	memset(r, 0, sizeof(*r));
	r->version = CONTROL_VERSION;
	r->seq = j->order.seq;
	r->code = (uint32_t)j->failure.code;
	r->exit_status = j->exit_status;
	if (j->failure.code != ERR_NONE)
		memcpy(r->message, j->failure.msg, sizeof(r->message));
	r->data_len = (uint32_t)j->out_len;
	if (j->out_len > 0)
		memcpy(r->data, j->out, j->out_len);
	r->size = (uint32_t)(sizeof(*r) + j->out_len);
	return crew_reply(j->orders->crew, r, &j->ret_fd, j->ret_fd >= 0 ? 1 : 0);
}

void
orders_flush(struct orders *os)
{
	bool behind = false;

	for (size_t i = 0; i < JOBS_MAX && !behind; i++) {
		struct job *j = &os->jobs[i];

		if (j->state != JOB_DONE)
			continue;
		if (!j->forgotten && job_send(j) < 0 && errno == EAGAIN) {
			behind = true;
		} else {
			job_free(j);
		}
	}
	crew_want(os->crew, os->used < JOBS_MAX, behind);
}

static bool
same_container(const struct job *a, const struct job *b)
{
	return strcmp(a->order.id, b->order.id) == 0 && strcmp(a->order.ns, b->order.ns) == 0;
}

/* The order is carried out or failed: answer it, let the next one for this container go. */
static void
job_done(struct job *j)
{
	struct orders *os = j->orders;
	bool names = ops[j->order.op].names;
	struct job key = { .order = j->order };

	j->state = JOB_DONE;
	orders_flush(os);
	if (!names)
		return;
	for (size_t i = 0; i < JOBS_MAX; i++) {
		struct job *next = &os->jobs[i];

		if (next->state == JOB_WAITING && same_container(next, &key)) {
			job_begin(next);
			return;
		}
	}
}

/* --- calls of shims --------------------------------------------------------------------------------- */

/* Reads what is there. False at the end. */
static bool
drain_out(struct job *j)
{
	char spill[4096];

	for (;;) {
		size_t room = ORDER_DATA_MAX - j->out_len;
		ssize_t n = room > 0 ? read(j->out_fd, j->out + j->out_len, room)
				     : read(j->out_fd, spill, sizeof(spill));

		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		if (room > 0)
			j->out_len += (size_t)n;
		else
			j->out_over = true;
	}
}

static bool
drain_err(struct job *j)
{
	char piece[sizeof(j->err)];

	for (;;) {
		ssize_t got = read(j->err_fd, piece, sizeof(piece) - 1);
		size_t n, keep;

		if (got < 0)
			return errno == EAGAIN;
		if (got == 0)
			return false;
		n = (size_t)got; /* keeps the end */
		keep = j->err_len < sizeof(j->err) - 1 - n ? j->err_len : sizeof(j->err) - 1 - n;
		memmove(j->err, j->err + j->err_len - keep, keep);
		memcpy(j->err + keep, piece, n);
		j->err_len = keep + n;
		j->err[j->err_len] = '\0';
	}
}

static void
out_run(void *arg, uint32_t events)
{
	struct job *j = arg;

	(void)events;
	if (!drain_out(j))
		loop_del(&j->on_out);
}

static void
err_run(void *arg, uint32_t events)
{
	struct job *j = arg;

	(void)events;
	if (!drain_err(j))
		loop_del(&j->on_err);
}

/* The last line that says something. */
static const char *
last_line(struct job *j)
{
	char *at;

	while (j->err_len > 0 && strchr(" \t\r\n", j->err[j->err_len - 1]) != NULL)
		j->err[--j->err_len] = '\0';
	at = j->err_len > 0 ? strrchr(j->err, '\n') : NULL;
	return at != NULL ? at + 1 : j->err;
}

static int
call_verdict(struct job *j, int status, struct err *e)
{
	const char *name = ops[j->order.op].name, *words;

	j->err[j->err_len] = '\0';
	words = last_line(j);
	j->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (j->late)
		return err_set(e, ERR_DEADLINE_EXCEEDED,
		    "%s: took longer than %u ms: killed%s%.400s", name, j->order.timeout_ms,
		    words[0] == '\0' ? "" : ": ", words);
	if (j->exit_status != 0)
		return err_set(e, ERR_INTERNAL, "%s: %.400s (exit status %d)", name,
		    words[0] == '\0' ? "it said nothing" : words, j->exit_status);
	if (j->out_over)
		return err_set(e, ERR_INTERNAL, "%s: its answer is longer than %d bytes", name,
		    ORDER_DATA_MAX);
	return 0;
}

static void
exit_run(void *arg, uint32_t events)
{
	struct job *j = arg;
	struct err ignored = ERR_ZERO;
	int status = 0;

	(void)events;
	if (waitpid(j->pid, &status, WNOHANG) == 0)
		return;
	FAULT_POINT("supervisor.call.ended");
	/* What it left in the pipes; not to their end, which a daemon that it forked may hold open. */
	(void)drain_out(j);
	(void)drain_err(j);
	loop_del(&j->on_exit);
	loop_del(&j->timer);
	if (call_verdict(j, status, &j->failure) < 0 && j->order.op == ORDER_SHIM_START) {
		if (bundle_remove(j->orders->folders, j->order.ns, j->order.id, &ignored) < 0)
			log_warn("after a failed start: %s", ignored.msg);
	}
	job_done(j);
}

static void
late_run(void *arg)
{
	struct job *j = arg;

	j->timer = NULL;
	j->late = true;
	(void)kill(-j->pid, SIGKILL); /* its session: it is our child and not reaped */
}

static int
pipe_make(int *ours, int *theirs, struct err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make pipe");
	*ours = fds[0];
	*theirs = fds[1];
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, errno, "prepare pipe");
	return 0;
}

static int
call_begin(struct job *j, const char *verb, int in, struct err *e)
{
	struct orders *os = j->orders;
	AUTO(fd_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	AUTO(fd_close) int out = -1;
	AUTO(fd_close) int err = -1;
	struct shim_call call = { .runtime = j->order.runtime[0] != '\0' ? j->order.runtime
									 : SHIM_DEFAULT,
		.verb = verb,
		.ns = j->order.ns,
		.id = ops[j->order.op].names ? j->order.id : NULL };
	int r;

	j->out = malloc(ORDER_DATA_MAX);
	if (j->out == NULL || null < 0)
		return err_sys(e, errno, "prepare %s", ops[j->order.op].name);
	if ((r = pipe_make(&j->out_fd, &out, e)) < 0 || (r = pipe_make(&j->err_fd, &err, e)) < 0)
		return r;
	call.in = in >= 0 ? in : null;
	call.out = out;
	call.err = err;
	r = shim_run(os->folders, os->self_dir, &call, &j->pid, &j->pidfd, e);
	if (r < 0)
		return r;
	j->on_exit = loop_fd(os->loop, j->pidfd, EPOLLIN, exit_run, j);
	j->on_out = loop_fd(os->loop, j->out_fd, EPOLLIN, out_run, j);
	j->on_err = loop_fd(os->loop, j->err_fd, EPOLLIN, err_run, j);
	if (j->on_exit == NULL || j->on_out == NULL || j->on_err == NULL) {
		r = err_sys(e, errno, "watch %s", ops[j->order.op].name);
		(void)kill(-j->pid, SIGKILL);
		(void)waitpid(j->pid, NULL, 0);
		return r;
	}
	j->timer = loop_once(os->loop, j->order.timeout_ms, late_run, j);
	FAULT_POINT("supervisor.call.started");
	return RUNS;
}

/* --- the orders --------------------------------------------------------------------------------------- */

static int
do_start(struct job *j, struct err *e)
{
	const struct folders *f = j->orders->folders;
	struct err ignored = ERR_ZERO;
	int r;

	if ((r = memfd_check(j->fds[1], "the options", e)) < 0 ||
	    (r = bundle_make(f, j->order.ns, j->order.id, j->fds[0], e)) < 0)
		return r;
	FAULT_POINT("supervisor.bundle.made");
	(void)lseek(j->fds[1], 0, SEEK_SET);
	r = call_begin(j, "start", j->fds[1], e);
	if (r < 0)
		(void)bundle_remove(f, j->order.ns, j->order.id, &ignored);
	return r;
}

static int
do_connect(struct job *j, struct err *e)
{
	return shim_connect(j->orders->folders, j->order.address, &j->ret_fd, e);
}

static int
do_delete(struct job *j, struct err *e)
{
	if (!bundle_exists(j->orders->folders, j->order.ns, j->order.id))
		return err_set(e, ERR_NOT_FOUND, "no bundle %s/%s", j->order.ns, j->order.id);
	shim_end_leaked(j->orders->folders, j->order.ns, j->order.id);
	return call_begin(j, "delete", -1, e);
}

static int
do_bundle_remove(struct job *j, struct err *e)
{
	return bundle_remove(j->orders->folders, j->order.ns, j->order.id, e);
}

static int
do_logs_remove(struct job *j, struct err *e)
{
	return bundle_remove_logs(j->orders->folders, j->order.ns, j->order.id, e);
}

static int
do_probe(struct job *j, struct err *e)
{
	return call_begin(j, "probe", -1, e);
}

static int
do_ready(struct job *j, struct err *e)
{
	return call_begin(j, "ready", -1, e);
}

static int
do_kill(struct job *j, struct err *e)
{
	return shim_kill(j->fds[0], (int)j->order.signo, e);
}

static void
job_begin(struct job *j)
{
	int r = ops[j->order.op].begin(j, &j->failure);

	if (r == RUNS) {
		j->state = JOB_RUNNING;
		return;
	}
	if (r < 0)
		log_debug("%s %s/%s: %s", ops[j->order.op].name, j->order.ns, j->order.id,
		    j->failure.msg);
	job_done(j);
}

#define ENDS(array) (memchr((array), '\0', sizeof(array)) != NULL)

static int
order_check(struct order *o, unsigned nfds, struct err *e)
{
	const struct op *op;
	int r;

	if (o->op >= COUNT(ops) || ops[o->op].begin == NULL)
		return err_set(e, ERR_UNIMPLEMENTED, "order: unknown operation %u", o->op);
	if (!ENDS(o->ns) || !ENDS(o->id) || !ENDS(o->runtime) || !ENDS(o->address))
		return err_set(e, ERR_INVALID_ARGUMENT, "order: a text has no end");
	op = &ops[o->op];
	if (nfds != op->nfds)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s: %u descriptors, not %u", op->name,
		    nfds, op->nfds);
	if (op->names && ((r = ident_check("namespace", o->ns, e)) < 0 ||
			     (r = ident_check("container", o->id, e)) < 0))
		return r;
	if (o->timeout_ms == 0)
		o->timeout_ms = TIMEOUT_MS;
	if (o->timeout_ms > TIMEOUT_MAX_MS)
		o->timeout_ms = TIMEOUT_MAX_MS;
	return 0;
}

static struct job *
job_new(struct orders *os, const struct order *o)
{
	for (size_t i = 0; i < JOBS_MAX; i++) {
		struct job *j = &os->jobs[i];

		if (j->state != JOB_FREE)
			continue;
		*j = (struct job){ .orders = os,
			.state = JOB_WAITING,
			.order = *o,
			.fds = { -1, -1 },
			.pidfd = -1,
			.out_fd = -1,
			.err_fd = -1,
			.ret_fd = -1 };
		os->used++;
		return j;
	}
	return NULL;
}

void
orders_take(struct orders *os, const struct order *o, int *fds, unsigned nfds)
{
	struct job *j = job_new(os, o);

	for (unsigned i = 0; i < nfds; i++) {
		if (j != NULL && i < COUNT(j->fds))
			j->fds[i] = fd_take(&fds[i]);
		else
			fd_close(&fds[i]);
	}
	if (j == NULL) /* orders are not read when the table is full */
		return;
	if (order_check(&j->order, nfds, &j->failure) < 0) {
		log_warn("order of task refused: %s", j->failure.msg);
		j->order.op = 0;
		j->state = JOB_DONE;
		orders_flush(os);
		return;
	}
	if (os->used == JOBS_MAX)
		crew_want(os->crew, false, false);
	if (ops[o->op].names)
		for (size_t i = 0; i < JOBS_MAX; i++)
			if (&os->jobs[i] != j && same_container(&os->jobs[i], j) &&
			    ops[os->jobs[i].order.op].names &&
			    (os->jobs[i].state == JOB_RUNNING || os->jobs[i].state == JOB_WAITING))
				return; /* job_done of that one begins this one */
	job_begin(j);
}

void
orders_forget(struct orders *os)
{
	for (size_t i = 0; i < JOBS_MAX; i++) {
		struct job *j = &os->jobs[i];

		if (j->state != JOB_FREE)
			j->forgotten = true;
		if (j->state == JOB_WAITING || j->state == JOB_DONE)
			job_free(j);
	}
}

void
orders_open(struct orders *os, struct loop *l, const struct folders *f, struct crew *c,
    const char *self_dir)
{
	*os = (struct orders){ .loop = l, .folders = f, .crew = c, .self_dir = self_dir };
}

void
orders_close(struct orders *os)
{
	if (os->loop == NULL)
		return;
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (os->jobs[i].state != JOB_FREE)
			job_free(&os->jobs[i]);
}
