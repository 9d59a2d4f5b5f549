/* SPDX-License-Identifier: Apache-2.0 */
/* filter: containerd's language on records; what is not understood is refused with its place. */
#include "lib/filter/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"

static struct kv labels[] = { { "plain", "yes" }, { "io.x/y", "a,b" }, { "a.b", "dots" },
	{ "empty", "" }, { "quote\"d", "new\nline" } };
static struct kv annotations[] = { { "org.opencontainers.image.title", "Zürich" } };
static struct descriptor target = { .media_type = "application/vnd.oci.image.index.v1+json",
	.digest = "sha256:0123",
	.size = 42,
	.annotations = { annotations, 1 } };
static const struct image image = { .name = "docker.io/library/nginx:1.25",
	.target = &target,
	.labels = { labels, COUNT(labels) },
	.created_at = 7,
	.size = 0 };

static int
accepts(const struct schema *s, const void *rec, const char **v, uint32_t n, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct strs texts = { v, n };
	struct filter *f = NULL;
	int r = filter_compile(s, &texts, &a, &f, e);

	return r < 0 ? r : filter_accepts(f, rec, e);
}

static int
accepts_image(const char *text)
{
	struct err e = ERR_ZERO;
	int r = accepts(&image_schema, &image, &text, 1, &e);

	if (r < 0)
		print_message("%s\n", e.msg);
	return r;
}

static const char *const yes[] = {
	"",
	" ",
	"name",
	"name==docker.io/library/nginx:1.25",
	"name == docker.io/library/nginx:1.25",
	"name==\"docker.io/library/nginx:1.25\"",
	"ref~=nginx",
	"id~=nginx",
	"name!=nginx",
	"name~=nginx,name!=x, labels.plain==yes",
	"name~=|^docker\\.io/.*:1\\.\\d+$|",
	"name~=/^docker\\.io\\/library\\//",
	"name~=\"^docker\\\\.io/\"",
	"name~=(?i)NGINX",
	"name~=^(?:docker|quay)\\.io/",
	"name~=|[[:alpha:]]+:[^a-z]{1,3}|",
	"name~=|x*|",
	"target",
	"target.digest",
	"target.digest==sha256:0123",
	"target.size==42",
	"target.mediatype~=index",
	"target.media_type~=index",
	"TARGET.MediaType~=index",
	"target.annotations.\"org.opencontainers.image.title\"==Zürich",
	"target.annotations.org.opencontainers.image.title==\"Z\\u00fcrich\"",
	"target.annotations.org.opencontainers.image.title~=|^Z.rich$|",
	"labels",
	"labels.plain",
	"labels.\"plain\"",
	"labels.\"io.x/y\"==\"a,b\"",
	"labels.a.b==dots",
	"labels.empty",
	"labels.empty==\"\"",
	"labels.absent!=x",
	"labels.\"quote\\\"d\"==\"new\\nline\"",
	"labels.\"quote\\x22d\"==\"new\\012line\"",
	"created_at==7",
	"createdat==7",
	"size!=1",
};

static const char *const no[] = {
	"name==nginx",
	"name!=docker.io/library/nginx:1.25",
	"name~=^nginx",
	"name~=|\\d{3}|",
	"name~=nginx,name==x",
	"size",
	"size==0",
	"labels.absent",
	"labels.absent==x",
	"labels.absent~=|.*|",
	"labels.plain==Yes",
	"labels.a",
	"target.annotations.x",
	"target.size==420",
	"platform",
};

