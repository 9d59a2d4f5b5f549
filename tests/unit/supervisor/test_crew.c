/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crew with real processes: this program, under the names of the workers, does what "-o act=..."
 * says.
 */
#include "supervisor/crew.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/base/fdpass.h"
#include "tests/unit/supervisor/rig.h"

/* --- a worker ------------------------------------------------------------------------------------------ */

static unsigned
count_fds(void)
{
	AUTO(dir_close) DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	return n - 3; /* ".", ".." and the folder itself */
}

/* What it has inherited, for the test to see: descriptors, blocked signals, ignored signals. */
static void
report(struct board *b)
{
	sigset_t mask;
	struct sigaction sa;

	b->self.served = count_fds();
	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s < 32; s++) {
		b->self.bytes_in += sigismember(&mask, s) == 1;
		b->self.bytes_out += sigaction(s, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
	}
	b->self.failed = (uint64_t)umask(0);
}

static void
fall(struct board *b, unsigned char id)
{
	memset(b->self.in_hand, id, sizeof(b->self.in_hand));
	b->self.in_hand_set = 1;
	(void)strcpy(b->self.in_hand_method, "image_pull");
	(void)strcpy(b->self.last_words, "x.c:7: must hold: 1 == 2");
	abort(); /* as MUST does */
}

static void
say(uint32_t op, uint32_t version)
{
	struct order o = { .version = version, .size = sizeof(o), .op = op };

	(void)fdpass_send(CONTROL_FD, &o, sizeof(o), NULL, 0);
}

static int
worker(const char *act)
{
	const struct rlimit none = { 0, 0 };
	struct pollfd p = { .fd = CONTROL_FD, .events = POLLIN };
	struct board *b = NULL;
	struct err e = ERR_ZERO;
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	(void)setrlimit(RLIMIT_CORE, &none);
	if (board_map(BOARD_FD, 1, &b, &e) < 0)
		return 9;
	report(b);
	if (strcmp(act, "exit") == 0)
		return 3;
	if (strcmp(act, "mute") == 0)
		(void)pause();
	if (strcmp(act, "stubborn") == 0)
		(void)sigaction(SIGTERM, &ignore, NULL);
	say(CONTROL_READY, strcmp(act, "foreign") == 0 ? 77 : CONTROL_VERSION);
	if (strcmp(act, "twice") == 0)
		say(CONTROL_READY, CONTROL_VERSION);
	if (strcmp(act, "order") == 0)
		say(ORDER_SHIM_START, CONTROL_VERSION);
	if (strcmp(act, "cut") == 0)
		(void)!ftruncate(BOARD_FD, 0);
	for (;;) {
		if (strcmp(act, "cut") != 0)
			b->self.beat_mono_ms = clock_mono_ms();
		if (strcmp(act, "fall") == 0)
			fall(b, 5);
		if (poll(&p, 1, 100) > 0)
			return 0; /* the end of the supervisor */
	}
}

static int
worker_main_here(int argc, char **argv)
{
	const char *act = "";

	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "act=", 4) == 0)
			act = argv[i] + 4;
	return worker(act);
}

/* --- the tests ----------------------------------------------------------------------------------------- */

struct fixture {
	struct rig *rig;
	struct crew crew;
	unsigned readies, stops;
};

static void
on_ready(void *arg)
{
	((struct fixture *)arg)->readies++;
}

static void
on_stopped(void *arg)
{
	((struct fixture *)arg)->stops++;
}

static void
on_order(void *arg, const struct order *o, int *fds, unsigned nfds)
{
	(void)arg;
	(void)o;
	while (nfds > 0)
		fd_close(&fds[--nfds]);
}

static void
on_nothing(void *arg)
{
	(void)arg;
}

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->rig = rig_new();
	for (unsigned i = 0; i < PROC_COUNT; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "libexec/coffer-%s", proc_name(i));
		rig_program(f->rig, name);
	}
	*state = f;
	return 0;
}

