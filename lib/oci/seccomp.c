/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp - see seccomp.h */
#include "lib/oci/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/err.h"

/* Allowed for everyone. Runtimes skip names that their libseccomp does not know. */
static const char always[] =
    "accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod "
    "chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 "
    "clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close "
    "close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 "
    "epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
    "eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 "
    "fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown "
    "fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork "
    "fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate "
    "ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake "
    "futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 "
    "getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid "
    "getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit "
    "get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid "
    "gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init "
    "inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents "
    "io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc "
    "kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown "
    "lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr "
    "_llseek lremovexattr lseek lsetxattr lsm_get_self_attr lsm_list_modules "
    "lsm_set_self_attr lstat lstat64 madvise membarrier memfd_create memfd_secret "
    "mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall map_shadow_stack mmap "
    "mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive "
    "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal "
    "msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at "
    "nanosleep newfstatat _newselect open openat openat2 pause pidfd_open "
    "pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll "
    "ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 "
    "pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv "
    "recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr "
    "removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction "
    "rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity "
    "sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min "
    "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
    "sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield "
    "seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile "
    "sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid "
    "setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 "
    "setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit "
    "set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32 "
    "setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd "
    "signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs "
    "statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee "
    "tgkill time timer_create timer_delete timer_getoverrun timer_gettime "
    "timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime "
    "timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 "
    "ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 "
    "utimes vfork vmsplice wait4 waitid waitpid write writev "
    "process_vm_readv process_vm_writev ptrace "
#if defined(__x86_64__)
    "arch_prctl modify_ldt";
#elif defined(__aarch64__)
    "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";
#elif defined(__riscv)
    "riscv_flush_icache riscv_hwprobe";
#elif defined(__s390x__)
    "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr";
#elif defined(__powerpc64__)
    "sync_file_range2 swapcontext";
#else
    "";
#endif

/* Allowed for who has the capability. */
static const struct {
	unsigned cap;
	const char *names;
} by_cap[] = {
	{ CAP_DAC_READ_SEARCH, "open_by_handle_at" },
	{ CAP_SYS_ADMIN,
	    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount "
	    "mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname "
	    "sethostname setns syslog umount umount2 unshare" },
	{ CAP_SYS_BOOT, "reboot" },
	{ CAP_SYS_CHROOT, "chroot" },
	{ CAP_SYS_MODULE, "delete_module init_module finit_module" },
	{ CAP_SYS_PACCT, "acct" },
	{ CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise" },
	{ CAP_SYS_RAWIO, "iopl ioperm" },
	{ CAP_SYS_TIME, "settimeofday stime clock_settime clock_settime64" },
	{ CAP_SYS_TTY_CONFIG, "vhangup" },
	{ CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node" },
	{ CAP_SYSLOG, "syslog" },
	{ CAP_BPF, "bpf" },
	{ CAP_PERFMON, "perf_event_open" },
};

static const char *const arches[] = {
#if defined(__x86_64__)
	/* Not X32, which other profiles have: kernels are built or booted without it, libseccomp ends a
	 * process that uses it all the same, and compiling it in takes a fifth of a container's start. */
	"SCMP_ARCH_X86_64",
	"SCMP_ARCH_X86",
#elif defined(__aarch64__)
	"SCMP_ARCH_ARM",
	"SCMP_ARCH_AARCH64",
#elif defined(__riscv)
	"SCMP_ARCH_RISCV64",
#elif defined(__s390x__)
	"SCMP_ARCH_S390",
	"SCMP_ARCH_S390X",
#elif defined(__powerpc64__)
	"SCMP_ARCH_PPC64LE",
#endif
};

/* The argument of clone that holds its flags. */
#if defined(__s390x__)
#define CLONE_FLAGS_ARG 1
#else
#define CLONE_FLAGS_ARG 0
#endif
#define CLONE_NEW_ALL                                                                              \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
	    CLONE_NEWCGROUP)

#define FAMILY_ALG 38
#define FAMILY_VSOCK 40

static json_t *
words(const char *text)
{
	json_t *list = json_array();

	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (n > 0)
			(void)json_array_append_new(list, json_stringn(text, n));
		text += n;
		text += *text == ' ';
	}
	return list;
}

static void
allow(json_t *rules, const char *names)
{
	if (names[0] != '\0')
		(void)json_array_append_new(rules,
		    json_pack("{s:o, s:s}", "names", words(names), "action", "SCMP_ACT_ALLOW"));
}

/* One condition on one argument. Several rules for one call are alternatives. */
static void
allow_when(
    json_t *rules, const char *name, unsigned arg, const char *op, uint64_t value, uint64_t two)
{
	json_t *cond = json_pack("{s:i, s:I, s:I, s:s}", "index", (int)arg, "value",
	    (json_int_t)value, "valueTwo", (json_int_t)two, "op", op);

	(void)json_array_append_new(rules, json_pack("{s:[s], s:s, s:[o]}", "names", name, "action",
					       "SCMP_ACT_ALLOW", "args", cond));
}

/* All socket families but AF_ALG and AF_VSOCK: three ranges, since runtimes turn several conditions
 * on one argument into alternatives. */
static void
allow_sockets(json_t *rules)
{
	allow_when(rules, "socket", 0, "SCMP_CMP_LT", FAMILY_ALG, 0);
	allow_when(rules, "socket", 0, "SCMP_CMP_EQ", FAMILY_ALG + 1, 0);
	allow_when(rules, "socket", 0, "SCMP_CMP_GT", FAMILY_VSOCK, 0);
}

json_t *
oci_seccomp_default(uint64_t caps)
{
	static const uint32_t personalities[] = { 0, 0x0008, 0x20000, 0x20008, 0xffffffff };
	json_t *rules = json_array(), *archs = json_array();
	bool admin = (caps >> CAP_SYS_ADMIN & 1) != 0;

	for (size_t i = 0; i < COUNT(arches); i++)
		(void)json_array_append_new(archs, json_string(arches[i]));
	allow(rules, always);
	allow_sockets(rules);
	for (size_t i = 0; i < COUNT(personalities); i++)
		allow_when(rules, "personality", 0, "SCMP_CMP_EQ", personalities[i], 0);
	for (size_t i = 0; i < COUNT(by_cap); i++)
		if ((caps >> by_cap[i].cap & 1) != 0)
			allow(rules, by_cap[i].names);
	if (!admin) {
		allow_when(rules, "clone", CLONE_FLAGS_ARG, "SCMP_CMP_MASKED_EQ", CLONE_NEW_ALL, 0);
		(void)json_array_append_new(
		    rules, json_pack("{s:[s], s:s, s:i}", "names", "clone3", "action",
			       "SCMP_ACT_ERRNO", "errnoRet", ENOSYS));
	}
	return json_pack("{s:s, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO", "architectures",
	    archs, "syscalls", rules);
}
