/* SPDX-License-Identifier: Apache-2.0 */
/* merged - see merged.h */
#include "workers/snapshot/merged.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"

#define LINKS_MAX 40

bool
merged_opaque(int fd)
{
	char value = 0;

	return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

int
merged_layer(int layers, uint64_t number)
{
	char name[40];

	(void)snprintf(name, sizeof(name), "%llu/fs", (unsigned long long)number);
	return openat(layers, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

enum merged_look
merged_look(int top, const char *path, int *ret_fd)
{
	AUTO(fd_close) int fd = fcntl(top, F_DUPFD_CLOEXEC, 0);
	bool opaque = false;

	while (fd >= 0) {
		size_t len = strcspn(path, "/");
		char part[NAME_MAX + 1];
		int sub;

		if (len == 0) {
			*ret_fd = fd_take(&fd);
			return opaque ? MERGED_HIDDEN : MERGED_HERE;
		}
		if (len > NAME_MAX)
			break;
		memcpy(part, path, len);
		part[len] = '\0';
		path += len + (path[len] == '/');
		sub = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0) /* not a folder: a file, a link or a whiteout hides what is below */
			return errno == ENOENT && !opaque ? MERGED_DEEPER : MERGED_HIDDEN;
		fd_close(&fd);
		fd = sub;
		opaque |= merged_opaque(fd);
	}
	return MERGED_HIDDEN;
}

struct stack {
	int layers;
	const uint64_t *numbers;
	unsigned n;
};

/* The topmost entry name in the folder dir. Returns its folder's descriptor and its stat; -1 when there
 * is none. */
static int
find(const struct stack *s, const char *dir, const char *name, struct stat *st)
{
	for (unsigned i = 0; i < s->n; i++) {
		AUTO(fd_close) int top = merged_layer(s->layers, s->numbers[i]);
		AUTO(fd_close) int at = -1;
		enum merged_look look = MERGED_HIDDEN;

		if (top >= 0)
			look = merged_look(top, dir, &at);
		if (at >= 0 && fstatat(at, name, st, AT_SYMLINK_NOFOLLOW) == 0)
			return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0) ? -1
										    : fd_take(&at);
		if (look == MERGED_HIDDEN)
			break;
	}
	return -1;
}

/* A walk through the stack: real is the folder reached, free of links; rest is still to be walked. */
struct route {
	char real[PATH_MAX], rest[2 * PATH_MAX];
	unsigned links;
	bool anyway; /* go on where there is nothing, or no folder */
};

static int
follow(struct route *w, int at, const char *name, struct err *e)
{
	char target[PATH_MAX], rest[sizeof(w->rest)];
	ssize_t n = readlinkat(at, name, target, sizeof(target) - 1);

	if (n < 0)
		return err_sys(e, errno, "read link");
	target[n] = '\0';
	if (++w->links > LINKS_MAX ||
	    snprintf(rest, sizeof(rest), "%s/%s", target, w->rest) >= (int)sizeof(rest))
		return err_set(e, ERR_FAILED_PRECONDITION, "too many links");
	memcpy(w->rest, rest, sizeof(rest));
	if (target[0] == '/')
		w->real[0] = '\0';
	return 0;
}

static int
go_into(struct route *w, const char *name, struct err *e)
{
	size_t len = strlen(w->real), room = sizeof(w->real) - len;

	if (snprintf(w->real + len, room, "%s%s", len > 0 ? "/" : "", name) >= (int)room)
		return err_sys(e, ENAMETOOLONG, "find it");
	return 0;
}

/* One component. Returns 1 when the walk is over: *ret_fd is the file, or -1 when there is none. */
static int
step(const struct stack *s, struct route *w, const char *name, int *ret_fd, struct err *e)
{
	AUTO(fd_close) int at = -1;
	struct stat st;

	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		char *slash = strrchr(w->real, '/');

		*(slash == NULL ? w->real : slash) = '\0';
		return 0;
	}
	at = find(s, w->real, name, &st);
	if (at < 0 && !w->anyway)
		return 1;
	if (at >= 0 && S_ISLNK(st.st_mode))
		return follow(w, at, name, e);
	if (w->anyway || S_ISDIR(st.st_mode))
		return go_into(w, name, e);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_FAILED_PRECONDITION, "not a regular file");
	if (w->rest[strspn(w->rest, "/")] != '\0')
		return 1; /* a file in place of a folder: nothing there */
	*ret_fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, errno, "open") : 1;
}

/* Walks w->rest. Returns 1 when step ended it, 0 when all of it was walked. */
static int
walk(const struct stack *s, struct route *w, int *ret_fd, struct err *e)
{
	char name[NAME_MAX + 1];
	int r = 0;

	while (r == 0) {
		size_t skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");

		if (len == 0)
			return 0;
		if (len > NAME_MAX)
			return 1;
		memcpy(name, w->rest + skip, len);
		name[len] = '\0';
		memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
		r = step(s, w, name, ret_fd, e);
	}
	return r;
}

int
merged_open(
    int layers, const uint64_t *numbers, unsigned n, const char *path, int *ret_fd, struct err *e)
{
	struct stack s = { .layers = layers, .numbers = numbers, .n = n };
	struct route w = { .links = 0 };
	int r;

	*ret_fd = -1;
	(void)snprintf(w.rest, sizeof(w.rest), "%s", path);
	r = walk(&s, &w, ret_fd, e);
	if (r == 0)
		r = err_set(e, ERR_FAILED_PRECONDITION, "a folder");
	return r < 0 ? err_wrap(e, "/%s in the image", path) : 0;
}

int
merged_real(
    int layers, const uint64_t *numbers, unsigned n, const char *path, char *to, struct err *e)
{
	struct stack s = { .layers = layers, .numbers = numbers, .n = n };
	struct route w = { .anyway = true };
	int unused = -1, r;

	(void)snprintf(w.rest, sizeof(w.rest), "%s", path);
	r = walk(&s, &w, &unused, e);
	if (r < 0)
		return r;
	memcpy(to, w.real, sizeof(w.real));
	return r == 0 ? 0 : err_sys(e, ENAMETOOLONG, "find /%s in the image", path);
}

int
merged_find(int layers, const uint64_t *numbers, unsigned n, const char *path, struct stat *ret)
{
	struct stack s = { .layers = layers, .numbers = numbers, .n = n };
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
	return find(&s, dir, slash == NULL ? path : slash + 1, ret);
}

bool
merged_stat(int layers, const uint64_t *numbers, unsigned n, const char *path, struct stat *ret)
{
	AUTO(fd_close) int at = merged_find(layers, numbers, n, path, ret);

	return at >= 0;
}
