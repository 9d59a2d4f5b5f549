/* SPDX-License-Identifier: Apache-2.0 */
/* test_text - err, arena, buf, clock, ident, log: the parts of lib/base that make and hold text. */
#include <errno.h>
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
#include <unistd.h>

#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"

/* --- err -------------------------------------------------------------------------------------- */

static void
test_err(void **state)
{
	struct err e = ERR_ZERO;

	(void)state;
	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "no image %s", "x"), -5);
	assert_string_equal(e.msg, "no image x");
	assert_int_equal(e.sys, 0);
	assert_int_equal(err_wrap(&e, "pull %d", 7), -ERR_NOT_FOUND);
	assert_string_equal(e.msg, "pull 7: no image x");
	assert_int_equal(err_sys(&e, ENOSPC, "write %s", "f"), -ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(e.msg, "write f: No space left on device");
	assert_int_equal(e.sys, ENOSPC);
}

static void
test_err_long_messages_are_cut(void **state)
{
	char text[2000];
	struct err e = ERR_ZERO;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(err_set(&e, ERR_INTERNAL, "%s", text), -ERR_INTERNAL);
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
	assert_int_equal(err_sys(&e, EIO, "%s", text), -ERR_INTERNAL);
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(err_wrap(&e, "%s", text), -ERR_INTERNAL);
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
}

static void
test_err_is_one_printable_line(void **state)
{
	char text[ERR_MSG_MAX + 10];
	struct err e = ERR_ZERO;

	(void)state;
	(void)err_set(&e, ERR_INTERNAL, "runc said: %s", "no\n\tsuch \x1b[2Jfile \xff\xc3\xa4");
	assert_string_equal(e.msg, "runc said: no  such ?[2Jfile ?\xc3\xa4");
	memset(text, 'x', sizeof(text)); /* cut in the middle of a character */
	memcpy(text + ERR_MSG_MAX - 2, "\xc3\xa4", 3);
	(void)err_set(&e, ERR_INTERNAL, "%s", text);
	assert_int_equal(e.msg[ERR_MSG_MAX - 2], '?');
}

