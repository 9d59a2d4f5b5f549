/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover - what a new incarnation makes of the rows it finds.
 *
 *	row says		then
 *	created, running, ..	connect to its shim, ask State, leave a Wait; a dead shim is a death
 *	stopped			as it is; its shim is connected to, for the delete to come
 *	intent create		taken apart (run.c), before anything else may touch the container; of an
 *				exec: the row goes
 *	intent start		State decides
 *	fact deleted		events are told, the row goes
 *
 * No row at all, but told rows: the host was rebooted; see tells_orphans.
 */
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "workers/task/step.h"

static int
load_row(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct taskd *t = arg;
	const struct task_row *row = rec;
	struct proc *p;
	int r;

	(void)k;
	if (!ident_ok(row->ns) || !ident_ok(row->task->id) ||
	    (row->task->exec_id != NULL && !ident_ok(row->task->exec_id)))
		return 0; /* not written by us */
	p = proc_load(t, row);
	r = tells_owed(t, p, e);
	if (r == 0 && (p->facts & FACT_DELETED) != 0)
		proc_free(p); /* its row goes with its last event */
	return r;
}

/* Execs whose declaration was cut off are not there; a box without its process is not either. */
static void
tidy(struct taskd *t, struct box *b)
{
	struct err e = ERR_ZERO;

	for (struct proc *p = b->execs, *next; p != NULL; p = next) {
		next = p->next;
		if (p->intent != INTENT_CREATE && b->init != NULL)
			continue;
		if (proc_forget(t, b->ns, b->id, p->exec_id, p->incarnation, &e) < 0)
			log_warn("%s/%s %s: forget its row: %s", b->ns, b->id, p->exec_id, e.msg);
		proc_free(p);
	}
}

/* The end of a process whose row of "deleted" was written, but whose last events were told: the row
 * has nothing left to wait for. */
static int
drop_told(struct taskd *t, struct err *e)
{
	(void)e;
	if (t->tells != NULL)
		tells_flush(t);
	return 0;
}

int
recover_load(struct taskd *t, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct txn *txn = NULL;
	int r = store_read(t->tasks, &txn, e);

	if (r < 0)
		return r;
	r = store_each(txn, 0, NULL, NULL, &task_row_schema, &a, load_row, t, e);
	store_abort(&txn);
	if (r < 0 || (r = tells_orphans(t, e)) < 0)
		return r;
	for (unsigned i = 0; i < BOX_BUCKETS; i++)
		for (struct box *b = t->boxes[i], *next; b != NULL; b = next) {
			next = b->next;
			tidy(t, b);
			box_settle(b);
		}
	return drop_told(t, e);
}

static void
recover_box(struct box *b)
{
	if (b->init == NULL)
		return;
	if (b->init->intent == INTENT_CREATE)
		run_undo_left(b);
	else if (b->address[0] != '\0')
		shim_reconnect(b);
}

void
recover_begin(struct taskd *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BOX_BUCKETS; i++)
		for (struct box *b = t->boxes[i], *next; b != NULL; b = next) {
			next = b->next;
			recover_box(b);
			n++;
		}
	if (n > 0)
		log_info("found %u containers with a task", n);
}
