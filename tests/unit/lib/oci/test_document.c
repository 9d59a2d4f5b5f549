/* SPDX-License-Identifier: Apache-2.0 */
/* document: what registries serve, well and badly formed. */
#include "lib/oci/document.h"

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/oci/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define CHAIN2 "sha256:9932074217c35353d2e03a3f5a86549f7c67bfeb0ba53e23d69f4d4c8f7958f5"
#define GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define CONFIG "\"config\":{\"mediaType\":\"" OCI_CONFIG "\",\"digest\":\"" D1 "\",\"size\":10}"
#define LAYER "{\"mediaType\":\"" GZIP "\",\"digest\":\"" D2 "\",\"size\":20}"
#define ENTRY(arch, digest)                                                                       \
	"{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"" digest "\",\"size\":5,\"platform\":{" \
	"\"os\":\"linux\",\"architecture\":\"" arch "\"}}"

static int
parse(const char *text, const char *type, struct oci_doc *d, struct err *e)
{
	int r;

	*d = (struct oci_doc){ .ndescs = 0 };
	*e = ERR_ZERO;
	r = oci_doc_parse(text, strlen(text), type, d, e);
	if (r == 0 && d->kind == OCI_KIND_MANIFEST && (r = oci_doc_image(d, e)) < 0)
		oci_doc_free(d);
	return r;
}