static void
test_err_classes(void **state)
{
	(void)state;
	assert_string_equal(err_text(ERR_DATA_LOSS), "data_loss");
	assert_string_equal(err_text((enum err_code)77), "unknown");
	assert_int_equal(err_from_wire(8), ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(err_from_wire(0), ERR_UNKNOWN); /* "no error" is no class of an error */
	assert_int_equal(err_from_wire(4000000000U), ERR_UNKNOWN);
	assert_int_equal(err_exit(ERR_INVALID_ARGUMENT), 2);
	assert_int_equal(err_exit((enum err_code)99), 1);
	assert_int_equal(err_from_errno(ENOENT), ERR_NOT_FOUND);
	assert_int_equal(err_from_errno(EACCES), ERR_PERMISSION_DENIED);
	assert_int_equal(err_from_errno(EDQUOT), ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(err_from_errno(EBADF), ERR_INTERNAL);
}

static int words_fd;

static void
keep_words(const char *text)
{
	(void)!write(words_fd, text, strlen(text));
}

/* A failed MUST tells the hook and ends by SIGABRT. */
static void
test_must(void **state)
{
	char words[256] = "";
	int p[2], status;
	pid_t pid;

	(void)state;
	MUST(1 + 1 == 2);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		words_fd = p[1];
		must_hook = keep_words;
		(void)close(STDERR_FILENO);
		MUST(getpid() == 0);
		_exit(0);
	}
	(void)close(p[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_true(read(p[0], words, sizeof(words) - 1) > 0);
	assert_non_null(strstr(words, "must hold: getpid() == 0"));
	assert_non_null(strstr(words, "test_text.c:"));
	(void)close(p[0]);
}

/* --- arena ------------------------------------------------------------------------------------ */

static void
test_arena(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	char *old[300];

	(void)state;
	for (size_t i = 0; i < COUNT(old);
	     i++) { /* small and large pieces, all stay as they were */
		size_t n = i % 7 == 0 ? 5000 + i : i;

		old[i] = arena_calloc(&a, n + 1, 1);
		assert_int_equal((uintptr_t)old[i] % 16, 0);
		for (size_t k = 0; k <= n; k++)
			assert_int_equal(old[i][k], 0);
		memset(old[i], (int)i, n);
	}
	for (size_t i = 0; i < COUNT(old); i++) {
		size_t n = i % 7 == 0 ? 5000 + i : i;

		for (size_t k = 0; k < n; k++)
			assert_int_equal((unsigned char)old[i][k], i & 0xff);
		assert_int_equal(old[i][n], 0);
	}
	assert_non_null(arena_calloc(&a, 0, 8));
	assert_string_equal(arena_strdup(&a, ""), "");
	assert_string_equal(arena_memdup(&a, "abcdef", 3), "abc");
	assert_string_equal(arena_memdup(&a, NULL, 0), "");
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 12), "x-12");
	assert_true(a.used > 5000);
	arena_free(&a);
	assert_int_equal(a.used, 0);
	assert_string_equal(arena_strdup(&a, "again"), "again");
}

/* --- buf -------------------------------------------------------------------------------------- */

static void
test_buf(void **state)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	AUTO(free_ptr) char *text = NULL;

	(void)state;
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_add(&b, NULL, 0), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_addf(&b, "%d,", i), 0);
	assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
	assert_int_equal(strlen(buf_str(&b)), b.len);
	buf_drop(&b, 2);
	assert_memory_equal(buf_str(&b), "1,2,", 4);
	buf_drop(&b, b.len);
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_adds(&b, "x\ty"), 0);
	text = buf_take(&b);
	assert_string_equal(text, "x\ty");
	assert_int_equal(b.len, 0);
	free_ptr(&text);
	text = buf_take(&b);
	assert_string_equal(text, "");
	buf_drop(&b, 0);
}

static void
test_buf_limit(void **state)
{
	AUTO(buf_free) struct buf b = BUF_LIMIT(10);

	(void)state;
	assert_int_equal(buf_adds(&b, "0123456"), 0);
	assert_int_equal(buf_adds(&b, "789x"), -1);
	assert_int_equal(buf_addf(&b, "%d", 7890), -1);
	assert_string_equal(buf_str(&b), "0123456"); /* nothing was added */
	assert_null(buf_room(&b, 4));
	assert_non_null(buf_room(&b, 3));
	assert_int_equal(buf_adds(&b, "789"), 0);
	assert_int_equal(buf_add(&b, "", 0), 0);
	assert_int_equal(buf_adds(&b, "x"), -1);
	buf_drop(&b, 1);
	assert_int_equal(buf_adds(&b, "x"), 0);
	assert_string_equal(buf_str(&b), "123456789x");
}

/* --- clock ------------------------------------------------------------------------------------ */

static void
test_clock_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "2026-11-23T14:33:07.123456789Z", 1795444387123456789 },
		{ "2026-11-23T14:33:07Z", 1795444387000000000 },
		{ "2026-11-23T15:33:07.5+01:00", 1795444387500000000 },
		{ "2026-11-23T12:03:07-02:30", 1795444387000000000 },
		{ "2026-11-23T14:33:07.1234567899999Z", 1795444387123456789 },
	};
	static const char *const bad[] = { "", "tomorrow", "2026-11-23", "2026-11-23T14:33:07",
		"2026-11-23T14:33:07Zx", "2026-11-23T14:33:07+1:00", "2026-11-23T14:33:07+01:00x",
		"2026-11-23T14:33:07+0100", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z",
		"2026-13-01T00:00:00Z", "2026-11-23T14:33:07+99:00" };
	int64_t ns = 7;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(clock_parse(good[i].text, &ns));
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		if (clock_parse(bad[i], &ns))
			fail_msg("%s was taken", bad[i]);
}

