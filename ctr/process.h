/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process - a process in the foreground: its stdio here, our signals there, until it has ended.
 *
 *	process_open (attached, nothing is missed) -> task_start -> process_follow -> process_close
 *
 * Signals: INT, TERM, HUP, QUIT, USR1 and USR2 are sent on to it (on a terminal the keys reach it as
 * bytes). The third INT or TERM kills it, the fourth gives up waiting. What we started on our terminal
 * is killed when that hangs up and it does not end of it.
 */
#ifndef CF_CTR_PROCESS_H
#define CF_CTR_PROCESS_H

#include <stdbool.h>

#include "ctr/ctr.h"

struct process;

struct process_opts {
	const char *id, *exec_id; /* borrowed; exec_id NULL: the container's own */
	const struct task *task;  /* where to attach; used by process_open only */
	bool input;		  /* join our stdin */
	bool ours;		  /* we started it: it is killed when nobody reads us any more */
};

enum process_end {
	PROCESS_ENDED,	  /* *ret_exit is its exit status */
	PROCESS_DETACHED, /* it goes on without us */
	PROCESS_GIVEN_UP  /* interrupted four times: *ret_exit is for that */
};

/* Watches for signals (ctr_catch) too, so that it comes first. */
int process_open(struct ctr *c, const struct process_opts *o, struct process **ret, struct err *e);

/* The size of our terminal, to a process that has one. Before the start it is best effort. */
void process_resize(struct process *p);

/* Once it runs. Returns an enum process_end or a negative error. */
int process_follow(struct process *p, int *ret_exit, struct err *e);
void process_close(struct process **p);

/* Exit status for an error of starting a process: 127, 126 or 125, by the runtime's words. */
int process_start_exit(const struct err *e);

#endif
