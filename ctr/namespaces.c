/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces - list, create, label, remove. */
#include "ctr/ctr.h"
#include "ctr/labels.h"
#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "NAME", "LABELS" };
	AUTO(table_free) struct table t;
	const struct namespace *namespaces = l->v;

	table_init(&t, heads, COUNT(heads), -1);
	for (uint32_t i = 0; i < l->n; i++) {
		table_cell(&t, namespaces[i].name);
		table_map(&t, &namespaces[i].labels);
	}
	table_show(&t);
}

int
namespaces_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct nothing req = {};

	return list_show(c, o, &content_namespace_list_method, &req, list_table, e);
}

int
namespaces_create(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct namespace_create_req req = { .name = o->args.v[0] };
	struct strs labels = { o->args.v + 1, o->args.n - 1 };
	struct namespace rep;
	int r = ctr_map("label", labels, &a, &req.labels, e);

	if (r == 0)
		r = ctr_call(c, &content_namespace_create_method, &req, &a, &rep, e);
	if (r == 0)
		text_print(stdout, rep.name);
	return r;
}

int
namespaces_label(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct namespace_update_req req = { .name = o->args.v[0] };
	struct strs labels = { o->args.v + 1, o->args.n - 1 };
	struct namespace rep;
	int r = labels_read(&labels, false, &a, &req.labels, &req.fields, e);

	if (r == 0)
		r = ctr_call(c, &content_namespace_update_method, &req, &a, &rep, e);
	if (r == 0)
		labels_print(&rep.labels);
	return r;
}

static int
remove_one(struct ctr *c, const struct opts *o, const char *name, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct namespace_remove_req req = { .name = name, .force = opts_flag(o, "force") };
	struct nothing rep;

	return ctr_call(c, &content_namespace_remove_method, &req, &a, &rep, e);
}

int
namespaces_remove(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, remove_one, true);
}
