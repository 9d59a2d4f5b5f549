/* SPDX-License-Identifier: Apache-2.0 */
/* snapshots - list. */
#include <string.h>

#include "ctr/ctr.h"
#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "KEY", "PARENT", "KIND", "SIZE" };
	AUTO(table_free) struct table t;
	const struct snapshot *snapshots = l->v;
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), 1);
	for (uint32_t i = 0; i < l->n; i++) {
		const struct snapshot *s = &snapshots[i];

		table_cell(&t, s->key);
		table_cell(&t, s->parent);
		table_cell(&t, s->kind);
		table_cell(&t, strcmp(s->kind, "committed") == 0 ? text_size(s->size, text) : NULL);
	}
	table_show(&t);
}

int
snapshots_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct snapshot_list_req req = { .snapshotter = opts_text(o, "snapshotter") };

	return list_show(c, o, &snapshot_snapshot_list_method, &req, list_table, e);
}
