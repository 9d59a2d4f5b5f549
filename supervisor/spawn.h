/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn - fork and exec of workers and shims: the only place of the project's daemon that does.
 *
 * A child gets exactly the descriptors named here, default signal dispositions, an empty signal mask,
 * umask 022 and its own session; nothing else of ours. The child is started by vfork, so it costs no
 * copy of page tables and a failing exec is an error of spawn itself.
 */
#ifndef CF_SUPERVISOR_SPAWN_H
#define CF_SUPERVISOR_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

#define SPAWN_FDS_MAX 6

struct spawn {
	const char *path;
	char *const *argv, *const *envp;
	int fds[SPAWN_FDS_MAX]; /* fds[i] becomes descriptor i; borrowed */
	unsigned nfds;
	const char *cwd;
	bool tied; /* is killed when we die; what it forks is not */
};

/* ret_pidfd is the caller's (close-on-exec). not_found when the program is not there. */
int spawn(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd, struct err *e);

/* /dev/null on the first three descriptors where nothing is open, so that what we open later never lands
 * there; all others that we were started with are closed. */
int spawn_guard_stdio(struct err *e);

#endif
