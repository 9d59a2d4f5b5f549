/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn - see spawn.h.
 *
 * Between vfork and exec the child runs on the parent's memory while the parent waits: it only makes
 * system calls and writes to one int. No handler can run in it, since the supervisor has none.
 */
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"

#define MOVED_FROM 32 /* sources are first moved up here, out of the way of the targets */

int
spawn_guard_stdio(struct err *e)
{
	int fd;

	(void)close_range(
	    STDERR_FILENO + 1, ~0U, 0); /* an old kernel: they stay ours, no child gets them */
	do
		fd = open("/dev/null", O_RDWR); /* inherited on purpose: 0, 1 and 2 */
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return err_sys(e, errno, "open /dev/null");
	fd_close(&fd);
	return 0;
}

static void
reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &dfl, NULL); /* KILL, STOP and libc's own refuse: fine */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
place_fds(const struct spawn *s)
{
	int moved[SPAWN_FDS_MAX];

	for (unsigned i = 0; i < s->nfds; i++) {
		moved[i] = fcntl(s->fds[i], F_DUPFD_CLOEXEC, MOVED_FROM);
		if (moved[i] < 0)
			return -1;
	}
	for (unsigned i = 0; i < s->nfds; i++)
		if (dup2(moved[i], (int)i) < 0)
			return -1;
	return close_range(s->nfds, ~0U, 0);
}

/* In the child: leaves errno in *failed and the process, should anything fail. */
static _Noreturn void
become(const struct spawn *s, pid_t parent, int *failed)
{
	(void)setsid();
	(void)umask(022);
	if (place_fds(s) < 0 || chdir(s->cwd) < 0)
		goto fail;
	if (s->tied && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		goto fail;
	reset_signals();
	(void)execve(s->path, s->argv, s->envp);
fail:
	*failed = errno;
	_exit(127);
}

static pid_t
vfork_into(const struct spawn *s, int *failed)
{
	pid_t parent = getpid(), pid = vfork();

	if (pid == 0)
		become(s, parent, failed);
	return pid;
}

int
spawn(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	int failed = 0, pidfd;
	pid_t pid;

	MUST(s->nfds >= 3 && s->nfds <= SPAWN_FDS_MAX);
	pid = vfork_into(s, &failed);
	if (pid < 0)
		return err_sys(e, errno, "fork for %s", s->path);
	if (failed != 0) {
		(void)waitpid(pid, NULL, 0);
		return err_sys(e, failed, "execute %s", s->path);
	}
	/* It is our child and not reaped, so the number is still its own. */
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		int keep = errno;

		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return err_sys(e, keep, "watch %s", s->path);
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}
