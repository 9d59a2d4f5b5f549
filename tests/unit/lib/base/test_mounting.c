/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_mounting - real mounts, in a mount namespace of the test's own. Older kernels are this one with a
 * filter of system calls that answers as they would.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/fs.h"
#include "lib/base/mounting.h"

/* Long enough that a page holds few of them, and more than fsconfig takes as one string. */
#define LONG_DIR                                                                          \
	"a-folder-whose-name-is-long-because-names-of-layers-are-given-to-the-kernel-as-" \
	"one-string-each-and-such-a-string-has-at-most-255-bytes-so-this-one-goes-over-"  \
	"that-when-it-is-put-together-with-the-name-of-the-scratch-folder-and-the-layers"

struct fix {
	char dir[64], base[400], at[80];
	struct err e;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/coffer-mounting-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0711), 0); /* others go through */
	(void)snprintf(f->base, sizeof(f->base), "%s/" LONG_DIR, f->dir);
	(void)snprintf(f->at, sizeof(f->at), "%s/at", f->dir);
	assert_int_equal(mkdir(f->base, 0755), 0);
	assert_int_equal(mkdir(f->at, 0755), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	while (umount2(f->at, MNT_DETACH) == 0)
		continue;
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &f->e), 0);
	free(f);
	return 0;
}

static void
put(const char *path, const char *text)
{
	struct err e = ERR_ZERO;

	assert_int_equal(fs_write(AT_FDCWD, path, text, strlen(text), 0644, false, &e), 0);
}

static bool
holds(const char *path, const char *text)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	struct err e = ERR_ZERO;

	return fs_read(AT_FDCWD, path, 4096, &b, &e) == 0 && strcmp(buf_str(&b), text) == 0;
}

/* How many mounts lie at a path. */
static unsigned
mounts_at(const char *path)
{
	AUTO(file_close) FILE *in = fopen("/proc/self/mountinfo", "re");
	AUTO(free_ptr) char *line = NULL;
	AUTO(free_ptr) char *want = xasprintf(" %s ", path);
	size_t size = 0;
	unsigned n = 0;

	while (getline(&line, &size, in) > 0)
		n += strstr(line, want) != NULL;
	return n;
}

/* --- older kernels -------------------------------------------------------------------------------- */

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define FAILS(errnum) ANSWER(SECCOMP_RET_ERRNO | (errnum))

static void
filter(struct sock_filter *code, unsigned short n)
{
	struct sock_fprog prog = { .len = n, .filter = code };

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
}

/* Before Linux 5.2: no such call. */
static void
without_fsopen(void)
{
	struct sock_filter code[] = { LOAD(nr), IS(SYS_fsopen, 0, 1), FAILS(ENOSYS),
		ANSWER(SECCOMP_RET_ALLOW) };

	filter(code, COUNT(code));
}

/* Before Linux 6.13: descriptors are not taken. */
static void
without_descriptors(void)
{
	struct sock_filter code[] = { LOAD(nr), IS(SYS_fsconfig, 0, 3), LOAD(args[1]),
		IS(FSCONFIG_SET_FD, 0, 1), FAILS(EINVAL), ANSWER(SECCOMP_RET_ALLOW) };

	filter(code, COUNT(code));
}

/* Before Linux 5.19: overlay does not take idmapped layers. */
static void
without_idmapped_layers(void)
{
	struct sock_filter code[] = { LOAD(nr), IS(SYS_fsopen, 0, 1), FAILS(ENOSYS),
		IS(SYS_mount, 0, 1), FAILS(EINVAL), ANSWER(SECCOMP_RET_ALLOW) };

	filter(code, COUNT(code));
}

static void
without_anything(void)
{
}

/* --- many layers ---------------------------------------------------------------------------------- */

