/* SPDX-License-Identifier: Apache-2.0 */
/* challenge: what a 401 asks for, and token services that must not get a password. */
#include "workers/content/remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

static void
challenges(void **state)
{
	struct challenge c = { .basic = false };

	(void)state;
	challenge_read(
	    "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
	    "scope=\"repository:a/b:pull\"",
	    &c);
	assert_true(c.bearer);
	assert_false(c.basic);
	assert_string_equal(c.realm, "https://auth.docker.io/token");
	assert_string_equal(c.service, "registry.docker.io");
	c = (struct challenge){ .basic = false };
	challenge_read("Basic realm=\"x, y\", Bearer realm=\"https://a/\\\"q\", service=s", &c);
	assert_true(c.basic && c.bearer);
	assert_string_equal(c.realm, "https://a/\"q");
	assert_string_equal(c.service, "s");
	c = (struct challenge){ .basic = false };
	challenge_read("bEARER REALM=https://a", &c);
	assert_true(c.bearer);
	c = (struct challenge){ .basic = false };
	challenge_read("Negotiate abc==, Digest realm=\"x\"", &c);
	assert_false(c.basic || c.bearer);
	challenge_read("", &c);
	challenge_read("Bearer", &c);
	challenge_read("Bearer realm", &c);
	challenge_read("Bearer realm=", &c);
	challenge_read("Bearer realm=\"", &c);
	challenge_read(",,,===\"\"\"", &c);
	assert_false(c.bearer);
}

static void
a_value_that_is_too_long_is_none(void **state)
{
	static char text[5000];
	struct challenge c = { .basic = false };

	(void)state;
	(void)strcpy(text, "Bearer realm=\"https://");
	memset(text + strlen(text), 'a', 4000);
	challenge_read(text, &c);
	assert_false(c.bearer);
}

static void
realms(void **state)
{
	static const struct {
		const char *host, *realm;
		bool plain, ok;
	} cases[] = {
		{ "registry-1.docker.io", "https://auth.docker.io/token", false, true },
		{ "r.example", "http://r.example/token", false, false },
		{ "r.example", "http://r.example/token", true, true },
		{ "r.example", "https://127.0.0.1/token", false, false },
		{ "r.example", "https://localhost:8443/t", false, false },
		{ "r.example", "http://[::1]/t", true, false },
		{ "127.0.0.1:5000", "http://127.0.0.1:5001/t", true, true },
		{ "r.example", "https://169.254.169.254/latest", false, false },
		{ "127.0.0.1:5000", "http://169.254.169.254/latest", true, false },
		{ "r.example", "file:///etc/passwd", true, false },
		{ "r.example", "ftp://x/", true, false },
		{ "r.example", "https://user:pw@x/", false, false },
		{ "r.example", "https://", false, false },
		{ "r.example", "https:///x", false, false },
		{ "r.example", "https://x/\r\nHost: y", false, false },
		{ "r.example", "https://x/ y", false, false },
		{ "r.example", "", true, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err e = ERR_ZERO;
		int r = realm_check(cases[i].host, cases[i].plain, "names", cases[i].realm, &e);

		if ((r == 0) != cases[i].ok)
			fail_msg("%s from %s: %d %s", cases[i].realm, cases[i].host, r, e.msg);
		assert_null(strchr(e.msg, '\n'));
	}
}

static void
retry_after(void **state)
{
	time_t soon = time(NULL) + 12;
	struct tm tm;
	char date[64];
	unsigned s;

	(void)state;
	assert_true(
	    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&soon, &tm)) > 0);
	s = remote_retry_after(date);
	assert_true(s >= 10 && s <= 12);
	assert_int_equal(remote_retry_after("Wed, 21 Oct 2099 07:28:00 GMT"), 30);
	assert_int_equal(remote_retry_after("Wed, 21 Oct 2099 07:28:00 GMT and more"), 0);
	assert_int_equal(remote_retry_after("7 sheep"), 0);
	assert_int_equal(remote_retry_after(NULL), 0);
	assert_int_equal(remote_retry_after("7"), 7);
	assert_int_equal(remote_retry_after("99999999999999999999"), 30);
	assert_int_equal(remote_retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), 0);
	assert_int_equal(remote_retry_after("-5"), 0);
	assert_int_equal(remote_retry_after(""), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenges),
		cmocka_unit_test(a_value_that_is_too_long_is_none),
		cmocka_unit_test(realms),
		cmocka_unit_test(retry_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
