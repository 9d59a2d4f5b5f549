/* SPDX-License-Identifier: Apache-2.0 */
/* cell - see cell.h */
#include "workers/snapshot/cell.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"

#define PROGRAM_MAX 4096 /* BPF_MAXINSNS */

/* The least cell that has the call; those behind it have it too. */
static const struct allowed {
	int call;
	enum cell from;
} allowed[] = {
	/* memory, threads, time; the end */
	{ SCMP_SYS(brk), CELL_LOOK },
	{ SCMP_SYS(clock_gettime), CELL_LOOK },
	{ SCMP_SYS(clock_nanosleep), CELL_LOOK },
	{ SCMP_SYS(exit), CELL_LOOK },
	{ SCMP_SYS(exit_group), CELL_LOOK },
	{ SCMP_SYS(futex), CELL_LOOK },
	{ SCMP_SYS(getpid), CELL_LOOK }, /* abort() */
	{ SCMP_SYS(getrandom), CELL_LOOK },
	{ SCMP_SYS(gettid), CELL_LOOK },
	{ SCMP_SYS(gettimeofday), CELL_LOOK },
	{ SCMP_SYS(madvise), CELL_LOOK },
	{ SCMP_SYS(mremap), CELL_LOOK },
	{ SCMP_SYS(munmap), CELL_LOOK },
	{ SCMP_SYS(restart_syscall), CELL_LOOK },
	{ SCMP_SYS(rseq), CELL_LOOK },
	{ SCMP_SYS(rt_sigaction), CELL_LOOK },
	{ SCMP_SYS(rt_sigprocmask), CELL_LOOK },
	{ SCMP_SYS(rt_sigreturn), CELL_LOOK },
	{ SCMP_SYS(sched_getaffinity), CELL_LOOK },
	{ SCMP_SYS(sched_yield), CELL_LOOK },
	{ SCMP_SYS(set_robust_list), CELL_LOOK },
	{ SCMP_SYS(sysinfo), CELL_LOOK }, /* qsort() */
	/* files as they are */
	{ SCMP_SYS(close), CELL_LOOK },
	{ SCMP_SYS(close_range), CELL_LOOK },
	{ SCMP_SYS(dup), CELL_LOOK },
	{ SCMP_SYS(fadvise64), CELL_LOOK },
	{ SCMP_SYS(fchdir), CELL_LOOK },
	{ SCMP_SYS(fcntl), CELL_LOOK },
	{ SCMP_SYS(fgetxattr), CELL_LOOK },
	{ SCMP_SYS(flistxattr), CELL_LOOK },
	{ SCMP_SYS(fstat), CELL_LOOK },
	{ SCMP_SYS(fstatfs), CELL_LOOK },
	{ SCMP_SYS(getdents64), CELL_LOOK },
	{ SCMP_SYS(getxattr), CELL_LOOK },
	{ SCMP_SYS(lgetxattr), CELL_LOOK },
	{ SCMP_SYS(listxattr), CELL_LOOK },
	{ SCMP_SYS(llistxattr), CELL_LOOK },
	{ SCMP_SYS(lseek), CELL_LOOK },
	{ SCMP_SYS(newfstatat), CELL_LOOK },
	{ SCMP_SYS(openat), CELL_LOOK },
	{ SCMP_SYS(openat2), CELL_LOOK },
	{ SCMP_SYS(pread64), CELL_LOOK },
	{ SCMP_SYS(read), CELL_LOOK },
	{ SCMP_SYS(readlinkat), CELL_LOOK },
	{ SCMP_SYS(readv), CELL_LOOK },
	{ SCMP_SYS(statx), CELL_LOOK },
	{ SCMP_SYS(write), CELL_LOOK },
	{ SCMP_SYS(writev), CELL_LOOK },
#ifdef __SANITIZE_ADDRESS__
	/* what the sanitizers do, and say when they have found something */
	{ SCMP_SYS(getrusage), CELL_LOOK },
	{ SCMP_SYS(mincore), CELL_LOOK },
	{ SCMP_SYS(open), CELL_LOOK },
	{ SCMP_SYS(pipe), CELL_LOOK },
	{ SCMP_SYS(pipe2), CELL_LOOK },
	{ SCMP_SYS(prlimit64), CELL_LOOK },
	{ SCMP_SYS(readlink), CELL_LOOK },
	{ SCMP_SYS(sigaltstack), CELL_LOOK },
	{ SCMP_SYS(tgkill), CELL_LOOK },
#endif
	/* writing */
	{ SCMP_SYS(fallocate), CELL_IMAGE },
	{ SCMP_SYS(fdatasync), CELL_IMAGE },
	{ SCMP_SYS(fsync), CELL_IMAGE },
	{ SCMP_SYS(ftruncate), CELL_IMAGE },
	{ SCMP_SYS(pwrite64), CELL_IMAGE },
	{ SCMP_SYS(pwritev), CELL_IMAGE },
	{ SCMP_SYS(sync_file_range), CELL_IMAGE },
	/* removing */
	{ SCMP_SYS(fchmod), CELL_CLEAR },
	{ SCMP_SYS(renameat), CELL_CLEAR },
	{ SCMP_SYS(renameat2), CELL_CLEAR },
	{ SCMP_SYS(unlinkat), CELL_CLEAR },
	/* making */
	{ SCMP_SYS(copy_file_range), CELL_MAKE },
	{ SCMP_SYS(fchmodat), CELL_MAKE },
	{ SCMP_SYS(fchown), CELL_MAKE },
	{ SCMP_SYS(fchownat), CELL_MAKE },
	{ SCMP_SYS(fremovexattr), CELL_MAKE },
	{ SCMP_SYS(lremovexattr), CELL_MAKE },
	{ SCMP_SYS(fsetxattr), CELL_MAKE },
	{ SCMP_SYS(linkat), CELL_MAKE },
	{ SCMP_SYS(lsetxattr), CELL_MAKE },
	{ SCMP_SYS(mkdirat), CELL_MAKE },
	{ SCMP_SYS(mknodat), CELL_MAKE },
	{ SCMP_SYS(symlinkat), CELL_MAKE },
	{ SCMP_SYS(syncfs), CELL_MAKE },
	{ SCMP_SYS(utimensat), CELL_MAKE },
};

