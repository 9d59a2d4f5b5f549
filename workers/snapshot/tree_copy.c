/* SPDX-License-Identifier: Apache-2.0 */
/* tree_copy - see tree_copy.h */
#include "workers/snapshot/tree_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/inodes.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/tree.h"
#include "workers/snapshot/xattrs.h"

#define DEPTH_MAX 2000 /* no path reaches deeper */

struct copy {
	int top;     /* where paths start */
	bool clones; /* FICLONE has not failed yet */
	char *path;  /* of the folder in hand, from top; PATH_MAX bytes */
	struct inodes linked;
	struct xattrs xattrs;
};

/* --- attributes ---------------------------------------------------------------------------------- */

/* Where it is, and its descriptor when it has one: what is neither a file nor a folder has none. */
struct thing {
	int dir;
	const char *name;
	int fd;
};

static int
copy_xattrs(struct copy *c, const struct thing *from, const struct thing *to, struct err *e)
{
	int r = xattrs_read(&c->xattrs, from->dir, from->name, e);

	if (r == 0 && fchdir(to->dir) < 0)
		r = err_sys(e, errno, "enter its folder");
	for (unsigned i = 0; r == 0 && i < c->xattrs.n; i++) {
		const struct layer_xattr *x = &c->xattrs.v[i];

		if (lsetxattr(to->name, x->name, x->value, x->n, 0) < 0)
			r = err_sys(e, errno, "copy attribute %s", x->name);
	}
	return r;
}

/* Owner before mode, which it clears; times last. */
static int
copy_looks(struct copy *c, const struct thing *from, const struct thing *to, const struct stat *st,
    struct err *e)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	bool link = S_ISLNK(st->st_mode);
	int r;

	r = to->fd >= 0 ? fchown(to->fd, st->st_uid, st->st_gid)
			: fchownat(to->dir, to->name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW);
	if (r == 0 && !link)
		r = to->fd >= 0 ? fchmod(to->fd, st->st_mode & 07777)
				: fchmodat(to->dir, to->name, st->st_mode & 07777, 0);
	if (r < 0)
		return err_sys(e, errno, "set owner and mode");
	r = copy_xattrs(c, from, to, e);
	if (r < 0)
		return r;
	r = to->fd >= 0 ? futimens(to->fd, times)
			: utimensat(to->dir, to->name, times, AT_SYMLINK_NOFOLLOW);
	return r < 0 ? err_sys(e, errno, "set times") : 0;
}

/* --- files with several names ---------------------------------------------------------------------- */

/* Links name to the copy that is there already: 1; else notes it as the first: 0. */
static int
linked_again(struct copy *c, const struct stat *st, int to, const char *name, struct err *e)
{
	bool first;
	struct inode_seen *s = inodes_meet(&c->linked, st, &first);

	if (!first)
		return linkat(c->top, s->path, to, name, 0) < 0
			   ? err_sys(e, errno, "make hard link")
			   : 1;
	s->path = xasprintf("%s%s%s", c->path, c->path[0] == '\0' ? "" : "/", name);
	return 0;
}

/* --- contents -------------------------------------------------------------------------------------- */

/* Bytes [at, end). */
static int
copy_range(int from, int to, off_t at, off_t end, struct err *e)
{
	while (at < end) {
		off_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "copy");
		if (n == 0)
			return err_set(e, ERR_DATA_LOSS, "the file became shorter");
		at += n;
	}
	return 0;
}

static int
copy_bytes(struct copy *c, int from, int to, off_t size, struct err *e)
{
	off_t at = 0, end;
	int r;

	if (size == 0)
		return 0;
	if (c->clones && ioctl(to, FICLONE, from) == 0)
		return 0;
	c->clones = false;
	if (ftruncate(to, size) < 0)
		return err_sys(e, errno, "set size %lld", (long long)size);
	while ((at = lseek(from, at, SEEK_DATA)) >= 0 && at < size) {
		end = lseek(from, at, SEEK_HOLE);
		if (end < 0 || end > size)
			end = size;
		r = copy_range(from, to, at, end, e);
		if (r < 0)
			return r;
		at = end;
	}
	return at < 0 && errno != ENXIO ? err_sys(e, errno, "find data") : 0;
}

