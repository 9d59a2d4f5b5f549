/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: what reaches the supervisor and the workers, and the words about what is wrong. */
#include "tests/unit/supervisor/rig.h"

struct fixture {
	char dir[64], path[80];
	struct config c;
};

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	(void)strcpy(f->dir, "/tmp/coffer-cfg-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/c.toml", f->dir);
	config_init(&f->c);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_ZERO;

	config_free(&f->c);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &e), 0);
	free(f);
	return 0;
}

static int
read_text(struct fixture *f, const char *text, struct err *e)
{
	*e = ERR_ZERO;
	assert_int_equal(fs_write(AT_FDCWD, f->path, text, strlen(text), 0644, false, e), 0);
	return config_read(&f->c, f->path, true, e);
}

static void
values_take_their_places(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_ZERO;

	if (read_text(f, "root = '/r'\nstate = '/s'\nlog.level = 'warn'\n[log]\nformat = 'json'\n",
		&e) == 0)
		fail_msg("a table after its dotted key was taken");
	if (read_text(f,
		"root = '/r'\nstate = '/s'\n[log]\nlevel = 'warn'\nformat = 'json'\n"
		"[supervisor]\nhang-limit = 3\nbackoff-limit = 3600\n"
		"[content]\nmax = 4\nmirrors = ['a', 'b']\nplain = true\n"
		"registry.\"docker.io\".url = 'https://x/y=z'\n[task]\nruntime = 'crun'\n",
		&e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(f->c.root, "/r");
	assert_string_equal(f->c.state, "/s");
	assert_string_equal(f->c.log_level, "warn");
	assert_string_equal(f->c.log_format, "json");
	assert_int_equal(f->c.hang_s, 3);
	assert_int_equal(f->c.backoff_s, 3600);
	assert_int_equal(f->c.stop_s, 5);
	assert_int_equal(f->c.options[PROC_CONTENT].n, 4);
	assert_string_equal(f->c.options[PROC_CONTENT].line[0], "max=4");
	assert_string_equal(f->c.options[PROC_CONTENT].line[1], "mirrors=a,b");
	assert_string_equal(f->c.options[PROC_CONTENT].line[2], "plain=true");
	assert_string_equal(
	    f->c.options[PROC_CONTENT].line[3], "registry.\"docker.io\".url=https://x/y=z");
	assert_int_equal(f->c.options[PROC_TASK].n, 1);
	assert_int_equal(f->c.options[PROC_EVENTS].n, 0);
}

static void
what_is_wrong_is_said_with_its_line(void **state)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{ "rot = '/r'\n", ":1: unknown key rot" },
		{ "[log]\nlvl = 'x'\n", ":2: unknown key log.lvl" },
		{ "[supervisr]\nhang-limit = 1\n", ":2: unknown key supervisr.hang-limit" },
		{ "[supervisor]\nhang-limit = 0\n", ":2: hang-limit must be a number of seconds" },
		{ "[supervisor]\nhang-limit = 3601\n", ":2: hang-limit must be a number" },
		{ "[supervisor]\nhang-limit = '3'\n", ":2: hang-limit must be a number" },
		{ "\nroot = 7\n", ":2: root must be a string" },
		{ "root = 'here'\n", ":1: root must be an absolute path" },
		{ "[log]\nlevel = 'loud'\n", ":2: log level \"loud\" is not one of" },
		{ "[content]\nm = ['a,b']\n", ":2: an entry of m must have no comma" },
		{ "[content]\n\"a=b\" = 1\n", ":2: the key \"a=b\" must have no =" },
		{ "root = \n", ":1: the value is missing" },
	};
	struct fixture *f = *state;
	struct err e;

	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(read_text(f, bad[i].text, &e), -ERR_INVALID_ARGUMENT);
		if (strstr(e.msg, bad[i].error) == NULL || strstr(e.msg, f->path) != e.msg)
			fail_msg("%s: said %s", bad[i].text, e.msg);
	}
}

static void
too_many_and_too_long(void **state)
{
	struct fixture *f = *state;
	AUTO(buf_free) struct buf b = BUF_ZERO;
	struct err e = ERR_ZERO;

	(void)buf_adds(&b, "[content]\n");
	for (int i = 0; i <= OPTIONS_MAX; i++)
		(void)buf_addf(&b, "k%d = 1\n", i);
	assert_true(read_text(f, buf_str(&b), &e) < 0);
	assert_non_null(strstr(e.msg, ":66: more than 64 lines"));
	buf_free(&b);
	(void)buf_adds(&b, "[task]\nk = '");
	for (int i = 0; i < OPTION_MAX; i++)
		(void)buf_adds(&b, "x");
	(void)buf_adds(&b, "'\n");
	assert_true(read_text(f, buf_str(&b), &e) < 0);
	assert_non_null(strstr(e.msg, ":2: the value of k is longer"));
}

static void
a_missing_file_matters_only_when_named(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_ZERO;

	assert_int_equal(config_read(&f->c, f->path, false, &e), 0);
	assert_int_equal(config_read(&f->c, f->path, true, &e), -ERR_NOT_FOUND);
	assert_true(config_read(&f->c, f->dir, true, &e) < 0);
}

/* The example that is installed: with its comment signs, and with them taken away. */
/* Keys of a section, which begin their lines by now. */
static unsigned
keys_of(const char *text, const char *section)
{
	const char *at = strstr(text, section);
	unsigned n = 0;

	assert_non_null(at);
	while ((at = strchr(at, '\n')) != NULL && *++at != '[')
		n += *at == ' ';
	assert_true(n > 0);
	return n;
}

static void
the_example_is_valid(void **state)
{
	struct fixture *f = *state;
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct config preset;
	struct err e = ERR_ZERO;

	if (config_read(&f->c, "dist/config.toml", true, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(fs_read(AT_FDCWD, "dist/config.toml", 1 << 20, &text, &e), 0);
	for (char *at = text.data; (at = strstr(at, "\n#")) != NULL; at++)
		if (at[2] >= 'a' && at[2] <= 'z' && at[2 + strcspn(at + 2, " \n")] == ' ' &&
		    at[2 + strcspn(at + 2, " \n") + 1] == '=')
			at[1] = ' ';
	if (read_text(f, text.data, &e) < 0)
		fail_msg("%s", e.msg);
	config_init(&preset); /* what it says is built in, is */
	assert_string_equal(f->c.root, preset.root);
	assert_string_equal(f->c.state, preset.state);
	assert_string_equal(f->c.log_level, preset.log_level);
	assert_int_equal(f->c.hang_s, preset.hang_s);
	assert_int_equal(f->c.start_s, preset.start_s);
	assert_int_equal(f->c.stop_s, preset.stop_s);
	assert_int_equal(f->c.backoff_s, preset.backoff_s);
	assert_int_equal(f->c.healthy_s, preset.healthy_s);
	assert_int_equal(f->c.options[PROC_CONTENT].n, keys_of(text.data, "[content]"));
	assert_int_equal(f->c.options[PROC_TASK].n, keys_of(text.data, "[task]"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(values_take_their_places),
		T(what_is_wrong_is_said_with_its_line),
		T(too_many_and_too_long),
		T(a_missing_file_matters_only_when_named),
		T(the_example_is_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
