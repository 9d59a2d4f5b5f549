/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ground - where targets make files for real: a tmpfs that has no place in the tree, without devices and
 * setuid, with things in it that no input may touch. As root everything but build/ is read-only, in a mount
 * namespace that ends with the process; what is left of the tmpfs does, too.
 */
#ifndef CF_TESTS_FUZZ_GROUND_H
#define CF_TESTS_FUZZ_GROUND_H

#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/snapshot/tree.h"

/* The one thing that outlives an input: libFuzzer gives no argument to carry it. */
static struct {
	int top, home;
	bool jailed;
	char dir[64];
} ground = { -1, -1, false, "" };

#define GROUND_KEPT "mine"
#define GROUND_WORK "root" /* the folder that is the input's */

static inline void
ground_drop(void)
{
	struct err e = ERR_ZERO;

	(void)fs_remove_tree(AT_FDCWD, ground.dir, &e); /* what is left is only in the way */
}

/* The tmpfs has no place in the tree any more once it is open; all but build/ becomes read-only. */
static inline void
ground_jail(void)
{
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };
	AUTO(free_ptr) char *build = realpath("build", NULL);

	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	MUST(mount("none", ground.dir, "tmpfs", MS_NODEV | MS_NOSUID, "size=64m") == 0);
	ground.top = open(ground.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(ground.top >= 0 && umount2(ground.dir, MNT_DETACH) == 0 && rmdir(ground.dir) == 0);
	if (build != NULL)
		MUST(mount(build, build, NULL, MS_BIND, NULL) == 0);
	MUST(syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &ro, sizeof(ro)) == 0);
	if (build != NULL)
		MUST(mount(NULL, build, NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
	ground.jailed = true;
}

static inline void
ground_make(void)
{
	struct err e = ERR_ZERO;

	if (ground.top >= 0)
		return;
	MUST(setlocale(LC_CTYPE, "C.UTF-8") != NULL);
	(void)snprintf(ground.dir, sizeof(ground.dir), "/tmp/coffer-fuzz-XXXXXX");
	MUST(mkdtemp(ground.dir) != NULL);
	(void)umask(0);
	if (unshare(CLONE_NEWNS) == 0) {
		ground_jail();
	} else { /* not root: its rights are the jail */
		ground.top = open(ground.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		MUST(atexit(ground_drop) == 0);
	}
	ground.home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	MUST(ground.top >= 0 && ground.home >= 0 && mkdirat(ground.top, "etc", 0700) == 0);
	MUST(fs_write(ground.top, "outside", GROUND_KEPT, strlen(GROUND_KEPT), 0600, false, &e) ==
	     0);
}

static inline int
ground_folder(const char *path)
{
	struct err e = ERR_ZERO;
	int fd;

	MUST(fs_open_dir(ground.top, path, 0755, &fd, &e) == 0);
	return fd;
}

/* Nothing changed that is not in GROUND_WORK, which goes. */
static inline void
ground_check(void)
{
	AUTO(fd_close) int work = ground_folder(GROUND_WORK);
	AUTO(buf_free) struct buf b = BUF_ZERO;
	AUTO(dir_close) DIR *d = NULL;
	struct err e = ERR_ZERO;
	struct dirent *ent;
	unsigned n = 0;
	struct stat st;

	MUST(fchdir(ground.home) == 0); /* unpacking owns the working folder */
	MUST(fs_read(ground.top, "outside", 100, &b, &e) == 0);
	MUST(strcmp(buf_str(&b), GROUND_KEPT) == 0);
	MUST(fstatat(ground.top, "outside", &st, 0) == 0 && (st.st_mode & 07777) == 0600);
	MUST(st.st_nlink == 1);
	MUST(unlinkat(ground.top, "etc", AT_REMOVEDIR) == 0); /* still empty */
	MUST(mkdirat(ground.top, "etc", 0700) == 0);
	d = fdopendir(openat(ground.top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	MUST(d != NULL);
	while ((ent = readdir(d)) != NULL)
		n++;
	MUST(n == 5); /* ., .., etc, outside, root */
	MUST(tree_empty(work, &e) == 0);
	MUST(unlinkat(ground.top, GROUND_WORK, AT_REMOVEDIR) == 0);
}

#endif
