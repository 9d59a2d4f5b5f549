/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_erofs - hostile layers as EROFS images: the writer takes what the one of folders takes, and where
 * the kernel mounts EROFS from a file the two trees are the same, entry for entry.
 *
 * The images are in the folder FUZZ_DISK in build/, as a tmpfs can't back a mount; they are mounted nowhere.
 */
#include "tests/fuzz/ground.h"
#include "tests/fuzz/layers.h"
#include "tests/fuzz/trees.h"
#include "workers/snapshot/erofs_image.h"

static struct {
	int dir;
	bool mounts; /* this host does */
	char path[PATH_MAX];
} disk = { -1, false, "" };

/* Makes the image of tar. */
static int
image_make(const struct buf *tar, struct layer_usage *usage, struct err *e)
{
	AUTO(erofs_image_free) struct erofs_image *im = NULL;
	struct digest none = { .text = "" };
	struct sink *s;
	int r;

	(void)unlinkat(disk.dir, EROFS_IMAGE_NAME, 0);
	MUST(erofs_image_new(disk.dir, 1 << 20, &im, e) == 0);
	s = erofs_image_sink(im);
	r = layers_fill(tar, s, e);
	if (r == 0)
		r = s->ops->finish(s, &none, false, e);
	if (r == 0)
		s->ops->usage(s, usage);
	return r;
}

/* The image's root, in a mount without a place; -1 with errno. */
static int
image_open(void)
{
	AUTO(fd_close) int fs = fsopen("erofs", FSOPEN_CLOEXEC);
	AUTO(free_ptr) char *path = xasprintf("%s/%s", disk.path, EROFS_IMAGE_NAME);

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", path, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
}

static void
disk_make(void)
{
	const char *where = getenv("FUZZ_DISK");
	AUTO(buf_free) struct buf empty = BUF_ZERO;
	AUTO(fd_close) int fd = -1;
	struct layer_usage usage;
	struct err e = ERR_ZERO;

	if (disk.dir >= 0)
		return;
	MUST(realpath(where == NULL ? "build" : where, disk.path) != NULL);
	disk.dir = open(disk.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(disk.dir >= 0);
	tar_end(&empty);
	MUST(image_make(&empty, &usage, &e) == 0);
	fd = image_open();
	disk.mounts = fd >= 0;
}

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
