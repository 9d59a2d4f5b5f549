/* SPDX-License-Identifier: Apache-2.0 */
/* shell - what tests let other programs make and compare. */
#ifndef CF_TEST_SHELL_H
#define CF_TEST_SHELL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs script, whose $1 is dir; it must succeed. */
static inline void
shell(const char *dir, const char *script)
{
	const char *argv[] = { "sh", "-ec", script, "sh", dir, NULL };
	pid_t pid;
	int status;

	assert_int_equal(
	    posix_spawnp(&pid, "sh", NULL, NULL, (char **)(uintptr_t)argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("%s: status %d", script, status);
}

#endif
