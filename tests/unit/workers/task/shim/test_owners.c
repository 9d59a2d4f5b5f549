/* SPDX-License-Identifier: Apache-2.0 */
/* test_owners - real files, of real owners; maps whose ranges overlap, so that one change too many shows. */
#include <endian.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/task/shim/owners.h"

#define MAP "0:10:1000"

struct fix {
	char dir[64];
	char path[128], record[128];
	struct err e;
};

static const char *
at(struct fix *f, const char *name)
{
	(void)snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
	return f->path;
}

static void
put(struct fix *f, const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	assert_int_equal(fs_write(AT_FDCWD, at(f, name), "x", 1, 0600, false, &f->e), 0);
	assert_int_equal(chown(at(f, name), uid, gid), 0);
	assert_int_equal(chmod(at(f, name), mode), 0);
}

static void
is(struct fix *f, const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;

	assert_int_equal(lstat(at(f, name), &st), 0);
	if (st.st_uid != uid || st.st_gid != gid || (mode != 0 && (st.st_mode & 07777) != mode))
		fail_msg("%s: %u:%u %o", name, st.st_uid, st.st_gid, st.st_mode & 07777);
}

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/coffer-owners-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->record, sizeof(f->record), "%s/owners", f->dir);
	assert_int_equal(mkdir(at(f, "fs"), 0755), 0);
	put(f, "fs/root", 0, 0, 0644);
	put(f, "fs/alice", 5, 6, 0644);
	put(f, "fs/stranger", 5000, 5000, 0644);
	put(f, "fs/setuid", 0, 7, 06755);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	(void)umount2(at(f, "merged"), MNT_DETACH);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &f->e), 0);
	free(f);
	return 0;
}

static int
change(struct fix *f, const char *name)
{
	AUTO(free_ptr) char *dir = xstrdup(at(f, name));

	return owners_change(dir, f->record, MAP, MAP, &f->e);
}

static void
test_once(void **state)
{
	struct fix *f = *state;

	assert_int_equal(symlink("/etc/passwd", at(f, "fs/link")), 0);
	assert_int_equal(change(f, "fs"), 0);
	for (int i = 0; i < 2; i++) { /* a second time changes nothing */
		is(f, "fs", 10, 10, 0755);
		is(f, "fs/root", 10, 10, 0644);
		is(f, "fs/alice", 15, 16, 0644);
		is(f, "fs/stranger", 5000, 5000, 0644);
		is(f, "fs/setuid", 10, 17, 06755);
		is(f, "fs/link", 10, 10, 0);
		assert_int_equal(change(f, "fs"), 0);
	}
}

static void
test_links(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *alice = xstrdup(at(f, "fs/alice"));

	assert_int_equal(link(alice, at(f, "fs/b")), 0);
	assert_int_equal(link(alice, at(f, "fs/c")), 0);
	assert_int_equal(change(f, "fs"), 0);
	is(f, "fs/alice", 15, 16, 0644);
}

/* Overlay parts the names of a file when it copies one up: each is to be changed. */
static void
test_links_of_overlay(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *alice = xstrdup(at(f, "fs/alice"));
	AUTO(free_ptr)
	char *options = xasprintf(
	    "index=off,lowerdir=%s/fs,upperdir=%s/up,workdir=%s/work", f->dir, f->dir, f->dir);

	assert_int_equal(link(alice, at(f, "fs/b")), 0);
	assert_int_equal(mkdir(at(f, "up"), 0755), 0);
	assert_int_equal(mkdir(at(f, "work"), 0755), 0);
	assert_int_equal(mkdir(at(f, "merged"), 0755), 0);
	assert_int_equal(mount("overlay", at(f, "merged"), "overlay", 0, options), 0);
	assert_int_equal(change(f, "merged"), 0);
	is(f, "merged/alice", 15, 16, 0644);
	is(f, "merged/b", 15, 16, 0644);
	is(f, "merged/setuid", 10, 17, 06755);
	is(f, "fs/alice", 5, 6, 0644);
}

static void
test_capabilities(void **state)
{
	struct fix *f = *state;
	struct vfs_cap_data cap = { .magic_etc = htole32(
					VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE),
		.data = { { .permitted = htole32(1 << CAP_NET_RAW) } } };
	struct vfs_ns_cap_data now;

	assert_int_equal(
	    setxattr(at(f, "fs/root"), "security.capability", &cap, sizeof(cap), 0), 0);
	assert_int_equal(change(f, "fs"), 0);
	assert_int_equal(
	    getxattr(at(f, "fs/root"), "security.capability", &now, sizeof(now)), sizeof(now));
	assert_int_equal(le32toh(now.magic_etc), VFS_CAP_REVISION_3 | VFS_CAP_FLAGS_EFFECTIVE);
	assert_int_equal(le32toh(now.rootid), 10);
	assert_int_equal(le32toh(now.data[0].permitted), 1 << CAP_NET_RAW);
}

static void
test_half(void **state)
{
	struct fix *f = *state;

	assert_int_equal(
	    fs_write(AT_FDCWD, f->record, MAP "\n" MAP "\n", 20, 0600, false, &f->e), 0);
	assert_int_equal(change(f, "fs"), -ERR_FAILED_PRECONDITION);
	is(f, "fs/root", 0, 0, 0644);
}

/* Deeper than a path may be long. */
static void
test_deep(void **state)
{
	struct fix *f = *state;
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[201];
	struct stat st;

	memset(name, 'd', 200);
	name[200] = '\0';
	assert_int_equal(chdir(at(f, "fs")), 0);
	for (int i = 0; i < 40; i++)
		assert_true(mkdir(name, 0755) == 0 && chdir(name) == 0);
	assert_int_equal(change(f, "fs"), 0);
	assert_int_equal(stat(".", &st), 0);
	assert_int_equal(st.st_uid, 10);
	assert_int_equal(fchdir(here), 0);
	fd_close(&here);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_of_overlay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_capabilities, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deep, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