static void
a_manifest(void **state)
{
	static const char text[] = "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST "\"," CONFIG
				   ",\"layers\":[" LAYER "]}";
	struct oci_doc d;
	struct err e;

	(void)state;
	if (parse(text, OCI_MANIFEST "; charset=utf-8", &d, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(d.kind, OCI_KIND_MANIFEST);
	assert_int_equal(d.ndescs, 1);
	assert_string_equal(d.descs[0].digest.text, D2);
	assert_int_equal(d.descs[0].size, 20);
	assert_string_equal(d.config.digest.text, D1);
	oci_doc_free(&d);
	/* Types that say nothing leave it to the document. */
	assert_int_equal(parse(text, "application/json", &d, &e), 0);
	oci_doc_free(&d);
	assert_int_equal(parse(text, NULL, &d, &e), 0);
	oci_doc_free(&d);
	/* No mediaType: what was announced, or what it looks like. */
	assert_int_equal(parse("{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", NULL, &d, &e), 0);
	assert_string_equal(d.media_type, OCI_MANIFEST);
	oci_doc_free(&d);
}

static void
an_index(void **state)
{
	static const char text[] = "{\"schemaVersion\":2,\"manifests\":[" ENTRY(
	    "arm64", D1) "," ENTRY("amd64", D2) "," ENTRY("s390x", D1) "]}";
	const struct oci_desc *got;
	struct platform p;
	struct oci_doc d;
	char list[100];
	struct err e;

	(void)state;
	if (parse(text, OCI_INDEX, &d, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(d.kind, OCI_KIND_INDEX);
	assert_int_equal(platform_parse("linux/amd64", &p, &e), 0);
	got = oci_doc_choose(&d, &p);
	assert_non_null(got);
	assert_string_equal(got->digest.text, D2);
	assert_int_equal(platform_parse("linux/riscv64", &p, &e), 0);
	assert_null(oci_doc_choose(&d, &p));
	assert_string_equal(
	    oci_doc_platforms(&d, list, sizeof(list)), "linux/arm64, linux/amd64, linux/s390x");
	(void)oci_doc_platforms(&d, list, 25);
	assert_true(strlen(list) < 25);
	oci_doc_free(&d);
}

static void
bad_ones(void **state)
{
	static const struct {
		const char *text, *type, *says;
		enum err_code code;
	} bad[] = {
		{ "", NULL, "not JSON", ERR_INVALID_ARGUMENT },
		{ "<html>", "text/html", "not JSON", ERR_INVALID_ARGUMENT },
		{ "[]", NULL, "object", ERR_INVALID_ARGUMENT },
		{ "{}", NULL, "schemaVersion", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":1}", NULL, "schema 1", ERR_UNIMPLEMENTED },
		{ "{\"schemaVersion\":\"2\"}", NULL, "schemaVersion", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2}", NULL, "neither", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2,\"manifests\":[]," CONFIG ",\"layers\":[]}", NULL,
		    "at once", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", OCI_INDEX, "at once",
		    ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX "\"," CONFIG ",\"layers\":[]}",
		    NULL, "is a manifest but", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST "\"," CONFIG
		  ",\"layers\":[]}",
		    OCI_INDEX, "announced", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", OCI_INDEX, "is a manifest but",
		    ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", "text/html", "text/html",
		    ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":{}}", NULL, "not a list",
		    ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG "}", NULL, "not a list", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2,\"layers\":[]}", NULL, "config", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[7]}", NULL, "layers[0]",
		    ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"" GZIP
		  "\",\"digest\":\"sha256:../../x\",\"size\":1}]}",
		    NULL, "digest", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"" GZIP
		  "\",\"digest\":\"" D1 "\",\"size\":-1}]}",
		    NULL, "size", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"" GZIP
		  "\",\"digest\":\"" D1 "\",\"size\":9223372036854775807}]}",
		    NULL, "size", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"mediaType\":\"" GZIP
		  "\",\"digest\":\"" D1 "\",\"size\":1.5}]}",
		    NULL, "size", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG
		  ",\"layers\":[{\"mediaType\":\"text/x-cake\",\"digest\":\"" D1 "\",\"size\":1}]}",
		    NULL, "text/x-cake", ERR_UNIMPLEMENTED },
		{ "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/"
		  "x-helm\",\"digest\":\"" D1 "\",\"size\":1},\"layers\":[]}",
		    NULL, "not a container image", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[]} x", NULL, "not JSON",
		    ERR_INVALID_ARGUMENT },
		{ "\xef\xbb\xbf{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", NULL, "not JSON",
		    ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2,\"schemaVersion\":2," CONFIG ",\"layers\":[]}", NULL,
		    "not JSON", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":2,\"mediaType\":\"a\\u0000b\"," CONFIG ",\"layers\":[]}",
		    NULL, "not JSON", ERR_INVALID_ARGUMENT },
		{ "{\"schemaVersion\":1e999999}", NULL, "not JSON", ERR_INVALID_ARGUMENT },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct oci_doc d;
		struct err e;
		int r = parse(bad[i].text, bad[i].type, &d, &e);

		if (r != -(int)bad[i].code || strstr(e.msg, bad[i].says) == NULL)
			fail_msg("%zu: %s -> %d %s", i, bad[i].text, r, e.msg);
		assert_null(d.descs);
	}
}

static void
limits(void **state)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	AUTO(json_free_ptr) json_t *j = NULL;
	struct err e = ERR_ZERO;
	struct oci_doc d = { .ndescs = 0 };

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		(void)buf_adds(&b, "[");
	assert_int_equal(oci_json_parse(b.data, b.len, &j, &e), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(e.msg, "deeper"));
	b.len = 0;
	(void)buf_adds(&b, "[");
	for (unsigned i = 0; i < 300000; i++)
		(void)buf_adds(&b, "1,");
	(void)buf_adds(&b, "1]");
	assert_int_equal(oci_json_parse(b.data, b.len, &j, &e), -ERR_RESOURCE_EXHAUSTED);
	b.len = 0;
	/* Brackets in a string are not depth. */
	(void)buf_adds(&b, "{\"x\":\"\\\"");
	for (unsigned i = 0; i < 100; i++)
		(void)buf_adds(&b, "[");
	(void)buf_adds(&b, "\"}");
	if (oci_json_parse(b.data, b.len, &j, &e) < 0)
		fail_msg("%s", e.msg);
	b.len = 0;
	(void)buf_adds(&b, "{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER);
	for (unsigned i = 1; i < OCI_LAYERS_MAX; i++)
		(void)buf_adds(&b, "," LAYER);
	(void)buf_adds(&b, "]}");
	if (oci_doc_parse(b.data, b.len, NULL, &d, &e) < 0)
		fail_msg("%s", e.msg);
	oci_doc_free(&d);
	b.len -= 2;
	(void)buf_adds(&b, "," LAYER "]}");
	assert_int_equal(oci_doc_parse(b.data, b.len, NULL, &d, &e), -ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(oci_json_parse(b.data, OCI_JSON_MAX + 1, &j, &e), -ERR_RESOURCE_EXHAUSTED);
}

static int
config(const char *text, size_t layers, struct oci_config *c, struct err *e)
{
	*c = (struct oci_config){ .nlayers = 0 };
	*e = ERR_ZERO;
	return oci_config_parse(text, strlen(text), layers, c, e);
}

static void
configs(void **state)
{
	static const char two[] =
	    "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"" D1
	    "\",\"" D2 "\"]}}";
	struct oci_config c;
	struct err e;

	(void)state;
	if (config(two, 2, &c, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(c.has_platform);
	assert_string_equal(c.chain_ids[0].text, D1);
	/* printf '%s %s' D1 D2 | sha256sum */
	assert_string_equal(c.chain_ids[1].text, CHAIN2);
	oci_config_free(&c);
	assert_int_equal(config(two, 3, &c, &e), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(e.msg, "3 layers"));
	assert_int_equal(config("{}", 0, &c, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(
	    config("{\"rootfs\":{\"diff_ids\":[7]}}", 1, &c, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(
	    config("{\"rootfs\":{\"diff_ids\":[\"sha256:/\"]}}", 1, &c, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(
	    config("{\"os\":5,\"rootfs\":{\"diff_ids\":[]}}", 0, &c, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(config("{\"rootfs\":{\"diff_ids\":[]}}", 0, &c, &e), 0);
	assert_false(c.has_platform);
	oci_config_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manifest),
		cmocka_unit_test(an_index),
		cmocka_unit_test(bad_ones),
		cmocka_unit_test(limits),
		cmocka_unit_test(configs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
