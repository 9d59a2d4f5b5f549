/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run - task_create and task_start.
 *
 *	create:	row (intent create) -> runtime known -> { SHIM_START, snapshot_mounts } -> SHIM_CONNECT ->
 *		shim Create -> row (created, pid) with the reply -> Wait left with the shim
 *	undo:	KILL and shim Delete until nothing is left, the shim ends (when connected) -> SHIM_DELETE -> BUNDLE_REMOVE -> row removed
 *	start:	row (intent start) -> shim Start -> row (running) with the reply
 *
 * A death while the row says "create" is undone at the next start, before anything else may touch the
 * container (run_undo_left); one while it says "start" is settled by asking the shim.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/idmap.h"
#include "lib/base/log.h"
#include "lib/ttrpc/proto/runc.pb-c.h"
#include "lib/ttrpc/shim.h"
#include "workers/task/step.h"

#define UNDO_ROUND_MS 200
#define UNDO_ROUNDS 300 /* a minute: the shim's runtime call has ended by then */
#define MOUNTS_MAX 16

struct run {
	const struct task_create_req *req;
	struct container_row row;
	struct bytes spec;
	struct proc *p;
	char oci[256];
	struct mount_list mounts;
	const char *uidmap, *gidmap; /* mount options, NULL without a user namespace */
	uint32_t root_uid, root_gid; /* of the container, outside */
	unsigned left;		     /* of the two that run side by side */
	bool started;		     /* the shim's start call was answered well */
	bool failed;
	unsigned rounds; /* of undo */
	struct err failure;
	char exec_id[IDENT_MAX + 1]; /* start */
};

/* --- undo ------------------------------------------------------------------------------------------ */

static void
on_bundle_gone(void *arg, const struct order_result *r)
{
	struct op *op = arg;
	struct run *s = op->state;
	struct box *b = op->box;
	struct err e = ERR_ZERO;

	if (r->e->code != ERR_NONE)
		log_warn("%s/%s: remove its bundle: %s", b->ns, b->id, r->e->msg);
	if (s->p != NULL) {
		if (proc_forget(op->t, b->ns, b->id, "", s->p->incarnation, &e) < 0)
			log_warn("%s/%s: forget its row: %s", b->ns, b->id, e.msg);
		proc_free(s->p);
	}
	b->shim[0] = '\0';
	op_fail(op, &s->failure);
}

static void
on_shim_deleted(void *arg, const struct order_result *r)
{
	struct op *op = arg;

	if (r->e->code != ERR_NONE && r->e->code != ERR_NOT_FOUND)
		log_warn("%s/%s: clear away after a failed create: %s", op->box->ns, op->box->id,
		    r->e->msg);
	step_order(op, ORDER_BUNDLE_REMOVE, NULL, 0, on_bundle_gone);
}

static void
on_shim_ended(void *arg)
{
	struct op *op = arg;

	step_order(op, ORDER_SHIM_DELETE, NULL, 0, on_shim_deleted);
}

static void undo_round(void *arg);

/* The container that a cut-off Create may have made, or be making still, must go before the shim does: a
 * shim stays with what it has. */
static void
on_undo_delete(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct op *op = arg;
	struct run *s = op->state;

	(void)rep;
	if (e->code == ERR_NONE || e->code == ERR_NOT_FOUND || op->box->client == NULL ||
	    s->rounds >= UNDO_ROUNDS)
		shim_shutdown(op->box, on_shim_ended, op);
	else
		(void)loop_once(op->t->loop, UNDO_ROUND_MS, undo_round, op);
}

static void
on_undo_kill(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	Containerd__Task__V2__DeleteRequest req;
	struct op *op = arg;

	(void)rep;
	(void)e; /* nothing to kill, or gone: Delete says */
	if (op->box->client == NULL) {
		shim_shutdown(op->box, on_shim_ended, op);
		return;
	}
	containerd__task__v2__delete_request__init(&req);
	req.id = shim_text(op->box->id);
	step_shim(op, "Delete", SHIM_RUNTIME_MS, &req.base,
	    &containerd__task__v2__delete_response__descriptor, on_undo_delete);
}

