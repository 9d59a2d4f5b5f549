/* SPDX-License-Identifier: Apache-2.0 */
/* test_journal - the ring, its readers and what is taken from outboxes, on a real store. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "workers/events/drain.h"
#include "workers/events/journal.h"
#include "workers/events/readers.h"

struct fix {
	char dir[64];
	struct loop *l;
	struct journal *j;
	struct readers *rs;
	struct drain *d;
	struct err e;
	struct arena a;
};

/* What a reader was told. */
struct heard {
	unsigned answers;
	uint64_t next, lost;
	char topics[512], numbers[512];
	enum err_code code;
};

static void
open_all(struct fix *f, uint64_t most, uint64_t bytes)
{
	drain_free(&f->d);
	readers_free(&f->rs);
	journal_close(&f->j);
	assert_int_equal(journal_open(f->dir, most, bytes, &f->j, &f->e), 0);
	f->rs = readers_new(f->l, f->j);
	assert_int_equal(
	    drain_new(f->l, NULL, f->j, f->rs, &content_outbox_read_method, &f->d, &f->e), 0);
}

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/coffer-journal-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->l = loop_new();
	open_all(f, 1000, 1 << 20);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	drain_free(&f->d);
	readers_free(&f->rs);
	journal_close(&f->j);
	loop_free(&f->l);
	arena_free(&f->a);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &f->e), 0);
	free(f);
	return 0;
}

/* Takes n entries numbered from `seq` as if the actor had answered with them. */
static int
feed(struct fix *f, uint64_t seq, unsigned n, const char *ns, const char *topic)
{
	struct outbox_entry v[300];
	struct outbox_entry_list l = { v, n };

	assert_true(n <= COUNT(v));
	for (unsigned i = 0; i < n; i++)
		v[i] = (struct outbox_entry){
			.seq = seq + i, .time = 5, .ns = ns, .topic = topic, .body = { "\x80", 1 }
		};
	return drain_take(f->d, &l, &f->e);
}

static bool
any(void *arg, const char *ns, const char *topic)
{
	(void)arg;
	(void)ns;
	(void)topic;
	return true;
}

static void
hear(void *arg, const struct event_read_rep *rep, const struct err *e)
{
	struct heard *h = arg;

	h->answers++;
	if (rep == NULL) {
		h->code = e->code;
		return;
	}
	h->next = rep->next;
	h->lost = rep->lost;
	for (uint32_t i = 0; i < rep->events.n && i < 8; i++) {
		(void)snprintf(h->topics + strlen(h->topics), sizeof(h->topics) - strlen(h->topics),
		    "%s ", rep->events.v[i].topic);
		(void)snprintf(h->numbers + strlen(h->numbers),
		    sizeof(h->numbers) - strlen(h->numbers), "%llu ",
		    (unsigned long long)rep->events.v[i].seq);
	}
}

static struct heard
ask(struct fix *f, const struct event_read_req *req, const char *ns)
{
	struct heard h = { .answers = 0 };
	struct reader *r = reader_start(f->rs, req, ns, hear, &h);

	for (int i = 0; i < 100 && h.answers == 0; i++)
		loop_turn(f->l, 50);
	assert_int_equal(h.answers, 1);
	(void)r;
	return h;
}

/* --- the ring --------------------------------------------------------------------------------- */

