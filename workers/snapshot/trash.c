/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash - one child at a time empties the trash; what comes in meanwhile is for the next one. What could
 * not be removed is tried again with the next removal or start, and after a while: a second, then ever longer.
 */
#include <stdlib.h>
#include <sys/param.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "workers/snapshot/snapshot.h"

#define HANDLERS_PROTOTYPES_ONLY
#define ACTOR snapshot
#define ACTOR_DEF "schemas/snapshot.def"
#define ACTOR_STATE struct snapshot_state
#include "bus/worker/handlers.h"

#define RETRY_MAX_S 600u

/* A call that waits until the trash is empty. */
struct cleanup {
	TAILQ_ENTRY(cleanup) link;
	struct call *call;
};

static void
answer_all(struct snapshot_state *s, const struct err *e)
{
	struct cleanup *w;

	while ((w = TAILQ_FIRST(&s->cleanups)) != NULL) {
		struct call *c = w->call;
		struct nothing rep;

		TAILQ_REMOVE(&s->cleanups, w, link);
		free(w);
		if (e != NULL)
			call_fail(c, e);
		else
			call_reply(c, &rep);
	}
}

static void
try_again(void *arg)
{
	struct snapshot_state *s = arg;

	s->sweep_retry = NULL;
	trash_kick(s);
}

static void
failed(struct snapshot_state *s, struct err *e)
{
	(void)err_wrap(e, "empty the trash");
	log_warn("%s", e->msg);
	if (s->sweep_retry == NULL) {
		s->sweep_wait_s = MIN(MAX(1u, s->sweep_wait_s * 2), RETRY_MAX_S);
		s->sweep_retry = loop_once(
		    worker_loop(s->worker), s->sweep_wait_s * 1000, try_again, s);
	}
	answer_all(s, e);
}

static void
on_report(void *arg, const struct nursery_report *r)
{
	struct snapshot_state *s = arg;
	struct err e = ERR_ZERO;

	if (r->kind == NURSERY_PROGRESS)
		return;
	s->sweeping = NULL;
	if (r->kind == NURSERY_FAILED) {
		(void)err_set(&e, (enum err_code)r->code, "%s", r->message);
		failed(s, &e);
		return;
	}
	s->sweep_wait_s = 0;
	if (s->sweep_again)
		trash_kick(s);
	else
		answer_all(s, NULL);
}

void
trash_kick(struct snapshot_state *s)
{
	struct nursery_order o = { .op = NURSERY_EMPTY };
	struct nursery_fds fds = { .folder = shelf_trash_fd(s->shelf), .file = -1, .list = -1 };
	struct err e = ERR_ZERO;

	if (s->sweeping != NULL) {
		s->sweep_again = true;
		return;
	}
	s->sweep_again = false;
	if (shelf_trash_empty(s->shelf))
		answer_all(s, NULL);
	else if (nursery_run(s->nursery, &o, &fds, on_report, s, &s->sweeping, &e) < 0)
		failed(s, &e);
}

static void
kick_later(void *arg)
{
	trash_kick(arg);
}

int
snapshot_on_snapshot_cleanup(struct snapshot_state *s, struct call *c, const struct nothing *req,
    struct nothing *rep, struct err *e)
{
	struct cleanup *w = xcalloc(1, sizeof(*w));

	(void)req;
	(void)rep;
	(void)e;
	w->call = c;
	TAILQ_INSERT_TAIL(&s->cleanups, w, link);
	/* Not from here: a call must not be answered before its handler has returned. */
	(void)loop_once(worker_loop(s->worker), 0, kick_later, s);
	return CALL_LATER;
}

bool
trash_cancelled(struct snapshot_state *s, struct call *c)
{
	struct cleanup *w;

	TAILQ_FOREACH (w, &s->cleanups, link)
		if (w->call == c) {
			TAILQ_REMOVE(&s->cleanups, w, link);
			free(w);
			return true;
		}
	return false;
}

void
trash_free(struct snapshot_state *s)
{
	struct cleanup *w;

	while ((w = TAILQ_FIRST(&s->cleanups)) != NULL) {
		TAILQ_REMOVE(&s->cleanups, w, link);
		free(w);
	}
}
