/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page - one answer of a list method: the rows that the filters accept, as many as one answer may hold.
 *
 * A page looks at no more rows than it may hold, so that a filter which accepts nothing makes many
 * short answers and not one long silence; `next` says where the following one starts. It is also full
 * when one more row could make it too large for the bus, whatever the rows' labels are.
 *
 *	struct page p;
 *	page_start(&p, &image_schema, &req->filters, req->limit, arena, e)
 *	... page_take(&p, row, e) for each row behind req->after, until it returns 1 ...
 *	page_end(&p, &rep->images, &rep->more, &rep->next)
 */
#ifndef CF_FILTER_PAGE_H
#define CF_FILTER_PAGE_H

#include "lib/filter/filter.h"

#define PAGE_ROWS_MAX 1000

struct page {
	const struct schema *s;
	struct filter *filter;
	struct list rows;
	uint32_t max, seen;
	size_t weight;
	const char *last; /* row looked at */
	bool more;
};

/* Rows are structs of s; limit 0: as many as there may be. */
int page_start(struct page *p, const struct schema *s, const struct strs *filters, uint64_t limit,
    struct arena *a, struct err *e);

/* Takes a copy of the struct when it is accepted. 1: the page is full, row was not looked at. */
int page_take(struct page *p, const void *row, struct err *e);

/* ret: the answer's list of structs of s, by its address; ret_next: set when there are more. */
void page_end(const struct page *p, void *ret, bool *ret_more, const char **ret_next);

#endif
