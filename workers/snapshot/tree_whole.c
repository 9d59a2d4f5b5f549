/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_whole - walks over whole trees: counting and removing, whatever their depth.
 *
 * Removing keeps at most DEPTH_STEP folders open: what lies deeper is moved up to the top, where the
 * next pass meets it. Counting may not move anything and stops at a depth that no path can name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/inodes.h"
#include "workers/snapshot/tree.h"

#define DEPTH_STEP 64 /* folders open at once */

/* One pass over the folder behind fd (taken). What lies deeper than DEPTH_STEP folders is moved up to
 * top under a new name, for the next pass, and counted in *moved. */
static int
remove_pass(int top, int fd, dev_t dev, unsigned depth, uint64_t *moved, struct err *e)
{
	AUTO(dir_close) DIR *d = fdopendir(fd);
	struct dirent *ent;
	int r = 0;

	if (d == NULL) {
		r = err_sys(e, errno, "list folder");
		fd_close(&fd);
		return r;
	}
	while (r == 0 && (errno = 0, ent = readdir(d)) != NULL) {
		struct stat st;
		char name[32];
		int sub;

		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, ent->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR)
			return err_sys(e, errno, "remove %s", ent->d_name);
		if (unlinkat(fd, ent->d_name, AT_REMOVEDIR) == 0)
			continue;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return err_sys(e, errno, "remove folder %s", ent->d_name);
		if (depth >= DEPTH_STEP) {
			do
				(void)snprintf(name, sizeof(name), ".deep.%llu",
				    (unsigned long long)(*moved)++);
			while (renameat2(fd, ent->d_name, top, name, RENAME_NOREPLACE) < 0 &&
			       errno == EEXIST);
			continue;
		}
		sub = openat(fd, ent->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			return err_sys(e, errno, "open folder %s", ent->d_name);
		if (fstat(sub, &st) < 0 || st.st_dev != dev) {
			fd_close(&sub);
			return err_set(e, ERR_FAILED_PRECONDITION,
			    "remove %s: something is mounted there", ent->d_name);
		}
		r = remove_pass(top, sub, dev, depth + 1, moved, e);
		if (r == 0)
			(void)unlinkat(fd, ent->d_name, AT_REMOVEDIR); /* else the next pass */
	}
	return r;
}

static int
open_again(int dir)
{
	return openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool
is_empty(int dir)
{
	AUTO(dir_close) DIR *d = NULL;
	struct dirent *ent;
	int fd = open_again(dir);

	d = fd < 0 ? NULL : fdopendir(fd);
	while (d != NULL && (ent = readdir(d)) != NULL)
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			return false;
	return true;
}

int
tree_empty(int dir, struct err *e)
{
	uint64_t moved = 0, before;
	struct stat st;

	if (fstat(dir, &st) < 0)
		return err_sys(e, errno, "look at folder");
	do {
		int fd = open_again(dir), r;

		before = moved;
		if (fd < 0)
			return err_sys(e, errno, "open folder");
		r = remove_pass(dir, fd, st.st_dev, 0, &moved, e);
		if (r < 0)
			return r;
	} while (moved > before || !is_empty(dir));
	return 0;
}

/* --- counting ------------------------------------------------------------------------------------ */

#define COUNT_DEPTH 2000 /* no path reaches deeper: PATH_MAX */

struct counter {
	dev_t dev;
	uint64_t bytes, inodes;
	struct inodes linked;
};

static bool
first_name(struct counter *c, const struct stat *st)
{
	bool first;

	(void)inodes_meet(&c->linked, st, &first);
	return first;
}

static int count_folder(struct counter *c, int fd, unsigned depth, struct err *e);

static int
count_entry(struct counter *c, int dir, const char *name, unsigned depth, struct err *e)
{
	struct stat st;
	int fd;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "look at %s", name);
	if (st.st_dev != c->dev)
		return 0;
	if (S_ISDIR(st.st_mode)) {
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return errno == ENOENT ? 0 : err_sys(e, errno, "open folder %s", name);
		return count_folder(c, fd, depth + 1, e);
	}
	if (st.st_nlink > 1 && !first_name(c, &st))
		return 0;
	c->inodes++;
	c->bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

/* Counts the folder behind fd (taken) and what is below it. */
static int
count_folder(struct counter *c, int fd, unsigned depth, struct err *e)
{
	AUTO(dir_close) DIR *d = fdopendir(fd);
	struct dirent *ent;
	struct stat st;
	int r = 0;

	if (d == NULL || fstat(fd, &st) < 0) {
		r = err_sys(e, errno, "list folder");
		if (d == NULL)
			fd_close(&fd);
		return r;
	}
	if (depth == 0)
		c->dev = st.st_dev;
	c->inodes++;
	c->bytes += (uint64_t)st.st_blocks * 512;
	while (r == 0 && depth < COUNT_DEPTH && (ent = readdir(d)) != NULL)
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			r = count_entry(c, fd, ent->d_name, depth, e);
	return r;
}

int
tree_count(int dir, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *e)
{
	struct counter c = { .bytes = 0 };
	int fd = open_again(dir), r;

	if (fd < 0)
		return err_sys(e, errno, "open folder");
	r = count_folder(&c, fd, 0, e);
	inodes_free(&c.linked);
	if (r < 0)
		return r;
	*ret_bytes = c.bytes;
	*ret_inodes = c.inodes;
	return 0;
}
