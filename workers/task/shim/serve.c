/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve - the shim that stays: one loop, one container, until Shutdown.
 *
 * It ends by itself too, when for a minute it has had neither a container nor a client: whoever started it
 * died before it could use it or say goodbye. Ending removes the sockets, but for those of a newer shim.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/ttrpc/shim.h"
#include "workers/task/shim/command.h"
#include "workers/task/shim/service.h"
#include "workers/task/shim/task.h"

#define IDLE_CHECK_MS 30000
#define IDLE_CHECKS 2
#define LAST_WORDS_MS 3000 /* for answers and output on their way to clients */

struct server {
	struct loop *loop;
	struct task task;
	struct service service;
	struct ttrpc_server *ttrpc;
	struct loop_source *idle, *term;
	unsigned idle_checks;
};

static void
on_shutdown(void *arg)
{
	loop_stop(((struct server *)arg)->loop, 0);
}

static void
on_idle_check(void *arg)
{
	struct server *s = arg;

	if (s->task.procs != NULL || ttrpc_server_clients(s->ttrpc) > 0)
		s->idle_checks = 0;
	else if (++s->idle_checks >= IDLE_CHECKS)
		loop_stop(s->loop, 0);
}

/* A shim with a container stays whatever asks it to go: its processes would be nobody's. */
static void
on_term(void *arg, int signo)
{
	struct server *s = arg;

	(void)signo;
	if (s->task.procs == NULL)
		loop_stop(s->loop, 0);
}

static bool
find_clients(void *arg, const char *exec_id, struct attach_group **ret_g)
{
	const struct proc *p = task_find(arg, exec_id);

	if (p == NULL || p->io == NULL)
		return false;
	*ret_g = stdio_clients(p->io);
	return *ret_g != NULL;
}

static int
set_up(struct server *s, const struct place *p, struct err *e)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	(void)sigaction(SIGPIPE, &ignore, NULL);
	s->loop = loop_new();
	if (s->loop == NULL)
		return err_sys(e, errno, "make the event loop");
	s->task.loop = s->loop;
	s->task.place = p;
	s->task.reaper = reaper_new(s->loop);
	s->term = loop_signal(s->loop, SIGTERM, on_term, s);
	if (s->task.reaper == NULL || s->term == NULL)
		return err_sys(e, errno, "watch for signals");
	s->service = (struct service){ .task = &s->task, .shutdown = on_shutdown, .arg = s };
	s->ttrpc = ttrpc_server_new(
	    s->loop, SERVE_SOCKET_FD, SHIM_SERVICE, service_methods, service_nmethods, &s->service);
	if (s->ttrpc == NULL)
		return err_sys(e, errno, "serve on descriptor %d", SERVE_SOCKET_FD);
	if (p->attach[0] != '\0') {
		s->task.attach = attach_server_new(
		    s->loop, SERVE_ATTACH_FD, find_clients, &s->task);
		if (s->task.attach == NULL)
			return err_sys(e, errno, "serve on descriptor %d", SERVE_ATTACH_FD);
	}
	s->idle = loop_every(s->loop, IDLE_CHECK_MS, on_idle_check, s);
	return 0;
}

/* The descriptors that start gave us, for us alone; and an environment that a container may see. */
static void
shed(const struct place *p)
{
	static const char *const ours[] = { SHIM_ENV_STATE, SHIM_ENV_LOG_DIR, SHIM_ENV_RUNTIME,
		SHIM_ENV_RUNTIME_TIMEOUT, "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID",
		"LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID", "INVOCATION_ID",
		"JOURNAL_STREAM" };

	(void)fcntl(SERVE_SOCKET_FD, F_SETFD, FD_CLOEXEC);
	(void)fcntl(SERVE_ATTACH_FD, F_SETFD, FD_CLOEXEC);
	if (p->attach[0] == '\0')
		(void)close(SERVE_ATTACH_FD);
	for (size_t i = 0; i < COUNT(ours); i++)
		(void)unsetenv(ours[i]);
	/* For runtimes in Go, whose processes live for milliseconds: collecting garbage costs runc a tenth of
	 * its time and saves half a megabyte. The container's own environment is the spec's. */
	(void)setenv("GOGC", "off", 0);
	(void)prctl(PR_SET_NAME, "containerd-shim", 0, 0, 0); /* not "exe", as it was executed */
}

int
command_serve(const struct place *p, struct err *e)
{
	struct server s = { .loop = NULL };
	uint64_t until;
	int r;

	shed(p);
	r = set_up(&s, p, e);
	if (r == 0)
		(void)loop_run(s.loop);
	until = clock_mono_ms() + LAST_WORDS_MS;
	while (r == 0 && clock_mono_ms() < until &&
	       (ttrpc_server_unsent(s.ttrpc) > 0 ||
		   (s.task.attach != NULL && attach_server_unsent(s.task.attach))))
		loop_turn(s.loop, 100);
	place_remove_own(p);
	ttrpc_server_free(&s.ttrpc);
	attach_server_free(&s.task.attach);
	reaper_free(&s.task.reaper);
	loop_free(&s.loop);
	return r;
}
