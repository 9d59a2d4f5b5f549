/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals - what is done to processes without changing what they are: kill, stop, wait, pause, terminal
 * size, end of input, pids. None of them stands in the container's queue, so none waits for a slow
 * create or delete; each only needs the shim.
 *
 *	stop:	signal -> [Resume when paused] -> the end, or after the timeout KILL to all -> the end
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "lib/oci/signo.h"
#include "lib/ttrpc/proto/runc.pb-c.h"
#include "lib/ttrpc/shim.h"
#include "workers/task/step.h"

#define STOP_MS 10000
#define STOP_MAX_MS 86400000 /* a day */
#define KILLED_MS 15000
#define PIDS_MAX 65536

struct sig {
	char exec_id[IDENT_MAX + 1];
	uint32_t signal;
	bool all, on;
	uint32_t width, height;
	/* stop and wait */
	uint64_t timeout_ms;
	struct waiter waiter;
	bool waiting, killed;
	struct loop_source *timer;
	void (*call)(struct op *op); /* once the shim is up */
};

static struct proc *
target(struct op *op)
{
	struct sig *s = op->state;

	return proc_find(op->box, s->exec_id);
}

static void
stop_waiting(struct op *op)
{
	struct sig *s = op->state;
	struct proc *p = target(op);

	loop_del(&s->timer);
	if (s->waiting && p != NULL)
		proc_unwait(p, &s->waiter);
	s->waiting = false;
}

static void
fail(struct op *op, const struct err *e)
{
	struct err why = *e;

	stop_waiting(op);
	if (strstr(why.msg, op->box->id) == NULL)
		(void)err_wrap(&why, "container %s", op->box->id);
	op_fail(op, &why);
}

/* What every one of them begins with: there is such a process, it lives, its shim answers. */
static void
on_up(void *arg, const struct err *e)
{
	struct op *op = arg;
	struct sig *s = op->state;
	struct proc *p = target(op);
	struct err why = ERR_ZERO;

	if (p == NULL)
		(void)step_no_proc(op->box->id, s->exec_id, &why);
	else if (p->status == STATUS_UNKNOWN)
		(void)err_set(&why, ERR_FAILED_PRECONDITION, "container \"%s\" is being started",
		    op->box->id);
	else if (!proc_alive(p))
		(void)err_set(&why, ERR_FAILED_PRECONDITION,
		    "container \"%s\" does not run: it has ended", op->box->id);
	else if (e != NULL)
		why = *e;
	if (why.code != ERR_NONE)
		fail(op, &why);
	else
		s->call(op);
}

static void
begin(struct op *op)
{
	struct err e = ERR_ZERO;
	struct sig *s = op->state;
	struct proc *p = target(op);

	if (p == NULL) {
		(void)step_no_proc(op->box->id, s->exec_id, &e);
		op_fail(op, &e);
	} else if (p->status == STATUS_UNKNOWN || p->status == STATUS_STOPPED) {
		on_up(op, NULL);
	} else {
		shim_when_up(op->box, on_up, op);
	}
}

static struct op *
sig_new(struct taskd *t, struct call *c, const char *id, const char *exec_id,
    void (*call)(struct op *op))
{
	struct op *op = op_new(
	    t, c, call_ns(c), id, "is being signalled", begin, sizeof(struct sig));
	struct sig *s = op->state;

	if (exec_id != NULL)
		(void)snprintf(s->exec_id, sizeof(s->exec_id), "%s", exec_id);
	s->call = call;
	return op;
}

/* Answers with nothing. */
static void
on_done(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct op *op = arg;

	(void)rep;
	if (e->code != ERR_NONE)
		fail(op, e);
	else
		op_reply(op, NULL);
}

/* --- kill ------------------------------------------------------------------------------------------- */

