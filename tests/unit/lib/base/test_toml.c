/* SPDX-License-Identifier: Apache-2.0 */
/* The TOML reader: what it takes, and for all it does not, the line and the words. */
#include "lib/base/toml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int
parse(const char *text, struct arena *a, struct toml *t, struct err *e)
{
	return toml_parse(text, strlen(text), "c.toml", a, t, e);
}

static const struct toml_value *
value_of(const struct toml *t, const char *table, const char *key)
{
	for (unsigned i = 0; i < t->nvalues; i++)
		if (strcmp(t->values[i].table, table) == 0 && strcmp(t->values[i].key, key) == 0)
			return &t->values[i];
	fail_msg("no value %s.%s", table, key);
	return NULL;
}

static const char good[] = "# a comment\n"
			   "root = \"/var/lib/coffer\"\r\n"
			   "\n"
			   "  [log]   # behind a table\n"
			   "level = 'debug' # behind a value\n"
			   "[content]\n"
			   "max_downloads = 4\n"
			   "big = -9_223_372_036_854_775_808\n"
			   "hex = 0xFF\n"
			   "oct = 0o755\n"
			   "bin = 0b101\n"
			   "zero = 0\n"
			   "plus = +7\n"
			   "yes = true\n"
			   "no = false\n"
			   "mirrors = [ 'a', # one\n"
			   "   \"b\",\n"
			   "\n"
			   " ]\n"
			   "none = []\n"
			   "registry.\"docker.io\".plain = true\n"
			   "\"with space\" = 'C:\\n'\n"
			   "[content.tls]\n"
			   "text = \"a\\tb\\\\c\\\"d\\u00e9\\U0001F600\"";

static void
a_whole_file(void **state)
{
	struct arena a = ARENA_ZERO;
	struct toml t;
	struct err e = ERR_ZERO;

	(void)state;
	if (parse(good, &a, &t, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(t.nvalues, 16);
	assert_string_equal(value_of(&t, "", "root")->string, "/var/lib/coffer");
	assert_int_equal(value_of(&t, "", "root")->line, 2);
	assert_string_equal(value_of(&t, "log", "level")->string, "debug");
	assert_int_equal(value_of(&t, "content", "max_downloads")->integer, 4);
	assert_true(value_of(&t, "content", "big")->integer == INT64_MIN);
	assert_int_equal(value_of(&t, "content", "hex")->integer, 255);
	assert_int_equal(value_of(&t, "content", "oct")->integer, 0755);
	assert_int_equal(value_of(&t, "content", "bin")->integer, 5);
	assert_int_equal(value_of(&t, "content", "plus")->integer, 7);
	assert_true(value_of(&t, "content", "yes")->boolean);
	assert_int_equal(value_of(&t, "content", "no")->kind, TOML_BOOLEAN);
	assert_false(value_of(&t, "content", "no")->boolean);
	assert_int_equal(value_of(&t, "content", "mirrors")->nstrings, 2);
	assert_string_equal(value_of(&t, "content", "mirrors")->strings[1], "b");
	assert_int_equal(value_of(&t, "content", "none")->nstrings, 0);
	assert_true(value_of(&t, "content", "registry.\"docker.io\".plain")->boolean);
	assert_string_equal(value_of(&t, "content", "\"with space\"")->string, "C:\\n");
	assert_string_equal(
	    value_of(&t, "content", "tls.text")->string, "a\tb\\c\"d\xc3\xa9\xf0\x9f\x98\x80");
	assert_int_equal(value_of(&t, "content", "tls.text")->line, 24);
	arena_free(&a);
}

static const char *const fine[] = {
	"",
	"# only a comment",
	"\n\n\t\n",
	"[a.b]\nc=1\n[a]\nd=1\n", /* a table may come after its child */
	"a.b=1\na.c=2\n",
	"1234=1\n",
	"\"\"=1\n",
	"a=[\"x\",]\n",
	"s=\"\"\nt=''\n",
};

static void
fine_documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(fine); i++) {
		struct arena a = ARENA_ZERO;
		struct toml t;
		struct err e = ERR_ZERO;

		if (parse(fine[i], &a, &t, &e) < 0)
			fail_msg("%s: %s", fine[i], e.msg);
		arena_free(&a);
	}
}

