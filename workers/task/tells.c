/* SPDX-License-Identifier: Apache-2.0 */
/* tells - see tells.h */
#include "workers/task/tells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "workers/task/containers.h"

struct tell {
	struct tell *next;
	enum fact fact;	   /* 0: topic says what it is */
	const char *topic; /* a literal; NULL: no event, only the note */
	char incarnation[33];
	char ns[IDENT_MAX + 1], id[IDENT_MAX + 1], exec_id[IDENT_MAX + 1];
	uint64_t pid, exit_status;
	int64_t exited_at;
};

struct told_gone {
	struct told_gone *next;
	struct key key;
	char incarnation[33];
};

static void
on_timer(void *arg)
{
	struct taskd *t = arg;

	t->tell_timer = NULL;
	tells_flush(t);
}

static void
push(struct taskd *t, struct tell *tell)
{
	if (t->tells_end == NULL || t->tells == NULL)
		t->tells_end = &t->tells;
	*t->tells_end = tell;
	t->tells_end = &tell->next;
	if (t->tell_timer == NULL && t->loop != NULL)
		t->tell_timer = loop_once(t->loop, TELL_MS, on_timer, t);
}

static struct tell *
tell_new(const struct proc *p, enum fact fact, const char *topic)
{
	const struct box *b = p->box;
	struct tell *tell = xcalloc(1, sizeof(*tell));

	tell->fact = fact;
	tell->topic = topic;
	(void)snprintf(tell->incarnation, sizeof(tell->incarnation), "%s", p->incarnation);
	(void)snprintf(tell->ns, sizeof(tell->ns), "%s", b->ns);
	(void)snprintf(tell->id, sizeof(tell->id), "%s", b->id);
	(void)snprintf(tell->exec_id, sizeof(tell->exec_id), "%s", p->exec_id);
	tell->pid = p->pid;
	tell->exit_status = p->exit_status;
	tell->exited_at = p->exited_at;
	return tell;
}

static const char *
topic_of(enum fact fact, bool exec)
{
	switch (fact) {
	case FACT_CREATED:
		return exec ? "/tasks/exec-added" : "/tasks/create";
	case FACT_STARTED:
		return exec ? "/tasks/exec-started" : "/tasks/start";
	case FACT_EXITED:
		return "/tasks/exit";
	case FACT_DELETED:
		return exec ? NULL : "/tasks/delete"; /* as containerd: an exec just goes */
	}
	return NULL;
}

void
tell_fact(struct proc *p, enum fact fact)
{
	push(p->box->t, tell_new(p, fact, topic_of(fact, p->exec_id[0] != '\0')));
}

void
tell_topic(struct proc *p, const char *topic)
{
	push(p->box->t, tell_new(p, 0, topic));
}

static int
event_put(const struct tell *l, struct txn *txn, struct err *e)
{
	if (l->topic == NULL)
		return 0;
	if (l->fact == FACT_EXITED || l->fact == FACT_DELETED) {
		struct ev_task_exit ev = { .container_id = l->id,
			.id = l->exec_id[0] != '\0' ? l->exec_id : l->id,
			.pid = l->pid,
			.exit_status = l->exit_status,
			.exited_at = l->exited_at };

		return store_event(txn, l->ns, l->topic, &ev, e);
	}
	struct ev_task ev = { .container_id = l->id,
		.exec_id = l->exec_id[0] != '\0' ? l->exec_id : NULL,
		.pid = l->pid };

	return store_event(txn, l->ns, l->topic, &ev, e);
}

/* Notes the fact; false in *fresh when it was noted before. */
static int
note_put(const struct tell *l, struct txn *txn, bool *fresh, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct told_row row = { .told = 0 };
	struct key k;
	int r;

	*fresh = true;
	if (l->fact == 0)
		return 0;
	proc_key(&k, l->ns, l->id, l->exec_id);
	if (store_has(txn, TABLE_TOLD, &k) &&
	    (r = store_get(txn, TABLE_TOLD, &k, &told_row_schema, &a, &row, e)) < 0)
		return r;
	if (row.incarnation == NULL || strcmp(row.incarnation, l->incarnation) != 0)
		row.told = 0;
	*fresh = (row.told & l->fact) == 0;
	row = (struct told_row){ .incarnation = l->incarnation,
		.told = row.told | l->fact,
		.ns = l->ns,
		.id = l->id,
		.exec_id = l->exec_id[0] != '\0' ? l->exec_id : NULL,
		.pid = l->pid };
	return store_put(txn, TABLE_TOLD, &k, &told_row_schema, &row, e);
}

/* Notes of processes whose rows are gone; nothing refers to them any more. */
static int
gone_drop(struct taskd *t, struct txn *txn, struct err *e)
{
	int r = 0;

	for (struct told_gone *g = t->gone; g != NULL && r == 0; g = g->next) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		struct told_row row;

		if (!store_has(txn, TABLE_TOLD, &g->key))
			continue;
		r = store_get(txn, TABLE_TOLD, &g->key, &told_row_schema, &a, &row, e);
		if (r == 0 && strcmp(row.incarnation, g->incarnation) == 0)
			r = store_del(txn, TABLE_TOLD, &g->key, e);
	}
	return r;
}

