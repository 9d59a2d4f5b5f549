/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and JSON from records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bus/wire/wire.h"
#include "ctr/render.h"
#include "lib/base/auto.h"

static const char digest[] =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* What a table prints on a terminal of this width. */
static char *
table_text(const struct table *t, unsigned width)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	table_print(t, f, width);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void
test_table_pads_to_content(void **state)
{
	static const char *const heads[] = { "NAME", "SIZE" };
	AUTO(table_free) struct table t;
	AUTO(free_ptr) char *text = NULL;

	(void)state;
	table_init(&t, heads, 2, -1);
	table_cell(&t, "a-long-name");
	table_cellf(&t, "%d", 5);
	table_cell(&t, "\x1b[31mx");
	table_cell(&t, NULL);
	table_cell(&t, "gr\xc3\xbcn");
	table_cell(&t, "");
	text = table_text(&t, 0);
	assert_string_equal(text, "NAME          SIZE\n"
				  "a-long-name   5\n"
				  "\\x1b[31mx     -\n"
				  "gr\xc3\xbcn          -\n");
}

static void
test_table_without_rows(void **state)
{
	static const char *const heads[] = { "NAME", "SIZE" };
	AUTO(table_free) struct table t;
	AUTO(free_ptr) char *text = NULL;

	(void)state;
	table_init(&t, heads, 2, -1);
	text = table_text(&t, 80);
	assert_string_equal(text, "NAME   SIZE\n");
}

static void
test_digests_give_way_on_narrow_terminals_only(void **state)
{
	static const char *const heads[] = { "REF", "DIGEST", "SIZE" };
	AUTO(table_free) struct table t;
	AUTO(free_ptr) char *narrow = NULL;
	AUTO(free_ptr) char *wide = NULL;
	AUTO(free_ptr) char *pipe = NULL;

	(void)state;
	table_init(&t, heads, 3, 1);
	table_cell(&t, "nginx");
	table_cell(&t, digest);
	table_cell(&t, "1 B");
	narrow = table_text(&t, 40);
	wide = table_text(&t, 200);
	pipe = table_text(&t, 0);
	assert_string_equal(narrow, "REF     DIGEST                SIZE\n"
				    "nginx   sha256:0123456789ab   1 B\n");
	assert_non_null(strstr(wide, digest));
	assert_string_equal(wide, pipe);
}

static void
test_json_times(void **state)
{
	struct blob b = { .digest = "d", .held_until = 1700000000000000000 };
	json_t *v = render_json(&blob_schema, &b);

	(void)state;
	assert_string_equal(
	    json_string_value(json_object_get(v, "held_until")), "2023-11-14T22:13:20.000000000Z");
	json_decref(v);
}

static void
test_json_of_a_record(void **state)
{
	struct kv labels[] = { { "k", "v" }, { "bad\xff", "key" },
		{ "b", "\xff"
		       "ad" } };
	struct descriptor target = { .media_type = "m", .digest = "d", .size = 7 };
	struct image im = { .name = "n",
		.target = &target,
		.labels = { labels, 3 },
		.created_at = 1700000000000000001,
		.size = UINT64_MAX };
	json_t *v = render_json(&image_schema, &im);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(v, "name")), "n");
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(v, "target"), "size")), 7);
	assert_string_equal(
	    json_string_value(json_object_get(v, "created_at")), "2023-11-14T22:13:20.000000001Z");
	assert_null(json_object_get(v, "updated_at")); /* 0: never */
	assert_null(json_object_get(v, "platform"));   /* absent */
	assert_true(json_integer_value(json_object_get(v, "size")) == INT64_MAX);
	assert_string_equal(
	    json_string_value(json_object_get(json_object_get(v, "labels"), "k")), "v");
	assert_string_equal(json_string_value(json_object_get(json_object_get(v, "labels"), "b")),
	    "\xef\xbf\xbd"
	    "ad");
	assert_int_equal(json_object_size(json_object_get(v, "labels")), 2);
	json_decref(v);
}

static void
test_zero_is_a_value(void **state)
{
	const struct task t = { .id = "x", .status = "stopped" };
	json_t *v = render_json(&task_schema, &t);

	(void)state;
	assert_true(json_is_integer(json_object_get(v, "exit_status")));
	assert_null(json_object_get(v, "exec_id"));
	json_decref(v);
}

static void
test_documents_are_embedded(void **state)
{
	static const char spec[] = "{\"process\": {\"env\": [\"A=1\"]}}", junk[] = "{\x1b";
	struct container c = { .id = "x", .runtime = "r", .spec = { spec, sizeof(spec) - 1 } };
	json_t *v = render_json(&container_schema, &c);

	(void)state;
	assert_true(json_is_object(json_object_get(json_object_get(v, "spec"), "process")));
	json_decref(v);
	c.spec = (struct bytes){ junk, sizeof(junk) - 1 };
	v = render_json(&container_schema, &c);
	assert_string_equal(json_string_value(json_object_get(v, "spec")), "{\\x1b");
	json_decref(v);
}

static void
test_events_are_decoded_by_topic(void **state)
{
	const struct ev_task_exit exit = {
		.container_id = "c", .id = "c", .exit_status = 3, .exited_at = 1700000000000000000
	};
	AUTO(buf_free) struct buf wire = BUF_ZERO;
	struct err e = ERR_ZERO;
	struct bytes body;
	json_t *v;

	(void)state;
	assert_int_equal(wire_encode(&ev_task_exit_schema, &exit, &wire, &e), 0);
	body = (struct bytes){ wire.data, wire.len };
	v = render_json_event("/tasks/exit", &body);
	assert_int_equal(json_integer_value(json_object_get(v, "exit_status")), 3);
	assert_non_null(strstr(json_string_value(json_object_get(v, "exited_at")), "2023-"));
	json_decref(v);
	v = render_json_event("/tomorrow/what", &body);
	assert_non_null(json_object_get(v, "undecoded"));
	json_decref(v);
	body.n = 3; /* cut short */
	v = render_json_event("/tasks/exit", &body);
	assert_non_null(json_object_get(v, "undecoded"));
	json_decref(v);
}

static void
test_json_is_fit_for_a_terminal(void **state)
{
	json_t *v = json_string("a\x1b\x7f\xc2\x9b\xe2\x80\xae"
				"gr\xc3\xbcn");
	AUTO(free_ptr) char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	render_json_print(v, f, true);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, "\"a\\u001B\\u007f\\u009b\\u202egr\xc3\xbcn\"\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_pads_to_content),
		cmocka_unit_test(test_table_without_rows),
		cmocka_unit_test(test_digests_give_way_on_narrow_terminals_only),
		cmocka_unit_test(test_json_of_a_record),
		cmocka_unit_test(test_json_times),
		cmocka_unit_test(test_zero_is_a_value),
		cmocka_unit_test(test_documents_are_embedded),
		cmocka_unit_test(test_events_are_decoded_by_topic),
		cmocka_unit_test(test_json_is_fit_for_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
