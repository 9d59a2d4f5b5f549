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
#include "lib/base/fs.h"
#include "lib/base/mounting.h"
#include "workers/task/shim/owners.h"

#define STACKED_MAX 1024 /* while an overlay of mapped owners is made, all its layers lie there */

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

static const char *
option_of(const Containerd__Types__Mount *m, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < m->n_options; i++)
		if (strncmp(m->options[i], key, n) == 0)
			return m->options[i] + n;
	return NULL;
}

/* Beside the folder that is written to: "owners". NULL when there is none such. */
static char *
owners_record(const Containerd__Types__Mount *m)
{
	const char *written = strcmp(m->type, "overlay") == 0 ? option_of(m, "upperdir=")
							      : m->source;
	const char *slash = written == NULL ? NULL : strrchr(written, '/');

	return slash == NULL ? NULL : xasprintf("%.*s/owners", (int)(slash - written), written);
}

/* Without the maps, and the owners changed on disk. */
static int
mount_changed(const char *path, const Containerd__Types__Mount *m, struct err *e)
{
	const char *uidmap = option_of(m, "uidmap="), *gidmap = option_of(m, "gidmap=");
	AUTO(free_ptr) const char **options = xcalloc(m->n_options + 1, sizeof(*options));
	AUTO(free_ptr) char *record = owners_record(m);
	size_t n = 0;
	int r;

	if (uidmap == NULL || gidmap == NULL || record == NULL)
		return -(int)e->code;
	*e = ERR_ZERO;
	for (size_t i = 0; i < m->n_options; i++)
		if (m->options[i] + 7 != uidmap && m->options[i] + 7 != gidmap)
			options[n++] = m->options[i];
	r = mounting_make(path, m->type, m->source, options, n, e);
	return r < 0 ? r : owners_change(path, record, uidmap, gidmap, e);
}

static int
mount_one(const char *dir, const Containerd__Types__Mount *m, struct err *e)
{
	char path[PATH_MAX];
	int r = target_of(dir, m->target, path, e);

	if (r == 0)
		r = mounting_make(
		    path, m->type, m->source, (const char *const *)m->options, m->n_options, e);
	if (r == -ERR_UNIMPLEMENTED)
		r = mount_changed(path, m, e);
	return r < 0 ? err_wrap(e, "root") : 0;
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
