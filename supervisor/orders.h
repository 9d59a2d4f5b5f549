/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orders - what task asks the supervisor to do for it: start shims, connect to them, remove what they
 * left (supervisor/control.h lists all).
 *
 * Every field is checked as if an enemy had sent it. Calls of shims run beside the loop, each with a
 * limit of time and of output; orders for one container run one after the other. When task dies, calls
 * in flight run to their end and their answers are dropped: the next task finds what they did.
 */
#ifndef CF_SUPERVISOR_ORDERS_H
#define CF_SUPERVISOR_ORDERS_H

#include "lib/base/loop.h"
#include "supervisor/control.h"
#include "supervisor/crew.h"
#include "supervisor/folders.h"

#define JOBS_MAX 64

enum job_state { JOB_FREE, JOB_WAITING, JOB_RUNNING, JOB_DONE };

struct job {
	struct orders *orders;
	enum job_state state;
	bool forgotten; /* the task that gave it is dead */
	struct order order;
	int fds[2]; /* of the order */
	pid_t pid;
	int pidfd, out_fd, err_fd;
	struct loop_source *on_exit, *on_out, *on_err, *timer;
	bool late;	    /* killed for its time limit */
	unsigned char *out; /* ORDER_DATA_MAX bytes */
	size_t out_len;
	bool out_over;
	char err[512]; /* the end of its stderr */
	size_t err_len;
	/* The answer, from JOB_DONE on. */
	struct err failure;
	int exit_status, ret_fd;
};

struct orders {
	struct loop *loop;
	const struct folders *folders;
	struct crew *crew;
	const char *self_dir;
	struct job jobs[JOBS_MAX];
	unsigned used;
};

/* Borrows all of it. */
void orders_open(struct orders *os, struct loop *l, const struct folders *f, struct crew *c,
    const char *self_dir);
void orders_close(struct orders *os);

/* Takes the order and the descriptors; the answer goes to task by crew_reply. */
void orders_take(struct orders *os, const struct order *o, int *fds, unsigned nfds);
/* Sends answers that did not fit before. */
void orders_flush(struct orders *os);
/* Task died. */
void orders_forget(struct orders *os);

#endif