/* What is wrong with it, and where. */
static const struct {
	const char *text, *says;
} bad[] = {
	{ "name=x", "at byte 5: ==, != or ~=" },
	{ "name==", "at byte 7: a value" },
	{ "name==x,", "at byte 9: a field" },
	{ ",name", "at byte 1: a field" },
	{ "name==x y", "at byte 9: a comma" },
	{ "name x", "at byte 6: ==" },
	{ "==x", "at byte 1: a field" },
	{ "name.", "at byte 6: a field" },
	{ "nmae==x",
	    "at byte 1: image has no field \"nmae\" to filter by: there are name, target" },
	{ "target.nope", "at byte 8: descriptor has no field" },
	{ "target==x", "target has fields to compare" },
	{ "labels==x", "labels needs a key" },
	{ "size.x==1", "size has no fields" },
	{ "name==\"x", "at byte 7: what begins with \" does not end" },
	{ "name~=|x", "at byte 7: what begins with | does not end" },
	{ "name~=|x|y", "at byte 10: a comma" },
	{ "name==\"\\q\"", "no such escape" },
	{ "name==\"\\x4\"", "no such escape" },
	{ "name==\"\\000\"", "no such character" },
	{ "name==\"\\ud800\"", "no such character" },
	{ "name==\"\\Uffffffff\"", "no such character" },
	{ "labels.\"x", "at byte 8" },
	{ "name~=(", "at byte 7: the pattern is wrong" },
	{ "name~=)|(", "the pattern is wrong" },
	{ "name~=*", "the pattern is wrong" },
	{ "name~=(a)\\1", "at its byte 4 that is not known" },
	{ "name~=|(?=x)|", "not known" },
	{ "name~=|(?<=x)|", "not known" },
	{ "name~=|(?R)|", "not known" },
	{ "name~=|(?>x)|", "not known" },
	{ "name~=|(*UTF)x|", "not known" },
	{ "name~=|(?P=x)|", "not known" },
	{ "name~=|x++|", "not known" },
	{ "name~=|\\Cx|", "not known" },
	{ "name~=|x\\K|", "not known" },
	{ "name~=|((a{0,255}){0,255}){0,255}|", "too large" },
	{ "name~=x\xff", "not UTF-8, at byte 8" },
	{ "\x1b[31m", "a field is expected" },
};

static void
test_yes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(yes); i++)
		if (accepts_image(yes[i]) != 1)
			fail_msg("does not accept: %s", yes[i]);
}

static void
test_no(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(no); i++)
		if (accepts_image(no[i]) != 0)
			fail_msg("accepts: %s", no[i]);
}

static void
test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *text = bad[i].text;
		struct err e = ERR_ZERO;

		if (accepts(&image_schema, &image, &text, 1, &e) != -ERR_INVALID_ARGUMENT)
			fail_msg("takes: %s", text);
		if (strstr(e.msg, bad[i].says) == NULL)
			fail_msg("%s: says: %s", text, e.msg);
		assert_null(strpbrk(e.msg, "\n\x1b"));
	}
}

static void
test_one_of_several(void **state)
{
	const char *none[] = { "name==a", "name==b" }, *one[] = { "name==a", "name~=nginx" };
	const char *every[] = { "name==a", "" };
	struct err e = ERR_ZERO;

	(void)state;
	assert_int_equal(accepts(&image_schema, &image, NULL, 0, &e), 1);
	assert_int_equal(accepts(&image_schema, &image, none, 2, &e), 0);
	assert_int_equal(accepts(&image_schema, &image, one, 2, &e), 1);
	assert_int_equal(accepts(&image_schema, &image, every, 2, &e), 1);
}

