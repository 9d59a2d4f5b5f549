/* SPDX-License-Identifier: Apache-2.0 */
/* Boards in a real folder: made, reused, read as untrusted bytes, buried. */
#include "bus/board/board.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"

struct fixture {
	char path[64];
	int dir, fd;
	struct board *b;
};

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e = ERR_ZERO;

	(void)strcpy(f->path, "/tmp/coffer-board-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dir >= 0);
	assert_int_equal(board_create(f->dir, "content", geteuid(), getegid(), &f->fd, &e), 0);
	assert_int_equal(board_map(f->fd, 1, &f->b, &e), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_ZERO;

	board_unmap(&f->b);
	fd_close(&f->fd);
	fd_close(&f->dir);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->path, &e), 0);
	free(f);
	return 0;
}

static void
in_hand(struct fixture *f, unsigned char id, const char *words)
{
	memset(f->b->self.in_hand, id, sizeof(f->b->self.in_hand));
	f->b->self.in_hand_set = 1;
	(void)strcpy(f->b->self.last_words, words);
}

static uint32_t
bury(struct fixture *f, int own_fault)
{
	struct board was;
	struct err e = ERR_ZERO;

	return board_bury(f->fd, own_fault, &was, &e);
}

static void
a_new_board_is_empty_and_has_its_mode(void **state)
{
	struct fixture *f = *state;
	struct board b;
	struct err e = ERR_ZERO;
	struct stat st;

	assert_int_equal(board_read(f->dir, "content", &b, &e), 0);
	assert_string_equal(b.super.name, "content");
	assert_int_equal(b.self.served, 0);
	assert_int_equal(fstat(f->fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_size, BOARD_BYTES);
}

static void
self_outlives_an_incarnation(void **state)
{
	struct fixture *f = *state;
	struct board b;
	struct err e = ERR_ZERO;
	AUTO(fd_close) int again = -1;

	f->b->self.served = 7;
	in_hand(f, 9, "");
	assert_int_equal(bury(f, 1), 1);
	assert_int_equal(board_create(f->dir, "content", geteuid(), getegid(), &again, &e), 0);
	assert_int_equal(board_read_fd(again, &b, &e), 0);
	assert_int_equal(b.self.served, 7);
	assert_int_equal(b.self.poison[0].deaths, 1);
}

static void
a_file_of_other_content_is_not_read_and_is_made_anew(void **state)
{
	struct fixture *f = *state;
	struct board b;
	struct err e = ERR_ZERO;
	AUTO(fd_close) int again = -1;

	f->b->super.magic = 1;
	f->b->self.served = 7;
	assert_int_equal(board_read(f->dir, "content", &b, &e), -ERR_FAILED_PRECONDITION);
	assert_int_equal(board_create(f->dir, "content", geteuid(), getegid(), &again, &e), 0);
	assert_int_equal(board_read(f->dir, "content", &b, &e), 0);
	assert_int_equal(b.self.served, 0);
}

static void
a_board_cut_short_is_an_error_not_a_fault(void **state)
{
	struct fixture *f = *state;
	struct board b;
	struct board *map = NULL;
	struct err e = ERR_ZERO;

	assert_int_equal(ftruncate(f->fd, 100), 0);
	assert_int_equal(board_read(f->dir, "content", &b, &e), -ERR_DATA_LOSS);
	assert_int_equal(board_map(f->fd, 0, &map, &e), -ERR_DATA_LOSS);
	assert_null(map);
	assert_int_equal(board_beat(f->fd), 0);
	assert_int_equal(bury(f, 1), 0);
}

static void
strings_without_an_end_get_one(void **state)
{
	struct fixture *f = *state;
	struct board b;
	struct err e = ERR_ZERO;

	memset(f->b->self.last_words, 'x', sizeof(f->b->self.last_words));
	memset(f->b->self.in_hand_method, 'y', sizeof(f->b->self.in_hand_method));
	memset(f->b->self.ingest[3].digest, 'z', sizeof(f->b->self.ingest[3].digest));
	assert_int_equal(board_read(f->dir, "content", &b, &e), 0);
	assert_int_equal(strlen(b.self.last_words), BOARD_TEXT - 1);
	assert_int_equal(strlen(b.self.in_hand_method), sizeof(b.self.in_hand_method) - 1);
	assert_int_equal(strlen(b.self.ingest[3].digest), sizeof(b.self.ingest[3].digest) - 1);
}

static void
super_is_written_without_touching_self(void **state)
{
	struct fixture *f = *state;
	struct board b;
	struct err e = ERR_ZERO;

	f->b->self.served = 42;
	f->b->self.beat_mono_ms = 99;
	assert_int_equal(board_read_fd(f->fd, &b, &e), 0);
	b.super.pid = 1234;
	b.super.state = BOARD_RUNNING;
	assert_int_equal(board_super_write(f->fd, &b.super, &e), 0);
	assert_int_equal(f->b->super.pid, 1234);
	assert_int_equal(f->b->self.served, 42);
	assert_int_equal(board_beat(f->fd), 99);
}

static void
a_request_in_hand_is_counted_per_death(void **state)
{
	struct fixture *f = *state;

	in_hand(f, 1, "first");
	assert_int_equal(bury(f, 1), 1);
	assert_int_equal(f->b->self.in_hand_set, 0);
	assert_int_equal(bury(f, 1), 0);
	in_hand(f, 2, "other");
	assert_int_equal(bury(f, 1), 1);
	in_hand(f, 1, "second");
	assert_int_equal(bury(f, 1), 2);
	in_hand(f, 1, "third");
	assert_int_equal(bury(f, 1), 3);
	assert_int_equal(f->b->self.poison[0].deaths, 3);
	assert_string_equal(f->b->self.poison[0].words, "third");
	assert_int_equal(f->b->self.poison[1].deaths, 1);
}

static void
a_kill_from_outside_blames_no_request(void **state)
{
	struct fixture *f = *state;

	in_hand(f, 1, "");
	assert_int_equal(bury(f, 0), 0);
	assert_int_equal(f->b->self.in_hand_set, 0);
	assert_int_equal(f->b->self.poison[0].deaths, 0);
}

static void
a_full_table_drops_who_killed_least(void **state)
{
	struct fixture *f = *state;

	for (unsigned char i = 0; i < BOARD_POISON; i++)
		for (int n = 0; n < (i == 5 ? 1 : 2); n++) {
			in_hand(f, (unsigned char)(i + 1), "");
			(void)bury(f, 1);
		}
	in_hand(f, 200, "");
	assert_int_equal(bury(f, 1), 1);
	assert_int_equal(f->b->self.poison[5].id[0], 200);
	assert_int_equal(f->b->self.poison[4].deaths, 2);
}

static void
quantiles_are_upper_bounds_of_buckets(void **state)
{
	struct fixture *f = *state;
	struct board_self *s = &f->b->self;

	assert_int_equal(board_latency_us(s, 0.5), 0);
	s->latency_us[5] = 90; /* 32..64 us */
	s->latency_us[10] = 10;
	assert_int_equal(board_latency_us(s, 0.5), 64);
	assert_int_equal(board_latency_us(s, 0.9), 64);
	assert_int_equal(board_latency_us(s, 0.99), 2048);
	assert_int_equal(board_latency_us(s, 1), 2048);
}

static void
states_have_names(void **state)
{
	(void)state;
	assert_string_equal(board_state_text(BOARD_RUNNING), "running");
	assert_string_equal(board_state_text(77), "unknown");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_new_board_is_empty_and_has_its_mode),
		T(self_outlives_an_incarnation),
		T(a_file_of_other_content_is_not_read_and_is_made_anew),
		T(a_board_cut_short_is_an_error_not_a_fault),
		T(strings_without_an_end_get_one),
		T(super_is_written_without_touching_self),
		T(a_request_in_hand_is_counted_per_death),
		T(a_kill_from_outside_blames_no_request),
		T(a_full_table_drops_who_killed_least),
		T(quantiles_are_upper_bounds_of_buckets),
		cmocka_unit_test(states_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
