/* SPDX-License-Identifier: Apache-2.0 */
/* plugins - list: what can be chosen from, as yet snapshotters alone. */
#include "ctr/ctr.h"
#include "ctr/list.h"
#include "ctr/render.h"
#include "lib/base/auto.h"

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "TYPE", "ID", "STATUS", "ABOUT" };
	AUTO(table_free) struct table t;
	const struct snapshotter_info *all = l->v;

	table_init(&t, heads, COUNT(heads), 0);
	for (uint32_t i = 0; i < l->n; i++) {
		const struct snapshotter_info *s = &all[i];

		table_cell(&t, "snapshotter");
		table_cell(&t, s->name);
		table_cell(&t, !s->works ? "skip" : s->chosen ? "ok, default" : "ok");
		table_cell(&t, s->works ? s->doc : s->problem);
	}
	table_show(&t);
}

int
plugins_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct nothing req = {};

	return list_show(c, o, &snapshot_snapshotters_list_method, &req, list_table, e);
}
