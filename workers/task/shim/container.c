/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container - see container.h.
 *
 * Crash story: what a killed shim leaves is found from the bundle (coffer.runtime before the first
 * call, coffer.cgroup after create, config.json) and from the names of the sockets; the delete call
 * (delete.c) ends it. Create undoes itself when it fails; the undo is the same as that of delete.
 */
#include "workers/task/shim/container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "lib/ttrpc/proto/runc.pb-c.h"
#include "lib/ttrpc/shim.h"
#include "workers/task/shim/cgroup.h"
#include "workers/task/shim/fifo.h"
#include "workers/task/shim/point.h"
#include "workers/task/shim/rootfs.h"

#define ROOTFS "rootfs"
#define PID_FILE "init.pid"

static void
reply_empty(struct ttrpc_request *rq)
{
	Google__Protobuf__Empty rep;

	google__protobuf__empty__init(&rep);
	ttrpc_reply(rq, &rep.base);
}

/* The end of a call that changes nothing here. */
static void
on_plain_end(void *arg, const struct err *e)
{
	if (e->code != ERR_NONE)
		ttrpc_fail(arg, e);
	else
		reply_empty(arg);
}

/* --- create -------------------------------------------------------------------------------------- */

struct creation {
	struct ttrpc_request *rq;
	struct proc *p;
	struct err why; /* of the undo */
};

static int
runtime_from_options(struct task *t, const Google__Protobuf__Any *any, struct err *e)
{
	AUTO(free_ptr) char *binary = NULL, *root = NULL;
	Containerd__Runc__V1__Options *o = NULL;
	bool systemd = false, no_pivot = false, no_keyring = false;
	uid_t uid = 0;
	gid_t gid = 0;

	if (any != NULL && any->value.len > 0) {
		const char *slash = strrchr(any->type_url, '/');

		if (strcmp(slash == NULL ? any->type_url : slash + 1, SHIM_OPTIONS_TYPE) != 0)
			return err_set(e, ERR_INVALID_ARGUMENT, "options of type %.100s: not known",
			    any->type_url);
		o = containerd__runc__v1__options__unpack(NULL, any->value.len, any->value.data);
		if (o == NULL)
			return err_set(e, ERR_INVALID_ARGUMENT, "malformed options");
		binary = xstrdup(o->binary_name);
		root = xasprintf("%s%s%s", o->root, o->root[0] == '\0' ? "" : "/",
		    o->root[0] == '\0' ? "" : t->place->ns);
		systemd = o->systemd_cgroup;
		no_pivot = o->no_pivot_root;
		no_keyring = o->no_new_keyring;
		uid = o->io_uid;
		gid = o->io_gid;
		containerd__runc__v1__options__free_unpacked(o, NULL);
	}
	if (runtime_choose(&t->rt, t->reaper, t->place, binary == NULL ? "" : binary,
		root == NULL ? "" : root, e) < 0)
		return -(int)e->code;
	t->rt.systemd_cgroup = systemd;
	t->rt.no_pivot = no_pivot;
	t->rt.no_new_keyring = no_keyring;
	t->rt.io_uid = uid;
	t->rt.io_gid = gid;
	return runtime_save(&t->rt, e);
}

/* The rest of an undo or of a delete, when the runtime has done its part. */
static int
clean_up(struct task *t, struct err *e)
{
	int r = 0;

	if (cgroup_clean(t->place->id, e) < 0)
		r = -(int)e->code;
	if (rootfs_unmount(ROOTFS, e) < 0)
		r = -(int)e->code;
	return r;
}

static void
on_undone(void *arg, const struct err *e)
{
	struct creation *c = arg;
	struct err left = ERR_ZERO;

	SHIM_POINT("undo.called");
	if (e->code != ERR_NONE && e->code != ERR_NOT_FOUND)
		log_warn("undo of a failed create: %s", e->msg);
	if (clean_up(c->p->task, &left) < 0)
		log_error("undo of a failed create: %s", left.msg);
	proc_free(c->p);
	ttrpc_fail(c->rq, &c->why);
	free(c);
}

static void
undo(struct creation *c, const struct err *why)
{
	struct task *t = c->p->task;
	const char *verb[] = { "delete", "--force", t->rt.id, NULL };
	struct err e = ERR_ZERO;

	c->why = *why;
	if (runtime_call(&t->rt, verb, NULL, on_undone, c, &e) < 0)
		on_undone(c, &e);
}

static bool
shares_pid_namespace(pid_t pid)
{
	char path[64], theirs[64], ours[64];
	ssize_t n, m;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	n = readlink(path, theirs, sizeof(theirs));
	m = readlink("/proc/self/ns/pid", ours, sizeof(ours));
	return n > 0 && n == m && memcmp(theirs, ours, (size_t)n) == 0;
}

