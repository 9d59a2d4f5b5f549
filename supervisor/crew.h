/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew - the workers: started, watched, replaced, ended. The state table is in crew.c.
 *
 * A worker that dies is replaced: at once the first time, then after 100 ms, 200 ms, ... up to a cap,
 * counted from zero again after a healthy spell; it is never given up. One that stops beating is
 * aborted, then killed. Everything that is known of a worker is on its board.
 */
#ifndef CF_SUPERVISOR_CREW_H
#define CF_SUPERVISOR_CREW_H

#include "supervisor/control.h"
#include "supervisor/member.h"

struct crew;

/* What the crew tells its owner. */
struct crew_hooks {
	void *arg;
	void (*ready)(void *arg); /* all have been ready once */
	/* An order of task, size and version checked; takes the descriptors. */
	void (*order)(void *arg, const struct order *o, int *fds, unsigned nfds);
	void (*writable)(void *arg);  /* crew_reply may work again */
	void (*task_gone)(void *arg); /* nobody waits for replies any more */
	void (*stopped)(void *arg);   /* after crew_stop: none is left */
};

struct crew {
	struct loop *loop;
	const struct config *config;
	struct crew_hooks hooks;
	struct member members[PROC_COUNT];
	struct loop_source *timer, *tick;
	uint64_t last_tick_ms;
	bool told_ready, stopping;
	pid_t stranger; /* a dead child that is not ours */
	bool held;	/* orders are not read for now */
};

/* Starts every worker: programs are looked for in self_dir/libexec, then where they are installed.
 * Borrows all it is given. A worker that cannot be started is tried again. */
int crew_open(struct crew *c, struct loop *l, const struct config *config, const struct folders *f,
    const struct crew_hooks *hooks, const char *self_dir, struct err *e);

/* Ends the workers in reverse order, then calls hooks.stopped. Called again: at once, by SIGKILL. */
void crew_stop(struct crew *c);
void crew_close(struct crew *c);

/* Sends a reply to task. 0, or -1 with errno: EAGAIN (it is behind), EPIPE (it is gone). */
int crew_reply(struct crew *c, const struct order_reply *r, const int *fds, unsigned nfds);
/* Whether orders are read, and whether hooks.writable is called when a reply fits again. */
void crew_want(struct crew *c, bool orders, bool writable);

#endif
