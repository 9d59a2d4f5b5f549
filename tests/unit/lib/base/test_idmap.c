/* SPDX-License-Identifier: Apache-2.0 */
/* test_idmap - what is taken as a mapping, what is refused and how, and a namespace that has it. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/idmap.h"

static void
refuses(const char *text, const char *why)
{
	AUTO(free_ptr) struct idmap *m = xcalloc(1, sizeof(*m));
	struct err e = ERR_ZERO;

	assert_int_equal(idmap_add(m, text, &e), -ERR_INVALID_ARGUMENT);
	if (strstr(e.msg, why) == NULL)
		fail_msg("%s: %s", text, e.msg);
}

static void
test_refused(void **state)
{
	(void)state;
	refuses("", "must be CONTAINER-ID:HOST-ID:SIZE");
	refuses("0:1", "must be");
	refuses("0:1:2:3", "must be");
	refuses("-1:1:2", "must be");
	refuses("0: 1:2", "must be");
	refuses("a:b:c", "must be");
	refuses("0:1:2,", "must be");
	refuses("0:99999999999999999999:1", "must be");
	refuses("0:1:0", "size is 0");
	refuses("0:4294967295:1", "ids end at 4294967294");
	refuses("4294967294:0:2", "ids end at");
	refuses("0:0:4294967296", "ids end at");
	refuses("0:100:10,9:200:1", "overlaps 0:100:10");
	refuses("0:100:10,10:109:1", "overlaps 0:100:10");
}

static void
test_taken(void **state)
{
	AUTO(free_ptr) struct idmap *m = xcalloc(1, sizeof(*m));
	struct err e = ERR_ZERO;
	uint32_t out = 0;

	(void)state;
	assert_int_equal(idmap_add(m, "0:100000:10,10:5:1", &e), 0);
	assert_int_equal(idmap_add(m, "4294967293:4294967293:2", &e), 0);
	assert_int_equal(m->n, 3);
	assert_true(idmap_outside(m, 9, &out) && out == 100009);
	assert_true(idmap_outside(m, 10, &out) && out == 5);
	assert_true(idmap_outside(m, 4294967294u, &out) && out == 4294967294u);
	assert_false(idmap_outside(m, 11, &out));
	assert_false(idmap_outside(m, 4294967295u, &out));
}

static void
test_most(void **state)
{
	AUTO(free_ptr) struct idmap *m = xcalloc(1, sizeof(*m));
	struct err e = ERR_ZERO;
	char text[48];

	(void)state;
	for (unsigned i = 0; i < IDMAP_LINES_MAX; i++) {
		(void)snprintf(text, sizeof(text), "%u:%u:1", i, i + 1000);
		assert_int_equal(idmap_add(m, text, &e), 0);
	}
	assert_int_equal(idmap_add(m, "5000:5000:1", &e), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(e.msg, "at most 340 mappings"));
	*m = (struct idmap){ .n = 0 };
	for (unsigned i = 0; i < IDMAP_LINES_MAX; i++) {
		(void)snprintf(text, sizeof(text), "%u:%u:1", 4000000000u + i, 4100000000u + i);
		if (idmap_add(m, text, &e) < 0)
			break;
	}
	assert_non_null(strstr(e.msg, "at most 4095 bytes"));
}

/* The kernel takes what is taken here: the largest there is, whole. */
static void
test_userns(void **state)
{
	AUTO(free_ptr) struct idmap *m = xcalloc(1, sizeof(*m));
	AUTO(fd_close) int ns = -1;
	struct err e = ERR_ZERO;
	char text[48];
	int status;
	pid_t pid;

	(void)state;
	for (unsigned i = 0; i < IDMAP_LINES_MAX; i++) {
		(void)snprintf(text, sizeof(text), "%u:%u:1", i, i + 1000);
		assert_int_equal(idmap_add(m, text, &e), 0);
	}
	assert_int_equal(idmap_userns(m, m, &ns, &e), 0);
	assert_int_equal(waitpid(-1, &status, __WALL), -1); /* no child stays */
	pid = fork();
	if (pid == 0)
		_exit(setns(ns, CLONE_NEWUSER) == 0 && setgid(7) == 0 && setuid(339) == 0 &&
			      setuid(340) < 0
			  ? 0
			  : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_refused),
		cmocka_unit_test(test_taken), cmocka_unit_test(test_most),
		cmocka_unit_test(test_userns) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
