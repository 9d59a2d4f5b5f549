/* SPDX-License-Identifier: Apache-2.0 */
/* test_fs - folders, whole reads, atomic writes and tree removal on a real filesystem. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"

struct fix {
	char path[64];
	int dir;
	struct err e;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)snprintf(f->path, sizeof(f->path), "/tmp/coffer-fs-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dir >= 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	assert_int_equal(fs_remove_tree(AT_FDCWD, f->path, &f->e), 0);
	fd_close(&f->dir);
	free(f);
	return 0;
}

static mode_t
mode_of(struct fix *f, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(f->dir, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

static bool
there(struct fix *f, const char *path)
{
	return faccessat(f->dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
put(struct fix *f, const char *path, const char *text)
{
	assert_int_equal(fs_write(f->dir, path, text, strlen(text), 0644, false, &f->e), 0);
}

/* --- folders ---------------------------------------------------------------------------------- */

static void
test_mkdirs(void **state)
{
	struct fix *f = *state;
	mode_t was = umask(077);

	assert_int_equal(fs_mkdirs(f->dir, "a/b/c", 0711, &f->e), 0);
	assert_int_equal(mode_of(f, "a/b/c"), 0711);
	assert_int_equal(fs_mkdirs(f->dir, "a/b/c", 0700, &f->e), 0); /* there: left as it is */
	assert_int_equal(mode_of(f, "a/b/c"), 0711);
	assert_int_equal(fs_mkdirs(f->dir, "a//b/d//", 0750, &f->e), 0);
	assert_int_equal(mode_of(f, "a/b/d"), 0750);
	(void)umask(was);
}

static void
test_mkdirs_refuses(void **state)
{
	struct fix *f = *state;
	char path[5000];

	put(f, "file", "x");
	assert_int_equal(fs_mkdirs(f->dir, "file", 0700, &f->e), -ERR_FAILED_PRECONDITION);
	assert_non_null(strstr(f->e.msg, "file"));
	assert_true(fs_mkdirs(f->dir, "file/below", 0700, &f->e) < 0);
	assert_int_equal(fs_mkdirs(f->dir, "", 0700, &f->e), -ERR_INVALID_ARGUMENT);
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(fs_mkdirs(f->dir, path, 0700, &f->e), -ERR_INVALID_ARGUMENT);
}

static void
test_open_dir(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int fd = -1;

	assert_int_equal(fs_open_dir(f->dir, "x/y", 0700, &fd, &f->e), 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	fd_close(&fd);
	put(f, "file", "x");
	assert_true(fs_open_dir(f->dir, "file", 0700, &fd, &f->e) < 0);
	assert_int_equal(fd, -1);
}

/* --- reading ---------------------------------------------------------------------------------- */

static int
read_with(struct fix *f, size_t limit, size_t max, size_t *ret_len)
{
	AUTO(buf_free) struct buf b = BUF_LIMIT(limit);
	int r = fs_read(f->dir, "file", max, &b, &f->e);

	*ret_len = b.len;
	return r;
}

/* Around the read's own step, the cap, and a buf's limit: exactly as much as allowed is fine. */
static void
test_read_caps(void **state)
{
	static const size_t sizes[] = { 0, 1, 4095, 16383, 16384, 16385, 40000 };
	AUTO(free_ptr) char *text = xcalloc(1, 50000);
	struct fix *f = *state;
	size_t n;

	memset(text, 'x', 49999);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_int_equal(fs_write(f->dir, "file", text, sizes[i], 0644, false, &f->e), 0);
		assert_int_equal(read_with(f, 0, sizes[i], &n), 0);
		assert_int_equal(n, sizes[i]);
		assert_int_equal(read_with(f, 0, 1 << 20, &n), 0);
		assert_int_equal(n, sizes[i]);
		if (sizes[i] == 0)
			continue;
		assert_int_equal(read_with(f, sizes[i], 1 << 20, &n), 0);
		assert_int_equal(n, sizes[i]);
		assert_int_equal(read_with(f, 0, sizes[i] - 1, &n), -ERR_RESOURCE_EXHAUSTED);
		assert_non_null(strstr(f->e.msg, "file"));
		assert_true(n <= sizes[i] - 1);
		if (sizes[i] > 1)
			assert_int_equal(
			    read_with(f, sizes[i] - 1, 1 << 20, &n), -ERR_RESOURCE_EXHAUSTED);
	}
}

