/* SPDX-License-Identifier: Apache-2.0 */
/* tasks - see tasks.h */
#include "workers/task/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "lib/ttrpc/ttrpc.h"
#include "workers/task/shims.h"
#include "workers/task/tells.h"

static const char *const status_texts[] = { "unknown", "created", "running", "paused", "stopped" };
static const char *const intent_texts[] = { NULL, "create", "start", "delete" };

const char *
status_text(enum status s)
{
	return status_texts[s];
}

static unsigned
index_of(const char *const *texts, unsigned n, const char *text)
{
	for (unsigned i = 0; text != NULL && i < n; i++)
		if (texts[i] != NULL && strcmp(texts[i], text) == 0)
			return i;
	return 0;
}

/* --- boxes ---------------------------------------------------------------------------------------- */

static struct box **
box_slot(struct taskd *t, const char *ns, const char *id)
{
	uint32_t h = 2166136261u; /* FNV-1a */
	struct box **at;

	for (const char *p = ns; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	for (const char *p = id; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	at = &t->boxes[h % BOX_BUCKETS];
	while (*at != NULL && (strcmp((*at)->id, id) != 0 || strcmp((*at)->ns, ns) != 0))
		at = &(*at)->next;
	return at;
}

struct box *
box_find(struct taskd *t, const char *ns, const char *id)
{
	return *box_slot(t, ns, id);
}

struct box *
box_get(struct taskd *t, const char *ns, const char *id)
{
	struct box **at = box_slot(t, ns, id);

	if (*at == NULL) {
		struct box *b = xcalloc(1, sizeof(*b));

		MUST(strlen(ns) < sizeof(b->ns) && strlen(id) < sizeof(b->id));
		b->t = t;
		(void)snprintf(b->ns, sizeof(b->ns), "%s", ns);
		(void)snprintf(b->id, sizeof(b->id), "%s", id);
		*at = b;
	}
	return *at;
}

static void
box_free(struct box *b)
{
	struct box **at = box_slot(b->t, b->ns, b->id);

	MUST(*at == b);
	*at = b->next;
	shim_drop(b);
	free(b);
}

void
box_settle(struct box *b)
{
	if (b->init == NULL && b->execs == NULL && b->ops == NULL && b->free_ops == 0 &&
	    b->shim_waiters == NULL)
		box_free(b);
}

void
box_free_all(struct taskd *t)
{
	for (unsigned i = 0; i < BOX_BUCKETS; i++)
		while (t->boxes[i] != NULL) {
			struct box *b = t->boxes[i];

			shim_drop(b);
			while (b->execs != NULL)
				proc_free(b->execs);
			if (b->init != NULL)
				proc_free(b->init);
			box_free(b);
		}
}

/* --- processes ------------------------------------------------------------------------------------ */

struct proc *
proc_find(struct box *b, const char *exec_id)
{
	struct proc *p;

	if (b == NULL || exec_id == NULL || exec_id[0] == '\0')
		return b == NULL ? NULL : b->init;
	for (p = b->execs; p != NULL && strcmp(p->exec_id, exec_id) != 0; p = p->next)
		;
	return p;
}

struct proc *
proc_new(struct box *b, const char *exec_id)
{
	struct proc *p = xcalloc(1, sizeof(*p));

	p->box = b;
	ident_random(p->incarnation, 8);
	if (exec_id == NULL || exec_id[0] == '\0') {
		MUST(b->init == NULL);
		b->init = p;
		return p;
	}
	(void)snprintf(p->exec_id, sizeof(p->exec_id), "%s", exec_id);
	p->next = b->execs;
	b->execs = p;
	return p;
}

static void
waiters_call(struct proc *p)
{
	while (p->waiters != NULL) {
		struct waiter *w = p->waiters;

		p->waiters = w->next;
		w->fn(w->arg);
	}
}

void
proc_free(struct proc *p)
{
	struct proc **at = &p->box->execs;

	waiters_call(p);
	if (p->wait_call != 0 && p->box->client != NULL)
		ttrpc_forget(p->box->client, p->wait_call);
	if (p->box->init == p)
		p->box->init = NULL;
	while (*at != NULL && *at != p)
		at = &(*at)->next;
	if (*at == p)
		*at = p->next;
	free(p->reason);
	free(p);
}

bool
proc_alive(const struct proc *p)
{
	return p->status == STATUS_CREATED || p->status == STATUS_RUNNING ||
	       p->status == STATUS_PAUSED;
}

/* --- rows ----------------------------------------------------------------------------------------- */

void
proc_key(struct key *k, const char *ns, const char *id, const char *exec_id)
{
	char name[2 * IDENT_MAX + 2];

	if (exec_id == NULL || exec_id[0] == '\0')
		(void)snprintf(name, sizeof(name), "%s", id);
	else
		(void)snprintf(name, sizeof(name), "%s/%s", id, exec_id);
	store_key(k, ns, name);
}

void
proc_fill(const struct proc *p, struct arena *a, struct task *ret)
{
	const struct box *b = p->box;
	size_t n = strlen(b->address);

	*ret = (struct task){ .id = arena_strdup(a, b->id),
		.pid = p->status == STATUS_STOPPED ? 0 : p->pid,
		.status = status_text(p->status),
		.exit_status = p->exit_status,
		.started_at = p->started_at,
		.exited_at = p->exited_at };
	if (p->exec_id[0] != '\0')
		ret->exec_id = arena_strdup(a, p->exec_id);
	if (p->reason != NULL)
		ret->reason = arena_strdup(a, p->reason);
	/* Only our shim has these; its socket's name says that it is ours. */
	if (strcmp(b->shim, SHIM_DEFAULT) != 0 || n < 5 || strcmp(b->address + n - 5, ".sock") != 0)
		return;
	ret->attach = arena_printf(a, "%.*s.attach", (int)(n - 5), b->address);
	if (p->exec_id[0] == '\0')
		ret->log = arena_printf(a, "%s/logs/%s/%s/log", b->t->root, b->ns, b->id);
}

int
proc_put(const struct proc *p, struct txn *t, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct box *b = p->box;
	struct task task;
	struct task_row row = { .ns = b->ns,
		.task = &task,
		.incarnation = p->incarnation,
		.facts = p->facts,
		.intent = intent_texts[p->intent],
		.request = p->request[0] == '\0' ? NULL : p->request,
		.shim = b->shim,
		.address = b->address,
		.tty = p->tty };
	struct key k;

	proc_fill(p, &a, &task);
	task.pid = p->pid;
	task.attach = task.log = NULL; /* follow from the address */
	proc_key(&k, b->ns, b->id, p->exec_id);
	return store_put(t, 0, &k, &task_row_schema, &row, e);
}

int
proc_save(const struct proc *p, struct err *e)
{
	AUTO(store_abort) struct txn *txn = NULL;
	int r = store_write(p->box->t->tasks, &txn, e);

	if (r == 0)
		r = proc_put(p, txn, e);
	return r == 0 ? store_commit(&txn, e) : r;
}

int
proc_forget(struct taskd *t, const char *ns, const char *id, const char *exec_id,
    const char *incarnation, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *txn = NULL;
	struct task_row row;
	struct key k;
	int r = store_write(t->tasks, &txn, e);

	if (r < 0)
		return r;
	proc_key(&k, ns, id, exec_id);
	if (!store_has(txn, 0, &k))
		return 0;
	r = store_get(txn, 0, &k, &task_row_schema, &a, &row, e);
	if (r < 0 || strcmp(row.incarnation, incarnation) != 0)
		return r; /* of a later one of the name */
	r = store_del(txn, 0, &k, e);
	return r == 0 ? store_commit(&txn, e) : r;
}

struct proc *
proc_load(struct taskd *t, const struct task_row *row)
{
	const struct task *task = row->task;
	struct box *b = box_get(t, row->ns, task->id);
	struct proc *p = proc_new(b, task->exec_id);

	(void)snprintf(p->incarnation, sizeof(p->incarnation), "%s", row->incarnation);
	(void)snprintf(
	    p->request, sizeof(p->request), "%s", row->request == NULL ? "" : row->request);
	p->status = index_of(status_texts, COUNT(status_texts), task->status);
	p->intent = index_of(intent_texts, COUNT(intent_texts), row->intent);
	p->facts = row->facts;
	p->pid = task->pid;
	p->exit_status = task->exit_status;
	p->started_at = task->started_at;
	p->exited_at = task->exited_at;
	p->reason = task->reason == NULL ? NULL : xstrdup(task->reason);
	p->tty = row->tty;
	if (p->exec_id[0] == '\0') {
		(void)snprintf(b->shim, sizeof(b->shim), "%s", row->shim == NULL ? "" : row->shim);
		(void)snprintf(
		    b->address, sizeof(b->address), "%s", row->address == NULL ? "" : row->address);
	}
	return p;
}

/* --- ends ----------------------------------------------------------------------------------------- */

void
proc_exit(struct proc *p, uint64_t exit_status, int64_t exited_at, const char *reason)
{
	struct err e = ERR_ZERO;

	/* What was never said to be created does not end: its create fails and takes it away. */
	if (p->status == STATUS_STOPPED || (p->facts & FACT_CREATED) == 0)
		return;
	if (p->starting) {
		p->exit_held = true;
		p->held_status = exit_status;
		p->held_at = exited_at;
		return;
	}
	p->status = STATUS_STOPPED;
	p->exit_status = exit_status;
	p->exited_at = exited_at > 0 ? exited_at : clock_real_ns();
	if (reason != NULL && p->reason == NULL)
		p->reason = xstrdup(reason);
	p->facts |= FACT_EXITED;
	if (proc_save(p, &e) < 0)
		log_error("%s/%s: store its exit: %s", p->box->ns, p->box->id, e.msg);
	FAULT_POINT("task.exit.stored");
	tell_fact(p, FACT_EXITED);
	waiters_call(p);
}

void
proc_start_known(struct proc *p)
{
	p->starting = false;
	if (!p->exit_held)
		return;
	p->exit_held = false;
	proc_exit(p, p->held_status, p->held_at, NULL);
}

void
proc_wait(struct proc *p, struct waiter *w)
{
	struct waiter **at = &p->waiters;

	if (p->status == STATUS_STOPPED) {
		w->fn(w->arg);
		return;
	}
	while (*at != NULL)
		at = &(*at)->next;
	w->next = NULL;
	*at = w;
}

void
proc_unwait(struct proc *p, struct waiter *w)
{
	struct waiter **at = &p->waiters;

	while (*at != NULL && *at != w)
		at = &(*at)->next;
	if (*at == w)
		*at = w->next;
}