static void
kill_call(struct op *op, uint32_t signo, bool all, ttrpc_done_fn *done)
{
	Containerd__Task__V2__KillRequest req;
	struct sig *s = op->state;

	containerd__task__v2__kill_request__init(&req);
	req.id = shim_text(op->box->id);
	req.exec_id = shim_text(s->exec_id);
	req.signal = signo;
	req.all = all;
	step_shim(op, "Kill", SHIM_CALL_MS, &req.base, &google__protobuf__empty__descriptor, done);
}

static void
kill_up(struct op *op)
{
	struct sig *s = op->state;

	kill_call(op, s->signal, s->all, on_done);
}

void
signal_kill(struct taskd *t, struct call *c, const struct task_kill_req *req)
{
	struct op *op = sig_new(t, c, req->id, req->exec_id, kill_up);
	struct sig *s = op->state;

	s->signal = (uint32_t)req->signal;
	s->all = req->all;
	op_go(op);
}

/* --- wait and stop ---------------------------------------------------------------------------------- */

static void
reply_task(struct op *op)
{
	struct task task;
	struct task_rep rep = { .task = &task };

	proc_fill(target(op), &op->arena, &task);
	op_reply(op, &rep);
}

static void
on_end(void *arg)
{
	struct op *op = arg;
	struct sig *s = op->state;

	struct err e = ERR_ZERO;

	s->waiting = false;
	loop_del(&s->timer);
	if (target(op)->status == STATUS_STOPPED) {
		reply_task(op);
		return;
	}
	(void)step_no_proc(op->box->id, s->exec_id, &e); /* its create failed */
	op_fail(op, &e);
}

static void
park(struct op *op)
{
	struct sig *s = op->state;

	s->waiting = true;
	s->waiter = (struct waiter){ .fn = on_end, .arg = op };
	proc_wait(target(op), &s->waiter);
}

static void
wait_cancelled(struct op *op)
{
	struct err e = ERR_ZERO;

	stop_waiting(op);
	(void)err_set(&e, ERR_CANCELLED, "cancelled");
	op_fail(op, &e);
}

static void
begin_wait(struct op *op)
{
	struct sig *s = op->state;
	struct err e = ERR_ZERO;

	if (target(op) != NULL) {
		park(op);
		return;
	}
	(void)step_no_proc(op->box->id, s->exec_id, &e);
	op_fail(op, &e);
}

void
signal_wait(struct taskd *t, struct call *c, const struct task_ref_req *req)
{
	struct op *op = sig_new(t, c, req->id, req->exec_id, NULL);

	op->run = begin_wait;
	op->cancel = wait_cancelled;
	op_go(op);
}

static void
on_too_long(void *arg)
{
	struct op *op = arg;
	struct sig *s = op->state;
	struct err e = ERR_ZERO;

	s->timer = NULL;
	(void)err_set(&e, ERR_DEADLINE_EXCEEDED, "container \"%s\": KILL did not end it in %d s",
	    op->box->id, KILLED_MS / 1000);
	fail(op, &e);
}

static void
stop_hard(void *arg)
{
	struct op *op = arg;
	struct sig *s = op->state;

	s->timer = NULL;
	s->killed = true;
	shim_when_up(op->box, on_up, op);
}

static void
await_end(struct op *op)
{
	struct sig *s = op->state;
	struct err e = ERR_ZERO;

	if (target(op) == NULL) {
		(void)step_no_proc(op->box->id, NULL, &e);
		fail(op, &e);
		return;
	}
	s->timer = s->killed ? loop_once(op->t->loop, KILLED_MS, on_too_long, op)
			     : loop_once(op->t->loop, s->timeout_ms, stop_hard, op);
	park(op);
}

static void
on_resumed_for_stop(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct op *op = arg;
	struct proc *p = target(op);

	(void)rep;
	if (e->code == ERR_NONE && p != NULL && p->status == STATUS_PAUSED)
		p->status = STATUS_RUNNING;
	await_end(op);
}

