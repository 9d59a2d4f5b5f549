/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kill - kill -9 a writer at random moments; what it acknowledged must be there, whole.
 *
 * The child commits transaction n: record n, two events, a reply, and deletes record n - KEEP. After
 * each commit it writes n into a pipe: the acknowledgement. The parent kills it, reopens and checks.
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

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/store/store.h"

#define KEEP 50
#define ROUNDS 60

static const char *const tables[] = { "records" };

static uint64_t
start_number(struct store *s)
{
	return store_outbox_last(s) / 2;
}

static void
id_of(uint8_t id[16], uint64_t n)
{
	memset(id, 0, 16);
	memcpy(id, &n, sizeof(n));
}

static int
one_commit(struct store *s, uint64_t n, struct err *e)
{
	char filler[3000];
	struct outbox_entry rec = { .seq = n, .ns = "n", .topic = "t" };
	struct ev_image ev = { .name = "image" };
	AUTO(store_abort) struct txn *t = NULL;
	struct key k;
	uint8_t id[16];
	int r = store_write(s, &t, e);

	memset(filler, (int)n, sizeof(filler));
	rec.body = (struct bytes){ filler, n % sizeof(filler) };
	store_key_u64(&k, n);
	id_of(id, n);
	if (r == 0)
		r = store_put(t, 0, &k, &outbox_entry_schema, &rec, e);
	for (int i = 0; r == 0 && i < 2; i++)
		r = store_event(t, "default", "/images/create", &ev, e);
	if (r == 0)
		r = store_reply_put(t, id, filler, n % 500, e);
	if (r == 0 && n > KEEP) {
		store_key_u64(&k, n - KEEP);
		r = store_del(t, 0, &k, e);
	}
	return r < 0 ? r : store_commit(&t, e);
}

static _Noreturn void
child(const char *dir, bool durable, int ack)
{
	struct store *s = NULL;
	struct err e = ERR_ZERO;

	if (store_open(dir, tables, 1, durable, &s, &e) < 0) {
		(void)fprintf(stderr, "child: %s\n", e.msg);
		_exit(3);
	}
	for (uint64_t n = start_number(s) + 1;; n++) {
		struct outbox_entry_list l;
		AUTO(arena_free) struct arena a = ARENA_ZERO;

		if (one_commit(s, n, &e) < 0 || write(ack, &n, sizeof(n)) != sizeof(n))
			_exit(4);
		if (n % 7 == 0) /* a journal that keeps up */
			(void)store_outbox(s, n, 1, &a, &l, &e);
	}
}

struct tally {
	uint64_t last, n;
};

static int
check_record(void *arg, const struct key *k, void *rec, struct err *e)
{
	const struct outbox_entry *r = rec;
	const unsigned char *body = r->body.p;
	struct tally *y = arg;

	(void)e;
	assert_int_equal(store_key_to_u64(k), r->seq);
	assert_true(y->n == 0 || r->seq == y->last + 1);
	assert_int_equal(r->body.n, r->seq % 3000);
	for (size_t i = 0; i < r->body.n; i++)
		assert_int_equal(body[i], r->seq & 0xff);
	y->last = r->seq;
	y->n++;
	return 0;
}

static void
check(const char *dir, uint64_t acked)
{
	AUTO(store_close) struct store *s = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(buf_free) struct buf b = BUF_ZERO;
	struct outbox_entry_list l;
	struct err e = ERR_ZERO;
	struct tally y = { .n = 0 };
	struct txn *t = NULL;
	uint64_t n, kept;
	uint8_t id[16];

	assert_int_equal(store_open(dir, tables, 1, false, &s, &e), 0);
	n = start_number(s);
	assert_true(n == acked || n == acked + 1); /* committed, killed before it could say so */
	assert_int_equal(store_outbox_last(s), 2 * n);
	assert_int_equal(store_read(s, &t, &e), 0);
	assert_int_equal(
	    store_each(t, 0, NULL, NULL, &outbox_entry_schema, &a, check_record, &y, &e), 0);
	store_abort(&t);
	kept = n < KEEP ? n : KEEP;
	assert_int_equal(y.n, kept);
	assert_true(n == 0 || y.last == n);
	id_of(id, n);
	assert_true(n == 0 || store_reply_get(s, id, &b));
	assert_int_equal(b.len, n % 500);
	assert_int_equal(store_outbox(s, 0, 256, &a, &l, &e), 0);
	for (uint32_t i = 1; i < l.n; i++)
		assert_int_equal(l.v[i].seq, l.v[i - 1].seq + 1);
	assert_true(n == 0 || l.n > 0);
}

/* One life: runs for a random time, killed, checked. Returns the newest acknowledged number. */
static uint64_t
life(const char *dir, bool durable, uint64_t acked)
{
	long us = 500 + random() % 30000;
	struct timespec ts = { 0, us * 1000 };
	uint64_t n;
	int p[2], status;
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(p[0]);
		child(dir, durable, p[1]);
	}
	(void)close(p[1]);
	(void)nanosleep(&ts, NULL);
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (read(p[0], &n, sizeof(n)) == sizeof(n))
		acked = n;
	(void)close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return acked;
}

static void
lives(const char *where, bool durable)
{
	char dir[64];
	struct err e = ERR_ZERO;
	uint64_t acked = 0;

	(void)snprintf(dir, sizeof(dir), "%s/coffer-kill-XXXXXX", where);
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < ROUNDS; i++) {
		AUTO(store_close) struct store *s = NULL;

		acked = life(dir, durable, acked);
		check(dir, acked);
		assert_int_equal(store_open(dir, tables, 1, false, &s, &e), 0);
		acked = start_number(s);
	}
	assert_true(acked > ROUNDS / 4); /* it did get somewhere */
	assert_int_equal(fs_remove_tree(AT_FDCWD, dir, &e), 0);
}

static void
test_killed_without_sync(void **state)
{
	(void)state;
	lives("/dev/shm", false);
}

static void
test_killed_durable(void **state)
{
	(void)state;
	lives("/tmp", true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_without_sync),
		cmocka_unit_test(test_killed_durable),
	};
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)printf("seed %ld\n", now.tv_nsec);
	srandom((unsigned)now.tv_nsec);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
