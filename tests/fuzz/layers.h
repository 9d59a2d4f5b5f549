/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers - tars of layers out of a fuzzer's bytes. The first byte says how:
 *
 *	0	the rest is a tar as it is
 *	1	the same, but its checksums are made right, so that mutations reach what is behind them
 *	else	the rest describes entries: type and what it has, name, link, body, pax lines (a length before
 *		each), mode, owner, device
 */
#ifndef CF_TESTS_FUZZ_LAYERS_H
#define CF_TESTS_FUZZ_LAYERS_H

#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/workers/snapshot/tarmake.h"
#include "workers/snapshot/tar.h"
#include "workers/snapshot/tree.h"

#define LAYERS_INPUT_MAX 65536
#define LAYERS_ENTRIES_MAX 40

struct input {
	const uint8_t *p;
	size_t n;
};

static inline uint8_t
input_byte(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

/* A text of the input, its length before it; NULL for none. */
static inline char *
input_text(struct input *in, struct arena *a, size_t max)
{
	size_t n = input_byte(in) % (max + 1);
	char *t;

	if (n > in->n)
		n = in->n;
	if (n == 0)
		return NULL;
	t = arena_memdup(a, in->p, n);
	in->p += n;
	in->n -= n;
	return t;
}

/* Lines "key=value", which is all that tar_pax can write. */
static inline char *
input_pax(struct input *in, struct arena *a)
{
	const char *t = input_text(in, a, 200);
	char *lines;

	if (t == NULL || t[0] == '\n')
		return NULL;
	lines = arena_printf(a, "%s\n", t);
	for (char *p = lines; *p != '\0'; p += strcspn(p, "\n") + 1) {
		size_t key = strcspn(p, "=\n");

		if (p[key] != '=' || key > 100)
			return NULL;
	}
	return lines;
}

static inline void
layers_entry(struct input *in, struct buf *tar)
{
	static const char types[] = "0123456502";
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	uint8_t first = input_byte(in);
	struct entry e = { .type = types[first % 10] };

	e.name = input_text(in, &a, 90);
	if (e.name == NULL)
		e.name = "x";
	e.link = (first & 0x20) != 0 || e.type == '1' || e.type == '2' ? input_text(in, &a, 90)
								       : NULL;
	if (e.type == '0')
		e.body = input_text(in, &a, 255);
	if ((first & 0x40) != 0)
		e.pax = input_pax(in, &a);
	e.mode = input_byte(in) | (unsigned)(input_byte(in) & 0x0f) << 8;
	e.uid = input_byte(in);
	e.major = input_byte(in) % 4;
	e.minor = input_byte(in) % 4;
	tar_add(tar, &e);
}

/* At most n entries that in describes. */
static inline void
layers_describe(struct input *in, unsigned n, struct buf *tar)
{
	for (unsigned i = 0; i < n && in->n > 0; i++)
		layers_entry(in, tar);
	tar_end(tar);
}

/* The checksum of a header is that of its bytes, with blanks in its own place. */
static inline void
layers_seal(uint8_t *h)
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (unsigned i = 0; i < 512; i++)
		sum += h[i];
	(void)snprintf((char *)h + 148, 8, "%06o", sum);
}

static inline void
layers_seal_all(struct buf *tar)
{
	static const uint8_t zeros[512];
	uint8_t *p = (uint8_t *)tar->data;

	for (size_t at = 0; at + 512 <= tar->len;) {
		size_t size = 0;

		if (memcmp(p + at, zeros, 512) != 0) {
			layers_seal(p + at);
			for (unsigned i = 124; i < 135; i++)
				if (p[at + i] >= '0' && p[at + i] <= '7')
					size = size << 3 | (p[at + i] & 7u);
		}
		at += 512;
		at += size < tar->len - at ? (size + 511) / 512 * 512
					   : 0; /* a lie: look at all of it */
	}
}

static inline void
layers_tar(const uint8_t *data, size_t n, struct buf *tar)
{
	struct input in = { .p = data + 1, .n = n - 1 };

	if (data[0] > 1) {
		layers_describe(&in, LAYERS_ENTRIES_MAX, tar);
		return;
	}
	(void)buf_add(tar, in.p, in.n); /* no limit */
	if (data[0] == 1 && tar->len > 0)
		layers_seal_all(tar);
}

/* --- unpacking them --------------------------------------------------------------------------------- */

struct layers_stream {
	const struct buf *tar;
	bool given;
};

static inline ssize_t
layers_next(void *arg, const void **ret_block, struct err *e)
{
	struct layers_stream *s = arg;

	(void)e;
	if (s->given)
		return 0;
	s->given = true;
	*ret_block = s->tar->data;
	return (ssize_t)s->tar->len;
}

/* Every refusal has a code and says why. */
static inline int
layers_fill(const struct buf *tar, struct sink *to, struct err *e)
{
	struct tar_limits limits = { .bytes = 4 << 20, .entries = 1000 };
	struct layers_stream s = { .tar = tar };
	int r = tar_unpack(layers_next, &s, to, &limits, e);

	MUST(r == 0 || (e->code != ERR_NONE && e->msg[0] != '\0'));
	return r;
}

/* Into the folder behind dir; what it implies goes into implied. */
static inline int
layers_fill_folder(const struct buf *tar, int dir, struct buf *implied)
{
	AUTO(tree_free) struct tree *t = tree_new(dir, 1 << 20);
	struct digest none = { .text = "" };
	struct layer_usage usage;
	struct err e = ERR_ZERO;
	int r = layers_fill(tar, tree_sink(t), &e);

	if (r == 0)
		r = tree_sink(t)->ops->finish(tree_sink(t), &none, false, &e);
	tree_sink(t)->ops->usage(tree_sink(t), &usage);
	(void)tree_sink(t)->ops->implied(tree_sink(t), implied);
	return r;
}

