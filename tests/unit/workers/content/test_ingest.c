/* SPDX-License-Identifier: Apache-2.0 */
/* ingest: bytes become a blob only when they are the right ones; rests are continued. */
#include "workers/content/ingest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"

struct bench {
	char dir[40];
	int dirfd;
	struct loop *loop;
	struct work *work;
	struct blobs blobs;
	struct ingest *in;
	unsigned ready, room, done, failed;
	struct err err;
};

static void
on_ingest(void *arg, enum ingest_event what, const struct err *e)
{
	struct bench *b = arg;

	b->ready += what == INGEST_READY;
	b->room += what == INGEST_ROOM;
	b->done += what == INGEST_DONE;
	b->failed += what == INGEST_FAILED;
	if (e != NULL)
		b->err = *e;
}

static int
up(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct err e = ERR_ZERO;

	(void)strcpy(b->dir, "/tmp/coffer-ingest-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->dirfd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->loop = loop_new();
	assert_int_equal(work_new(b->loop, 2, &b->work, &e), 0);
	assert_int_equal(blobs_open(&b->blobs, b->dirfd, b->work, NULL, &e), 0);
	*state = b;
	return 0;
}

static int
down(void **state)
{
	struct bench *b = *state;
	struct err e = ERR_ZERO;

	ingest_close(&b->in, false);
	while (work_pending(b->work) > 0)
		loop_turn(b->loop, 1000);
	assert_null(b->blobs.ingests.closing);
	work_free(&b->work);
	blobs_close(&b->blobs);
	loop_free(&b->loop);
	assert_int_equal(fs_remove_tree(AT_FDCWD, b->dir, &e), 0);
	fd_close(&b->dirfd);
	free(b);
	return 0;
}

static uint64_t
came(struct bench *b)
{
	return spans_front(ingest_spans(b->in));
}

/* The next n bytes. */
static bool
add(struct bench *b, const void *p, size_t n)
{
	return ingest_add(b->in, came(b), p, n);
}

static void
turn_until(struct bench *b, const unsigned *count, unsigned want)
{
	for (unsigned i = 0; i < 2000 && *count < want && b->failed == 0; i++)
		loop_turn(b->loop, 10);
}

static void
start(struct bench *b, const struct digest *d, uint64_t size)
{
	b->ready = b->room = b->done = b->failed = 0;
	b->err = ERR_ZERO;
	b->in = ingest_open(&b->blobs, "", d, size, on_ingest, b);
	turn_until(b, &b->ready, 1);
	assert_int_equal(b->ready, 1);
}

static void
finish(struct bench *b)
{
	ingest_finish(b->in);
	while (b->done + b->failed == 0)
		loop_turn(b->loop, 1000);
}

static bool
ingest_file(struct bench *b, const struct digest *d)
{
	return faccessat(b->blobs.ingest_fd, digest_hex(d), F_OK, 0) == 0;
}

static void
a_blob(void **state)
{
	struct bench *b = *state;
	AUTO(free_ptr) char *data = xcalloc(1, 3000000);
	AUTO(buf_free) struct buf back = BUF_ZERO;
	struct err e = ERR_ZERO;
	struct digest d;
	uint64_t size = 0;

	for (size_t i = 0; i < 3000000; i++)
		data[i] = (char)(i * 2654435761U >> 13);
	digest_of(DIGEST_SHA256, data, 3000000, &d);
	start(b, &d, 3000000);
	for (size_t at = 0; at < 3000000;) {
		size_t n = 3000000 - at < 70000 ? 3000000 - at : 70000;

		if (add(b, data + at, n))
			at += n;
		else
			loop_turn(b->loop, 1000);
		assert_int_equal(came(b), at);
	}
	assert_false(blobs_has(&b->blobs, &d, 0, NULL));
	finish(b);
	assert_int_equal(b->done, 1);
	assert_true(blobs_has(&b->blobs, &d, 3000000, &size));
	assert_false(blobs_has(&b->blobs, &d, 2999999, NULL));
	assert_false(ingest_file(b, &d));
	assert_int_equal(blobs_read(&b->blobs, &d, 3000000, &back, &e), 0);
	assert_memory_equal(back.data, data, 3000000);
}

/* In pieces of blocks, in any order; given up now and then and taken up from what the file says. */
static void
in_any_order(void **state)
{
	enum { SIZE = 9000000, PIECE = 1 << 20, PIECES = SIZE / PIECE + 1 };
	struct bench *b = *state;
	AUTO(free_ptr) char *data = xcalloc(1, SIZE);
	AUTO(buf_free) struct buf back = BUF_ZERO;
	uint64_t at[PIECES];
	struct err e = ERR_ZERO;
	struct digest d;
	unsigned rounds = 0;

	srandom(11);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (char)(i * 2654435761U >> 13);
	digest_of(DIGEST_SHA256, data, SIZE, &d);
	for (bool more = true; more; rounds++) {
		start(b, &d, SIZE);
		for (unsigned i = 0; i < PIECES; i++)
			at[i] = (uint64_t)i * PIECE;
		for (unsigned i = 0; i < ingest_spans(b->in)->n; i++) {
			struct span s = ingest_spans(b->in)->v[i];

			for (unsigned k = 0; k < PIECES; k++)
				if (s.from <= at[k] && s.to > at[k])
					at[k] = s.to;
		}
		for (unsigned steps = 0; steps < 50;) {
			unsigned k = (unsigned)random() % PIECES;
			uint64_t end = ((uint64_t)k + 1) * PIECE,
				 n = 4096 * ((uint64_t)random() % 30);

			end = end > SIZE ? SIZE : end;
			n = end <= at[k] ? 0 : end - at[k] < n ? end - at[k] : n;
			if (n == 0 || ingest_add(b->in, at[k], data + at[k], n)) {
				at[k] += n;
				steps++;
			} else {
				loop_turn(b->loop, 100);
			}
		}
		ingest_flush(b->in);
		more = spans_sum(ingest_spans(b->in)) < SIZE;
		if (more) {
			while (b->blobs.ingests.chunks > 0)
				loop_turn(b->loop, 100);
			ingest_close(&b->in, true);
		}
	}
	assert_true(rounds > 1);
	finish(b);
	assert_int_equal(b->done, 1);
	assert_int_equal(blobs_read(&b->blobs, &d, SIZE, &back, &e), 0);
	assert_memory_equal(back.data, data, SIZE);
}

static void
nothing_at_all_is_a_blob_too(void **state)
{
	struct bench *b = *state;
	struct digest d;

	digest_of(DIGEST_SHA512, "", 0, &d);
	start(b, &d, 0);
	finish(b);
	assert_int_equal(b->done, 1);
	assert_true(blobs_has(&b->blobs, &d, 0, NULL));
}

static void
wrong_bytes(void **state)
{
	struct bench *b = *state;
	struct digest d;

	digest_of(DIGEST_SHA256, "right", 5, &d);
	start(b, &d, 5);
	assert_true(add(b, "wrong", 5));
	finish(b);
	assert_int_equal(b->failed, 1);
	assert_int_equal(b->err.code, ERR_DATA_LOSS);
	assert_false(blobs_has(&b->blobs, &d, 0, NULL));
	/* A second try in the same ingest. */
	b->failed = b->ready = 0;
	ingest_restart(b->in);
	turn_until(b, &b->ready, 1);
	assert_int_equal(came(b), 0);
	assert_true(add(b, "right", 5));
	finish(b);
	assert_int_equal(b->done, 1);
	assert_true(blobs_has(&b->blobs, &d, 5, NULL));
}

static void
too_short(void **state)
{
	struct bench *b = *state;
	struct digest d;

	digest_of(DIGEST_SHA256, "four", 4, &d);
	start(b, &d, 5);
	assert_true(add(b, "four", 4));
	finish(b);
	assert_int_equal(b->err.code, ERR_DATA_LOSS);
	ingest_close(&b->in, false);
	assert_false(ingest_file(b, &d));
}

static void
a_rest_is_continued(void **state)
{
	struct bench *b = *state;
	struct digest d;

	digest_of(DIGEST_SHA256, "abcdef", 6, &d);
	assert_int_equal(
	    close(openat(b->blobs.ingest_fd, digest_hex(&d), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)),
	    0);
	{
		AUTO(fd_close)
		int fd = openat(b->blobs.ingest_fd, digest_hex(&d), O_WRONLY | O_CLOEXEC);

		assert_int_equal(write(fd, "abc", 3), 3);
	}
	start(b, &d, 6);
	assert_int_equal(came(b), 3);
	assert_true(add(b, "def", 3));
	finish(b);
	assert_int_equal(b->done, 1);
	assert_true(blobs_has(&b->blobs, &d, 6, NULL));
}

static void
a_rest_that_is_too_long_is_dropped(void **state)
{
	struct bench *b = *state;
	struct digest d;
	AUTO(fd_close) int fd = -1;

	digest_of(DIGEST_SHA256, "ab", 2, &d);
	fd = openat(b->blobs.ingest_fd, digest_hex(&d), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "abc", 3), 3);
	start(b, &d, 2);
	assert_int_equal(came(b), 0);
	assert_true(add(b, "ab", 2));
	finish(b);
	assert_int_equal(b->done, 1);
}