static void
undo_round(void *arg)
{
	Containerd__Task__V2__KillRequest req;
	struct op *op = arg;
	struct run *s = op->state;

	s->rounds++;
	if (op->box->client == NULL) {
		shim_shutdown(op->box, on_shim_ended, op);
		return;
	}
	containerd__task__v2__kill_request__init(&req);
	req.id = shim_text(op->box->id);
	req.signal = SIGKILL;
	req.all = 1;
	step_shim(op, "Kill", SHIM_CALL_MS, &req.base, &google__protobuf__empty__descriptor,
	    on_undo_kill);
}

static void
undo(struct op *op, const struct err *why)
{
	struct run *s = op->state;

	s->failure = *why;
	if (op->box->client != NULL) {
		op->box->shim_state = SHIM_NONE; /* no reconnecting from here on */
		undo_round(op);
	} else {
		shim_drop(op->box);
		on_shim_ended(op);
	}
}

/* --- create: the shim makes it --------------------------------------------------------------------- */

static void
created(struct op *op, uint32_t pid)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct run *s = op->state;
	struct proc *p = s->p;
	struct task task;
	struct task_rep rep = { .task = &task };
	struct err e = ERR_ZERO;

	p->pid = pid;
	p->status = STATUS_CREATED;
	p->intent = INTENT_NONE;
	p->facts |= FACT_CREATED;
	proc_fill(p, &op->arena, &task);
	if (store_write(op->t->tasks, &txn, &e) < 0 || proc_put(p, txn, &e) < 0 ||
	    op_commit(op, &txn, &rep, &e) < 0) {
		p->status = STATUS_UNKNOWN;
		undo(op, &e);
		return;
	}
	FAULT_POINT("task.create.stored");
	tell_fact(p, FACT_CREATED);
	shim_watch(p);
	op_reply(op, &rep);
}

static void
on_created(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	const Containerd__Task__V2__CreateTaskResponse *r = (const void *)rep;
	struct op *op = arg;
	struct err why = *e;

	FAULT_POINT("task.create.made");
	if (e->code == ERR_NONE) {
		created(op, r->pid);
		return;
	}
	step_exec_error(&why);
	(void)err_wrap(&why, "container %s", op->box->id);
	undo(op, &why);
}

/* --- create: a user namespace ---------------------------------------------------------------------- */

/* "uidmap=0:100000:1000,1000:200000:1" of the container's list, and who root is outside. */
static int
map_option(const char *name, struct strs list, struct arena *a, const char **ret,
    uint32_t *ret_root, struct err *e)
{
	AUTO(free_ptr) struct idmap *m = xcalloc(1, sizeof(*m));
	const char *text = "";

	for (uint32_t i = 0; i < list.n; i++) {
		if (idmap_add(m, list.v[i], e) < 0)
			return err_wrap(e, "the container's stored mappings");
		text = arena_printf(a, "%s%s%s", text, i == 0 ? "" : ",", list.v[i]);
	}
	(void)idmap_outside(m, 0, ret_root); /* it has one: the spec was made of it */
	*ret = arena_printf(a, "%s=%s", name, text);
	return 0;
}

static int
take_maps(struct op *op, struct err *e)
{
	struct run *s = op->state;
	const struct container *c = s->row.container;
	int r;

	if (c->uidmap.n == 0)
		return 0;
	r = map_option("uidmap", c->uidmap, &op->arena, &s->uidmap, &s->root_uid, e);
	return r < 0 ? r : map_option("gidmap", c->gidmap, &op->arena, &s->gidmap, &s->root_gid, e);
}

/* The container's root is to be as it looks from inside. */
static void
map_mounts(struct op *op)
{
	struct run *s = op->state;

	for (uint32_t i = 0; s->uidmap != NULL && i < s->mounts.n; i++) {
		struct strs *o = &s->mounts.v[i].options;
		const char **v = arena_calloc(&op->arena, o->n + 2, sizeof(*v));

		if (o->n > 0)
			memcpy(v, o->v, o->n * sizeof(*v));
		v[o->n] = s->uidmap;
		v[o->n + 1] = s->gidmap;
		*o = (struct strs){ v, o->n + 2 };
	}
}

