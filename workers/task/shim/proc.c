/* SPDX-License-Identifier: Apache-2.0 */
/* proc - one process of the container; see task.h */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/ttrpc/proto/task.pb-c.h"
#include "workers/task/shim/container.h"
#include "workers/task/shim/fifo.h"
#include "workers/task/shim/task.h"

#define CONSOLE_MS 5000 /* from the runtime's end to the arrival of the terminal it sent */

struct proc *
task_find(const struct task *t, const char *exec_id)
{
	for (struct proc *p = t->procs; p != NULL; p = p->next)
		if (strcmp(p->exec_id, exec_id) == 0)
			return p;
	return NULL;
}

struct proc *
proc_new(struct task *t, const char *exec_id, bool terminal, const char *in, const char *out,
    const char *err)
{
	struct proc *p = xcalloc(1, sizeof(*p));

	*p = (struct proc){ .next = t->procs,
		.task = t,
		.terminal = terminal,
		.in = xstrdup(in),
		.out = xstrdup(out),
		.err = xstrdup(err) };
	(void)snprintf(p->exec_id, sizeof(p->exec_id), "%s", exec_id);
	t->procs = p;
	return p;
}

static void
answer_wait(const struct proc *p, struct ttrpc_request *rq)
{
	Containerd__Task__V2__WaitResponse rep;
	Google__Protobuf__Timestamp at;

	containerd__task__v2__wait_response__init(&rep);
	google__protobuf__timestamp__init(&at);
	at.seconds = p->exited_at / 1000000000;
	at.nanos = (int32_t)(p->exited_at % 1000000000);
	rep.exit_status = p->exit_status;
	rep.exited_at = &at;
	ttrpc_reply(rq, &rep.base);
}

static void
tell_waiters(struct proc *p)
{
	while (p->waiters != NULL) {
		struct waiter *w = p->waiters;

		p->waiters = w->next;
		answer_wait(p, w->rq);
		free(w);
	}
}

