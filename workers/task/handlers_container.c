/* SPDX-License-Identifier: Apache-2.0 */
/* handlers_container - container_create, container_list, container_get, container_delete. */
#include "workers/task/handlers.h"
#include "workers/task/step.h"

#include <string.h>

#define LIST_MAX 500

int
task_on_container_create(struct taskd *t, struct call *c, const struct container_create_req *req,
    struct container_rep *rep, struct err *e)
{
	int r = ident_check("container", req->id, e);

	(void)rep;
	if (r < 0)
		return r;
	make_container(t, c, req);
	return CALL_LATER;
}

int
task_on_container_delete(struct taskd *t, struct call *c, const struct container_delete_req *req,
    struct nothing *rep, struct err *e)
{
	int r = ident_check("container", req->id, e);

	(void)rep;
	if (r < 0)
		return r;
	drop_container(t, c, req);
	return CALL_LATER;
}

static struct task *
task_of(struct taskd *t, const char *ns, const char *id, struct arena *a)
{
	const struct proc *p = proc_find(box_find(t, ns, id), NULL);
	struct task *task;

	if (p == NULL)
		return NULL;
	task = arena_calloc(a, 1, sizeof(*task));
	proc_fill(p, a, task);
	return task;
}

int
task_on_container_get(struct taskd *t, struct call *c, const struct container_id_req *req,
    struct container_rep *rep, struct err *e)
{
	struct arena *a = call_arena(c);
	struct container_row row;
	int r;

	if ((r = ident_check("container", req->id, e)) < 0 ||
	    (r = container_read(t, call_ns(c), req->id, a, &row, e)) < 0 ||
	    (r = container_read_spec(t, call_ns(c), req->id, a, &row.container->spec, e)) < 0)
		return r;
	rep->container = row.container;
	rep->task = task_of(t, call_ns(c), req->id, a);
	return 0;
}

struct listing {
	struct taskd *t;
	struct call *c;
	const char *image;
	struct container_rep_list *to;
	uint32_t limit;
	bool more;
};

static int
list_one(void *arg, const struct container_row *row)
{
	struct listing *l = arg;
	struct container_rep *one;

	if (l->image != NULL &&
	    (row->container->image == NULL || strcmp(row->container->image, l->image) != 0))
		return 0;
	if (l->to->n == l->limit) {
		l->more = true;
		return 1;
	}
	one = &l->to->v[l->to->n++];
	one->container = row->container;
	one->task = task_of(l->t, call_ns(l->c), row->container->id, call_arena(l->c));
	return 0;
}

int
task_on_container_list(struct taskd *t, struct call *c, const struct container_list_req *req,
    struct container_list_rep *rep, struct err *e)
{
	struct listing l = { .t = t, .c = c, .image = req->image, .to = &rep->containers };
	int r;

	l.limit = req->limit == 0 || req->limit > LIST_MAX ? LIST_MAX : (uint32_t)req->limit;
	rep->containers.v = arena_calloc(call_arena(c), l.limit, sizeof(*rep->containers.v));
	r = containers_each(t, call_ns(c), req->after, call_arena(c), list_one, &l, e);
	rep->more = l.more;
	return r;
}