/* Options for shims that run OCI runtimes. */
static size_t
pack_options(const struct run *s, uint8_t *to, size_t size)
{
	Containerd__Runc__V1__Options o;
	size_t n;

	containerd__runc__v1__options__init(&o);
	o.binary_name = shim_text(s->oci);
	o.io_uid = s->root_uid;
	o.io_gid = s->root_gid;
	n = containerd__runc__v1__options__get_packed_size(&o);
	return n > size ? 0 : containerd__runc__v1__options__pack(&o, to);
}

static void
create_call(struct op *op)
{
	struct run *s = op->state;
	Containerd__Task__V2__CreateTaskRequest req;
	Containerd__Types__Mount mounts[MOUNTS_MAX], *list[MOUNTS_MAX];
	Google__Protobuf__Any options;
	uint8_t packed[512];

	containerd__task__v2__create_task_request__init(&req);
	req.id = shim_text(op->box->id);
	req.bundle = arena_printf(
	    &op->arena, "%s/bundles/%s/%s", op->t->state, op->box->ns, op->box->id);
	for (uint32_t i = 0; i < s->mounts.n; i++) {
		const struct mount *m = &s->mounts.v[i];
		union {
			const char **in;
			char **out;
		} words = { .in = m->options.v };

		containerd__types__mount__init(&mounts[i]);
		mounts[i].type = shim_text(m->type);
		mounts[i].source = shim_text(m->source);
		if (m->target != NULL)
			mounts[i].target = shim_text(m->target);
		mounts[i].n_options = m->options.n;
		mounts[i].options = words.out;
		list[i] = &mounts[i];
	}
	req.n_rootfs = s->mounts.n;
	req.rootfs = list;
	req.terminal = s->p->tty;
	req.stdin = shim_text(s->req->stdin);
	req.stdout = shim_text(s->req->stdout);
	req.stderr = shim_text(s->req->stderr);
	google__protobuf__any__init(&options);
	options.type_url = shim_text(SHIM_OPTIONS_TYPE);
	options.value.data = packed;
	options.value.len = pack_options(s, packed, sizeof(packed));
	if (options.value.len > 0)
		req.options = &options;
	step_shim(op, "Create", SHIM_RUNTIME_MS, &req.base,
	    &containerd__task__v2__create_task_response__descriptor, on_created);
}

static void
on_up(void *arg, const struct err *e)
{
	struct op *op = arg;

	if (e != NULL)
		undo(op, e);
	else
		create_call(op);
}

/* --- create: shim and mounts, side by side --------------------------------------------------------- */

static void
both_known(struct op *op)
{
	struct run *s = op->state;
	struct err e = ERR_ZERO;

	if (--s->left > 0)
		return;
	if (s->failed) {
		undo(op, &s->failure);
		return;
	}
	if (op->asked && op->call == NULL) {
		(void)err_set(&e, ERR_CANCELLED, "cancelled");
		undo(op, &e);
		return;
	}
	if (proc_save(s->p, &e) < 0) { /* the address, should we die behind it */
		undo(op, &e);
		return;
	}
	FAULT_POINT("task.create.address");
	shim_connect(op->box, on_up, op);
}

static void
fail_one(struct op *op, const struct err *e)
{
	struct run *s = op->state;

	if (!s->failed)
		s->failure = *e;
	s->failed = true;
	both_known(op);
}

static void
on_mounts(void *arg, const void *rep, const struct err *e)
{
	struct op *op = arg;
	struct run *s = op->state;
	const struct snapshot_mounts_rep *m;
	struct err why;

	if (e != NULL) {
		why = *e;
		(void)err_wrap(&why, "root of container %s", op->box->id);
		fail_one(op, &why);
		return;
	}
	m = record_copy(&snapshot_mounts_rep_schema, rep, &op->arena);
	s->mounts = m->mounts; /* at most 16: its declaration */
	map_mounts(op);
	both_known(op);
}

/* A shim says where it listens: "unix:///run/..", maybe with a line's end. */
static int
take_address(struct box *b, const char *data, size_t n, struct err *e)
{
	char shown[80];

	while (n > 0 && (data[n - 1] == '\n' || data[n - 1] == ' '))
		n--;
	if (n > 0 && data[0] == '{')
		return err_set(e, ERR_UNIMPLEMENTED,
		    "shim %s wants protocol 3, which is not spoken here: it must offer 2", b->shim);
	if (strncmp(data, "unix://", 7) == 0) {
		data += 7;
		n = n < 7 ? 0 : n - 7;
	}
	if (n == 0 || n >= sizeof(b->address) || data[0] != '/' || memchr(data, '\n', n) != NULL)
		return err_set(e, ERR_INTERNAL, "shim %s: \"%s\" is no address", b->shim,
		    ident_show(data, shown, sizeof(shown)));
	(void)snprintf(b->address, sizeof(b->address), "%.*s", (int)n, data);
	return 0;
}

