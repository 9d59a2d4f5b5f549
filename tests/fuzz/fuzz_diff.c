/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_diff - the tar of what changed: applied to what it was taken from, it gives the tree that it was taken
 * of, for whatever two layers.
 *
 * First byte: 1: the upper layer alone against nothing is what is taken. Then, twice, a number of
 * entries and these: the lower layer, the upper one.
 */
#include <sys/mman.h>

#include "tests/fuzz/ground.h"
#include "tests/fuzz/layers.h"
#include "tests/fuzz/trees.h"
#include "workers/snapshot/diff.h"
#include "workers/snapshot/tree_copy.h"

/* Folders of the ground: the layers; the layer that was made of the tar; what both ways give. */
enum { LOWER = 1, UPPER, AGAIN, WANT, GOT };

static int
layer(unsigned number)
{
	char path[32];

	(void)snprintf(path, sizeof(path), GROUND_WORK "/%u/fs", number);
	return ground_folder(path);
}

/* Whether the layer was taken. */
static bool
layer_make(struct input *in, unsigned number)
{
	AUTO(buf_free) struct buf tar = BUF_ZERO;
	AUTO(buf_free) struct buf implied = BUF_ZERO;
	AUTO(fd_close) int fd = layer(number);

	layers_describe(in, input_byte(in) % LAYERS_ENTRIES_MAX, &tar);
	return layers_fill_folder(&tar, fd, &implied) == 0;
}

/* 1 when there is something that no layer can say: a folder called ".wh.x". */
static int
diff(bool whole, struct buf *tar)
{
	static const uint64_t numbers[] = { UPPER, LOWER };
	struct diff_stack upper = { .numbers = numbers, .n = 2 };
	struct diff_stack lower = { .numbers = numbers + 1, .n = whole ? 0 : 1 };
	AUTO(fd_close) int layers = ground_folder(GROUND_WORK);
	AUTO(fd_close) int out = memfd_create("tar", MFD_CLOEXEC);
	AUTO(layer_out_free) struct layer_out *o = NULL;
	struct layer_out_result res;
	struct err e = ERR_ZERO;
	uint64_t sockets;

	MUST(out >= 0 && layer_out_new(out, LAYER_PLAIN, &o, &e) == 0);
	if (diff_run(layers, &upper, &lower, o, &sockets, &e) < 0) {
		MUST(e.code == ERR_FAILED_PRECONDITION);
		return 1;
	}
	MUST(layer_out_finish(o, &res, &e) == 0);
	MUST(lseek(out, 0, SEEK_SET) == 0 && fs_read_fd(out, 16 << 20, tar, &e) == 0);
	return 0;
}

/* Layer number on the lower one, or on nothing, as a tree without marks in folder to. */
static void
flatten(bool alone, unsigned number, unsigned to)
{
	AUTO(fd_close) int upper = layer(number);
	AUTO(fd_close) int tree = layer(to);
	struct err e = ERR_ZERO;

	if (!alone) {
		AUTO(fd_close) int lower = layer(LOWER);
		AUTO(fd_close) int copy = layer(to + 10);

		MUST(tree_copy(lower, copy, &e) == 0 && tree_apply(copy, tree, &e) == 0);
	}
	MUST(tree_apply(upper, tree, &e) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_free) struct buf implied = BUF_ZERO;
	AUTO(buf_free) struct buf tar = BUF_ZERO;
	AUTO(fd_close) int again = -1;
	AUTO(fd_close) int want = -1;
	AUTO(fd_close) int got = -1;
	struct input in = { .p = data, .n = n };
	bool whole = input_byte(&in) == 1;

	if (n > LAYERS_INPUT_MAX)
		return 0;
	ground_make();
	if (layer_make(&in, LOWER) && layer_make(&in, UPPER) && diff(whole, &tar) == 0) {
		again = layer(AGAIN);
		MUST(layers_fill_folder(&tar, again, &implied) == 0 && implied.len == 0);
		flatten(false, UPPER, WANT);
		flatten(whole, AGAIN, GOT);
		want = layer(WANT);
		got = layer(GOT);
		trees_must_be_same(want, got, 0);
	}
	ground_check();
	return 0;
}

static void
seed_pair(fuzz_seed_fn *seed, void *arg, char first, size_t at)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	size_t counts[2] = { at, COUNT(layers_seeds) - at };

	(void)buf_add(&b, &first, 1); /* no limit */
	for (unsigned half = 0; half < 2; half++) {
		char n = (char)counts[half];

		(void)buf_add(&b, &n, 1);
		for (size_t i = 0; i < counts[half]; i++)
			layers_seed_entry(&layers_seeds[half * at + i], &b);
	}
	seed(arg, b.data, b.len);
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	for (char first = 0; first < 2; first++)
		for (size_t at = 0; at < COUNT(layers_seeds); at += 4)
			seed_pair(seed, arg, first, at);
}
