/* SPDX-License-Identifier: Apache-2.0 */
/* ops - see ops.h */
#include "workers/task/ops.h"

#include <stdlib.h>

#include "bus/wire/wire.h"
#include "lib/base/auto.h"

struct op *
op_new(struct taskd *t, struct call *c, const char *ns, const char *id, const char *what,
    void (*run)(struct op *op), size_t size)
{
	struct op *op = xcalloc(1, sizeof(*op));

	op->t = t;
	op->box = box_get(t, ns, id);
	op->call = c;
	op->asked = c != NULL;
	op->what = what;
	op->run = run;
	op->state = arena_calloc(&op->arena, 1, size > 0 ? size : 1);
	if (c != NULL)
		call_note_set(c, op);
	return op;
}

static void
begin(struct op *op)
{
	struct err e = ERR_ZERO;

	op->began = true;
	if (op->asked && op->call == NULL) { /* its caller went before it was its turn */
		(void)err_set(&e, ERR_CANCELLED, "cancelled");
		op_fail(op, &e);
		return;
	}
	op->run(op);
}

void
op_queue(struct op *op)
{
	struct op **at = &op->box->ops;
	bool first = *at == NULL;

	op->queued = true;
	while (*at != NULL)
		at = &(*at)->next;
	*at = op;
	if (first)
		begin(op);
}

void
op_queue_first(struct op *op)
{
	struct op **at = &op->box->ops;

	if (*at == NULL) {
		op_queue(op);
		return;
	}
	op->queued = true;
	at = &(*at)->next;
	op->next = *at;
	*at = op;
}

void
op_go(struct op *op)
{
	op->box->free_ops++;
	begin(op);
}

static void
op_end(struct op *op)
{
	struct box *b = op->box;

	if (op->queued) {
		MUST(b->ops == op);
		b->ops = op->next;
	} else {
		b->free_ops--;
	}
	arena_free(&op->arena);
	if (op->queued && b->ops != NULL) {
		free(op);
		begin(b->ops);
		return;
	}
	free(op);
	box_settle(b);
}

void
op_reply(struct op *op, const void *rep)
{
	struct nothing nothing;

	if (op->call != NULL)
		call_reply(op->call, rep == NULL ? &nothing : rep);
	op_end(op);
}

void
op_fail(struct op *op, const struct err *e)
{
	if (op->call != NULL)
		call_fail(op->call, e);
	op_end(op);
}

int
op_commit(struct op *op, struct txn **txn, const void *rep, struct err *e)
{
	struct nothing nothing;

	if (op->call != NULL)
		return call_commit(op->call, txn, rep == NULL ? &nothing : rep, e);
	return store_commit(txn, e);
}

void
op_cancelled(void *state, struct call *c)
{
	struct op *op = call_note(c);

	(void)state;
	if (op == NULL)
		return;
	op->call = NULL;
	if (op->cancel != NULL)
		op->cancel(op);
}

void *
record_copy(const struct schema *s, const void *rec, struct arena *a)
{
	void *copy = arena_calloc(a, 1, s->size);

	wire_copy(s, rec, a, copy);
	return copy;
}
