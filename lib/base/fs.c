/* SPDX-License-Identifier: Apache-2.0 */
/* fs - see fs.h */
#include "lib/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"

#define READ_STEP 16384
#define DEPTH_MAX 32  /* two descriptors per level */
#define PASSES_MAX 10 /* some filesystems skip entries when others are removed meanwhile */

int
fs_mkdirs(int dirfd, const char *path, mode_t mode, struct err *e)
{
	size_t n = strlen(path);
	char part[PATH_MAX];
	struct stat st;

	while (n > 1 &&
	       path[n - 1] == '/') /* else the folder itself would be made as one on the way */
		n--;
	if (n == 0 || n >= sizeof(part))
		return err_sys(e, n == 0 ? EINVAL : ENAMETOOLONG, "make folder %s", path);
	memcpy(part, path, n);
	part[n] = '\0';
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(dirfd, part, 0755) < 0 && errno != EEXIST)
			return err_sys(e, errno, "make folder %s", part);
		*slash = '/';
	}
	if (mkdirat(dirfd, part, mode) == 0) {
		if (fchmodat(dirfd, part, mode, 0) < 0)
			return err_sys(e, errno, "set mode of %s", part);
		return 0;
	}
	if (errno != EEXIST)
		return err_sys(e, errno, "make folder %s", part);
	if (fstatat(dirfd, part, &st, 0) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_FAILED_PRECONDITION, "%s is in the way: not a folder", part);
	return 0;
}

int
fs_open_dir(int dirfd, const char *path, mode_t mode, int *ret_fd, struct err *e)
{
	int fd, r = fs_mkdirs(dirfd, path, mode, e);

	if (r < 0)
		return r;
	fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open folder %s", path);
	*ret_fd = fd;
	return 0;
}

int
fs_read_fd(int fd, size_t max, struct buf *out, struct err *e)
{
	size_t got = 0;

	if (out->limit != 0 && out->limit - out->len < max)
		max = out->limit - out->len;
	for (;;) {
		char last[1], *to = last;
		size_t step = max - got < READ_STEP ? max - got : READ_STEP;
		ssize_t n;

		if (step > 0)
			to = buf_room(out, step);
		n = read(fd, to, step > 0 ? step : sizeof(last)); /* full: is that the end? */
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read");
		if (n == 0)
			return 0;
		if (step == 0)
			return err_set(
			    e, ERR_RESOURCE_EXHAUSTED, "read: larger than %zu bytes", max);
		got += (size_t)n;
		out->len += (size_t)n;
		out->data[out->len] = '\0';
	}
}

int
fs_read(int dirfd, const char *path, size_t max, struct buf *out, struct err *e)
{
	AUTO(fd_close) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is not a regular file", path);
	if (fs_read_fd(fd, max, out, e) < 0)
		return err_wrap(e, "%s", path);
	return 0;
}

int
fs_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int
fs_write_all_at(int fd, const void *data, size_t n, uint64_t at)
{
	const char *p = data;

	while (n > 0) {
		ssize_t w = pwrite(fd, p, n, (off_t)at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		p += w;
		n -= (size_t)w;
		at += (size_t)w;
	}
	return 0;
}

int
fs_sync_dir(int dirfd, const char *path, struct err *e)
{
	AUTO(fd_close) int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_sys(e, errno, "sync folder %s", path);
	return 0;
}

/* The folder part of path into dir, "." when there is none. */
static void
parent_of(const char *path, char *dir, size_t size)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		(void)snprintf(dir, size, ".");
	else if (slash == path)
		(void)snprintf(dir, size, "/");
	else
		(void)snprintf(dir, size, "%.*s", (int)(slash - path), path);
}

int
fs_write(int dirfd, const char *path, const void *data, size_t n, mode_t mode, bool durable,
    struct err *e)
{
	char temp[PATH_MAX], dir[PATH_MAX];
	AUTO(fd_close) int fd = -1;
	uint64_t salt = 0;
	int keep;

	(void)!getrandom(
	    &salt, sizeof(salt), GRND_NONBLOCK); /* only against a leftover of the same name */
	if (snprintf(temp, sizeof(temp), "%s.%016llx.tmp", path, (unsigned long long)salt) >=
	    (int)sizeof(temp))
		return err_sys(e, ENAMETOOLONG, "write %s", path);
	fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_sys(e, errno, "create %s", temp);
	if (FAULT_FAILS("fs.write") || fs_write_all(fd, data, n) < 0 || fchmod(fd, mode) < 0 ||
	    (durable && fsync(fd) < 0) || renameat(dirfd, temp, dirfd, path) < 0) {
		keep = errno;
		(void)unlinkat(dirfd, temp, 0);
		return err_sys(e, keep, "write %s", path);
	}
	if (!durable)
		return 0;
	parent_of(path, dir, sizeof(dir));
	return fs_sync_dir(dirfd, dir, e);
}

