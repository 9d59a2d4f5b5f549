/* SPDX-License-Identifier: Apache-2.0 */
/* test_fault - fault points, as the FAULT=1 variant has them, in whatever variant this is. */
#ifndef CF_FAULT
#define CF_FAULT 1
#include "lib/base/fault.c"
#else
#include "lib/base/fault.h"
#endif

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

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/fs.h"

static void
step(void)
{
	FAULT_POINT("test.step");
}

static bool
fails(void)
{
	return FAULT_FAILS("test.fails");
}

static bool
fails_elsewhere(void)
{
	return FAULT_FAILS("test.fails");
}

/* How a child ends that takes three steps with these faults set. */
static int
end_of_child(const char *faults)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)setenv("COFFER_FAULTS", faults, 1);
		for (int i = 1; i <= 3; i++)
			step();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
test_kill(void **state)
{
	int status = end_of_child("test.step=kill");

	(void)state;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = end_of_child("other=kill;test.step=kill@3");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(end_of_child("test.step=kill@4"), 0);
	assert_int_equal(end_of_child("test.ste=kill;est.step=kill;test.step.x=kill"), 0);
	assert_int_equal(end_of_child(""), 0);
	assert_int_equal(end_of_child("test.step=dance;;=;test.step"), 0);
	status = end_of_child("test.step=abort");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void
test_error(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("COFFER_FAULTS"), 0);
	assert_false(fails());
	assert_int_equal(setenv("COFFER_FAULTS", "test.fails=error:ENOSPC@3", 1), 0);
	assert_false(fails());
	errno = 0;
	assert_true(fails()); /* the third one, the first counted without a setting, too */
	assert_int_equal(errno, ENOSPC);
	assert_false(fails());
	assert_false(fails_elsewhere()); /* the same name elsewhere counts for itself */
	assert_int_equal(setenv("COFFER_FAULTS", "test.fails=error:EIO", 1), 0);
	assert_true(fails() && fails_elsewhere());
	assert_int_equal(setenv("COFFER_FAULTS", "test.fails=error:ENOTHING", 1), 0);
	assert_false(fails());
	assert_int_equal(unsetenv("COFFER_FAULTS"), 0);
}

static void
test_delay(void **state)
{
	uint64_t before = clock_mono_ms();

	(void)state;
	assert_int_equal(setenv("COFFER_FAULTS", "test.step=delay:60", 1), 0);
	step();
	assert_true(clock_mono_ms() - before >= 60);
	assert_int_equal(unsetenv("COFFER_FAULTS"), 0);
}

/* The file is read at every hit; "once" holds over processes. */
static void
test_file(void **state)
{
	char dir[] = "/tmp/coffer-fault-XXXXXX", faults[64];
	struct err e = ERR_ZERO;
	int dirfd, status;

	(void)state;
	assert_non_null(mkdtemp(dir));
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(faults, sizeof(faults), "@%s/faults", dir);
	assert_int_equal(end_of_child(faults), 0); /* no file: no faults */
	assert_int_equal(
	    fs_write(dirfd, "faults", "test.step=once:kill\n", 20, 0644, false, &e), 0);
	status = end_of_child(faults);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(end_of_child(faults), 0);
	assert_int_equal(fs_write(dirfd, "faults", "test.step=kill", 14, 0644, false, &e), 0);
	assert_true(WIFSIGNALED(end_of_child(faults)));
	(void)close(dirfd);
	assert_int_equal(fs_remove_tree(AT_FDCWD, dir, &e), 0);
}

static void
test_list(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_non_null(out);
	fault_list(out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, "test.step\n"));
	assert_non_null(strstr(text, "test.fails\n"));
	assert_null(strstr(strstr(text, "test.fails\n") + 1, "test.fails\n")); /* once */
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
