/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders as task gives them, with a real shim's calls: this program under the name of a shim does what
 * the container's id says.
 */
#include "supervisor/orders.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/base/fdpass.h"
#include "supervisor/bundle.h"
#include "supervisor/shim.h"
#include "tests/unit/supervisor/rig.h"

/* --- a shim -------------------------------------------------------------------------------------------- */

static void
loud(FILE *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)fputc('x', to);
	(void)fflush(to);
}

/* Says what it sees: arguments, folder, environment, input. */
static int
tell_all(int argc, char **argv)
{
	char cwd[4096], in[64] = "";

	for (int i = 1; i < argc; i++)
		(void)printf("%s ", argv[i]);
	if (getcwd(cwd, sizeof(cwd)) == NULL || read(STDIN_FILENO, in, sizeof(in) - 1) < 0)
		return 1;
	(void)printf("\ncwd %s\nstdin %s\nlogs %s\nstate %s\nleader %d\nfds", cwd, in,
	    getenv("COFFER_LOG_DIR"), getenv("COFFER_STATE"), getsid(0) == getpid());
	for (int fd = 3; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			(void)printf(" %d", fd);
	return 0;
}

static int
shim(int argc, char **argv)
{
	const char *verb = argv[argc - 1], *id = argc > 4 ? argv[4] : "";

	if (strcmp(verb, "probe") == 0)
		return printf("runc ok\n") < 0;
	if (strcmp(verb, "delete") == 0)
		return printf("deleted") < 0;
	if (strcmp(id, "fails") == 0) {
		(void)fprintf(stderr, "first line\nno such runtime\n");
		return 5;
	}
	if (strcmp(id, "slow") == 0)
		(void)sleep(60);
	if (strcmp(id, "loud") == 0)
		loud(stdout, ORDER_DATA_MAX + 100000);
	if (strcmp(id, "wordy") == 0)
		loud(stderr, 300000);
	if (strcmp(id, "forks") == 0 && fork() == 0) { /* a daemon that keeps the pipes */
		(void)sleep(2);
		_exit(0);
	}
	if (strcmp(id, "short") == 0)
		(void)usleep(300000);
	return tell_all(argc, argv);
}

/* --- the tests ----------------------------------------------------------------------------------------- */

struct fixture {
	struct rig *rig;
	struct crew crew; /* only its task, whose other end is here */
	struct orders orders;
	int task;
};

struct answer {
	struct order_reply r;
	char data[ORDER_DATA_MAX + 1];
	int fd;
};

static void
control_run(void *arg, uint32_t events)
{
	struct fixture *f = arg;

	if ((events & EPOLLOUT) != 0)
		orders_flush(&f->orders);
}

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct member *m = &f->crew.members[PROC_TASK];
	int pair[2];

	f->rig = rig_new();
	rig_program(f->rig, "containerd-shim-coffer-v1");
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	m->control = pair[0];
	m->on_control = loop_fd(f->rig->loop, m->control, EPOLLIN, control_run, f);
	f->task = pair[1];
	orders_open(&f->orders, f->rig->loop, &f->rig->folders, &f->crew, f->rig->bin);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	orders_close(&f->orders);
	loop_del(&f->crew.members[PROC_TASK].on_control);
	fd_close(&f->crew.members[PROC_TASK].control);
	fd_close(&f->task);
	rig_free(f->rig);
	free(f);
	return 0;
}

static int
memfd(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	return fd;
}

static struct order
order(uint32_t op, const char *id)
{
	struct order o = { .version = CONTROL_VERSION, .size = sizeof(o), .op = op, .seq = 7 };

	(void)strcpy(o.ns, "default");
	(void)snprintf(o.id, sizeof(o.id), "%s", id);
	return o;
}

static void
give(struct fixture *f, const struct order *o, int fd0, int fd1)
{
	int fds[2] = { fd0, fd1 };

	orders_take(&f->orders, o, fds, fd0 < 0 ? 0 : fd1 < 0 ? 1 : 2);
}

static bool
answered(struct fixture *f, struct answer *a)
{
	static union {
		struct order_reply r;
		char bytes[sizeof(struct order_reply) + ORDER_DATA_MAX];
	} packet;
	unsigned nfds = 1;
	ssize_t n;

	a->fd = -1;
	n = fdpass_recv(f->task, &packet, sizeof(packet), &a->fd, &nfds);
	if (n < 0)
		return false;
	assert_int_equal(n, packet.r.size);
	a->r = packet.r;
	memcpy(a->data, packet.r.data, packet.r.data_len);
	a->data[packet.r.data_len] = '\0';
	assert_int_equal(a->r.seq, 7);
	return true;
}

