/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process - see process.h.
 *
 * It is over when task_wait answered and the shim said that all output was sent. Either may be missing:
 * a shim that is gone sends nothing more, and output may be kept open by a process that the ended one
 * left behind, so after the answer silence of LINGER_MS is enough.
 */
#include "ctr/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "ctr/attach.h"
#include "ctr/terminal.h"
#include "lib/base/auto.h"

#define LINGER_MS 2000
#define HANGUP_MS 2000
#define SIGNALS 7

struct process {
	struct ctr *ctr;
	struct process_opts opts;
	struct attach *attach;
	struct loop_source *signals[SIGNALS];
	struct loop_source *linger, *hung_up;
	struct client_call *wait, *resize;
	bool resize_again;
	unsigned width, height; /* as told last */
	unsigned interrupts;

	bool keys; /* the keys of our terminal are its input */
	bool output_ended, exited, detached, given_up;
	int exit;
	uint64_t seen;	   /* packets, when on_linger looked last */
	struct err failed; /* of task_wait */
	char lost[256];	   /* why the shim sends no more, "" = it does, or said all */
};

static bool
over(const struct process *p)
{
	return p->detached || p->given_up || p->failed.code != ERR_NONE ||
	       (p->exited && p->output_ended);
}

/* --- what is sent --------------------------------------------------------------------------------- */

static void
on_ignored(void *arg, const void *rep, const struct err *e)
{
	(void)arg;
	(void)rep;
	(void)e; /* a signal that comes too late is no error, and there is nobody to ask again */
}

static void
process_signal(struct process *p, int signo)
{
	const struct task_kill_req req = {
		.id = p->opts.id, .exec_id = p->opts.exec_id, .signal = (uint64_t)signo
	};
	struct err e = ERR_ZERO;

	if (ctr_send(p->ctr, &task_task_kill_method, &req, on_ignored, NULL, NULL, &e) < 0)
		(void)ctr_complain(p->ctr, &e);
}

static void
on_resized(void *arg, const void *rep, const struct err *e)
{
	struct process *p = arg;

	(void)rep;
	(void)e; /* a process that is not there yet, or no more: the next one counts */
	p->resize = NULL;
	if (p->resize_again)
		process_resize(p);
}

void
process_resize(struct process *p)
{
	struct task_resize_req req = { .id = p->opts.id, .exec_id = p->opts.exec_id };
	unsigned width = 0, height = 0;
	struct err e = ERR_ZERO;

	if (!attach_tty(p->attach) || !terminal_size(STDOUT_FILENO, &width, &height))
		return;
	/* One at a time: a window that is being dragged sends a lot. */
	p->resize_again = p->resize != NULL;
	if (p->resize_again)
		return;
	req.width = width;
	req.height = height;
	(void)ctr_send(p->ctr, &task_task_resize_method, &req, on_resized, p, &p->resize, &e);
}

static void on_linger(void *arg);

static void
on_waited(void *arg, const void *rep, const struct err *e)
{
	const struct task_rep *r = rep;
	struct process *p = arg;

	p->wait = NULL;
	if (rep == NULL) {
		p->failed = *e;
	} else {
		p->exited = true;
		p->exit = (int)(r->task->exit_status & 0xff);
		p->linger = loop_every(p->ctr->loop, LINGER_MS, on_linger, p);
	}
}

/* --- what comes ----------------------------------------------------------------------------------- */

static void
on_attach(void *arg, enum attach_event event, const char *text)
{
	struct process *p = arg;

	switch (event) {
	case ATTACH_END:
		p->output_ended = true;
		break;
	case ATTACH_LOST:
		p->output_ended = true;
		(void)snprintf(p->lost, sizeof(p->lost), "%s", text);
		break;
	case ATTACH_DETACHED:
		p->detached = true;
		break;
	case ATTACH_BROKEN:
		/* As the end of a pipe: what writes into it has no more reason to be. */
		if (p->opts.ours)
			process_signal(p, SIGKILL);
		else
			p->detached = true;
		break;
	}
}

static void
on_hung_up(void *arg)
{
	struct process *p = arg;

	p->hung_up = NULL;
	process_signal(p, SIGKILL);
}

static void
on_signal(void *arg, int signo)
{
	struct process *p = arg;

	if (signo == SIGWINCH) {
		process_resize(p);
		return;
	}
	if (signo == SIGINT || signo == SIGTERM)
		p->interrupts++;
	/* Its terminal is gone: as in any session, what does not end of that is killed. */
	if (signo == SIGHUP && p->keys && p->opts.ours && p->hung_up == NULL)
		p->hung_up = loop_once(p->ctr->loop, HANGUP_MS, on_hung_up, p);
	/* The first process of a container is deaf to what it does not handle. */
	if (p->interrupts == 2 && isatty(STDERR_FILENO))
		(void)fprintf(stderr, "ctr: interrupt once more to kill it\n");
	if (p->interrupts > 3)
		p->given_up = true;
	else
		process_signal(p, p->interrupts == 3 ? SIGKILL : signo);
}

