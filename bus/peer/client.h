/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - requests to actors: one DEALER per actor, made on first use.
 *
 * Every request has a random id. When the peer vanishes and comes back, unanswered requests are sent
 * again with the same id; the actor executes each id once. A deadline ends a call with
 * deadline_exceeded. Callbacks run on the loop's thread, never from within client_call.
 */
#ifndef CF_BUS_CLIENT_H
#define CF_BUS_CLIENT_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "schemas/schema.h"

struct client;
struct client_call;
struct hub;

/* e == NULL: rep is a struct of method->rep, valid during the callback. Else rep is NULL. The call is
 * gone after it. */
typedef void client_done_fn(void *arg, const void *rep, const struct err *e);
/* progress: a struct of method->progress, valid during the callback. */
typedef void client_progress_fn(void *arg, const void *progress);

struct client_opts {
	const char *ns;			 /* NULL = default */
	uint64_t deadline_ms;		 /* 0 = none */
	const char *lease;		 /* NULL = none */
	client_progress_fn *on_progress; /* NULL = not wanted; gets the arg of the call */
};

/* state_dir: folder of the daemon's volatile state (its bus/ holds the sockets); copied. Borrows l.
 * Frees all with client_free; calls in flight are dropped without their callbacks. */
int client_new(struct loop *l, const char *state_dir, struct client **ret, struct err *e);
void client_free(struct client **c);

/* The ZeroMQ side of it, for a mailbox on the same loop. */
struct hub *client_hub(struct client *c);

/* Sends req (a struct of m->req; encoded before the return) to m->actor. opts may be NULL. ret_call
 * may be NULL; else it is valid until the done callback ran or client_cancel. Fails at once with
 * invalid_argument when req does not keep to its declaration, unavailable when there is no socket. */
int client_call(struct client *c, const struct method *m, const struct client_opts *opts,
    const void *req, client_done_fn *done, void *arg, struct client_call **ret_call, struct err *e);

/* Tells the actor that nobody waits any more and forgets the call: no callback comes. NULL is fine. */
void client_cancel(struct client_call **call);

/* Asks the actor to let go of the call, and goes on waiting: done gets the answer when that was faster,
 * ERR_CANCELLED when the actor has let go, ERR_DEADLINE_EXCEEDED when it said nothing for limit_ms. */
void client_give_up(struct client_call *call, uint64_t limit_ms);

/* client_call and turns of the loop until it is answered; rep is decoded into a. Not from within a
 * callback of the loop. */
int client_call_sync(struct client *c, const struct method *m, const struct client_opts *opts,
    const void *req, struct arena *a, void *rep, struct err *e);

#endif
