/* SPDX-License-Identifier: Apache-2.0 */
/* list - see list.h */
#include "ctr/list.h"

#include <string.h>

#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"

const struct opt list_opts[] = {
	{ "quiet", 'q', OPT_FLAG, NULL, "Print names only, one a line.", NULL },
	{ "format", 0, OPT_TEXT, "FORMAT", "table (the default) or json: all fields, as an array.",
	    NULL },
	{ .name = NULL },
};

static const struct field *
field_named(const struct schema *s, const char *name)
{
	for (unsigned i = 0; i < s->nfields; i++)
		if (strcmp(s->fields[i].name, name) == 0)
			return &s->fields[i];
	return NULL;
}

static const struct field *
field_records(const struct schema *s)
{
	for (unsigned i = 0; i < s->nfields; i++)
		if (s->fields[i].kind == FIELD_RECS)
			return &s->fields[i];
	MUST(!"a list method without a list");
}

int
list_fetch(struct ctr *c, const struct method *m, void *req, struct arena *a, struct list *ret,
    struct err *e)
{
	const struct field *records = field_records(m->rep), *next = field_named(m->rep, "next");
	const struct field *after = field_named(m->req, "after");
	void *rep = arena_calloc(a, 1, m->rep->size);
	size_t size = records->sub->size, room = 0;
	struct list all = { .v = NULL };
	bool again;

	do {
		const struct list *page = (const struct list *)((char *)rep + records->offset);
		void *grown;
		int r = ctr_call(c, m, req, a, rep, e);

		if (r < 0)
			return r;
		if (all.v == NULL || all.n + page->n > room) {
			room = 2 * (all.n + page->n) + 1;
			grown = arena_calloc(a, room, size);
			if (all.n > 0)
				memcpy(grown, all.v, all.n * size);
			all.v = grown;
		}
		if (page->n > 0)
			memcpy((char *)all.v + all.n * size, page->v, page->n * size);
		all.n += page->n;
		again = next != NULL && *(const char **)((char *)rep + next->offset) != NULL;
		if (again)
			*(const char **)((char *)req + after->offset) = *(
			    const char **)((char *)rep + next->offset);
	} while (again);
	*ret = all;
	return 0;
}

int
list_show(struct ctr *c, const struct opts *o, const struct method *m, void *req,
    list_table_fn *table, struct err *e)
{
	const struct schema *s = field_records(m->rep)->sub;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct list l = { .v = NULL };
	const struct field *filters = field_named(m->req, "filters");
	bool json;
	int r = ctr_format(o, &json, e);

	if (filters != NULL)
		*(struct strs *)((char *)req + filters->offset) = o->args;
	if (r == 0)
		r = list_fetch(c, m, req, &a, &l, e);
	if (r < 0)
		return r;
	if (opts_flag(o, "quiet"))
		for (uint32_t i = 0; i < l.n; i++)
			text_print(stdout, record_name(s, (const char *)l.v + i * s->size));
	else if (json)
		render_json_list(s, l.v, l.n);
	else
		table(&l);
	return 0;
}