int
tells_write(struct taskd *t, struct txn *txn, struct err *e)
{
	int r = gone_drop(t, txn, e);

	for (struct tell *l = t->tells; l != NULL && r == 0; l = l->next) {
		bool fresh;

		r = note_put(l, txn, &fresh, e);
		if (r == 0 && fresh)
			r = event_put(l, txn, e);
	}
	return r;
}

static void
gone_add(struct taskd *t, const struct tell *l)
{
	struct told_gone *g = xcalloc(1, sizeof(*g));

	proc_key(&g->key, l->ns, l->id, l->exec_id);
	(void)snprintf(g->incarnation, sizeof(g->incarnation), "%s", l->incarnation);
	g->next = t->gone;
	t->gone = g;
}

void
tells_written(struct taskd *t)
{
	struct err e = ERR_ZERO;

	while (t->gone != NULL) {
		struct told_gone *g = t->gone;

		t->gone = g->next;
		free(g);
	}
	while (t->tells != NULL) {
		struct tell *l = t->tells;

		t->tells = l->next;
		if (l->fact == FACT_DELETED) {
			if (proc_forget(t, l->ns, l->id, l->exec_id, l->incarnation, &e) < 0)
				log_warn("%s/%s: forget its row: %s", l->ns, l->id, e.msg);
			gone_add(t, l);
		}
		free(l);
	}
	t->tells_end = &t->tells;
	loop_del(&t->tell_timer);
}

void
tells_flush(struct taskd *t)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct err e = ERR_ZERO;

	if (t->tells == NULL)
		return;
	if (store_write(t->containers, &txn, &e) == 0 && tells_write(t, txn, &e) == 0 &&
	    store_commit(&txn, &e) == 0) {
		FAULT_POINT("task.tells.committed");
		tells_written(t);
		if (t->w != NULL)
			worker_outbox_wake(t->w);
		return;
	}
	/* A full disk, most likely: they stay queued and, as facts, in the rows. */
	log_error("events of tasks could not be stored, will try again: %s", e.msg);
	if (t->tell_timer == NULL && t->loop != NULL)
		t->tell_timer = loop_once(t->loop, 1000, on_timer, t);
}

bool
tells_pending(struct taskd *t, const char *ns, const char *id)
{
	for (const struct tell *l = t->tells; l != NULL; l = l->next)
		if (strcmp(l->id, id) == 0 && strcmp(l->ns, ns) == 0)
			return true;
	return false;
}

void
tells_free(struct taskd *t)
{
	loop_del(&t->tell_timer);
	while (t->tells != NULL) {
		struct tell *l = t->tells;

		t->tells = l->next;
		free(l);
	}
	while (t->gone != NULL) {
		struct told_gone *g = t->gone;

		t->gone = g->next;
		free(g);
	}
}

int
tells_owed(struct taskd *t, struct proc *p, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *txn = NULL;
	struct told_row row = { .told = 0 };
	struct key k;
	int r = store_read(t->containers, &txn, e);

	if (r < 0)
		return r;
	proc_key(&k, p->box->ns, p->box->id, p->exec_id);
	if (store_has(txn, TABLE_TOLD, &k) &&
	    (r = store_get(txn, TABLE_TOLD, &k, &told_row_schema, &a, &row, e)) < 0)
		return r;
	if (row.incarnation == NULL || strcmp(row.incarnation, p->incarnation) != 0)
		row.told = 0;
	for (unsigned fact = FACT_CREATED; fact <= FACT_DELETED; fact <<= 1)
		if ((p->facts & fact) != 0 && (row.told & fact) == 0)
			tell_fact(p, fact);
	return 0;
}

struct orphans {
	struct taskd *t;
	struct txn *txn; /* of the rows on tmpfs */
};

static int
orphan(void *arg, const struct key *k, void *rec, struct err *e)
{
	const struct orphans *o = arg;
	const struct told_row *row = rec;
	struct tell *l;

	(void)e;
	if (store_has(o->txn, 0, k))
		return 0; /* tells_owed saw it */
	for (unsigned fact = FACT_EXITED; fact <= FACT_DELETED; fact <<= 1) {
		bool exec = row->exec_id != NULL;

		/* The note of the end is made again when it was there: that drops the row. */
		if ((row->told & fact) != 0 && fact != FACT_DELETED)
			continue;
		l = xcalloc(1, sizeof(*l));
		l->fact = fact;
		l->topic = topic_of(fact, exec);
		(void)snprintf(l->incarnation, sizeof(l->incarnation), "%s", row->incarnation);
		(void)snprintf(l->ns, sizeof(l->ns), "%s", row->ns);
		(void)snprintf(l->id, sizeof(l->id), "%s", row->id);
		(void)snprintf(l->exec_id, sizeof(l->exec_id), "%s", exec ? row->exec_id : "");
		l->pid = row->pid;
		l->exit_status = EXIT_KILLED;
		l->exited_at = clock_real_ns();
		push(o->t, l);
	}
	return 0;
}

int
tells_orphans(struct taskd *t, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *txn = NULL, *rows = NULL;
	struct orphans o = { .t = t };
	int r = store_read(t->containers, &txn, e);

	if (r < 0 || (r = store_read(t->tasks, &rows, e)) < 0)
		return r;
	o.txn = rows;
	return store_each(txn, TABLE_TOLD, NULL, NULL, &told_row_schema, &a, orphan, &o, e);
}