static void
test_numbers_have_no_gaps(void **state)
{
	struct fix *f = *state;
	struct event_list l;
	uint64_t next = 0, position = 0;

	assert_int_equal(journal_first(f->j), 1);
	assert_int_equal(journal_next(f->j), 1);
	assert_int_equal(feed(f, 1, 3, "default", "/images/create"), 0);
	assert_int_equal(feed(f, 4, 2, "default", "/images/delete"), 0);
	open_all(f, 1000, 1 << 20);
	assert_int_equal(drain_after(f->d), 5);
	assert_int_equal(journal_position(f->j, "content", &position, &f->e), 0);
	assert_int_equal(position, 5);
	assert_int_equal(journal_position(f->j, "task", &position, &f->e), 0);
	assert_int_equal(position, 0);
	assert_int_equal(journal_read(f->j, 1, 256, any, NULL, &f->a, &l, &next, &f->e), 0);
	assert_int_equal(l.n, 5);
	assert_int_equal(next, 6);
	for (uint32_t i = 0; i < l.n; i++) {
		assert_int_equal(l.v[i].seq, i + 1);
		assert_string_equal(l.v[i].actor, "content");
		assert_int_equal(l.v[i].time, 5);
		assert_int_equal(l.v[i].body.n, 1);
	}
	assert_int_equal(journal_read(f->j, 2, 2, any, NULL, &f->a, &l, &next, &f->e), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(next, 4);
}

static void
test_ring_bounded_by_number(void **state)
{
	struct fix *f = *state;
	struct event_list l;
	uint64_t next;

	open_all(f, 10, 1 << 20);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(feed(f, i * 5 + 1, 5, "default", "/images/create"), 0);
	assert_int_equal(journal_first(f->j), 41);
	assert_int_equal(journal_next(f->j), 51);
	assert_int_equal(journal_read(f->j, 1, 256, any, NULL, &f->a, &l, &next, &f->e), 0);
	assert_int_equal(l.n, 10);
	assert_int_equal(l.v[0].seq, 41);
	open_all(f, 3, 1 << 20); /* made smaller: trimmed with the next batch */
	assert_int_equal(feed(f, 51, 1, "default", "/images/create"), 0);
	assert_int_equal(journal_first(f->j), 49);
	assert_int_equal(journal_read(f->j, 1, 256, any, NULL, &f->a, &l, &next, &f->e), 0);
	assert_int_equal(l.n, 3);
}

static void
test_ring_bounded_by_bytes(void **state)
{
	struct fix *f = *state;

	open_all(f, 1000, 2000);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(feed(f, i + 1, 1, "default", "/images/create"), 0);
	assert_int_equal(journal_next(f->j), 101);
	assert_true(journal_first(f->j) > 80 && journal_first(f->j) < 95);
	open_all(f, 1000, 1); /* smaller than any event: the ring is empty, numbers go on */
	assert_int_equal(feed(f, 101, 1, "default", "/images/create"), 0);
	assert_int_equal(journal_first(f->j), 102);
	assert_int_equal(journal_next(f->j), 102);
	open_all(f, 1000, 2000);
	assert_int_equal(feed(f, 102, 1, "default", "/images/create"), 0);
	assert_int_equal(journal_next(f->j), 103);
}

/* --- outboxes --------------------------------------------------------------------------------- */

static void
test_outbox_begins_again(void **state)
{
	struct fix *f = *state;

	assert_int_equal(feed(f, 1, 50, "default", "/images/create"), 0);
	assert_int_equal(feed(f, 1, 2, "default", "/images/create"), 0);
	assert_int_equal(drain_after(f->d), 2);
	assert_int_equal(journal_next(f->j), 53);
	assert_int_equal(feed(f, 3, 1, "default", "/images/create"), 0);
	assert_int_equal(drain_after(f->d), 3);
	assert_int_equal(feed(f, 10, 1, "default", "/images/create"), 0); /* a gap is taken too */
	assert_int_equal(drain_after(f->d), 10);
	assert_int_equal(feed(f, 11, 0, "default", "/images/create"), 0);
	assert_int_equal(drain_after(f->d), 10);
}

static void
test_falling_numbers_cut(void **state)
{
	struct fix *f = *state;
	struct outbox_entry v[3] = {
		{ .seq = 1, .ns = "n", .topic = "/a" },
		{ .seq = 2, .ns = "n", .topic = "/b" },
		{ .seq = 2, .ns = "n", .topic = "/c" },
	};
	struct outbox_entry_list l = { v, 3 };

	assert_int_equal(drain_take(f->d, &l, &f->e), 0);
	assert_int_equal(journal_next(f->j), 3);
	assert_int_equal(drain_after(f->d), 2);
}

/* --- readers ---------------------------------------------------------------------------------- */

static void
test_read_filters(void **state)
{
	struct fix *f = *state;
	const char *tasks[] = { "/tasks/" }, *two[] = { "/images/d", "/tasks/exit" };
	struct heard h;

	assert_int_equal(feed(f, 1, 1, "one", "/images/create"), 0);
	assert_int_equal(feed(f, 2, 1, "two", "/images/create"), 0);
	assert_int_equal(feed(f, 3, 1, "one", "/tasks/exit"), 0);
	assert_int_equal(feed(f, 4, 1, "one", "/images/delete"), 0);
	assert_int_equal(feed(f, 5, 1, "one", "/never/declared"), 0);
	h = ask(f, &(struct event_read_req){ .from = 1 }, "one");
	assert_string_equal(h.numbers, "1 3 4 5 ");
	assert_int_equal(h.next, 6);
	h = ask(f, &(struct event_read_req){ .from = 1, .all = true }, "one");
	assert_string_equal(h.numbers, "1 2 3 4 5 ");
	h = ask(f, &(struct event_read_req){ .from = 1, .topics = { tasks, 1 } }, "one");
	assert_string_equal(h.numbers, "3 ");
	h = ask(f, &(struct event_read_req){ .from = 1, .topics = { two, 2 } }, "one");
	assert_string_equal(h.numbers, "3 4 ");
	h = ask(f, &(struct event_read_req){ .from = 1, .limit = 2 }, "one");
	assert_string_equal(h.numbers, "1 3 ");
	assert_int_equal(h.next, 4);
	h = ask(f, &(struct event_read_req){ .from = 4, .limit = 2 }, "two");
	assert_string_equal(h.numbers, "");
	assert_int_equal(h.next, 6);
}

static void
test_from_now(void **state)
{
	struct fix *f = *state;
	struct heard h;

	assert_int_equal(feed(f, 1, 7, "one", "/images/create"), 0);
	h = ask(f, &(struct event_read_req){ .from = 0 }, "one");
	assert_string_equal(h.numbers, "");
	assert_int_equal(h.next, 8);
	assert_int_equal(h.lost, 0);
}

static void
test_lost_counts_what_fell_off(void **state)
{
	struct fix *f = *state;
	struct heard h;

	open_all(f, 10, 1 << 20);
	assert_int_equal(feed(f, 1, 30, "one", "/images/create"), 0);
	h = ask(f, &(struct event_read_req){ .from = 5, .limit = 1 }, "one");
	assert_string_equal(h.numbers, "21 ");
	assert_int_equal(h.lost, 16);
	assert_int_equal(h.next, 22);
	h = ask(f, &(struct event_read_req){ .from = 21, .limit = 1 }, "one");
	assert_int_equal(h.lost, 0);
}

/* A number of a journal that is no more: start with what there is. */
static void
test_number_from_the_future(void **state)
{
	struct fix *f = *state;
	struct heard h;

	assert_int_equal(feed(f, 1, 2, "one", "/images/create"), 0);
	h = ask(f, &(struct event_read_req){ .from = 5000 }, "one");
	assert_string_equal(h.numbers, "1 2 ");
	h = ask(f, &(struct event_read_req){ .from = UINT64_MAX }, "one");
	assert_int_equal(h.next, 3);
}

static void
test_wait_is_answered_by_event(void **state)
{
	struct fix *f = *state;
	const char *tasks[] = { "/tasks/" };
	struct event_read_req req = { .wait_ms = 60000, .topics = { tasks, 1 } };
	struct heard h = { .answers = 0 };
	struct reader *r = reader_start(f->rs, &req, "one", hear, &h);

	assert_non_null(r);
	assert_int_equal(feed(f, 1, 2, "one", "/images/create"), 0);
	assert_int_equal(feed(f, 3, 1, "two", "/tasks/exit"), 0);
	loop_turn(f->l, 0);
	assert_int_equal(h.answers, 0);
	assert_int_equal(feed(f, 4, 1, "one", "/tasks/exit"), 0);
	assert_int_equal(h.answers, 1);
	assert_string_equal(h.numbers, "4 ");
	assert_int_equal(h.next, 5);
}

static void
test_wait_times_out(void **state)
{
	struct fix *f = *state;
	uint64_t before = clock_mono_ms();
	struct heard h = ask(f, &(struct event_read_req){ .wait_ms = 60 }, "one");

	assert_true(clock_mono_ms() - before >= 60);
	assert_string_equal(h.numbers, "");
	assert_int_equal(h.next, 1);
}

static void
test_dropped_reader_is_not_answered(void **state)
{
	struct fix *f = *state;
	struct event_read_req req = { .wait_ms = 20 };
	struct heard one = { .answers = 0 }, two = one;
	struct reader *r = reader_start(f->rs, &req, "one", hear, &one);
	struct reader *other = reader_start(f->rs, &req, "one", hear, &two);

	assert_non_null(other);
	reader_drop(&r);
	assert_null(r);
	reader_drop(&r);
	assert_int_equal(feed(f, 1, 1, "one", "/images/create"), 0);
	loop_turn(f->l, 50);
	assert_int_equal(one.answers, 0);
	assert_int_equal(two.answers, 1);
}

/* A filter that matches nothing in a long ring: many short steps, other readers are served between,
 * and a reader that may not wait is still told the truth about the whole ring. */
static void
test_long_scan_in_steps(void **state)
{
	struct fix *f = *state;
	struct event_read_req none = { .from = 1 }, last = { .from = 1 };
	const char *rare[] = { "/rare" };
	struct heard h = { .answers = 0 }, quick = h;
	struct reader *r;
	unsigned turns = 0;

	open_all(f, 100000, 1 << 28);
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(feed(f, i * 300 + 1, 300, "one", "/images/create"), 0);
	assert_int_equal(feed(f, 18001, 1, "one", "/rare/one"), 0);
	r = reader_start(f->rs, &none, "elsewhere", hear, &h);
	assert_non_null(r); /* not within the call */
	assert_null(reader_start(f->rs, &last, "one", hear, &quick));
	assert_int_equal(quick.answers, 1);
	for (; h.answers == 0 && turns < 100; turns++)
		loop_turn(f->l, 50);
	assert_true(turns >= 3 && turns < 20);
	assert_int_equal(h.next, 18002);
	assert_string_equal(h.numbers, "");
	last.topics = (struct strs){ rare, 1 };
	h = ask(f, &last, "one");
	assert_string_equal(h.numbers, "18001 ");
}

/* 1,000 readers that wait for something else are passed over without reading the store. */
static void
test_many_readers_wait(void **state)
{
	struct fix *f = *state;
	struct event_read_req req = { .wait_ms = 60000 };
	struct heard h = { .answers = 0 };
	uint64_t before;

	for (unsigned i = 0; i < 1000; i++)
		assert_non_null(reader_start(f->rs, &req, "elsewhere", hear, &h));
	before = clock_mono_ms();
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(feed(f, i * 100 + 1, 100, "one", "/images/create"), 0);
	assert_true(clock_mono_ms() - before < 2000);
	assert_int_equal(h.answers, 0);
	assert_int_equal(feed(f, 1001, 1, "elsewhere", "/images/create"), 0);
	assert_int_equal(h.answers, 1000);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_numbers_have_no_gaps),
		T(test_ring_bounded_by_number),
		T(test_ring_bounded_by_bytes),
		T(test_outbox_begins_again),
		T(test_falling_numbers_cut),
		T(test_read_filters),
		T(test_from_now),
		T(test_lost_counts_what_fell_off),
		T(test_number_from_the_future),
		T(test_wait_is_answered_by_event),
		T(test_wait_times_out),
		T(test_dropped_reader_is_not_answered),
		T(test_long_scan_in_steps),
		T(test_many_readers_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