/* --- seeds ------------------------------------------------------------------------------------------- */

/* Length, then the text. */
static inline void
layers_say(struct buf *b, const char *t)
{
	char n = (char)strlen(t);

	(void)buf_add(b, &n, 1); /* no limit */
	(void)buf_adds(b, t);
}

struct layers_seed {
	char first;
	const char *name, *link, *body, *pax;
};

static const struct layers_seed layers_seeds[] = { { 5, "d", NULL, NULL, NULL },
	{ 0, "d/f", NULL, "body", NULL }, { 2, "d/out", "../../outside", NULL, NULL },
	{ 2, "abs", "/", NULL, NULL }, { 0, "d/out", NULL, "over", NULL },
	{ 0, "abs/etc/x", NULL, "x", NULL }, { 1, "hard", "../outside", NULL, NULL },
	{ 1, "hard2", "d/f", NULL, NULL }, { 0, "../../etc/y", NULL, "y", NULL },
	{ 3, "d/null", NULL, NULL, NULL }, { 6, "d/fifo", NULL, NULL, NULL },
	{ 0, "d/.wh.f", NULL, "", NULL }, { 0, "d/.wh..wh..opq", NULL, "", NULL },
	{ 5, "a/b/c", NULL, NULL, NULL }, { 0, "a/.wh.b", NULL, "", NULL },
	{ 5, "a/b", NULL, NULL, NULL },
	{ 0x40, "p", NULL, "b", "path=q\nSCHILY.xattr.user.k=v\nsize=1\n" } };

static inline void
layers_seed_entry(const struct layers_seed *s, struct buf *b)
{
	(void)buf_add(b, &s->first, 1);
	layers_say(b, s->name);
	if (s->link != NULL)
		layers_say(b, s->link);
	if (s->body != NULL)
		layers_say(b, s->body);
	if (s->pax != NULL)
		layers_say(b, s->pax);
	(void)buf_add(b, "\xa4\1\0\1\2", 5);
}

/* Headers that no description makes: long names and links of GNU tar, its sparse files, old and new. */
static inline void
layers_odd_headers(struct buf *b)
{
	static const struct entry odd[] = { { .name = "etc/", .type = '5' },
		{ .name = "etc/passwd", .type = '0', .body = "root" },
		{ .name = "././@LongLink", .type = 'L', .body = "long/name/of/a/file" },
		{ .name = "././@LongLink", .type = 'K', .body = "../../long/link" },
		{ .name = "x", .type = '2', .link = "y" },
		{ .name = "etc/link", .type = '2', .link = "../../outside" },
		{ .name = "etc/link/x", .type = '0', .body = "y" },
		{ .name = "hard", .type = '1', .link = "etc/passwd" },
		{ .name = "etc/.wh.passwd", .type = '0' },
		{ .name = "etc/.wh..wh..opq", .type = '0' },
		{ .name = "y", .type = '0', .pax = "path=long/name\nSCHILY.xattr.user.a=b\n" },
		{ .name = "s",
		    .type = '0',
		    .body = "2\n0\n1\n9\n1\nxy",
		    .pax = "GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.name=sp\nGNU.sparse."
			   "realsize=10\n" },
		{ .name = "t",
		    .type = '0',
		    .body = "xy",
		    .pax = "GNU.sparse.size=20\nGNU.sparse.map=0,1,15,1\n" } };

	for (size_t i = 0; i < COUNT(odd); i++)
		tar_add(b, &odd[i]);
}

/* An old sparse file: the map is in the header, and its end in a block behind. */
static inline void
layers_old_sparse(struct buf *b)
{
	struct entry e = { .name = "old", .type = 'S' };
	AUTO(buf_free) struct buf h = BUF_ZERO;

	tar_header(&h, &e, e.name, 'S', 4);
	memcpy(h.data + 257, "ustar  ", 8);
	tar_octal(h.data + 386, 12, 0);
	tar_octal(h.data + 398, 12, 2);
	tar_octal(h.data + 410, 12, 4096);
	tar_octal(h.data + 422, 12, 2);
	tar_octal(h.data + 483, 12, 4098);
	layers_seal((uint8_t *)h.data);
	(void)buf_add(b, h.data, h.len);
	(void)buf_add(b, "abcd", 4);
	tar_pad(b);
}

static inline void
layers_seed_all(fuzz_seed_fn *seed, void *arg)
{
	AUTO(buf_free) struct buf whole = BUF_ZERO;
	AUTO(buf_free) struct buf b = BUF_ZERO;
	AUTO(buf_free) struct buf tar = BUF_ZERO;

	layers_odd_headers(&tar);
	layers_old_sparse(&tar);
	for (char how = 0; how < 2; how++) {
		whole.len = 0;
		(void)buf_add(&whole, &how, 1);
		(void)buf_add(&whole, tar.data, tar.len);
		seed(arg, whole.data, whole.len);
	}
	MUST(buf_adds(&b, "\2") == 0);
	for (size_t i = 0; i < COUNT(layers_seeds); i++) {
		layers_seed_entry(&layers_seeds[i], &b);
		if (i % 3 == 0)
			seed(arg, b.data, b.len);
	}
	seed(arg, b.data, b.len);
}

#endif
