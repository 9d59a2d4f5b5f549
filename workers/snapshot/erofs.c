/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs - the snapshotter of images: a layer is one file, <number>/layer.erofs (erofs_image.h), mounted
 * at <number>/fs when its tree is needed, once for all containers: they share its pages. What was
 * written to is a folder, as with overlay, also when it was committed; roots are overlays over both.
 *
 * A mount belongs to a folder with a record, for as long as that has one, and to nobody else: it is undone
 * before the folder goes, and all are when the worker ends in order. Overlays that stand on it keep it alive
 * for themselves. A killed worker leaves its mounts: those of folders with a record are used again, the
 * others undone with their folders at the start.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/erofs_image.h"
#include "workers/snapshot/erofs_mount.h"
#include "workers/snapshot/erofs_verity.h"
#include "workers/snapshot/stack.h"

static int
image_mount(int dir, const char *path, int *ret_fd, struct err *e)
{
	AUTO(fd_close)
	int image = openat(dir, EROFS_IMAGE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (image < 0)
		return err_sys(e, errno, "open %s", path);
	if (erofs_verity_check(dir, image, e) < 0)
		return err_wrap(e, "%s", path);
	r = erofs_mount_file(image, path, ret_fd, e);
	if (r < 0 && e->code == ERR_UNIMPLEMENTED) {
		*e = ERR_ZERO;
		r = erofs_mount_loop(image, ret_fd, e);
	}
	return r;
}

/* --- does it work here? -------------------------------------------------------------------------- */

/* The smallest image, made and mounted below new/<name>. Returns 1 when a loop device was needed. */
static int
image_try(struct shelf *s, const char *name, bool seal, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(erofs_image_free) struct erofs_image *im = NULL;
	AUTO(fd_close) int dir = shelf_made_fd(s, name);
	AUTO(fd_close) int image = -1;
	AUTO(fd_close) int mounted = -1;
	struct digest empty;
	const char *path;
	int r;

	if (dir < 0)
		return err_sys(e, errno, "open new/%s", name);
	digest_of(DIGEST_SHA256, "", 0, &empty);
	if (erofs_image_new(dir, 4096, &im, e) < 0 ||
	    erofs_image_sink(im)->ops->finish(erofs_image_sink(im), &empty, false, e) < 0)
		return -(int)e->code;
	erofs_image_free(&im);
	if (seal && erofs_verity_seal(dir, e) < 0)
		return err_wrap(e, "option fsverity");
	path = arena_printf(&a, "%s/%s", shelf_made_path(s, name, &a), EROFS_IMAGE_NAME);
	image = openat(dir, EROFS_IMAGE_NAME, O_RDONLY | O_CLOEXEC);
	r = erofs_mount_file(image, path, &mounted, e);
	if (r == 0 || e->code != ERR_UNIMPLEMENTED)
		return r;
	*e = ERR_ZERO;
	r = erofs_mount_loop(image, &mounted, e);
	return r < 0 ? r : 1;
}

static int
erofs_probe(struct shelf *s, bool fsverity, struct err *e)
{
	AUTO(fd_close) int fs = -1;
	char name[SHELF_NAME_MAX];
	struct err ignored = ERR_ZERO; /* what is left goes at the next start */
	int r = stack_probe(s, fsverity, e), how;

	if (r < 0 || shelf_make(s, name, &fs, e) < 0)
		return -(int)e->code;
	how = image_try(s, name, fsverity, e);
	(void)shelf_drop_new(s, name, &ignored);
	if (how >= 0)
		return how;
	e->code = ERR_FAILED_PRECONDITION;
	return -ERR_FAILED_PRECONDITION;
}

/* --- mounts -------------------------------------------------------------------------------------- */

/* Whether something is mounted at fs/ in the folder behind dir. */
static bool
is_mounted(int dir)
{
	struct stat here, there;

	return fstat(dir, &here) == 0 && fstatat(dir, "fs", &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       here.st_dev != there.st_dev;
}

static int
folder_open(const struct shelf *s, uint64_t number, int *ret_fd, struct err *e)
{
	char name[SHELF_NAME_MAX];

	(void)snprintf(name, sizeof(name), "%llu", (unsigned long long)number);
	*ret_fd = openat(shelf_kind_fd(s, SNAPSHOTTER_EROFS), name,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, errno, "open folder erofs/%s", name) : 0;
}

static int
erofs_open(const struct shelf *s, uint64_t number, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(fd_close) int mounted = -1;
	AUTO(fd_close) int dir = -1;
	const char *path = arena_printf(&a, "%s/%llu/%s", shelf_path(s, SNAPSHOTTER_EROFS, &a),
	    (unsigned long long)number, EROFS_IMAGE_NAME);

	if (folder_open(s, number, &dir, e) < 0)
		return -(int)e->code;
	if (is_mounted(dir) || faccessat(dir, "work", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0; /* or a folder that was written to */
	if (image_mount(dir, path, &mounted, e) < 0) {
		if (e->code == ERR_NOT_FOUND)
			e->code = ERR_DATA_LOSS;
		return err_wrap(e, "the image of a layer: remove what uses it and pull again");
	}
	if (move_mount(mounted, "", dir, "fs", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, errno, "mount %s", path);
	return 0;
}

static int
erofs_close(const struct shelf *s, uint64_t number, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(fd_close) int dir = -1;
	const char *path = arena_printf(
	    &a, "%s/%llu/fs", shelf_path(s, SNAPSHOTTER_EROFS, &a), (unsigned long long)number);

	if (folder_open(s, number, &dir, e) < 0)
		return e->code == ERR_NOT_FOUND ? (*e = ERR_ZERO, 0) : -(int)e->code;
	while (is_mounted(dir))
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return err_sys(e, errno, "unmount %s", path);
	return 0;
}

const struct snapshotter snapshotter_erofs = {
	.name = "erofs",
	.id = SNAPSHOTTER_EROFS,
	.form = NURSERY_IMAGE,
	.probe = erofs_probe,
	.furnish = stack_furnish,
	.open = erofs_open,
	.close = erofs_close,
	.mounts = stack_mounts,
};
