/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer-events - the actor that keeps the journal: reads the others' outboxes, answers event_read.
 *
 * Options (section [events] of the config): journal-events, journal-bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/auto.h"
#include "workers/events/events.h"

#define ACTOR events
#define ACTOR_DEF "schemas/events.def"
#define ACTOR_STATE struct events
#include "bus/worker/handlers.h"

#define JOURNAL_EVENTS 100000
#define JOURNAL_BYTES (64ull << 20)

static int
number_option(struct worker *w, const char *key, uint64_t preset, uint64_t *ret, struct err *e)
{
	const char *text = worker_option(w, key);
	unsigned long long n;
	char *end;

	*ret = preset;
	if (text == NULL)
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n == 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "option %s of section events: \"%s\" is not a number of 1 or more", key, text);
	*ret = n;
	return 0;
}

static int
events_open(struct worker *w, void **ret_state, struct err *e)
{
	(void)w;
	(void)e;
	*ret_state = xcalloc(1, sizeof(struct events));
	return 0;
}

static int
events_start(struct worker *w, void *state, struct err *e)
{
	static const struct method *const outboxes[EVENTS_DRAINS] = { &content_outbox_read_method,
		&snapshot_outbox_read_method, &task_outbox_read_method };
	struct events *ev = state;
	AUTO(free_ptr) char *path = xasprintf("%s/events/db", worker_root(w));
	uint64_t most, bytes;
	int r;

	r = number_option(w, "journal-events", JOURNAL_EVENTS, &most, e);
	if (r == 0)
		r = number_option(w, "journal-bytes", JOURNAL_BYTES, &bytes, e);
	if (r == 0)
		r = journal_open(path, most, bytes, &ev->journal, e);
	if (r < 0)
		return r;
	ev->readers = readers_new(worker_loop(w), ev->journal);
	for (unsigned i = 0; i < EVENTS_DRAINS && r == 0; i++)
		r = drain_new(worker_loop(w), worker_client(w), ev->journal, ev->readers,
		    outboxes[i], &ev->drains[i], e);
	return r;
}

static void
events_ready(struct worker *w, void *state)
{
	struct events *ev = state;

	(void)w;
	for (unsigned i = 0; i < EVENTS_DRAINS; i++)
		drain_begin(ev->drains[i]);
}

static void
events_cancelled(void *state, struct call *c)
{
	struct reader *r = call_note(c);

	(void)state;
	reader_drop(&r);
}

static void
events_close(void *state)
{
	struct events *ev = state;

	for (unsigned i = 0; i < EVENTS_DRAINS; i++)
		drain_free(&ev->drains[i]);
	readers_free(&ev->readers);
	journal_close(&ev->journal);
	free(ev);
}

int
main(int argc, char **argv)
{
	static const struct worker_spec spec = { .proc = PROC_EVENTS,
		.methods = events_methods,
		.thunks = events_thunks,
		.nmethods = COUNT(events_thunks),
		.open = events_open,
		.start = events_start,
		.ready = events_ready,
		.close = events_close,
		.cancelled = events_cancelled };

	return worker_main(argc, argv, &spec);
}
