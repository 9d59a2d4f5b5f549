/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs - see rootfs.h */
#include "workers/task/shim/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/fs.h"

#define STACKED_MAX 64

struct flag {
	const char *name;
	unsigned long set, clear;
};

static const struct flag flags[] = {
	{ "async", 0, MS_SYNCHRONOUS },
	{ "atime", 0, MS_NOATIME },
	{ "bind", MS_BIND, 0 },
	{ "defaults", 0, 0 },
	{ "dev", 0, MS_NODEV },
	{ "diratime", 0, MS_NODIRATIME },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "mand", MS_MANDLOCK, 0 },
	{ "noatime", MS_NOATIME, 0 },
	{ "nodev", MS_NODEV, 0 },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "noexec", MS_NOEXEC, 0 },
	{ "nomand", 0, MS_MANDLOCK },
	{ "norelatime", 0, MS_RELATIME },
	{ "nostrictatime", 0, MS_STRICTATIME },
	{ "nosuid", MS_NOSUID, 0 },
	{ "rbind", MS_BIND | MS_REC, 0 },
	{ "relatime", MS_RELATIME, 0 },
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "suid", 0, MS_NOSUID },
	{ "sync", MS_SYNCHRONOUS, 0 },
};

static bool
flag_take(const char *option, unsigned long *bits)
{
	for (size_t i = 0; i < COUNT(flags); i++)
		if (strcmp(option, flags[i].name) == 0) {
			*bits = (*bits & ~flags[i].clear) | flags[i].set;
			return true;
		}
	return false;
}

static int
options_split(
    const Containerd__Types__Mount *m, unsigned long *bits, struct buf *data, struct err *e)
{
	*bits = 0;
	for (size_t i = 0; i < m->n_options; i++) {
		const char *o = m->options[i];

		if (flag_take(o, bits))
			continue;
		if (strcmp(o, "loop") == 0)
			return err_set(e, ERR_UNIMPLEMENTED,
			    "mount %.200s: loop devices are not made here", m->source);
		if (data->len > 0)
			(void)buf_adds(data, ",");
		(void)buf_adds(data, o);
	}
	/* mount(2) takes one page and would cut the rest off in silence. */
	if (data->len >= (size_t)sysconf(_SC_PAGESIZE))
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "mount %.60s root: options of %zu bytes, the kernel takes a page: too many "
		    "layers",
		    m->type, data->len);
	return 0;
}

static int
target_of(const char *dir, const char *target, char *path, struct err *e)
{
	const char *t = target;

	if (strstr(t, "..") != NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "mount target %.200s: leaves the root", t);
	while (*t == '/')
		t++;
	if (snprintf(path, PATH_MAX, "%s%s%s", dir, *t == '\0' ? "" : "/", t) >= PATH_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "mount target is too long");
	return 0;
}

static int
mount_one(const char *dir, const Containerd__Types__Mount *m, struct err *e)
{
	AUTO(buf_free) struct buf data = BUF_ZERO;
	char path[PATH_MAX];
	const char *type = m->type;
	unsigned long bits;

	if (options_split(m, &bits, &data, e) < 0 || target_of(dir, m->target, path, e) < 0)
		return -(int)e->code;
	if (strcmp(type, "bind") == 0 || strcmp(type, "rbind") == 0) {
		bits |= MS_BIND | (type[0] == 'r' ? MS_REC : 0);
		type = "none";
	}
	if (mount(m->source, path, type, bits, data.len > 0 ? data.data : NULL) < 0)
		return err_sys(e, errno, "mount %s %s as the root", m->type, m->source);
	/* A bind takes the flags of what it binds; they are set by mounting again. */
	if ((bits & MS_BIND) && (bits & ~(unsigned long)(MS_BIND | MS_REC)) != 0 &&
	    mount("none", path, NULL, bits | MS_REMOUNT, NULL) < 0)
		return err_sys(e, errno, "set flags of the mount of %s", m->source);
	return 0;
}

int
rootfs_mount(const char *dir, Containerd__Types__Mount *const *mounts, size_t n, struct err *e)
{
	struct err ignored = ERR_ZERO;

	if (n == 0)
		return 0;
	if (fs_mkdirs(AT_FDCWD, dir, 0711, e) < 0)
		return -(int)e->code;
	for (size_t i = 0; i < n; i++)
		if (mount_one(dir, mounts[i], e) < 0) {
			(void)rootfs_unmount(
			    dir, &ignored); /* the first error is the one to tell */
			return -(int)e->code;
		}
	return 0;
}

/*
 * The last reference to an overlay syncs the whole filesystem its upper folder is on (42 ms seen here),
 * and nobody has to wait for that: a child keeps the mount's root open until we have let go of it.
 * Without that child the caller waits, that is all.
 */
static void
let_go(int *pin)
{
	int hold[2];
	char byte;
	pid_t pid;

	if (pipe2(hold, O_CLOEXEC) < 0) {
		fd_close(pin);
		return;
	}
	pid = fork();
	if (pid == 0) {
		(void)dup2(*pin, 0);
		(void)dup2(hold[0], 1);
		(void)close_range(2, ~0U, 0);
		(void)!read(1, &byte, 1); /* ends when the other end is closed */
		_exit(0);
	}
	fd_close(&hold[0]);
	fd_close(pin);
	fd_close(&hold[1]);
}

int
rootfs_unmount(const char *dir, struct err *e)
{
	for (int i = 0; i < STACKED_MAX; i++) {
		AUTO(fd_close) int pin = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (umount2(dir, UMOUNT_NOFOLLOW | MNT_DETACH) == 0) {
			if (pin >= 0)
				let_go(&pin);
			continue;
		}
		if (errno == EINVAL || errno == ENOENT || errno == ENOTDIR)
			return 0;
		return err_sys(e, errno, "unmount %s", dir);
	}
	return err_set(e, ERR_FAILED_PRECONDITION, "unmount %s: mounted more than %d times over",
	    dir, STACKED_MAX);
}