static struct answer
ask(struct fixture *f, const struct order *o, int fd0, int fd1)
{
	struct answer a;

	give(f, o, fd0, fd1);
	UNTIL(f->rig, answered(f, &a));
	return a;
}

static struct answer
start(struct fixture *f, const char *id)
{
	struct order o = order(ORDER_SHIM_START, id);

	return ask(f, &o, memfd("{}"), memfd("options"));
}

static bool
exists(struct fixture *f, const char *rel)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", f->rig->dir, rel);
	return access(path, F_OK) == 0;
}

static mode_t
mode_of(struct fixture *f, const char *rel)
{
	char path[512];
	struct stat st = { .st_mode = 0 };

	(void)snprintf(path, sizeof(path), "%s/%s", f->rig->dir, rel);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void
a_start_makes_the_bundle_and_calls_the_shim_in_it(void **state)
{
	struct fixture *f = *state;
	struct answer a = start(f, "fine");
	char want[5000];

	assert_int_equal(a.r.code, 0);
	(void)snprintf(want, sizeof(want),
	    "-namespace default -id fine -address %s/containerd.sock -publish-binary %s/cofferd "
	    "start "
	    "\ncwd %s/bundles/default/fine\nstdin options\nlogs %s/logs/default/fine\nstate %s\n"
	    "leader 1\nfds",
	    f->rig->folders.state, f->rig->bin, f->rig->folders.state, f->rig->folders.root,
	    f->rig->folders.state);
	assert_string_equal(a.data, want);
	assert_int_equal(mode_of(f, "state/bundles/default"), 0711);
	assert_int_equal(mode_of(f, "state/bundles/default/fine"), 0700);
	assert_int_equal(mode_of(f, "state/bundles/default/fine/rootfs"), 0755);
	assert_int_equal(mode_of(f, "state/bundles/default/fine/config.json"), 0600);
	assert_int_equal(mode_of(f, "root/logs/default/fine"), 0750);
}

static void
a_second_start_of_the_same_is_refused_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	assert_int_equal(start(f, "fine").r.code, 0);
	a = start(f, "fine");
	assert_int_equal(a.r.code, ERR_ALREADY_EXISTS);
	assert_true(exists(f, "state/bundles/default/fine/config.json"));
}

static void
a_failed_start_tells_the_shims_words_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct answer a = start(f, "fails");

	assert_int_equal(a.r.code, ERR_INTERNAL);
	assert_int_equal(a.r.exit_status, 5);
	assert_string_equal(a.r.message, "shim start: no such runtime (exit status 5)");
	assert_false(exists(f, "state/bundles/default"));
}

static void
a_slow_start_is_killed(void **state)
{
	struct fixture *f = *state;
	struct order o = order(ORDER_SHIM_START, "slow");
	struct answer a;

	o.timeout_ms = 200;
	a = ask(f, &o, memfd("{}"), memfd(""));
	assert_int_equal(a.r.code, ERR_DEADLINE_EXCEEDED);
	assert_false(exists(f, "state/bundles/default"));
}

static void
output_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct answer a = start(f, "loud");

	assert_int_equal(a.r.code, ERR_INTERNAL);
	assert_non_null(strstr(a.r.message, "longer than 16384 bytes"));
	a = start(f, "wordy");
	assert_int_equal(a.r.code, 0);
}

static void
a_daemon_that_keeps_the_pipes_holds_nothing_up(void **state)
{
	struct fixture *f = *state;
	uint64_t since = clock_mono_ms();

	assert_int_equal(start(f, "forks").r.code, 0);
	assert_true(clock_mono_ms() - since < 1500);
}

static void
orders_for_one_container_run_one_after_the_other(void **state)
{
	struct fixture *f = *state;
	struct order first = order(ORDER_SHIM_START, "short"),
		     second = order(ORDER_SHIM_DELETE, "short");
	struct order third = order(ORDER_BUNDLE_REMOVE, "short");
	struct answer a;

	give(f, &first, memfd("{}"), memfd(""));
	give(f, &second, -1, -1);
	give(f, &third, -1, -1);
	assert_false(answered(f, &a));
	UNTIL(f->rig, answered(f, &a));
	assert_non_null(strstr(a.data, "start"));
	UNTIL(f->rig, answered(f, &a));
	assert_int_equal(a.r.code, 0);
	assert_string_equal(a.data, "deleted");
	UNTIL(f->rig, answered(f, &a));
	assert_int_equal(a.r.code, 0);
	assert_false(exists(f, "state/bundles/default"));
	assert_int_equal(f->orders.used, 0);
}

