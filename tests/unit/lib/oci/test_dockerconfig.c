/* SPDX-License-Identifier: Apache-2.0 */
/* dockerconfig: which entry is meant, in every form it is written, and answers of helpers. */
#include "lib/oci/dockerconfig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char config[] =
    "{\"auths\":{"
    "\"https://index.docker.io/v1/\":{\"auth\":\"bWU6c2VjcmV0\"},"
    "\"quay.io\":{\"auth\":\"bWU6YTpiOmM=\"},"
    "\"https://registry.example.com:5000/v2/\":{\"username\":\"you\",\"password\":\"pw\"},"
    "\"token.example.com\":{\"auth\":\"bWU6c2VjcmV0\",\"identitytoken\":\"id\"},"
    "\"empty.example.com\":{},"
    "\"bad.example.com\":{\"auth\":\"!!!!\"},"
    "\"short.example.com\":{\"auth\":\"bWU\"},"
    "\"colon.example.com\":{\"auth\":\"bWVtZQ==\"}},"
    "\"credHelpers\":{\"gcr.io\":\"gcloud\",\"evil.example.com\":\"../../bin/sh\"}}";

struct found {
	struct arena a;
	struct registry_auth auth;
	const char *helper;
	struct err e;
};

static int
find(struct found *f, const char *text, const char *host)
{
	*f = (struct found){ .a = ARENA_ZERO };
	return dockerconfig_find(
	    text, strlen(text), "config.json", host, &f->a, &f->auth, &f->helper, &f->e);
}

static void
assert_login(const char *host, const char *user, const char *password)
{
	struct found f;

	if (find(&f, config, host) != 1)
		fail_msg("%s: %s", host, f.e.msg);
	assert_null(f.helper);
	assert_string_equal(f.auth.host, host);
	assert_string_equal(f.auth.username, user);
	assert_string_equal(f.auth.password, password);
	arena_free(&f.a);
}

static void
entries(void **state)
{
	struct found f;

	(void)state;
	assert_login("docker.io", "me", "secret");
	assert_login("registry-1.docker.io", "me", "secret");
	assert_login("quay.io", "me", "a:b:c");
	assert_login("QUAY.IO", "me", "a:b:c");
	assert_login("registry.example.com:5000", "you", "pw");
	assert_int_equal(find(&f, config, "token.example.com"), 1);
	assert_string_equal(f.auth.identity_token, "id");
	assert_null(f.auth.password);
	arena_free(&f.a);
	assert_int_equal(find(&f, config, "registry.example.com"), 0);
	assert_int_equal(find(&f, config, "empty.example.com"), 0);
	assert_int_equal(find(&f, config, "nosuch.example.com"), 0);
	assert_int_equal(find(&f, "{}", "quay.io"), 0);
	assert_int_equal(find(&f, "{\"auths\":7,\"credsStore\":[]}", "quay.io"), 0);
}

static void
what_is_wrong_is_told_without_the_secret(void **state)
{
	static const char *const hosts[] = { "bad.example.com", "short.example.com",
		"colon.example.com" };
	struct found f;

	(void)state;
	for (size_t i = 0; i < COUNT(hosts); i++) {
		assert_int_equal(find(&f, config, hosts[i]), -ERR_INVALID_ARGUMENT);
		assert_non_null(strstr(f.e.msg, "config.json: auth of "));
		assert_null(strstr(f.e.msg, "bWV"));
		arena_free(&f.a);
	}
	assert_int_equal(find(&f, "{", "quay.io"), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(f.e.msg, "config.json: not JSON"));
}

static void
helpers(void **state)
{
	struct found f;

	(void)state;
	assert_int_equal(find(&f, config, "gcr.io"), 1);
	assert_string_equal(f.helper, "gcloud");
	arena_free(&f.a);
	assert_int_equal(find(&f, config, "evil.example.com"), -ERR_INVALID_ARGUMENT);
	assert_int_equal(find(&f, "{\"credsStore\":\"pass\",\"auths\":{\"a\":{}}}", "a"), 1);
	assert_string_equal(f.helper, "pass");
	arena_free(&f.a);
	assert_string_equal(dockerconfig_server("docker.io"), "https://index.docker.io/v1/");
	assert_string_equal(dockerconfig_server("quay.io"), "quay.io");
}

static int
answer(const char *text, struct found *f)
{
	*f = (struct found){ .a = ARENA_ZERO };
	return dockerconfig_answer(text, strlen(text), "pass", &f->a, &f->auth, &f->e);
}

static void
answers(void **state)
{
	struct found f;

	(void)state;
	assert_int_equal(answer("{\"Username\":\"u\",\"Secret\":\"s\"}", &f), 0);
	assert_string_equal(f.auth.username, "u");
	assert_string_equal(f.auth.password, "s");
	arena_free(&f.a);
	assert_int_equal(answer("{\"Username\":\"<token>\",\"Secret\":\"s\"}", &f), 0);
	assert_null(f.auth.username);
	assert_string_equal(f.auth.identity_token, "s");
	arena_free(&f.a);
	assert_true(answer("{\"Username\":\"u\"}", &f) < 0);
	assert_true(answer("please unlock the keychain", &f) < 0);
	assert_non_null(strstr(f.e.msg, "docker-credential-pass"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries),
		cmocka_unit_test(what_is_wrong_is_told_without_the_secret),
		cmocka_unit_test(helpers),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
