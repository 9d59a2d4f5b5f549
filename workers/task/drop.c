/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drop - task_delete and container_delete.
 *
 *	task:	[KILL and wait for the end, with force] -> shim Delete -> the shim ends -> BUNDLE_REMOVE ->
 *		rows (deleted) with the reply -> events, then the rows go
 *	exec:	[KILL and wait] -> shim Delete -> row (deleted) with the reply
 *	container: its task as above, when it has one, and side by side with that from the shim's Delete on,
 *		when the root is unmounted: snapshot_remove; LOGS_REMOVE -> one transaction: record,
 *		spec, event, reply
 *
 * Every step is fine with being done again, so a death anywhere costs nothing: the request, sent again,
 * goes through all of them. Without a resend the container is still listed and can be deleted.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "workers/task/step.h"

#define END_MS 15000 /* from KILL to the exit: longer means a process that cannot die */

struct drop {
	char exec_id[IDENT_MAX + 1];
	bool force, container, keep_snapshot;
	bool killed;
	unsigned parts; /* steps under way side by side */
	bool root_begun;
	bool bundle_left;   /* BUNDLE_REMOVE failed: the task stays */
	struct err failure; /* of one of them */
	struct waiter waiter;
	bool waiting;
	struct loop_source *timer;
	struct task last; /* what the reply says of the process */
};

static void shim_delete(struct op *op);
static void check(struct op *op);
static void forget_task(struct op *op);

static struct proc *
target(struct op *op)
{
	struct drop *s = op->state;

	return proc_find(op->box, s->exec_id);
}

/* --- container: what lies behind its task ----------------------------------------------------------- */

static void
forget_container(struct op *op)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct drop *s = op->state;
	struct taskd *t = op->t;
	struct err e = ERR_ZERO;

	if (store_write(t->containers, &txn, &e) < 0 ||
	    container_remove(t, txn, op->box->ns, op->box->id, s->keep_snapshot, &e) < 0 ||
	    op_commit(op, &txn, NULL, &e) < 0) {
		op_fail(op, &e);
		return;
	}
	FAULT_POINT("task.forget.stored");
	tells_written(t);
	worker_outbox_wake(t->w);
	op_reply(op, NULL);
}

/* What can be removed outside is, or could not be: now the records. */
static void
part_done(struct op *op)
{
	struct drop *s = op->state;

	if (--s->parts > 0)
		return;
	if (target(op) != NULL && !s->bundle_left)
		forget_task(op);
	else if (s->failure.code != ERR_NONE)
		op_fail(op, &s->failure);
	else
		forget_container(op);
}

static void
on_logs_gone(void *arg, const struct order_result *r)
{
	struct op *op = arg;

	FAULT_POINT("task.forget.logs_gone");
	if (r->e->code != ERR_NONE)
		log_warn("%s/%s: remove its logs: %s", op->box->ns, op->box->id, r->e->msg);
	part_done(op);
}

static void
drop_logs(struct op *op)
{
	struct drop *s = op->state;

	s->parts++;
	step_order(op, ORDER_LOGS_REMOVE, NULL, 0, on_logs_gone);
}

static void
on_root_gone(void *arg, const void *rep, const struct err *e)
{
	struct op *op = arg;
	struct drop *s = op->state;

	(void)rep;
	FAULT_POINT("task.forget.root_gone");
	if (e != NULL && e->code != ERR_NOT_FOUND)
		s->failure = *e;
	part_done(op);
}

static void
drop_root(struct op *op)
{
	struct drop *s = op->state;
	struct snapshot_key_req req = { .key = op->box->id,
		.snapshotter = container_snapshotter(op->t, op->box->ns, op->box->id, &op->arena) };

	if (s->keep_snapshot || s->root_begun)
		return;
	s->root_begun = true;
	s->parts++;
	(void)step_bus(op, &snapshot_snapshot_remove_method, &req, on_root_gone);
}

/* A container without a task. */
static void
drop_rest(struct op *op)
{
	struct drop *s = op->state;

	s->parts = 1;
	drop_root(op);
	drop_logs(op);
	part_done(op);
}

/* --- rows ------------------------------------------------------------------------------------------- */

static int
mark_deleted(struct proc *p, struct txn *txn, struct err *e)
{
	p->facts |= FACT_DELETED;
	p->intent = INTENT_NONE;
	return proc_put(p, txn, e);
}

static void
let_go(struct proc *p)
{
	tell_fact(p, FACT_DELETED);
	proc_free(p);
}

