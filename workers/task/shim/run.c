/* SPDX-License-Identifier: Apache-2.0 */
/* run - see run.h */
#include "workers/task/shim/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"

/* Ends kept for pids that nobody watches yet; the oldest goes first. A container that shares our pid
 * namespace can make many in the milliseconds of one exec. */
#define KEPT_MAX 4096
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct watch {
	struct watch *next;
	pid_t pid;
	reaped_fn *fn;
	void *arg;
};

struct kept {
	pid_t pid;
	int status;
	int64_t at;
};

struct reaper {
	struct loop *loop;
	struct loop_source *sig;
	struct watch *watches;
	unsigned running; /* programs at work: keep ends */
	struct kept *kept;
	size_t nkept;
};

struct run {
	struct reaper *reaper;
	struct loop_source *timer, *watch;
	pid_t pid;
	int out;
	struct buf output;
	bool timed_out;
	run_done_fn *done;
	void *arg;
};

static void
keep(struct reaper *r, pid_t pid, int status, int64_t at)
{
	if (r->running == 0)
		return;
	if (r->nkept == KEPT_MAX) {
		memmove(r->kept, r->kept + 1, (KEPT_MAX - 1) * sizeof(*r->kept));
		r->nkept--;
	}
	if ((r->nkept & (r->nkept - 1)) == 0)
		r->kept = xrealloc(r->kept, (r->nkept == 0 ? 1 : 2 * r->nkept) * sizeof(*r->kept));
	r->kept[r->nkept++] = (struct kept){ .pid = pid, .status = status, .at = at };
}

static void
forget_kept(struct reaper *r)
{
	if (r->running > 0)
		return;
	free_ptr(&r->kept);
	r->nkept = 0;
}

static void
tell(struct reaper *r, pid_t pid, int status)
{
	int64_t at = clock_real_ns();

	for (struct watch **w = &r->watches; *w != NULL; w = &(*w)->next) {
		struct watch found = **w;

		if (found.pid != pid)
			continue;
		free(*w);
		*w = found.next;
		found.fn(found.arg, pid, status, at);
		return;
	}
	keep(r, pid, status, at);
}

static void
on_child(void *arg, int signo)
{
	struct reaper *r = arg;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		tell(r, pid, status);
}

