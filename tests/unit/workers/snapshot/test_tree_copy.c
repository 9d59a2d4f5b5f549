/* SPDX-License-Identifier: Apache-2.0 */
/* Whole trees: copied with all they have, and layers applied to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/snapshot/inodes.h"
#include "workers/snapshot/tree.h"
#include "workers/snapshot/tree_copy.h"

#define OPAQUE "trusted.overlay.opaque"

struct fix {
	char dir[64];
	int top, from, to;
	struct err e;
};

static int
folder(int dir, const char *name)
{
	int fd;

	assert_int_equal(mkdirat(dir, name, 0755), 0);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)umask(0);
	(void)strcpy(f->dir, "/tmp/coffer-copy-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->top = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->from = folder(f->top, "from");
	f->to = folder(f->top, "to");
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	assert_int_equal(chdir("/"), 0);
	assert_int_equal(tree_empty(f->top, &f->e), 0);
	assert_int_equal(rmdir(f->dir), 0);
	fd_close(&f->top);
	fd_close(&f->from);
	fd_close(&f->to);
	free(f);
	return 0;
}

static void
file(int dir, const char *name, const char *text)
{
	struct err e = ERR_ZERO;

	assert_int_equal(fs_write(dir, name, text, strlen(text), 0644, false, &e), 0);
}

static void
holds(int dir, const char *name, const char *want)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err e = ERR_ZERO;

	assert_int_equal(fs_read(dir, name, 1000, &text, &e), 0);
	assert_string_equal(buf_str(&text), want);
}

static struct stat
look(int dir, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static bool
is_there(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
same(struct fix *f, const char *name)
{
	struct stat a = look(f->from, name), b = look(f->to, name);

	assert_int_equal(a.st_mode, b.st_mode);
	assert_int_equal(a.st_uid, b.st_uid);
	assert_int_equal(a.st_gid, b.st_gid);
	assert_int_equal(a.st_rdev, b.st_rdev);
	assert_int_equal(a.st_size, b.st_size);
	assert_int_equal(a.st_nlink, b.st_nlink);
	assert_int_equal(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
	assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
}

static void
copies_everything(void **state)
{
	static const char *const all[] = { ".", "a", "a/file", "a/again", "a/sparse", "a/fifo",
		"a/device", "a/link", "a/socket" };
	const struct timespec old[2] = { { -5, 7 }, { 4294967296, 999999999 } };
	struct fix *f = *state;
	AUTO(fd_close) int a = folder(f->from, "a");
	AUTO(fd_close) int sparse = -1;
	AUTO(fd_close) int copied = -1;
	char value[8];

	file(a, "file", "text");
	assert_int_equal(linkat(a, "file", f->from, "a/again", 0), 0);
	assert_int_equal(fchownat(a, "file", 1000, 2000, 0), 0);
	assert_int_equal(fchmodat(a, "file", 06755, 0), 0);
	sparse = openat(a, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pwrite(sparse, "end", 3, 10000000000), 3);
	assert_int_equal(fsetxattr(sparse, "user.mine", "yes", 3, 0), 0);
	assert_int_equal(fsetxattr(a, OPAQUE, "y", 1, 0), 0);
	assert_int_equal(fsetxattr(a, "user.other", "n", 1, 0), 0);
	assert_int_equal(mknodat(a, "fifo", S_IFIFO | 0620, 0), 0);
	assert_int_equal(mknodat(a, "device", S_IFBLK | 0660, makedev(8, 300)), 0);
	assert_int_equal(mknodat(a, "socket", S_IFSOCK | 0666, 0), 0);
	assert_int_equal(symlinkat("/nowhere", a, "link"), 0);
	assert_int_equal(utimensat(a, "link", old, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(futimens(a, old), 0);
	if (tree_copy(f->from, f->to, &f->e) < 0)
		fail_msg("%s", f->e.msg);
	for (unsigned i = 0; i < COUNT(all); i++)
		same(f, all[i]);
	holds(f->to, "a/file", "text");
	assert_int_equal(look(f->to, "a/file").st_ino, look(f->to, "a/again").st_ino);
	assert_true(look(f->to, "a/sparse").st_blocks < 1000);
	copied = openat(f->to, "a/sparse", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(copied, value, 3, 10000000000), 3);
	assert_memory_equal(value, "end", 3);
	assert_int_equal(fgetxattr(copied, "user.mine", value, sizeof(value)), 3);
	fd_close(&copied);
	copied = openat(f->to, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fgetxattr(copied, OPAQUE, value, sizeof(value)), -1);
	assert_int_equal(fgetxattr(copied, "user.other", value, sizeof(value)), 1);
}

static void
applies_layers(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int gone = folder(f->to, "gone");
	AUTO(fd_close) int hidden = folder(f->to, "hidden");
	AUTO(fd_close) int kept = folder(f->to, "kept");
	AUTO(fd_close) int above = folder(f->from, "hidden");
	AUTO(fd_close) int beside = folder(f->from, "kept");
	AUTO(fd_close) int was_file = folder(f->from, "was-file");
	char value[8];

	file(gone, "deep", "");
	file(hidden, "old", "");
	file(kept, "old", "stays");
	file(kept, "replaced", "old");
	file(f->to, "was-file", "");
	assert_int_equal(fsetxattr(kept, "user.below", "x", 1, 0), 0);
	assert_int_equal(mkdirat(f->to, "was-folder", 0755), 0);
	assert_int_equal(mknodat(f->from, "gone", S_IFCHR, makedev(0, 0)), 0);
	assert_int_equal(mknodat(f->from, "never-was", S_IFCHR, makedev(0, 0)), 0);
	assert_int_equal(fsetxattr(above, OPAQUE, "y", 1, 0), 0);
	file(above, "new", "new");
	file(beside, "replaced", "new");
	assert_int_equal(linkat(beside, "replaced", f->from, "was-folder", 0), 0);
	assert_int_equal(fchmod(beside, 01777), 0);
	file(was_file, "inside", "in");
	assert_int_equal(tree_apply(f->from, f->to, &f->e), 0);
	assert_false(is_there(f->to, "gone"));
	assert_false(is_there(f->to, "never-was"));
	assert_false(is_there(f->to, "hidden/old"));
	holds(f->to, "hidden/new", "new");
	holds(f->to, "kept/old", "stays");
	holds(f->to, "kept/replaced", "new");
	holds(f->to, "was-file/inside", "in");
	assert_int_equal(look(f->to, "was-folder").st_ino, look(f->to, "kept/replaced").st_ino);
	assert_int_equal(look(f->to, "kept").st_mode & 07777, 01777);
	assert_int_equal(fgetxattr(kept, "user.below", value, sizeof(value)), -1);
	fd_close(&hidden);
	hidden = openat(f->to, "hidden", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fgetxattr(hidden, OPAQUE, value, sizeof(value)), -1);
}

static void
goes_as_deep_as_names_do(void **state)
{
	struct fix *f = *state;
	int at = fcntl(f->from, F_DUPFD_CLOEXEC, 0);
	uint64_t bytes, inodes;

	for (unsigned i = 0; i < 1000; i++) {
		int next = folder(at, "d");

		fd_close(&at);
		at = next;
	}
	file(at, "end", "");
	fd_close(&at);
	if (tree_copy(f->from, f->to, &f->e) < 0)
		fail_msg("%s", f->e.msg);
	assert_int_equal(tree_count(f->to, &bytes, &inodes, &f->e), 0);
	assert_int_equal(inodes, 1002);
}

static void
meets_inodes_once(void **state)
{
	struct inodes t = { .n = 0 };
	bool first;

	(void)state;
	for (unsigned round = 0; round < 2; round++)
		for (ino_t i = 1; i <= 200000; i++) {
			(void)inodes_meet(
			    &t, &(struct stat){ .st_dev = 1 + i % 2, .st_ino = i * 7919 }, &first);
			assert_int_equal(first, round == 0);
		}
	assert_int_equal(t.n, 200000);
	inodes_free(&t);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = { T(copies_everything), T(applies_layers),
		T(goes_as_deep_as_names_do), T(meets_inodes_once) };

	if (geteuid() != 0) {
		(void)printf("needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