/* The processes are gone outside: now here. Of a container's own process all execs go with it. */
static void
forget_task(struct op *op)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct drop *s = op->state;
	struct box *b = op->box;
	struct proc *p = target(op);
	bool whole = p == b->init;
	struct task_rep rep = { .task = &s->last };
	struct err e = ERR_ZERO;
	int r;

	proc_fill(p, &op->arena, &s->last);
	r = store_write(op->t->tasks, &txn, &e);
	for (struct proc *x = b->execs; r == 0 && whole && x != NULL; x = x->next)
		r = mark_deleted(x, txn, &e);
	if (r == 0)
		r = mark_deleted(p, txn, &e);
	if (r == 0)
		r = s->container ? store_commit(&txn, &e) : op_commit(op, &txn, &rep, &e);
	if (r < 0) {
		op_fail(op, &e);
		return;
	}
	FAULT_POINT("task.delete.stored");
	while (whole && b->execs != NULL)
		let_go(b->execs);
	let_go(p);
	if (s->failure.code != ERR_NONE)
		op_fail(op, &s->failure);
	else if (s->container)
		forget_container(op);
	else
		op_reply(op, &rep);
}

/* --- the shim --------------------------------------------------------------------------------------- */

static void
on_bundle_gone(void *arg, const struct order_result *r)
{
	struct op *op = arg;
	struct drop *s = op->state;

	if (r->e->code != ERR_NONE) {
		s->failure = *r->e;
		s->bundle_left = true;
	} else {
		FAULT_POINT("task.delete.bundle_gone");
		op->box->shim[0] = '\0';
		if (s->container) /* behind a dead shim only now: it may have been mounted until here */
			drop_root(op);
	}
	part_done(op);
}

static void
remove_bundle(struct op *op)
{
	struct box *b = op->box;
	struct drop *s = op->state;

	/* Whatever did not end well above ends here, as far as we can see. */
	for (struct proc *x = b->execs; x != NULL; x = x->next)
		proc_exit(x, EXIT_KILLED, 0, "its container was deleted");
	if (b->init != NULL)
		proc_exit(b->init, EXIT_KILLED, 0, "deleted");
	shim_drop(b);
	s->parts++;
	step_order(op, ORDER_BUNDLE_REMOVE, NULL, 0, on_bundle_gone);
	if (s->container)
		drop_logs(op);
	part_done(op);
}

static void
on_shim_ended(void *arg)
{
	FAULT_POINT("task.delete.shim_ended");
	remove_bundle(arg);
}

static void
on_again(void *arg, const struct err *e)
{
	struct op *op = arg;

	if (e == NULL || op->box->shim_state == SHIM_GONE)
		check(op);
	else
		op_fail(op, e);
}

static void
on_deleted(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	const Containerd__Task__V2__DeleteResponse *d = (const void *)rep;
	struct op *op = arg;
	struct drop *s = op->state;
	struct proc *p = target(op);
	struct err why = *e;

	MUST(p != NULL);
	FAULT_POINT("task.delete.answered");
	if (shim_lost(e)) {
		if (op->box->shim_state == SHIM_UP)
			op->box->shim_state = SHIM_CONNECTING;
		shim_when_up(op->box, on_again, op);
		return;
	}
	if (e->code != ERR_NONE && e->code != ERR_NOT_FOUND) {
		(void)err_wrap(&why, "container %s", op->box->id);
		op_fail(op, &why);
		return;
	}
	if (e->code == ERR_NONE)
		proc_exit(p, d->exit_status, shim_time(d->exited_at), NULL);
	if (p == op->box->init) {
		s->parts = 1;
		if (s->container)
			drop_root(op);
		shim_shutdown(op->box, on_shim_ended, op);
	} else {
		proc_exit(p, EXIT_KILLED, 0, "deleted");
		forget_task(op);
	}
}

static void
shim_delete(struct op *op)
{
	Containerd__Task__V2__DeleteRequest req;
	struct proc *p = target(op);

	containerd__task__v2__delete_request__init(&req);
	req.id = shim_text(op->box->id);
	req.exec_id = shim_text(p->exec_id);
	step_shim(op, "Delete", SHIM_RUNTIME_MS, &req.base,
	    &containerd__task__v2__delete_response__descriptor, on_deleted);
}

/* --- ending what still runs ------------------------------------------------------------------------- */

static void
on_ended(void *arg)
{
	struct op *op = arg;
	struct drop *s = op->state;

	s->waiting = false;
	loop_del(&s->timer);
	check(op);
}

