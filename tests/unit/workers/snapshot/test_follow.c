/* SPDX-License-Identifier: Apache-2.0 */
/* Following a blob that is being written: up to the watermark, to its end, and no further than its take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/follow.h"

#define OURS 7

struct fix {
	char name[64];
	struct board_ingest slot;
	struct follow f;
	struct err e;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)strcpy(f->name, "/tmp/coffer-follow-XXXXXX");
	f->f = (struct follow){
		.file = mkstemp(f->name), .slot = &f->slot, .take = OURS, .size = 100
	};
	assert_true(f->f.file >= 0);
	assert_int_equal(ftruncate(f->f.file, 100), 0);
	f->slot.used = OURS;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	assert_int_equal(unlink(f->name), 0);
	fd_close(&f->f.file);
	free(f);
	return 0;
}

static void
up_to_the_watermark(void **state)
{
	struct fix *f = *state;

	f->slot.written = 40;
	assert_int_equal(follow_wait(&f->f, 0, &f->e), 0);
	assert_int_equal(f->f.safe, 40);
	f->slot.written = 1000; /* a lie */
	assert_int_equal(follow_wait(&f->f, 40, &f->e), 0);
	assert_int_equal(f->f.safe, 100);
	assert_int_equal(follow_wait(&f->f, 100, &f->e), 0); /* the end: nothing to wait for */
}

/* Content, half a moment later. */
static void *
go_on(void *arg)
{
	struct board_ingest *s = arg;

	(void)usleep(20000);
	__atomic_store_n(&s->written, 60, __ATOMIC_RELEASE);
	__atomic_fetch_add(&s->seq, 1, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &s->seq, FUTEX_WAKE, 1, NULL, NULL, 0);
	return NULL;
}

static void
waits_for_more(void **state)
{
	struct fix *f = *state;
	pthread_t t;

	f->slot.written = 40;
	assert_int_equal(pthread_create(&t, NULL, go_on, &f->slot), 0);
	assert_int_equal(follow_wait(&f->f, 40, &f->e), 0);
	assert_int_equal(f->f.safe, 60);
	assert_int_equal(pthread_join(t, NULL), 0);
}

static void
another_take_is_the_end(void **state)
{
	struct fix *f = *state;

	f->slot.written = 40;
	assert_int_equal(follow_wait(&f->f, 0, &f->e), 0);
	f->slot.used = OURS + 1; /* it began again: what is written now may be something else */
	f->slot.written = 80;
	assert_int_equal(follow_wait(&f->f, 10, &f->e), 0); /* that was safe, and is */
	assert_int_equal(follow_wait(&f->f, 40, &f->e), -ERR_UNAVAILABLE);
	f->slot.used = 0; /* nobody's */
	assert_int_equal(follow_wait(&f->f, 40, &f->e), -ERR_UNAVAILABLE);
}

static void
a_whole_blob_outlives_its_slot(void **state)
{
	struct fix *f = *state;

	f->slot.used = 0;
	assert_int_equal(fchmod(f->f.file, 0440), 0);
	assert_int_equal(ftruncate(f->f.file, 99), 0);
	assert_int_equal(follow_wait(&f->f, 40, &f->e), -ERR_UNAVAILABLE);
	assert_int_equal(ftruncate(f->f.file, 100), 0);
	assert_int_equal(follow_wait(&f->f, 40, &f->e), 0);
	assert_int_equal(f->f.safe, 100);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = { T(up_to_the_watermark), T(waits_for_more),
		T(another_take_is_the_end), T(a_whole_blob_outlives_its_slot) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
