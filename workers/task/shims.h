/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shims - a box's connection to its shim.
 *
 *	none -> connecting -> up          a new task, or one that an earlier incarnation left
 *	up -> connecting -> up            the connection broke: what it has is asked again (State),
 *	                                  and a Wait is left with it for each process that lives
 *	connecting -> gone                nobody listens on its socket any more: the shim is dead. Its
 *	                                  delete call ends what is left; every process that lived has
 *	                                  exit status 137, reason "shim died"
 *	any -> none                       shim_drop: the task was deleted
 *
 * A shim that does not answer is never taken for dead; only a socket without a listener proves it.
 */
#ifndef CF_TASK_SHIMS_H
#define CF_TASK_SHIMS_H

#include "lib/ttrpc/proto/task.pb-c.h"
#include "lib/ttrpc/ttrpc.h"
#include "workers/task/tasks.h"

#define SHIM_END_MS 5000
#define SHIM_CALL_MS 10000    /* what a shim answers by itself */
#define SHIM_RUNTIME_MS 90000 /* what its runtime has to do; the shim's own limit is shorter */

/* Connects to b->address for the first time; fn is called once. Not from within. */
void shim_connect(struct box *b, void (*fn)(void *arg, const struct err *e), void *arg);

/* After a restart: connects and asks what it has. */
void shim_reconnect(struct box *b);

/* Where our own shim of this container listens, when it did not come to saying so (lib/ttrpc/shim.h). */
void shim_guess_address(struct box *b);

/* Calls fn with the shim up (NULL), or with why it is not: at once when that is known. */
void shim_when_up(struct box *b, void (*fn)(void *arg, const struct err *e), void *arg);

/* A call for an operation; there must be a connection. See ttrpc_call. When the connection is taken down
 * by shim_drop, done hears failed_precondition: no operation is left waiting. */
void shim_call(struct box *b, const char *method, uint64_t timeout_ms, const ProtobufCMessage *req,
    const ProtobufCMessageDescriptor *rep_type, ttrpc_done_fn *done, void *arg);

/* Leaves a Wait with the shim; its answer is proc_exit. */
void shim_watch(struct proc *p);

/* Asks the shim to end, waits until it has closed the connection (its sockets are gone by then, so that the
 * next one of the name can have them) or SHIM_END_MS, and takes the connection down. Not from within. */
void shim_shutdown(struct box *b, void (*fn)(void *arg), void *arg);

/* Takes the connection down. */
void shim_drop(struct box *b);

/* For fields of messages, which are not const; packing does not write to them. */
char *shim_text(const char *s);
int64_t shim_time(const Google__Protobuf__Timestamp *ts); /* Unix ns, 0 when it says none */

/* Is this the error of a connection that broke under a call? */
bool shim_lost(const struct err *e);

#endif
