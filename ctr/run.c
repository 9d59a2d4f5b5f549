/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run - processes in the foreground: run, exec, attach, containers start --attach.
 *
 *	run   container_create -> task_create -> attach -> task_start -> follow -> [--rm: delete]
 *	exec  task_exec -> attach -> task_start -> follow -> task_delete
 *
 * Whatever ends this early, what was made is removed again: the exec always, the container with --rm.
 * Only SIGKILL leaves it.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctr/containers.h"
#include "ctr/create.h"
#include "ctr/ctr.h"
#include "ctr/images.h"
#include "ctr/process.h"
#include "lib/base/auto.h"
#include "lib/base/ident.h"

#define CLEANUP_MS 60000

enum pull_when { PULL_MISSING, PULL_NEVER, PULL_ALWAYS };

/* One `ctr run`. */
struct run {
	struct ctr *ctr;
	struct arena arena;
	struct container_create_req req;
	enum pull_when pull;
	bool remove, detach;
	bool made; /* the container is ours to remove */
};

/* Takes a deadline, so that it ends even without a daemon, and no notice of signals. */
static void
cleanup_call(struct ctr *c, const struct method *m, const void *req)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	uint64_t keep = c->timeout_ms;
	void *rep = arena_calloc(&a, 1, m->rep->size + 1);
	struct err e = ERR_ZERO;
	int r;

	ctr_uncatch(c);
	c->caught = 0;
	c->timeout_ms = CLEANUP_MS;
	r = ctr_call(c, m, req, &a, rep, &e);
	c->timeout_ms = keep;
	if (r < 0 && r != -ERR_NOT_FOUND)
		(void)ctr_complain(c, &e);
}

/* --- run ------------------------------------------------------------------------------------------ */

static void
run_remove(struct run *r)
{
	const struct container_delete_req req = { .id = r->req.id, .force = true };

	if (r->remove && r->made)
		cleanup_call(r->ctr, &task_container_delete_method, &req);
	r->made = false;
}

static int
image_pull(struct run *r, struct err *e)
{
	const struct image_pull_req req = {
		.ref = r->req.image, .platform = r->req.platform, .snapshotter = r->req.snapshotter
	};
	struct image_pull_rep rep;

	return images_pull_one(r->ctr, &req, stderr, &r->arena, &rep, e);
}

/* Was it the image that was not found? */
static bool
image_missing(struct run *r)
{
	const struct image_get_req req = { .ref = r->req.image };
	struct image_get_rep rep;
	struct err ignored = ERR_ZERO;

	return ctr_call(r->ctr, &content_image_get_method, &req, &r->arena, &rep, &ignored) ==
	       -ERR_NOT_FOUND;
}

static int
run_create(struct run *r, struct err *e)
{
	struct container_rep rep;
	int ret = r->pull == PULL_ALWAYS ? image_pull(r, e) : 0;

	if (ret < 0)
		return ret;
	ret = ctr_call(r->ctr, &task_container_create_method, &r->req, &r->arena, &rep, e);
	if (ret == -ERR_NOT_FOUND && r->pull == PULL_MISSING && image_missing(r)) {
		ret = image_pull(r, e);
		if (ret == 0)
			ret = ctr_call(
			    r->ctr, &task_container_create_method, &r->req, &r->arena, &rep, e);
	}
	/* Given up before its answer came: it may be there or come to be. */
	r->made = ret == 0 || ret == -ERR_CANCELLED;
	return ret;
}

/* Prints the error and gives the exit status that docker would. */
static int
start_failed(struct ctr *c, const struct err *e)
{
	(void)ctr_complain(c, e);
	return process_start_exit(e);
}

static int
follow(struct ctr *c, struct process *p, struct err *e)
{
	int status = 0;
	int r = process_follow(p, &status, e);

	if (r == PROCESS_DETACHED)
		return 0;
	if (r == PROCESS_GIVEN_UP) {
		struct err gone = ERR_ZERO;

		(void)err_set(&gone, ERR_CANCELLED, "gave up waiting for it to end");
		(void)ctr_complain(c, &gone);
	}
	return r < 0 ? r : status;
}