/* Closed and opened again while its job still runs, over and over: never two writers of one file. */
static void
closed_and_taken_up_again(void **state)
{
	struct bench *b = *state;
	AUTO(free_ptr) char *data = xcalloc(1, 600000);
	struct digest d;

	memset(data, 'x', 600000);
	digest_of(DIGEST_SHA256, data, 600000, &d);
	for (unsigned i = 0; i < 40; i++) {
		b->ready = b->done = b->failed = 0;
		b->in = ingest_open(&b->blobs, "", &d, 600000, on_ingest, b);
		if (i % 3 != 0)
			turn_until(b, &b->ready, 1);
		if (b->ready == 1 && came(b) == 0)
			(void)add(b, data, 100000);
		if (i % 4 == 1 && came(b) == 100000)
			loop_turn(b->loop, 5);
		ingest_close(&b->in, i % 2 == 0);
	}
	start(b, &d, 600000);
	while (came(b) < 600000)
		if (!add(b, data, 100000))
			loop_turn(b->loop, 100);
	finish(b);
	assert_int_equal(b->done, 1);
	assert_true(blobs_has(&b->blobs, &d, 600000, NULL));
}

static void
old_rests_go(void **state)
{
	struct bench *b = *state;
	struct err e = ERR_ZERO;
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct digest d1, d2;

	digest_of(DIGEST_SHA256, "1", 1, &d1);
	digest_of(DIGEST_SHA256, "2", 1, &d2);
	assert_int_equal(fs_write(b->blobs.ingest_fd, digest_hex(&d1), "x", 1, 0600, false, &e), 0);
	assert_int_equal(fs_write(b->blobs.ingest_fd, digest_hex(&d2), "x", 1, 0600, false, &e), 0);
	assert_int_equal(utimensat(b->blobs.ingest_fd, digest_hex(&d1), old, 0), 0);
	assert_int_equal(ingest_expire(&b->blobs, 3600, &e), 0);
	assert_false(ingest_file(b, &d1));
	assert_true(ingest_file(b, &d2));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_blob),
		TEST(in_any_order),
		TEST(nothing_at_all_is_a_blob_too),
		TEST(wrong_bytes),
		TEST(too_short),
		TEST(a_rest_is_continued),
		TEST(a_rest_that_is_too_long_is_dropped),
		TEST(closed_and_taken_up_again),
		TEST(old_rests_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
