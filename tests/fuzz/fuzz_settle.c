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
#include "tests/fuzz/images.h"
#include "tests/fuzz/layers.h"
#include "tests/fuzz/trees.h"
#include "workers/snapshot/settle.h"

/* The tar of layer number, of the next entries, and its folder; what it implies goes into implied. */
static int
layer_make(struct input *in, unsigned number, struct buf *tar, struct buf *implied)
{
	AUTO(fd_close) int fd = -1;
	char path[32];

	(void)snprintf(path, sizeof(path), GROUND_WORK "/%u/fs", number);
	fd = ground_folder(path);
	layers_describe(in, input_byte(in) % LAYERS_ENTRIES_MAX, tar);
	return layers_fill_folder(tar, fd, implied); /* a refused one is there as far as it came */
}

static void
below_describe(struct buf *out)
{
	AUTO(fd_close) int one = ground_folder(GROUND_WORK "/1/fs");
	AUTO(fd_close) int two = ground_folder(GROUND_WORK "/2/fs");

	trees_describe(one, 0, out);
	trees_describe(two, 0, out);
}

static const uint64_t lowers[] = { 2, 1 };

static int
list_make(const struct buf *lies, const struct buf *truth)
{
	int list = memfd_create("list", MFD_CLOEXEC);

	MUST(list >= 0 && fs_write_all(list, lies->data, lies->len) == 0);
	MUST(fs_write_all(list, truth->data, truth->len) == 0);
	return list;
}

static int
settle(int list)
{
	AUTO(fd_close) int folder = ground_folder(GROUND_WORK "/3/fs");
	AUTO(fd_close) int layers = ground_folder(GROUND_WORK);
	struct settled_folder top = settled_folder(folder);
	struct err e = ERR_ZERO;
	int r = settle_run(&top.settled, layers, list, lowers, COUNT(lowers), &e);

	MUST(r == 0 || (e.code != ERR_NONE && e.msg[0] != '\0'));
	return r;
}

/* The same with an image, which then shows what the folder, settled as well, does. */
static void
compare(const struct buf *tar, int list, int settled)
{
	AUTO(fd_close) int folder = ground_folder(GROUND_WORK "/3/fs");
	AUTO(fd_close) int layers = ground_folder(GROUND_WORK);
	AUTO(fd_close) int image = -1;
	struct layer_usage usage;
	struct err e = ERR_ZERO;
	int r;

	MUST(image_make(tar, &usage, &e) == 0);
	r = settle_image(disk.dir, layers, list, lowers, COUNT(lowers), &e);
	MUST(r == 0 || (e.code != ERR_NONE && e.msg[0] != '\0'));
	if (r == 0 && settled == 0 && disk.mounts) {
		image = image_open();
		MUST(image >= 0);
		trees_must_be_same(folder, image, TREES_NO_TIMES);
	}
}

/* All that a layer below is made of, and the one that is settled. */
struct scene {
	struct buf lies, truth, ignored, tars[3], before, after;
};

static void
scene_free(struct scene *s)
{
	buf_free(&s->lies);
	buf_free(&s->truth);
	buf_free(&s->ignored);
	for (unsigned i = 0; i < COUNT(s->tars); i++)
		buf_free(&s->tars[i]);
	buf_free(&s->before);
	buf_free(&s->after);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(scene_free) struct scene s = { .lies = BUF_ZERO };
	struct input in = { .p = data, .n = n };
	AUTO(fd_close) int list = -1;
	int whole, settled;
	size_t lies;

	if (n > LAYERS_INPUT_MAX)
		return 0;
	ground_make();
	disk_make();
	lies = (size_t)input_byte(&in) << 8;
	lies |= input_byte(&in);
	lies = lies < in.n ? lies : in.n;
	(void)buf_add(&s.lies, in.p, lies); /* no limit */
	in = (struct input){ .p = in.p + lies, .n = in.n - lies };
	(void)layer_make(&in, 1, &s.tars[0], &s.ignored);
	(void)layer_make(&in, 2, &s.tars[1], &s.ignored);
	whole = layer_make(&in, 3, &s.tars[2], &s.truth);
	list = list_make(&s.lies, &s.truth);
	below_describe(&s.before);
	settled = settle(list);
	if (whole == 0)
		compare(&s.tars[2], list, settled);
	below_describe(&s.after);
	MUST(strcmp(buf_str(&s.before), buf_str(&s.after)) == 0);
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

		(void)buf_add(&b, "", 1); /* no limit */
		layers_say(&b, lists[i]);
		seed_layer(&b, lowest, COUNT(lowest));
		seed_layer(&b, middle, COUNT(middle));
		seed_layer(&b, top, COUNT(top));
		seed(arg, b.data, b.len);
	}
}
