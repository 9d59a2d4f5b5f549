/* SPDX-License-Identifier: Apache-2.0 */
/* tree_walk - finding and making the folders on the way to an entry, and clearing its place. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/tree_impl.h"

#define LINKS_MAX 40

int
tree_open(int root, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long r;

	do
		r = syscall(SYS_openat2, root, *path == '\0' ? "." : path, &how, sizeof(how));
	while (
	    r < 0 && errno == EAGAIN); /* a rename somewhere on this filesystem: looked up again */
	return (int)r;
}

/* The slow way to a folder: component by component, making what is missing. */
struct walk {
	struct tree *t;
	int fd;		     /* the folder reached */
	char real[PATH_MAX]; /* its path, free of links */
	size_t real_len;
	char rest[2 * PATH_MAX]; /* what is still to be walked */
	unsigned links;
};

static int
walk_root(struct walk *w, struct err *e)
{
	fd_close(&w->fd);
	w->fd = tree_open(w->t->root, "");
	w->real_len = 0;
	w->real[0] = '\0';
	return w->fd < 0 ? err_sys(e, errno, "open the layer's root") : 0;
}

static int
walk_up(struct walk *w, struct err *e)
{
	while (w->real_len > 0 && w->real[--w->real_len] != '/')
		;
	w->real[w->real_len] = '\0';
	fd_close(&w->fd);
	w->fd = tree_open(w->t->root, w->real); /* no links in it */
	return w->fd < 0 ? err_sys(e, errno, "open %s", w->real) : 0;
}

/* Puts the target of a link in front of what is still to be walked. */
static int
walk_link(struct walk *w, const char *name, struct err *e)
{
	char target[PATH_MAX], rest[sizeof(w->rest)];
	ssize_t n = readlinkat(w->fd, name, target, sizeof(target) - 1);

	if (n < 0)
		return err_sys(e, errno, "read link %s", name);
	target[n] = '\0';
	if (++w->links > LINKS_MAX)
		return err_sys(e, ELOOP, "find its folder");
	if (snprintf(rest, sizeof(rest), "%s/%s", target, w->rest) >= (int)sizeof(rest))
		return err_sys(e, ENAMETOOLONG, "find its folder");
	memcpy(w->rest, rest, sizeof(rest));
	return target[0] == '/' ? walk_root(w, e) : 0;
}

static int
implied_add(struct tree *t, ino_t ino, const char *path, struct err *e)
{
	if (t->nimplied == TREE_IMPLIED_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "more than %d folders that the archive uses without naming them",
		    TREE_IMPLIED_MAX);
	if (t->nimplied == t->implied_room) {
		t->implied_room = t->implied_room == 0 ? 16 : t->implied_room * 2;
		t->implied = xrealloc(t->implied, t->implied_room * sizeof(*t->implied));
	}
	t->implied[t->nimplied++] = (struct implied){ .ino = ino, .path = xstrdup(path) };
	return 0;
}

void
tree_named(struct tree *t, ino_t ino)
{
	for (unsigned i = 0; i < t->nimplied;) {
		if (t->implied[i].ino != ino) {
			i++;
			continue;
		}
		free(t->implied[i].path);
		t->implied[i] = t->implied[--t->nimplied];
	}
}

static int
walk_into(struct walk *w, const char *name, struct err *e)
{
	size_t len = strlen(name);
	int fd = openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (w->real_len + len + 2 > sizeof(w->real)) {
		fd_close(&fd);
		return err_sys(e, ENAMETOOLONG, "find its folder");
	}
	if (w->real_len > 0)
		w->real[w->real_len++] = '/';
	memcpy(w->real + w->real_len, name, len + 1);
	w->real_len += len;
	fd_close(&w->fd);
	w->fd = fd;
	return 0;
}

