/* SPDX-License-Identifier: Apache-2.0 */
/* digest: only exact texts pass, and hashing gives what sha256sum and sha512sum give. */
#include "lib/oci/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void
good_ones(void **state)
{
	struct err e = ERR_ZERO;
	struct digest d;

	(void)state;
	assert_int_equal(digest_parse("sha256:" ZEROS, &d, &e), 0);
	assert_int_equal(d.alg, DIGEST_SHA256);
	assert_string_equal(digest_hex(&d), ZEROS);
	assert_string_equal(digest_alg_name(&d), "sha256");
	assert_int_equal(digest_parse("sha512:" ZEROS ZEROS, &d, &e), 0);
	assert_string_equal(digest_hex(&d), ZEROS ZEROS);
}

static void
bad_ones(void **state)
{
	static const char *const bad[] = {
		"",
		"sha256",
		"sha256:",
		"sha256:abc",
		"sha256:" ZEROS "0",
		"sha256:" ZEROS ZEROS,
		"sha512:" ZEROS,
		"SHA256:" ZEROS,
		"sha256:../../../../../../../../../../../../../../../../../etc/passwd//////",
		"sha256:A000000000000000000000000000000000000000000000000000000000000000",
		"sha256:000000000000000000000000000000000000000000000000000000000000000/",
		"sha256: 00000000000000000000000000000000000000000000000000000000000000",
		"sha256:" ZEROS "\n",
		"md5:00000000000000000000000000000000",
		"sha384:" ZEROS,
		"../sha256:" ZEROS,
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct digest d = { .text = "untouched" };
		struct err e = ERR_ZERO;

		if (digest_parse(bad[i], &d, &e) != -ERR_INVALID_ARGUMENT)
			fail_msg("taken: %s", bad[i]);
		assert_string_equal(d.text, "untouched");
		assert_null(strchr(e.msg, '\n'));
	}
}

static void
a_very_long_one_is_cut_in_the_message(void **state)
{
	static char text[10001];
	struct err e = ERR_ZERO;
	struct digest d;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(digest_parse(text, &d, &e), -ERR_INVALID_ARGUMENT);
	assert_true(strlen(e.msg) < 300);
}

static void
hashes(void **state)
{
	struct hasher *h = hasher_new(DIGEST_SHA256);
	struct digest a, b;

	(void)state;
	digest_of(DIGEST_SHA256, "abc", 3, &a);
	assert_string_equal(
	    a.text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hasher_add(h, "a", 1);
	hasher_digest(h, &b);
	assert_false(digest_equal(&a, &b));
	hasher_add(h, "bc", 2); /* asking does not end it */
	hasher_digest(h, &b);
	assert_true(digest_equal(&a, &b));
	hasher_reset(h);
	hasher_digest(h, &b);
	assert_string_equal(
	    b.text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	hasher_free(&h);
	assert_null(h);
	digest_of(DIGEST_SHA512, "", 0, &a);
	assert_memory_equal(a.text, "sha512:cf83e1357eefb8bd", 23);
	assert_int_equal(strlen(a.text), 135);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones),
		cmocka_unit_test(bad_ones),
		cmocka_unit_test(a_very_long_one_is_cut_in_the_message),
		cmocka_unit_test(hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
