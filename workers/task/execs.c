/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execs - task_exec: a further process of a running container, declared; task_start runs it.
 *
 *	user_resolve (when asked for one) -> row (intent create) -> shim Exec -> row (created), reply
 *
 * A death while the row says "create" removes the row; the request, sent again, finds the exec at the shim
 * and replaces it.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "lib/oci/spec.h"
#include "lib/ttrpc/shim.h"
#include "workers/task/step.h"

struct exec {
	const struct task_exec_req *req;
	struct oci_user user;
	bool has_user;
	bool replaced;	    /* one that the shim had was taken away */
	struct buf process; /* JSON; freed with the operation's end */
	struct proc *p;
};

static void exec_call(struct op *op);

static void
end_with(struct op *op, const struct err *why)
{
	struct exec *s = op->state;
	struct box *b = op->box;
	struct err e = ERR_ZERO;

	if (s->p != NULL) {
		if (proc_forget(op->t, b->ns, b->id, s->p->exec_id, s->p->incarnation, &e) < 0)
			log_warn(
			    "%s/%s %s: forget its row: %s", b->ns, b->id, s->p->exec_id, e.msg);
		proc_free(s->p);
	}
	buf_free(&s->process);
	op_fail(op, why);
}

static void
added(struct op *op)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct exec *s = op->state;
	struct proc *p = s->p;
	struct task task;
	struct task_rep rep = { .task = &task };
	struct err e = ERR_ZERO;

	p->status = STATUS_CREATED;
	p->intent = INTENT_NONE;
	p->facts |= FACT_CREATED;
	proc_fill(p, &op->arena, &task);
	if (store_write(op->t->tasks, &txn, &e) < 0 || proc_put(p, txn, &e) < 0 ||
	    op_commit(op, &txn, &rep, &e) < 0) {
		end_with(op, &e);
		return;
	}
	FAULT_POINT("task.exec.stored");
	tell_fact(p, FACT_CREATED);
	buf_free(&s->process);
	op_reply(op, &rep);
}

static void
on_replaced(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct op *op = arg;

	(void)rep;
	if (e->code != ERR_NONE && e->code != ERR_NOT_FOUND)
		end_with(op, e);
	else
		exec_call(op);
}

static void
on_exec(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	Containerd__Task__V2__DeleteRequest req;
	struct op *op = arg;
	struct exec *s = op->state;
	struct err why = *e;

	(void)rep;
	FAULT_POINT("task.exec.added");
	if (e->code == ERR_NONE) {
		added(op);
		return;
	}
	if (e->code == ERR_ALREADY_EXISTS && !s->replaced) {
		s->replaced = true;
		containerd__task__v2__delete_request__init(&req);
		req.id = shim_text(op->box->id);
		req.exec_id = shim_text(s->p->exec_id);
		step_shim(op, "Delete", SHIM_CALL_MS, &req.base,
		    &containerd__task__v2__delete_response__descriptor, on_replaced);
		return;
	}
	step_exec_error(&why);
	(void)err_wrap(&why, "container %s", op->box->id);
	end_with(op, &why);
}

static void
exec_call(struct op *op)
{
	Containerd__Task__V2__ExecProcessRequest req;
	struct exec *s = op->state;
	const struct task_exec_req *q = s->req;
	Google__Protobuf__Any spec;
	const char *in = q->stdin;

	if (in == NULL && q->stdin_open && strcmp(op->box->shim, SHIM_DEFAULT) == 0)
		in = SHIM_STDIO_ATTACH;
	google__protobuf__any__init(&spec);
	spec.type_url = shim_text(SHIM_PROCESS_TYPE);
	spec.value.data = (uint8_t *)s->process.data;
	spec.value.len = s->process.len;
	containerd__task__v2__exec_process_request__init(&req);
	req.id = shim_text(op->box->id);
	req.exec_id = shim_text(q->exec_id);
	req.terminal = q->tty;
	req.stdin = shim_text(in == NULL ? "" : in);
	req.stdout = shim_text(q->stdout == NULL ? "" : q->stdout);
	req.stderr = shim_text(q->stderr == NULL ? "" : q->stderr);
	req.spec = &spec;
	step_shim(
	    op, "Exec", SHIM_CALL_MS, &req.base, &google__protobuf__empty__descriptor, on_exec);
}