static void
test_other_records(void **state)
{
	const struct snapshot s = { .key = "box", .kind = "active" };
	const struct container c = { .id = "box", .runtime = "io.containerd.runc.v2", .tty = true };
	const struct mount m = { .options = { (const char *[]){ "ro", "noexec" }, 2 } };
	static const struct {
		const char *text;
		int snapshot, container, mount;
	} cases[] = { { "name==box", 1, 1, 0 },
		{ "kind==active", 1, -ERR_INVALID_ARGUMENT, -ERR_INVALID_ARGUMENT },
		{ "parent", 0, -ERR_INVALID_ARGUMENT, -ERR_INVALID_ARGUMENT },
		{ "runtime.name~=runc", -ERR_INVALID_ARGUMENT, 1, -ERR_INVALID_ARGUMENT },
		{ "tty", -ERR_INVALID_ARGUMENT, 1, -ERR_INVALID_ARGUMENT },
		{ "tty==true", -ERR_INVALID_ARGUMENT, 1, -ERR_INVALID_ARGUMENT },
		{ "spec", -ERR_INVALID_ARGUMENT, -ERR_INVALID_ARGUMENT, -ERR_INVALID_ARGUMENT },
		{ "options==ro", -ERR_INVALID_ARGUMENT, -ERR_INVALID_ARGUMENT, 1 },
		{ "options!=ro", -ERR_INVALID_ARGUMENT, -ERR_INVALID_ARGUMENT, 0 },
		{ "options~=exec$", -ERR_INVALID_ARGUMENT, -ERR_INVALID_ARGUMENT, 1 },
		{ "options!=rw", -ERR_INVALID_ARGUMENT, -ERR_INVALID_ARGUMENT, 1 } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *text = cases[i].text;
		struct err e = ERR_ZERO;

		if (accepts(&snapshot_schema, &s, &text, 1, &e) != cases[i].snapshot ||
		    accepts(&container_schema, &c, &text, 1, &e) != cases[i].container ||
		    accepts(&mount_schema, &m, &text, 1, &e) != cases[i].mount)
			fail_msg("%s", text);
	}
}

static void
test_absent_record(void **state)
{
	const struct image bare = { .name = "x" };
	const char *there = "target.digest", *is_not = "target.digest!=x";
	struct err e = ERR_ZERO;

	(void)state;
	assert_int_equal(accepts(&image_schema, &bare, &there, 1, &e), 0);
	assert_int_equal(accepts(&image_schema, &bare, &is_not, 1, &e), 1);
}

static const char *
repeated(struct arena *a, const char *first, const char *what, size_t n)
{
	size_t len = strlen(what), start = strlen(first);
	char *text = arena_calloc(a, start + n * len + 1, 1);

	memcpy(text, first, start);
	for (size_t i = 0; i < n; i++)
		memcpy(text + start + i * len, what, len);
	return text;
}

static void
test_bounds(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const char *const big[] = { repeated(&a, "name==", "x", 10 * 1024),
		repeated(&a, "name", ",name", FILTER_SELECTORS_MAX),
		repeated(&a, "name~=x", ",name~=x", 16), repeated(&a, "target", ".size", 100),
		repeated(&a, "name~=", "(", 200), repeated(&a, "name~=", "a", 1025) };

	(void)state;
	for (size_t i = 0; i < COUNT(big); i++) {
		const char *text = big[i];
		struct err e = ERR_ZERO;

		assert_int_equal(
		    accepts(&image_schema, &image, &text, 1, &e), -ERR_INVALID_ARGUMENT);
	}
}

/* Patterns that take others minutes: an answer or a refusal comes soon. */
static void
test_costly(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const char *costly[] = { "name~=(a*)*b", "name~=(a|aa)+$", "name~=(.*a){60}b",
		"name~=(a|b)*a(a|b){200}c", "name~=(((a*)*)*)*b", "name~=(x+x+)+y" };
	const struct image long_name = { .name = repeated(&a, "", "aaaaaaab", 512),
		.target = &target };

	(void)state;
	for (size_t i = 0; i < COUNT(costly); i++) {
		const struct strs texts = { &costly[i], 1 };
		uint64_t start = clock_mono_ms();
		struct filter *f = NULL;
		struct err e = ERR_ZERO;
		int r = filter_compile(&image_schema, &texts, &a, &f, &e);

		assert_int_equal(r, 0);
		for (unsigned row = 0; row < 1000 && r == 0; row++)
			r = filter_accepts(f, &long_name, &e);
		assert_true(r >= 0 || r == -ERR_RESOURCE_EXHAUSTED);
		if (clock_mono_ms() - start > 5000)
			fail_msg("%s: %llu ms", costly[i],
			    (unsigned long long)(clock_mono_ms() - start));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yes),
		cmocka_unit_test(test_no),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_one_of_several),
		cmocka_unit_test(test_other_records),
		cmocka_unit_test(test_absent_record),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_costly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
