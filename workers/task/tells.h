/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tells - events of processes into the outbox, each exactly once.
 *
 * A process lives in the store on tmpfs, the outbox in the durable one, and no transaction spans
 * both. So a row's facts are written first; its event follows in a transaction of the durable store
 * that also notes, in a told row, which facts of this incarnation were given out. What a death leaves
 * between the two is found at the next start: facts without a note are told then, in order.
 * Events of a moment share one transaction (and its fsync): it runs TELL_MS after the first of them,
 * or with the next durable change.
 */
#ifndef CF_TASK_TELLS_H
#define CF_TASK_TELLS_H

#include "workers/task/tasks.h"

#define TELL_MS 20

/* Queues the event of a fact of p, as p is now. */
void tell_fact(struct proc *p, enum fact fact);
/* An event that is no fact: /tasks/paused, /tasks/resumed. */
void tell_topic(struct proc *p, const char *topic);

/* Puts everything queued into a write transaction of the durable store; tells_written after its
 * commit forgets it, tells_kept after its failure keeps it. */
int tells_write(struct taskd *t, struct txn *txn, struct err *e);
void tells_written(struct taskd *t);
/* All at once, in a transaction of its own; what cannot be written is kept and logged. */
void tells_flush(struct taskd *t);
bool tells_pending(struct taskd *t, const char *ns, const char *id);
void tells_free(struct taskd *t);

/* At the start: queues facts of a loaded process that no told row notes. */
int tells_owed(struct taskd *t, struct proc *p, struct err *e);
/* At the start, behind the rows: told rows without a process are of before a reboot; their ends are
 * told (exit 137, delete). */
int tells_orphans(struct taskd *t, struct err *e);

#endif
