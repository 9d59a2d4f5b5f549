/* SPDX-License-Identifier: Apache-2.0 */
/* settle_folder - see settle.h: a layer that is a folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/settle.h"

#define XATTR_NAMES_MAX (64 * 1024)
#define XATTR_VALUE_MAX (64 * 1024)

static int
open_plain(int dir, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static int
copy_xattrs(int from, int to, struct err *e)
{
	AUTO(free_ptr) char *names = xcalloc(1, XATTR_NAMES_MAX);
	AUTO(free_ptr) char *value = xcalloc(1, XATTR_VALUE_MAX);
	ssize_t n = flistxattr(from, names, XATTR_NAMES_MAX);

	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		const char *name = names + at;
		ssize_t len;

		if (strncmp(name, "trusted.", 8) == 0 || strncmp(name, "user.overlay.", 13) == 0)
			continue;
		len = fgetxattr(from, name, value, XATTR_VALUE_MAX);
		if (len >= 0 && fsetxattr(to, name, value, (size_t)len, 0) < 0 &&
		    errno != ENOTSUP &&
		    strncmp(name, "security.", 9) != 0) /* labels are the host's affair */
			return err_sys(e, errno, "set attribute %s", name);
	}
	return 0;
}

static int
copy_meta(int from, int to, struct err *e)
{
	struct timespec times[2];
	struct stat st;

	if (fstat(from, &st) < 0)
		return err_sys(e, errno, "look at it below");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	if (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0)
		return err_sys(e, errno, "set owner and mode");
	if (copy_xattrs(from, to, e) < 0)
		return -(int)e->code;
	return futimens(to, times) < 0 ? err_sys(e, errno, "set times") : 0;
}

/* Splits path into the folder it is in (opened below top) and its last component. */
static int
open_parent(int top, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 1 : (int)(slash - path),
	    slash == NULL ? "." : path);
	*ret_name = slash == NULL ? path : slash + 1;
	return open_plain(top, dir, O_RDONLY | O_DIRECTORY);
}

/* A folder above it in its own layer is opaque: nothing below shows. */
static bool
hidden(int folder, const char *path)
{
	AUTO(fd_close) int fd = -1;
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
	return merged_look(folder, dir, &fd) != MERGED_HERE;
}

static int
folder_of(const struct settled *l)
{
	return ((const struct settled_folder *)l)->fd; /* its first member */
}

static bool
shows(struct settled *l, const char *path)
{
	AUTO(fd_close) int fd = open_plain(folder_of(l), path, O_RDONLY | O_DIRECTORY);

	return fd >= 0 && !hidden(folder_of(l), path);
}

static int
like(struct settled *l, const char *path, int from, struct err *e)
{
	AUTO(fd_close) int to = open_plain(folder_of(l), path, O_RDONLY | O_DIRECTORY);

	return to < 0 ? err_sys(e, errno, "open /%s", path) : copy_meta(from, to, e);
}

static int
make(struct settled *l, const char *path, struct err *e)
{
	const char *name;
	AUTO(fd_close) int dir = open_parent(folder_of(l), path, &name);

	if (dir < 0)
		return err_sys(e, errno, "open the folder of %s", path);
	if (mkdirat(dir, name, 0755) < 0)
		return errno == EEXIST ? 1 : err_sys(e, errno, "make %s", path);
	if (fchownat(dir, name, 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "make %s", path);
	return 0;
}

/* Moves what is in the folder from into the folder to (both taken); folders of both are merged, of
 * anything else the one that is there stays. */
static int
move_all(int from, int to, unsigned depth, struct err *e)
{
	AUTO(fd_close) int target = to;
	AUTO(dir_close) DIR *d = fdopendir(from);
	struct dirent *ent;
	int r = 0;

	if (d == NULL) {
		fd_close(&from);
		return err_sys(e, ENOMEM, "list folder");
	}
	while (r == 0 && (ent = readdir(d)) != NULL) {
		const char *name = ent->d_name;
		int a, b;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (renameat2(from, name, target, name, RENAME_NOREPLACE) == 0)
			continue;
		if (errno != EEXIST || depth == 0)
			return err_sys(e, errno, "move %s", name);
		a = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		b = openat(target, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (a >= 0 && b >= 0) {
			r = move_all(a, b, depth - 1, e);
			if (r == 0)
				(void)unlinkat(
				    from, name, AT_REMOVEDIR); /* else the parent's fails */
			continue;
		}
		fd_close(&a);
		fd_close(&b);
		if (unlinkat(from, name, 0) < 0)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "%s is a folder and something else under two names of its folder",
			    name);
	}
	return r;
}

static int
move(struct settled *l, const char *path, const char *real, struct err *e)
{
	const char *name;
	AUTO(fd_close) int dir = open_parent(folder_of(l), path, &name);
	int from = open_plain(folder_of(l), path, O_RDONLY | O_DIRECTORY), r;
	int to = open_plain(folder_of(l), real[0] == '\0' ? "." : real, O_RDONLY | O_DIRECTORY);
	struct timespec times[2];
	struct stat st;

	if (dir < 0 || from < 0 || to < 0 || fstat(dir, &st) < 0) {
		r = err_sys(e, errno, "open /%s, where /%s leads below", real, path);
		fd_close(&from);
		fd_close(&to);
		return r;
	}
	r = move_all(from, to, PATH_MAX / 2, e);
	if (r == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0)
		r = err_sys(e, errno, "remove /%s", path);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	(void)futimens(dir, times); /* its folder was not changed by the archive */
	return r;
}

static int
finish(struct settled *l, struct err *e)
{
	return syncfs(folder_of(l)) < 0 ? err_sys(e, errno, "bring the layer to disk") : 0;
}

static const struct settled_ops ops = {
	.shows = shows, .like = like, .make = make, .move = move, .finish = finish
};

struct settled_folder
settled_folder(int folder)
{
	return (struct settled_folder){ .settled = { .ops = &ops }, .fd = folder };
}
