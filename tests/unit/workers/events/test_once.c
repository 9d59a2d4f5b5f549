/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_once - each entry of an outbox comes into the journal exactly once, whoever is killed when.
 *
 * Two processes' work in one: a child adds events to a real store and moves them into a real journal, and
 * is killed at random moments. The name in each event is its number, so that the parent can count.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bus/wire/wire.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/store/store.h"
#include "workers/events/drain.h"
#include "workers/events/journal.h"
#include "workers/events/readers.h"

#define ROUNDS 40

static int
add_events(struct store *s, unsigned n, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	uint64_t next = store_outbox_last(s) + 1;
	int r = store_write(s, &t, e);

	for (unsigned i = 0; r == 0 && i < n; i++) {
		char name[32];
		struct ev_image ev = { .name = name };

		(void)snprintf(name, sizeof(name), "%llu", (unsigned long long)next++);
		r = store_event(t, "default", "/images/create", &ev, e);
	}
	return r < 0 ? r : store_commit(&t, e);
}

static int
move_events(struct store *s, struct drain *d, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct outbox_entry_list l = { NULL, 0 };
	int r = store_outbox(s, drain_after(d), 5, &a, &l, e);

	return r < 0 ? r : drain_take(d, &l, e);
}

static _Noreturn void
child(const char *outbox, const char *journal)
{
	static const char *const tables[] = { "none" };
	struct loop *l = loop_new();
	struct store *s = NULL;
	struct journal *j = NULL;
	struct readers *rs;
	struct drain *d = NULL;
	struct err e = ERR_ZERO;

	if (store_open(outbox, tables, 1, false, &s, &e) < 0 ||
	    journal_open(journal, 1000000, 1 << 30, &j, &e) < 0)
		_exit(3);
	rs = readers_new(l, j);
	if (drain_new(l, NULL, j, rs, &task_outbox_read_method, &d, &e) < 0)
		_exit(4);
	for (unsigned i = 0;; i++)
		if (add_events(s, i % 4, &e) < 0 || move_events(s, d, &e) < 0)
			_exit(5);
}

static bool
any(void *arg, const char *ns, const char *topic)
{
	(void)arg;
	(void)ns;
	(void)topic;
	return true;
}

/* Reads the whole journal; returns the number of events. */
static uint64_t
check(const char *path)
{
	AUTO(journal_close) struct journal *j = NULL;
	struct err e = ERR_ZERO;
	uint64_t at = 1, n = 0, position = 0;

	assert_int_equal(journal_open(path, 1000000, 1 << 30, &j, &e), 0);
	while (at < journal_next(j)) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		struct event_list l;

		assert_int_equal(journal_read(j, at, 256, any, NULL, &a, &l, &at, &e), 0);
		for (uint32_t i = 0; i < l.n; i++) {
			struct ev_image ev;

			assert_int_equal(l.v[i].seq, ++n);
			assert_int_equal(wire_decode(&ev_image_schema, l.v[i].body.p, l.v[i].body.n,
					     &a, &ev, &e),
			    0);
			assert_int_equal(strtoull(ev.name, NULL, 10), n);
		}
	}
	assert_int_equal(journal_position(j, "task", &position, &e), 0);
	assert_int_equal(position, n);
	return n;
}

static void
test_exactly_once(void **state)
{
	char dir[] = "/dev/shm/coffer-once-XXXXXX", outbox[64], journal[64];
	struct err e = ERR_ZERO;
	uint64_t n = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(outbox, sizeof(outbox), "%s/outbox", dir);
	(void)snprintf(journal, sizeof(journal), "%s/journal", dir);
	for (int i = 0; i < ROUNDS; i++) {
		struct timespec ts = { 0, 1000000 + random() % 30000000 };
		pid_t pid = fork();
		uint64_t now;
		int status;

		if (pid == 0)
			child(outbox, journal);
		(void)nanosleep(&ts, NULL);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		now = check(journal);
		assert_true(now >= n);
		n = now;
	}
	assert_true(n > ROUNDS);
	assert_int_equal(fs_remove_tree(AT_FDCWD, dir, &e), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exactly_once),
	};
	unsigned seed = (unsigned)clock_real_ns();

	(void)printf("seed %u\n", seed);
	srandom(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
