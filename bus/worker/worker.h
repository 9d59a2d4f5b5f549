/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker - the skeleton that every actor runs on: start order, loop, dispatch, replies, beat.
 *
 * main() of a worker is `return worker_main(argc, argv, &spec);`. The order is fixed:
 *	arguments -> open (privileged, one thread) -> jail (uid, groups, capabilities, no_new_privs) ->
 *	start (LMDB, recovery) -> mailbox (libzmq's threads start here) -> READY -> loop
 *
 * A handler gets a decoded request and an empty reply, and returns
 *	0		the reply is sent (and stored, for RPC_WRITE; see call_commit)
 *	negative	the error is sent
 *	CALL_LATER	nothing is sent; call_reply or call_fail will be called for this call
 * What it puts into the reply may live in call_arena(c), which dies after the answer.
 */
#ifndef CF_BUS_WORKER_H
#define CF_BUS_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bus/board/board.h"
#include "bus/peer/client.h"
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "lib/store/store.h"
#include "schemas/schema.h"

#define CALL_LATER 1

struct call;
struct worker;

/* Generated per method by bus/worker/handlers.h: calls <actor>_on_<method> with typed arguments. */
typedef int worker_thunk(void *state, struct call *c, const void *req, void *rep, struct err *e);

struct worker_spec {
	unsigned proc;			     /* PROC_CONTENT, ... */
	const struct method *const *methods; /* content_methods */
	worker_thunk *const *thunks;	     /* content_thunks, same order */
	unsigned nmethods;

	/* Makes the state. Runs with the rights the supervisor had: open what needs them. */
	int (*open)(struct worker *w, void **ret_state, struct err *e);
	/* Unprivileged, still one thread until it returns: open stores, recover, add loop sources. */
	int (*start)(struct worker *w, void *state, struct err *e);
	/* The mailbox is open and READY was sent; may be NULL. */
	void (*ready)(struct worker *w, void *state);
	/* Once a second; may be NULL. */
	void (*tick)(struct worker *w, void *state);
	void (*close)(void *state);
	/* The caller went away or cancelled: drop what belongs to the call; it must not be answered any
	 * more. Only called for calls that were left with CALL_LATER. NULL: such calls go on and their
	 * answer is dropped. RPC_LONG calls are not cancelled by a vanished caller, only by a cancel. */
	void (*cancelled)(void *state, struct call *c);
};

int worker_main(int argc, char **argv, const struct worker_spec *spec);

struct loop *worker_loop(struct worker *w);
/* To call other actors. */
struct client *worker_client(struct worker *w);
const char *worker_root(const struct worker *w);  /* --root */
const char *worker_state(const struct worker *w); /* --state */
/* Value of a config line of this worker's section, NULL when not set. */
const char *worker_option(const struct worker *w, const char *key);
struct board *worker_board(struct worker *w);
/* Stores with an outbox and stored replies; at most two per worker. Registering them makes outbox_read
 * serve the first one and stored replies be found in each. */
void worker_store(struct worker *w, struct store *s);
/* Tell parked outbox_read calls that a transaction with events was committed. */
void worker_outbox_wake(struct worker *w);
/* Ends the loop with this exit status. */
void worker_stop(struct worker *w, int status);

/* The call: its caller and its namespace. All valid until it is answered. */
struct worker *call_worker(struct call *c);
struct arena *call_arena(struct call *c);
const char *call_ns(const struct call *c);
/* Name of the lease that is to hold what the request makes, NULL when none was given. */
const char *call_lease(const struct call *c);
const uint8_t *call_id(const struct call *c);	/* 16 bytes */
const char *call_id_text(const struct call *c); /* 32 hex digits, for logs */
const struct method *call_method(const struct call *c);
uid_t call_uid(const struct call *c);
pid_t call_pid(const struct call *c);
/* Bit of the mask: BY_CLIENT or BY_<PROC>. */
unsigned call_by(const struct call *c);
/* Room for the handler's own note on a call that answers later. */
void call_note_set(struct call *c, void *note);
void *call_note(struct call *c);

/* Ends t with the reply stored beside the effect (for RPC_WRITE and for RPC_LONG whose effect is one
 * transaction), and wakes the outbox. The handler then returns 0, or calls call_reply. */
int call_commit(struct call *c, struct txn **t, const void *rep, struct err *e);

/* Answers a call that was left with CALL_LATER; c is gone afterwards. */
void call_reply(struct call *c, const void *rep);
void call_fail(struct call *c, const struct err *e);
void call_progress(struct call *c, const void *progress);

/* Around work on a call outside its handler (callbacks of transfers): the board then names the call
 * should the worker die. */
void call_enter(struct call *c);
void call_leave(struct call *c);

#endif