static int
make_process(struct op *op, struct err *e)
{
	struct exec *s = op->state;
	const struct task_exec_req *q = s->req;
	struct oci_exec_opts o = { .args = { q->args.v, q->args.n },
		.env = { q->env.v, q->env.n },
		.cwd = q->cwd,
		.user = s->has_user ? &s->user : NULL,
		.tty = q->tty };
	struct bytes spec;
	int r = container_read_spec(op->t, op->box->ns, op->box->id, &op->arena, &spec, e);

	return r < 0 ? r : oci_exec_make(spec.p, spec.n, &o, &s->process, e);
}

/* Everything about it is known but whether the container still runs. */
static void
declare(struct op *op)
{
	struct exec *s = op->state;
	struct box *b = op->box;
	struct err e = ERR_ZERO;

	if (make_process(op, &e) < 0) {
		end_with(op, &e);
		return;
	}
	if (b->init == NULL || !proc_alive(b->init) || b->client == NULL) {
		(void)err_set(&e, ERR_FAILED_PRECONDITION, "container \"%s\" does not run", b->id);
		end_with(op, &e);
		return;
	}
	if (tells_pending(op->t, b->ns, b->id))
		tells_flush(op->t);
	s->p = proc_new(b, s->req->exec_id);
	s->p->tty = s->req->tty;
	s->p->intent = INTENT_CREATE;
	if (op->call != NULL)
		(void)snprintf(s->p->request, sizeof(s->p->request), "%s", call_id_text(op->call));
	FAULT_POINT("task.exec.user");
	if (proc_save(s->p, &e) < 0)
		end_with(op, &e);
	else
		exec_call(op);
}

static void
on_user(void *arg, const void *rep, const struct err *e)
{
	struct op *op = arg;
	struct exec *s = op->state;
	struct err bad = ERR_ZERO;

	if (e != NULL) {
		end_with(op, e);
	} else if (step_take_user(rep, &s->user, &bad) < 0) {
		end_with(op, &bad);
	} else {
		s->has_user = true;
		declare(op);
	}
}

static void
resolve_user(struct op *op)
{
	struct exec *s = op->state;
	struct user_resolve_req req = { .key = op->box->id,
		.user = s->req->user,
		.snapshotter = container_snapshotter(op->t, op->box->ns, op->box->id, &op->arena) };
	struct oci_user_ref ref;
	struct err e = ERR_ZERO;

	if (req.user == NULL || req.user[0] == '\0') {
		declare(op);
	} else if (oci_user_parse(req.user, &ref, &e) < 0) {
		end_with(op, &e);
	} else if (oci_user_numeric(&ref, &s->user)) {
		s->has_user = true;
		declare(op);
	} else {
		(void)step_bus(op, &snapshot_user_resolve_method, &req, on_user);
	}
}

static void
on_up(void *arg, const struct err *e)
{
	struct op *op = arg;
	struct exec *s = op->state;
	struct proc *p = proc_find(op->box, s->req->exec_id);
	struct err why = ERR_ZERO;

	if (op->box->init == NULL) {
		(void)step_no_proc(op->box->id, NULL, &why);
	} else if (op->box->init->status != STATUS_RUNNING &&
		   op->box->init->status != STATUS_CREATED) {
		(void)err_set(&why, ERR_FAILED_PRECONDITION,
		    "container \"%s\" is %s: nothing can be executed in it", op->box->id,
		    status_text(op->box->init->status));
	} else if (p != NULL && op->call != NULL &&
		   strcmp(p->request, call_id_text(op->call)) == 0) {
		s->p = p;
		added(op); /* this very request did it, before a death */
		return;
	} else if (p != NULL) {
		(void)err_set(&why, ERR_ALREADY_EXISTS,
		    "container \"%s\" has an exec \"%s\" already", op->box->id, p->exec_id);
	} else if (e != NULL) {
		why = *e;
	} else {
		runtimes_make_ready(op->t->runtimes);
		resolve_user(op);
		return;
	}
	end_with(op, &why);
}

static void
begin(struct op *op)
{
	shim_when_up(op->box, on_up, op);
}

void
exec_add(struct taskd *t, struct call *c, const struct task_exec_req *req)
{
	struct op *op = op_new(
	    t, c, call_ns(c), req->id, "is starting an exec", begin, sizeof(struct exec));
	struct exec *s = op->state;

	s->req = record_copy(&task_exec_req_schema, req, &op->arena);
	op_queue(op);
}
