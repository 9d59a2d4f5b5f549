/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of the children that unpack: what they need goes on, whatever else ends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/cell.h"

typedef void act_fn(void);

/* How a child ends that enters the cell and then does this; 0 is a good end. */
static int
end_of(enum cell c, act_fn *act)
{
	pid_t pid = fork();
	struct err e = ERR_ZERO;
	int status;

	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		(void)setrlimit(RLIMIT_CORE, &none);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || cell_enter(c, &e) < 0)
			_exit(9);
		act();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
do_socket(void)
{
	(void)socket(AF_UNIX, SOCK_STREAM, 0);
}
static void
do_exec(void)
{
	(void)execl("/bin/true", "true", NULL);
}
static void
do_fork(void)
{
	(void)syscall(SYS_fork);
}
static void
do_clone(void)
{
	(void)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}
static void
do_kill(void)
{
	(void)kill(getppid(), 0);
}
static void
do_ptrace(void)
{
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static void
do_mount(void)
{
	(void)mount("none", "/", "tmpfs", MS_REMOUNT, NULL);
}
static void
do_open_tree(void)
{
	(void)open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE);
}
static void
do_chroot(void)
{
	(void)!chroot("/");
}
static void
do_unshare(void)
{
	(void)unshare(CLONE_NEWUSER);
}
static void
do_tty(void)
{
	(void)ioctl(0, TIOCSTI, "x");
}
static void
do_uring(void)
{
	(void)syscall(SYS_io_uring_setup, 1, NULL);
}
static void
do_bpf(void)
{
	(void)syscall(SYS_bpf, 0, NULL, 0);
}
static void
do_handle(void)
{
	(void)syscall(SYS_open_by_handle_at, -1, NULL, 0);
}
static void
do_setuid(void)
{
	(void)syscall(SYS_setuid, 0);
}
static void
do_code(void)
{
	(void)mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void
do_vmread(void)
{
	(void)syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0);
}
static void
do_make(void)
{
	(void)mkdirat(AT_FDCWD, "/proc/x", 0700);
}
static void
do_remove(void)
{
	(void)unlinkat(AT_FDCWD, "/proc/x", 0);
}

static void
forbidden_calls_end_a_child(void **state)
{
	static const struct {
		const char *name;
		act_fn *act;
	} acts[] = { { "socket", do_socket }, { "execve", do_exec }, { "fork", do_fork },
		{ "clone", do_clone }, { "kill", do_kill }, { "ptrace", do_ptrace },
		{ "mount", do_mount }, { "open_tree", do_open_tree }, { "chroot", do_chroot },
		{ "unshare", do_unshare }, { "TIOCSTI", do_tty }, { "io_uring_setup", do_uring },
		{ "bpf", do_bpf }, { "open_by_handle_at", do_handle }, { "setuid", do_setuid },
		{ "mmap of code", do_code }, { "process_vm_readv", do_vmread } };

	(void)state;
	for (unsigned i = 0; i < COUNT(acts); i++) {
		int status = end_of(CELL_MAKE, acts[i].act);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: wait status %d", acts[i].name, status);
	}
}

static void
cells_differ(void **state)
{
	(void)state;
	assert_int_equal(end_of(CELL_MAKE, do_make), 0);
	assert_int_equal(end_of(CELL_CLEAR, do_remove), 0);
	assert_int_equal(WTERMSIG(end_of(CELL_CLEAR, do_make)), SIGSYS);
	assert_int_equal(WTERMSIG(end_of(CELL_LOOK, do_remove)), SIGSYS);
	assert_int_equal(WTERMSIG(end_of(CELL_IMAGE, do_make)), SIGSYS);
	assert_int_equal(WTERMSIG(end_of(CELL_IMAGE, do_remove)), SIGSYS);
}

static void *
on_thread(void *arg)
{
	void *p = malloc(1 << 20);

	free(p);
	return arg;
}

static void
do_all_that_is_needed(void)
{
	int fd = openat(AT_FDCWD, "/", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	pthread_t t;

	if (pthread_create(&t, NULL, on_thread, NULL) != 0 || pthread_join(t, NULL) != 0)
		_exit(1);
	if (fd >= 0 && (fchmod(fd, 0644) < 0 || ftruncate(fd, 5) < 0 || fsync(fd) < 0))
		_exit(2);
	if (ioctl(fd, FICLONE, -1) == 0) /* refused by the file, not by the filter */
		_exit(3);
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 || errno != EINVAL)
		_exit(4);
}

static void
what_is_needed_goes_on(void **state)
{
	(void)state;
	assert_int_equal(end_of(CELL_MAKE, do_all_that_is_needed), 0);
}

static int
prepare(void **state)
{
	struct err e = ERR_ZERO;

	(void)state;
	return cell_prepare(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_calls_end_a_child),
		cmocka_unit_test(cells_differ),
		cmocka_unit_test(what_is_needed_goes_on),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
