/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task - the container of this shim: its own process, its execs, and what may be done to them.
 *
 * States of a process (an exec begins at CREATED):
 *
 *	CREATING --runtime create--> CREATED --Start--> STARTING --> RUNNING --exit--> STOPPED --Delete--> gone
 *	    |failed: undone, gone        |Delete (DELETING)  |failed: back to CREATED, an exec STOPPED
 *
 * An exit that is noticed while CREATING or STARTING is told only after the answer to that call, so
 * nobody hears of the end of what has not begun. Runtime calls run side by side; the states decide what
 * may. Whoever waits for an exit is answered once it is known, and an exit is kept until Delete.
 */
#ifndef CF_SHIM_TASK_H
#define CF_SHIM_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "lib/ttrpc/ttrpc.h"
#include "workers/task/shim/attach.h"
#include "workers/task/shim/console.h"
#include "workers/task/shim/place.h"
#include "workers/task/shim/run.h"
#include "workers/task/shim/runtime.h"
#include "workers/task/shim/stdio.h"

enum proc_state {
	PROC_CREATING,
	PROC_CREATED,
	PROC_STARTING,
	PROC_RUNNING,
	PROC_STOPPED,
	PROC_DELETING
};

struct waiter {
	struct waiter *next;
	struct ttrpc_request *rq;
};

struct proc {
	struct proc *next;
	struct task *task;
	char exec_id[80]; /* "" for the container's own */
	enum proc_state state;
	bool terminal;
	char *in, *out, *err; /* as asked for */
	struct stdio *io;
	pid_t pid;  /* 0 until it is there */
	bool ended; /* exit noticed; state says whether it was told */
	unsigned exit_status;
	int64_t exited_at;
	struct waiter *waiters;
	struct fifo *fifo;	   /* a start that waits for its word, else NULL */
	struct deletion *deletion; /* under way, else NULL */
};

struct task {
	struct loop *loop;
	struct reaper *reaper;
	const struct place *place;
	struct runtime rt;
	struct attach_server *attach; /* NULL without an attach socket */
	struct proc *procs;	/* the container's own is among them while there is a container */
	struct update *updates; /* the first is under way */
	bool paused;
	bool shares_pids;  /* no pid namespace of its own: its end does not end the others */
	unsigned consoles; /* numbers console sockets */
};

struct proc *task_find(const struct task *t, const char *exec_id);

struct proc *proc_new(struct task *t, const char *exec_id, bool terminal, const char *in,
    const char *out, const char *err);
void proc_free(struct proc *p);

/* Answers now when the exit is known and told. */
void proc_wait(struct proc *p, struct ttrpc_request *rq);
/* Tells an exit that was noticed before its time (state is RUNNING or CREATED by now). */
void proc_settle(struct proc *p);

/*
 * Brings a process into being by a runtime call that leaves a pid file and, for a terminal, hands over
 * its master: verb is the call without the pid file and console socket, which are put in behind its
 * first word. done is called once, later, with the pid set and the exit watched, or with the error and
 * the process not there (as far as the runtime tells the truth).
 */
typedef void spawn_done_fn(struct proc *p, void *arg, const struct err *e);
int proc_spawn(struct proc *p, const char *const *verb, const char *pid_file, spawn_done_fn *done,
    void *arg, struct err *e);

#endif
