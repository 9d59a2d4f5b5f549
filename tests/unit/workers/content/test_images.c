/* SPDX-License-Identifier: Apache-2.0 */
/* images, tree, gc and recovery, on a real store and real blobs. */
#include "workers/content/images.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/content/gc.h"
#include "workers/content/tree.h"

struct bench {
	char dir[40];
	struct content c;
	struct digest layer[3], config, manifest, index;
	size_t nlayers;
};

static void
put(struct bench *b, const char *text, struct digest *d)
{
	struct err e = ERR_ZERO;

	digest_of(DIGEST_SHA256, text, strlen(text), d);
	if (blobs_write(&b->c.blobs, d, text, strlen(text), &e) < 0)
		fail_msg("%s", e.msg);
}

/* An index of one manifest here (amd64) and one that is not (s390x); the layers named. */
static void
image_make(struct bench *b, const char *const layers[], size_t n)
{
	AUTO(buf_free) struct buf config = BUF_ZERO, manifest = BUF_ZERO, index = BUF_ZERO;

	(void)buf_adds(
	    &config, "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[");
	b->nlayers = n;
	for (size_t i = 0; i < n; i++) {
		struct digest diff;

		put(b, layers[i], &b->layer[i]);
		digest_of(DIGEST_SHA256, layers[i], strlen(layers[i]), &diff);
		(void)buf_addf(&config, "%s\"%s\"", i > 0 ? "," : "", diff.text);
	}
	(void)buf_adds(&config, "]}}");
	put(b, buf_str(&config), &b->config);
	(void)buf_addf(&manifest,
	    "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST
	    "\",\"config\":{\"mediaType\":\"" OCI_CONFIG
	    "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[",
	    b->config.text, config.len);
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(&manifest,
		    "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\","
		    "\"size\":%zu}",
		    i > 0 ? "," : "", b->layer[i].text, strlen(layers[i]));
	(void)buf_adds(&manifest, "]}");
	put(b, buf_str(&manifest), &b->manifest);
	(void)buf_addf(&index,
	    "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX
	    "\",\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST
	    "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":"
	    "\"amd64\"}},{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"sha256:"
	    "%064d\",\"size\":7,\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}}]}",
	    b->manifest.text, manifest.len, 7);
	put(b, buf_str(&index), &b->index);
}

static void
row_add(struct bench *b, struct txn *t, const char *ns, const struct digest *d)
{
	struct err e = ERR_ZERO;
	uint64_t size = 0;

	assert_true(blobs_has(&b->c.blobs, d, 0, &size));
	assert_int_equal(blob_row_add(&b->c, t, ns, NULL, d, size, NULL, 0, &e), 0);
}

