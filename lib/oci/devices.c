/* SPDX-License-Identifier: Apache-2.0 */
/* devices - see devices.h */
#include "lib/oci/devices.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

#define DEPTH_MAX 8

static bool
skipped(const char *name)
{
	static const char *const names[] = { ".", "..", "pts", "shm", "fd", "mqueue", "console",
		"ptmx", "tty", "null", "zero", "full", "random", "urandom", "hugepages", ".lxc",
		".udev" };

	for (size_t i = 0; i < COUNT(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void
add_node(json_t *list, const char *path, const struct stat *st)
{
	(void)json_array_append_new(list,
	    json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "path", path, "type",
		S_ISBLK(st->st_mode) ? "b" : "c", "major", (json_int_t)major(st->st_rdev), "minor",
		(json_int_t)minor(st->st_rdev), "fileMode", (json_int_t)(st->st_mode & 07777),
		"uid", (json_int_t)st->st_uid, "gid", (json_int_t)st->st_gid));
}

static void
walk(json_t *list, int at, const char *name, const char *path, unsigned depth)
{
	AUTO(fd_close) int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	AUTO(dir_close) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (dir == NULL)
		return;
	(void)fd_take(&fd); /* dir has it */
	while ((d = readdir(dir)) != NULL && json_array_size(list) < OCI_DEVICES_MAX) {
		char below[PATH_MAX];
		struct stat st;

		if (skipped(d->d_name) ||
		    fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, d->d_name) >= (int)sizeof(below))
			continue;
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			walk(list, dirfd(dir), d->d_name, below, depth + 1);
		else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
			add_node(list, below, &st);
	}
}

json_t *
oci_devices_host(void)
{
	json_t *list = json_array();

	walk(list, AT_FDCWD, "/dev", "/dev", 0);
	return list;
}
