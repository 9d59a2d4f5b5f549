/* SPDX-License-Identifier: Apache-2.0 */
/* settle - see settle.h */
#include "workers/snapshot/settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/nursery.h"
#include "workers/snapshot/tree.h"

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

struct settle {
	int folder, layers;
	const uint64_t *lowers;
	unsigned nlowers;
	struct buf moves; /* from NUL to NUL, again and again, in order */
};

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

/* Gives the folder path the attributes of the one below, when there is one. */
static int
settle_meta(const struct settle *s, const char *path, struct err *e)
{
	AUTO(fd_close) int to = open_plain(s->folder, path, O_RDONLY | O_DIRECTORY);

	for (unsigned i = 0; to >= 0 && i < s->nlowers; i++) {
		AUTO(fd_close) int top = merged_layer(s->layers, s->lowers[i]);
		AUTO(fd_close) int from = -1;
		enum merged_look look;

		if (top < 0)
			return err_sys(
			    e, errno, "open layer %llu", (unsigned long long)s->lowers[i]);
		look = merged_look(top, path, &from);
		if (from >= 0)
			return copy_meta(from, to, e);
		if (look == MERGED_HIDDEN)
			return 0;
	}
	return 0;
}

/* --- folders that are links below ---------------------------------------------------------------- */

/* Makes the folder path and those on the way, as they are below. */
static int
make_like_below(const struct settle *s, const char *path, struct err *e)
{
	char part[PATH_MAX];

	for (const char *p = path; *p != '\0';) {
		AUTO(fd_close) int dir = -1;
		const char *name;

		p += strcspn(p, "/");
		(void)snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		p += *p == '/';
		dir = open_parent(s->folder, part, &name);
		if (dir < 0)
			return err_sys(e, errno, "open the folder of %s", part);
		if (mkdirat(dir, name, 0755) < 0) {
			if (errno == EEXIST)
				continue;
			return err_sys(e, errno, "make %s", part);
		}
		if (fchownat(dir, name, 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(e, errno, "make %s", part);
		if (settle_meta(s, part, e) < 0)
			return -(int)e->code;
	}
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

/* What is in the implied folder path belongs where the link below leads to. */
static int
move_behind_link(struct settle *s, const char *path, struct err *e)
{
	AUTO(fd_close) int dir = -1;
	struct timespec times[2];
	char real[PATH_MAX];
	const char *name;
	struct stat st;
	int from, to, r;

	r = merged_real(s->layers, s->lowers, s->nlowers, path, real, e);
	if (r == 0)
		r = make_like_below(s, real, e);
	if (r < 0)
		return r;
	dir = open_parent(s->folder, path, &name);
	from = open_plain(s->folder, path, O_RDONLY | O_DIRECTORY);
	to = open_plain(s->folder, real[0] == '\0' ? "." : real, O_RDONLY | O_DIRECTORY);
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
	(void)buf_add(&s->moves, path, strlen(path) + 1);
	(void)buf_add(&s->moves, real, strlen(real) + 1);
	return r;
}

/* Where path is after the moves so far; "" when that has become too long a name. */
static void
moved_path(const struct settle *s, const char *path, char *to)
{
	char rest[PATH_MAX];

	(void)snprintf(to, PATH_MAX, "%s", path);
	for (size_t at = 0; at < s->moves.len;) {
		const char *from = s->moves.data + at, *real = from + strlen(from) + 1;
		size_t n = strlen(from), len = strlen(real), more;

		at += n + 1 + len + 1;
		if (strncmp(to, from, n) != 0 || (to[n] != '/' && to[n] != '\0'))
			continue;
		(void)strcpy(rest, to + n + (len == 0 && to[n] == '/'));
		more = strlen(rest);
		if (len + more >= PATH_MAX) {
			to[0] = '\0';
			return;
		}
		memcpy(to, real, len);
		memcpy(to + len, rest, more + 1);
	}
}

static int
settle_one(struct settle *s, const char *listed, struct err *e)
{
	AUTO(fd_close) int fd = -1;
	char path[PATH_MAX];
	struct stat st;

	moved_path(s, listed, path);
	fd = open_plain(s->folder, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || hidden(s->folder, path))
		return 0; /* not there: replaced later in the same archive, or moved */
	if (merged_stat(s->layers, s->lowers, s->nlowers, path, &st) && S_ISLNK(st.st_mode))
		return move_behind_link(s, path, e);
	return settle_meta(s, path, e);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int
settle_run(
    int folder, int layers, int list, const uint64_t *lowers, unsigned nlowers, struct err *e)
{
	struct settle s = {
		.folder = folder, .layers = layers, .lowers = lowers, .nlowers = nlowers
	};
	struct buf text = BUF_LIMIT(NURSERY_IMPLIED_BYTES_MAX + 65536);
	AUTO(free_ptr) const char **paths = xcalloc(TREE_IMPLIED_MAX, sizeof(*paths));
	unsigned n = 0;
	int r;

	if (lseek(list, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "read the list of implied folders");
	r = fs_read_fd(list, NURSERY_IMPLIED_BYTES_MAX, &text, e);
	for (size_t at = 0; at < text.len && n < TREE_IMPLIED_MAX; at += strlen(text.data + at) + 1)
		paths[n++] = text.data + at;
	qsort(paths, n, sizeof(*paths), compare); /* a folder before those in it */
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = settle_one(&s, paths[i], e);
	buf_free(&text);
	buf_free(&s.moves);
	if (r == 0 && syncfs(folder) < 0)
		r = err_sys(e, errno, "bring the layer to disk");
	return r;
}