static const struct {
	const char *text, *error;
} bad[] = {
	{ "a = yes\n", "c.toml:1: yes is not a value: strings need quotes" },
	{ "\n\na =\n", "c.toml:3: the value is missing" },
	{ "a\n", "c.toml:1: expected = behind the key a" },
	{ "= 1\n", "c.toml:1: expected a key" },
	{ "a = 1 b = 2\n", "c.toml:1: something stands behind" },
	{ "a = \"x\n", "c.toml:1: a string without its closing \"" },
	{ "a = 'x", "c.toml:1: a string without its closing '" },
	{ "a = \"\\x\"\n", "c.toml:1: unknown escape" },
	{ "a = \"\\", "c.toml:1: unknown escape" },
	{ "a = \"\\u12\"\n", "c.toml:1: \\u needs 4 hex digits" },
	{ "a = \"\\ud800\"\n", "c.toml:1: \\ud800 is not a character" },
	{ "a = \"\\u0000\"\n", "c.toml:1: \\u0000 is not a character" },
	{ "a = \"\"\"x\"\"\"\n", "c.toml:1: strings of several lines" },
	{ "a = 1.5\n", "c.toml:1: 1.5: floats and dates" },
	{ "a = 1e3\n", "c.toml:1: 1e3: floats and dates" },
	{ "a = +inf\n", "c.toml:1: +inf: floats and dates" },
	{ "a = 2024-01-01\n", "c.toml:1: 2024-01-01: floats and dates" },
	{ "a = 007\n", "c.toml:1: 007 is not a whole number" },
	{ "a = 1__0\n", "c.toml:1: 1__0 is not a whole number" },
	{ "a = 1_\n", "c.toml:1: 1_ is not a whole number" },
	{ "a = 0x\n", "c.toml:1: 0x is not a whole number" },
	{ "a = -0x1\n", "c.toml:1: -0x1 is not a whole number" },
	{ "a = 9223372036854775808\n", "c.toml:1: 9223372036854775808 does not fit" },
	{ "a = 99999999999999999999\n", "c.toml:1: 99999999999999999999 is not a whole" },
	{ "a = { b = 1 }\n", "c.toml:1: inline tables" },
	{ "a = [1, 2]\n", "c.toml:1: only strings" },
	{ "a = ['x' 'y']\n", "c.toml:1: expected a comma or ]" },
	{ "a = ['x',\n\n", "c.toml:3: an array without its closing ]" },
	{ "[[a]]\n", "c.toml:1: arrays of tables" },
	{ "[a\n", "c.toml:1: expected ] behind" },
	{ "[]\n", "c.toml:1: expected a key" },
	{ "[a] b=1\n", "c.toml:1: something stands behind" },
	{ "a=1\n\na=2\n", "c.toml:3: a is already defined in line 1" },
	{ "[t]\n[t]\n", "c.toml:2: t is already defined in line 1" },
	{ "a=1\na.b=2\n", "c.toml:2: a.b is already defined in line 1" },
	{ "a.b=1\na=2\n", "c.toml:2: a is already defined in line 1" },
	{ "a=1\n[a]\n", "c.toml:2: a is already defined in line 1" },
	{ "a.b=1\n[a]\n", "c.toml:2: a is already defined in line 1" },
	{ "[a.b]\nc=1\n[a]\nb.d=2\n", "c.toml:4: a.b.d is already defined in line 1" },
	{ "a=1\n\"a\"=2\n", "c.toml:2: a is already defined in line 1" },
	{ "a.b.c.d.e.f.g.h.i=1\n", "c.toml:1: a key of more than 8 words" },
	{ "a = \"\x01\"\n", "c.toml:1: control byte 0x01" },
	{ "a = 1\rb = 2\n", "c.toml:1: control byte 0x0d" },
	{ "\n# \xff\n", "c.toml:2: byte 0xff: the file is not UTF-8" },
	{ "# \xc0\x80\n", "c.toml:1: byte 0xc0: the file is not UTF-8" },
	{ "# \xed\xa0\x80\n", "c.toml:1: byte 0xed: the file is not UTF-8" },
	{ "# \xe2\x82", "c.toml:1: byte 0xe2: the file is not UTF-8" },
};

