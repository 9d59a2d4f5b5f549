/* SPDX-License-Identifier: Apache-2.0 */
/* test_passwd - users by the files of a container, which are not to be trusted. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/oci/passwd.h"

static const char users[] = "root:x:0:0:root:/root:/bin/sh\n"
			    "# a comment:x:1:1\n"
			    "broken\n"
			    "huge:x:4294967296:0::/:\n"
			    "neg:x:-1:0::/:\n"
			    "alice:x:1234:1235:Alice:/home/alice:/bin/sh\n"
			    "last:x:9:9::/:";
static const char groups[] = "root:x:0:\nwheel:x:40:bob,alice\naudio:x:41:alicex\nalice:x:1235:\n"
			     "big:x:2147483648:alice\ntwice:x:40:alice\n";

static int
file(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static int
resolve(const char *text, struct oci_user *u, struct err *e)
{
	AUTO(fd_close) int p = file(users);
	AUTO(fd_close) int g = file(groups);
	struct oci_user_ref ref;
	int r = oci_user_parse(text, &ref, e);

	return r < 0 ? r : oci_user_resolve(&ref, p, g, u, e);
}

static void
test_names(void **state)
{
	struct err e = ERR_ZERO;
	struct oci_user u;

	(void)state;
	assert_int_equal(resolve("alice", &u, &e), 0);
	assert_int_equal(u.uid, 1234);
	assert_int_equal(u.gid, 1235);
	assert_int_equal(u.ngids, 2); /* its own first, each once (CVE-2023-25173) */
	assert_int_equal(u.gids[0], 1235);
	assert_int_equal(u.gids[1], 40);
	assert_int_equal(resolve("1234", &u, &e), 0); /* a number with a line gets its groups too */
	assert_int_equal(u.gid, 1235);
	assert_int_equal(u.ngids, 2);
	assert_int_equal(resolve("alice:audio", &u, &e), 0);
	assert_int_equal(u.gid, 41);
	assert_int_equal(u.ngids, 0);
	assert_int_equal(resolve("last", &u, &e), 0);
	assert_int_equal(u.uid, 9);
	assert_int_equal(resolve("77", &u, &e), 0);
	assert_int_equal(u.uid, 77);
	assert_int_equal(u.gid, 0);
	assert_int_equal(resolve("", &u, &e), 0);
	assert_int_equal(u.uid, 0);
	assert_int_equal(resolve("bob", &u, &e), -ERR_NOT_FOUND);
	assert_int_equal(resolve("huge", &u, &e), -ERR_NOT_FOUND);
	assert_int_equal(resolve("neg", &u, &e), -ERR_NOT_FOUND);
	assert_int_equal(resolve("alice:big", &u, &e), -ERR_NOT_FOUND);
	assert_int_equal(resolve("alice:none", &u, &e), -ERR_NOT_FOUND);
}

static void
test_bad_words(void **state)
{
	static const char *const bad[] = { "4294967296", "2147483648:0", "-1", "0x0", "user:", ":0",
		":", "+1", "00000000000", "1:2:3", "1:-1", "5five" };
	struct err e = ERR_ZERO;
	struct oci_user_ref ref;
	char longer[400];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(oci_user_parse(bad[i], &ref, &e), -ERR_INVALID_ARGUMENT);
	memset(longer, 'u', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(oci_user_parse(longer, &ref, &e), -ERR_INVALID_ARGUMENT);
}

static void
test_numeric(void **state)
{
	struct err e = ERR_ZERO;
	struct oci_user_ref ref;
	struct oci_user u;

	(void)state;
	assert_int_equal(oci_user_parse("2147483647:1", &ref, &e), 0);
	assert_true(oci_user_numeric(&ref, &u));
	assert_int_equal(u.uid, INT32_MAX);
	assert_int_equal(oci_user_parse("12", &ref, &e), 0);
	assert_false(oci_user_numeric(&ref, &u));
}

static void
test_bad_files(void **state)
{
	AUTO(fd_close) int dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(fd_close) int null = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	AUTO(fd_close) int big = memfd_create("big", MFD_CLOEXEC);
	struct err e = ERR_ZERO;
	struct oci_user_ref ref;
	struct oci_user u;

	(void)state;
	assert_int_equal(oci_user_parse("alice", &ref, &e), 0);
	assert_int_equal(oci_user_resolve(&ref, dir, -1, &u, &e), -ERR_FAILED_PRECONDITION);
	assert_int_equal(oci_user_resolve(&ref, null, -1, &u, &e), -ERR_FAILED_PRECONDITION);
	assert_int_equal(ftruncate(big, (off_t)OCI_PASSWD_BYTES_MAX + 1), 0);
	assert_int_equal(oci_user_resolve(&ref, big, -1, &u, &e), -ERR_FAILED_PRECONDITION);
	assert_int_equal(ftruncate(big, 1 << 20), 0); /* NUL bytes, one line */
	assert_int_equal(oci_user_resolve(&ref, big, big, &u, &e), -ERR_NOT_FOUND);
	assert_int_equal(oci_user_resolve(&ref, -1, -1, &u, &e), -ERR_NOT_FOUND);
}

static void
test_too_many_groups(void **state)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err e = ERR_ZERO;
	struct oci_user_ref ref;
	struct oci_user u;
	int p, g;

	(void)state;
	for (int i = 0; i < OCI_GIDS_MAX + 1; i++)
		(void)buf_addf(&text, "g%d:x:%d:alice\n", i, 5000 + i);
	p = file(users);
	g = file(buf_str(&text));
	assert_int_equal(oci_user_parse("alice", &ref, &e), 0);
	assert_int_equal(oci_user_resolve(&ref, p, g, &u, &e), -ERR_FAILED_PRECONDITION);
	fd_close(&p);
	fd_close(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_bad_words),
		cmocka_unit_test(test_numeric),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_too_many_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
