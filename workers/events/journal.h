/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal - all events of all actors in one order: a ring on disk, numbered from 1 without gaps.
 *
 * Owns ROOT/events/db. One transaction appends what was read from an actor's outbox and notes how far
 * that was, so each entry is in the journal exactly once whatever is killed when. The ring is bounded
 * by number and by bytes; the oldest go first.
 */
#ifndef CF_EVENTS_JOURNAL_H
#define CF_EVENTS_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

struct journal;

/* Opens or makes the journal in folder path. At most max_events events and max_bytes bytes are kept
 * (both at least 1; a shrunk ring is emptied step by step). Errors as store_open. */
int journal_open(
    const char *path, uint64_t max_events, uint64_t max_bytes, struct journal **ret, struct err *e);
void journal_close(struct journal **j);

/* The ring holds the numbers [first, next). */
uint64_t journal_first(const struct journal *j);
uint64_t journal_next(const struct journal *j);

/* Number of the newest entry of this actor's outbox that is in the journal, 0 for none. */
int journal_position(struct journal *j, const char *actor, uint64_t *ret, struct err *e);

/* Appends the entries and notes the number of the last one as the actor's position; durable when it
 * returns 0, nothing has happened when it fails. */
int journal_append(
    struct journal *j, const char *actor, const struct outbox_entry_list *entries, struct err *e);

/* Whether an event is wanted. */
typedef bool journal_match_fn(void *arg, const char *ns, const char *topic);

/* Up to limit events from number `from` on that match, in a. Looks at a bounded number of events: goes
 * on at *ret_next (journal_next when the end was seen). from below the ring starts at its first. */
int journal_read(struct journal *j, uint64_t from, unsigned limit, journal_match_fn *match,
    void *arg, struct arena *a, struct event_list *ret, uint64_t *ret_next, struct err *e);

#endif