static void
bad_documents_name_line_and_fault(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct arena a = ARENA_ZERO;
		struct toml t = { .nvalues = 77 };
		struct err e = ERR_ZERO;

		if (parse(bad[i].text, &a, &t, &e) != -ERR_INVALID_ARGUMENT)
			fail_msg("taken: %s", bad[i].text);
		if (strncmp(e.msg, bad[i].error, strlen(bad[i].error)) != 0)
			fail_msg("%s: said \"%s\", not \"%s\"", bad[i].text, e.msg, bad[i].error);
		assert_int_equal(t.nvalues, 77);
		arena_free(&a);
	}
}

static void
a_nul_byte_is_refused(void **state)
{
	struct arena a = ARENA_ZERO;
	struct toml t;
	struct err e = ERR_ZERO;

	(void)state;
	assert_int_equal(toml_parse("a=1\0", 4, "c", &a, &t, &e), -ERR_INVALID_ARGUMENT);
	arena_free(&a);
}

/* Every prefix of a good file, and every file with one byte replaced: no crash, no overrun. */
static void
damaged_files_do_no_harm(void **state)
{
	static const char put[] = "\"'[]=.\\#\n\r\t{,\xff";
	char text[sizeof(good)];

	(void)state;
	for (size_t n = 0; n < sizeof(good); n++)
		for (size_t i = 0; i < sizeof(put); i++) {
			struct arena a = ARENA_ZERO;
			struct toml t;
			struct err e = ERR_ZERO;
			char *exact = malloc(sizeof(text) - 1); /* so that an overrun is seen */

			assert_non_null(exact);
			memcpy(exact, good, sizeof(text) - 1);
			if (n < sizeof(text) - 1)
				exact[n] = put[i];
			(void)toml_parse(exact, i == 0 ? n : sizeof(text) - 1, "c", &a, &t, &e);
			free(exact);
			arena_free(&a);
		}
}

static void
too_large_is_refused(void **state)
{
	struct arena a = ARENA_ZERO;
	struct toml t;
	struct err e = ERR_ZERO;
	char *text = malloc(TOML_MAX + 1);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', TOML_MAX + 1);
	assert_int_equal(toml_parse(text, TOML_MAX + 1, "c", &a, &t, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(toml_parse(text, TOML_MAX, "c", &a, &t, &e), 0);
	free(text);
	arena_free(&a);
}

static void
arrays_in_arrays_and_tables(void **state)
{
	struct arena a = ARENA_ZERO;
	struct toml t;
	struct err e = ERR_ZERO;
	const struct toml_value *v;

	(void)state;
	assert_int_equal(
	    parse("[a.\"b c\"]\npairs = ['x', [ 'y', 'z' ], []]\n[empty]\n", &a, &t, &e), 0);
	v = &t.values[0];
	assert_int_equal(v->kind, TOML_ARRAY);
	assert_int_equal(v->nelements, 3);
	assert_int_equal(v->elements[0].kind, TOML_STRING);
	assert_string_equal(v->elements[1].strings[1], "z");
	assert_int_equal(v->elements[2].nstrings, 0);
	assert_int_equal(v->nwords, 3);
	assert_string_equal(v->words[1], "b c");
	assert_int_equal(t.ntables, 2);
	assert_string_equal(t.tables[1].words[0], "empty");
	assert_int_equal(t.tables[1].line, 3);
	assert_true(parse("a = [['x', ['y']]]\n", &a, &t, &e) < 0);
	assert_non_null(strstr(e.msg, "only strings"));
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays_in_arrays_and_tables),
		cmocka_unit_test(a_whole_file),
		cmocka_unit_test(fine_documents),
		cmocka_unit_test(bad_documents_name_line_and_fault),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(damaged_files_do_no_harm),
		cmocka_unit_test(too_large_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
