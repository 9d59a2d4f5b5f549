/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer-task - the task actor: containers, tasks and execs. See README.md.
 *
 * Order: nothing privileged is opened; both stores, then the rows into memory (start), then, once the
 * supervisor has heard READY, shims are connected to and unfinished things undone (ready).
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "workers/task/runtimes.h"
#include "workers/task/task.h"
#include "workers/task/tells.h"
#include "workers/task/ops.h"

#define ACTOR task
#define ACTOR_DEF "schemas/task.def"
#define ACTOR_STATE struct taskd
#include "bus/worker/handlers.h"

static int
task_open(struct worker *w, void **ret_state, struct err *e)
{
	struct taskd *t = xcalloc(1, sizeof(*t));

	(void)e;
	t->w = w;
	t->loop = worker_loop(w);
	*ret_state = t;
	return 0;
}

static void
supervisor_gone(void *arg)
{
	struct taskd *t = arg;

	worker_stop(t->w, 0);
}

static int
task_start(struct worker *w, void *state, struct err *e)
{
	struct taskd *t = state;
	int r = taskd_open_stores(t, worker_root(w), worker_state(w), e);

	if (r < 0)
		return r;
	/* Outboxes are read from the first, so that is the durable one. */
	worker_store(w, t->containers);
	worker_store(w, t->tasks);
	t->bus = worker_client(w);
	t->orders = orders_new(t->loop, CONTROL_FD, supervisor_gone, t);
	if (t->orders == NULL)
		return err_sys(e, errno, "watch the supervisor's socket");
	t->runtimes = runtimes_new(t);
	return recover_load(t, e);
}

static void
task_ready(struct worker *w, void *state)
{
	struct taskd *t = state;

	(void)w;
	runtimes_probe(t->runtimes);
	recover_begin(t);
}

static void
task_close(void *state)
{
	struct taskd *t = state;

	if (t->containers != NULL && t->tasks != NULL)
		tells_flush(t);
	tells_free(t);
	box_free_all(t);
	runtimes_free(&t->runtimes);
	orders_free(&t->orders);
	taskd_close_stores(t);
	free(t);
}

static const struct worker_spec spec = {
	.proc = PROC_TASK,
	.methods = task_methods,
	.thunks = task_thunks,
	.nmethods = COUNT(task_thunks),
	.open = task_open,
	.start = task_start,
	.ready = task_ready,
	.close = task_close,
	.cancelled = op_cancelled,
};

int
main(int argc, char **argv)
{
	return worker_main(argc, argv, &spec);
}
