/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers - callers of event_read: each looks through the ring from its number on, then waits.
 *
 *	scanning --found--> answered
 *	   | end of the journal           ^   ^
 *	   v                    found     |   |  wait_ms passed
 *	waiting --------------------------+---+
 *
 * Scanning goes in steps of bounded size, one per turn of the loop, so that a filter that matches
 * nothing holds up nobody. A waiting reader costs its memory, a timer, and a comparison of strings
 * per new event.
 */
#ifndef CF_EVENTS_READERS_H
#define CF_EVENTS_READERS_H

#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "schemas/schema.h"
#include "workers/events/journal.h"

struct readers;
struct reader;

/* The answer: rep, or rep == NULL and the error. The reader is gone; rep dies after the call. */
typedef void reader_answer_fn(void *arg, const struct event_read_rep *rep, const struct err *e);

/* Borrows both. Free with readers_free (readers that wait are dropped without an answer). */
struct readers *readers_new(struct loop *l, struct journal *j);
void readers_free(struct readers **rs);

/* Starts a reader. req and ns are borrowed until the answer. It may be answered within this call, and
 * then the result is NULL; else it is valid until the answer or reader_drop. */
struct reader *reader_start(struct readers *rs, const struct event_read_req *req, const char *ns,
    reader_answer_fn *answer, void *arg);
void reader_drop(struct reader **r);

/* These entries were just appended: answers who waits for one of them. */
void readers_wake(struct readers *rs, const struct outbox_entry_list *entries);

#endif