static void
on_shim_started(void *arg, const struct order_result *r)
{
	struct op *op = arg;
	struct run *s = op->state;
	struct err e = *r->e;

	FAULT_POINT("task.create.shim_started");
	if (e.code == ERR_NONE)
		s->started = true;
	if (e.code == ERR_NONE && take_address(op->box, r->data, r->len, &e) == 0) {
		both_known(op);
		return;
	}
	if (e.code ==
	    ERR_ALREADY_EXISTS) /* of ours, since nothing else makes them: left by a crash */
		log_warn("%s/%s: a bundle was left behind", op->box->ns, op->box->id);
	fail_one(op, &e);
}

static int
start_shim(struct op *op, struct err *e)
{
	struct run *s = op->state;
	uint8_t packed[512];
	int fds[2] = { -1, -1 }, r;

	r = orders_memfd("config.json", s->spec.p, s->spec.n, &fds[0], e);
	if (r == 0)
		r = orders_memfd(
		    "options", packed, pack_options(s, packed, sizeof(packed)), &fds[1], e);
	if (r == 0)
		step_order(op, ORDER_SHIM_START, fds, 2, on_shim_started);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	return r;
}

static void
on_runtime(void *arg, const char *name, const struct err *e)
{
	struct op *op = arg;
	struct run *s = op->state;
	struct snapshot_key_req req = { .key = s->row.container->snapshot_key,
		.snapshotter = s->row.container->snapshotter };
	struct err bad = ERR_ZERO;

	if (e != NULL) {
		undo(op, e);
		return;
	}
	(void)snprintf(s->oci, sizeof(s->oci), "%s", name);
	if (start_shim(op, &bad) < 0) {
		undo(op, &bad);
		return;
	}
	s->left = 2;
	(void)step_bus(op, &snapshot_snapshot_mounts_method, &req, on_mounts);
}

/* --- create: what must hold ------------------------------------------------------------------------ */

static int
check_free(struct op *op, struct err *e)
{
	const struct proc *p = op->box->init;

	if (p == NULL)
		return 0;
	if (p->status == STATUS_STOPPED)
		return err_set(e, ERR_ALREADY_EXISTS,
		    "container \"%s\" has a task that ended: delete it first (ctr tasks delete %s)",
		    op->box->id, op->box->id);
	return err_set(e, ERR_ALREADY_EXISTS, "container \"%s\" has a task already: it is %s",
	    op->box->id, status_text(p->status));
}

static int
add_row(struct op *op, struct err *e)
{
	struct run *s = op->state;
	struct box *b = op->box;

	if (tells_pending(op->t, b->ns, b->id))
		tells_flush(op->t); /* the last one's row is still needed for them */
	(void)snprintf(b->shim, sizeof(b->shim), "%s", s->row.container->runtime);
	s->p = proc_new(b, "");
	s->p->tty = s->row.container->tty;
	s->p->intent = INTENT_CREATE;
	if (op->call != NULL)
		(void)snprintf(s->p->request, sizeof(s->p->request), "%s", call_id_text(op->call));
	return proc_save(s->p, e);
}

static void
begin_create(struct op *op)
{
	struct run *s = op->state;
	struct taskd *t = op->t;
	struct box *b = op->box;
	struct err e = ERR_ZERO;
	const char *oci;

	if (container_read(t, b->ns, b->id, &op->arena, &s->row, &e) < 0 ||
	    check_free(op, &e) < 0 || take_maps(op, &e) < 0 ||
	    container_read_spec(t, b->ns, b->id, &op->arena, &s->spec, &e) < 0) {
		op_fail(op, &e);
		return;
	}
	if (add_row(op, &e) < 0) {
		proc_free(s->p);
		op_fail(op, &e);
		return;
	}
	FAULT_POINT("task.create.row");
	runtimes_make_ready(t->runtimes);
	oci = s->row.container->oci_runtime;
	if (strcmp(b->shim, SHIM_DEFAULT) == 0)
		runtime_choose(t->runtimes, oci, on_runtime, op);
	else
		on_runtime(op, oci == NULL ? "" : oci, NULL);
}

