/* SPDX-License-Identifier: Apache-2.0 */
/* handlers_container - container_create, container_list, container_get, container_delete. */
#include "workers/task/handlers.h"
#include "workers/task/step.h"

#include <string.h>

#include "lib/filter/page.h"

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
	const char *image;
	struct page page;
	struct err *e;
};

static int
list_one(void *arg, const struct container_row *row)
{
	struct listing *l = arg;

	if (l->image != NULL &&
	    (row->container->image == NULL || strcmp(row->container->image, l->image) != 0))
		return 0;
	return page_take(&l->page, row->container, l->e);
}

int
task_on_container_list(struct taskd *t, struct call *c, const struct container_list_req *req,
    struct container_list_rep *rep, struct err *e)
{
	struct listing l = { .image = req->image, .e = e };
	uint64_t limit = req->limit == 0 || req->limit > LIST_MAX ? LIST_MAX : req->limit;
	struct arena *a = call_arena(c);
	struct container_list rows;
	int r;

	if ((r = page_start(&l.page, &container_schema, &req->filters, limit, a, e)) < 0 ||
	    (r = containers_each(t, call_ns(c), req->after, a, list_one, &l, e)) < 0)
		return r;
	page_end(&l.page, &rows, &rep->more, &rep->next);
	rep->containers.v = arena_calloc(a, rows.n + 1, sizeof(*rep->containers.v));
	rep->containers.n = rows.n;
	for (uint32_t i = 0; i < rows.n; i++)
		rep->containers.v[i] = (struct container_rep){ .container = &rows.v[i],
			.task = task_of(t, call_ns(c), rows.v[i].id, a) };
	return 0;
}
