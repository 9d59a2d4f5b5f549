/* SPDX-License-Identifier: Apache-2.0 */
/* content - list the blobs of the namespace. */
#include "ctr/ctr.h"
#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "DIGEST", "SIZE", "CREATED", "LABELS" };
	AUTO(table_free) struct table t;
	const struct blob *blobs = l->v;
	int64_t now = clock_real_ns();
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), -1);
	for (uint32_t i = 0; i < l->n; i++) {
		table_cell(&t, blobs[i].digest);
		table_cell(&t, text_size(blobs[i].size, text));
		table_cell(&t, text_age(blobs[i].created_at, now, text));
		table_map(&t, &blobs[i].labels);
	}
	table_show(&t);
}

int
content_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct blob_list_req req = { .after = NULL };

	return list_show(c, o, &content_blob_list_method, &req, list_table, e);
}
