/* SPDX-License-Identifier: Apache-2.0 */
/* hosts: which folder speaks for a registry, what its file means, and what is said of a wrong one. */
#include "lib/oci/hosts.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"

struct bench {
	char dir[64];
	struct arena a;
	struct registry_host_list hosts;
	struct err e;
};

static int
up(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));

	(void)strcpy(b->dir, "/tmp/test_hosts.XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	*state = b;
	return 0;
}

static int
down(void **state)
{
	struct bench *b = *state;
	struct err e = ERR_ZERO;

	assert_int_equal(fs_remove_tree(AT_FDCWD, b->dir, &e), 0);
	arena_free(&b->a);
	free(b);
	return 0;
}

static void
put(struct bench *b, const char *folder, const char *name, const char *text)
{
	AUTO(free_ptr) char *dir = xasprintf("%s/%s", b->dir, folder);
	AUTO(free_ptr) char *path = xasprintf("%s/%s", dir, name);
	struct err e = ERR_ZERO;

	(void)mkdir(dir, 0755);
	assert_int_equal(fs_write(AT_FDCWD, path, text, strlen(text), 0644, false, &e), 0);
}

static int
find(struct bench *b, const char *host)
{
	b->e = ERR_ZERO;
	return hosts_find(b->dir, host, &b->a, &b->hosts, &b->e);
}