static void
test_clock(void **state)
{
	char text[CLOCK_TEXT_MAX];
	uint64_t a = clock_mono_ns();

	(void)state;
	assert_string_equal(clock_text(0, text), "-");
	assert_string_equal(
	    clock_text(1795444387123456789, text), "2026-11-23T14:33:07.123456789Z");
	assert_string_equal(clock_text_s(1795444387123456789, text), "2026-11-23T14:33:07Z");
	assert_string_equal(clock_text(1, text), "1970-01-01T00:00:00.000000001Z");
	assert_string_equal(clock_text(-1, text), "1969-12-31T23:59:59.999999999Z");
	assert_true(strlen(clock_text(INT64_MAX, text)) < CLOCK_TEXT_MAX);
	assert_true(strlen(clock_text(INT64_MIN, text)) < CLOCK_TEXT_MAX);
	assert_true(clock_mono_ns() >= a);
	assert_true(clock_real_ns() > 1700000000000000000);
}

/* --- ident, utf8 ------------------------------------------------------------------------------ */

static void
test_ident(void **state)
{
	static const char *const good[] = { "a", "0", "nginx-container", "a.b_c-d", "A9",
		"0123456789012345678901234567890123456789012345678901234567890123456789012345" };
	static const char *const bad[] = { "", ".", "..", "-a", "a-", "a..b", "a--b", "a._b", "a/b",
		"/a", "a b", "a\n", "\xc3\xa4", "a\x01", "a:b", "../x", "a@b",
		"01234567890123456789012345678901234567890123456789012345678901234567890123456" };
	struct err e = ERR_ZERO;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(ident_ok(good[i]));
		assert_int_equal(ident_check("container", good[i], &e), 0);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_false(ident_ok(bad[i]));
		assert_int_equal(ident_check("container", bad[i], &e), -ERR_INVALID_ARGUMENT);
		assert_memory_equal(e.msg, "container name", 14);
		for (const char *p = e.msg; *p != '\0'; p++)
			assert_true((unsigned char)*p >= 0x20);
	}
}

static void
test_ident_long_name_is_shown_cut(void **state)
{
	AUTO(free_ptr) char *name = xcalloc(1, 5001);
	struct err e = ERR_ZERO;

	(void)state;
	memset(name, 'a', 5000);
	assert_int_equal(ident_check("exec", name, &e), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(e.msg, "5000 bytes"));
	assert_non_null(strstr(e.msg, "..."));
	assert_true(strlen(e.msg) < 300);
}

static void
test_ident_show(void **state)
{
	char to[32];

	(void)state;
	assert_string_equal(ident_show("a\x1b[2Jb\n", to, sizeof(to)), "a\\x1b[2Jb\\x0a");
	assert_string_equal(ident_show("\xc3\xa4\xff\xc3", to, sizeof(to)), "\xc3\xa4\\xff\\xc3");
	assert_string_equal(ident_show("\xc2\x9b", to, sizeof(to)), "\\xc2\\x9b"); /* C1: CSI */
	for (size_t size = 8; size <= sizeof(to); size++) {
		(void)ident_show(
		    "\x01\x02\x03\xf0\x9f\x8e\x81\x04\x05\x06long long long", to, size);
		assert_true(strlen(to) < size);
		assert_non_null(strstr(to, "..."));
	}
}

static void
test_ident_random(void **state)
{
	char a[33], b[33];

	(void)state;
	ident_random(a, 16);
	ident_random(b, 16);
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_string_not_equal(a, b);
}

