/* SPDX-License-Identifier: Apache-2.0 */
/* Words behind a command: forms, ends, values, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctr/options.h"
#include "lib/base/auto.h"

static const struct opt table[] = {
	{ "tty", 't', OPT_FLAG, NULL, "", NULL },
	{ "interactive", 'i', OPT_FLAG, NULL, "", "stdin" },
	{ "env", 'e', OPT_LIST, "KEY=VALUE", "", NULL },
	{ "user", 'u', OPT_TEXT, "USER", "", NULL },
	{ "timeout", 'T', OPT_TEXT, "TIME", "", NULL },
	{ "memory", 'm', OPT_TEXT, "SIZE", "", "memory-limit" },
	{ .name = NULL },
};
static const struct opt globals[] = {
	{ "timeout", 0, OPT_TEXT, "TIME", "", NULL },
	{ "namespace", 'n', OPT_TEXT, "NAME", "", NULL },
	{ .name = NULL },
};
static const struct opt *const tables[] = { table, globals, NULL };

#define WORDS(...) ((char *[]){ __VA_ARGS__, NULL })

static void
good(struct opts *o, unsigned command_after, char **words)
{
	struct err e = ERR_ZERO;

	*o = OPTS_ZERO;
	if (opts_parse(o, tables, command_after, words, &e) != 0)
		fail_msg("%s", e.msg);
}

static void
bad(const char *message, unsigned command_after, char **words)
{
	AUTO(opts_free) struct opts o = OPTS_ZERO;
	struct err e = ERR_ZERO;

	assert_int_equal(opts_parse(&o, tables, command_after, words, &e), -ERR_INVALID_ARGUMENT);
	assert_string_equal(e.msg, message);
}

static void
test_forms(void **state)
{
	AUTO(opts_free) struct opts o;
	char one[] = "--user=me", two[] = "-it", three[] = "-eA=1", four[] = "--env",
	     five[] = "B=2", six[] = "-u", seven[] = "you", eight[] = "IMAGE", nine[] = "--stdin",
	     ten[] = "-";

	(void)state;
	good(&o, OPTS_NO_COMMAND, WORDS(one, two, eight, three, four, five, six, seven, nine, ten));
	assert_true(opts_flag(&o, "tty"));
	assert_true(opts_flag(&o, "interactive"));
	assert_string_equal(opts_text(&o, "user"), "you"); /* the last one */
	assert_int_equal(opts_list(&o, "env").n, 2);
	assert_string_equal(opts_list(&o, "env").v[0], "A=1");
	assert_string_equal(opts_list(&o, "env").v[1], "B=2");
	assert_null(opts_text(&o, "memory"));
	assert_int_equal(o.args.n, 2);
	assert_string_equal(o.args.v[0], "IMAGE");
	assert_string_equal(o.args.v[1], "-");
}

static void
test_flag_values(void **state)
{
	AUTO(opts_free) struct opts o;
	char on[] = "--tty=true", off[] = "--tty=false", odd[] = "--tty=maybe";

	(void)state;
	good(&o, OPTS_NO_COMMAND, WORDS(on, off));
	assert_false(opts_flag(&o, "tty"));
	bad("option --tty takes no value, but has \"maybe\"", OPTS_NO_COMMAND, WORDS(odd));
}

static void
test_command_is_taken_as_it_is(void **state)
{
	AUTO(opts_free) struct opts o;
	char image[] = "IMAGE", name[] = "NAME", tty[] = "-t", ls[] = "ls", l[] = "-l", dd[] = "--",
	     x[] = "--no-such";

	(void)state;
	/* Options between the name and the command are still ours. */
	good(&o, 2, WORDS(image, name, tty, ls, l, x, dd));
	assert_true(opts_flag(&o, "tty"));
	assert_int_equal(o.args.n, 6);
	assert_string_equal(o.args.v[3], "-l");
	assert_string_equal(o.args.v[5], "--");
	opts_free(&o);
	/* Behind -- nothing is. */
	good(&o, 2, WORDS(image, name, dd, tty, dd, ls));
	assert_false(opts_flag(&o, "tty"));
	assert_int_equal(o.args.n, 5);
	assert_string_equal(o.args.v[2], "-t");
	assert_string_equal(o.args.v[3], "--");
	opts_free(&o);
	/* -- before the image: the rest are arguments, whatever they look like. */
	good(&o, 2, WORDS(dd, image, tty));
	assert_int_equal(o.args.n, 2);
}

