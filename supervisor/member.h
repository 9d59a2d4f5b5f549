/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member - one worker as a process: its program, its arguments, its descriptors, its board. What is to
 * be done with it, and when, is crew's.
 */
#ifndef CF_SUPERVISOR_MEMBER_H
#define CF_SUPERVISOR_MEMBER_H

#include <sys/types.h>

#include "bus/board/board.h"
#include "lib/base/loop.h"
#include "supervisor/config.h"
#include "supervisor/folders.h"

struct crew;

struct member {
	struct crew *crew; /* for crew.c */
	struct loop *loop;
	const struct config *config;
	const struct folders *folders;
	const char *self_dir;
	unsigned proc;
	enum board_state state;
	pid_t pid;
	int pidfd, control, board;
	struct loop_source *on_death, *on_control;
	struct board_super super;
	uint64_t due_ms;   /* monotonic; what is due depends on the state; 0 = nothing */
	uint64_t since_ms; /* it is in its state since then */
	uint64_t beat, silent_ms;
	unsigned fails; /* deaths without a healthy spell between */
	bool ever_ready;
	const char *killed_for; /* by us; NULL = it was not */
	char program[PATH_MAX];
};

/* Borrows all of it. */
void member_init(struct member *m, unsigned proc, struct loop *l, const struct config *config,
    const struct folders *f, const char *self_dir);

/* Starts the process, with the descriptors and arguments of supervisor/control.h, and watches its pidfd
 * and its control socket. Nothing is left of it after a failure. */
int member_birth(struct member *m, loop_fd_fn *on_death, loop_fd_fn *on_control, struct err *e);
/* Lets go of a process that is reaped. */
void member_forget(struct member *m);

/* By pidfd: never a process that took over the number. */
void member_signal(const struct member *m, int signo);

/* The board for a new incarnation: made whole again should the last one have harmed it. */
int member_board_renew(struct member *m, struct err *e);

/* Waits for a worker of a supervisor that was killed to leave, and kills it should it stay: two of them
 * must never share a store. */
void member_ghost_clear(const struct member *m, pid_t pid);

#endif
