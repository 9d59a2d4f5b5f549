/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain - reads one actor's outbox into the journal, for ever.
 *
 *	asking --entries--> appended, readers woken --> asking (at once, with the next number)
 *	   |  error, or the journal cannot be written
 *	   v
 *	resting (100 ms, doubling up to 5 s) --> asking
 *
 * One outbox_read is outstanding per actor. The number it carries is the actor's leave to forget.
 */
#ifndef CF_EVENTS_DRAIN_H
#define CF_EVENTS_DRAIN_H

#include "bus/peer/client.h"
#include "lib/base/loop.h"
#include "workers/events/journal.h"
#include "workers/events/readers.h"

struct drain;

/* method: <actor>_outbox_read_method. Borrows all. Reads the actor's position; drain_begin starts. */
int drain_new(struct loop *l, struct client *c, struct journal *j, struct readers *rs,
    const struct method *method, struct drain **ret, struct err *e);
void drain_begin(struct drain *d);
void drain_free(struct drain **d);

/* What is done with an answer: into the journal, position moved, readers woken. An outbox that begins
 * again at a lower number (its store was replaced) is followed. */
int drain_take(struct drain *d, const struct outbox_entry_list *entries, struct err *e);
/* Number of the newest entry taken. */
uint64_t drain_after(const struct drain *d);

#endif