/* Absent stdin: what the container was made with. */
static struct task_create_req *
copy_request(const struct task_create_req *req, struct arena *a)
{
	struct task_create_req *q = record_copy(&task_create_req_schema, req, a);

	q->stdin = q->stdin == NULL ? "" : q->stdin;
	q->stdout = q->stdout == NULL ? "" : q->stdout;
	q->stderr = q->stderr == NULL ? "" : q->stderr;
	return q;
}

static void
begin_create_stdin(struct op *op)
{
	struct run *s = op->state;
	struct container_row row;
	struct err e = ERR_ZERO;
	struct task_create_req *q = copy_request(s->req, &op->arena);

	if (q->stdin[0] == '\0' &&
	    container_read(op->t, op->box->ns, op->box->id, &op->arena, &row, &e) == 0 &&
	    row.stdin_open && strcmp(row.container->runtime, SHIM_DEFAULT) == 0)
		q->stdin = SHIM_STDIO_ATTACH;
	s->req = q;
	begin_create(op);
}

void
run_create(struct taskd *t, struct call *c, const struct task_create_req *req)
{
	struct op *op = op_new(
	    t, c, call_ns(c), req->id, "is being started", begin_create_stdin, sizeof(struct run));
	struct run *s = op->state;

	s->req = copy_request(req, &op->arena);
	op_queue(op);
}

/* --- what a create that was cut off has left -------------------------------------------------------- */

static void
on_left_up(void *arg, const struct err *e)
{
	struct op *op = arg;

	struct run *s = op->state;

	if (e == NULL) {
		undo(op, &s->failure);
		return;
	}
	shim_drop(op->box);
	on_shim_ended(op);
}

/* The start call that was ordered has ended by now: orders for one container follow each other. Its shim
 * has no container, since it was never connected to; but it would hold its sockets' names. */
static void
on_left_bundle_gone(void *arg, const struct order_result *r)
{
	struct op *op = arg;

	if (r->e->code != ERR_NONE)
		log_warn("%s/%s: remove its bundle: %s", op->box->ns, op->box->id, r->e->msg);
	shim_guess_address(op->box);
	shim_connect(op->box, on_left_up, op);
}

static void
begin_undo_left(struct op *op)
{
	struct run *s = op->state;

	s->p = op->box->init;
	(void)err_set(&s->failure, ERR_CANCELLED, "undone");
	log_info("%s/%s: undo a create that was cut off", op->box->ns, op->box->id);
	if (op->box->address[0] != '\0')
		shim_connect(op->box, on_left_up, op);
	else if (strcmp(op->box->shim, SHIM_DEFAULT) == 0)
		step_order(op, ORDER_BUNDLE_REMOVE, NULL, 0, on_left_bundle_gone);
	else
		on_shim_ended(op);
}

void
run_undo_left(struct box *b)
{
	op_queue(op_new(
	    b->t, NULL, b->ns, b->id, "is being undone", begin_undo_left, sizeof(struct run)));
}

/* --- start ----------------------------------------------------------------------------------------- */

static void start_call(struct op *op);

static void
started(struct op *op, struct proc *p, uint32_t pid)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct task task;
	struct task_rep rep = { .task = &task };
	struct err e = ERR_ZERO;

	if (pid != 0)
		p->pid = pid;
	if ((p->facts & FACT_STARTED) == 0) {
		p->started_at = clock_real_ns();
		p->facts |= FACT_STARTED;
		if (p->status != STATUS_STOPPED)
			p->status = STATUS_RUNNING;
		tell_fact(p, FACT_STARTED);
	}
	p->intent = INTENT_NONE;
	proc_fill(p, &op->arena, &task);
	if (store_write(op->t->tasks, &txn, &e) < 0 || proc_put(p, txn, &e) < 0 ||
	    op_commit(op, &txn, &rep, &e) < 0)
		log_error("%s/%s: store its start: %s", op->box->ns, op->box->id, e.msg);
	FAULT_POINT("task.start.stored");
	/* It runs whatever the store says. */
	shim_watch(p);
	proc_start_known(p);
	op_reply(op, &rep);
}

