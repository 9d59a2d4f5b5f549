/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops - operations on a container: what a call sets going, and what goes on without its caller.
 *
 * Operations that change what a container is (create, start, delete, exec, recovery) stand in its queue
 * and run one at a time, in order of arrival. Others (kill, wait, pids) only hold the box, so that
 * it does not go away under them. An operation lives until op_reply or op_fail, whether or not its
 * caller is still there; it then is gone with its arena.
 */
#ifndef CF_TASK_OPS_H
#define CF_TASK_OPS_H

#include "workers/task/tasks.h"

struct op {
	struct op *next;
	struct taskd *t;
	struct box *box;
	struct call *call; /* NULL: nobody waits for it (any more) */
	const char *what;  /* "is being deleted" */
	void (*run)(struct op *op);
	/* Called when the caller went away; NULL: it simply goes on, unanswered. */
	void (*cancel)(struct op *op);
	bool queued, began, asked; /* asked: a call made it */
	void *state;		   /* in arena */
	struct arena arena;
};

/* Copies the namespace of c and sets c's note. c may be NULL (recovery). size bytes of zeroed state.
 * The container's name must have been checked. */
struct op *op_new(struct taskd *t, struct call *c, const char *ns, const char *id, const char *what,
    void (*run)(struct op *op), size_t size);

/* Puts it into the box's queue; runs it at once when nothing else is at work. It may be gone after. */
void op_queue(struct op *op);
/* In front of all that has not begun. */
void op_queue_first(struct op *op);
/* Outside the queue: runs at once. */
void op_go(struct op *op);

/* Both end the operation. op_reply with NULL: an empty reply. */
void op_reply(struct op *op, const void *rep);
void op_fail(struct op *op, const struct err *e);

/* Commits with the reply beside the effect when somebody waits for it. */
int op_commit(struct op *op, struct txn **txn, const void *rep, struct err *e);

/* worker_spec.cancelled */
void op_cancelled(void *state, struct call *c);

/* A deep copy of a record, in a. */
void *record_copy(const struct schema *s, const void *rec, struct arena *a);

#endif