struct reaper *
reaper_new(struct loop *l)
{
	struct reaper *r = xcalloc(1, sizeof(*r));

	r->loop = l;
	r->sig = loop_signal(l, SIGCHLD, on_child, r);
	if (r->sig == NULL || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		reaper_free(&r);
	return r;
}

void
reaper_free(struct reaper **pr)
{
	struct reaper *r = *pr;

	if (r == NULL)
		return;
	*pr = NULL;
	loop_del(&r->sig);
	while (r->watches != NULL) {
		struct watch *w = r->watches;

		r->watches = w->next;
		free(w);
	}
	free(r->kept);
	free(r);
}

void
reaper_watch(struct reaper *r, pid_t pid, reaped_fn *fn, void *arg)
{
	struct watch *w;

	for (size_t i = 0; i < r->nkept; i++)
		if (r->kept[i].pid == pid) {
			struct kept k = r->kept[i];

			memmove(
			    r->kept + i, r->kept + i + 1, (r->nkept - i - 1) * sizeof(*r->kept));
			r->nkept--;
			fn(arg, pid, k.status, k.at);
			return;
		}
	w = xcalloc(1, sizeof(*w));
	*w = (struct watch){ .next = r->watches, .pid = pid, .fn = fn, .arg = arg };
	r->watches = w;
}

void
reaper_unwatch(struct reaper *r, pid_t pid)
{
	for (struct watch **w = &r->watches; *w != NULL; w = &(*w)->next)
		if ((*w)->pid == pid) {
			struct watch *found = *w;

			*w = found->next;
			free(found);
			return;
		}
}

/* --- programs ------------------------------------------------------------------------------------ */

static void
output_read(struct run *run)
{
	char piece[2048];
	ssize_t n;

	while ((n = read(run->out, piece, sizeof(piece))) > 0) {
		size_t room = RUN_OUTPUT_MAX - run->output.len;

		(void)buf_add(&run->output, piece, (size_t)n < room ? (size_t)n : room);
	}
	if (n == 0)
		loop_del(&run->watch);
}

static void
on_output(void *arg, uint32_t events)
{
	(void)events;
	output_read(arg);
}

static void
on_end(void *arg, pid_t pid, int status, int64_t at)
{
	struct run *run = arg;
	struct reaper *r = run->reaper;
	struct run_end end = { .status = status, .timed_out = run->timed_out };

	(void)pid;
	(void)at;
	loop_del(&run->timer);
	if (run->watch != NULL)
		output_read(run);
	loop_del(&run->watch);
	fd_close(&run->out);
	end.output = buf_str(&run->output);
	run->done(run->arg, &end); /* still counted: what it looks for is kept */
	r->running--;
	forget_kept(r);
	buf_free(&run->output);
	free(run);
}

static void
on_timeout(void *arg)
{
	struct run *run = arg;

	run->timer = NULL;
	run->timed_out = true;
	/* Not reaped yet, so it is still the one; and what it started, a script's programs for one. A
	 * container's process is in a session of its own. */
	if (kill(-run->pid, SIGKILL) < 0)
		(void)kill(run->pid, SIGKILL);
}

/* In the child: async-signal-safe calls only. */
static _Noreturn void
child(const struct run_spec *spec, const int fd[3], pid_t parent)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	int at[3];
	sigset_t none;

	/* A runtime without its shim would go on making what nobody knows of. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(126);
	(void)setpgid(0, 0); /* on_timeout */
	/* Above 2 first, so that no dup2 closes what another one still needs. */
	for (int i = 0; i < 3; i++)
		at[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, 3);
	for (int i = 0; i < 3; i++)
		if (at[i] < 0 || dup2(at[i], i) < 0)
			_exit(126);
	(void)sigaction(SIGPIPE, &sa, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execv(spec->argv[0], (char **)(uintptr_t)spec->argv);
	_exit(127);
}

int
run_start(
    struct reaper *r, const struct run_spec *spec, run_done_fn *done, void *arg, struct err *e)
{
	AUTO(fd_close) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO(fd_close) int to_us = -1;
	struct run *run;
	int pipefd[2] = { -1, -1 }, fd[3];
	pid_t pid, parent = getpid();

	if (null < 0 || pipe2(pipefd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "run %s", spec->argv[0]);
	to_us = pipefd[1];
	(void)fcntl(pipefd[0], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 3; i++)
		fd[i] = spec->fd[i] == RUN_OUTPUT ? to_us : spec->fd[i] < 0 ? null : spec->fd[i];
	pid = fork();
	if (pid == 0)
		child(spec, fd, parent);
	if (pid < 0) {
		int keep_errno = errno;

		fd_close(&pipefd[0]);
		return err_sys(e, keep_errno, "run %s", spec->argv[0]);
	}
	(void)setpgid(pid, pid); /* whoever of us is first */
	run = xcalloc(1, sizeof(*run));
	*run = (struct run){ .reaper = r, .pid = pid, .out = pipefd[0], .done = done, .arg = arg };
	run->watch = loop_fd(r->loop, run->out, EPOLLIN, on_output, run);
	if (spec->timeout_ms > 0)
		run->timer = loop_once(r->loop, spec->timeout_ms, on_timeout, run);
	r->running++;
	reaper_watch(r, pid, on_end, run);
	return 0;
}

static bool
executable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

int
run_find(const char *name, char *path, size_t size, struct err *e)
{
	const char *dirs = getenv("PATH");

	if (dirs == NULL || dirs[0] == '\0')
		dirs = DEFAULT_PATH;
	if (strchr(name, '/') != NULL) {
		if (name[0] != '/' || strlen(name) >= size)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "OCI runtime %.100s: neither a name nor an absolute path", name);
		(void)snprintf(path, size, "%s", name);
		return executable(path) ? 0
					: err_set(e, ERR_FAILED_PRECONDITION,
					      "OCI runtime %s is not installed", name);
	}
	while (*dirs != '\0') {
		size_t n = strcspn(dirs, ":");

		if (n > 0 && dirs[0] == '/' &&
		    snprintf(path, size, "%.*s/%s", (int)n, dirs, name) < (int)size &&
		    executable(path))
			return 0;
		dirs += n + (dirs[n] == ':');
	}
	return err_set(e, ERR_FAILED_PRECONDITION, "OCI runtime %.100s is not installed", name);
}
