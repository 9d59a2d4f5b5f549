/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_filter - filters in containerd's language, and the patterns in them, on two records.
 *
 * What is taken answers, or says that it is too costly; what is not taken is invalid_argument, in one
 * line.
 */
#include <string.h>

#include "lib/base/auto.h"
#include "lib/filter/filter.h"
#include "tests/fuzz/fuzz.h"

static struct kv labels[] = { { "plain", "yes" }, { "io.x/y", "a,b" } };
static struct descriptor target = {
	.media_type = "application/vnd.oci.image.index.v1+json", .digest = "sha256:0123", .size = 42
};
static const struct image image = {
	.name = "docker.io/library/nginx:1.25", .target = &target, .labels = { labels, 2 }
};
static const struct container container = { .id = "box", .runtime = "io.containerd.runc.v2" };

static void
one(const struct schema *s, const void *rec, const char *text)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct strs texts = { &text, 1 };
	struct filter *f = NULL;
	struct err e = ERR_ZERO;
	int r = filter_compile(s, &texts, &a, &f, &e);

	MUST(r == 0 || r == -ERR_INVALID_ARGUMENT);
	if (r == 0) {
		r = filter_accepts(f, rec, &e);
		MUST(r == 0 || r == 1 || r == -ERR_RESOURCE_EXHAUSTED);
	}
	MUST(strpbrk(e.msg, "\n\x1b") == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(free_ptr) char *text = xcalloc(1, n + 1);

	memcpy(text, data, n);
	one(&image_schema, &image, text);
	one(&container_schema, &container, text);
	return 0;
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	static const char *const texts[] = { "name==docker.io/library/nginx:1.25",
		"name~=|^docker\\.io/|,labels.plain", "labels.\"io.x/y\"!=\"a,b\\x41\\u00e9\"",
		"target.digest~=/^sha256:[0-9a-f]{4,64}$/", "id~=(?i)BOX|x*?", "runtime.name",
		"target.size==42,createdat==0", "name~=|(a*)*b[^\\d[:alpha:]]\\pL|" };

	for (size_t i = 0; i < COUNT(texts); i++)
		seed(arg, texts[i], strlen(texts[i]));
}
