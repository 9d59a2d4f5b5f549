/* SPDX-License-Identifier: Apache-2.0 */
/* labels, and the references in them. */
#include "lib/filter/labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "workers/content/graph.h"

#define KVS(...)                                     \
	((struct kvs){ (struct kv[]){ __VA_ARGS__ }, \
	    sizeof((struct kv[]){ __VA_ARGS__ }) / sizeof(struct kv) })
#define STRS(...)                                        \
	((struct strs){ (const char *[]){ __VA_ARGS__ }, \
	    sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *) })

static const char *
text(const struct kvs *l, char to[200])
{
	size_t n = 0;

	to[0] = '\0';
	for (uint32_t i = 0; i < l->n; i++)
		n += (size_t)snprintf(to + n, 200 - n, "%s=%s ", l->v[i].k, l->v[i].v);
	return to;
}

static void
updates(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct kvs none = { .n = 0 }, have = KVS({ "a", "1" }, { "b", "2" });
	struct kvs want = KVS({ "b", "3" }, { "c", "" }, { "d", "4" });
	struct strs no = { .n = 0 };
	struct err e = ERR_ZERO;
	bool other = false;
	char to[200];
	struct kvs l;

	(void)state;
	l = have;
	assert_int_equal(
	    labels_update(&l, &want, &STRS("labels.b", "labels.a"), NULL, NULL, &a, &e), 0);
	assert_string_equal(text(&l, to), "b=3 ");
	l = have;
	assert_int_equal(labels_update(&l, &want, &no, "target", &other, &a, &e), 0);
	assert_string_equal(text(&l, to), "b=3 d=4 ");
	assert_true(other);
	l = have;
	assert_int_equal(labels_update(&l, &none, &STRS("target"), "target", &other, &a, &e), 0);
	assert_string_equal(text(&l, to), "a=1 b=2 ");
	assert_true(other);
	assert_int_equal(labels_update(&l, &none, &STRS("labels"), "target", &other, &a, &e), 0);
	assert_int_equal(l.n, 0);
	assert_false(other);
	l = have;
	assert_int_equal(
	    labels_update(&l, &want, &STRS("labels."), NULL, NULL, &a, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(labels_update(&l, &want, &STRS("size"), "target", &other, &a, &e),
	    -ERR_INVALID_ARGUMENT);
	assert_string_equal(text(&l, to), "a=1 b=2 ");
	labels_merge(&l, &want, &a);
	assert_string_equal(text(&l, to), "a=1 b=3 d=4 ");
}

static void
limits(void **state)
{
	char value[4097];
	struct kvs l = KVS({ "k", value });
	struct err e = ERR_ZERO;

	(void)state;
	memset(value, 'v', sizeof(value));
	value[4095] = '\0';
	assert_int_equal(labels_check(&l, &e), 0);
	value[4095] = 'v';
	value[4096] = '\0';
	assert_int_equal(labels_check(&l, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(labels_check(&KVS({ "", "v" }), &e), -ERR_INVALID_ARGUMENT);
}

static void
ref_print(void *arg, enum node_type type, const char *key, bool back)
{
	(void)buf_addf(arg, "%c%s%s ", (char)type, back ? "<" : ">", key);
}

static void
references(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct kvs l = KVS({ "containerd.io/gc.ref.content", "1" },
	    { "containerd.io/gc.ref.content.l.0", "2" }, { "containerd.io/gc.ref.content/x", "3" },
	    { "containerd.io/gc.ref.contents", "no" }, { "containerd.io/gc.ref.image.y", "4" },
	    { "containerd.io/gc.ref.container", "no" }, { "containerd.io/gc.bref.container", "5" },
	    { "containerd.io/gc.bref.content.z", "6" },
	    { "containerd.io/gc.ref.snapshot.overlay", "7" },
	    { "containerd.io/gc.ref.snapshot.overlay/a.b", "8" },
	    { "containerd.io/gc.ref.snapshot.", "no" }, { "containerd.io/gc.ref.snapshot", "no" },
	    { "containerd.io/gc.root", "no" }, { "gc.ref.content", "no" });

	(void)state;
	graph_refs(&l, ref_print, &out);
	assert_string_equal(buf_str(&out), "b>1 b>2 b>3 i>4 c<5 b<6 s>overlay/7 s>overlay/8 ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(updates),
		cmocka_unit_test(limits),
		cmocka_unit_test(references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
