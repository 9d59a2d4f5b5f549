/* SPDX-License-Identifier: Apache-2.0 */
/* spans - see spans.h */
#include "workers/content/spans.h"

#include <string.h>

bool
spans_add(struct spans *s, uint64_t from, uint64_t to)
{
	unsigned first = 0, behind;

	if (from >= to)
		return true;
	while (first < s->n && s->v[first].to < from)
		first++;
	for (behind = first; behind < s->n && s->v[behind].from <= to; behind++) {
		from = s->v[behind].from < from ? s->v[behind].from : from;
		to = s->v[behind].to > to ? s->v[behind].to : to;
	}
	/* [first, behind) becomes one. */
	if (first == behind && s->n == SPANS_MAX)
		return false;
	memmove(&s->v[first + 1], &s->v[behind], (s->n - behind) * sizeof(s->v[0]));
	s->n = s->n - (behind - first) + 1;
	s->v[first] = (struct span){ .from = from, .to = to };
	return true;
}

uint64_t
spans_front(const struct spans *s)
{
	return s->n > 0 && s->v[0].from == 0 ? s->v[0].to : 0;
}

uint64_t
spans_sum(const struct spans *s)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < s->n; i++)
		sum += s->v[i].to - s->v[i].from;
	return sum;
}

bool
spans_gap(const struct spans *s, uint64_t end, struct span *ret)
{
	uint64_t from = spans_front(s);
	unsigned next = from > 0 ? 1 : 0;

	if (from >= end)
		return false;
	ret->from = from;
	ret->to = next < s->n && s->v[next].from < end ? s->v[next].from : end;
	return true;
}
