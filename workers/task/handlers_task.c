/* SPDX-License-Identifier: Apache-2.0 */
/* handlers_task - the methods on processes: names are checked here, the rest is in the step machines. */
#include "workers/task/handlers.h"
#include "workers/task/step.h"

#include <stdlib.h>
#include <string.h>

#define TASKS_MAX 10000
#define SIGNAL_MAX 64

static int
check_names(const char *id, const char *exec_id, struct err *e)
{
	int r = ident_check("container", id, e);

	if (r == 0 && exec_id != NULL && exec_id[0] != '\0')
		r = ident_check("exec", exec_id, e);
	return r;
}

int
task_on_task_create(struct taskd *t, struct call *c, const struct task_create_req *req,
    struct task_rep *rep, struct err *e)
{
	int r = check_names(req->id, NULL, e);

	(void)rep;
	if (r < 0)
		return r;
	run_create(t, c, req);
	return CALL_LATER;
}

int
task_on_task_start(struct taskd *t, struct call *c, const struct task_ref_req *req,
    struct task_rep *rep, struct err *e)
{
	int r = check_names(req->id, req->exec_id, e);

	(void)rep;
	if (r < 0)
		return r;
	run_start(t, c, req);
	return CALL_LATER;
}

int
task_on_task_get(struct taskd *t, struct call *c, const struct task_ref_req *req,
    struct task_rep *rep, struct err *e)
{
	const struct proc *p;
	int r = check_names(req->id, req->exec_id, e);

	if (r < 0)
		return r;
	p = proc_find(box_find(t, call_ns(c), req->id), req->exec_id);
	if (p == NULL)
		return step_no_proc(req->id, req->exec_id, e);
	rep->task = arena_calloc(call_arena(c), 1, sizeof(*rep->task));
	proc_fill(p, call_arena(c), rep->task);
	return 0;
}

static int
by_id(const void *a, const void *b)
{
	const struct task *x = a, *y = b;

	return strcmp(x->id, y->id);
}

int
task_on_task_list(struct taskd *t, struct call *c, const struct nothing *req,
    struct task_list_rep *rep, struct err *e)
{
	struct task_list *to = &rep->tasks;
	uint32_t n = 0;

	(void)req;
	(void)e;
	for (unsigned i = 0; i < BOX_BUCKETS; i++)
		for (const struct box *b = t->boxes[i]; b != NULL; b = b->next)
			n += b->init != NULL;
	to->v = arena_calloc(call_arena(c), n + 1, sizeof(*to->v));
	for (unsigned i = 0; i < BOX_BUCKETS; i++)
		for (const struct box *b = t->boxes[i]; b != NULL; b = b->next)
			if (b->init != NULL && to->n < TASKS_MAX && strcmp(b->ns, call_ns(c)) == 0)
				proc_fill(b->init, call_arena(c), &to->v[to->n++]);
	qsort(to->v, to->n, sizeof(*to->v), by_id);
	return 0;
}

int
task_on_task_exec(struct taskd *t, struct call *c, const struct task_exec_req *req,
    struct task_rep *rep, struct err *e)
{
	int r = ident_check("container", req->id, e);

	(void)rep;
	if (r == 0)
		r = ident_check("exec", req->exec_id, e);
	if (r == 0 && req->args.n == 0)
		r = err_set(e, ERR_INVALID_ARGUMENT, "no command to execute");
	if (r < 0)
		return r;
	exec_add(t, c, req);
	return CALL_LATER;
}

static int
check_signal(uint64_t signo, struct err *e)
{
	if (signo >= 1 && signo <= SIGNAL_MAX)
		return 0;
	return err_set(
	    e, ERR_INVALID_ARGUMENT, "signal %llu: 1 to %d", (unsigned long long)signo, SIGNAL_MAX);
}

int
task_on_task_kill(struct taskd *t, struct call *c, const struct task_kill_req *req,
    struct nothing *rep, struct err *e)
{
	int r = check_names(req->id, req->exec_id, e);

	(void)rep;
	if (r == 0)
		r = check_signal(req->signal, e);
	if (r < 0)
		return r;
	signal_kill(t, c, req);
	return CALL_LATER;
}

int
task_on_task_stop(struct taskd *t, struct call *c, const struct task_stop_req *req,
    struct task_rep *rep, struct err *e)
{
	int r = check_names(req->id, NULL, e);

	(void)rep;
	if (r == 0 && req->signal != 0)
		r = check_signal(req->signal, e);
	if (r < 0)
		return r;
	signal_stop(t, c, req);
	return CALL_LATER;
}

int
task_on_task_wait(struct taskd *t, struct call *c, const struct task_ref_req *req,
    struct task_rep *rep, struct err *e)
{
	int r = check_names(req->id, req->exec_id, e);

	(void)rep;
	if (r < 0)
		return r;
	signal_wait(t, c, req);
	return CALL_LATER;
}

int
task_on_task_delete(struct taskd *t, struct call *c, const struct task_delete_req *req,
    struct task_rep *rep, struct err *e)
{
	int r = check_names(req->id, req->exec_id, e);

	(void)rep;
	if (r < 0)
		return r;
	drop_task(t, c, req);
	return CALL_LATER;
}

int
task_on_task_resize(struct taskd *t, struct call *c, const struct task_resize_req *req,
    struct nothing *rep, struct err *e)
{
	int r = check_names(req->id, req->exec_id, e);

	(void)rep;
	if (r == 0 && (req->width > 65535 || req->height > 65535))
		r = err_set(
		    e, ERR_INVALID_ARGUMENT, "a terminal has at most 65535 columns and rows");
	if (r < 0)
		return r;
	signal_resize(t, c, req);
	return CALL_LATER;
}

int
task_on_task_close_stdin(struct taskd *t, struct call *c, const struct task_ref_req *req,
    struct nothing *rep, struct err *e)
{
	int r = check_names(req->id, req->exec_id, e);

	(void)rep;
	if (r < 0)
		return r;
	signal_close_stdin(t, c, req);
	return CALL_LATER;
}

int
task_on_task_pids(struct taskd *t, struct call *c, const struct container_id_req *req,
    struct task_pids_rep *rep, struct err *e)
{
	int r = check_names(req->id, NULL, e);

	(void)rep;
	if (r < 0)
		return r;
	signal_pids(t, c, req->id);
	return CALL_LATER;
}

int
task_on_task_pause(struct taskd *t, struct call *c, const struct container_id_req *req,
    struct nothing *rep, struct err *e)
{
	int r = check_names(req->id, NULL, e);

	(void)rep;
	if (r < 0)
		return r;
	signal_pause(t, c, req->id, true);
	return CALL_LATER;
}

int
task_on_task_resume(struct taskd *t, struct call *c, const struct container_id_req *req,
    struct nothing *rep, struct err *e)
{
	int r = check_names(req->id, NULL, e);

	(void)rep;
	if (r < 0)
		return r;
	signal_pause(t, c, req->id, false);
	return CALL_LATER;
}