/* Rows for everything below the image, and its name. */
static void
image_name(struct bench *b, const char *ns, const char *name)
{
	struct descriptor target = { .media_type = OCI_INDEX, .digest = b->index.text, .size = 1 };
	struct image im = { .name = name, .target = &target };
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;

	assert_int_equal(store_write(b->c.store, &t, &e), 0);
	for (size_t i = 0; i < b->nlayers; i++)
		row_add(b, t, ns, &b->layer[i]);
	row_add(b, t, ns, &b->config);
	row_add(b, t, ns, &b->manifest);
	row_add(b, t, ns, &b->index);
	if (image_put(&b->c, t, ns, &im, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(store_commit(&t, &e), 0);
}

/* A snapshot as the snapshot worker has it. */
static void
snapshot_add(struct graph *g, const char *ns, const char *key, const char *parent)
{
	char text[300];
	uint32_t node, up;

	(void)snprintf(text, sizeof(text), "overlay/%s", key);
	node = graph_node(g, NODE_SNAPSHOT, ns, text);
	graph_exists(g, node);
	if (parent == NULL)
		return;
	(void)snprintf(text, sizeof(text), "overlay/%s", parent);
	up = graph_node(g, NODE_SNAPSHOT, ns, text);
	graph_edge(g, node, up, true);
}

static void
chain_top(const struct bench *b, struct digest *ret)
{
	char both[300];

	(void)snprintf(both, sizeof(both), "%s %s", b->layer[0].text, b->layer[1].text);
	digest_of(DIGEST_SHA256, both, strlen(both), ret);
}

/* A collection from begin to end; the layers of b's image in ns stay, or not. */
static void
collect(struct bench *b, const char *ns, struct gc_totals *sum, bool *ret_layers)
{
	AUTO(graph_free) struct graph *g = graph_new();
	struct gc_dropped out = { .files = { .n = 0 } };
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;
	struct digest top;
	struct graph_item it;
	int64_t next = INT64_MAX;
	uint32_t at = 0;

	*sum = (struct gc_totals){ .blobs = 0 };
	chain_top(b, &top);
	snapshot_add(g, ns, b->layer[0].text, NULL); /* plain layers: their diff ids */
	snapshot_add(g, ns, top.text, b->layer[0].text);
	assert_int_equal(store_read(b->c.store, &t, &e), 0);
	assert_int_equal(gc_load(&b->c, g, t, 1, &next, &e), 0);
	store_abort(&t);
	graph_trace(g);
	*ret_layers = !graph_garbage(g, 0, &it);
	assert_int_equal(*ret_layers, !graph_garbage(g, 1, &it));
	assert_int_equal(store_write(b->c.store, &t, &e), 0);
	if (gc_drop(&b->c, g, t, &at, 1000, &out, sum, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(store_commit(&t, &e), 0);
	gc_dropped_files(&b->c, &out, sum);
}

static void
image_drop(
    struct bench *b, const char *ns, const char *name, struct gc_totals *sum, bool *ret_layers)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;

	assert_int_equal(store_write(b->c.store, &t, &e), 0);
	assert_int_equal(image_row_drop(t, ns, name, &e), 0);
	assert_int_equal(store_commit(&t, &e), 0);
	collect(b, ns, sum, ret_layers);
}

static int
find(struct bench *b, const char *ref, char *name, unsigned *names, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct image im;
	int r;

	*e = ERR_ZERO;
	assert_int_equal(store_read(b->c.store, &t, e), 0);
	r = image_find(t, "default", ref, &a, &im, names, e);
	if (r == 0)
		(void)snprintf(name, 600, "%s", im.name);
	return r;
}

static void
content_start(struct bench *b)
{
	struct err e = ERR_ZERO;

	b->c = (struct content){ .loop = loop_new(), .options = CONTENT_OPTIONS_DEFAULT };
	if (content_up(&b->c, b->dir, NULL, &e) < 0)
		fail_msg("%s", e.msg);
}

static void
content_stop(struct bench *b)
{
	content_down(&b->c);
	loop_free(&b->c.loop);
}

static int
up(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));

	(void)strcpy(b->dir, "/tmp/coffer-images-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	content_start(b);
	*state = b;
	return 0;
}

static int
down(void **state)
{
	struct bench *b = *state;
	struct err e = ERR_ZERO;

	content_stop(b);
	assert_int_equal(fs_remove_tree(AT_FDCWD, b->dir, &e), 0);
	free(b);
	return 0;
}

static const char *const one_two[] = { "layer one", "layer two" };
static const char *const one_three[] = { "layer one", "layer three" };

static void
found_by_every_name(void **state)
{
	struct bench *b = *state;
	char name[600], text[200];
	struct err e;
	unsigned names;

	image_make(b, one_two, 2);
	image_name(b, "default", "docker.io/library/nginx:latest");
	image_name(b, "default", "quay.io/a/nginx:1");
	assert_int_equal(find(b, "nginx", name, NULL, &e), 0);
	assert_string_equal(name, "docker.io/library/nginx:latest");
	assert_int_equal(find(b, "docker.io/library/nginx", name, NULL, &e), 0);
	assert_int_equal(find(b, b->index.text, name, &names, &e), 0);
	assert_int_equal(names, 2);
	assert_int_equal(find(b, digest_hex(&b->index), name, NULL, &e), 0);
	(void)snprintf(text, sizeof(text), "%.12s", digest_hex(&b->index));
	assert_int_equal(find(b, text, name, &names, &e), 0);
	(void)snprintf(text, sizeof(text), "quay.io/a/nginx@%s", b->index.text);
	assert_int_equal(find(b, text, name, &names, &e), 0);
	assert_string_equal(name, "quay.io/a/nginx:1");
	assert_int_equal(names, 1);
	(void)snprintf(text, sizeof(text), "quay.io/a/other@%s", b->index.text);
	assert_int_equal(find(b, text, name, &names, &e), -ERR_NOT_FOUND);
	assert_int_equal(find(b, "nginx:2", name, NULL, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "ctr images pull nginx:2"));
	assert_int_equal(find(b, "NGINX", name, NULL, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(find(b, "", name, NULL, &e), -ERR_INVALID_ARGUMENT);
}

static void
a_start_of_two_digests_is_refused(void **state)
{
	struct bench *b = *state;
	char name[600], first[8];
	struct err e;

	image_make(b, one_two, 2);
	image_name(b, "default", "a.io/x:0");
	(void)snprintf(first, sizeof(first), "%.4s", digest_hex(&b->index));
	/* Others until one starts with the same four digits would take long: give it one by hand. */
	{
		char text[80];
		struct descriptor target = { .media_type = OCI_INDEX, .digest = text, .size = 1 };
		struct image im = { .name = "a.io/x:1", .target = &target };
		AUTO(store_abort) struct txn *t = NULL;

		(void)snprintf(text, sizeof(text), "sha256:%s%060d", first, 1);
		assert_int_equal(store_write(b->c.store, &t, &e), 0);
		assert_int_equal(image_put(&b->c, t, "default", &im, &e), 0);
		assert_int_equal(store_commit(&t, &e), 0);
	}
	assert_int_equal(find(b, first, name, NULL, &e), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(e.msg, "more digits"));
	assert_int_equal(find(b, "a.io/x:1", name, NULL, &e), 0);
}

static void
events_and_times(void **state)
{
	struct bench *b = *state;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct outbox_entry_list l = { .n = 0 };
	struct err e = ERR_ZERO;
	unsigned creates = 0, updates = 0, blobs = 0, spaces = 0;

	image_make(b, one_two, 2);
	image_name(b, "other", "a.io/x:0");
	image_name(b, "other", "a.io/x:0");
	assert_int_equal(store_outbox(b->c.store, 0, 100, &a, &l, &e), 0);
	for (uint32_t i = 0; i < l.n; i++) {
		assert_string_equal(l.v[i].ns, "other");
		creates += strcmp(l.v[i].topic, "/images/create") == 0;
		updates += strcmp(l.v[i].topic, "/images/update") == 0;
		blobs += strcmp(l.v[i].topic, "/content/create") == 0;
		spaces += strcmp(l.v[i].topic, "/namespaces/create") == 0;
	}
	assert_int_equal(creates, 1);
	assert_int_equal(updates, 1);
	assert_int_equal(blobs, 5);
	assert_int_equal(spaces, 1);
}

static void
the_platform_that_is_here(void **state)
{
	struct bench *b = *state;
	struct oci_desc target = { .size = 1 };
	struct tree tree = { .doc = { .ndescs = 0 } };
	struct platform p;
	struct err e = ERR_ZERO;

	image_make(b, one_two, 2);
	target.digest = b->index;
	(void)strcpy(target.media_type, OCI_INDEX);
	assert_int_equal(platform_parse("linux/amd64", &p, &e), 0);
	if (tree_choose(&b->c, "x", &target, &p, &tree, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(tree.manifest.digest.text, b->manifest.text);
	assert_int_equal(tree.config.nlayers, 2);
	tree_free(&tree);
	assert_int_equal(platform_parse("linux/s390x", &p, &e), 0);
	assert_int_equal(tree_choose(&b->c, "x", &target, &p, &tree, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "not here for linux/s390x"));
	assert_int_equal(platform_parse("linux/riscv64", &p, &e), 0);
	assert_int_equal(tree_choose(&b->c, "x", &target, &p, &tree, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "linux/amd64, linux/s390x"));
	/* A lone manifest of another architecture. */
	target.digest = b->manifest;
	(void)strcpy(target.media_type, OCI_MANIFEST);
	assert_int_equal(tree_choose(&b->c, "x", &target, &p, &tree, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "it is for linux/amd64"));
}

static void
what_others_use_stays(void **state)
{
	struct bench *b = *state;
	struct gc_totals sum;
	struct bench first;
	bool layers;

	image_make(b, one_two, 2);
	image_name(b, "default", "a.io/x:0");
	first = *b;
	image_make(b, one_three, 2);
	image_name(b, "default", "a.io/x:1");
	/* The second goes: its own layer, config, manifest, index; the first layer is shared. */
	image_drop(&first, "elsewhere", "none", &sum, &layers);
	assert_int_equal(sum.blobs, 0);
	image_drop(b, "default", "a.io/x:1", &sum, &layers);
	assert_int_equal(sum.blobs, 4);
	assert_true(sum.bytes > strlen("layer three"));
	assert_false(blobs_has(&b->c.blobs, &b->layer[1], 0, NULL));
	assert_true(blobs_has(&b->c.blobs, &b->layer[0], 0, NULL));
	assert_true(blobs_has(&b->c.blobs, &first.index, 0, NULL));
}

static void
another_namespace_keeps_the_files(void **state)
{
	struct bench *b = *state;
	struct gc_totals sum;
	bool layers;

	image_make(b, one_two, 2);
	image_name(b, "default", "a.io/x:0");
	image_name(b, "other", "a.io/y:0");
	image_drop(b, "default", "a.io/x:0", &sum, &layers);
	assert_int_equal(sum.blobs, 5);
	assert_int_equal(sum.bytes, 0);
	assert_false(layers); /* layers are unpacked per namespace */
	assert_true(blobs_has(&b->c.blobs, &b->layer[1], 0, NULL));
	image_drop(b, "other", "a.io/y:0", &sum, &layers);
	assert_int_equal(sum.blobs, 5);
	assert_false(blobs_has(&b->c.blobs, &b->layer[1], 0, NULL));
}

static void
a_second_name_keeps_everything(void **state)
{
	struct bench *b = *state;
	struct gc_totals sum;
	bool layers;

	image_make(b, one_two, 2);
	image_name(b, "default", "a.io/x:0");
	image_name(b, "default", "a.io/x:1");
	image_drop(b, "default", "a.io/x:0", &sum, &layers);
	assert_int_equal(sum.blobs, 0);
	assert_true(layers);
}

/* A store from before the labels gets them at its start, and loses nothing. */
static int
forget(void *arg, const struct key *k, void *rec, struct err *e)
{
	(void)rec;
	return store_del(arg, TABLE_STATE, k, e);
}

static void
an_old_store_gets_labels(void **state)
{
	struct bench *b = *state;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;
	struct gc_totals sum;
	struct digest *rows[] = { &b->index, &b->manifest, &b->config };
	bool layers;

	image_make(b, one_two, 2);
	image_name(b, "default", "a.io/x:0");
	assert_int_equal(store_write(b->c.store, &t, &e), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct blob row;

		assert_int_equal(blob_row_get(t, "default", rows[i], &a, &row, &e), 0);
		assert_true(row.labels.n > 0);
		row.labels.n = 0;
		assert_int_equal(blob_row_put(&b->c, t, "default", &row, &e), 0);
	}
	assert_int_equal(
	    store_each(t, TABLE_STATE, NULL, NULL, &content_state_schema, &a, forget, t, &e), 0);
	assert_int_equal(store_commit(&t, &e), 0);
	content_stop(b);
	content_start(b);
	collect(b, "default", &sum, &layers);
	assert_int_equal(sum.blobs, 0);
	assert_true(layers);
}

static void
the_start_makes_rows_and_files_agree(void **state)
{
	struct bench *b = *state;
	struct digest stray, lost;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;
	uint64_t rows = 0;
	int fd;

	image_make(b, one_two, 2);
	image_name(b, "default", "a.io/x:0");
	put(b, "a file without a row", &stray);
	lost = b->layer[1];
	assert_int_equal(blobs_remove(&b->c.blobs, &lost, &e), 0);
	fd = openat(b->c.blobs.algs[0], "half-written.tmp", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	content_stop(b);
	content_start(b);
	assert_false(blobs_has(&b->c.blobs, &stray, 0, NULL));
	assert_true(blobs_has(&b->c.blobs, &b->layer[0], 0, NULL));
	assert_int_equal(faccessat(b->c.blobs.algs[0], "half-written.tmp", F_OK, 0), -1);
	assert_int_equal(store_read(b->c.store, &t, &e), 0);
	assert_int_equal(store_count(t, TABLE_BLOBS, &rows, &e), 0);
	assert_int_equal(rows, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(found_by_every_name),
		TEST(a_start_of_two_digests_is_refused),
		TEST(events_and_times),
		TEST(the_platform_that_is_here),
		TEST(what_others_use_stays),
		TEST(another_namespace_keeps_the_files),
		TEST(a_second_name_keeps_everything),
		TEST(an_old_store_gets_labels),
		TEST(the_start_makes_rows_and_files_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
