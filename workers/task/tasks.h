/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasks - processes of containers, in memory and on tmpfs.
 *
 * A box is a container that something is going on with: it has a task, or an operation is at work on
 * it. It holds the container's own process (init) and its execs, the connection to its shim, and the
 * queue of operations. Every change of a process is written to the store before anything outside
 * is done about it or told of it; memory and store never differ between two callbacks.
 *
 *	status	unknown -> created -> running <-> paused -> stopped
 *	facts	created, started, exited, deleted: what events are owed (tells.h)
 *	intent	what was being done when the row was written: recover.c finishes or undoes it
 */
#ifndef CF_TASK_TASKS_H
#define CF_TASK_TASKS_H

#include "workers/task/task.h"

enum fact { FACT_CREATED = 1, FACT_STARTED = 2, FACT_EXITED = 4, FACT_DELETED = 8 };

enum status { STATUS_UNKNOWN, STATUS_CREATED, STATUS_RUNNING, STATUS_PAUSED, STATUS_STOPPED };

enum intent { INTENT_NONE, INTENT_CREATE, INTENT_START, INTENT_DELETE };

enum shim_state {
	SHIM_NONE,	 /* not started, or taken down */
	SHIM_CONNECTING, /* connecting, or asking it what it has */
	SHIM_UP,
	SHIM_GONE /* it died; what it left was cleared away */
};

#define EXIT_KILLED 137 /* 128 + KILL: what is said when nobody could say better */

struct ttrpc_client;
struct op;

/* Told of the end of a process, once. */
struct waiter {
	struct waiter *next;
	void (*fn)(void *arg);
	void *arg;
};

struct proc {
	struct proc *next; /* execs of the box */
	struct box *box;
	char exec_id[IDENT_MAX + 1]; /* "" for the container's own */
	char incarnation[33];
	char request
	    [33]; /* the request that last changed it: the same one again is answered, not refused */
	enum status status;
	enum intent intent;
	uint64_t facts;
	uint64_t pid, exit_status;
	int64_t started_at, exited_at;
	char *reason; /* NULL: none */
	bool tty;
	bool starting; /* Start is on its way: an exit waits until its answer is known */
	bool exit_held;
	uint64_t held_status;
	int64_t held_at;
	uint32_t wait_call; /* of ttrpc, 0 = none */
	struct waiter *waiters;
};

/* Waits for the shim's connection; see shims.h. */
struct shim_waiter {
	struct shim_waiter *next;
	void (*fn)(void *arg, const struct err *e);
	void *arg;
};

struct box {
	struct box *next; /* in its bucket */
	struct taskd *t;
	char ns[IDENT_MAX + 1], id[IDENT_MAX + 1];
	struct proc *init; /* NULL: no task */
	struct proc *execs;
	struct op *ops;	   /* the first one is at work */
	unsigned free_ops; /* operations outside the queue that hold the box */

	char shim[256], address[ORDER_ADDRESS_MAX];
	enum shim_state shim_state;
	struct ttrpc_client *client;
	struct shim_waiter *shim_waiters;
	struct shim_call *shim_calls;	/* of operations, in flight */
	struct loop_source *shim_timer; /* next try to connect */
	unsigned shim_tries;
	unsigned resync; /* answers of State that are awaited */
	uint64_t shim_order;
	void (*shim_ended)(void *arg); /* shim_shutdown waits for its end */
	void *shim_ended_arg;
};

struct box *box_find(struct taskd *t, const char *ns, const char *id);
/* Finds or makes it. */
struct box *box_get(struct taskd *t, const char *ns, const char *id);
/* Frees it when nothing needs it any more. */
void box_settle(struct box *b);
void box_free_all(struct taskd *t);

/* NULL when there is none; exec_id NULL or "" is the container's own. */
struct proc *proc_find(struct box *b, const char *exec_id);
/* Adds a process without status; not stored yet. */
struct proc *proc_new(struct box *b, const char *exec_id);
/* Takes it out of its box and frees it; waiters are told first. The row stays. */
void proc_free(struct proc *p);
bool proc_alive(const struct proc *p); /* created, running or paused */

/* Writes the row, in t or in a transaction of its own. */
int proc_put(const struct proc *p, struct txn *t, struct err *e);
int proc_save(const struct proc *p, struct err *e);
/* Removes the row (of this incarnation) in a transaction of its own. */
int proc_forget(struct taskd *t, const char *ns, const char *id, const char *exec_id,
    const char *incarnation, struct err *e);
void proc_key(struct key *k, const char *ns, const char *id, const char *exec_id);
/* Sets what the row says; intents of a dead incarnation stay to be seen. */
struct proc *proc_load(struct taskd *t, const struct task_row *row);

/* The wire form, in a. */
void proc_fill(const struct proc *p, struct arena *a, struct task *ret);
const char *status_text(enum status s);

/* The process ended: stored, told, and waiters called. Does nothing when that is known already;
 * waits for the answer of Start when that is on its way. reason may be NULL. */
void proc_exit(struct proc *p, uint64_t exit_status, int64_t exited_at, const char *reason);
/* Start's answer is known: lets a held exit through. */
void proc_start_known(struct proc *p);

/* fn is called once when the process has ended, at once from within when it has. */
void proc_wait(struct proc *p, struct waiter *w);
void proc_unwait(struct proc *p, struct waiter *w);

#endif