/* The process of container id, made and started, in the foreground. */
static int
start_foreground(struct ctr *c, const char *id, bool input, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(process_close) struct process *p = NULL;
	const struct task_delete_req del = { .id = id, .force = true };
	struct process_opts opts = { .id = id, .input = input, .ours = true };
	struct task *task = NULL;
	int r = container_task_create(c, id, &a, &task, e);

	if (r < 0)
		return start_failed(c, e);
	opts.task = task;
	r = process_open(c, &opts, &p, e);
	if (r == 0) {
		process_resize(p);
		r = container_task_start(c, id, &a, e);
	}
	if (r < 0) {
		r = start_failed(c, e);
		cleanup_call(c, &task_task_delete_method, &del);
		return r;
	}
	return follow(c, p, e);
}

int
run_start_attached(struct ctr *c, const char *id, struct err *e)
{
	int r = ctr_catch(c, e);

	return r < 0 ? r : start_foreground(c, id, true, e);
}

/* A process of our own that waits for the end of the container and removes it: for -d --rm. */
static int
spawn_remover(struct run *r, int64_t created_at, struct err *e)
{
	AUTO(free_ptr) char *since = xasprintf("%lld", (long long)created_at);
	char self[] = "/proc/self/exe", name[] = "ctr", address[] = "--address", ns[] = "-n",
	     group[] = "containers", verb[] = "remove-after", dashes[] = "--";
	AUTO(free_ptr) char *dir = xstrdup(r->ctr->address);
	AUTO(free_ptr) char *space = xstrdup(r->ctr->ns);
	AUTO(free_ptr) char *id = xstrdup(r->req.id);
	char *argv[] = { name, address, dir, ns, space, group, verb, dashes, id, since, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int ret;

	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawnattr_init(&attr);
	for (int fd = 0; fd < 3; fd++)
		(void)posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
	ret = posix_spawn(&pid, self, &files, &attr, argv, environ);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attr);
	return ret == 0 ? 0 : err_sys(e, ret, "start what removes the container when it has ended");
}

static int
run_detached(struct run *r, struct err *e)
{
	const struct container_id_req req = { .id = r->req.id };
	struct container_rep rep;
	struct task *task;
	int ret = container_task_create(r->ctr, r->req.id, &r->arena, &task, e);

	if (ret == 0)
		ret = container_task_start(r->ctr, r->req.id, &r->arena, e);
	if (ret < 0)
		return start_failed(r->ctr, e);
	if (r->remove) {
		ret = ctr_call(r->ctr, &task_container_get_method, &req, &r->arena, &rep, e);
		if (ret == 0)
			ret = spawn_remover(r, rep.container->created_at, e);
		if (ret < 0)
			return ret;
	}
	r->made = false;
	(void)printf("%s\n", r->req.id);
	return 0;
}