static void
on_too_long(void *arg)
{
	struct op *op = arg;
	struct drop *s = op->state;
	struct proc *p = target(op);
	struct err e = ERR_ZERO;

	s->timer = NULL;
	if (p != NULL && s->waiting)
		proc_unwait(p, &s->waiter);
	(void)err_set(&e, ERR_DEADLINE_EXCEEDED, "container \"%s\": KILL did not end it in %d s",
	    op->box->id, END_MS / 1000);
	op_fail(op, &e);
}

static void
on_killed(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct op *op = arg;
	struct drop *s = op->state;
	struct proc *p = target(op);

	(void)rep;
	if (e->code != ERR_NONE && e->code != ERR_NOT_FOUND && e->code != ERR_FAILED_PRECONDITION &&
	    !shim_lost(e)) {
		op_fail(op, e);
		return;
	}
	s->killed = true;
	s->waiting = true;
	s->timer = loop_once(op->t->loop, END_MS, on_too_long, op);
	s->waiter = (struct waiter){ .fn = on_ended, .arg = op };
	proc_wait(p, &s->waiter);
}

static void
kill_it(struct op *op)
{
	Containerd__Task__V2__KillRequest req;
	struct proc *p = target(op);

	containerd__task__v2__kill_request__init(&req);
	req.id = shim_text(op->box->id);
	req.exec_id = shim_text(p->exec_id);
	req.signal = SIGKILL;
	req.all = p->exec_id[0] == '\0';
	step_shim(
	    op, "Kill", SHIM_CALL_MS, &req.base, &google__protobuf__empty__descriptor, on_killed);
}

/* The shim is up, or dead and cleared away. */
static void
check(struct op *op)
{
	struct drop *s = op->state;
	struct proc *p = target(op);
	struct err e = ERR_ZERO;

	if (p == NULL) {
		(void)step_no_proc(op->box->id, s->exec_id, &e);
		op_fail(op, &e);
	} else if ((p->status == STATUS_RUNNING || p->status == STATUS_PAUSED) && !s->force &&
		   !s->killed) {
		(void)err_set(&e, ERR_FAILED_PRECONDITION,
		    "container \"%s\" %sis %s: stop it first, or delete it with --force",
		    op->box->id, p->exec_id[0] == '\0' ? "" : "exec ", status_text(p->status));
		op_fail(op, &e);
	} else if (op->box->shim_state == SHIM_GONE) {
		s->parts = 1;
		if (p == op->box->init)
			remove_bundle(op);
		else
			forget_task(op);
	} else if (proc_alive(p) && !s->killed &&
		   !(p->exec_id[0] != '\0' && p->status == STATUS_CREATED)) {
		kill_it(op);
	} else {
		shim_delete(op);
	}
}

static void
on_up(void *arg, const struct err *e)
{
	struct op *op = arg;

	if (e == NULL || op->box->shim_state == SHIM_GONE)
		check(op);
	else
		op_fail(op, e);
}

/* --- beginnings ------------------------------------------------------------------------------------- */

static void
begin_task(struct op *op)
{
	struct drop *s = op->state;
	struct err e = ERR_ZERO;

	if (target(op) == NULL) {
		(void)step_no_proc(op->box->id, s->exec_id, &e);
		op_fail(op, &e);
		return;
	}
	shim_when_up(op->box, on_up, op);
}

static void
begin_container(struct op *op)
{
	struct container_row row;
	struct err e = ERR_ZERO;

	if (container_read(op->t, op->box->ns, op->box->id, &op->arena, &row, &e) < 0)
		op_fail(op, &e);
	else if (op->box->init != NULL)
		begin_task(op);
	else
		drop_rest(op);
}

void
drop_task(struct taskd *t, struct call *c, const struct task_delete_req *req)
{
	struct op *op = op_new(
	    t, c, call_ns(c), req->id, "is being deleted", begin_task, sizeof(struct drop));
	struct drop *s = op->state;

	if (req->exec_id != NULL)
		(void)snprintf(s->exec_id, sizeof(s->exec_id), "%s", req->exec_id);
	s->force = req->force;
	op_queue(op);
}

void
drop_container(struct taskd *t, struct call *c, const struct container_delete_req *req)
{
	struct op *op = op_new(
	    t, c, call_ns(c), req->id, "is being deleted", begin_container, sizeof(struct drop));
	struct drop *s = op->state;

	s->container = true;
	s->force = req->force;
	s->keep_snapshot = req->keep_snapshot;
	op_queue(op);
}