static void
test_read_refuses(void **state)
{
	struct fix *f = *state;
	AUTO(buf_free) struct buf b = BUF_ZERO;

	assert_int_equal(fs_read(f->dir, "none", 10, &b, &f->e), -ERR_NOT_FOUND);
	put(f, "file", "secret");
	assert_int_equal(symlinkat("file", f->dir, "link"), 0);
	assert_true(fs_read(f->dir, "link", 10, &b, &f->e) < 0);
	assert_int_equal(mkfifoat(f->dir, "fifo", 0600), 0);
	assert_int_equal(fs_read(f->dir, "fifo", 10, &b, &f->e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(fs_mkdirs(f->dir, "dir", 0700, &f->e), 0);
	assert_int_equal(fs_read(f->dir, "dir", 10, &b, &f->e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(fs_read(AT_FDCWD, "/dev/zero", 1 << 20, &b, &f->e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(b.len, 0);
	assert_int_equal(fs_read(AT_FDCWD, "/proc/self/stat", 1 << 16, &b, &f->e), 0);
	assert_true(b.len > 10); /* regular, of size 0 */
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
test_write_replaces(void **state)
{
	struct fix *f = *state;
	AUTO(buf_free) struct buf b = BUF_ZERO;
	mode_t was = umask(077);
	DIR *d;
	unsigned n = 0;

	assert_int_equal(fs_write(f->dir, "f", "one", 3, 0640, true, &f->e), 0);
	assert_int_equal(mode_of(f, "f"), 0640);
	assert_int_equal(fs_write(f->dir, "f", "", 0, 0600, true, &f->e), 0);
	assert_int_equal(mode_of(f, "f"), 0600);
	assert_int_equal(fs_write(f->dir, "f", "two", 3, 0600, false, &f->e), 0);
	assert_int_equal(fs_read(f->dir, "f", 10, &b, &f->e), 0);
	assert_string_equal(buf_str(&b), "two");
	(void)umask(was);
	d = fdopendir(openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	dir_close(&d);
	assert_int_equal(n, 3); /* ., .. and f: no temporary file */
}

static void
test_write_fails_cleanly(void **state)
{
	struct fix *f = *state;

	assert_int_equal(fs_write(f->dir, "no/f", "x", 1, 0600, true, &f->e), -ERR_NOT_FOUND);
	assert_int_equal(fs_mkdirs(f->dir, "d", 0700, &f->e), 0);
	assert_true(fs_write(f->dir, "d", "x", 1, 0600, true, &f->e) < 0); /* a folder in the way */
	assert_int_equal(mode_of(f, "d"), 0700);
	assert_int_equal(unlinkat(f->dir, "d", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("elsewhere", f->dir, "link"), 0);
	assert_int_equal(fs_write(f->dir, "link", "x", 1, 0600, false, &f->e), 0);
	assert_false(there(f, "elsewhere")); /* the link was replaced, not followed */
}

/* A write that meets a size limit: the old file stays, nothing else is left. */
static void
test_write_meets_limit(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *text = xcalloc(1, 100000);
	AUTO(buf_free) struct buf b = BUF_ZERO;
	int status;
	pid_t pid;

	put(f, "f", "old");
	pid = fork();
	if (pid == 0) {
		struct rlimit small = { 50000, 50000 };
		struct sigaction ignore = { .sa_handler = SIG_IGN };
		int r;

		(void)sigaction(SIGXFSZ, &ignore, NULL);
		(void)setrlimit(RLIMIT_FSIZE, &small);
		r = fs_write(f->dir, "f", text, 100000, 0600, true, &f->e);
		_exit(r == -ERR_RESOURCE_EXHAUSTED ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(fs_read(f->dir, "f", 10, &b, &f->e), 0);
	assert_string_equal(buf_str(&b), "old");
}

/* --- removing --------------------------------------------------------------------------------- */

static void
test_remove_tree(void **state)
{
	struct fix *f = *state;

	assert_int_equal(fs_remove_tree(f->dir, "none", &f->e), 0);
	assert_int_equal(fs_remove_tree(f->dir, "none/below", &f->e), 0);
	assert_int_equal(fs_mkdirs(f->dir, "keep", 0700, &f->e), 0);
	put(f, "keep/me", "x");
	assert_int_equal(fs_mkdirs(f->dir, "t/a/b/c", 0700, &f->e), 0);
	put(f, "t/a/one", "1");
	assert_int_equal(symlinkat("../../keep", f->dir, "t/a/link"), 0);
	assert_int_equal(symlinkat("nowhere", f->dir, "t/dangling"), 0);
	assert_int_equal(mkfifoat(f->dir, "t/fifo", 0600), 0);
	assert_int_equal(fs_remove_tree(f->dir, "t", &f->e), 0);
	assert_false(there(f, "t"));
	assert_true(there(f, "keep/me"));
	assert_int_equal(fs_remove_tree(f->dir, "keep/me", &f->e), 0); /* a file is a small tree */
	assert_int_equal(symlinkat("keep", f->dir, "link"), 0);
	assert_int_equal(fs_remove_tree(f->dir, "link", &f->e), 0);
	assert_true(there(f, "keep"));
}

/* Deeper than descriptors and paths go, as a container can make it. */
static void
test_remove_deep_tree(void **state)
{
	struct fix *f = *state;
	struct rlimit few = { 100, 100 };
	int status;
	pid_t pid;

	assert_int_equal(fs_mkdirs(f->dir, "deep", 0700, &f->e), 0);
	pid = fork();
	if (pid == 0) {
		int fd = openat(f->dir, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		for (int i = 0; i < 5000 && fd >= 0; i++) {
			int next = -1;

			if (mkdirat(fd, "d", 0700) < 0 || mkdirat(fd, "e", 0700) < 0)
				_exit(2);
			next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			(void)close(fd);
			fd = next;
		}
		if (fd < 0 || setrlimit(RLIMIT_NOFILE, &few) < 0)
			_exit(3);
		_exit(fs_remove_tree(f->dir, "deep", &f->e) == 0 ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(there(f, "deep"));
}

static void
test_remove_wide_tree(void **state)
{
	struct fix *f = *state;
	char name[32];

	assert_int_equal(fs_mkdirs(f->dir, "wide", 0700, &f->e), 0);
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "wide/%d", i);
		assert_int_equal(mkdirat(f->dir, name, 0700), 0);
	}
	assert_int_equal(fs_remove_tree(f->dir, "wide", &f->e), 0);
	assert_false(there(f, "wide"));
}

/* What is mounted below stays, be it another filesystem or another part of the same one. */
static void
test_remove_stops_at_mounts(void **state)
{
	struct fix *f = *state;
	char precious[96], bind[96], tmpfs[96];
	int status;
	pid_t pid;

	(void)snprintf(precious, sizeof(precious), "%s/precious", f->path);
	(void)snprintf(bind, sizeof(bind), "%s/t/bind", f->path);
	(void)snprintf(tmpfs, sizeof(tmpfs), "%s/u/tmpfs", f->path);
	assert_int_equal(fs_mkdirs(f->dir, "precious", 0700, &f->e), 0);
	assert_int_equal(fs_mkdirs(f->dir, "t/bind", 0700, &f->e), 0);
	assert_int_equal(fs_mkdirs(f->dir, "u/tmpfs", 0700, &f->e), 0);
	put(f, "precious/file", "x");
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount(precious, bind, NULL, MS_BIND, NULL) < 0 ||
		    mount("none", tmpfs, "tmpfs", 0, NULL) < 0)
			_exit(77);
		f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* in this namespace */
		put(f, "u/tmpfs/file", "x");
		if (fs_remove_tree(f->dir, "t", &f->e) != -ERR_FAILED_PRECONDITION ||
		    strstr(f->e.msg, "bind") == NULL)
			_exit(1);
		if (fs_remove_tree(f->dir, "u", &f->e) != -ERR_FAILED_PRECONDITION)
			_exit(2);
		if (fs_remove_tree(f->dir, "u/tmpfs", &f->e) != -ERR_FAILED_PRECONDITION)
			_exit(3);
		_exit(there(f, "u/tmpfs/file") ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(there(f, "precious/file"));
	if (WEXITSTATUS(status) == 77)
		skip(); /* no right to mount */
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_mkdirs),
		T(test_mkdirs_refuses),
		T(test_open_dir),
		T(test_read_caps),
		T(test_read_refuses),
		T(test_write_replaces),
		T(test_write_fails_cleanly),
		T(test_write_meets_limit),
		T(test_remove_tree),
		T(test_remove_deep_tree),
		T(test_remove_wide_tree),
		T(test_remove_stops_at_mounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
