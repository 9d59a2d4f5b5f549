/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_archive - image archives as an import reads them: names, links, sizes, and the documents in them.
 *
 * First byte 0: the rest is an archive as it is. 1 to 3: it is one of the documents. Else the rest
 * describes files, which come with right checksums: type, name, link, content, each length first.
 */
#include <string.h>

#include "ctr/archive.h"
#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/oci/layout.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/workers/snapshot/tarmake.h"

#define FILES_MAX 40
#define BYTES_MAX (4 << 20)

/* No part of it is "..", it is not absolute, and it is not too long. */
static void
path_holds(const char *path)
{
	MUST(path[0] != '/' && strlen(path) < ARCHIVE_PATH_MAX);
	while (*path != '\0') {
		size_t n = strcspn(path, "/");

		MUST(n > 0 && !(n == 1 && path[0] == '.') && strncmp(path, "..", n) != 0);
		path += n + (path[n] == '/');
	}
}

static void
archive(const void *p, size_t n)
{
	AUTO(archive_in_close) struct archive_in *a = NULL;
	struct archive_file f;
	struct err e = ERR_ZERO;
	char piece[4096];
	size_t got = 0, all = 0;
	int r = archive_in_memory(p, n, &a, &e);

	while (r == 0 && (r = archive_in_next(a, &f, &e)) == 1) {
		path_holds(f.path);
		if (f.link != NULL)
			path_holds(f.link);
		do {
			r = archive_in_read(a, piece, sizeof(piece), &got, &e);
			all += got;
		} while (r == 0 && got > 0 && all < BYTES_MAX);
		if (all >= BYTES_MAX)
			return;
	}
	MUST(r == 0 || (e.code != ERR_NONE && e.msg[0] != '\0'));
}

/* What was taken comes back the same when it is written and read again. */
static void
index_document(const void *p, size_t n)
{
	AUTO(layout_index_free) struct layout_index one = { .n = 0 }, two = { .n = 0 };
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err e = ERR_ZERO;

	if (layout_index_parse(p, n, &one, &e) < 0) {
		MUST(e.msg[0] != '\0');
		return;
	}
	layout_index_write(&one, &text);
	MUST(layout_index_parse(text.data, text.len, &two, &e) == 0 && one.n == two.n);
	for (size_t i = 0; i < one.n; i++)
		MUST(digest_equal(&one.v[i].desc.digest, &two.v[i].desc.digest));
}

static void
saved_document(const void *p, size_t n)
{
	AUTO(layout_saves_free) struct layout_saves one = { .n = 0 }, two = { .n = 0 };
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err e = ERR_ZERO;

	if (layout_saves_parse(p, n, &one, &e) < 0) {
		MUST(e.msg[0] != '\0');
		return;
	}
	layout_saves_write(&one, &text);
	MUST(layout_saves_parse(text.data, text.len, &two, &e) == 0 && one.n == two.n);
}

struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t
byte(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

/* A text of the input, its length before it; "" for none. */
static char *
text(struct input *in, struct arena *a)
{
	size_t n = byte(in);
	char *t;

	if (n > in->n)
		n = in->n;
	t = arena_memdup(a, n == 0 ? "" : (const char *)in->p, n);
	in->p += n;
	in->n -= n;
	return t;
}

static void
described(struct input *in)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(buf_free) struct buf tar = BUF_ZERO;

	for (unsigned i = 0; i < FILES_MAX && in->n > 0; i++) {
		char type = (char)('0' + byte(in) % 7);
		struct entry ent = { .name = text(in, &a), .type = type };

		ent.link = text(in, &a);
		ent.body = text(in, &a);
		tar_header(&tar, &ent, ent.name, type, type == '0' ? strlen(ent.body) : 0);
		if (type == '0')
			(void)buf_adds(&tar, ent.body); /* has no limit */
		tar_pad(&tar);
	}
	archive(buf_str(&tar), tar.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = { .p = data + 1, .n = n - 1 };
	struct err e = ERR_ZERO;

	if (n == 0)
		return 0;
	if (data[0] == 0)
		archive(in.p, in.n);
	else if (data[0] == 1)
		index_document(in.p, in.n);
	else if (data[0] == 2)
		saved_document(in.p, in.n);
	else if (data[0] == 3)
		(void)layout_check(in.p, in.n, &e); /* either answer is fine */
	else
		described(&in);
	return 0;
}

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
seed_archive(fuzz_seed_fn *seed, void *arg)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	struct entry layout = { .name = "oci-layout", .type = '0' };
	struct entry link = { .name = "a/b", .type = '2', .link = "../oci-layout" };

	(void)buf_add(&b, "", 1); /* no limit, here and below */
	tar_header(&b, &layout, "./oci-layout", '0', strlen(LAYOUT_TEXT));
	(void)buf_adds(&b, LAYOUT_TEXT);
	while (b.len % 512 != 1)
		(void)buf_add(&b, "", 1);
	tar_header(&b, &link, "a/b", '2', 0);
	seed(arg, b.data, b.len);
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	static const char *const texts[] = {
		"\1{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST
		"\",\"digest\":\"" D "\",\"size\":5,\"annotations\":{\"io.containerd.image.name\":"
		"\"a/b:1\",\"org.opencontainers.image.ref.name\":\"1\"},\"platform\":{\"os\":"
		"\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}}]}",
		"\2[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\",\"b:2\"],\"Layers\":[\"l/"
		"layer.tar\"]},{\"Config\":\"d\",\"RepoTags\":null}]",
		"\3" LAYOUT_TEXT,
	};

	static const char files[] = "\4\0\12oci-layout\0\2{}\2\3a/b\15../oci-layout\0"
				    "\1\1x\4../y\0\2\1z\2..\0";

	for (size_t i = 0; i < COUNT(texts); i++)
		seed(arg, texts[i], strlen(texts[i]));
	seed(arg, files, sizeof(files) - 1);
	seed_archive(seed, arg);
}