static void
assert_bytes(struct bytes got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

static void
a_whole_file(void **state)
{
	struct bench *b = *state;
	const struct registry_host *h;

	put(b, "docker.io", "ca.pem", "CA one");
	put(b, "docker.io", "ca2.pem", "CA two");
	put(b, "docker.io", "client.pem", "CERT");
	put(b, "docker.io", "client.key", "KEY");
	put(b, "docker.io", "hosts.toml",
	    "server = \"registry-1.docker.io\"\n"
	    "[host.\"https://first.example:5000\"]\n"
	    "  capabilities = [\"resolve\", \"Pull\"]\n"
	    "  ca = [\"ca.pem\", \"ca2.pem\"]\n"
	    "  client = [[\"client.pem\", \"client.key\"]]\n"
	    "  dial_timeout = \"1m0.5s\"\n"
	    "[host.\"https://first.example:5000\".header]\n"
	    "  x-one = \"1\"\n"
	    "  x-two = [\"a\", \"b\"]\n"
	    "[host.\"http://second.example/mirror/\"]\n"
	    "[host.\"http://third.example/v2/cache\"]\n"
	    "  override_path = true\n"
	    "  skip_verify = true\n");
	assert_int_equal(find(b, "docker.io"), 1);
	assert_int_equal(b->hosts.n, 4);
	h = &b->hosts.v[0];
	assert_string_equal(h->url, "https://first.example:5000/v2");
	assert_true(hosts_can(h, "pull") && hosts_can(h, "resolve"));
	assert_false(hosts_can(h, "push"));
	assert_bytes(h->ca, "CA one\nCA two\n");
	assert_bytes(h->cert, "CERT");
	assert_bytes(h->key, "KEY");
	assert_int_equal(h->connect_ms, 60500);
	assert_int_equal(h->headers.n, 3);
	assert_string_equal(h->headers.v[0], "x-one: 1");
	assert_string_equal(h->headers.v[2], "x-two: b");
	assert_string_equal(b->hosts.v[1].url, "http://second.example/mirror/v2");
	assert_true(hosts_can(&b->hosts.v[1], "push"));
	assert_string_equal(b->hosts.v[2].url, "http://third.example/v2/cache");
	assert_true(b->hosts.v[2].skip_verify);
	assert_string_equal(b->hosts.v[3].url, "https://registry-1.docker.io/v2");
}

static void
which_folder(void **state)
{
	struct bench *b = *state;

	assert_int_equal(find(b, "a.example:5000"), 0);
	put(b, "_default", "hosts.toml", "[host.\"http://default.example\"]\n");
	assert_int_equal(find(b, "a.example:5000"), 1);
	assert_string_equal(b->hosts.v[0].url, "http://default.example/v2");
	assert_null(b->hosts.v[1].url); /* no server: the registry itself */
	put(b, "a.example:5000", "hosts.toml", "server = \"http://colon.example\"\n");
	assert_int_equal(find(b, "a.example:5000"), 1);
	assert_string_equal(b->hosts.v[0].url, "http://colon.example/v2");
	put(b, "a.example_5000_", "hosts.toml", "server = \"http://under.example\"\n");
	assert_int_equal(find(b, "a.example:5000"), 1);
	assert_string_equal(b->hosts.v[0].url, "http://under.example/v2");
	put(b, "[::1]_5000_", "hosts.toml", "server = \"http://six.example\"\n");
	assert_int_equal(find(b, "[::1]:5000"), 1);
	assert_string_equal(b->hosts.v[0].url, "http://six.example/v2");
}

static void
folders_of_certificates(void **state)
{
	struct bench *b = *state;

	put(b, "a.example", "one.crt", "CA");
	put(b, "a.example", "me.cert", "CERT");
	assert_int_equal(find(b, "a.example"), -ERR_NOT_FOUND);
	assert_non_null(strstr(b->e.msg, "me.key"));
	put(b, "a.example", "me.key", "KEY");
	assert_int_equal(find(b, "a.example"), 1);
	assert_int_equal(b->hosts.n, 1);
	assert_null(b->hosts.v[0].url);
	assert_bytes(b->hosts.v[0].ca, "CA\n");
	assert_bytes(b->hosts.v[0].cert, "CERT");
	assert_bytes(b->hosts.v[0].key, "KEY");
}

static void
what_is_wrong_is_named_with_its_line(void **state)
{
	static const struct {
		const char *text, *want;
	} wrong[] = {
		{ "server = 5\n", "hosts.toml:1: server must be a string" },
		{ "\nsurprise = true\n", "hosts.toml:2: unknown key surprise" },
		{ "server = \"ftp://x\"\n", "is not a URL" },
		{ "server = \"http://\"\n", "hosts.toml:1: http:// is not a URL" },
		{ "server = \"http://user:pw@host\"\n", "hosts.toml:1:" },
		{ "[host.\"http://x/?q\"]\n", "hosts.toml:1:" },
		{ "[host]\na = 1\n", "hosts.toml:2: a host is a table" },
		{ "[host.\"http://x\"]\ncapabilities = [\"fly\"]\n",
		    "hosts.toml:2: unknown capability" },
		{ "[host.\"http://x\"]\nserver = \"y\"\n", "hosts.toml:2: unknown key" },
		{ "[host.\"http://x\"]\nca = \"nosuch.pem\"\n",
		    "hosts.toml:2: nosuch.pem: No such file" },
		{ "ca = [[\"a\"]]\n", "hosts.toml:1: ca must be" },
		{ "client = [[\"a\",\"b\"],[\"c\",\"d\"]]\n",
		    "hosts.toml:1: client: one certificate" },
		{ "client = [[\"a\",\"b\",\"c\"]]\n", "hosts.toml:1: client must be" },
		{ "client = []\n", "hosts.toml:1: client must be" },
		{ "skip_verify = \"yes\"\n", "hosts.toml:1: skip_verify must be" },
		{ "dial_timeout = \"10\"\n", "hosts.toml:1: dial_timeout must be" },
		{ "[header]\n\"a b\" = \"c\"\n", "hosts.toml:2: a header is" },
		{ "[header]\nx = \"a\\r\\nEvil: yes\"\n", "hosts.toml:2: a header of several" },
		{ "server = \"x\n", "hosts.toml:1:" },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < COUNT(wrong); i++) {
		put(b, "x", "hosts.toml", wrong[i].text);
		assert_true(find(b, "x") < 0);
		if (strstr(b->e.msg, wrong[i].want) == NULL)
			fail_msg("%zu: %s", i, b->e.msg);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_whole_file, up, down),
		cmocka_unit_test_setup_teardown(which_folder, up, down),
		cmocka_unit_test_setup_teardown(folders_of_certificates, up, down),
		cmocka_unit_test_setup_teardown(what_is_wrong_is_named_with_its_line, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
