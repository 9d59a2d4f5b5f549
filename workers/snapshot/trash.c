/* SPDX-License-Identifier: Apache-2.0 */
/* trash - one child at a time empties the trash; what comes in meanwhile is for the next one. */
#include "lib/base/log.h"
#include "workers/snapshot/snapshot.h"

static void
on_report(void *arg, const struct nursery_report *r)
{
	struct snapshot_state *s = arg;

	if (r->kind == NURSERY_PROGRESS)
		return;
	s->sweeping = NULL;
	if (r->kind == NURSERY_FAILED) /* tried again with the next removal or start */
		log_warn("empty the trash: %s", r->message);
	else if (s->sweep_again)
		trash_kick(s);
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
		return;
	if (nursery_run(s->nursery, &o, &fds, on_report, s, &s->sweeping, &e) < 0)
		log_warn("empty the trash: %s", e.msg);
}
