/* SPDX-License-Identifier: Apache-2.0 */
/* Strings from outside, and numbers for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/err.h"

static void
test_clean(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{ "plain", "plain" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\x1b[2J\x07", "\\x1b[2J\\x07" },
		{ "a\nb\tc\r", "a\\x0ab\\x09c\\x0d" },
		{ "\x7f", "\\x7f" },
		{ "\xc2\x9b"
		  "2J",
		    "\\u009b2J" }, /* CSI in one character */
		{ "\xe2\x80\xae"
		  "x",
		    "\\u202ex" }, /* right-to-left override */
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "\xc3", "\\xc3" },		       /* cut short */
		{ "\xc0\xaf", "\\xc0\\xaf" },	       /* overlong */
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" }, /* a surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
		{ "\xf0\x9f\x90\xb3", "\xf0\x9f\x90\xb3" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO(buf_free) struct buf out = BUF_ZERO;

		text_clean(&out, cases[i].from);
		assert_string_equal(buf_str(&out), cases[i].to);
	}
}

static void
test_width_and_cut(void **state)
{
	(void)state;
	assert_int_equal(text_width("gr\xc3\xbc\xc3\x9f"), 4);
	assert_int_equal(text_cut("gr\xc3\xbc\xc3\x9f", 3), 4);
	assert_int_equal(text_cut("gr\xc3\xbc\xc3\x9f", 9), 6);
	assert_int_equal(text_cut("abc", 0), 0);
}

static void
test_sizes(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = { { 0, "0 B" }, { 1023, "1023 B" }, { 1024, "1.0 KiB" },
		{ 56518246, "53.9 MiB" }, { 1048575, "1.0 MiB" }, { 1073741824, "1.0 GiB" },
		{ UINT64_MAX, "16.0 EiB" } };
	char text[TEXT_NUMBER_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(text_size(cases[i].n, text), cases[i].text);
}

static void
test_ages(void **state)
{
	const int64_t s = 1000000000, now = 1700000000 * s;
	char text[TEXT_NUMBER_MAX];

	(void)state;
	assert_string_equal(text_age(0, now, text), "-");
	assert_string_equal(text_age(now, now, text), "just now");
	assert_string_equal(text_age(now + 50 * s, now, text), "just now");
	assert_string_equal(text_age(now - s, now, text), "1 second ago");
	assert_string_equal(text_age(now - 59 * s, now, text), "59 seconds ago");
	assert_string_equal(text_age(now - 60 * s, now, text), "1 minute ago");
	assert_string_equal(text_age(now - 7200 * s, now, text), "2 hours ago");
	assert_string_equal(text_age(now - 86400 * s, now, text), "1 day ago");
	assert_string_equal(text_age(now - 21 * 86400 * s, now, text), "3 weeks ago");
	assert_string_equal(text_age(now - 800 * 86400 * s, now, text), "2 years ago");
	assert_string_equal(text_span(59 * s, text), "59s");
	assert_string_equal(text_span(3905 * s, text), "1h 5m");
	assert_string_equal(text_span(-5, text), "0s");
	assert_string_equal(text_span(100 * 3600 * s, text), "4d 4h");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_width_and_cut),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_ages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
