/* SPDX-License-Identifier: Apache-2.0 */
/*
 * update - other limits for a living container: `runtime update`, one call after the other.
 *
 * Runtimes read their record of the container, change it, and set all of it: of two at once, each would undo
 * what the other one has set. So the head of the list is under way and the rest waits.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/fs.h"
#include "workers/task/shim/container.h"

#define FILE_NAME "coffer.resources"

struct update {
	struct update *next;
	struct task *task;
	struct ttrpc_request *rq;
	struct buf resources; /* only until it is its turn */
};

static void on_updated(void *arg, const struct err *e);

static int
check_state(const struct task *t, struct err *e)
{
	const struct proc *p = task_find(t, "");

	if (p == NULL)
		return err_set(e, ERR_NOT_FOUND, "container %s: not found", t->place->id);
	if (p->state != PROC_CREATED && p->state != PROC_STARTING && p->state != PROC_RUNNING)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    p->state == PROC_CREATING ? "the container is being created"
					      : "the container has ended");
	return 0;
}

static int
begin(struct update *u, struct err *e)
{
	struct task *t = u->task;
	const char *verb[] = { "update", "--resources", FILE_NAME, t->rt.id, NULL };

	if (check_state(t, e) < 0 ||
	    fs_write(AT_FDCWD, FILE_NAME, u->resources.data, u->resources.len, 0600, false, e) < 0)
		return -(int)e->code;
	buf_free(&u->resources);
	return runtime_call(&t->rt, verb, NULL, on_updated, u, e);
}

/* Answers the head of the list and takes it off. */
static void
finish(struct task *t, const struct err *e)
{
	struct update *u = t->updates;
	Google__Protobuf__Empty rep;

	(void)unlink(FILE_NAME);
	google__protobuf__empty__init(&rep);
	t->updates = u->next;
	if (e->code != ERR_NONE)
		ttrpc_fail(u->rq, e);
	else
		ttrpc_reply(u->rq, &rep.base);
	buf_free(&u->resources);
	free(u);
}

/* Begins with the head of the list, or the first one behind it that can be begun. */
static void
go_on(struct task *t)
{
	struct err e = ERR_ZERO;

	while (t->updates != NULL && begin(t->updates, &e) < 0) {
		finish(t, &e);
		e = ERR_ZERO;
	}
}

static void
on_updated(void *arg, const struct err *e)
{
	struct task *t = ((struct update *)arg)->task;

	finish(t, e);
	go_on(t);
}

void
container_update(struct task *t, struct ttrpc_request *rq, const void *resources, size_t n)
{
	struct update *u = xcalloc(1, sizeof(*u)), **last = &t->updates;

	*u = (struct update){ .task = t, .rq = rq, .resources = BUF_ZERO };
	(void)buf_add(&u->resources, resources, n);
	while (*last != NULL)
		last = &(*last)->next;
	*last = u;
	if (t->updates == u)
		go_on(t);
}
