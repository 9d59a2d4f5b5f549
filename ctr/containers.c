/* SPDX-License-Identifier: Apache-2.0 */
/* containers - create, start, list, info, logs, stop, kill, delete. */
#include "ctr/containers.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "ctr/create.h"
#include "ctr/list.h"
#include "ctr/logs.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"

#define STOP_MS 10000
#define LOG_RETRY_MS 200

/* --- create, start -------------------------------------------------------------------------------- */

int
containers_create(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct container_create_req req;
	struct container_rep rep;
	int r = create_request(o, &a, &req, e);

	if (r < 0)
		return r;
	r = ctr_call(c, &task_container_create_method, &req, &a, &rep, e);
	if (r < 0)
		return r;
	text_print(stdout, rep.container->id);
	return 0;
}

int
container_task_create(
    struct ctr *c, const char *id, struct arena *a, struct task **ret, struct err *e)
{
	const struct task_create_req req = { .id = id };
	const struct task_ref_req ref = { .id = id };
	const struct task_delete_req del = { .id = id };
	struct err ignored = ERR_ZERO;
	struct task_rep rep = { .task = NULL };
	int r = ctr_call(c, &task_task_create_method, &req, a, &rep, e);

	/* What is left of its last run gives way to the next one. */
	if ((r == -ERR_ALREADY_EXISTS || r == -ERR_FAILED_PRECONDITION) &&
	    ctr_call(c, &task_task_get_method, &ref, a, &rep, &ignored) == 0 &&
	    strcmp(rep.task->status, "stopped") == 0 &&
	    ctr_call(c, &task_task_delete_method, &del, a, &rep, &ignored) == 0) {
		*e = ERR_ZERO;
		r = ctr_call(c, &task_task_create_method, &req, a, &rep, e);
	}
	if (r == 0)
		*ret = rep.task;
	return r;
}

int
container_task_start(struct ctr *c, const char *id, struct arena *a, struct err *e)
{
	const struct task_ref_req ref = { .id = id };
	const struct task_delete_req del = { .id = id, .force = true };
	struct err ignored = ERR_ZERO;
	struct task_rep rep;
	int r = ctr_call(c, &task_task_start_method, &ref, a, &rep, e);

	/* What could not start is no task: the container is as it was. */
	if (r < 0 && r != -ERR_CANCELLED)
		(void)ctr_call(c, &task_task_delete_method, &del, a, &rep, &ignored);
	return r;
}

static int
start_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct task *t;
	int r = container_task_create(c, id, &a, &t, e);

	(void)o;
	return r < 0 ? r : container_task_start(c, id, &a, e);
}

int
containers_start(struct ctr *c, const struct opts *o, struct err *e)
{
	if (opts_flag(o, "attach")) {
		if (o->args.n != 1)
			return ctr_usage(c, "--attach takes one container");
		return run_start_attached(c, o->args.v[0], e);
	}
	return ctr_each(c, o, start_one, true);
}

/* --- list, info ----------------------------------------------------------------------------------- */

/* runc, not io.containerd.coffer.v1: what the user asked for, or got. */
static const char *
runtime_name(const struct container *c)
{
	return c->oci_runtime != NULL && c->oci_runtime[0] != '\0' ? c->oci_runtime : c->runtime;
}

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "NAME", "IMAGE", "RUNTIME", "STATE", "PID",
		"CREATED" };
	AUTO(table_free) struct table t;
	const struct container_rep *all = l->v;
	int64_t now = clock_real_ns();
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), -1);
	for (uint32_t i = 0; i < l->n; i++) {
		const struct container *k = all[i].container;
		const struct task *task = all[i].task;

		table_cell(&t, k->id);
		table_cell(&t, k->image);
		table_cell(&t, runtime_name(k));
		table_cell(&t, task == NULL ? "created" : task->status);
		if (task == NULL || task->pid == 0)
			table_cell(&t, NULL);
		else
			table_cellf(&t, "%llu", (unsigned long long)task->pid);
		table_cell(&t, text_age(k->created_at, now, text));
	}
	table_show(&t);
}

int
containers_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct container_list_req req = { .image = opts_text(o, "image") };

	return list_show(c, o, &task_container_list_method, &req, list_table, e);
}

/* Puts what people look for first where it is seen: before the spec it is taken from. */
static json_t *
info_json(const struct container_rep *rep)
{
	json_t *v = render_json(&container_schema, rep->container);
	json_t *spec = json_incref(json_object_get(v, "spec"));
	json_t *env = json_object_get(json_object_get(spec, "process"), "env");
	json_t *mounts = json_object_get(spec, "mounts");

	(void)json_object_del(v, "spec");
	if (rep->task != NULL)
		(void)json_object_set_new(v, "task", render_json(&task_schema, rep->task));
	if (env != NULL)
		(void)json_object_set(v, "environment", env);
	if (mounts != NULL)
		(void)json_object_set(v, "mounts", mounts);
	if (spec != NULL)
		(void)json_object_set(v, "spec", spec);
	json_decref(spec);
	return v;
}

int
containers_info(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct container_id_req req = { .id = o->args.v[0] };
	struct container_rep rep;
	int r = ctr_call(c, &task_container_get_method, &req, &a, &rep, e);

	if (r == 0)
		render_json_print(info_json(&rep), stdout, false);
	return r;
}