static char *
layers_make(struct fix *f, unsigned n)
{
	AUTO(buf_free) struct buf list = BUF_ZERO;
	char path[PATH_MAX];

	(void)buf_adds(&list, "lowerdir=");
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/%u", f->base, i);
		assert_int_equal(mkdir(path, 0755), 0);
		(void)buf_addf(&list, "%s%s", i == 0 ? "" : ":", path);
		(void)snprintf(path, sizeof(path), "%s/%u/file-%u", f->base, i, i);
		put(path, "of its own");
		(void)snprintf(path, sizeof(path), "%s/%u/shared", f->base, i);
		put(path, i == 0 ? "of the topmost" : "of one below");
	}
	(void)snprintf(path, sizeof(path), "%s/fs", f->base);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/work", f->base);
	assert_int_equal(mkdir(path, 0755), 0);
	return buf_take(&list);
}

static int
overlay(struct fix *f, const char *lowerdir)
{
	AUTO(free_ptr) char *upper = xasprintf("upperdir=%s/fs", f->base);
	AUTO(free_ptr) char *work = xasprintf("workdir=%s/work", f->base);
	const char *options[] = { "index=off", lowerdir, upper, work, "nosuid" };

	return mounting_make(f->at, "overlay", "overlay", options, COUNT(options), &f->e);
}

static bool
all_there(struct fix *f, unsigned n)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/file-%u", f->at, i);
		if (!holds(path, "of its own"))
			return false;
	}
	(void)snprintf(path, sizeof(path), "%s/shared", f->at);
	if (!holds(path, "of the topmost"))
		return false;
	(void)snprintf(path, sizeof(path), "%s/new", f->at);
	put(path, "written");
	(void)snprintf(path, sizeof(path), "%s/fs/new", f->base);
	return holds(path, "written") && mounts_at(f->at) == 1;
}