static void
act(struct fixture *f, unsigned proc, const char *what)
{
	f->rig->config.options[proc].line[0] = arena_printf(&f->rig->config.arena, "act=%s", what);
	f->rig->config.options[proc].n = 1;
}

static void
start(struct fixture *f)
{
	const struct crew_hooks hooks = { .arg = f,
		.ready = on_ready,
		.order = on_order,
		.writable = on_nothing,
		.task_gone = on_nothing,
		.stopped = on_stopped };
	struct err e = ERR_ZERO;

	if (crew_open(&f->crew, f->rig->loop, &f->rig->config, &f->rig->folders, &hooks,
		f->rig->bin, &e) < 0)
		fail_msg("%s", e.msg);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	if (f->crew.loop != NULL && f->stops == 0) {
		crew_stop(&f->crew);
		if (f->stops == 0)
			crew_stop(&f->crew); /* at once */
		UNTIL(f->rig, f->stops == 1);
	}
	crew_close(&f->crew);
	rig_free(f->rig);
	free(f);
	return 0;
}

static struct board
board_of(struct fixture *f, unsigned proc)
{
	struct board b;
	struct err e = ERR_ZERO;

	memset(&b, 0, sizeof(b));
	(void)board_read(f->rig->folders.boards, proc_name(proc), &b, &e);
	return b;
}

static bool
runs_again(struct fixture *f, unsigned proc, uint32_t starts)
{
	struct board b = board_of(f, proc);

	return b.super.starts >= starts && b.super.state == BOARD_RUNNING;
}

static void
all_get_ready_and_inherit_nothing_else(void **state)
{
	struct fixture *f = *state;

	start(f);
	UNTIL(f->rig, f->readies == 1);
	for (unsigned i = 0; i < PROC_COUNT; i++) {
		struct board b = board_of(f, i);

		assert_int_equal(b.super.state, BOARD_RUNNING);
		assert_int_equal(b.super.starts, 1);
		assert_true(b.super.pid > 1);
		assert_int_equal(b.self.served, 6);    /* descriptors 0 to 5 */
		assert_int_equal(b.self.bytes_in, 0);  /* blocked signals */
		assert_int_equal(b.self.bytes_out, 0); /* ignored signals */
		assert_int_equal(b.self.failed, 022);  /* umask */
	}
}

static void
a_killed_worker_is_replaced_at_once(void **state)
{
	struct fixture *f = *state;
	struct board b;
	uint64_t since;

	start(f);
	UNTIL(f->rig, f->readies == 1);
	since = clock_mono_ms();
	assert_int_equal(kill((pid_t)board_of(f, PROC_CONTENT).super.pid, SIGKILL), 0);
	UNTIL(f->rig, runs_again(f, PROC_CONTENT, 2));
	assert_true(clock_mono_ms() - since < 2000);
	b = board_of(f, PROC_CONTENT);
	assert_string_equal(b.super.death_text, "killed by signal 9 (SIGKILL)");
	assert_int_equal(b.super.death_by_supervisor, 0);
	assert_int_equal(f->readies, 1);
	assert_int_equal(board_of(f, PROC_TASK).super.starts, 1);
}

static void
callers_wait_in_the_mailbox_while_a_worker_is_dead(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	act(f, PROC_CONTENT, "exit");
	start(f);
	UNTIL(f->rig, board_of(f, PROC_CONTENT).super.state == BOARD_BACKOFF);
	(void)snprintf(
	    to.sun_path, sizeof(to.sun_path), "%s/bus/content.sock", f->rig->folders.state);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
}

static void
a_crash_loop_is_slowed_down_and_never_ends(void **state)
{
	struct fixture *f = *state;
	struct board b;
	uint64_t until;

	act(f, PROC_EVENTS, "exit");
	start(f);
	until = clock_mono_ms() + 1500;
	UNTIL(f->rig, clock_mono_ms() > until);
	b = board_of(f, PROC_EVENTS);
	assert_in_range(b.super.starts, 4, 7); /* at 0, 0, .1, .3, .7, 1.5 s, a little less each */
	assert_string_equal(b.super.death_text, "exited with status 3");
	assert_int_equal(f->readies, 0);
	assert_int_equal(board_of(f, PROC_CONTENT).super.state, BOARD_RUNNING);
	act(f, PROC_EVENTS, "well");
	UNTIL(f->rig, f->readies == 1);
}

