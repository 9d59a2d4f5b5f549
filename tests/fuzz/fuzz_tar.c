/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_tar - hostile layers, unpacked for real: nothing outside of the layer's folder may change. */
#include "tests/fuzz/ground.h"
#include "tests/fuzz/layers.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_free) struct buf implied = BUF_ZERO;
	AUTO(buf_free) struct buf tar = BUF_ZERO;
	AUTO(fd_close) int root = -1;

	if (n == 0 || n > LAYERS_INPUT_MAX)
		return 0;
	ground_make();
	root = ground_folder(GROUND_WORK);
	layers_tar(data, n, &tar);
	(void)layers_fill_folder(&tar, root, &implied); /* either is fine */
	ground_check();
	return 0;
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	layers_seed_all(seed, arg);
}
