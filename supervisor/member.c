/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member - see member.h.
 *
 * Crash story: when the supervisor is killed, workers see the end of their control socket and leave; the
 * next supervisor makes sure of it (member_ghost_clear) before it starts its own.
 */
#include "supervisor/member.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "supervisor/cgroups.h"
#include "supervisor/control.h"
#include "supervisor/spawn.h"

#define GHOST_MS 2000 /* for a worker of an earlier supervisor to leave */

void
member_signal(const struct member *m, int signo)
{
	if (syscall(SYS_pidfd_send_signal, m->pidfd, signo, NULL, 0) < 0 && errno != ESRCH)
		log_warn("signal %d to %s: %s", signo, proc_name(m->proc), strerror(errno));
}

struct arguments {
	char uid[12], gid[12], groups[64], crew[12 * PROC_COUNT], cgroups[16 + CGROUP_ROOT_MAX];
	char *v[24 + 2 * OPTIONS_MAX];
	unsigned n;
};

static void
arg_add(struct arguments *a, const char *name, const char *value)
{
	MUST(a->n + 3 <= COUNT(a->v));
	a->v[a->n++] = (char *)(uintptr_t)name; /* execve does not write to them */
	if (value != NULL)
		a->v[a->n++] = (char *)(uintptr_t)value;
	a->v[a->n] = NULL;
}

static void
arguments_make(const struct member *m, struct arguments *a)
{
	const struct user *u = &m->folders->users[m->proc];
	char root[CGROUP_ROOT_MAX];
	size_t at = 0;

	(void)snprintf(a->uid, sizeof(a->uid), "%u", u->uid);
	(void)snprintf(a->gid, sizeof(a->gid), "%u", u->gid);
	a->groups[0] = '\0';
	for (unsigned i = 0; i < u->ngroups && at < sizeof(a->groups); i++)
		at += (size_t)snprintf(a->groups + at, sizeof(a->groups) - at, "%s%u",
		    i == 0 ? "" : ",", u->groups[i]);
	a->n = 0;
	arg_add(a, m->program, NULL);
	arg_add(a, "--root", m->folders->root);
	arg_add(a, "--state", m->folders->state);
	arg_add(a, "--log-level", m->config->log_level);
	arg_add(a, "--log-format", m->config->log_format);
	arg_add(a, "--uid", a->uid);
	arg_add(a, "--gid", a->gid);
	arg_add(a, "--groups", a->groups);
	at = 0;
	for (unsigned i = 0; i < PROC_COUNT; i++)
		at += (size_t)snprintf(a->crew + at, sizeof(a->crew) - at, "%s%u",
		    i == 0 ? "" : ",", m->folders->users[i].uid);
	arg_add(a, "--crew", a->crew);
	for (unsigned i = 0; i < m->config->options[m->proc].n; i++)
		arg_add(a, "-o", m->config->options[m->proc].line[i]);
	if (m->proc == PROC_TASK) {
		(void)snprintf(a->cgroups, sizeof(a->cgroups), "cgroup-root=%s",
		    cgroups_root(m->folders->state, root));
		arg_add(a, "-o", a->cgroups);
	}
}

int
member_board_renew(struct member *m, struct err *e)
{
	const struct folders *f = m->folders;
	const struct user *u = &f->users[m->proc];
	int fd = -1, r;

	r = board_create(f->boards, proc_name(m->proc), u->uid, f->coffer, &fd, e);
	if (r < 0)
		return r;
	fd_close(&m->board);
	m->board = fd;
	return 0;
}

/* Looked for at each start: an upgrade may be moving it just now. As built, as installed (wherever the
 * prefix is), as configured when this was built. */
static int
program_find(struct member *m, struct err *e)
{
	static const char *const below[] = { "/libexec", "/../libexec/coffer", "" };

	for (size_t i = 0; i < COUNT(below); i++) {
		int n = snprintf(m->program, sizeof(m->program), "%s%s/coffer-%s",
		    below[i][0] == '\0' ? CF_LIBEXECDIR : m->self_dir, below[i],
		    proc_name(m->proc));

		if (n < (int)sizeof(m->program) && access(m->program, X_OK) == 0)
			return 0;
	}
	return err_set(e, ERR_NOT_FOUND,
	    "program coffer-%s is neither in %s/libexec nor in %s/../libexec/coffer nor in %s",
	    proc_name(m->proc), m->self_dir, m->self_dir, CF_LIBEXECDIR);
}

void
member_forget(struct member *m)
{
	loop_del(&m->on_death);
	loop_del(&m->on_control);
	fd_close(&m->control);
	fd_close(&m->pidfd);
	m->pid = 0;
}

int
member_birth(struct member *m, loop_fd_fn *on_death, loop_fd_fn *on_control, struct err *e)
{
	AUTO(fd_close) int ours = -1;
	AUTO(fd_close) int theirs = -1;
	AUTO(fd_close) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct arguments a;
	int pair[2], r = program_find(m, e);

	if (r < 0 || (r = member_board_renew(m, e)) < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "make control socket");
	ours = pair[0];
	theirs = pair[1];
	if (null < 0 || fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, errno, "prepare descriptors");
	arguments_make(m, &a);
	r = spawn(&(struct spawn){ .path = m->program,
		      .argv = a.v,
		      .envp = environ,
		      .cwd = "/",
		      .fds = { null, STDERR_FILENO, STDERR_FILENO, theirs,
			  m->folders->mailboxes[m->proc], m->board },
		      .nfds = BOARD_FD + 1 },
	    &m->pid, &m->pidfd, e);
	if (r < 0)
		return r;
	m->on_death = loop_fd(m->loop, m->pidfd, EPOLLIN, on_death, m);
	m->on_control = loop_fd(m->loop, ours, EPOLLIN, on_control, m);
	m->control = fd_take(&ours);
	if (m->on_death != NULL && m->on_control != NULL)
		return 0;
	r = err_sys(e, errno, "watch %s", m->program);
	member_signal(m, SIGKILL);
	(void)waitpid(m->pid, NULL, 0);
	member_forget(m);
	return r;
}

void
member_ghost_clear(const struct member *m, pid_t pid)
{
	AUTO(fd_close) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	char link[32], exe[PATH_MAX], want[32];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	const char *base;
	ssize_t n;

	if (fd < 0)
		return;
	(void)snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	base = strrchr(exe, '/');
	(void)snprintf(want, sizeof(want), "/coffer-%s", proc_name(m->proc));
	if (base == NULL || strncmp(base, want, strlen(want)) != 0)
		return;
	if (poll(&p, 1, GHOST_MS) == 0) {
		log_warn("%s of an earlier cofferd (pid %d) does not leave: killed",
		    proc_name(m->proc), pid);
		(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		(void)poll(&p, 1, GHOST_MS);
	}
}

void
member_init(struct member *m, unsigned proc, struct loop *l, const struct config *config,
    const struct folders *f, const char *self_dir)
{
	*m = (struct member){ .proc = proc,
		.loop = l,
		.config = config,
		.folders = f,
		.self_dir = self_dir,
		.pidfd = -1,
		.control = -1,
		.board = -1 };
}