static void
backoff_has_a_cap_and_a_healthy_spell_resets_it(void **state)
{
	struct fixture *f = *state;
	uint32_t starts;

	f->rig->config.backoff_s = f->rig->config.healthy_s = 1;
	act(f, PROC_EVENTS, "exit");
	start(f);
	f->crew.members[PROC_EVENTS].fails = 4000000;
	UNTIL(f->rig, f->crew.members[PROC_EVENTS].fails > 4000001);
	assert_in_range(f->crew.members[PROC_EVENTS].due_ms - clock_mono_ms(), 1, 1000);
	act(f, PROC_EVENTS, "well");
	UNTIL(f->rig, board_of(f, PROC_EVENTS).super.state == BOARD_RUNNING);
	starts = board_of(f, PROC_EVENTS).super.starts;
	UNTIL(f->rig, clock_mono_ms() - f->crew.members[PROC_EVENTS].since_ms > 1000);
	assert_int_equal(kill((pid_t)board_of(f, PROC_EVENTS).super.pid, SIGKILL), 0);
	UNTIL(f->rig, runs_again(f, PROC_EVENTS, starts + 1));
	assert_int_equal(f->crew.members[PROC_EVENTS].fails, 1);
}

static void
a_request_that_kills_is_put_on_the_board(void **state)
{
	struct fixture *f = *state;
	struct board b;

	act(f, PROC_CONTENT, "fall");
	start(f);
	UNTIL(f->rig, board_of(f, PROC_CONTENT).self.poison[0].deaths >= 3);
	b = board_of(f, PROC_CONTENT);
	assert_int_equal(b.self.poison[0].id[15], 5);
	assert_int_equal(b.self.poison[1].deaths, 0);
	assert_string_equal(
	    b.super.death_text, "killed by signal 6 (SIGABRT): x.c:7: must hold: 1 == 2");
}

static void
a_worker_that_hangs_is_killed_and_replaced(void **state)
{
	struct fixture *f = *state;
	struct board b;

	f->rig->config.hang_s = 1;
	start(f);
	UNTIL(f->rig, f->readies == 1);
	assert_int_equal(kill((pid_t)board_of(f, PROC_SNAPSHOT).super.pid, SIGSTOP), 0);
	UNTIL(f->rig, runs_again(f, PROC_SNAPSHOT, 2));
	b = board_of(f, PROC_SNAPSHOT);
	assert_int_equal(b.super.death_by_supervisor, 1);
	assert_non_null(strstr(b.super.death_text, "it stopped beating"));
	assert_int_equal(b.self.poison[0].deaths, 0);
	assert_int_equal(board_of(f, PROC_TASK).super.starts, 1);
}

static void
a_worker_that_never_gets_ready_is_replaced(void **state)
{
	struct fixture *f = *state;

	f->rig->config.start_s = 1;
	act(f, PROC_TASK, "mute");
	start(f);
	UNTIL(f->rig, board_of(f, PROC_TASK).super.starts >= 2);
	assert_non_null(
	    strstr(board_of(f, PROC_TASK).super.death_text, "it did not get ready in time"));
}

static void
a_board_cut_short_by_its_worker_harms_nobody(void **state)
{
	struct fixture *f = *state;

	f->rig->config.hang_s = 1;
	act(f, PROC_EVENTS, "cut");
	start(f);
	UNTIL(f->rig, f->crew.members[PROC_EVENTS].ever_ready);
	act(f, PROC_EVENTS, "well");
	UNTIL(f->rig, f->crew.members[PROC_EVENTS].super.starts >= 2 && f->readies == 1);
	UNTIL(f->rig, board_of(f, PROC_EVENTS).super.state == BOARD_RUNNING);
}