static void
start_failed(struct op *op, struct proc *p, const struct err *why)
{
	struct err e = *why, ignored = ERR_ZERO;

	p->intent = INTENT_NONE;
	if (proc_save(p, &ignored) < 0)
		log_error("%s/%s: store a failed start: %s", op->box->ns, op->box->id, ignored.msg);
	proc_start_known(p);
	step_exec_error(&e);
	(void)err_wrap(&e, "container %s", op->box->id);
	op_fail(op, &e);
}

/* The connection broke under Start, and was made again: the process says whether it runs. */
static void
on_start_up_again(void *arg, const struct err *e)
{
	struct op *op = arg;
	struct run *s = op->state;
	struct proc *p = proc_find(op->box, s->exec_id);

	if (p != NULL && (p->facts & FACT_STARTED) != 0)
		started(op, p, 0);
	else if (e != NULL)
		op_fail(op, e);
	else
		start_call(op);
}

static void
on_started(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	const Containerd__Task__V2__StartResponse *r = (const void *)rep;
	struct op *op = arg;
	struct run *s = op->state;
	struct proc *p = proc_find(op->box, s->exec_id);

	MUST(p != NULL); /* only operations in this queue take it away */
	FAULT_POINT("task.start.answered");
	if (e->code == ERR_NONE) {
		started(op, p, r->pid);
	} else if (shim_lost(e)) {
		p->starting = false; /* intent start: what State says decides */
		if (op->box->shim_state == SHIM_UP)
			op->box->shim_state = SHIM_CONNECTING; /* its end is told next */
		shim_when_up(op->box, on_start_up_again, op);
	} else {
		start_failed(op, p, e);
	}
}

static void
start_call(struct op *op)
{
	struct run *s = op->state;
	struct proc *p = proc_find(op->box, s->exec_id);
	Containerd__Task__V2__StartRequest req;
	struct err e = ERR_ZERO;

	p->intent = INTENT_START;
	if (op->call != NULL)
		(void)snprintf(p->request, sizeof(p->request), "%s", call_id_text(op->call));
	if (proc_save(p, &e) < 0) {
		p->intent = INTENT_NONE;
		op_fail(op, &e);
		return;
	}
	FAULT_POINT("task.start.row");
	p->starting = true;
	containerd__task__v2__start_request__init(&req);
	req.id = shim_text(op->box->id);
	req.exec_id = shim_text(p->exec_id);
	step_shim(op, "Start", SHIM_RUNTIME_MS, &req.base,
	    &containerd__task__v2__start_response__descriptor, on_started);
}

static void
on_start_up(void *arg, const struct err *e)
{
	struct op *op = arg;
	struct run *s = op->state;
	struct proc *p = proc_find(op->box, s->exec_id);
	struct err why = ERR_ZERO;

	if (p == NULL) {
		(void)step_no_proc(op->box->id, s->exec_id, &why);
	} else if (op->call != NULL && (p->facts & FACT_STARTED) != 0 &&
		   strcmp(p->request, call_id_text(op->call)) == 0) {
		started(op, p, 0); /* this very request did it, before a death */
		return;
	} else if (p->status == STATUS_STOPPED) {
		(void)err_set(&why, ERR_FAILED_PRECONDITION, "container \"%s\": its task has ended",
		    op->box->id);
	} else if (p->status != STATUS_CREATED) {
		(void)err_set(&why, ERR_FAILED_PRECONDITION, "container \"%s\" is %s already",
		    op->box->id, status_text(p->status));
	} else if (e != NULL) {
		why = *e;
	} else {
		start_call(op);
		return;
	}
	op_fail(op, &why);
}

static void
begin_start(struct op *op)
{
	shim_when_up(op->box, on_start_up, op);
}

void
run_start(struct taskd *t, struct call *c, const struct task_ref_req *req)
{
	struct op *op = op_new(
	    t, c, call_ns(c), req->id, "is being started", begin_start, sizeof(struct run));
	struct run *s = op->state;

	if (req->exec_id != NULL)
		(void)snprintf(s->exec_id, sizeof(s->exec_id), "%s", req->exec_id);
	op_queue(op);
}