static void
test_wrong_words(void **state)
{
	char unknown[] = "--frob=1", letter[] = "-itz", env[] = "--env", e[] = "-e",
	     esc[] = "--\x1b[31m";
	char dash[] = "--tt";

	(void)state;
	bad("unknown option --frob=1", OPTS_NO_COMMAND, WORDS(unknown));
	bad("unknown option -itz", OPTS_NO_COMMAND, WORDS(letter));
	bad("unknown option --tt", OPTS_NO_COMMAND, WORDS(dash)); /* no abbreviations */
	bad("option --env needs a value: KEY=VALUE", OPTS_NO_COMMAND, WORDS(env));
	bad("option -e needs a value: KEY=VALUE", OPTS_NO_COMMAND, WORDS(e));
	bad("unknown option --\\x1b[31m", OPTS_NO_COMMAND, WORDS(esc));
}

static void
test_first_table_wins(void **state)
{
	AUTO(opts_free) struct opts o;
	char t[] = "--timeout", five[] = "5", n[] = "-n", ns[] = "other";

	(void)state;
	good(&o, OPTS_NO_COMMAND, WORDS(t, five, n, ns));
	assert_string_equal(opts_text(&o, "timeout"), "5");
	assert_int_equal(opts_slot(&o, &globals[0])->values.n, 0);
	assert_int_equal(opts_slot(&o, &globals[1])->values.n, 1);
	assert_null(opts_slot(&o, &(const struct opt){ .name = "timeout" }));
}

static void
test_durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} fine[] = { { "10", 10000 }, { "10s", 10000 }, { "500ms", 500 }, { "1.5m", 90000 },
		{ "2h", 7200000 }, { "0", 0 }, { ".5", 500 } };
	static const char *const wrong[] = { "", "s", "-1", "1x", "1e3", "inf", "0x10", " 1", "1 ",
		"1.2.3", "99999999999999999999999999999999999" };
	struct err e = ERR_ZERO;
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < COUNT(fine); i++) {
		assert_int_equal(parse_duration_ms(fine[i].text, &ms, &e), 0);
		assert_int_equal(ms, fine[i].ms);
	}
	for (size_t i = 0; i < COUNT(wrong); i++)
		if (parse_duration_ms(wrong[i], &ms, &e) != -ERR_INVALID_ARGUMENT)
			fail_msg("%s was taken", wrong[i]);
}

static void
test_bytes(void **state)
{
	static const struct {
		const char *text;
		uint64_t n;
	} fine[] = { { "0", 0 }, { "65536", 65536 }, { "64k", 65536 }, { "64K", 65536 },
		{ "1.5g", 1610612736 }, { "512m", 536870912 }, { "64MiB", 67108864 },
		{ "64MB", 67108864 }, { "10b", 10 }, { "1t", 1ULL << 40 } };
	static const char *const wrong[] = { "", "k", "-1", "1x", "1kk", "1ib", "1e9", "9999999t",
		"0x10", "1 m" };
	struct err e = ERR_ZERO;
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < COUNT(fine); i++) {
		if (parse_bytes(fine[i].text, &n, &e) != 0 || n != fine[i].n)
			fail_msg("%s: %s", fine[i].text, e.msg);
	}
	for (size_t i = 0; i < COUNT(wrong); i++)
		if (parse_bytes(wrong[i], &n, &e) != -ERR_INVALID_ARGUMENT)
			fail_msg("%s was taken", wrong[i]);
}

static void
test_signals(void **state)
{
	static const struct {
		const char *text;
		uint64_t n;
	} fine[] = { { "TERM", 15 }, { "SIGTERM", 15 }, { "sigkill", 9 }, { "hup", 1 },
		{ "15", 15 }, { "RTMIN", 34 }, { "SIGRTMIN+3", 37 }, { "RTMAX-1", 63 },
		{ "RTMAX", 64 }, { "64", 64 } };
	static const char *const wrong[] = { "", "0", "65", "-9", "SIG", "SIG15", "NOSUCH", "9x",
		"RTMIN+99", "RTMIN-1", "RTMAX+1", "RTMIN+" };
	struct err e = ERR_ZERO;
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < COUNT(fine); i++)
		if (parse_signal(fine[i].text, &n, &e) != 0 || n != fine[i].n)
			fail_msg("%s: %s", fine[i].text, e.msg);
	for (size_t i = 0; i < COUNT(wrong); i++)
		if (parse_signal(wrong[i], &n, &e) != -ERR_INVALID_ARGUMENT)
			fail_msg("%s was taken", wrong[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_flag_values),
		cmocka_unit_test(test_command_is_taken_as_it_is),
		cmocka_unit_test(test_wrong_words),
		cmocka_unit_test(test_first_table_wins),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