/* Makes the missing folder name and goes there. */
static int
walk_make(struct walk *w, const char *name, bool opaque, struct err *e)
{
	struct stat st;

	if (mkdirat(w->fd, name, 0755) < 0)
		return err_sys(e, errno, "make folder %s", name);
	if (walk_into(w, name, e) < 0)
		return e->code != ERR_NONE ? -(int)e->code
					   : err_sys(e, errno, "open folder %s", name);
	if (opaque && fsetxattr(w->fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return err_sys(e, errno, "mark folder %s opaque", name);
	if (fstat(w->fd, &st) < 0 || fchown(w->fd, 0, 0) < 0 || fchmod(w->fd, 0755) < 0)
		return err_sys(e, errno, "set owner of %s", name);
	tree_disinherit(w->t, w->fd);
	w->t->usage.inodes++;
	w->t->usage.bytes += 4096;
	if (opaque)
		return 0; /* this layer removed the one below: there is nothing to take over */
	return implied_add(w->t, st.st_ino, w->real, e);
}

static int
walk_step(struct walk *w, const char *name, struct err *e)
{
	bool whiteout = false;
	struct stat st;
	int r;

	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0)
		return walk_up(w, e);
	e->code = ERR_NONE;
	if (walk_into(w, name, e) == 0)
		return 0;
	if (e->code != ERR_NONE)
		return -(int)e->code;
	if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		return err_sys(e, errno, "open folder %s", name);
	if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return err_sys(e, errno, "look at %s", name);
		return walk_make(w, name, false, e);
	}
	if (S_ISLNK(st.st_mode))
		return walk_link(w, name, e);
	r = tree_remove(w->t, w->fd, name, &whiteout, e); /* not a folder: the archive says it is */
	return r < 0 ? r : walk_make(w, name, whiteout, e);
}

/* Opens the folder path, making what is missing. */
int
tree_resolve(struct tree *t, const char *path, int *ret_fd, struct err *e)
{
	struct walk w = { .t = t, .fd = -1 };
	char part[NAME_MAX + 1];
	int r;

	*ret_fd = tree_open(t->root, path);
	if (*ret_fd >= 0)
		return 0;
	if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		return err_sys(e, errno, "open its folder");
	(void)snprintf(w.rest, sizeof(w.rest), "%s", path);
	r = walk_root(&w, e);
	while (r == 0 && w.rest[0] != '\0') {
		size_t skip = strspn(w.rest, "/"), len = strcspn(w.rest + skip, "/");

		if (len > NAME_MAX) {
			r = err_sys(e, ENAMETOOLONG, "find its folder");
			break;
		}
		memcpy(part, w.rest + skip, len);
		part[len] = '\0';
		memmove(w.rest, w.rest + skip + len, strlen(w.rest + skip + len) + 1);
		if (len > 0)
			r = walk_step(&w, part, e);
	}
	if (r < 0) {
		fd_close(&w.fd);
		return r;
	}
	*ret_fd = w.fd;
	return 0;
}

int
tree_at(struct tree *t, const char *path, struct tree_at *ret, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	int fd, r;

	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
	ret->name = slash == NULL ? path : slash + 1;
	if (t->dir < 0 || t->dir_stale || strcmp(dir, t->dir_path) != 0) {
		r = tree_resolve(t, dir, &fd, e);
		if (r < 0)
			return r;
		fd_close(&t->dir);
		t->dir = fd;
		t->dir_stale = false;
		memcpy(t->dir_path, dir, sizeof(dir));
	}
	ret->dir = t->dir;
	return 0;
}

int
tree_remove(struct tree *t, int dir, const char *name, bool *was_whiteout, struct err *e)
{
	AUTO(fd_close) int fd = -1;
	struct stat st;
	int r;

	*was_whiteout = false;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "look at what it replaces");
	if (!S_ISDIR(st.st_mode)) {
		uint64_t bytes = S_ISREG(st.st_mode) ? ((uint64_t)st.st_size + 4095) / 4096 * 4096
						     : 0;

		*was_whiteout = S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
		if (unlinkat(dir, name, 0) < 0)
			return err_sys(e, errno, "remove what it replaces");
		t->dir_stale |= S_ISLNK(st.st_mode);
		if (st.st_nlink == 1) {
			t->usage.inodes--;
			t->usage.bytes -= bytes < t->usage.bytes ? bytes : t->usage.bytes;
		}
		return 0;
	}
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "remove what it replaces");
	tree_named(t, st.st_ino);
	r = tree_empty(fd, e);
	if (r < 0)
		return r;
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0)
		return err_sys(e, errno, "remove what it replaces");
	t->dir_stale = t->recount = true;
	return 0;
}