static void
test_utf8(void **state)
{
	(void)state;
	assert_int_equal(utf8_printable("a"), 1);
	assert_int_equal(utf8_printable(""), 0);
	assert_int_equal(utf8_printable("\x7f"), 0);
	assert_int_equal(utf8_printable("\xc3\xa4"), 2);
	assert_int_equal(utf8_printable("\xe2\x82\xac"), 3);
	assert_int_equal(utf8_printable("\xf0\x9f\x8e\x81"), 4);
	assert_int_equal(utf8_printable("\xc0\xaf"), 0);	 /* too long for what it says */
	assert_int_equal(utf8_printable("\xe0\x80\xaf"), 0);	 /* the same */
	assert_int_equal(utf8_printable("\xed\xa0\x80"), 0);	 /* half of a pair */
	assert_int_equal(utf8_printable("\xf4\x90\x80\x80"), 0); /* beyond the last one */
	assert_int_equal(utf8_printable("\xe2\x80\xae"), 0);	 /* turns the direction */
	assert_int_equal(utf8_printable("\xe2\x82"), 0);	 /* cut */
	assert_int_equal(utf8_printable("\xf8\x88\x80\x80"), 0);
	assert_int_equal(utf8_printable("\x80"), 0);
}

/* --- log -------------------------------------------------------------------------------------- */

/* What log_write prints, by way of a pipe in place of stderr. */
static void
logged(char *to, size_t size, bool json, enum log_level level, const char *text)
{
	int p[2], keep = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	assert_true(keep >= 0 && dup2(p[1], STDERR_FILENO) >= 0);
	log_init("content", LOG_INFO, json);
	log_write(level, "%s", text);
	(void)dup2(keep, STDERR_FILENO);
	n = read(p[0], to, size - 1);
	to[n < 0 ? 0 : n] = '\0';
	(void)close(p[0]);
	(void)close(p[1]);
	(void)close(keep);
}

static void
test_log_text(void **state)
{
	char line[4096];

	(void)state;
	logged(line, sizeof(line), false, LOG_INFO, "pulled\nfake line\x1b[1m \xff");
	assert_int_equal(line[4], '-');
	assert_int_equal(line[23], 'Z');
	assert_string_equal(line + 24, " info  content    pulled\\x0afake line\\x1b[1m \\xff\n");
	logged(line, sizeof(line), false, LOG_DEBUG, "not wanted");
	assert_string_equal(line, "");
}

static void
test_log_json(void **state)
{
	char line[4096];

	(void)state;
	logged(line, sizeof(line), true, LOG_WARN, "say \"hi\" \\ \n\xc3\xa4 \xff");
	assert_memory_equal(line, "{\"time\":\"20", 11);
	assert_non_null(strstr(line, "\"level\":\"warn\",\"worker\":\"content\",\"msg\":\"say "
				     "\\\"hi\\\" \\\\ \\u000a\xc3\xa4 \\\\xff\"}\n"));
}

/* However long the text: one line, ended. */
static void
test_log_long(void **state)
{
	char text[10000], line[4096];

	(void)state;
	for (int json = 0; json < 2; json++)
		for (int c = 1; c < 256; c += 5) {
			memset(text, c, sizeof(text));
			text[sizeof(text) - 1] = '\0';
			logged(line, sizeof(line), json == 1, LOG_ERROR, text);
			assert_true(strlen(line) > 500);
			assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
			if (json == 1)
				assert_string_equal(line + strlen(line) - 3, "\"}\n");
		}
}

static void
test_log_levels(void **state)
{
	(void)state;
	assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
	assert_int_equal(log_level_parse("error"), LOG_ERROR);
	assert_int_equal(log_level_parse("loud"), -1);
	assert_int_equal(log_level_parse(""), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_err_long_messages_are_cut),
		cmocka_unit_test(test_err_is_one_printable_line),
		cmocka_unit_test(test_err_classes),
		cmocka_unit_test(test_must),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_buf_limit),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_clock_parse),
		cmocka_unit_test(test_ident),
		cmocka_unit_test(test_ident_long_name_is_shown_cut),
		cmocka_unit_test(test_ident_show),
		cmocka_unit_test(test_ident_random),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_log_text),
		cmocka_unit_test(test_log_json),
		cmocka_unit_test(test_log_long),
		cmocka_unit_test(test_log_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