static int
copy_file(struct copy *c, int dir, int to, const char *name, const struct stat *st, struct err *e)
{
	AUTO(fd_close) int in = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO(fd_close)
	int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (in < 0 || out < 0)
		return err_sys(e, errno, "open file");
	r = copy_bytes(c, in, out, st->st_size, e);
	return r < 0 ? r
		     : copy_looks(c, &(struct thing){ dir, name, in },
			   &(struct thing){ to, name, out }, st, e);
}

static int
copy_special(
    struct copy *c, int dir, int to, const char *name, const struct stat *st, struct err *e)
{
	const struct thing from = { dir, name, -1 }, there = { to, name, -1 };
	char target[PATH_MAX];
	ssize_t n;

	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(dir, name, target, sizeof(target) - 1);
		if (n < 0)
			return err_sys(e, errno, "read link");
		target[n] = '\0';
		if (symlinkat(target, to, name) < 0)
			return err_sys(e, errno, "make link");
	} else if (mknodat(to, name, (st->st_mode & S_IFMT) | 0600, st->st_rdev) < 0) {
		return err_sys(e, errno, "make node");
	}
	return copy_looks(c, &from, &there, st, e);
}

/* --- walking --------------------------------------------------------------------------------------- */

/* The folder behind dir as a list that closes a descriptor of its own; NULL with e. */
static DIR *
list_of(int dir, struct err *e)
{
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);

	if (d == NULL) {
		(void)err_sys(e, errno, "list folder");
		fd_close(&again);
	}
	return d;
}

/* The next name but . and .., NULL at the end. */
static const char *
list_next(DIR *d)
{
	struct dirent *ent;

	while ((ent = readdir(d)) != NULL)
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			return ent->d_name;
	return NULL;
}

static int
folder_open(int dir, const char *name, struct err *e)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? err_sys(e, errno, "open folder") : fd;
}

typedef int
entry_fn(struct copy *c, int from, int to, const char *name, unsigned depth, struct err *e);

/* Calls each for all that is in from, then makes to look like it: as it was before, since what is moved out
 * of a folder changes its times. */
static int
walk_folder(struct copy *c, int from, int to, unsigned depth, entry_fn *each, struct err *e)
{
	AUTO(dir_close) DIR *d = list_of(from, e);
	const char *name;
	struct stat st;
	int r = 0;

	if (d == NULL)
		return -(int)e->code;
	if (depth > DEPTH_MAX)
		return err_sys(e, ENAMETOOLONG, "go into folder");
	if (fstat(from, &st) < 0)
		return err_sys(e, errno, "look at folder");
	while (r == 0 && (name = list_next(d)) != NULL)
		r = each(c, from, to, name, depth, e);
	if (r < 0)
		return r;
	return copy_looks(
	    c, &(struct thing){ from, ".", from }, &(struct thing){ to, ".", to }, &st, e);
}

static entry_fn copy_entry;

/* A folder below: its name goes to the path meanwhile. */
static int
copy_below(struct copy *c, int from, int to, const char *name, unsigned depth, struct err *e)
{
	size_t was = strlen(c->path);
	AUTO(fd_close) int in = folder_open(from, name, e);
	AUTO(fd_close) int out = -1;
	int r;

	if (in < 0)
		return in;
	if (mkdirat(to, name, 0700) < 0)
		return err_sys(e, errno, "make folder");
	out = folder_open(to, name, e);
	if (out < 0)
		return out;
	if (was + strlen(name) + 2 > PATH_MAX)
		return err_sys(e, ENAMETOOLONG, "copy folder");
	(void)snprintf(c->path + was, PATH_MAX - was, "%s%s", was == 0 ? "" : "/", name);
	r = walk_folder(c, in, out, depth + 1, copy_entry, e);
	c->path[was] = '\0';
	return r;
}