/* --- stop, kill, delete --------------------------------------------------------------------------- */

static int
stop_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct task_stop_req req = { .id = id, .timeout_ms = STOP_MS };
	struct task_rep rep;
	int r = opts_duration_ms(o, "timeout", &req.timeout_ms, e);

	if (r == 0 && opts_text(o, "signal") != NULL)
		r = parse_signal(opts_text(o, "signal"), &req.signal, e);
	return r < 0 ? r : ctr_call(c, &task_task_stop_method, &req, &a, &rep, e);
}

int
containers_stop(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, stop_one, true);
}

static int
kill_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct task_kill_req req = { .id = id, .signal = SIGKILL };
	struct nothing rep;
	int r = opts_text(o, "signal") == NULL
		    ? 0
		    : parse_signal(opts_text(o, "signal"), &req.signal, e);

	return r < 0 ? r : ctr_call(c, &task_task_kill_method, &req, &a, &rep, e);
}

int
containers_kill(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, kill_one, true);
}

static int
delete_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct container_delete_req req = { .id = id,
		.force = opts_flag(o, "force"),
		.keep_snapshot = opts_flag(o, "keep-snapshot") };
	struct nothing rep;

	return ctr_call(c, &task_container_delete_method, &req, &a, &rep, e);
}

int
containers_delete(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, delete_one, true);
}

/* --- logs ----------------------------------------------------------------------------------------- */

/* Following a log: until its process has ended and all it wrote was printed. */
struct follow {
	struct ctr *ctr;
	struct logs_opts opts;
	struct logs *logs; /* NULL while there is no file yet */
	struct loop_source *source;
	bool ended;
	struct err e;
};

static void
follow_read(struct follow *f)
{
	if (f->logs != NULL)
		(void)logs_read(f->logs, &f->e);
}

static void
on_log(void *arg, uint32_t events)
{
	(void)events;
	follow_read(arg);
}

/* Opens the log as soon as it is there. */
static void
follow_open(struct follow *f)
{
	struct err e = ERR_ZERO;

	if (f->logs != NULL)
		return;
	if (logs_open(&f->opts, &f->logs, &e) == 0) {
		f->source = loop_fd(f->ctr->loop, logs_fd(f->logs), EPOLLIN, on_log, f);
		follow_read(f);
	} else if (e.code != ERR_NOT_FOUND) {
		f->e = e;
	}
}

static void
on_log_retry(void *arg)
{
	follow_open(arg);
}

static void
on_ended(void *arg, const void *rep, const struct err *e)
{
	struct follow *f = arg;

	f->ended = true;
	/* Deleted meanwhile: that is an end as well. */
	if (rep == NULL && e->code != ERR_NOT_FOUND)
		f->e = *e;
}

static int
logs_follow(struct follow *f, const char *id, struct err *e)
{
	const struct task_ref_req req = { .id = id };
	const struct client_opts opts = { .ns = f->ctr->ns };
	struct client_call *call = NULL;
	struct loop_source *retry;
	int r = client_call(
	    f->ctr->client, &task_task_wait_method, &opts, &req, on_ended, f, &call, e);

	if (r < 0)
		return r;
	follow_open(f);
	retry = loop_every(f->ctr->loop, LOG_RETRY_MS, on_log_retry, f);
	while (!f->ended && f->e.code == ERR_NONE)
		loop_turn(f->ctr->loop, -1);
	loop_del(&retry);
	if (!f->ended)
		client_cancel(&call);
	follow_open(f);
	follow_read(f);
	loop_del(&f->source);
	if (f->e.code != ERR_NONE)
		*e = f->e;
	return -(int)f->e.code;
}

static int
logs_show(struct follow *f, struct err *e)
{
	int r = logs_open(&f->opts, &f->logs, e);

	/* A task whose file is not there has not written anything. */
	if (r == -ERR_NOT_FOUND)
		return 0;
	return r < 0 ? r : logs_read(f->logs, e);
}

int
containers_logs(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct container_id_req req = { .id = o->args.v[0] };
	struct follow f = { .ctr = c, .e = ERR_ZERO };
	struct container_rep rep;
	uint64_t tail = UINT64_MAX;
	bool alive;
	int r = 0;

	if (opts_text(o, "tail") != NULL && strcmp(opts_text(o, "tail"), "all") != 0)
		r = opts_number(o, "tail", &tail, e);
	if (r == 0)
		r = ctr_call(c, &task_container_get_method, &req, &a, &rep, e);
	if (r < 0)
		return r;
	if (rep.task == NULL || rep.task->log == NULL)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "%s has no log: it was not started, or its task was deleted",
		    rep.container->id);
	f.opts = (struct logs_opts){ .path = rep.task->log,
		.tail = tail > INT64_MAX ? -1 : (int64_t)tail,
		.timestamps = opts_flag(o, "timestamps"),
		.out = stdout,
		.err = stderr };
	alive = strcmp(rep.task->status, "stopped") != 0;
	r = opts_flag(o, "follow") && alive ? logs_follow(&f, req.id, e) : logs_show(&f, e);
	if (f.logs != NULL)
		logs_finish(f.logs);
	logs_free(&f.logs);
	return r;
}
