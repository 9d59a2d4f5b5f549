/* SPDX-License-Identifier: Apache-2.0 */
/* test_outbox - events and stored replies of lib/store. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bus/wire/wire.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/store/store.h"

static const char *const tables[] = { "things" };

struct fix {
	char dir[64];
	struct store *s;
	struct err e;
	struct arena a;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/coffer-outbox-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(store_open(f->dir, tables, 1, false, &f->s, &f->e), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	store_close(&f->s);
	arena_free(&f->a);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &f->e), 0);
	free(f);
	return 0;
}

static void
reopen(struct fix *f)
{
	store_close(&f->s);
	assert_int_equal(store_open(f->dir, tables, 1, false, &f->s, &f->e), 0);
}

/* One transaction with n events. */
static void
events(struct fix *f, unsigned n)
{
	struct txn *t = NULL;

	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	for (unsigned i = 0; i < n; i++) {
		struct ev_image ev = { .name = "docker.io/library/nginx:latest" };

		assert_int_equal(store_event(t, "default", "/images/create", &ev, &f->e), 0);
	}
	assert_int_equal(store_commit(&t, &f->e), 0);
}

static struct outbox_entry_list
list(struct fix *f, uint64_t after, unsigned limit)
{
	struct outbox_entry_list l = { NULL, 0 };

	assert_int_equal(store_outbox(f->s, after, limit, &f->a, &l, &f->e), 0);
	for (uint32_t i = 1; i < l.n; i++)
		assert_int_equal(l.v[i].seq, l.v[i - 1].seq + 1);
	return l;
}

static void
test_events_in_order(void **state)
{
	struct fix *f = *state;
	int64_t before = clock_real_ns();
	struct outbox_entry_list l;
	struct ev_image ev;

	assert_int_equal(store_outbox_last(f->s), 0);
	assert_int_equal(list(f, 0, 0).n, 0);
	events(f, 2);
	events(f, 1);
	l = list(f, 0, 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.v[0].seq, 1);
	assert_string_equal(l.v[0].ns, "default");
	assert_string_equal(l.v[0].topic, "/images/create");
	assert_true(l.v[0].time >= before && l.v[0].time <= clock_real_ns());
	assert_int_equal(
	    wire_decode(&ev_image_schema, l.v[0].body.p, l.v[0].body.n, &f->a, &ev, &f->e), 0);
	assert_string_equal(ev.name, "docker.io/library/nginx:latest");
	assert_int_equal(store_outbox_last(f->s), 3);
	assert_int_equal(list(f, 0, 2).n, 2);
}

static void
test_aborted_event_leaves_no_gap(void **state)
{
	struct fix *f = *state;
	struct ev_image ev = { .name = "x" };
	struct txn *t = NULL;

	events(f, 1);
	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	assert_int_equal(store_event(t, "default", "/images/create", &ev, &f->e), 0);
	store_abort(&t);
	events(f, 1);
	assert_int_equal(list(f, 0, 0).n, 2);
	assert_int_equal(store_outbox_last(f->s), 2);
}

static void
test_forgets_and_goes_on(void **state)
{
	struct fix *f = *state;
	struct outbox_entry_list l;

	events(f, 5);
	l = list(f, 3, 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.v[0].seq, 4);
	l = list(f, 0, 0); /* 1 to 3 are forgotten */
	assert_int_equal(l.n, 2);
	assert_int_equal(list(f, 5, 0).n, 0);
	events(f, 1); /* deletes them with this transaction */
	reopen(f);
	l = list(f, 0, 0); /* nothing but the file tells it now */
	assert_int_equal(l.n, 1);
	assert_int_equal(l.v[0].seq, 6);
	assert_int_equal(list(f, 6, 0).n, 0);
	events(f, 1);
	reopen(f);
	assert_int_equal(store_outbox_last(f->s), 7);
	assert_int_equal(list(f, 6, 0).v[0].seq, 7);
}

/* A reader with a number that we never gave knew another store: it gets all there is. */
static void
test_number_of_another_life(void **state)
{
	struct fix *f = *state;
	struct outbox_entry_list l;

	events(f, 3);
	l = list(f, 500, 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.v[0].seq, 1);
	l = list(f, UINT64_MAX, 0);
	assert_int_equal(l.n, 3);
	events(f, 1);
	assert_int_equal(list(f, 0, 0).n, 4); /* and nothing was forgotten */
}

