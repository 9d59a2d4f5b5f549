/* SPDX-License-Identifier: Apache-2.0 */
/* platform: one form per platform; who can run what. */
#include "lib/oci/platform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/utsname.h>

static void
parsed(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "linux/amd64", "linux/amd64" },
		{ "linux/x86_64", "linux/amd64" },
		{ "amd64", "linux/amd64" },
		{ "linux/amd64/v1", "linux/amd64" },
		{ "linux/amd64/v3", "linux/amd64/v3" },
		{ "linux/aarch64", "linux/arm64" },
		{ "linux/arm64/v8", "linux/arm64" },
		{ "linux/arm", "linux/arm/v7" },
		{ "linux/arm/6", "linux/arm/v6" },
		{ "linux/armhf", "linux/arm/v7" },
		{ "linux/armel", "linux/arm/v6" },
		{ "Linux/I386", "linux/386" },
		{ "windows/amd64", "windows/amd64" },
	};
	static const char *const bad[] = { "", "/", "linux/", "/amd64", "linux/amd64/",
		"linux/amd64/v1/x", "linux amd64", "linux/am\nd64",
		"linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		char text[PLATFORM_TEXT_MAX];
		struct err e = ERR_ZERO;
		struct platform p;

		if (platform_parse(good[i].in, &p, &e) < 0)
			fail_msg("%s: %s", good[i].in, e.msg);
		assert_string_equal(platform_text(&p, text), good[i].out);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct err e = ERR_ZERO;
		struct platform p;

		if (platform_parse(bad[i], &p, &e) != -ERR_INVALID_ARGUMENT)
			fail_msg("taken: %s", bad[i]);
	}
}

static unsigned
rank(const char *want, const char *have)
{
	struct err e = ERR_ZERO;
	struct platform w, h;

	assert_int_equal(platform_parse(want, &w, &e), 0);
	assert_int_equal(platform_parse(have, &h, &e), 0);
	return platform_rank(&w, &h);
}

static void
ranked(void **state)
{
	(void)state;
	assert_int_equal(rank("linux/amd64", "linux/arm64"), 0);
	assert_int_equal(rank("linux/amd64", "windows/amd64"), 0);
	assert_true(rank("linux/amd64", "linux/amd64") > rank("linux/amd64", "linux/386"));
	assert_true(rank("linux/amd64", "linux/386") > 0);
	assert_int_equal(rank("linux/386", "linux/amd64"), 0);
	assert_true(rank("linux/amd64", "linux/amd64") > 0);
	assert_int_equal(rank("linux/amd64", "linux/amd64/v3"), 0);
	assert_true(
	    rank("linux/amd64/v3", "linux/amd64/v2") > rank("linux/amd64/v3", "linux/amd64"));
	assert_true(rank("linux/arm/v7", "linux/arm/v7") > rank("linux/arm/v7", "linux/arm/v6"));
	assert_true(rank("linux/arm/v7", "linux/arm/v6") > rank("linux/arm/v7", "linux/arm/v5"));
	assert_int_equal(rank("linux/arm/v6", "linux/arm/v7"), 0);
	assert_true(rank("linux/arm64", "linux/arm64") > rank("linux/arm64", "linux/arm/v8"));
	assert_true(rank("linux/arm64", "linux/arm/v8") > rank("linux/arm64", "linux/arm/v7"));
	assert_true(rank("linux/arm64", "linux/arm/v5") > 0);
	assert_int_equal(rank("linux/arm/v8", "linux/arm64"), 0);
	assert_true(
	    rank("linux/arm64/v9", "linux/arm64/v8.2") > rank("linux/arm64/v9", "linux/arm64"));
	assert_int_equal(rank("linux/arm64", "linux/arm64/v8.2"), 0);
	assert_int_equal(rank("linux/arm64/v9", "linux/arm64/vx"), 0);
}

static void
the_host_is_one(void **state)
{
	struct platform p;
	struct utsname u;

	(void)state;
	platform_host(&p);
	assert_string_equal(p.os, "linux");
	assert_int_equal(uname(&u), 0);
	if (strcmp(u.machine, "x86_64") == 0)
		assert_string_equal(p.arch, "amd64");
	assert_int_equal(platform_rank(&p, &p), 100000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsed),
		cmocka_unit_test(ranked),
		cmocka_unit_test(the_host_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
