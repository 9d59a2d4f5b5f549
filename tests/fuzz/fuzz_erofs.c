/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_erofs - hostile layers as EROFS images: the writer takes what the one of folders takes, and where
 * the kernel mounts EROFS from a file the two trees are the same, entry for entry.
 */
#include "tests/fuzz/ground.h"
#include "tests/fuzz/images.h"
#include "tests/fuzz/layers.h"
#include "tests/fuzz/trees.h"

static void
compare(const struct buf *tar)
{
	AUTO(fd_close) int folder = ground_folder(GROUND_WORK);
	AUTO(buf_free) struct buf implied = BUF_ZERO;
	AUTO(fd_close) int image = -1;
	struct layer_usage usage;
	struct err e = ERR_ZERO;
	int made = image_make(tar, &usage, &e);
	int r = layers_fill_folder(tar, folder, &implied);

	if ((r == 0) != (made == 0))
		(void)fprintf(stderr, "folder: %d, image: %d %s\n", r, made, e.msg);
	MUST((r == 0) == (made == 0));
	if (made < 0 || !disk.mounts)
		return;
	image = image_open();
	MUST(image >= 0);
	MUST(unlinkat(disk.dir, EROFS_IMAGE_NAME, 0) == 0);
	trees_must_be_same(folder, image, implied.len > 0 ? TREES_NO_TIMES : 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_free) struct buf tar = BUF_ZERO;

	if (n == 0 || n > LAYERS_INPUT_MAX)
		return 0;
	ground_make();
	disk_make();
	layers_tar(data, n, &tar);
	compare(&tar);
	ground_check();
	return 0;
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	layers_seed_all(seed, arg);
}
