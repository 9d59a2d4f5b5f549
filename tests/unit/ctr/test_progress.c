/* SPDX-License-Identifier: Apache-2.0 */
/* What a pull shows: the block of bars at any size, and plain lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctr/progress.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/err.h"

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static FILE *nowhere; /* /dev/null: for blocks that the test draws itself */

static void
tell(struct progress *p, const char *digest, const char *state, uint64_t offset, uint64_t total)
{
	struct pull_item item = {
		.kind = "layer", .digest = digest, .state = state, .offset = offset, .total = total
	};
	const struct pull_item_list news = { &item, 1 };

	progress_update(p, &news);
}

static void
test_plain_lines_one_per_change(void **state)
{
	AUTO(free_ptr) char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	struct progress *p = progress_new(NULL, f, false);

	(void)state;
	tell(p, A, "waiting", 0, 2048);
	tell(p, A, "downloading", 0, 2048);
	tell(p, A, "downloading", 1024, 2048);
	tell(p, B, "exists", 0, 1024);
	tell(p, A, "unpacking", 0, 2048);
	tell(p, A, "done", 0, 2048);
	tell(p, "evil\x1b[2J", "done\x07", 0, 0);
	progress_end(&p, true);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, "layer sha256:aaaaaaaaaaaa: downloading 2.0 KiB\n"
				  "layer sha256:bbbbbbbbbbbb: exists 1.0 KiB\n"
				  "layer sha256:aaaaaaaaaaaa: unpacking\n"
				  "layer sha256:aaaaaaaaaaaa: done\n"
				  "layer evil\\x1b[2J: done\\x07\n");
}

static void
test_lines_of_a_pull_that_fails_at_once_are_dropped(void **state)
{
	AUTO(free_ptr) char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	struct loop *l = loop_new();
	struct progress *p = progress_new(l, f, false);

	(void)state;
	tell(p, A, "downloading", 0, 2048);
	progress_end(&p, false);
	p = progress_new(l, f, false);
	tell(p, B, "downloading", 0, 2048);
	progress_end(&p, true);
	loop_free(&l);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, "layer sha256:bbbbbbbbbbbb: downloading 2.0 KiB\n");
}

/* Every line fits, and there are never more than fit. */
static void
test_block_fits_any_size(void **state)
{
	struct progress *p = progress_new(NULL, nowhere, false);

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		char digest[80];

		(void)snprintf(digest, sizeof(digest), "sha256:%064u", i);
		tell(p, digest, i % 3 == 0 ? "exists" : "downloading", i * 1000000000ULL,
		    i % 7 == 0 ? 0 : 60000000000ULL);
	}
	for (unsigned width = 1; width < 200; width += 3)
		for (unsigned height = 1; height < 60; height += 4) {
			AUTO(buf_free) struct buf out = BUF_ZERO;
			unsigned lines = 0;

			progress_block(p, width, height, &out);
			for (char *line = out.data; *line != '\0'; lines++) {
				char *end = strchr(line, '\n');

				assert_non_null(end);
				*end = '\0';
				assert_true(text_width(line) < (width < 2 ? 2 : width));
				line = end + 1;
			}
			assert_true(lines <= (height > 3 ? height - 1 : 2));
			if (width > 40)
				assert_non_null(memmem(out.data, out.len, "/s)", 3));
		}
	progress_end(&p, false);
}

static void
test_bar(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct progress *p = progress_new(NULL, nowhere, false);

	(void)state;
	tell(p, A, "downloading", 512 * 1024, 1024 * 1024);
	progress_block(p, 81, 24, &out);
	*strchr(out.data, '\n') = '\0';
	assert_string_equal(out.data,
	    "layer    sha256:aaaaaaaaaaaa  downloading  [=====>    ]  512.0 KiB / 1.0 MiB");
	progress_end(&p, false);
}

static void
test_json_one_object_for_all_that_is_told(void **state)
{
	AUTO(free_ptr) char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	struct progress *p = progress_new(NULL, f, true);

	(void)state;
	tell(p, A, "downloading", 512, 2048);
	tell(p, A, "downloading", 1024, 2048);
	tell(p, "evil\x1b[2J\xff", "done", 0, 0);
	progress_end(&p, true);
	assert_int_equal(fclose(f), 0);
	assert_non_null(
	    strstr(text, "\"state\":\"downloading\",\"offset\":512,\"total\":2048}\n{"));
	assert_null(strchr(text, '\x1b'));
	assert_null(strchr(text, '\xff'));
}

static void
test_when_there_are_too_many_those_that_are_done_give_way(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct progress *p = progress_new(NULL, nowhere, false);

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		char digest[80];

		(void)snprintf(digest, sizeof(digest), "sha256:%064u", i);
		tell(p, digest, "done", 0, 10);
	}
	tell(p, A, "downloading", 1, 2);
	progress_block(p, 100, 8, &out);
	assert_non_null(strstr(out.data, "sha256:aaaaaaaaaaaa"));
	assert_non_null(strstr(out.data, "15 more, "));
	progress_end(&p, false);
}

static void
test_rows_after_a_resize(void **state)
{
	static const unsigned widths[] = { 79, 0, 10, 80 };

	(void)state;
	assert_int_equal(progress_rows(widths, COUNT(widths), 80), 4);
	assert_int_equal(progress_rows(widths, COUNT(widths), 40), 2 + 1 + 1 + 2);
	assert_int_equal(progress_rows(widths, COUNT(widths), 0), 4);
	assert_int_equal(progress_rows(widths, 0, 40), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_lines_one_per_change),
		cmocka_unit_test(test_lines_of_a_pull_that_fails_at_once_are_dropped),
		cmocka_unit_test(test_block_fits_any_size),
		cmocka_unit_test(test_bar),
		cmocka_unit_test(test_json_one_object_for_all_that_is_told),
		cmocka_unit_test(test_when_there_are_too_many_those_that_are_done_give_way),
		cmocka_unit_test(test_rows_after_a_resize),
	};

	nowhere = fopen("/dev/null", "we");
	return nowhere == NULL ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
