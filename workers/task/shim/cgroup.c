/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup - see cgroup.h */
#include "workers/task/shim/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/fs.h"
#include "workers/task/shim/words.h"

#define ROOT "/sys/fs/cgroup"
#define RECORD_NAME "coffer.cgroup"
#define RECORD_MAX (64u << 10)
#define PIDS_MAX 65536
#define DEPTH_MAX 32
#define TRIES 200     /* of 10 ms */
#define READY_MOVES 4 /* the runtime comes to its moves some 10 ms after it was called */
#define READY_NAP_NS 4000000

int
cgroup_save(pid_t pid, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (fs_read(AT_FDCWD, path, RECORD_MAX, &text, e) < 0)
		return -(int)e->code;
	return fs_write(AT_FDCWD, RECORD_NAME, buf_str(&text), text.len, 0600, false, e);
}

/* --- who is in a group --------------------------------------------------------------------------- */

struct pids {
	pid_t *pid;
	size_t n;
};

static void
pids_add(struct pids *all, const char *text)
{
	while (*text != '\0' && all->n < PIDS_MAX) {
		char *end;
		long pid = strtol(text, &end, 10);

		if (end == text)
			return;
		if ((all->n & (all->n - 1)) == 0)
			all->pid = xrealloc(
			    all->pid, (all->n == 0 ? 1 : 2 * all->n) * sizeof(*all->pid));
		if (pid > 0)
			all->pid[all->n++] = (pid_t)pid;
		text = end + (*end == '\n');
	}
}

/* Adds the processes of this group and those below it. */
static void
collect(int dirfd, const char *name, struct pids *all, int depth)
{
	AUTO(fd_close) int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(dir_close) DIR *d = NULL;
	struct err ignored = ERR_ZERO;
	struct dirent *ent;
	int copy;

	if (fd < 0 || depth > DEPTH_MAX)
		return;
	(void)fs_read(fd, "cgroup.procs", 1u << 20, &text, &ignored);
	pids_add(all, buf_str(&text));
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	d = copy < 0 ? NULL : fdopendir(copy);
	while (d != NULL && (ent = readdir(d)) != NULL)
		if (ent->d_type == DT_DIR && ent->d_name[0] != '.')
			collect(fd, ent->d_name, all, depth + 1);
}

/* The folder of one line of /proc/PID/cgroup, "N:controllers:path"; false when there is none. */
static bool
folder_of(char *line, char *dir, size_t size)
{
	char *ctrl = strchr(line, ':'), *path = ctrl == NULL ? NULL : strchr(++ctrl, ':');

	if (path == NULL)
		return false;
	*path++ = '\0';
	if (strncmp(ctrl, "name=", 5) == 0)
		ctrl += 5;
	if (ctrl[0] == '\0') {
		if (snprintf(dir, size, ROOT "/unified%s", path) < (int)size &&
		    access(dir, F_OK) == 0)
			return true;
		return snprintf(dir, size, ROOT "%s", path) < (int)size && access(dir, F_OK) == 0;
	}
	return snprintf(dir, size, ROOT "/%s%s", ctrl, path) < (int)size && access(dir, F_OK) == 0;
}

int
cgroup_pids(pid_t pid, pid_t **ret_pids, size_t *ret_n, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct pids all = { NULL, 0 };
	char path[64], dir[PATH_MAX], *rest, *line;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (fs_read(AT_FDCWD, path, RECORD_MAX, &text, e) < 0)
		return -(int)e->code;
	rest = text.data;
	while ((line = strsep(&rest, "\n")) != NULL && all.n == 0)
		if (folder_of(line, dir, sizeof(dir)) && dir[strlen(dir) - 1] != '/') /* no root */
			collect(AT_FDCWD, dir, &all, 0);
	if (all.n == 0) {
		(void)snprintf(path, sizeof(path), "%d", (int)pid);
		pids_add(&all, path);
	}
	*ret_pids = all.pid;
	*ret_n = all.n;
	return 0;
}

/* --- making ready -------------------------------------------------------------------------------- */

/* false: not in any group that can be written. */
static bool
open_own_group(int *ret_fd)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err ignored = ERR_ZERO;
	char dir[PATH_MAX], *rest, *line;

	(void)fs_read(AT_FDCWD, "/proc/self/cgroup", RECORD_MAX, &text, &ignored);
	rest = text.data;
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (!folder_of(line, dir, sizeof(dir) - 16))
			continue;
		(void)strcat(dir, "/cgroup.procs");
		*ret_fd = open(dir, O_WRONLY | O_CLOEXEC);
		if (*ret_fd >= 0)
			return true; /* one will do: they have one lock */
	}
	return false;
}

