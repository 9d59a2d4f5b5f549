/* SPDX-License-Identifier: Apache-2.0 */
/* tree - see tree.h: making entries and setting their attributes. */
#include "workers/snapshot/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/snapshot/tree_impl.h"

#define OPAQUE "trusted.overlay.opaque"
#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

struct folder_time {
	struct timespec times[2];
	size_t path_len; /* the path follows, with its NUL */
};

static const struct sink_ops ops;

struct tree *
tree_new(int root, size_t held_max)
{
	struct tree *t = xcalloc(1, sizeof(*t));

	t->sink.ops = &ops;
	t->root = root;
	t->dir = t->file = -1;
	t->times = BUF_LIMIT(held_max);
	t->usage.inodes = 1;
	t->usage.bytes = 4096;
	return t;
}

void
tree_free(struct tree **t)
{
	if (*t == NULL)
		return;
	fd_close(&(*t)->dir);
	fd_close(&(*t)->file);
	for (unsigned i = 0; i < (*t)->nimplied; i++)
		free((*t)->implied[i].path);
	free((*t)->implied);
	buf_free(&(*t)->times);
	free(*t);
	*t = NULL;
}

static struct tree *
tree_of(struct sink *s)
{
	return (struct tree *)s; /* its first member */
}

struct sink *
tree_sink(struct tree *t)
{
	return &t->sink;
}

/* --- attributes ---------------------------------------------------------------------------------- */

/* Filesystems refuse user attributes for reasons of their own; other attributes mean something. */
static bool
xattr_dispensable(const char *name, int errnum)
{
	return strncmp(name, "user.", 5) == 0 && (errnum == ENOTSUP || errnum == EPERM);
}

static int
xattr_failed(struct tree *t, const struct layer_xattr *x, struct err *e)
{
	if (xattr_dispensable(x->name, errno)) {
		t->usage.xattrs_skipped++;
		return 0;
	}
	return err_sys(e, errno, "set attribute %s (%zu bytes)", x->name, x->n);
}

void
tree_disinherit(const struct tree *t, int fd)
{
	if (!t->acls)
		return;
	(void)fremovexattr(fd, ACL_ACCESS); /* most have none */
	(void)fremovexattr(fd, ACL_DEFAULT);
}

/* Attributes of an open file or folder; fresh: it was made just now with no special bits. */
static int
set_meta_fd(struct tree *t, int fd, const struct layer_meta *m, struct err *e)
{
	if (fchown(fd, m->uid, m->gid) < 0)
		return err_sys(e, errno, "set owner %u:%u", m->uid, m->gid);
	if (fchmod(fd, m->mode) < 0) /* behind the owner: changing that clears setuid and setgid */
		return err_sys(e, errno, "set mode %04o", m->mode);
	tree_disinherit(t, fd);
	for (unsigned i = 0; i < m->nxattrs; i++) {
		const struct layer_xattr *x = &m->xattrs[i];

		t->acls = t->acls || strcmp(x->name, ACL_DEFAULT) == 0;
		if (fsetxattr(fd, x->name, x->value, x->n, 0) < 0 && xattr_failed(t, x, e) < 0)
			return -(int)e->code;
	}
	return 0;
}

/* Attributes of what can't be opened: links, devices, pipes. */
static int
set_meta_at(
    struct tree *t, const struct tree_at *at, bool link, const struct layer_meta *m, struct err *e)
{
	struct timespec times[2] = { m->atime, m->mtime };