/* The signal is out; now the end, or the timeout. What ended in between is fine. */
static void
on_stop_sent(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	Containerd__Task__V2__ResumeRequest resume;
	struct op *op = arg;
	struct proc *p = target(op);

	(void)rep;
	if (e->code != ERR_NONE && e->code != ERR_NOT_FOUND && e->code != ERR_FAILED_PRECONDITION &&
	    !shim_lost(e)) {
		fail(op, e);
		return;
	}
	if (p == NULL || p->status != STATUS_PAUSED || op->box->client == NULL) {
		await_end(op);
		return;
	}
	containerd__task__v2__resume_request__init(&resume);
	resume.id = shim_text(op->box->id);
	step_shim(op, "Resume", SHIM_CALL_MS, &resume.base, &google__protobuf__empty__descriptor,
	    on_resumed_for_stop);
}

static void
stop_up(struct op *op)
{
	struct sig *s = op->state;

	stop_waiting(op);
	if (s->signal == SIGKILL)
		s->killed = true;
	kill_call(op, s->killed ? SIGKILL : s->signal, s->killed, on_stop_sent);
}

static int
stop_signal_of(struct op *op, uint64_t wanted, uint32_t *ret, struct err *e)
{
	struct container_row row;
	int signo = SIGTERM, r;

	if (wanted != 0) {
		*ret = (uint32_t)wanted;
		return 0;
	}
	r = container_read(op->t, op->box->ns, op->box->id, &op->arena, &row, e);
	if (r == 0 && row.container->stop_signal != NULL)
		r = oci_signal_parse(row.container->stop_signal, &signo, e);
	*ret = (uint32_t)signo;
	return r;
}

static void
begin_stop(struct op *op)
{
	struct proc *p = target(op);

	if (p != NULL && p->status == STATUS_STOPPED)
		reply_task(op); /* as wanted */
	else
		begin(op);
}

void
signal_stop(struct taskd *t, struct call *c, const struct task_stop_req *req)
{
	struct op *op = sig_new(t, c, req->id, NULL, stop_up);
	struct sig *s = op->state;
	struct err e = ERR_ZERO;

	op->run = begin_stop;
	s->timeout_ms = req->timeout_ms == 0 ? STOP_MS : req->timeout_ms;
	if (s->timeout_ms > STOP_MAX_MS)
		s->timeout_ms = STOP_MAX_MS;
	if (stop_signal_of(op, req->signal, &s->signal, &e) < 0) {
		op->box->free_ops++;
		op_fail(op, &e);
		return;
	}
	op_go(op);
}

/* --- pause ------------------------------------------------------------------------------------------ */

static void
on_paused(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct op *op = arg;
	struct sig *s = op->state;
	struct proc *p = target(op);
	struct err ignored = ERR_ZERO;

	(void)rep;
	if (e->code != ERR_NONE) {
		fail(op, e);
		return;
	}
	if (p != NULL && proc_alive(p)) {
		p->status = s->on ? STATUS_PAUSED : STATUS_RUNNING;
		if (proc_save(p, &ignored) < 0)
			log_error(
			    "%s/%s: store its state: %s", op->box->ns, op->box->id, ignored.msg);
		tell_topic(p, s->on ? "/tasks/paused" : "/tasks/resumed");
	}
	op_reply(op, NULL);
}

static void
pause_up(struct op *op)
{
	Containerd__Task__V2__PauseRequest pause;
	Containerd__Task__V2__ResumeRequest resume;
	struct sig *s = op->state;
	enum status now = target(op)->status, from = s->on ? STATUS_RUNNING : STATUS_PAUSED;
	struct err e = ERR_ZERO;

	if (now != from) {
		(void)err_set(&e, ERR_FAILED_PRECONDITION, "container \"%s\" is %s, not %s",
		    op->box->id, status_text(now), status_text(from));
		fail(op, &e);
		return;
	}
	containerd__task__v2__pause_request__init(&pause);
	containerd__task__v2__resume_request__init(&resume);
	pause.id = resume.id = shim_text(op->box->id);
	step_shim(op, s->on ? "Pause" : "Resume", SHIM_RUNTIME_MS,
	    s->on ? &pause.base : &resume.base, &google__protobuf__empty__descriptor, on_paused);
}