static int
pull_parse(const struct opts *o, enum pull_when *ret, struct err *e)
{
	static const char *const words[] = { "missing", "never", "always" };
	const char *text = opts_text(o, "pull");
	char show[32];

	*ret = PULL_MISSING;
	for (size_t i = 0; text != NULL && i < COUNT(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*ret = (enum pull_when)i;
			return 0;
		}
	return text == NULL ? 0
			    : err_set(e, ERR_INVALID_ARGUMENT,
				  "--pull is missing, always or never, not \"%s\"",
				  ident_show(text, show, sizeof(show)));
}

int
run_run(struct ctr *c, const struct opts *o, struct err *e)
{
	struct run r = { .ctr = c, .remove = opts_flag(o, "rm"), .detach = opts_flag(o, "detach") };
	int ret = create_request(o, &r.arena, &r.req, e);

	if (ret == 0)
		ret = pull_parse(o, &r.pull, e);
	if (ret < 0) {
		arena_free(&r.arena);
		return ctr_usage(c, "%s", e->msg);
	}
	/* As containerd's ctr: a foreground process has our input. */
	r.req.stdin_open = r.req.stdin_open || !r.detach;
	ret = ctr_catch(c, e);
	if (ret == 0)
		ret = run_create(&r, e);
	if (ret == 0)
		ret = r.detach ? run_detached(&r, e)
			       : start_foreground(c, r.req.id, r.req.stdin_open, e);
	run_remove(&r);
	arena_free(&r.arena);
	return ret;
}

/* Hidden: `ctr containers remove-after ID CREATED_AT`. */
int
run_remove_after(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const char *id = o->args.v[0];
	const struct task_ref_req ref = { .id = id };
	const struct container_id_req get = { .id = id };
	const struct container_delete_req del = { .id = id, .force = true };
	struct container_rep rep;
	struct task_rep task;
	struct nothing done;
	int r = ctr_call(c, &task_task_wait_method, &ref, &a, &task, e);

	if (r == 0)
		r = ctr_call(c, &task_container_get_method, &get, &a, &rep, e);
	/* Another container of this name by now is not ours. */
	if (r == 0 && rep.container->created_at == strtoll(o->args.v[1], NULL, 10))
		r = ctr_call(c, &task_container_delete_method, &del, &a, &done, e);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* --- exec, attach --------------------------------------------------------------------------------- */

static int
exec_request(const struct opts *o, struct arena *a, struct task_exec_req *req, struct err *e)
{
	char *made_up = arena_calloc(a, 1, 24);

	ident_random(made_up, 6);
	*req = (struct task_exec_req){
		.id = o->args.v[0],
		.exec_id = opts_text(o, "exec-id") == NULL ? made_up : opts_text(o, "exec-id"),
		.args = { o->args.v + 1, o->args.n - 1 },
		.cwd = opts_text(o, "cwd"),
		.user = opts_text(o, "user"),
		.tty = opts_flag(o, "tty"),
		.stdin_open = !opts_flag(o, "detach") || opts_flag(o, "interactive"),
	};
	return create_env(o, a, &req->env, e);
}

static int
exec_started(struct ctr *c, const struct task_exec_req *req, const struct task *task, bool detach,
    struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(process_close) struct process *p = NULL;
	const struct process_opts opts = { .id = req->id,
		.exec_id = req->exec_id,
		.task = task,
		.input = req->stdin_open,
		.ours = true };
	const struct task_ref_req ref = { .id = req->id, .exec_id = req->exec_id };
	struct task_rep rep;
	int r = detach ? 0 : process_open(c, &opts, &p, e);

	if (r == 0)
		r = ctr_call(c, &task_task_start_method, &ref, &a, &rep, e);
	if (r < 0)
		return start_failed(c, e);
	return detach ? 0 : follow(c, p, e);
}

int
run_exec(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	bool detach = opts_flag(o, "detach");
	struct task_exec_req req;
	struct task_delete_req del = { .force = true };
	struct task_rep rep;
	int r = exec_request(o, &a, &req, e);

	if (r < 0)
		return ctr_usage(c, "%s", e->msg);
	r = ctr_catch(c, e);
	if (r == 0)
		r = ctr_call(c, &task_task_exec_method, &req, &a, &rep, e);
	if (r < 0)
		return r;
	r = exec_started(c, &req, rep.task, detach, e);
	if (detach && r == 0) {
		(void)printf("%s\n", req.exec_id);
		return 0;
	}
	del.id = req.id;
	del.exec_id = req.exec_id;
	cleanup_call(c, &task_task_delete_method, &del);
	return r;
}

int
run_attach(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(process_close) struct process *p = NULL;
	const struct task_ref_req ref = { .id = o->args.v[0], .exec_id = opts_text(o, "exec-id") };
	struct process_opts opts = { .id = ref.id, .exec_id = ref.exec_id, .input = true };
	struct task_rep rep;
	int r = ctr_catch(c, e);

	if (r == 0)
		r = ctr_call(c, &task_task_get_method, &ref, &a, &rep, e);
	if (r == 0 && strcmp(rep.task->status, "stopped") == 0)
		return err_set(e, ERR_FAILED_PRECONDITION, "%s does not run", ref.id);
	if (r < 0)
		return r;
	opts.task = rep.task;
	r = process_open(c, &opts, &p, e);
	return r < 0 ? r : follow(c, p, e);
}
