/* SPDX-License-Identifier: Apache-2.0 */
/* The log reader over files as the shim writes and rotates them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctr/logs.h"
#include "lib/base/auto.h"
#include "lib/base/err.h"
#include "lib/base/fs.h"

#define T "2026-11-23T15:39:58.329747917Z"

struct rig {
	char dir[32], path[64];
	char *out, *err;
	size_t nout, nerr;
	FILE *fout, *ferr;
};

static int
rig_make(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	(void)strcpy(r->dir, "/tmp/coffer-logs-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->path, sizeof(r->path), "%s/log", r->dir);
	r->fout = open_memstream(&r->out, &r->nout);
	r->ferr = open_memstream(&r->err, &r->nerr);
	*state = r;
	return 0;
}

static int
rig_free(void **state)
{
	struct rig *r = *state;
	struct err e = ERR_ZERO;

	(void)fclose(r->fout);
	(void)fclose(r->ferr);
	free(r->out);
	free(r->err);
	assert_int_equal(fs_remove_tree(AT_FDCWD, r->dir, &e), 0);
	free(r);
	return 0;
}

static void
append(const struct rig *r, const char *text)
{
	FILE *f = fopen(r->path, "a");

	assert_non_null(f);
	(void)fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* As the shim does it: log.2 -> log.3, log.1 -> log.2, log -> log.1, and a new log. */
static void
rotate(const struct rig *r)
{
	for (int i = 3; i > 0; i--) {
		char from[80], to[80];

		(void)snprintf(to, sizeof(to), "%s.%d", r->path, i);
		(void)snprintf(from, sizeof(from), i == 1 ? "%s" : "%s.%d", r->path, i - 1);
		(void)rename(from, to); /* not all of them are there yet */
	}
	append(r, "");
}

static struct logs *
open_logs(struct rig *r, int64_t tail, bool timestamps)
{
	const struct logs_opts o = { .path = r->path,
		.tail = tail,
		.timestamps = timestamps,
		.out = r->fout,
		.err = r->ferr };
	struct logs *l = NULL;
	struct err e = ERR_ZERO;

	if (logs_open(&o, &l, &e) != 0)
		fail_msg("%s", e.msg);
	return l;
}

static void
more(struct logs *l)
{
	struct err e = ERR_ZERO;

	if (logs_read(l, &e) != 0)
		fail_msg("%s", e.msg);
}

static void
show(struct rig *r, int64_t tail, bool timestamps)
{
	struct logs *l = open_logs(r, tail, timestamps);

	more(l);
	logs_finish(l);
	logs_free(&l);
}

static void
test_streams_go_apart(void **state)
{
	struct rig *r = *state;

	append(r, T " stdout F one\n" T " stderr F two\n" T " stdout F \n" T " stdout F three\n");
	show(r, -1, false);
	assert_string_equal(r->out, "one\n\nthree\n");
	assert_string_equal(r->err, "two\n");
}

static void
test_parts_are_joined(void **state)
{
	struct rig *r = *state;

	append(
	    r, T " stdout P one \n" T " stdout P two \n" T " stdout F three\n" T " stdout P end");
	append(r, "\n");
	show(r, -1, true);
	assert_string_equal(r->out, T " one two three\n" T " end");
}

static void
test_timestamps(void **state)
{
	struct rig *r = *state;

	append(r, T " stdout F one\n" T " stderr F two\n");
	show(r, -1, true);
	assert_string_equal(r->out, T " one\n");
	assert_string_equal(r->err, T " two\n");
}

static void
test_what_is_no_log_line_is_shown_as_it_is(void **state)
{
	struct rig *r = *state;

	append(r, "hello\n" T " stdin F x\n" T " stdout X x\n" T "\n\n" T " stdout F");
	show(r, -1, false);
	assert_string_equal(
	    r->out, "hello\n" T " stdin F x\n" T " stdout X x\n" T "\n\n" T " stdout F\n");
}

static void
tail_is(struct rig *r, int64_t tail, const char *want)
{
	(void)fseeko(r->fout, 0, SEEK_SET);
	show(r, tail, false);
	(void)fputc('\0', r->fout);
	(void)fflush(r->fout);
	assert_string_equal(r->out, want);
}

