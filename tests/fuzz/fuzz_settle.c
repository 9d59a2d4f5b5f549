/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_settle - implied folders of a hostile layer on two hostile layers, with a list that lies as well: the
 * layers below stay what they are, and nothing outside changes.
 *
 * Three texts and their numbers of entries: what the list holds beside the truth; then the entries of the lowest layer,
 * of the one above, and of the one that is settled.
 */
#include <sys/mman.h>

#include "tests/fuzz/ground.h"
#include "tests/fuzz/layers.h"
#include "tests/fuzz/trees.h"
#include "workers/snapshot/settle.h"

/* Layer number of the next entries; what it implies goes into implied. */
static void
layer_make(struct input *in, unsigned number, struct buf *implied)
{
	AUTO(buf_free) struct buf tar = BUF_ZERO;
	AUTO(fd_close) int fd = -1;
	char path[32];

	(void)snprintf(path, sizeof(path), GROUND_WORK "/%u/fs", number);
	fd = ground_folder(path);
	layers_describe(in, input_byte(in) % LAYERS_ENTRIES_MAX, &tar);
	(void)layers_fill_folder(
	    &tar, fd, implied); /* refused ones are there as far as they came */
}

static void
below_describe(struct buf *out)
{
	AUTO(fd_close) int one = ground_folder(GROUND_WORK "/1/fs");
	AUTO(fd_close) int two = ground_folder(GROUND_WORK "/2/fs");

	trees_describe(one, 0, out);
	trees_describe(two, 0, out);
}

static void
settle(const struct buf *lies, const struct buf *truth)
{
	static const uint64_t lowers[] = { 2, 1 };
	AUTO(fd_close) int list = memfd_create("list", MFD_CLOEXEC);
	AUTO(fd_close) int folder = ground_folder(GROUND_WORK "/3/fs");
	AUTO(fd_close) int layers = ground_folder(GROUND_WORK);
	struct settled_folder top = settled_folder(folder);
	struct err e = ERR_ZERO;

	MUST(list >= 0 && fs_write_all(list, lies->data, lies->len) == 0);
	MUST(fs_write_all(list, truth->data, truth->len) == 0);
	if (settle_run(&top.settled, layers, list, lowers, COUNT(lowers), &e) < 0)
		MUST(e.code != ERR_NONE && e.msg[0] != '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_free) struct buf lies = BUF_ZERO;
	AUTO(buf_free) struct buf truth = BUF_ZERO;
	AUTO(buf_free) struct buf ignored = BUF_ZERO;
	AUTO(buf_free) struct buf before = BUF_ZERO;
	AUTO(buf_free) struct buf after = BUF_ZERO;
	struct input in = { .p = data, .n = n };
	uint8_t list_bytes;

	if (n > LAYERS_INPUT_MAX)
		return 0;
	ground_make();
	list_bytes = input_byte(&in);
	list_bytes = list_bytes < in.n ? list_bytes : (uint8_t)in.n;
	(void)buf_add(&lies, in.p, list_bytes); /* no limit */
	in = (struct input){ .p = in.p + list_bytes, .n = in.n - list_bytes };
	layer_make(&in, 1, &ignored);
	layer_make(&in, 2, &ignored);
	layer_make(&in, 3, &truth);
	below_describe(&before);
	settle(&lies, &truth);
	below_describe(&after);
	MUST(strcmp(buf_str(&before), buf_str(&after)) == 0);
	ground_check();
	return 0;
}

static void
seed_layer(struct buf *b, const struct layers_seed *s, char n)
{
	(void)buf_add(b, &n, 1); /* no limit */
	for (char i = 0; i < n; i++)
		layers_seed_entry(&s[(int)i], b);
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	static const struct layers_seed lowest[] = { { 5, "usr/bin", NULL, NULL, NULL },
		{ 2, "bin", "usr/bin", NULL, NULL }, { 2, "lib", "/../usr/lib", NULL, NULL },
		{ 2, "out", "../../../outside", NULL, NULL } };
	static const struct layers_seed middle[] = { { 5, "usr", NULL, NULL, NULL },
		{ 2, "usr/lib", "../x", NULL, NULL }, { 0, ".wh.y", NULL, "", NULL } };
	static const struct layers_seed top[] = { { 0, "bin/a", NULL, "a", NULL },
		{ 0, "usr/bin/b", NULL, "b", NULL }, { 0, "lib/c/d", NULL, "d", NULL },
		{ 0, "out/e/f", NULL, "f", NULL }, { 0, "bin/x/g", NULL, "g", NULL } };
	static const char *const lists[] = { "", "bin/..", "../outside", "/etc", "usr/bin/../.." };

	for (size_t i = 0; i < COUNT(lists); i++) {
		AUTO(buf_free) struct buf b = BUF_ZERO;

		layers_say(&b, lists[i]);
		seed_layer(&b, lowest, COUNT(lowest));
		seed_layer(&b, middle, COUNT(middle));
		seed_layer(&b, top, COUNT(top));
		seed(arg, b.data, b.len);
	}
}