/* The process has ended: what holds its output open is not waited for once it is silent. */
static void
on_linger(void *arg)
{
	struct process *p = arg;
	uint64_t seen = attach_seen(p->attach);

	if (seen == p->seen && !attach_busy(p->attach))
		p->output_ended = true;
	p->seen = seen;
}

static int
watch_signals(struct process *p, struct err *e)
{
	static const int list[SIGNALS] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2,
		SIGWINCH };

	for (size_t i = 0; i < COUNT(list); i++) {
		p->signals[i] = loop_signal(p->ctr->loop, list[i], on_signal, p);
		if (p->signals[i] == NULL)
			return err_sys(e, errno, "watch for signals");
	}
	return 0;
}

int
process_open(struct ctr *c, const struct process_opts *o, struct process **ret, struct err *e)
{
	AUTO(process_close) struct process *p = xcalloc(1, sizeof(*p));
	int r;

	p->ctr = c;
	p->opts = *o;
	if (o->task->attach == NULL || o->task->attach[0] == '\0')
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "%s: its shim has no socket to attach to; start it in the background (-d)",
		    o->id);
	r = attach_open(c->loop, o->task->attach, o->exec_id, &c->caught, &p->attach, e);
	if (r < 0)
		return r;
	*ret = TAKE(p);
	return 0;
}

/* After --timeout, which is for answers, not for how long a process may run. */
static int
wait_send(struct process *p, struct err *e)
{
	const struct task_ref_req req = { .id = p->opts.id, .exec_id = p->opts.exec_id };
	struct client_opts opts = { .ns = p->ctr->ns };

	return client_call(
	    p->ctr->client, &task_task_wait_method, &opts, &req, on_waited, p, &p->wait, e);
}

static void
ignore_pipe(void)
{
	struct sigaction act = { .sa_handler = SIG_IGN };

	(void)sigaction(SIGPIPE, &act, NULL); /* cannot fail for this signal */
}

/* A terminal is read from the foreground only: from the background it would stop us. */
static bool
input_ours(void)
{
	return !isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static int
follow_begin(struct process *p, struct err *e)
{
	bool input = p->opts.input && input_ours();
	int r;

	p->keys = input && attach_tty(p->attach) && isatty(STDIN_FILENO);
	ctr_uncatch(p->ctr);
	r = watch_signals(p, e);
	if (r == 0)
		r = wait_send(p, e);
	if (r == 0 && p->keys)
		r = terminal_raw(STDIN_FILENO, e);
	if (r < 0)
		return r;
	ignore_pipe();
	process_resize(p);
	attach_copy(p->attach,
	    (input ? ATTACH_INPUT : 0U) | (p->opts.ours ? ATTACH_EOF : 0U) |
		(p->keys ? ATTACH_KEYS : 0U),
	    on_attach, p);
	/* What came while it was being started. */
	if (p->ctr->caught != 0)
		on_signal(p, p->ctr->caught);
	p->ctr->caught = 0;
	return 0;
}

int
process_follow(struct process *p, int *ret_exit, struct err *e)
{
	int r = follow_begin(p, e);

	while (r == 0 && !over(p))
		loop_turn(p->ctr->loop, -1);
	terminal_restore();
	if (r == 0 && p->failed.code != ERR_NONE) {
		*e = p->failed;
		r = -(int)e->code;
	}
	if (r < 0)
		return r;
	if (p->lost[0] != '\0') {
		struct err lost = ERR_ZERO;

		(void)err_set(&lost, ERR_UNAVAILABLE, "output is cut: %s", p->lost);
		(void)ctr_complain(p->ctr, &lost);
	}
	*ret_exit = p->given_up ? EXIT_INTERRUPT : p->exit;
	return p->given_up ? PROCESS_GIVEN_UP : p->detached ? PROCESS_DETACHED : PROCESS_ENDED;
}

void
process_close(struct process **pp)
{
	struct process *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	terminal_restore();
	for (size_t i = 0; i < SIGNALS; i++)
		loop_del(&p->signals[i]);
	loop_del(&p->linger);
	loop_del(&p->hung_up);
	client_cancel(&p->wait);
	client_cancel(&p->resize);
	attach_free(&p->attach);
	free(p);
}

/* docker and podman read the runtime's words too: there is no other way to know. */
static const struct {
	const char *words;
	int exit;
} start_words[] = {
	{ "executable file not found", EXIT_NOT_FOUND },
	{ "executable file `", EXIT_NOT_FOUND },
	{ "no such file or directory", EXIT_NOT_FOUND },
	{ "permission denied", EXIT_NOT_EXEC },
	{ "is a directory", EXIT_NOT_EXEC },
	{ "exec format error", EXIT_NOT_EXEC },
};

int
process_start_exit(const struct err *e)
{
	if (e->code == ERR_CANCELLED)
		return EXIT_INTERRUPT;
	if (strcasestr(e->msg, "mount") != NULL || strcasestr(e->msg, "attach:") != NULL)
		return EXIT_RUN; /* its own missing files are not the command's */
	for (size_t i = 0; i < COUNT(start_words); i++)
		if (strcasestr(e->msg, start_words[i].words) != NULL)
			return start_words[i].exit;
	return EXIT_RUN;
}