/* In a child, since a filter is for life: 0 as it should be, else what happened instead. */
static void
layers_on(struct fix *f, void (*old)(void), unsigned n)
{
	AUTO(free_ptr) char *lowerdir = layers_make(f, n);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		old();
		if (overlay(f, lowerdir) < 0) {
			print_error("%s\n", f->e.msg);
			_exit(1);
		}
		_exit(all_there(f, n) ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
test_layers(void **state)
{
	layers_on(*state, without_anything, 128);
}

static void
test_layers_most(void **state)
{
	layers_on(*state, without_anything, 500);
}

static void
test_layers_by_name(void **state)
{
	layers_on(*state, without_descriptors, 499);
}

static void
test_layers_by_mount(void **state)
{
	layers_on(*state, without_fsopen, 128);
}

static void
test_layers_too_many_for_mount(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *lowerdir = layers_make(f, 300);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		without_fsopen();
		if (overlay(f, lowerdir) != -ERR_RESOURCE_EXHAUSTED)
			_exit(1);
		_exit(strstr(f->e.msg, "300 layers: this kernel takes fewer") == NULL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(mounts_at(f->at), 0);
}

static void
test_layer_missing(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *lowerdir = xasprintf("lowerdir=%s:/nowhere/at/all", f->base);

	assert_int_equal(overlay(f, lowerdir), -ERR_NOT_FOUND);
	assert_non_null(strstr(f->e.msg, "layer /nowhere/at/all: No such file or directory"));
	assert_int_equal(mounts_at(f->at), 0);
}

/* What the kernel says comes along: here that it knows no such option. */
static void
test_option_unknown(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *lowerdir = layers_make(f, 2);
	const char *options[] = { lowerdir, "sideways=yes" };

	assert_true(mounting_make(f->at, "overlay", "overlay", options, 2, &f->e) < 0);
	assert_non_null(strstr(f->e.msg, "the kernel says"));
	assert_non_null(strstr(f->e.msg, "sideways"));
	assert_int_equal(mounts_at(f->at), 0);
}

static void
test_flags(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *lowerdir = layers_make(f, 2);
	const char *options[] = { lowerdir, "ro", "nodev", "noexec", "noatime" };
	AUTO(free_ptr) char *path = xasprintf("%s/x", f->at);
	AUTO(buf_free) struct buf b = BUF_ZERO;
	const char *line;

	assert_int_equal(
	    mounting_make(f->at, "overlay", "overlay", options, COUNT(options), &f->e), 0);
	assert_int_equal(mkdir(path, 0755), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(fs_read(AT_FDCWD, "/proc/self/mounts", 1 << 20, &b, &f->e), 0);
	line = strstr(buf_str(&b), f->at);
	assert_non_null(line);
	assert_non_null(strstr(line, "overlay ro,nodev,noexec,noatime"));
}

/* A name with a colon in it, written as overlay wants it. */
static void
test_layer_escaped(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *odd = xasprintf("%s/odd:name", f->dir);
	AUTO(free_ptr) char *file = xasprintf("%s/inside", odd);
	AUTO(free_ptr) char *seen = xasprintf("%s/inside", f->at);
	AUTO(free_ptr) char *lowerdir = xasprintf("lowerdir=%s/odd\\:name:%s", f->dir, f->base);

	assert_int_equal(mkdir(odd, 0755), 0);
	put(file, "x");
	assert_int_equal(
	    mounting_make(f->at, "overlay", "overlay", (const char *[]){ lowerdir }, 1, &f->e), 0);
	assert_true(holds(seen, "x"));
}

/* --- other owners --------------------------------------------------------------------------------- */

#define UIDMAP "uidmap=0:100000:65536"
#define GIDMAP "gidmap=0:200000:1000,1000:300000:1"

static bool
owned(const char *dir, const char *name, uid_t uid, gid_t gid)
{
	AUTO(free_ptr) char *path = xasprintf("%s/%s", dir, name);
	struct stat st;

	if (lstat(path, &st) < 0)
		return false;
	if (st.st_uid != uid || st.st_gid != gid)
		print_error("%s: %u:%u\n", path, st.st_uid, st.st_gid);
	return st.st_uid == uid && st.st_gid == gid;
}

/* As somebody of the mount: a file made there, and one of a lower layer given to another. */
static bool
work_inside(const char *dir)
{
	AUTO(free_ptr) char *made = xasprintf("%s/made", dir);
	AUTO(free_ptr) char *given = xasprintf("%s/file-1", dir);

	if (chown(given, 100007, 300000) < 0 || setegid(200000) < 0 || seteuid(100000) < 0 ||
	    open(made, O_CREAT | O_WRONLY | O_CLOEXEC, 0644) < 0)
		return false;
	return seteuid(0) == 0 && setegid(0) == 0;
}

static int
overlay_shifted(struct fix *f, const char *lowerdir)
{
	AUTO(free_ptr) char *upper = xasprintf("upperdir=%s/fs", f->base);
	AUTO(free_ptr) char *work = xasprintf("workdir=%s/work", f->base);
	const char *options[] = { lowerdir, upper, work, UIDMAP, GIDMAP };

	return mounting_make(f->at, "overlay", "overlay", options, COUNT(options), &f->e);
}

/* Seen with the ids outside, written with those inside. */
static bool
owners_hold(struct fix *f)
{
	AUTO(free_ptr) char *upper = xasprintf("%s/fs", f->base);
	AUTO(free_ptr) char *lower = xasprintf("%s/1", f->base);

	return owned(f->at, ".", 100000, 200000) && owned(f->at, "file-0", 100000, 200000) &&
	       work_inside(f->at) && owned(f->at, "made", 100000, 200000) &&
	       owned(upper, "made", 0, 0) && owned(upper, "file-1", 7, 1000) &&
	       owned(lower, "file-1", 0, 0) && mounts_at(f->at) == 1;
}

static void
shifted_on(struct fix *f, void (*old)(void), unsigned n)
{
	AUTO(free_ptr) char *lowerdir = layers_make(f, n);
	int status;
	pid_t pid;

	/* of one who has no id inside: in there, root does not get past it */
	assert_int_equal(chown(f->base, 7777777, 7777777), 0);
	assert_int_equal(chmod(f->base, 0700), 0);
	pid = fork();
	if (pid == 0) {
		old();
		if (overlay_shifted(f, lowerdir) < 0) {
			print_error("%s\n", f->e.msg);
			_exit(1);
		}
		_exit(owners_hold(f) ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
test_owners(void **state)
{
	shifted_on(*state, without_anything, 3);
}

static void
test_owners_of_many(void **state)
{
	shifted_on(*state, without_anything, 128);
}

static void
test_owners_by_name(void **state)
{
	shifted_on(*state, without_descriptors, 3);
}

static void
test_owners_by_mount(void **state)
{
	shifted_on(*state, without_fsopen, 128);
}

static void
test_owners_refused_by_overlay(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *lowerdir = layers_make(f, 3);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		without_idmapped_layers();
		_exit(overlay_shifted(f, lowerdir) == -ERR_UNIMPLEMENTED && mounts_at(f->at) == 0
			  ? 0
			  : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
test_owners_of_bind(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *file = xasprintf("%s/file-1", f->base);
	const char *options[] = { "rbind", "ro", UIDMAP, GIDMAP };

	put(file, "x");
	assert_int_equal(mounting_make(f->at, "bind", f->base, options, 4, &f->e), 0);
	assert_true(owned(f->at, "file-1", 100000, 200000));
	assert_int_equal(chown(f->at, 100001, 200000), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(umount(f->at), 0);
	options[1] = "rw";
	assert_int_equal(mounting_make(f->at, "bind", f->base, options, 4, &f->e), 0);
	assert_true(work_inside(f->at) && owned(f->base, "made", 0, 0) &&
		    owned(f->base, "file-1", 7, 1000));
}

/* ramfs has no idmapped mounts; nothing stays mounted. */
static void
test_owners_impossible(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *lowerdir = NULL;
	const char *options[] = { "rw", UIDMAP, GIDMAP };

	assert_int_equal(mount("ramfs", f->base, "ramfs", 0, NULL), 0);
	lowerdir = layers_make(f, 2);
	assert_int_equal(overlay_shifted(f, lowerdir), -ERR_UNIMPLEMENTED);
	assert_non_null(strstr(f->e.msg, "has no idmapped mounts"));
	assert_int_equal(
	    mounting_make(f->at, "bind", f->base, options, 3, &f->e), -ERR_UNIMPLEMENTED);
	assert_int_equal(
	    mounting_make(f->at, "tmpfs", "tmpfs", options, 3, &f->e), -ERR_UNIMPLEMENTED);
	options[2] = "rw";
	assert_int_equal(
	    mounting_make(f->at, "bind", f->base, options, 3, &f->e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(mounts_at(f->at), 0);
	assert_int_equal(umount(f->base), 0);
}

/* --- binds and files ------------------------------------------------------------------------------ */

static void
test_bind(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *file = xasprintf("%s/file", f->base);
	AUTO(free_ptr) char *seen = xasprintf("%s/file", f->at);
	const char *options[] = { "rbind", "ro" };

	put(file, "x");
	assert_int_equal(mounting_make(f->at, "bind", f->base, options, 2, &f->e), 0);
	assert_true(holds(seen, "x"));
	assert_int_equal(open(seen, O_WRONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, EROFS);
}

static int
run(const char *const *argv)
{
	union {
		const char *const *in;
		char *const *out;
	} cast = { .in = argv };
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(null, 1);
		(void)dup2(null, 2);
		(void)execvp(argv[0], cast.out);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* A filesystem in a file; the loop device is free again after the unmount. */
static void
test_loop(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *image = xasprintf("%s/image", f->dir);
	AUTO(free_ptr) char *seen = xasprintf("%s/file", f->at);
	AUTO(free_ptr) char *source = xasprintf("%s/file", f->base);
	const char *mkfs[] = { "mkfs.erofs", "-x-1", image, f->base, NULL };
	const char *options[] = { "loop", "ro" };

	if (access("/dev/loop-control", F_OK) < 0)
		skip();
	put(source, "in the image");
	assert_int_equal(run(mkfs), 0);
	assert_int_equal(mounting_make(f->at, "erofs", image, options, 2, &f->e), 0);
	assert_true(holds(seen, "in the image"));
	assert_int_equal(umount(f->at), 0);
	assert_int_equal(
	    mounting_make(f->at, "erofs", source, options, 2, &f->e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(
	    mounting_make(f->at, "erofs", "/nowhere", options, 2, &f->e), -ERR_NOT_FOUND);
	assert_int_equal(mounts_at(f->at), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_layers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layers_most, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layers_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layers_by_mount, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layers_too_many_for_mount, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layer_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_option_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layer_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners_of_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners_by_mount, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners_refused_by_overlay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners_of_bind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners_impossible, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loop, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
