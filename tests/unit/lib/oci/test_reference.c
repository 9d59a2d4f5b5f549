/* SPDX-License-Identifier: Apache-2.0 */
/* reference: completed as docker does it; everything else is refused with one printable line. */
#include "lib/oci/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *text, *full, *registry;
} good[] = {
	{ "nginx", "docker.io/library/nginx:latest", "registry-1.docker.io" },
	{ "nginx:1.25", "docker.io/library/nginx:1.25", "registry-1.docker.io" },
	{ "me/app", "docker.io/me/app:latest", "registry-1.docker.io" },
	{ "docker.io/nginx", "docker.io/library/nginx:latest", "registry-1.docker.io" },
	{ "index.docker.io/a/b", "docker.io/a/b:latest", "registry-1.docker.io" },
	{ "localhost/x", "localhost/x:latest", "localhost" },
	{ "localhost:5000/x", "localhost:5000/x:latest", "localhost:5000" },
	{ "127.0.0.1:5000/x", "127.0.0.1:5000/x:latest", "127.0.0.1:5000" },
	{ "[::1]:5000/x:y", "[::1]:5000/x:y", "[::1]:5000" },
	{ "quay.io/a/b/c/d:V1.0_x-y", "quay.io/a/b/c/d:V1.0_x-y", "quay.io" },
	{ "Host/x", "Host/x:latest", "Host" },
	{ "a__b/c.d/e---f/g_h", "docker.io/a__b/c.d/e---f/g_h:latest", "registry-1.docker.io" },
	{ "x@sha256:" HEX, "docker.io/library/x@sha256:" HEX, "registry-1.docker.io" },
	{ "q.io/x:1@sha256:" HEX, "q.io/x:1@sha256:" HEX, "q.io" },
	{ "localhost:5000", "docker.io/library/localhost:5000", "registry-1.docker.io" },
};

static const char *const bad[] = {
	"",
	":",
	":latest",
	"/",
	"/x",
	"x/",
	"x//y",
	"Nginx",
	"nginx:",
	"nginx:-x",
	"nginx:.x",
	"nginx:a b",
	"nginx:a/../b",
	"..",
	"../x",
	"a/../b",
	"./x",
	"a..b",
	"a___b",
	"-a",
	"a-",
	"_a",
	"--root=/",
	"a b",
	"a\nb",
	"\x1b[31mred",
	"caf\xc3\xa9",
	"x@",
	"x@sha256:",
	"x@sha256:" HEX "0",
	"x@md5:d41d8cd98f00b204e9800998ecf8427e",
	"@sha256:" HEX,
	"x@sha256:" HEX "@sha256:" HEX,
	HEX,
	"host:0/x",
	"host:65536/x",
	"host:99999999999/x",
	"host:/x",
	"ho_st.io/x",
	"-h.io/x",
	"h..io/x",
	"[::1/x",
	"[zz]/x",
	"user:pw@host/x",
	"http://host/x",
	"a.b/c?d=e",
	"a.b/c#d",
	"a.b/c%2e",
};

static void
good_ones(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		char text[REFERENCE_TEXT_MAX];
		struct err e = ERR_ZERO;
		struct reference r, again;

		if (reference_parse(good[i].text, &r, &e) < 0)
			fail_msg("%s: %s", good[i].text, e.msg);
		assert_string_equal(reference_text(&r, text), good[i].full);
		assert_string_equal(reference_registry(&r), good[i].registry);
		/* A full name means itself. */
		assert_int_equal(reference_parse(text, &again, &e), 0);
		assert_string_equal(again.path, r.path);
		assert_string_equal(again.host, r.host);
	}
}

static void
bad_ones(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct err e = ERR_ZERO;
		struct reference r;

		if (reference_parse(bad[i], &r, &e) != -ERR_INVALID_ARGUMENT)
			fail_msg("taken: %s", bad[i]);
		for (const char *p = e.msg; *p != '\0'; p++)
			assert_true((unsigned char)*p >= 0x20);
	}
}

static void
lengths(void **state)
{
	char text[6000];
	struct err e = ERR_ZERO;
	struct reference r;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[255 - strlen("docker.io/library/")] = '\0';
	assert_int_equal(reference_parse(text, &r, &e), 0);
	text[strlen(text)] = 'a';
	text[256 - strlen("docker.io/library/")] = '\0';
	assert_int_equal(reference_parse(text, &r, &e), -ERR_INVALID_ARGUMENT);
	memset(text, 'a', sizeof(text));
	text[5000] = '\0';
	assert_int_equal(reference_parse(text, &r, &e), -ERR_INVALID_ARGUMENT);
	assert_true(strlen(e.msg) < 300);
	memset(text, 'a', sizeof(text));
	memcpy(text, "x:", 2);
	text[2 + 128] = '\0';
	assert_int_equal(reference_parse(text, &r, &e), 0);
	assert_int_equal(strlen(r.tag), 128);
	text[2 + 128] = 'a';
	text[2 + 129] = '\0';
	assert_int_equal(reference_parse(text, &r, &e), -ERR_INVALID_ARGUMENT);
}

static void
loopback(void **state)
{
	(void)state;
	assert_true(reference_host_is_loopback("localhost"));
	assert_true(reference_host_is_loopback("localhost:5000"));
	assert_true(reference_host_is_loopback("a.localhost:1"));
	assert_true(reference_host_is_loopback("127.0.0.1"));
	assert_true(reference_host_is_loopback("127.9.9.9:80"));
	assert_true(reference_host_is_loopback("[::1]:80"));
	assert_false(reference_host_is_loopback("127.0.0.1.example.com"));
	assert_false(reference_host_is_loopback("localhost.example.com"));
	assert_false(reference_host_is_loopback("notlocalhost"));
	assert_false(reference_host_is_loopback("128.0.0.1"));
	assert_false(reference_host_is_loopback("[::2]"));
	assert_false(reference_host_is_loopback("docker.io"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones),
		cmocka_unit_test(bad_ones),
		cmocka_unit_test(lengths),
		cmocka_unit_test(loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