void
proc_wait(struct proc *p, struct ttrpc_request *rq)
{
	struct waiter *w;

	if (p->state == PROC_STOPPED || (p->state == PROC_DELETING && p->ended)) {
		answer_wait(p, rq);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	*w = (struct waiter){ .next = p->waiters, .rq = rq };
	p->waiters = w;
}

void
proc_free(struct proc *p)
{
	struct proc **at = &p->task->procs;
	struct err e = ERR_ZERO;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (p->ended)
		tell_waiters(p);
	(void)err_set(&e, ERR_NOT_FOUND, "the process is gone");
	while (p->waiters != NULL) {
		struct waiter *w = p->waiters;

		p->waiters = w->next;
		ttrpc_fail(w->rq, &e);
		free(w);
	}
	if (p->pid != 0 && !p->ended)
		reaper_unwatch(p->task->reaper, p->pid);
	stdio_free(&p->io);
	free(p->in);
	free(p->out);
	free(p->err);
	free(p);
}

/* --- the end ------------------------------------------------------------------------------------- */

static void
on_rest_killed(void *arg, const struct err *e)
{
	(void)arg;
	if (e->code != ERR_NONE && e->code != ERR_NOT_FOUND)
		log_warn("end of what the container left: %s", e->msg);
}

/* Without a pid namespace of its own a container's other processes outlive the first one. */
static void
kill_rest(struct task *t)
{
	const char *verb[] = { "kill", "--all", t->rt.id, "KILL", NULL };
	struct err e = ERR_ZERO;

	if (t->shares_pids && runtime_call(&t->rt, verb, NULL, on_rest_killed, NULL, &e) < 0)
		log_warn("end of what the container left: %s", e.msg);
}

void
proc_settle(struct proc *p)
{
	if (!p->ended || (p->state != PROC_RUNNING && p->state != PROC_CREATED))
		return;
	p->state = PROC_STOPPED;
	tell_waiters(p);
	if (p->io != NULL) {
		stdio_started(p->io); /* one that ended before its start has clients too */
		stdio_exited(p->io);
	}
	if (p->exec_id[0] != '\0')
		return;
	kill_rest(p->task);
	container_ended(p);
}

static void
on_exit_noticed(void *arg, pid_t pid, int status, int64_t at)
{
	struct proc *p = arg;

	(void)pid;
	p->ended = true;
	p->exit_status = WIFSIGNALED(status) ? 128 + (unsigned)WTERMSIG(status)
					     : (unsigned)WEXITSTATUS(status);
	p->exited_at = at;
	fifo_ended(p->fifo);
	proc_settle(p);
}

/* --- the beginning ------------------------------------------------------------------------------- */

struct spawn {
	struct proc *p;
	struct console *console;
	struct loop_source *timer;
	char *pid_file;
	bool called, got_terminal; /* what has arrived of the two */
	spawn_done_fn *done;
	void *arg;
};

static void
spawn_end(struct spawn *s, const struct err *e)
{
	struct proc *p = s->p;
	spawn_done_fn *done = s->done;
	void *arg = s->arg;

	loop_del(&s->timer);
	console_free(&s->console);
	(void)unlink(s->pid_file);
	free(s->pid_file);
	free(s);
	done(p, arg, e);
}

static void
spawn_progress(struct spawn *s)
{
	struct err e = ERR_ZERO;

	if (s->called && (s->got_terminal || !s->p->terminal))
		spawn_end(s, &e);
}

static void
on_console(void *arg, int take_fd)
{
	struct spawn *s = arg;

	if (s->got_terminal) {
		fd_close(&take_fd);
		return;
	}
	s->got_terminal = true;
	stdio_terminal(s->p->io, take_fd);
	spawn_progress(s);
}

static void
on_no_console(void *arg)
{
	struct spawn *s = arg;
	struct err e = ERR_ZERO;

	s->timer = NULL;
	(void)err_set(&e, ERR_INTERNAL, "the OCI runtime did not hand over the terminal");
	spawn_end(s, &e);
}

static int
read_pid(const char *pid_file, pid_t *ret_pid, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	char *end;
	long pid;

	if (fs_read(AT_FDCWD, pid_file, 64, &text, e) < 0)
		return err_wrap(e, "the OCI runtime's pid file");
	pid = strtol(buf_str(&text), &end, 10);
	if (end == buf_str(&text) || pid <= 1 || pid > INT32_MAX)
		return err_set(e, ERR_INTERNAL, "the OCI runtime's pid file has no pid");
	*ret_pid = (pid_t)pid;
	return 0;
}

static void
on_called(void *arg, const struct err *called)
{
	struct spawn *s = arg;
	struct err e = *called;
	pid_t pid = 0;

	if (e.code != ERR_NONE || read_pid(s->pid_file, &pid, &e) < 0) {
		spawn_end(s, &e);
		return;
	}
	s->p->pid = pid;
	s->called = true;
	if (s->p->terminal && !s->got_terminal)
		s->timer = loop_once(s->p->task->loop, CONSOLE_MS, on_no_console, s);
	/* May tell at once; the state keeps that from being passed on too early. */
	reaper_watch(s->p->task->reaper, pid, on_exit_noticed, s->p);
	spawn_progress(s);
}

static int
open_console(struct spawn *s, struct err *e)
{
	struct task *t = s->p->task;
	char path[SOCKET_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s.t%u", t->place->base, ++t->consoles);
	return console_new(t->loop, path, on_console, s, &s->console, e);
}

int
proc_spawn(struct proc *p, const char *const *verb, const char *pid_file, spawn_done_fn *done,
    void *arg, struct err *e)
{
	struct spawn *s = xcalloc(1, sizeof(*s));
	struct runtime_io io = { .fd = { -1, -1, -1 }, .words = -1 };
	const char *full[RUN_ARGS_MAX / 2];
	unsigned n = 0;

	*s = (struct spawn){ .p = p, .pid_file = xstrdup(pid_file), .done = done, .arg = arg };
	(void)unlink(pid_file);
	full[n++] = *verb++;
	full[n++] = "--pid-file";
	full[n++] = s->pid_file;
	if (p->terminal && open_console(s, e) < 0)
		goto failed;
	if (p->terminal) {
		full[n++] = "--console-socket";
		full[n++] = console_path(s->console);
	} else {
		stdio_child_fds(p->io, io.fd);
		io.words = stdio_words_fd(p->io);
	}
	for (; *verb != NULL; verb++) {
		MUST(n + 1 < COUNT(full));
		full[n++] = *verb;
	}
	full[n] = NULL;
	if (runtime_call(&p->task->rt, full, p->terminal ? NULL : &io, on_called, s, e) < 0)
		goto failed;
	return 0;
failed:
	console_free(&s->console);
	free(s->pid_file);
	free(s);
	return -(int)e->code;
}
