/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trees - everything about a tree as text, to see that two are the same.
 *
 * Left out: times of access and of whiteouts; of folders, size and number of names; the time of the root, and with
 * TREES_NO_TIMES of all folders, as one that nobody named has that of its making.
 */
#ifndef CF_TESTS_FUZZ_TREES_H
#define CF_TESTS_FUZZ_TREES_H

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"

#define TREES_NO_TIMES 1u /* of folders */

/* Which name it had first, so that names of one file can be told from two files. */
struct trees_met {
	ino_t ino;
	unsigned first;
};

struct trees {
	struct buf *out;
	unsigned flags, n;
	struct trees_met met[2048];
	char path[PATH_MAX];
};

static inline void
trees_body(struct trees *t, int dir, const char *name)
{
	AUTO(fd_close) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO(buf_free) struct buf body = BUF_ZERO;
	uint64_t sum = 14695981039346656037u;
	struct err e = ERR_ZERO;

	MUST(fd >= 0 && fs_read_fd(fd, 8 << 20, &body, &e) == 0);
	for (size_t i = 0; i < body.len; i++)
		sum = (sum ^ (uint8_t)body.data[i]) * 1099511628211u;
	(void)buf_addf(t->out, " %016llx", (unsigned long long)sum); /* no limit, here and below */
}

static inline int
trees_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Attributes of name in the working folder. */
static inline void
trees_xattrs(struct trees *t, const char *name)
{
	char names[8192], value[8192];
	const char *sorted[256];
	unsigned n = 0;
	ssize_t len = llistxattr(name, names, sizeof(names));

	for (ssize_t at = 0; at < len && n < COUNT(sorted); at += (ssize_t)strlen(names + at) + 1)
		sorted[n++] = names + at;
	qsort(sorted, n, sizeof(*sorted), trees_compare);
	for (unsigned i = 0; i < n; i++) {
		ssize_t m = lgetxattr(name, sorted[i], value, sizeof(value));

		if (strncmp(sorted[i], "security.selinux", 16) == 0)
			continue;
		(void)buf_addf(t->out, " %s=", sorted[i]);
		for (ssize_t k = 0; k < m; k++)
			(void)buf_addf(t->out, "%02x", (unsigned char)value[k]);
	}
}

static inline unsigned
trees_first(struct trees *t, ino_t ino)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->met[i].ino == ino)
			return t->met[i].first;
	MUST(t->n < COUNT(t->met));
	t->met[t->n] = (struct trees_met){ .ino = ino, .first = t->n };
	return t->met[t->n++].first;
}

static inline void
trees_entry(struct trees *t, int dir, const char *name, size_t len)
{
	char target[PATH_MAX] = "";
	struct stat st;
	bool folder;

	MUST(fchdir(dir) == 0 && lstat(name, &st) == 0);
	folder = S_ISDIR(st.st_mode);
	(void)!readlink(name, target, sizeof(target) - 1);
	(void)buf_addf(t->out, "%s %o %u:%u", t->path, st.st_mode, st.st_uid, st.st_gid);
	if (S_ISCHR(st.st_mode) && st.st_rdev == 0)
		(void)buf_adds(t->out, " whiteout");
	else if (!folder || (len > 0 && (t->flags & TREES_NO_TIMES) == 0))
		(void)buf_addf(
		    t->out, " %lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	if (!folder)
		(void)buf_addf(t->out, " %lld *%lu #%u %llx \"%s\"", (long long)st.st_size,
		    (unsigned long)st.st_nlink, trees_first(t, st.st_ino),
		    (unsigned long long)(S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? st.st_rdev
										    : 0),
		    target);
	trees_xattrs(t, name);
	if (S_ISREG(st.st_mode))
		trees_body(t, dir, name);
	(void)buf_adds(t->out, "\n");
}

static inline void
trees_walk(struct trees *t, int dir, size_t len)
{
	struct dirent **list = NULL;
	int n = scandirat(dir, ".", &list, NULL, alphasort);

	MUST(n >= 0);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		AUTO(fd_close) int sub = -1;

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			size_t add = (size_t)snprintf(
			    t->path + len, sizeof(t->path) - len, "/%s", name);

			MUST(len + add < sizeof(t->path));
			trees_entry(t, dir, name, len + add);
			sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (sub >= 0)
				trees_walk(t, sub, len + add);
		}
		free(list[i]);
	}
	t->path[len] = '\0';
	free(list);
}

/* Appends a line for each entry below the folder behind dir, itself too. */
static inline void
trees_describe(int dir, unsigned flags, struct buf *out)
{
	AUTO(free_ptr) struct trees *t = xcalloc(1, sizeof(*t));

	t->out = out;
	t->flags = flags;
	trees_entry(t, dir, ".", 0);
	trees_walk(t, dir, 0);
}

static inline void
trees_must_be_same(int a, int b, unsigned flags)
{
	AUTO(buf_free) struct buf x = BUF_ZERO;
	AUTO(buf_free) struct buf y = BUF_ZERO;

	trees_describe(a, flags, &x);
	trees_describe(b, flags, &y);
	if (strcmp(buf_str(&x), buf_str(&y)) != 0) {
		(void)fprintf(stderr, "--- one\n%s--- the other\n%s", buf_str(&x), buf_str(&y));
		MUST(!"the same trees");
	}
}

#endif