static int
copy_entry(struct copy *c, int from, int to, const char *name, unsigned depth, struct err *e)
{
	struct stat st;
	int r = 0;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "look at it");
	if (S_ISDIR(st.st_mode))
		return copy_below(c, from, to, name, depth, e);
	if (st.st_nlink > 1)
		r = linked_again(c, &st, to, name, e);
	if (r != 0)
		return r < 0 ? r : 0;
	return S_ISREG(st.st_mode) ? copy_file(c, from, to, name, &st, e)
				   : copy_special(c, from, to, name, &st, e);
}

static struct copy *
copy_new(int top)
{
	struct copy *c = xcalloc(1, sizeof(*c));

	c->top = top;
	c->clones = true;
	c->path = xcalloc(1, PATH_MAX);
	return c;
}

static void
copy_free(struct copy **c)
{
	inodes_free(&(*c)->linked);
	free((*c)->path);
	xattrs_free(&(*c)->xattrs);
	free_ptr(c);
}

int
tree_copy(int from, int to, struct err *e)
{
	AUTO(copy_free) struct copy *c = copy_new(to);
	int r = walk_folder(c, from, to, 0, copy_entry, e);

	return r < 0 && c->path[0] != '\0' ? err_wrap(e, "%.200s", c->path) : r;
}

/* --- layers ---------------------------------------------------------------------------------------- */

/* Whatever name is in to, it goes. */
static int
clear(int to, const char *name, struct err *e)
{
	AUTO(fd_close) int fd = -1;
	int r;

	if (unlinkat(to, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return err_sys(e, errno, "remove what was below");
	fd = folder_open(to, name, e);
	if (fd < 0)
		return fd;
	r = tree_empty(fd, e);
	if (r == 0 && unlinkat(to, name, AT_REMOVEDIR) < 0)
		r = err_sys(e, errno, "remove what was below");
	return r;
}

/* What the folder had from below is not what the layer's has, nor what is made in it. */
static int
drop_xattrs(struct copy *c, int folder, struct err *e)
{
	int r = xattrs_read(&c->xattrs, folder, ".", e);

	for (unsigned i = 0; r == 0 && i < c->xattrs.n; i++)
		if (fremovexattr(folder, c->xattrs.v[i].name) < 0)
			r = err_sys(e, errno, "remove attribute %s", c->xattrs.v[i].name);
	return r;
}

static entry_fn apply_entry;

static int
apply_below(struct copy *c, int layer, int to, const char *name, unsigned depth, struct err *e)
{
	AUTO(fd_close) int in = folder_open(layer, name, e);
	AUTO(fd_close) int out = -1;
	struct stat st;
	int r = 0;

	if (in < 0)
		return in;
	if (merged_opaque(in) ||
	    (fstatat(to, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)))
		r = clear(to, name, e);
	if (r < 0)
		return r;
	if (mkdirat(to, name, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make folder");
	out = folder_open(to, name, e);
	if (out < 0)
		return out;
	r = drop_xattrs(c, out, e);
	return r < 0 ? r : walk_folder(c, in, out, depth + 1, apply_entry, e);
}

static int
apply_entry(struct copy *c, int layer, int to, const char *name, unsigned depth, struct err *e)
{
	struct stat st;
	int r;

	if (fstatat(layer, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "look at it");
	if (S_ISDIR(st.st_mode))
		return apply_below(c, layer, to, name, depth, e);
	r = clear(to, name, e);
	if (r < 0 || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0)))
		return r;
	return renameat(layer, name, to, name) < 0 ? err_sys(e, errno, "move it") : 0;
}

int
tree_apply(int layer, int to, struct err *e)
{
	AUTO(copy_free) struct copy *c = copy_new(to);
	int r = drop_xattrs(c, to, e);

	return r < 0 ? r : walk_folder(c, layer, to, 0, apply_entry, e);
}
