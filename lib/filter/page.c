/* SPDX-License-Identifier: Apache-2.0 */
/* page - see page.h */
#include "lib/filter/page.h"

#include <string.h>

/* Below the bus's limits of 250,000 values and 16 MiB, with what stands around the rows. */
#define WEIGHT_MAX (4U << 20)
#define VALUE_WEIGHT 20 /* so that there are no more values than that either */

static size_t
text_weight(const char *text)
{
	return VALUE_WEIGHT + (text == NULL ? 0 : strlen(text));
}

static size_t record_weight(const struct schema *s, const void *rec);

static size_t
field_weight(const struct field *f, const void *at)
{
	const struct list *l = at;
	const struct kv *pairs = l->v;
	const char *const *texts = l->v;
	size_t n = VALUE_WEIGHT;

	if (f->kind == FIELD_STR)
		return text_weight(*(const char *const *)at);
	if (f->kind == FIELD_REC)
		return record_weight(f->sub, *(const void *const *)at);
	if (f->kind == FIELD_MAP)
		for (uint32_t i = 0; i < l->n; i++)
			n += text_weight(pairs[i].k) + text_weight(pairs[i].v);
	if (f->kind == FIELD_STRS)
		for (uint32_t i = 0; i < l->n; i++)
			n += text_weight(texts[i]);
	return n;
}

static size_t
record_weight(const struct schema *s, const void *rec)
{
	size_t n = VALUE_WEIGHT;

	for (unsigned i = 0; rec != NULL && i < s->nfields; i++)
		n += VALUE_WEIGHT +
		     field_weight(&s->fields[i], (const char *)rec + s->fields[i].offset);
	return n;
}

int
page_start(struct page *p, const struct schema *s, const struct strs *filters, uint64_t limit,
    struct arena *a, struct err *e)
{
	*p = (struct page){ .s = s,
		.max = limit > 0 && limit < PAGE_ROWS_MAX ? (uint32_t)limit : PAGE_ROWS_MAX };
	p->rows.v = arena_calloc(a, p->max, s->size);
	return filter_compile(s, filters, a, &p->filter, e);
}

int
page_take(struct page *p, const void *row, struct err *e)
{
	size_t weight = record_weight(p->s, row);
	int r;

	p->more = p->seen == p->max || (p->rows.n > 0 && p->weight + weight > WEIGHT_MAX);
	if (p->more)
		return 1;
	r = filter_accepts(p->filter, row, e);
	if (r < 0)
		return r;
	p->seen++;
	p->last = record_name(p->s, row);
	if (r == 0)
		return 0;
	p->weight += weight;
	memcpy((char *)p->rows.v + p->rows.n++ * p->s->size, row, p->s->size);
	return 0;
}

void
page_end(const struct page *p, void *ret, bool *ret_more, const char **ret_next)
{
	memcpy(ret, &p->rows, sizeof(p->rows));
	*ret_more = p->more;
	*ret_next = p->more ? p->last : NULL;
}
