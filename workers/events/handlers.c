/* SPDX-License-Identifier: Apache-2.0 */
/* handlers - the methods of actor events. */
#include "workers/events/events.h"

#define HANDLERS_PROTOTYPES_ONLY
#define ACTOR events
#define ACTOR_DEF "schemas/events.def"
#define ACTOR_STATE struct events
#include "bus/worker/handlers.h"

static void
on_answer(void *arg, const struct event_read_rep *rep, const struct err *e)
{
	struct call *c = arg;

	if (rep == NULL)
		call_fail(c, e);
	else
		call_reply(c, rep);
}

int
events_on_event_read(struct events *ev, struct call *c, const struct event_read_req *req,
    struct event_read_rep *rep, struct err *e)
{
	struct reader *r = reader_start(ev->readers, req, call_ns(c), on_answer, c);

	(void)rep;
	(void)e;
	if (r != NULL) /* else c is answered, and gone */
		call_note_set(c, r);
	return CALL_LATER;
}
