/* SPDX-License-Identifier: Apache-2.0 */
/* layout: the documents of image archives, read and written. */
#include "lib/oci/layout.h"

#include "lib/base/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HEX "1111111111111111111111111111111111111111111111111111111111111111"
#define D1 "sha256:" HEX
#define ENTRY(more) "{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"" D1 "\",\"size\":5" more "}"
#define NAMED(text)                                         \
	",\"annotations\":{\"io.containerd.image.name\":\"" \
	"a/b:1\",\"org.opencontainers.image.ref.name\":" text "}"

static int
index_of(const char *text, struct layout_index *ret, struct err *e)
{
	*ret = (struct layout_index){ .n = 0 };
	*e = ERR_ZERO;
	return layout_index_parse(text, strlen(text), ret, e);
}

static void
an_index(void **state)
{
	static const char text[] = "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX
				   "\",\"manifests\":[" ENTRY(NAMED("\"1\"")) "," ENTRY("") "]}";
	AUTO(layout_index_free) struct layout_index index;
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct err e;

	(void)state;
	assert_int_equal(index_of(text, &index, &e), 0);
	assert_int_equal(index.n, 2);
	assert_string_equal(index.v[0].name, "a/b:1");
	assert_string_equal(index.v[0].tag, "1");
	assert_null(index.v[1].name);
	layout_index_write(&index, &out);
	assert_string_equal(buf_str(&out), text);
}

static void
bad_indexes(void **state)
{
	static const char *const texts[] = { "", "[]", "{\"schemaVersion\":2}",
		"{\"schemaVersion\":2,\"manifests\":[" ENTRY(NAMED("7")) "]}",
		"{\"schemaVersion\":2,\"manifests\":[],\"manifests\":[]}",
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI_CONFIG "\",\"digest\":\"" D1
		"\",\"size\":1},\"layers\":[]}" };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct layout_index index;
		struct err e;

		assert_true(index_of(texts[i], &index, &e) < 0);
		assert_true(e.msg[0] != '\0');
	}
}

static void
saved(void **state)
{
	static const char text[] =
	    "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"l/"
	    "layer.tar\",\"m\"]},{\"Config\":\"d\",\"RepoTags\":[],\"Layers\":[]}]";
	static const char *const bad[] = { "{}", "[{}]", "[{\"Config\":7}]",
		"[{\"Config\":\"c\",\"Layers\":[7]}]", "[{\"Config\":\"c\",\"RepoTags\":{}}]",
		"[7]" };
	AUTO(layout_saves_free) struct layout_saves s = { .n = 0 };
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct err e = ERR_ZERO;

	(void)state;
	assert_int_equal(layout_saves_parse(text, strlen(text), &s, &e), 0);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.v[0].layers.v[1], "m");
	layout_saves_write(&s, &out);
	assert_string_equal(buf_str(&out), text);
	for (size_t i = 0; i < COUNT(bad); i++) {
		AUTO(layout_saves_free) struct layout_saves none = { .n = 0 };

		assert_true(layout_saves_parse(bad[i], strlen(bad[i]), &none, &e) < 0);
	}
}

static void
paths(void **state)
{
	static const char *const bad[] = { "blobs", "blobs/sha256", "blobs/sha256/",
		"blobs/md5/" HEX, "blobs/sha256/" HEX "/x", "blobs/sha256/../" HEX,
		"x/blobs/sha256/" HEX, "blobs/sha256/1111" };
	char text[LAYOUT_PATH_MAX];
	struct digest d;

	(void)state;
	assert_true(layout_path_parse("blobs/sha256/" HEX, &d));
	assert_string_equal(d.text, D1);
	assert_string_equal(layout_path(&d, text), "blobs/sha256/" HEX);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(layout_path_parse(bad[i], &d));
}

static void
version(void **state)
{
	struct err e = ERR_ZERO;

	(void)state;
	assert_int_equal(layout_check(LAYOUT_TEXT, strlen(LAYOUT_TEXT), &e), 0);
	assert_int_equal(layout_check("{}", 2, &e), -ERR_UNIMPLEMENTED);
	assert_int_equal(layout_check("", 0, &e), -ERR_INVALID_ARGUMENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index),
		cmocka_unit_test(bad_indexes),
		cmocka_unit_test(saved),
		cmocka_unit_test(paths),
		cmocka_unit_test(version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