static void
breakers_of_the_protocol_are_replaced(void **state)
{
	static const char *const acts[] = { "foreign", "twice", "order" };
	struct fixture *f = *state;

	start(f);
	UNTIL(f->rig, f->readies == 1);
	for (size_t i = 0; i < COUNT(acts); i++) {
		uint32_t starts = board_of(f, PROC_CONTENT).super.starts;

		act(f, PROC_CONTENT, acts[i]);
		assert_int_equal(kill((pid_t)board_of(f, PROC_CONTENT).super.pid, SIGKILL), 0);
		UNTIL(f->rig, board_of(f, PROC_CONTENT).super.starts >= starts + 2);
		assert_int_equal(board_of(f, PROC_CONTENT).super.death_by_supervisor, 1);
		act(f, PROC_CONTENT, "well");
		UNTIL(f->rig, runs_again(f, PROC_CONTENT, starts + 2));
		f->crew.members[PROC_CONTENT].fails = 0;
	}
}

static void
a_missing_program_is_tried_again(void **state)
{
	struct fixture *f = *state;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/libexec/coffer-task", f->rig->bin);
	assert_int_equal(unlink(path), 0);
	start(f);
	UNTIL(f->rig, f->crew.members[PROC_TASK].fails >= 3);
	assert_non_null(strstr(f->crew.members[PROC_TASK].super.death_text, "coffer-task"));
	rig_program(f->rig, "libexec/coffer-task");
	UNTIL(f->rig, f->readies == 1);
}

static void
stopping_is_orderly(void **state)
{
	struct fixture *f = *state;

	start(f);
	UNTIL(f->rig, f->readies == 1);
	crew_stop(&f->crew);
	assert_int_equal(f->crew.members[PROC_COUNT - 1].state, BOARD_STOPPING);
	assert_int_equal(f->crew.members[0].state, BOARD_RUNNING);
	UNTIL(f->rig, f->stops == 1);
	for (unsigned i = 0; i < PROC_COUNT; i++) {
		assert_int_equal(board_of(f, i).super.state, BOARD_DOWN);
		assert_int_equal(board_of(f, i).super.pid, 0);
	}
}

static void
who_does_not_stop_is_killed(void **state)
{
	struct fixture *f = *state;

	f->rig->config.stop_s = 1;
	act(f, PROC_SNAPSHOT, "stubborn");
	start(f);
	UNTIL(f->rig, f->readies == 1);
	crew_stop(&f->crew);
	UNTIL(f->rig, f->stops == 1);
	assert_non_null(
	    strstr(board_of(f, PROC_SNAPSHOT).super.death_text, "since it did not end in time"));
}

static void
stopping_ends_a_crash_loop(void **state)
{
	struct fixture *f = *state;

	act(f, PROC_TASK, "exit");
	start(f);
	UNTIL(f->rig, board_of(f, PROC_TASK).super.state == BOARD_BACKOFF);
	crew_stop(&f->crew);
	UNTIL(f->rig, f->stops == 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(all_get_ready_and_inherit_nothing_else),
		T(a_killed_worker_is_replaced_at_once),
		T(callers_wait_in_the_mailbox_while_a_worker_is_dead),
		T(a_crash_loop_is_slowed_down_and_never_ends),
		T(backoff_has_a_cap_and_a_healthy_spell_resets_it),
		T(a_request_that_kills_is_put_on_the_board),
		T(a_worker_that_hangs_is_killed_and_replaced),
		T(a_worker_that_never_gets_ready_is_replaced),
		T(a_board_cut_short_by_its_worker_harms_nobody),
		T(breakers_of_the_protocol_are_replaced),
		T(a_missing_program_is_tried_again),
		T(stopping_is_orderly),
		T(who_does_not_stop_is_killed),
		T(stopping_ends_a_crash_loop),
	};

	if (strstr(argv[0], "/coffer-") != NULL)
		return worker_main_here(argc, argv);
	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
