/* SPDX-License-Identifier: Apache-2.0 */
/* living - see living.h */
#include "workers/task/shim/living.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"

#define PREFIX "containerd-shim-"
#define ARGS_MAX 16
#define LINE_MAX_BYTES 65536
#define END_MS 5000
#define PASSES 8 /* a start call that was killed may have left its shim meanwhile */

/* Where /proc/PID/NAME leads; "" when it cannot be told. */
static void
proc_link(const char *pid, const char *name, char *to, size_t size)
{
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, name);
	n = readlink(path, to, size - 1);
	to[n > 0 ? n : 0] = '\0';
}

static bool
called_for(const char *pid, const struct place *p)
{
	AUTO(buf_free) struct buf line = BUF_ZERO;
	struct err ignored = ERR_ZERO;
	char path[64], *argv[ARGS_MAX];
	struct shim_args a;
	int argc = 0;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/cmdline", pid);
	if (fs_read(AT_FDCWD, path, LINE_MAX_BYTES, &line, &ignored) < 0)
		return false;
	(void)buf_str(&line); /* ends the last one, whatever the process made of its arguments */
	for (size_t at = 0; at < line.len && argc < ARGS_MAX; at += strlen(line.data + at) + 1)
		argv[argc++] = line.data + at;
	return shim_args_parse(argc, argv, &a, &ignored) == 0 && strcmp(a.ns, p->ns) == 0 &&
	       strcmp(a.id, p->id) == 0 && strcmp(a.action, "delete") != 0;
}

static bool
is_ours(const char *pid, const struct place *p)
{
	char link[PATH_MAX];
	const char *base;

	proc_link(pid, "exe", link, sizeof(link));
	base = strrchr(link, '/');
	if (base == NULL || strncmp(base + 1, PREFIX, strlen(PREFIX)) != 0)
		return false;
	proc_link(pid, "cwd", link, sizeof(link));
	return strcmp(link, p->bundle) == 0 && called_for(pid, p);
}

/* 1 when the process was one and has ended. */
static int
end_one(const char *pid, const struct place *p, struct err *e)
{
	AUTO(fd_close) int fd = -1;
	struct pollfd wait = { .events = POLLIN };
	int r;

	if (!is_ours(pid, p))
		return 0;
	fd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(pid, NULL, 10), 0);
	if (fd < 0 || !is_ours(pid, p)) /* once more: now the number cannot change hands */
		return 0;
	log_warn("delete %s: its shim (pid %s) is still alive: killed", p->id, pid);
	(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	wait.fd = fd;
	while ((r = poll(&wait, 1, END_MS)) < 0 && errno == EINTR)
		;
	if (r <= 0)
		return err_set(e, ERR_DEADLINE_EXCEEDED,
		    "shim of %s (pid %s) was killed and does not end", p->id, pid);
	return 1;
}

/* One look at all processes. How many were ended. */
static int
end_all(const struct place *p, struct err *e)
{
	AUTO(dir_close) DIR *proc = opendir("/proc");
	const struct dirent *ent;
	int n = 0, r;

	if (proc == NULL)
		return err_sys(e, errno, "look for living shims");
	while ((ent = readdir(proc)) != NULL) {
		if (ent->d_name[0] < '1' || ent->d_name[0] > '9')
			continue;
		r = end_one(ent->d_name, p, e);
		if (r < 0)
			return r;
		n += r;
	}
	return n;
}

int
living_end(const struct place *p, struct err *e)
{
	int r = 1;

	for (int i = 0; i < PASSES && r > 0; i++)
		r = end_all(p, e);
	return r < 0 ? r : 0;
}