/* Requests on files that are needed; all others are for devices, sockets and terminals. */
static const unsigned long requests[] = { FICLONE, FICLONERANGE, FS_IOC_ENABLE_VERITY,
	FS_IOC_MEASURE_VERITY };

static struct {
	struct sock_filter *code[CELL_COUNT];
	unsigned short n[CELL_COUNT];
} programs;

static void
filter_free(scmp_filter_ctx *f)
{
	if (*f != NULL)
		seccomp_release(*f);
}

/* Calls that depend on what they are asked for. */
static int
rules_with_arguments(scmp_filter_ctx f)
{
	const struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_code);

	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code);
	/* A thread, not a process. The new call has its flags in memory: the old one is used then. */
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (unsigned i = 0; r == 0 && i < COUNT(requests); i++)
		r = seccomp_rule_add(
		    f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, requests[i], 0));
	/* glibc gives names to its memory, where the kernel lets it; setting those of threads is the same. */
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 0);
	return r;
}

/* The filter as a program, by way of a memory file. */
static int
program_take(scmp_filter_ctx f, enum cell c)
{
	AUTO(fd_close) int fd = memfd_create("filter", MFD_CLOEXEC);
	struct stat st;
	int r = fd < 0 ? -errno : seccomp_export_bpf(f, fd);
	size_t n;

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	n = (size_t)st.st_size / sizeof(struct sock_filter);
	if (n == 0 || n > PROGRAM_MAX)
		return -E2BIG;
	programs.code[c] = xcalloc(n, sizeof(struct sock_filter));
	if (pread(fd, programs.code[c], n * sizeof(struct sock_filter), 0) != st.st_size)
		return -EIO;
	programs.n[c] = (unsigned short)n;
	return 0;
}

static int
program_make(enum cell c)
{
	AUTO(filter_free) scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = f == NULL ? -ENOMEM : 0;

	/* A tree by number instead of one comparison behind the other. */
	if (r == 0)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (unsigned i = 0; r == 0 && i < COUNT(allowed); i++)
		if (allowed[i].from <= c)
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i].call, 0);
	if (r == 0)
		r = rules_with_arguments(f);
	return r < 0 ? r : program_take(f, c);
}

int
cell_prepare(struct err *e)
{
	for (enum cell c = 0; c < CELL_COUNT; c++) {
		int r = program_make(c);

		if (r < 0)
			return err_sys(e, -r, "make the system call filter");
	}
	return 0;
}

int
cell_enter(enum cell c, struct err *e)
{
	struct sock_fprog p = { .len = programs.n[c], .filter = programs.code[c] };

	if (p.filter != NULL && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p, 0, 0) < 0)
		return err_sys(e, errno, "enter the system call filter");
	return 0;
}