void
cgroup_make_ready(void)
{
	const struct timespec nap = { .tv_nsec = READY_NAP_NS };
	AUTO(fd_close) int fd = -1;

	if (!open_own_group(&fd))
		return;
	for (int i = 0; i < READY_MOVES && write(fd, "0", 1) == 1; i++)
		(void)nanosleep(&nap, NULL);
}

/* --- the end of a group -------------------------------------------------------------------------- */

static void
put(int dirfd, const char *name, const char *value)
{
	AUTO(fd_close) int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, value, strlen(value)); /* not in every version */
}

static void
kill_all(const char *dir)
{
	AUTO(fd_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pids all = { NULL, 0 };

	if (fd < 0)
		return;
	put(fd, "cgroup.kill", "1");
	collect(AT_FDCWD, dir, &all, 0);
	for (size_t i = 0; i < all.n; i++)
		(void)kill(all.pid[i], SIGKILL);
	free(all.pid);
	put(fd, "freezer.state", "THAWED");
	put(fd, "cgroup.freeze", "0");
}

/* Removes the group and those below it. 0, or -1 with errno. */
static int
remove_group(int dirfd, const char *name, int depth)
{
	AUTO(dir_close) DIR *d = NULL;
	struct dirent *ent;
	int fd;

	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	while (d != NULL && depth < DEPTH_MAX && (ent = readdir(d)) != NULL)
		if (ent->d_type == DT_DIR && ent->d_name[0] != '.')
			(void)remove_group(fd, ent->d_name, depth + 1);
	return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

static int
end_group(const char *dir, struct err *e)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	struct statfs fs;

	/* Some runtimes make folders of that name where no hierarchy is mounted; they are not groups. */
	if (statfs(dir, &fs) == 0 && fs.f_type != CGROUP_SUPER_MAGIC &&
	    fs.f_type != CGROUP2_SUPER_MAGIC)
		return 0;
	for (int i = 0; i < TRIES; i++) {
		if (remove_group(AT_FDCWD, dir, 0) == 0)
			return 0;
		if (errno != EBUSY)
			break;
		kill_all(dir);
		(void)nanosleep(&nap, NULL);
	}
	return err_sys(e, errno, "remove control group %s", dir);
}

/* The same path in every hierarchy. */
static int
end_path(const char *path, const char *id, struct err *e)
{
	AUTO(dir_close) DIR *d = opendir(ROOT);
	const char *last = strrchr(path, '/');
	char dir[PATH_MAX];
	struct dirent *ent;
	int r = 0;

	if (path[0] != '/' || strstr(last, id) == NULL || strstr(path, "/../") != NULL || d == NULL)
		return 0;
	if (snprintf(dir, sizeof(dir), ROOT "%s", path) < (int)sizeof(dir) &&
	    access(dir, F_OK) == 0)
		r = end_group(dir, e);
	while ((ent = readdir(d)) != NULL) {
		if (ent->d_type != DT_DIR || ent->d_name[0] == '.' ||
		    snprintf(dir, sizeof(dir), ROOT "/%s%s", ent->d_name, path) >=
			(int)sizeof(dir) ||
		    access(dir, F_OK) < 0)
			continue;
		if (end_group(dir, e) < 0)
			r = -(int)e->code;
	}
	return r;
}

int
cgroup_clean(const char *id, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO, config = BUF_ZERO;
	struct err ignored = ERR_ZERO;
	char path[PATH_MAX], *rest, *line;
	int r = 0;

	(void)fs_read(AT_FDCWD, RECORD_NAME, RECORD_MAX, &text, &ignored);
	rest = text.data;
	while ((line = strsep(&rest, "\n")) != NULL) {
		const char *ctrl = strchr(line, ':'),
			   *at = ctrl == NULL ? NULL : strchr(ctrl + 1, ':');

		if (at != NULL && end_path(at + 1, id, e) < 0)
			r = -(int)e->code;
	}
	(void)fs_read(AT_FDCWD, "config.json", 8u << 20, &config, &ignored);
	if (words_string(buf_str(&config), "cgroupsPath", path, sizeof(path)) &&
	    end_path(path, id, e) < 0)
		r = -(int)e->code;
	return r;
}