void
signal_pause(struct taskd *t, struct call *c, const char *id, bool on)
{
	struct op *op = sig_new(t, c, id, NULL, pause_up);
	struct sig *s = op->state;

	s->on = on;
	op_go(op);
}

/* --- terminal and input ----------------------------------------------------------------------------- */

static void
resize_up(struct op *op)
{
	Containerd__Task__V2__ResizePtyRequest req;
	struct sig *s = op->state;

	containerd__task__v2__resize_pty_request__init(&req);
	req.id = shim_text(op->box->id);
	req.exec_id = shim_text(s->exec_id);
	req.width = s->width;
	req.height = s->height;
	step_shim(op, "ResizePty", SHIM_CALL_MS, &req.base, &google__protobuf__empty__descriptor,
	    on_done);
}

void
signal_resize(struct taskd *t, struct call *c, const struct task_resize_req *req)
{
	struct op *op = sig_new(t, c, req->id, req->exec_id, resize_up);
	struct sig *s = op->state;

	s->width = (uint32_t)req->width;
	s->height = (uint32_t)req->height;
	op_go(op);
}

static void
close_up(struct op *op)
{
	Containerd__Task__V2__CloseIORequest req;
	struct sig *s = op->state;

	containerd__task__v2__close_iorequest__init(&req);
	req.id = shim_text(op->box->id);
	req.exec_id = shim_text(s->exec_id);
	req.stdin = 1;
	step_shim(
	    op, "CloseIO", SHIM_CALL_MS, &req.base, &google__protobuf__empty__descriptor, on_done);
}

void
signal_close_stdin(struct taskd *t, struct call *c, const struct task_ref_req *req)
{
	op_go(sig_new(t, c, req->id, req->exec_id, close_up));
}

/* --- pids ------------------------------------------------------------------------------------------- */

static const char *
exec_of(const Google__Protobuf__Any *info, struct arena *a)
{
	Containerd__Runc__V1__ProcessDetails *d;
	const char *id = NULL;

	if (info == NULL || info->type_url == NULL ||
	    strcmp(info->type_url, SHIM_DETAILS_TYPE) != 0)
		return NULL;
	d = containerd__runc__v1__process_details__unpack(NULL, info->value.len, info->value.data);
	if (d != NULL && ident_ok(d->exec_id))
		id = arena_strdup(a, d->exec_id);
	containerd__runc__v1__process_details__free_unpacked(d, NULL);
	return id;
}

static void
on_pids(void *arg, const ProtobufCMessage *message, const struct err *e)
{
	const Containerd__Task__V2__PidsResponse *r = (const void *)message;
	struct op *op = arg;
	struct task_pids_rep rep = { .processes = { .n = 0 } };

	if (e->code != ERR_NONE) {
		fail(op, e);
		return;
	}
	rep.processes.n = r->n_processes < PIDS_MAX ? (uint32_t)r->n_processes : PIDS_MAX;
	rep.processes.v = arena_calloc(&op->arena, rep.processes.n + 1, sizeof(*rep.processes.v));
	for (uint32_t i = 0; i < rep.processes.n; i++) {
		rep.processes.v[i].pid = r->processes[i]->pid;
		rep.processes.v[i].exec_id = exec_of(r->processes[i]->info, &op->arena);
	}
	op_reply(op, &rep);
}

static void
pids_up(struct op *op)
{
	Containerd__Task__V2__PidsRequest req;

	containerd__task__v2__pids_request__init(&req);
	req.id = shim_text(op->box->id);
	step_shim(op, "Pids", SHIM_CALL_MS, &req.base,
	    &containerd__task__v2__pids_response__descriptor, on_pids);
}

void
signal_pids(struct taskd *t, struct call *c, const char *id)
{
	op_go(sig_new(t, c, id, NULL, pids_up));
}
