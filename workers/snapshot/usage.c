/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage - counts the bytes of snapshots that are written to, in children: a few at a time, the others
 * wait in line.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/auto.h"
#include "workers/snapshot/snapshot.h"

#define COUNTING_MAX 2

struct usage_job {
	TAILQ_ENTRY(usage_job) link;
	struct snapshot_state *state;
	struct call *call;
	uint64_t number;
	struct nursery_job *child;
};

static void
usage_end(struct usage_job *j)
{
	TAILQ_REMOVE(&j->state->usages, j, link);
	free(j);
}

static void next(struct snapshot_state *s);

static void
on_report(void *arg, const struct nursery_report *r)
{
	struct usage_job *j = arg;
	struct snapshot_state *s = j->state;
	struct call *c = j->call;
	struct snapshot_usage_rep rep = { .size = r->bytes, .inodes = r->inodes };
	struct err e = ERR_ZERO;

	if (r->kind == NURSERY_PROGRESS)
		return;
	usage_end(j);
	s->counting--;
	next(s);
	if (r->kind == NURSERY_DONE) {
		call_reply(c, &rep);
		return;
	}
	(void)err_set(&e, (enum err_code)r->code, "count snapshot: %s", r->message);
	call_fail(c, &e);
}

static int
start(struct usage_job *j, struct err *e)
{
	AUTO(fd_close) int fd = overlay_fs(j->state->overlay, j->number);
	struct nursery_order o = { .op = NURSERY_COUNT };
	struct nursery_fds fds = { .folder = fd, .file = -1, .list = -1 };

	if (fd < 0)
		return err_sys(e, errno, "open the snapshot's folder");
	return nursery_run(j->state->nursery, &o, &fds, on_report, j, &j->child, e);
}

static void
next(struct snapshot_state *s)
{
	struct usage_job *j, *after;

	for (j = TAILQ_FIRST(&s->usages); j != NULL && s->counting < COUNTING_MAX; j = after) {
		struct err e = ERR_ZERO;
		struct call *c = j->call;

		after = TAILQ_NEXT(j, link);
		if (j->child != NULL)
			continue;
		if (start(j, &e) == 0) {
			s->counting++;
			continue;
		}
		usage_end(j);
		call_fail(c, &e);
	}
}

static void
next_later(void *arg)
{
	next(arg);
}

int
usage_count(struct snapshot_state *s, struct call *c, uint64_t number)
{
	struct usage_job *j = xcalloc(1, sizeof(*j));

	*j = (struct usage_job){ .state = s, .call = c, .number = number };
	TAILQ_INSERT_TAIL(&s->usages, j, link);
	/* Not from here: a call must not be answered before its handler has returned. */
	(void)loop_once(worker_loop(s->worker), 0, next_later, s);
	return CALL_LATER;
}

bool
usage_cancelled(struct snapshot_state *s, struct call *c)
{
	struct usage_job *j;

	TAILQ_FOREACH (j, &s->usages, link)
		if (j->call == c)
			break;
	if (j == NULL)
		return false;
	if (j->child != NULL) {
		nursery_cancel(&j->child);
		s->counting--;
	}
	usage_end(j);
	next(s);
	return true;
}

void
usage_free(struct snapshot_state *s)
{
	struct usage_job *j;

	while ((j = TAILQ_FIRST(&s->usages)) != NULL)
		usage_end(j);
}