static void
test_tail(void **state)
{
	struct rig *r = *state;

	append(r,
	    T " stdout F one\n" T " stdout P two-a \n" T " stdout F two-b\n" T " stdout F three\n");
	tail_is(r, 0, "");
	tail_is(r, 1, "three\n");
	tail_is(r, 2, "two-a two-b\nthree\n");
	tail_is(r, 3, "one\ntwo-a two-b\nthree\n");
	tail_is(r, 4, "one\ntwo-a two-b\nthree\n");
	append(r, T " stdout P no end\n");
	tail_is(r, 1, "no end");
	tail_is(r, 2, "three\nno end");
}

static void
test_tail_over_rotated_files(void **state)
{
	struct rig *r = *state;

	append(r, T " stdout F one\n" T " stdout F two\n");
	rotate(r);
	append(r, T " stdout F three\n");
	rotate(r);
	append(r, T " stdout F four\n");
	tail_is(r, 1, "four\n");
	tail_is(r, 2, "three\nfour\n");
	tail_is(r, 3, "two\nthree\nfour\n");
	tail_is(r, 9, "one\ntwo\nthree\nfour\n");
	tail_is(r, -1, "one\ntwo\nthree\nfour\n");
}

/* A tail that ends far from any border of what is read at a time. */
static void
test_tail_of_a_large_file(void **state)
{
	struct rig *r = *state;
	FILE *f = fopen(r->path, "w");
	char want[64];

	assert_non_null(f);
	for (int i = 0; i < 20000; i++)
		(void)fprintf(f, T " stdout F line %d\n", i);
	assert_int_equal(fclose(f), 0);
	show(r, 15000, false);
	assert_int_equal(strncmp(r->out, "line 5000\nline 5001\n", 20), 0);
	(void)snprintf(want, sizeof(want), "line 19999\n");
	assert_string_equal(r->out + r->nout - strlen(want), want);
}

static void
test_follow_over_rotations(void **state)
{
	struct rig *r = *state;
	struct logs *l;

	append(r, T " stdout F 1\n");
	l = open_logs(r, -1, false);
	more(l);
	assert_string_equal(r->out, "1\n");
	append(r, T " stdout F 2\n" T " std"); /* a half line waits */
	more(l);
	assert_string_equal(r->out, "1\n2\n");
	append(r, "out F 3\n");
	rotate(r); /* 3 was written before, seen after */
	append(r, T " stdout F 4\n");
	rotate(r);
	append(r, T " stdout F 5\n");
	more(l);
	assert_string_equal(r->out, "1\n2\n3\n4\n5\n");
	/* More rotations than files are kept: what is still there comes, in order. */
	for (int i = 6; i < 12; i++) {
		char line[80];

		rotate(r);
		(void)snprintf(line, sizeof(line), T " stdout F %d\n", i);
		append(r, line);
	}
	more(l);
	assert_string_equal(r->out, "1\n2\n3\n4\n5\n8\n9\n10\n11\n");
	more(l);
	assert_string_equal(r->out, "1\n2\n3\n4\n5\n8\n9\n10\n11\n");
	logs_free(&l);
}

static void
test_a_line_that_never_ends_is_let_go(void **state)
{
	struct rig *r = *state;
	FILE *f = fopen(r->path, "w");
	struct logs *l;

	assert_non_null(f);
	for (int i = 0; i < 1000000; i++)
		(void)fputc('x', f);
	assert_int_equal(fclose(f), 0);
	l = open_logs(r, -1, false);
	more(l);
	assert_true(r->nout > 500000);
	logs_finish(l);
	logs_free(&l);
	assert_true(r->nout >= 1000000);
}

static void
test_no_file(void **state)
{
	struct rig *r = *state;
	const struct logs_opts o = { .path = r->path, .tail = -1, .out = r->fout, .err = r->ferr };
	struct logs *l = NULL;
	struct err e = ERR_ZERO;

	assert_int_equal(logs_open(&o, &l, &e), -ERR_NOT_FOUND);
	assert_null(l);
	/* A link in its place is not followed. */
	assert_int_equal(symlink("/etc/passwd", r->path), 0);
	e = ERR_ZERO;
	assert_int_not_equal(logs_open(&o, &l, &e), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_make, rig_free)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_streams_go_apart),
		TEST(test_parts_are_joined),
		TEST(test_timestamps),
		TEST(test_what_is_no_log_line_is_shown_as_it_is),
		TEST(test_tail),
		TEST(test_tail_over_rotated_files),
		TEST(test_tail_of_a_large_file),
		TEST(test_follow_over_rotations),
		TEST(test_a_line_that_never_ends_is_let_go),
		TEST(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