static void
on_created(struct proc *p, void *arg, const struct err *made)
{
	struct creation *c = arg;
	Containerd__Task__V2__CreateTaskResponse rep;
	struct err e = *made;

	SHIM_POINT("create.made");
	if (e.code == ERR_NONE && p->ended)
		(void)err_set(&e, ERR_INTERNAL, "the container's process ended at once (status %u)",
		    p->exit_status);
	if (e.code == ERR_NONE)
		(void)cgroup_save(p->pid, &e);
	if (e.code != ERR_NONE) {
		undo(c, &e);
		return;
	}
	p->task->shares_pids = shares_pid_namespace(p->pid);
	p->state = PROC_CREATED;
	containerd__task__v2__create_task_response__init(&rep);
	rep.pid = (uint32_t)p->pid;
	ttrpc_reply(c->rq, &rep.base);
	free(c);
	proc_settle(p);
}

/* Root of a user namespace is a stranger here: it goes through the bundle to its root folder. */
static int
open_to_root(const struct runtime *rt, struct err *e)
{
	if (rt->io_gid != 0 && (chown(".", 0, rt->io_gid) < 0 || chmod(".", 0710) < 0))
		return err_sys(e, errno, "let group %u through the bundle", rt->io_gid);
	return 0;
}

static int
create_prepare(struct proc *p, const Containerd__Task__V2__CreateTaskRequest *req, struct err *e)
{
	struct task *t = p->task;
	struct stdio_spec spec = {
		.in = p->in, .out = p->out, .err = p->err, .terminal = p->terminal, .logged = true
	};

	if (runtime_from_options(t, req->options, e) < 0)
		return -(int)e->code;
	spec.uid = t->rt.io_uid;
	spec.gid = t->rt.io_gid;
	if (open_to_root(&t->rt, e) < 0)
		return -(int)e->code;
	if (rootfs_mount(ROOTFS, req->rootfs, req->n_rootfs, e) < 0)
		return -(int)e->code;
	SHIM_POINT("create.mounted");
	return stdio_new(t->loop, t->place, &spec, &p->io, e);
}

static int
create_checked(
    const struct task *t, const Containerd__Task__V2__CreateTaskRequest *req, struct err *e)
{
	if (strcmp(req->id, t->place->id) != 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "container %.100s: this shim is for %s",
		    req->id, t->place->id);
	if (task_find(t, "") != NULL)
		return err_set(
		    e, ERR_ALREADY_EXISTS, "container %s: it has a task already", req->id);
	if (req->checkpoint[0] != '\0')
		return err_set(e, ERR_UNIMPLEMENTED, "restore from a checkpoint");
	return 0;
}

void
container_create(
    struct task *t, struct ttrpc_request *rq, const Containerd__Task__V2__CreateTaskRequest *req)
{
	const char *verb[] = { "create", "--bundle", t->place->bundle, NULL, NULL, NULL, NULL };
	struct creation *c;
	struct err e = ERR_ZERO;
	unsigned n = 3;

	if (create_checked(t, req, &e) < 0) {
		ttrpc_fail(rq, &e);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->rq = rq;
	c->p = proc_new(t, "", req->terminal, req->stdin, req->stdout, req->stderr);
	if (create_prepare(c->p, req, &e) < 0) {
		struct err left = ERR_ZERO;

		if (rootfs_unmount(ROOTFS, &left) < 0)
			log_error("undo of a failed create: %s", left.msg);
		proc_free(c->p);
		free(c);
		ttrpc_fail(rq, &e);
		return;
	}
	if (t->rt.no_pivot)
		verb[n++] = "--no-pivot";
	if (t->rt.no_new_keyring)
		verb[n++] = "--no-new-keyring";
	verb[n] = t->rt.id;
	if (proc_spawn(c->p, verb, PID_FILE, on_created, c, &e) < 0)
		undo(c, &e);
	SHIM_POINT("create.called");
}

/* --- exec ---------------------------------------------------------------------------------------- */

static void
exec_file(const char *exec_id, const char *ext, char *path, size_t size)
{
	(void)snprintf(path, size, "exec.%s.%s", exec_id, ext);
}

static int
exec_add(struct task *t, const Containerd__Task__V2__ExecProcessRequest *req, struct err *e)
{
	struct stdio_spec spec = { .in = req->stdin,
		.out = req->stdout,
		.err = req->stderr,
		.terminal = req->terminal,
		.uid = t->rt.io_uid,
		.gid = t->rt.io_gid };
	const struct proc *init = task_find(t, "");
	char path[128];
	struct proc *p;

	if (ident_check("exec", req->exec_id, e) < 0)
		return -(int)e->code;
	if (init->state != PROC_RUNNING && init->state != PROC_CREATED &&
	    init->state != PROC_STARTING)
		return err_set(e, ERR_FAILED_PRECONDITION, "the container is not running");
	if (task_find(t, req->exec_id) != NULL)
		return err_set(e, ERR_ALREADY_EXISTS, "exec %s exists", req->exec_id);
	if (req->spec == NULL || req->spec->value.len == 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "exec %s has no process", req->exec_id);
	exec_file(req->exec_id, "json", path, sizeof(path));
	if (fs_write(AT_FDCWD, path, req->spec->value.data, req->spec->value.len, 0600, false, e) <
	    0)
		return -(int)e->code;
	p = proc_new(t, req->exec_id, req->terminal, req->stdin, req->stdout, req->stderr);
	p->state = PROC_CREATED;
	if (stdio_new(t->loop, t->place, &spec, &p->io, e) < 0) {
		(void)unlink(path);
		proc_free(p);
		return -(int)e->code;
	}
	return 0;
}

void
container_exec(
    struct task *t, struct ttrpc_request *rq, const Containerd__Task__V2__ExecProcessRequest *req)
{
	struct err e = ERR_ZERO;