/* One fs_remove_tree. Folders deeper than DEPTH_MAX are moved up into the top one and removed in
 * another pass: a tree of any depth costs a bounded number of descriptors and little stack. */
struct removal {
	int top;   /* the folder that is removed, -1 before it is entered */
	dev_t dev; /* its filesystem */
	unsigned depth;
	uint64_t moved; /* how many were */
};

static int remove_entry(struct removal *rm, int dirfd, const char *name, struct err *e);

/* Empties the folder behind fd as far as one reading of it shows. Takes fd. */
static int
remove_children(struct removal *rm, int fd, struct err *e)
{
	AUTO(dir_close) DIR *d = fdopendir(fd);
	struct dirent *ent;

	if (d == NULL) {
		int keep = errno;

		fd_close(&fd);
		return err_sys(e, keep, "list folder");
	}
	while ((ent = readdir(d)) != NULL) {
		int r;

		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		r = remove_entry(rm, fd, ent->d_name, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether something is mounted on the folder behind fd: another filesystem, or a bind mount, which the
 * device number does not show. */
static bool
is_mount(const struct removal *rm, int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
		return true; /* cannot tell: leave it alone */
	return (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 ||
	       makedev(stx.stx_dev_major, stx.stx_dev_minor) != rm->dev;
}

/* Moves a folder that lies too deep into the top one. */
static int
move_up(struct removal *rm, int dirfd, const char *name, struct err *e)
{
	char to[64];

	for (;;) { /* what it may replace, an empty folder, is to be removed as well */
		(void)snprintf(
		    to, sizeof(to), ".coffer-deep-%llu", (unsigned long long)rm->moved++);
		if (renameat(dirfd, name, rm->top, to) == 0 || errno == ENOENT)
			return 0;
		if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
			return err_sys(e, errno, "remove folder %s, which lies deep", name);
	}
}

/* Removes the folder behind fd, which is name in dirfd: emptied until rmdir agrees. Takes fd. */
static int
remove_folder(struct removal *rm, int dirfd, const char *name, int fd, struct err *e)
{
	AUTO(fd_close) int keep = fd;

	for (unsigned pass = 0;; pass++) {
		uint64_t moved = rm->moved;
		/* A descriptor of its own: a second reading starts at the beginning. */
		int again = openat(keep, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int r = again < 0 ? err_sys(e, errno, "open") : remove_children(rm, again, e);

		if (r < 0)
			return r;
		if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (errno != ENOTEMPTY || (pass >= PASSES_MAX && rm->moved == moved))
			return err_sys(e, errno, "remove folder %s", name);
	}
}

static int
remove_entry(struct removal *rm, int dirfd, const char *name, struct err *e)
{
	int fd, r, why;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	why = errno;
	if (why != EISDIR && why != EPERM)
		return err_sys(e, why, "remove %s", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT
			   ? 0
			   : err_sys(e, errno == ENOTDIR ? why : errno, "remove %s", name);
	if (is_mount(rm, fd)) {
		fd_close(&fd);
		return err_set(
		    e, ERR_FAILED_PRECONDITION, "remove %s: something is mounted there", name);
	}
	if (rm->depth == DEPTH_MAX) {
		fd_close(&fd);
		return move_up(rm, dirfd, name, e);
	}
	if (rm->depth == 0)
		rm->top = fd;
	rm->depth++;
	r = remove_folder(rm, dirfd, name, fd, e);
	rm->depth--;
	return r < 0 ? err_wrap(e, "%s", name) : 0;
}

int
fs_remove_tree(int dirfd, const char *path, struct err *e)
{
	AUTO(fd_close) int parent = -1;
	struct removal rm = { .top = -1 };
	const char *name = strrchr(path, '/');
	char dir[PATH_MAX];
	struct stat st;

	parent_of(path, dir, sizeof(dir));
	name = name == NULL ? path : name + 1;
	parent = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "remove %s", path);
	if (fstat(parent, &st) < 0)
		return err_sys(e, errno, "remove %s", path);
	rm.dev = st.st_dev;
	return remove_entry(&rm, parent, name, e);
}
