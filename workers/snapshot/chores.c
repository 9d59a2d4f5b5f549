/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chores - what calls need children for beside unpacking: counting, copying, bringing to disk. A few at a
 * time; the others wait in line. Nothing of a chore outlives the worker: the call is sent again.
 */
#include <stdlib.h>

#include "lib/base/auto.h"
#include "workers/snapshot/snapshot.h"

#define AT_ONCE 4

struct chore {
	TAILQ_ENTRY(chore) link;
	struct snapshot_state *state;
	struct call *call;
	struct chore_ask ask;
	struct nursery_job *child;
};

static void
chore_free(struct chore *j)
{
	TAILQ_REMOVE(&j->state->chores, j, link);
	fd_close(&j->ask.folder);
	fd_close(&j->ask.file);
	free(j);
}

static void next(struct snapshot_state *s);

static void
chore_end(struct chore *j, const struct nursery_report *r, struct err *e)
{
	struct snapshot_state *s = j->state;
	struct chore_ask ask = j->ask;
	struct call *c = j->call;
	const void *rep = NULL;
	struct err ignored = ERR_ZERO;

	chore_free(j);
	call_enter(c);
	if (r == NULL)
		(void)ask.done(s, c, ask.arg, NULL, &rep, &ignored);
	else
		(void)ask.done(s, c, ask.arg, r, &rep, e);
	call_leave(c);
	if (e->code != ERR_NONE)
		call_fail(c, e);
	else
		call_reply(c, rep);
}

static void
on_report(void *arg, const struct nursery_report *r)
{
	struct chore *j = arg;
	struct snapshot_state *s = j->state;
	struct err e = ERR_ZERO;

	if (r->kind == NURSERY_PROGRESS)
		return;
	s->at_chores--;
	if (r->kind == NURSERY_FAILED)
		(void)err_set(&e, (enum err_code)r->code, "%s: %s", j->ask.what, r->message);
	chore_end(j, r->kind == NURSERY_DONE ? r : NULL, &e);
	next(s);
}

static void
next(struct snapshot_state *s)
{
	struct chore *j, *after;

	for (j = TAILQ_FIRST(&s->chores); j != NULL && s->at_chores < AT_ONCE; j = after) {
		struct nursery_order o = { .op = j->ask.op };
		struct nursery_fds fds = {
			.folder = j->ask.folder, .file = j->ask.file, .list = -1
		};
		struct err e = ERR_ZERO;

		after = TAILQ_NEXT(j, link);
		if (j->child != NULL)
			continue;
		if (nursery_run(s->nursery, &o, &fds, on_report, j, &j->child, &e) == 0) {
			s->at_chores++;
			continue;
		}
		(void)err_wrap(&e, "%s", j->ask.what);
		chore_end(j, NULL, &e);
	}
}

static void
next_later(void *arg)
{
	next(arg);
}

int
chore_add(struct snapshot_state *s, struct call *c, const struct chore_ask *ask)
{
	struct chore *j = xcalloc(1, sizeof(*j));

	*j = (struct chore){ .state = s, .call = c, .ask = *ask };
	TAILQ_INSERT_TAIL(&s->chores, j, link);
	/* Not from here: a call must not be answered before its handler has returned. */
	(void)loop_once(worker_loop(s->worker), 0, next_later, s);
	return CALL_LATER;
}

bool
chore_cancelled(struct snapshot_state *s, struct call *c)
{
	struct err ignored = ERR_ZERO;
	struct chore_ask ask;
	const void *rep;
	struct chore *j;

	TAILQ_FOREACH (j, &s->chores, link)
		if (j->call == c)
			break;
	if (j == NULL)
		return false;
	if (j->child != NULL) {
		nursery_cancel(&j->child);
		s->at_chores--;
	}
	ask = j->ask;
	chore_free(j);
	(void)ask.done(s, NULL, ask.arg, NULL, &rep, &ignored);
	next(s);
	return true;
}

void
chores_free(struct snapshot_state *s)
{
	struct chore *j;

	while ((j = TAILQ_FIRST(&s->chores)) != NULL)
		chore_free(j);
}
