/* SPDX-License-Identifier: Apache-2.0 */
/* page: pages of a list put together are the list, whatever the filters, the limit and the labels. */
#include "lib/filter/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/auto.h"

#define ROWS 2500

static struct descriptor target = { .media_type = "x", .digest = "sha256:0", .size = 1 };

static struct image *
rows_make(struct arena *a, uint32_t nlabels)
{
	struct image *rows = arena_calloc(a, ROWS, sizeof(*rows));
	struct kv *labels = arena_calloc(a, nlabels + 1, sizeof(*labels));

	for (uint32_t i = 0; i < nlabels; i++)
		labels[i] = (struct kv){ arena_printf(a, "key-%u", i), "value" };
	for (uint32_t i = 0; i < ROWS; i++)
		rows[i] = (struct image){ .name = arena_printf(a, "image-%04u", i),
			.target = &target,
			.labels = { labels, nlabels } };
	return rows;
}

/* What a handler does, on an array; returns the number of pages. */
static unsigned
read_all(const struct image *rows, const char *filter, uint64_t limit, uint32_t *ret_n,
    uint32_t *ret_largest)
{
	const struct strs filters = { &filter, filter == NULL ? 0 : 1 };
	const char *after = "";
	unsigned pages = 0;
	bool more = true;

	*ret_n = *ret_largest = 0;
	while (more) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		struct image_list_rep rep = { .more = false };
		struct err e = ERR_ZERO;
		struct page p;
		int r = page_start(&p, &image_schema, &filters, limit, &a, &e);

		assert_int_equal(r, 0);
		for (uint32_t i = 0; i < ROWS && r == 0; i++)
			if (strcmp(rows[i].name, after) > 0)
				r = page_take(&p, &rows[i], &e);
		assert_true(r >= 0);
		page_end(&p, &rep.images, &rep.more, &rep.next);
		assert_true(rep.more == (rep.next != NULL));
		for (uint32_t i = 0; i < rep.images.n; i++)
			assert_true(strcmp(rep.images.v[i].name, after) > 0);
		*ret_n += rep.images.n;
		if (rep.images.n > *ret_largest)
			*ret_largest = rep.images.n;
		after = rep.next;
		more = rep.more;
		pages++;
	}
	return pages;
}

static void
test_plain(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct image *rows = rows_make(&a, 0);
	uint32_t n, largest;

	(void)state;
	assert_int_equal(read_all(rows, NULL, 0, &n, &largest), 3);
	assert_int_equal(n, ROWS);
	assert_int_equal(largest, PAGE_ROWS_MAX);
	assert_int_equal(read_all(rows, NULL, 700, &n, &largest), 4);
	assert_int_equal(n, ROWS);
	assert_int_equal(read_all(rows, NULL, 1000000, &n, &largest), 3);
	assert_int_equal(n, ROWS);
}

static void
test_filtered(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct image *rows = rows_make(&a, 0);
	uint32_t n, largest;

	(void)state;
	assert_int_equal(read_all(rows, "name==nothing", 0, &n, &largest), 3);
	assert_int_equal(n, 0);
	assert_int_equal(read_all(rows, "name~=7$", 100, &n, &largest), 25);
	assert_int_equal(n, ROWS / 10);
	assert_int_equal(read_all(rows, "name==image-2499", 0, &n, &largest), 3);
	assert_int_equal(n, 1);
}

/* So many labels that a page of a thousand rows would be refused by the bus. */
static void
test_heavy(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct image *rows = rows_make(&a, 128);
	uint32_t n, largest;

	(void)state;
	assert_true(read_all(rows, NULL, 0, &n, &largest) > 3);
	assert_int_equal(n, ROWS);
	assert_in_range(largest, 100, 900); /* 256 values each; 250,000 may be in a message */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_filtered),
		cmocka_unit_test(test_heavy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
