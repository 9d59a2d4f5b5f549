/* SPDX-License-Identifier: Apache-2.0 */
/* test_fault - a commit that fails in the FAULT=1 variant, and does not in any other. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/store/store.h"

#ifdef CF_FAULT
#define FAULTY true
#else
#define FAULTY false
#endif

static void
test_commit_fails(void **state)
{
	static const char *const tables[] = { "none" };
	char dir[] = "/tmp/coffer-store-fault-XXXXXX";
	struct ev_image ev = { .name = "x" };
	struct store *s = NULL;
	struct txn *t = NULL;
	struct err e = ERR_ZERO;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(store_open(dir, tables, 1, false, &s, &e), 0);
	for (int i = 0; i < 2; i++) {
		bool fails = FAULTY && i == 0;

		assert_int_equal(store_write(s, &t, &e), 0);
		assert_int_equal(store_event(t, "default", "/images/create", &ev, &e), 0);
		assert_int_equal(
		    setenv("COFFER_FAULTS", i == 0 ? "store.commit.write=error:ENOSPC" : "", 1), 0);
		assert_int_equal(store_commit(&t, &e), fails ? -ERR_RESOURCE_EXHAUSTED : 0);
		assert_null(t);
		assert_int_equal(store_outbox_last(s), (FAULTY ? 0 : 1) + i);
	}
	store_close(&s);
	assert_int_equal(fs_remove_tree(AT_FDCWD, dir, &e), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commit_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
