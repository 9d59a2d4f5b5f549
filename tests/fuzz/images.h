/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images - layers as EROFS images, and their trees where the kernel mounts EROFS from a file.
 *
 * An image is in the folder FUZZ_DISK in build/, as a tmpfs can't back a mount; it is mounted nowhere.
 */
#ifndef CF_TESTS_FUZZ_IMAGES_H
#define CF_TESTS_FUZZ_IMAGES_H

#include "tests/fuzz/ground.h"
#include "tests/fuzz/layers.h"
#include "workers/snapshot/erofs_image.h"

static struct {
	int dir;
	bool mounts; /* this host does */
	char path[PATH_MAX];
} disk = { -1, false, "" };

/* Makes the image of tar. */
static inline int
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
static inline int
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

static inline void
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

#endif