static void
delete_and_remove_without_a_bundle(void **state)
{
	struct fixture *f = *state;
	struct order o = order(ORDER_SHIM_DELETE, "none");

	assert_int_equal(ask(f, &o, -1, -1).r.code, ERR_NOT_FOUND);
	o.op = ORDER_BUNDLE_REMOVE;
	assert_int_equal(ask(f, &o, -1, -1).r.code, 0);
	o.op = ORDER_LOGS_REMOVE;
	assert_int_equal(ask(f, &o, -1, -1).r.code, 0);
}

/* The bundle's root is a bind mount of a folder of the same filesystem: what is in it must stay. */
static void
remove_detaches_mounts_and_spares_what_was_mounted(void **state)
{
	struct fixture *f = *state;
	struct order o = order(ORDER_BUNDLE_REMOVE, "fine");
	char layer[128], root[256], deep[300], file[140];
	struct answer a;
	FILE *made;

	assert_int_equal(start(f, "fine").r.code, 0);
	(void)snprintf(layer, sizeof(layer), "%s/layer", f->rig->dir);
	(void)snprintf(file, sizeof(file), "%s/file", layer);
	(void)snprintf(root, sizeof(root), "%s/bundles/default/fine/rootfs", f->rig->folders.state);
	(void)snprintf(deep, sizeof(deep), "%s/a b", root);
	assert_int_equal(mkdir(layer, 0755), 0);
	made = fopen(file, "we");
	assert_non_null(made);
	file_close(&made);
	if (mount(layer, root, NULL, MS_BIND, NULL) < 0)
		skip(); /* a sandbox without mounts */
	assert_int_equal(mkdir(deep, 0755), 0);
	assert_int_equal(mount(layer, deep, NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(layer, root, NULL, MS_BIND, NULL), 0); /* twice on the same */
	a = ask(f, &o, -1, -1);
	if (a.r.code != 0)
		fail_msg("%s", a.r.message);
	assert_false(exists(f, "state/bundles/default"));
	assert_true(exists(f, "layer/file"));
	assert_true(exists(f, "root/logs/default/fine"));
	o.op = ORDER_LOGS_REMOVE;
	assert_int_equal(ask(f, &o, -1, -1).r.code, 0);
	assert_false(exists(f, "root/logs/default"));
}

static void
the_probe_answers(void **state)
{
	struct fixture *f = *state;
	struct order o = order(ORDER_RUNTIME_PROBE, "");

	o.ns[0] = '\0';
	assert_string_equal(ask(f, &o, -1, -1).data, "runc ok\n");
}

static void
hostile_orders_are_refused(void **state)
{
	static const char *const ids[] = { "", "..", "a/b", "../x", "-x", "a b", "a\n" };
	struct fixture *f = *state;
	struct order o;
	int pipes[2];

	for (size_t i = 0; i < COUNT(ids); i++)
		assert_int_equal(start(f, ids[i]).r.code, ERR_INVALID_ARGUMENT);
	o = order(ORDER_SHIM_START, "x");
	memset(o.id, 'x', sizeof(o.id));
	assert_int_equal(ask(f, &o, memfd("{}"), memfd("")).r.code, ERR_INVALID_ARGUMENT);
	o = order(ORDER_SHIM_START, "x");
	memset(&o.ns, 'n', sizeof(o.ns));
	assert_int_equal(ask(f, &o, memfd("{}"), memfd("")).r.code, ERR_INVALID_ARGUMENT);
	o = order(ORDER_SHIM_START, "x");
	assert_int_equal(ask(f, &o, memfd("{}"), -1).r.code, ERR_INVALID_ARGUMENT);
	assert_int_equal(ask(f, &o, memfd(""), memfd("")).r.code, ERR_INVALID_ARGUMENT);
	assert_int_equal(pipe(pipes), 0); /* reading it would wait for ever */
	assert_int_equal(ask(f, &o, pipes[0], memfd("")).r.code, ERR_INVALID_ARGUMENT);
	assert_int_equal(ask(f, &o, memfd("{}"), pipes[1]).r.code, ERR_INVALID_ARGUMENT);
	o.op = 99;
	assert_int_equal(ask(f, &o, -1, -1).r.code, ERR_UNIMPLEMENTED);
	assert_false(exists(f, "state/bundles/default"));
	assert_int_equal(f->orders.used, 0);
}

static void
runtimes_that_are_not_there_or_not_to_be_trusted(void **state)
{
	static const struct {
		const char *runtime;
		unsigned code;
	} cases[] = {
		{ "io.containerd.nothere.v1", ERR_NOT_FOUND },
		{ "nonsense", ERR_INVALID_ARGUMENT },
		{ "io.containerd.../../x.v1", ERR_INVALID_ARGUMENT },
		{ "a.b.", ERR_INVALID_ARGUMENT },
		{ ".v1", ERR_INVALID_ARGUMENT },
		{ "/does/not/exist", ERR_NOT_FOUND },
		{ "/etc/passwd", ERR_INVALID_ARGUMENT },
		{ "/tmp", ERR_INVALID_ARGUMENT },
	};
	struct fixture *f = *state;
	char own[128];
	struct order o = order(ORDER_SHIM_START, "x");
	AUTO(fd_close) int fd = -1;

	for (size_t i = 0; i < COUNT(cases); i++) {
		(void)strcpy(o.runtime, cases[i].runtime);
		assert_int_equal(ask(f, &o, memfd("{}"), memfd("")).r.code, cases[i].code);
	}
	(void)snprintf(own, sizeof(own), "%s/mine", f->rig->dir);
	fd = open(own, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	assert_int_equal(fchmod(fd, 0777), 0);
	(void)snprintf(o.runtime, sizeof(o.runtime), "%s", own);
	assert_int_equal(ask(f, &o, memfd("{}"), memfd("")).r.code, ERR_PERMISSION_DENIED);
	assert_int_equal(fchmod(fd, 0755), 0);
	assert_int_equal(fchown(fd, 12345, 0), 0);
	assert_int_equal(ask(f, &o, memfd("{}"), memfd("")).r.code, ERR_PERMISSION_DENIED);
}

static int
listener(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
connect_only_to_sockets_of_shims(void **state)
{
	struct fixture *f = *state;
	struct order o = order(ORDER_SHIM_CONNECT, "");
	char good[108], outside[108];
	AUTO(fd_close) int one = -1;
	AUTO(fd_close) int two = -1;
	struct answer a;

	(void)snprintf(good, sizeof(good), "%s/s/0123.sock", f->rig->folders.state);
	(void)snprintf(outside, sizeof(outside), "%s/other.sock", f->rig->folders.state);
	(void)strcpy(o.address, good);
	assert_int_equal(ask(f, &o, -1, -1).r.code, ERR_NOT_FOUND);
	one = listener(good);
	two = listener(outside);
	a = ask(f, &o, -1, -1);
	assert_int_equal(a.r.code, 0);
	assert_true(a.fd >= 0);
	assert_int_equal(write(a.fd, "x", 1), 1);
	fd_close(&a.fd);
	(void)snprintf(o.address, sizeof(o.address), "unix://%.90s", good);
	a = ask(f, &o, -1, -1);
	assert_int_equal(a.r.code, 0);
	fd_close(&a.fd);
	(void)strcpy(o.address, outside);
	assert_int_equal(ask(f, &o, -1, -1).r.code, ERR_PERMISSION_DENIED);
	(void)snprintf(o.address, sizeof(o.address), "%s/s/../other.sock", f->rig->folders.state);
	assert_int_equal(ask(f, &o, -1, -1).r.code, ERR_PERMISSION_DENIED);
	(void)snprintf(o.address, sizeof(o.address), "%s/s/..", f->rig->folders.state);
	assert_int_equal(ask(f, &o, -1, -1).r.code, ERR_PERMISSION_DENIED);
	assert_int_equal(chown(good, 12345, 0), 0);
	(void)strcpy(o.address, good);
	assert_int_equal(ask(f, &o, -1, -1).r.code, ERR_PERMISSION_DENIED);
	memset(o.address, 'a', sizeof(o.address));
	assert_int_equal(ask(f, &o, -1, -1).r.code, ERR_INVALID_ARGUMENT);
}

/* A process to be killed: this program under a name. */
static pid_t
sleeper(struct fixture *f, const char *name, int *ret_pidfd)
{
	char path[256];
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/%s", f->rig->bin, name);
	pid = fork();
	if (pid == 0) {
		char *argv[] = { path, (char[]){ "sleep" }, NULL };

		(void)execv(path, argv);
		_exit(127);
	}
	*ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_true(*ret_pidfd >= 0);
	return pid;
}

static void
kill_only_shims(void **state)
{
	struct fixture *f = *state;
	struct order o = order(ORDER_SHIM_KILL, "");
	struct err e = ERR_ZERO;
	AUTO(buf_free) struct buf text = BUF_ZERO;
	int pidfd, status;
	pid_t pid;

	o.signo = SIGKILL;
	pid = sleeper(f, "containerd-shim-coffer-v1", &pidfd);
	/* By the kernel's word it is this test program, whatever it is called: not a shim. */
	assert_int_equal(ask(f, &o, fd_take(&pidfd), -1).r.code, ERR_PERMISSION_DENIED);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	/* A program that is a shim by its own file. */
	assert_int_equal(fs_read(AT_FDCWD, "/bin/sleep", 1 << 20, &text, &e), 0);
	(void)snprintf(o.runtime, sizeof(o.runtime), "%s/containerd-shim-real-v1", f->rig->bin);
	assert_int_equal(fs_write(AT_FDCWD, o.runtime, text.data, text.len, 0755, false, &e), 0);
	pid = fork();
	if (pid == 0) {
		(void)execl(o.runtime, "sleep", "60", (char *)NULL);
		_exit(127);
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	for (;;) { /* until it executes */
		char link[32], exe[256] = "";

		(void)snprintf(link, sizeof(link), "/proc/%d/exe", pid);
		(void)!readlink(link, exe, sizeof(exe) - 1);
		if (strcmp(exe, o.runtime) == 0)
			break;
		(void)usleep(1000);
	}
	assert_int_equal(ask(f, &o, dup(pidfd), -1).r.code, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(ask(f, &o, fd_take(&pidfd), -1).r.code, 0); /* it is gone: fine */
	assert_int_equal(ask(f, &o, memfd(""), -1).r.code, ERR_INVALID_ARGUMENT);
	o.signo = 4711;
	assert_int_equal(ask(f, &o, memfd(""), -1).r.code, ERR_INVALID_ARGUMENT);
}

static void
more_orders_than_room_wait_in_the_kernel(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < JOBS_MAX; i++) {
		struct order o = order(ORDER_SHIM_DELETE, "fine");

		if (i == 0)
			assert_int_equal(start(f, "fine").r.code, 0);
		assert_false(f->crew.held);
		give(f, &o, -1, -1);
	}
	assert_true(f->crew.held);
	for (int i = 0; i < JOBS_MAX; i++) {
		struct answer a;

		UNTIL(f->rig, answered(f, &a));
		assert_int_equal(a.r.code, 0);
	}
	assert_false(f->crew.held);
	assert_int_equal(f->orders.used, 0);
}

static void
answers_wait_for_a_task_that_is_behind(void **state)
{
	struct fixture *f = *state;
	struct order o = order(ORDER_BUNDLE_REMOVE, "none");
	struct answer a;
	unsigned given = 0, got = 0;

	while (f->orders.used == 0 && given < 100000) {
		give(f, &o, -1, -1);
		given++;
	}
	assert_int_equal(f->orders.used, 1); /* the socket is full */
	while (got < given) {
		UNTIL(f->rig, answered(f, &a));
		assert_int_equal(a.r.code, 0);
		got++;
	}
	UNTIL(f->rig, f->orders.used == 0);
}

static void
answers_for_a_dead_task_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct order first = order(ORDER_SHIM_START, "short"),
		     second = order(ORDER_SHIM_DELETE, "short");
	struct answer a;

	give(f, &first, memfd("{}"), memfd(""));
	give(f, &second, -1, -1);
	orders_forget(&f->orders);
	assert_int_equal(f->orders.used, 1); /* what runs, runs to its end */
	UNTIL(f->rig, f->orders.used == 0);
	assert_false(answered(f, &a));
	assert_true(exists(f, "state/bundles/default/short"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_start_makes_the_bundle_and_calls_the_shim_in_it),
		T(a_second_start_of_the_same_is_refused_and_changes_nothing),
		T(a_failed_start_tells_the_shims_words_and_leaves_nothing),
		T(a_slow_start_is_killed),
		T(output_is_bounded),
		T(a_daemon_that_keeps_the_pipes_holds_nothing_up),
		T(orders_for_one_container_run_one_after_the_other),
		T(delete_and_remove_without_a_bundle),
		T(remove_detaches_mounts_and_spares_what_was_mounted),
		T(the_probe_answers),
		T(hostile_orders_are_refused),
		T(runtimes_that_are_not_there_or_not_to_be_trusted),
		T(connect_only_to_sockets_of_shims),
		T(kill_only_shims),
		T(more_orders_than_room_wait_in_the_kernel),
		T(answers_wait_for_a_task_that_is_behind),
		T(answers_for_a_dead_task_are_dropped),
	};

	if (argc == 2 && strcmp(argv[1], "sleep") == 0)
		return (int)sleep(60);
	if (strstr(argv[0], "/containerd-shim-") != NULL)
		return shim(argc, argv);
	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