	if (exec_add(t, req, &e) < 0)
		ttrpc_fail(rq, &e);
	else
		reply_empty(rq);
}

/* An exec that could not be started is one that has ended, with a shell's status for the reason. */
static void
exec_failed(struct proc *p, const struct err *e)
{
	p->ended = true;
	p->exit_status = e->code == ERR_NOT_FOUND	    ? 127
			 : e->code == ERR_PERMISSION_DENIED ? 126
							    : 255;
	p->exited_at = clock_real_ns();
	p->pid = 0;
	/* Its words are in the error; what is in the pipe says them again. */
	stdio_free(&p->io);
	p->state = PROC_RUNNING;
	proc_settle(p);
}

static void
reply_start(struct ttrpc_request *rq, const struct proc *p)
{
	Containerd__Task__V2__StartResponse rep;

	containerd__task__v2__start_response__init(&rep);
	rep.pid = (uint32_t)p->pid;
	ttrpc_reply(rq, &rep.base);
}

static void
on_exec_started(struct proc *p, void *arg, const struct err *e)
{
	char path[128];

	exec_file(p->exec_id, "json", path, sizeof(path));
	(void)unlink(path);
	if (e->code != ERR_NONE) {
		ttrpc_fail(arg, e);
		if (p->pid != 0 && !p->ended) { /* it runs, but without its terminal */
			(void)kill(p->pid, SIGKILL);
			reaper_unwatch(p->task->reaper, p->pid);
		}
		exec_failed(p, e);
		return;
	}
	p->state = PROC_RUNNING;
	reply_start(arg, p);
	stdio_started(p->io);
	proc_settle(p);
}

static void
exec_start(struct proc *p, struct ttrpc_request *rq)
{
	struct task *t = p->task;
	const struct proc *init = task_find(t, "");
	char spec[128], pid_file[128];
	const char *verb[] = { "exec", "--process", spec, "--detach", t->rt.id, NULL };
	struct err e = ERR_ZERO;

	if (init == NULL || init->state != PROC_RUNNING || t->paused) {
		(void)err_set(&e, ERR_FAILED_PRECONDITION, "the container is not running");
		ttrpc_fail(rq, &e);
		return;
	}
	exec_file(p->exec_id, "json", spec, sizeof(spec));
	exec_file(p->exec_id, "pid", pid_file, sizeof(pid_file));
	p->state = PROC_STARTING;
	if (proc_spawn(p, verb, pid_file, on_exec_started, rq, &e) < 0)
		on_exec_started(p, rq, &e);
	SHIM_POINT("exec.called");
}

/* --- start --------------------------------------------------------------------------------------- */

struct start {
	struct proc *p;
	struct ttrpc_request *rq;
};

static void
on_started(void *arg, const struct err *e)
{
	struct start *s = arg;
	struct proc *p = s->p;

	p->fifo = NULL;
	SHIM_POINT("start.done");
	if (e->code != ERR_NONE) {
		ttrpc_fail(s->rq, e);
		p->state = PROC_CREATED;
	} else {
		reply_start(s->rq, p);
		p->state = PROC_RUNNING;
	}
	free(s);
	proc_settle(p);
}

void
container_start(struct proc *p, struct ttrpc_request *rq)
{
	const char *verb[] = { "start", p->task->rt.id, NULL };
	struct err e = ERR_ZERO;
	struct start *s;

	if (p->state != PROC_CREATED) {
		(void)err_set(&e, ERR_FAILED_PRECONDITION,
		    p->state == PROC_STOPPED	? "the process has ended"
		    : p->state == PROC_CREATING ? "the process is being created"
						: "the process was started already");
		ttrpc_fail(rq, &e);
		return;
	}
	if (p->exec_id[0] != '\0') {
		exec_start(p, rq);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	*s = (struct start){ .p = p, .rq = rq };
	p->state = PROC_STARTING;
	stdio_started(p->io);
	p->fifo = fifo_start(&p->task->rt, p->task->loop, on_started, s);
	if (p->fifo == NULL && runtime_call(&p->task->rt, verb, NULL, on_started, s, &e) < 0)
		on_started(s, &e);
}

/* --- delete -------------------------------------------------------------------------------------- */

/*
 * The runtime's part begins when the container's process has ended: nothing but a delete can follow, and
 * whoever asks for it then has less to wait for. Asked for again while it runs, by a task actor that was
 * born meanwhile: all get the one answer.
 */
struct deletion {
	struct proc *p;
	struct waiter *asked; /* NULL: nobody did yet */
	bool forced;
	bool done; /* the runtime's part, before anybody asked */
};

static void
deletion_join(struct deletion *d, struct ttrpc_request *rq)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	*w = (struct waiter){ .next = d->asked, .rq = rq };
	d->asked = w;
}

static struct ttrpc_request *
deletion_next(struct deletion *d)
{
	struct waiter *w = d->asked;
	struct ttrpc_request *rq;

	if (w == NULL)
		return NULL;
	rq = w->rq;
	d->asked = w->next;
	free(w);
	return rq;
}

static void
reply_deleted(struct ttrpc_request *rq, const struct proc *p)
{
	Containerd__Task__V2__DeleteResponse rep;
	Google__Protobuf__Timestamp at;

	containerd__task__v2__delete_response__init(&rep);
	google__protobuf__timestamp__init(&at);
	rep.pid = (uint32_t)p->pid;
	rep.exit_status = p->exit_status;
	at.seconds = p->exited_at / 1000000000;
	at.nanos = (int32_t)(p->exited_at % 1000000000);
	rep.exited_at = &at;
	ttrpc_reply(rq, &rep.base);
}

/* The rest, ours: control groups, the root's mount, the answers. */
static void
deletion_end(struct deletion *d)
{
	struct proc *p = d->p;
	struct task *t = p->task;
	struct ttrpc_request *rq;
	struct err e = ERR_ZERO;

	p->deletion = NULL;
	if (clean_up(t, &e) < 0) {
		p->state = p->ended ? PROC_STOPPED : PROC_CREATED;
		while ((rq = deletion_next(d)) != NULL)
			ttrpc_fail(rq, &e);
		free(d);
		return;
	}
	SHIM_POINT("delete.cleaned");
	if (!p->ended) { /* was never started: ended by the runtime just now */
		reaper_unwatch(t->reaper, p->pid);
		p->ended = true;
		p->exit_status = 128 + SIGKILL;
		p->exited_at = clock_real_ns();
	}
	while ((rq = deletion_next(d)) != NULL)
		reply_deleted(rq, p);
	free(d);
	t->paused = false;
	while (t->procs != NULL) {
		struct proc *any = t->procs;

		if (any->pid != 0 && !any->ended)
			(void)kill(any->pid, SIGKILL);
		proc_free(any);
	}
}

static void
on_deleted(void *arg, const struct err *done)
{
	struct deletion *d = arg;
	struct task *t = d->p->task;
	const char *verb[] = { "delete", "--force", t->rt.id, NULL };
	struct err e = ERR_ZERO;

	SHIM_POINT("delete.done");
	if (done->code != ERR_NONE && done->code != ERR_NOT_FOUND) {
		log_warn("%s", done->msg);
		if (!d->forced) {
			d->forced = true;
			if (runtime_call(&t->rt, verb, NULL, on_deleted, d, &e) == 0)
				return;
		}
	}
	d->done = true;
	if (d->asked != NULL)
		deletion_end(d);
}

static struct deletion *
deletion_start(struct proc *p)
{
	struct task *t = p->task;
	struct deletion *d = xcalloc(1, sizeof(*d));
	const char *gentle[] = { "delete", t->rt.id, NULL };
	const char *force[] = { "delete", "--force", t->rt.id, NULL };
	struct err e = ERR_ZERO;

	*d = (struct deletion){ .p = p, .forced = p->state == PROC_CREATED };
	p->deletion = d;
	if (runtime_call(&t->rt, d->forced ? force : gentle, NULL, on_deleted, d, &e) < 0)
		on_deleted(d, &e);
	return d;
}

/* An exec that is under way, which the runtime's delete would get in the way of; NULL: none. */
static const struct proc *
exec_starting(const struct task *t)
{
	const struct proc *p = t->procs;

	while (p != NULL && p->state != PROC_STARTING)
		p = p->next;
	return p;
}

void
container_ended(struct proc *init)
{
	/* What else it left may have to be killed by way of the runtime first (on_rest_killed). */
	if (!init->task->shares_pids && !init->task->paused && exec_starting(init->task) == NULL)
		(void)deletion_start(init);
}

static void
delete_container(struct proc *p, struct ttrpc_request *rq)
{
	const struct proc *busy = exec_starting(p->task);
	struct deletion *d = p->deletion;
	struct err e = ERR_ZERO;

	if (d == NULL && busy != NULL) {
		(void)err_set(
		    &e, ERR_FAILED_PRECONDITION, "exec %s is being started", busy->exec_id);
		ttrpc_fail(rq, &e);
		return;
	}
	if (d == NULL)
		d = deletion_start(p);
	p->state = PROC_DELETING;
	deletion_join(d, rq);
	if (d->done)
		deletion_end(d);
}

void
container_delete(struct proc *p, struct ttrpc_request *rq)
{
	struct err e = ERR_ZERO;
	char path[128];

	if (p->state == PROC_DELETING && p->deletion != NULL) {
		deletion_join(p->deletion, rq);
		return;
	}
	if (p->state != PROC_STOPPED && p->state != PROC_CREATED) {
		(void)err_set(&e, ERR_FAILED_PRECONDITION,
		    p->state == PROC_RUNNING ? "cannot delete a running process"
					     : "the process is busy: created, started or deleted "
					       "just now");
		ttrpc_fail(rq, &e);
		return;
	}
	if (p->exec_id[0] == '\0') {
		delete_container(p, rq);
		return;
	}
	exec_file(p->exec_id, "json", path, sizeof(path));
	(void)unlink(path);
	reply_deleted(rq, p);
	proc_free(p);
}

/* --- signals and the rest ------------------------------------------------------------------------ */

void
container_kill(struct proc *p, struct ttrpc_request *rq, unsigned signo, bool all)
{
	struct task *t = p->task;
	char number[16];
	const char *one[] = { "kill", t->rt.id, number, NULL };
	const char *every[] = { "kill", "--all", t->rt.id, number, NULL };
	bool init = p->exec_id[0] == '\0';
	struct err e = ERR_ZERO;

	(void)snprintf(number, sizeof(number), "%u", signo);
	if (signo == 0 || signo > 64)
		(void)err_set(&e, ERR_INVALID_ARGUMENT, "signal %u: not a signal", signo);
	else if (p->state == PROC_STOPPED && !(init && all && t->shares_pids))
		(void)err_set(&e, ERR_NOT_FOUND, "process already finished");
	else if (p->pid == 0)
		(void)err_set(&e, ERR_FAILED_PRECONDITION, "the process was not started yet");
	else if ((init && all) || (init && (t->paused || !runtime_is_native(&t->rt)))) {
		if (runtime_call(&t->rt, all ? every : one, NULL, on_plain_end, rq, &e) == 0)
			return;
	} else if (!p->ended && kill(p->pid, (int)signo) < 0) {
		/* our child, not reaped: the number is still its own */
		(void)err_sys(&e, errno, "signal %u to process %d", signo, (int)p->pid);
	}
	on_plain_end(rq, &e);
}

struct pausing {
	struct task *t;
	struct ttrpc_request *rq;
	bool pause;
};

static void
on_paused(void *arg, const struct err *e)
{
	struct pausing *p = arg;

	if (e->code == ERR_NONE)
		p->t->paused = p->pause;
	on_plain_end(p->rq, e);
	free(p);
}

void
container_pause(struct task *t, struct ttrpc_request *rq, bool pause)
{
	const char *verb[] = { pause ? "pause" : "resume", t->rt.id, NULL };
	struct pausing *p = xcalloc(1, sizeof(*p));
	struct err e = ERR_ZERO;

	*p = (struct pausing){ .t = t, .rq = rq, .pause = pause };
	if (task_find(t, "")->state != PROC_RUNNING)
		(void)err_set(&e, ERR_FAILED_PRECONDITION, "the container is not running");
	else if (runtime_call(&t->rt, verb, NULL, on_paused, p, &e) == 0)
		return;
	on_paused(p, &e);
}
