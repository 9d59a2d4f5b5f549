/* SPDX-License-Identifier: Apache-2.0 */
/* work: jobs run off the loop's thread, finish on it, and the pool ends cleanly at any time. */
#include "lib/base/work.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

struct counter {
	struct loop *l;
	struct work *w;
	pthread_t main_thread;
	atomic_uint ran;
	atomic_bool on_main;
	unsigned done, want;
};

static void
run_count(void *arg)
{
	struct counter *c = arg;

	atomic_fetch_add(&c->ran, 1);
	if (pthread_equal(pthread_self(), c->main_thread))
		atomic_store(&c->on_main, true);
}

static void
done_count(void *arg)
{
	struct counter *c = arg;

	assert_true(pthread_equal(pthread_self(), c->main_thread));
	if (++c->done == c->want)
		loop_stop(c->l, 0);
}

static void
setup(struct counter *c, unsigned threads)
{
	struct err e = ERR_ZERO;

	*c = (struct counter){ .main_thread = pthread_self() };
	c->l = loop_new();
	assert_int_equal(work_new(c->l, threads, &c->w, &e), 0);
}

static void
teardown(struct counter *c)
{
	work_free(&c->w);
	loop_free(&c->l);
}

static void
all_jobs_run_and_finish(void **state)
{
	struct counter c;

	(void)state;
	setup(&c, 3);
	c.want = 500;
	for (unsigned i = 0; i < c.want; i++)
		work_add(c.w, run_count, done_count, &c);
	assert_int_equal(work_pending(c.w), 500);
	loop_run(c.l);
	assert_int_equal(atomic_load(&c.ran), 500);
	assert_int_equal(work_pending(c.w), 0);
	assert_false(atomic_load(&c.on_main));
	teardown(&c);
}

/* Two jobs that wait for each other: they end only when both run at once. */
struct pair {
	struct counter c;
	pthread_barrier_t both;
};

static void
run_meet(void *arg)
{
	struct pair *p = arg;

	(void)pthread_barrier_wait(&p->both);
}

static void
jobs_run_side_by_side(void **state)
{
	struct pair p;

	(void)state;
	setup(&p.c, 2);
	p.c.want = 2;
	assert_int_equal(pthread_barrier_init(&p.both, NULL, 2), 0);
	work_add(p.c.w, run_meet, done_count, &p.c);
	work_add(p.c.w, run_meet, done_count, &p.c);
	loop_run(p.c.l);
	assert_int_equal(p.c.done, 2);
	(void)pthread_barrier_destroy(&p.both);
	teardown(&p.c);
}

static void
done_may_add_more(void *arg)
{
	struct counter *c = arg;

	if (++c->done == c->want)
		loop_stop(c->l, 0);
	else
		work_add(c->w, run_count, done_may_add_more, c);
}

static void
a_chain_of_jobs(void **state)
{
	struct counter c;

	(void)state;
	setup(&c, 1);
	c.want = 100;
	work_add(c.w, run_count, done_may_add_more, &c);
	loop_run(c.l);
	assert_int_equal(atomic_load(&c.ran), 100);
	teardown(&c);
}

static void
run_slow(void *arg)
{
	struct counter *c = arg;

	usleep(50000);
	atomic_fetch_add(&c->ran, 1);
}

static void
free_waits_for_what_runs_and_drops_the_rest(void **state)
{
	struct counter c;

	(void)state;
	setup(&c, 1);
	for (unsigned i = 0; i < 20; i++)
		work_add(c.w, run_slow, done_count, &c);
	usleep(20000);
	work_free(&c.w);
	assert_true(atomic_load(&c.ran) <= 2);
	assert_int_equal(c.done, 0);
	loop_free(&c.l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_jobs_run_and_finish),
		cmocka_unit_test(jobs_run_side_by_side),
		cmocka_unit_test(a_chain_of_jobs),
		cmocka_unit_test(free_waits_for_what_runs_and_drops_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