	if (fchownat(at->dir, at->name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "set owner %u:%u", m->uid, m->gid);
	/* Made an instant ago under this name by us, and nobody else writes here: not a link. */
	if (!link && fchmodat(at->dir, at->name, m->mode, 0) < 0)
		return err_sys(e, errno, "set mode %04o", m->mode);
	if ((m->nxattrs > 0 || t->acls) && fchdir(at->dir) < 0)
		return err_sys(e, errno, "enter its folder");
	if (t->acls && !link)
		(void)lremovexattr(at->name, ACL_ACCESS);
	for (unsigned i = 0; i < m->nxattrs; i++) {
		const struct layer_xattr *x = &m->xattrs[i];

		if (lsetxattr(at->name, x->name, x->value, x->n, 0) < 0 &&
		    xattr_failed(t, x, e) < 0)
			return -(int)e->code;
	}
	if (utimensat(at->dir, at->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "set times");
	return 0;
}

/* Folders get their times last: what is put into them changes them. */
static int
time_later(struct tree *t, const char *path, const struct layer_meta *m, struct err *e)
{
	struct folder_time f = { .times = { m->atime, m->mtime }, .path_len = strlen(path) };

	if (buf_add(&t->times, &f, sizeof(f)) < 0 || buf_add(&t->times, path, f.path_len + 1) < 0)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "too many folders: their times need more "
		    "than %zu bytes of memory",
		    t->times.limit);
	return 0;
}

/* --- entries ------------------------------------------------------------------------------------- */

/* Finds the place for a new entry; the root can't be replaced. */
static int
place(struct tree *t, const char *path, struct tree_at *at, struct err *e)
{
	if (*path == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "would replace the root folder");
	return tree_at(t, path, at, e);
}

static void
count(struct tree *t, uint64_t bytes)
{
	t->usage.inodes++;
	t->usage.bytes += (bytes + 4095) / 4096 * 4096;
}

/* mkdirat, replacing what is no folder. A folder over a whiteout hides what was below. */
static int
make_folder(struct tree *t, const struct tree_at *at, bool *opaque, struct err *e)
{
	struct stat st;
	int r;

	*opaque = false;
	if (mkdirat(at->dir, at->name, 0700) == 0) {
		count(t, 4096);
		return 0;
	}
	if (errno != EEXIST)
		return err_sys(e, errno, "make folder");
	if (fstatat(at->dir, at->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "look at what it replaces");
	if (S_ISDIR(st.st_mode)) {
		tree_named(t, st.st_ino);
		return 0;
	}
	r = tree_remove(t, at->dir, at->name, opaque, e);
	if (r < 0)
		return r;
	if (mkdirat(at->dir, at->name, 0700) < 0)
		return err_sys(e, errno, "make folder");
	count(t, 4096);
	return 0;
}

static int
root_meta(struct tree *t, const struct layer_meta *m, struct err *e)
{
	int r = set_meta_fd(t, t->root, m, e);

	return r < 0 ? r : time_later(t, "", m, e);
}

static int
tree_folder(struct sink *s, const char *path, const struct layer_meta *m, struct err *e)
{
	struct tree *t = tree_of(s);
	AUTO(fd_close) int fd = -1;
	struct tree_at at;
	bool opaque;
	int r;

	if (*path == '\0')
		return root_meta(t, m, e);
	r = tree_at(t, path, &at, e);
	if (r < 0)
		return r;
	r = make_folder(t, &at, &opaque, e);
	if (r < 0)
		return r;
	fd = openat(at.dir, at.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open folder");
	r = set_meta_fd(t, fd, m, e);
	if (r < 0)
		return r;
	if (opaque && fsetxattr(fd, OPAQUE, "y", 1, 0) < 0)
		return err_sys(e, errno, "mark opaque");
	return time_later(t, path, m, e);
}

/* Calls make until it does not meet an entry of that name any more: twice at most. */
#define REPLACING(t, at, what, e, make)                                                    \
	({                                                                                 \
		int r_ = (make);                                                           \
		bool was_whiteout_;                                                        \
                                                                                           \
		if (r_ < 0 && errno == EEXIST) {                                           \
			r_ = tree_remove((t), (at)->dir, (at)->name, &was_whiteout_, (e)); \
			if (r_ == 0) {                                                     \
				r_ = (make);                                               \
				if (r_ < 0)                                                \
					(void)err_sys((e), errno, "%s", (what));           \
			}                                                                  \
		} else if (r_ < 0) {                                                       \
			(void)err_sys((e), errno, "%s", (what));                           \
		}                                                                          \
		r_ < 0 ? -(int)(e)->code : r_;                                             \
	})

static int
tree_symlink(
    struct sink *s, const char *path, const char *target, const struct layer_meta *m, struct err *e)
{
	struct tree *t = tree_of(s);
	struct tree_at at;
	int r = place(t, path, &at, e);

	if (r < 0)
		return r;
	if (*target == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "a link to nothing");
	r = REPLACING(t, &at, "make link", e, symlinkat(target, at.dir, at.name));
	if (r < 0)
		return r;
	count(t, 0);
	return set_meta_at(t, &at, true, m, e);
}

static int
tree_node(struct sink *s, const char *path, mode_t type, dev_t dev, const struct layer_meta *m,
    struct err *e)
{
	struct tree *t = tree_of(s);
	struct tree_at at;
	int r = place(t, path, &at, e);

	if (r < 0)
		return r;
	r = REPLACING(t, &at, "make node", e, mknodat(at.dir, at.name, type | 0600, dev));
	if (r < 0)
		return r;
	count(t, 0);
	return set_meta_at(t, &at, false, m, e);
}

static int
tree_file(struct sink *s, const char *path, uint64_t size, struct err *e)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	struct tree *t = tree_of(s);
	struct tree_at at;
	int r = place(t, path, &at, e);

	if (r < 0)
		return r;
	r = REPLACING(t, &at, "make file", e, openat(at.dir, at.name, flags, 0600));
	if (r < 0)
		return r;
	fd_close(&t->file);
	t->file = r;
	t->file_size = size;
	t->file_end = t->file_bytes = 0;
	return 0;
}

static int
tree_data(struct sink *s, const void *p, size_t n, uint64_t at, struct err *e)
{
	struct tree *t = tree_of(s);

	t->file_end = at + n;
	t->file_bytes += n;
	return fs_write_all_at(t->file, p, n, at) < 0 ? err_sys(e, errno, "write") : 0;
}

static int
tree_file_done(struct sink *s, const struct layer_meta *m, struct err *e)
{
	struct timespec times[2] = { m->atime, m->mtime };
	struct tree *t = tree_of(s);
	int r;

	if (t->file_end < t->file_size && ftruncate(t->file, (off_t)t->file_size) < 0)
		return err_sys(e, errno, "set size %llu", (unsigned long long)t->file_size);
	r = set_meta_fd(t, t->file, m, e);
	if (r < 0)
		return r;
	if (futimens(t->file, times) < 0)
		return err_sys(e, errno, "set times");
	fd_close(&t->file);
	count(t, t->file_bytes);
	return 0;
}

static int
tree_link(struct sink *s, const char *path, const char *target, struct err *e)
{
	struct tree *t = tree_of(s);
	AUTO(fd_close) int from = -1;
	struct tree_at at, source;
	struct stat st, there;
	int r;

	if (*path == '\0' || *target == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "a hard link from or to the root folder");
	r = tree_at(t, target, &source, e);
	if (r < 0)
		return r;
	from = fcntl(source.dir, F_DUPFD_CLOEXEC, 0); /* the next tree_at ends source.dir */
	if (from < 0)
		return err_sys(e, errno, "open folder of %s", target);
	if (fstatat(from, source.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(e, ERR_NOT_FOUND, "hard link to a file that is not in this layer");
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID_ARGUMENT, "hard link to a folder");
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
		return err_set(e, ERR_NOT_FOUND, "hard link to a file that is not in this layer");
	r = tree_at(t, path, &at, e);
	if (r < 0)
		return r;
	if (fstatat(at.dir, at.name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    there.st_dev == st.st_dev && there.st_ino == st.st_ino)
		return 0; /* already so; removing it first might remove its only name */
	return REPLACING(
	    t, &at, "make hard link", e, linkat(from, source.name, at.dir, at.name, 0));
}

/* --- overlayfs' marks ---------------------------------------------------------------------------- */

static int
mark_opaque(int dir, const char *name, struct err *e)
{
	AUTO(fd_close)
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsetxattr(fd, OPAQUE, "y", 1, 0) < 0)
		return err_sys(e, errno, "mark opaque");
	return 0;
}

/* Does this layer hold something else, or a whiteout, where the folder would be? Then nothing of it is below. */
static bool
folder_blocked(const struct tree *t, const char *path)
{
	int fd = tree_open(t->root, path);
	bool blocked = fd < 0 && errno == ENOTDIR;

	fd_close(&fd);
	return blocked;
}

/* What the same layer holds stays: only what is below goes. */
static int
tree_whiteout(struct sink *s, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	struct tree *t = tree_of(s);
	char dir[PATH_MAX];
	struct tree_at at;
	struct stat st;
	int r;

	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
	if (folder_blocked(t, dir))
		return 0;
	r = place(t, path, &at, e);
	if (r < 0)
		return r;
	if (mknodat(at.dir, at.name, S_IFCHR, makedev(0, 0)) == 0) {
		count(t, 0);
		return 0;
	}
	if (errno != EEXIST)
		return err_sys(e, errno, "make whiteout");
	if (fstatat(at.dir, at.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "look at what is there");
	return S_ISDIR(st.st_mode) ? mark_opaque(at.dir, at.name, e) : 0;
}

static int
tree_opaque(struct sink *s, const char *dir_path, struct err *e)
{
	struct tree *t = tree_of(s);
	AUTO(fd_close) int fd = -1;
	int r;

	if (*dir_path == '\0') {
		t->usage.opaque_root = true; /* overlayfs has no such mark for a root */
		return 0;
	}
	if (folder_blocked(t, dir_path))
		return 0;
	r = tree_resolve(t, dir_path, &fd, e);
	if (r < 0)
		return r;
	if (fsetxattr(fd, OPAQUE, "y", 1, 0) < 0)
		return err_sys(e, errno, "mark opaque");
	return 0;
}

/* --- the end ------------------------------------------------------------------------------------- */

static int
tree_finish(struct sink *s, const struct digest *diff_id, bool sync, struct err *e)
{
	struct tree *t = tree_of(s);

	(void)diff_id;
	for (size_t at = 0; at < t->times.len;) {
		AUTO(fd_close) int fd = -1;
		struct folder_time f;
		const char *path;

		memcpy(&f, t->times.data + at, sizeof(f));
		path = t->times.data + at + sizeof(f);
		at += sizeof(f) + f.path_len + 1;
		fd = tree_open(t->root, path);
		if (fd >= 0 && futimens(fd, f.times) < 0) /* not there: replaced later on */
			return err_sys(e, errno, "set times of %s", path);
	}
	if (t->recount && tree_count(t->root, &t->usage.bytes, &t->usage.inodes, e) < 0)
		return -(int)e->code;
	return sync && syncfs(t->root) < 0 ? err_sys(e, errno, "bring the layer to disk") : 0;
}

static void
tree_usage(const struct sink *s, struct layer_usage *ret)
{
	*ret = ((const struct tree *)s)->usage;
}

static int
tree_implied(const struct sink *s, struct buf *out)
{
	const struct tree *t = (const struct tree *)s;

	for (unsigned i = 0; i < t->nimplied; i++)
		if (buf_add(out, t->implied[i].path, strlen(t->implied[i].path) + 1) < 0)
			return -1;
	return 0;
}

static const struct sink_ops ops = { .folder = tree_folder,
	.symlink = tree_symlink,
	.node = tree_node,
	.file = tree_file,
	.data = tree_data,
	.file_done = tree_file_done,
	.link = tree_link,
	.whiteout = tree_whiteout,
	.opaque = tree_opaque,
	.finish = tree_finish,
	.usage = tree_usage,
	.implied = tree_implied };