static void
test_many(void **state)
{
	struct fix *f = *state;
	uint64_t after = 0;
	unsigned rounds = 0;

	for (unsigned i = 0; i < 10; i++)
		events(f, 1000);
	for (;;) {
		struct outbox_entry_list l = list(f, after, 100000);

		assert_true(l.n <= 256);
		if (l.n == 0)
			break;
		assert_int_equal(l.v[0].seq, after + 1);
		after = l.v[l.n - 1].seq;
		rounds++;
		if (rounds % 10 == 0)
			events(f, 1);
	}
	assert_int_equal(after, store_outbox_last(f->s));
}

static void
test_bad_event(void **state)
{
	struct fix *f = *state;
	char long_ns[100];
	struct ev_image ev = { .name = NULL };
	struct txn *t = NULL;
	int r;

	memset(long_ns, 'n', sizeof(long_ns));
	long_ns[99] = '\0';
	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	r = store_event(t, "default", "/images/create", &ev, &f->e);
	assert_int_equal(r, -ERR_INTERNAL);
	ev.name = "x";
	r = store_event(t, long_ns, "/images/create", &ev, &f->e);
	assert_true(r < 0);
	assert_non_null(strstr(f->e.msg, "/images/create"));
	store_abort(&t);
	assert_int_equal(store_outbox_last(f->s), 0);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void
put_reply(struct fix *f, char id, const char *body)
{
	uint8_t whole[16] = { (uint8_t)id };
	struct txn *t = NULL;

	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	assert_int_equal(store_reply_put(t, whole, body, strlen(body), &f->e), 0);
	assert_int_equal(store_commit(&t, &f->e), 0);
}

/* "-" when there is none. */
static const char *
reply(struct fix *f, char id)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	uint8_t whole[16] = { (uint8_t)id };

	return store_reply_get(f->s, whole, &b) ? arena_strdup(&f->a, buf_str(&b)) : "-";
}

static void
sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&ts, NULL);
}

static void
test_replies(void **state)
{
	struct fix *f = *state;

	assert_string_equal(reply(f, 'a'), "-");
	put_reply(f, 'a', "one");
	put_reply(f, 'b', "");
	put_reply(f, 'a', "two");
	reopen(f);
	assert_string_equal(reply(f, 'a'), "two");
	assert_string_equal(reply(f, 'b'), "");
	assert_string_equal(reply(f, 'c'), "-");
}

static void
test_replies_expire(void **state)
{
	struct fix *f = *state;

	assert_int_equal(store_replies_expire(f->s, 0, &f->e), 0); /* nothing there: fine */
	put_reply(f, 'a', "old");
	put_reply(f, 'b', "renewed");
	sleep_ms(120);
	put_reply(f, 'b', "renewed");
	put_reply(f, 'c', "new");
	assert_int_equal(store_replies_expire(f->s, 60000, &f->e), 0);
	assert_string_equal(reply(f, 'a'), "old");
	assert_int_equal(store_replies_expire(f->s, 100, &f->e), 0);
	assert_string_equal(reply(f, 'a'), "-");
	assert_string_equal(reply(f, 'b'), "renewed");
	assert_string_equal(reply(f, 'c'), "new");
	sleep_ms(5);
	assert_int_equal(store_replies_expire(f->s, 0, &f->e), 0);
	assert_string_equal(reply(f, 'b'), "-");
	assert_string_equal(reply(f, 'c'), "-");
}

/* Effect, event and reply are one: an abort takes back all of them. */
static void
test_reply_dies_with_its_transaction(void **state)
{
	struct fix *f = *state;
	struct ev_image ev = { .name = "x" };
	uint8_t id[16] = { 'z' };
	struct txn *t = NULL;

	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	assert_int_equal(store_reply_put(t, id, "r", 1, &f->e), 0);
	assert_int_equal(store_event(t, "default", "/images/create", &ev, &f->e), 0);
	store_abort(&t);
	assert_string_equal(reply(f, 'z'), "-");
	assert_int_equal(store_outbox_last(f->s), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_events_in_order),
		T(test_aborted_event_leaves_no_gap),
		T(test_forgets_and_goes_on),
		T(test_number_of_another_life),
		T(test_many),
		T(test_bad_event),
		T(test_replies),
		T(test_replies_expire),
		T(test_reply_dies_with_its_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
