/* SPDX-License-Identifier: Apache-2.0 */
/* spans: against a map of bytes, at random; and when there is no room. */
#include "workers/content/spans.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES 200

static void
agrees(const struct spans *s, const char *map)
{
	struct spans again = { .n = 0 };
	unsigned front = 0, sum = 0, gap_end;
	struct span gap;

	while (front < BYTES && map[front])
		front++;
	for (unsigned i = 0; i < BYTES; i++)
		sum += map[i] != 0;
	assert_int_equal(spans_front(s), front);
	assert_int_equal(spans_sum(s), sum);
	for (unsigned i = 0; i < s->n; i++) {
		assert_true(s->v[i].from < s->v[i].to);
		assert_true(i == 0 || s->v[i - 1].to < s->v[i].from);
		assert_true(spans_add(&again, s->v[i].from, s->v[i].to));
	}
	assert_memory_equal(again.v, s->v, s->n * sizeof(s->v[0]));
	for (gap_end = front; gap_end < BYTES && !map[gap_end]; gap_end++)
		;
	assert_int_equal(spans_gap(s, BYTES, &gap), front < BYTES);
	if (front < BYTES) {
		assert_int_equal(gap.from, front);
		assert_int_equal(gap.to, gap_end);
	}
}

static void
as_a_map_of_bytes(void **state)
{
	(void)state;
	srandom(7);
	for (unsigned round = 0; round < 300; round++) {
		struct spans s = { .n = 0 };
		char map[BYTES] = "";

		for (unsigned i = 0; i < 40; i++) {
			unsigned from = (unsigned)random() % BYTES;
			unsigned to = from + (unsigned)random() % 12;

			to = to > BYTES ? BYTES : to;
			assert_true(spans_add(&s, from, to));
			memset(map + from, 1, to - from);
			agrees(&s, map);
		}
	}
}

static void
too_many(void **state)
{
	struct spans s = { .n = 0 };
	struct span gap;

	(void)state;
	for (unsigned i = 0; i < SPANS_MAX; i++)
		assert_true(spans_add(&s, 10 * i, 10 * i + 5));
	assert_false(spans_add(&s, 10 * SPANS_MAX, 10 * SPANS_MAX + 1));
	assert_int_equal(s.n, SPANS_MAX);
	assert_int_equal(spans_sum(&s), 5 * SPANS_MAX);
	assert_true(spans_add(&s, 5, 10)); /* fills a gap: that needs no room */
	assert_int_equal(s.n, SPANS_MAX - 1);
	assert_int_equal(spans_front(&s), 15);
	assert_true(spans_gap(&s, 18, &gap));
	assert_int_equal(gap.to, 18);
	assert_false(spans_gap(&s, 15, &gap));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_a_map_of_bytes),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
