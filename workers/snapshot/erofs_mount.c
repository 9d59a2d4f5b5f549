/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_mount - see erofs_mount.h */
#include "workers/snapshot/erofs_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lib/base/auto.h"

#define SOURCE_MAX 255 /* of what fsconfig takes */
#define LOOP_TRIES 16

static int
mount_source(const char *source, int *ret_fd, struct err *e)
{
	AUTO(fd_close) int fs = fsopen("erofs", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return err_sys(e, errno, "the kernel has no EROFS");
	if (fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return err_sys(e, errno, "set up a mount of %s", source);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
		if (errno == ENOTBLK)
			return err_set(e, ERR_UNIMPLEMENTED,
			    "the kernel mounts EROFS from block devices only");
		return err_sys(e, errno, "mount EROFS image %s", source);
	}
	/* An overlay over it has devices all the same; who reads it here shall open none. */
	fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV);
	if (fd < 0)
		return err_sys(e, errno, "mount EROFS image %s", source);
	*ret_fd = fd;
	return 0;
}

int
erofs_mount_file(int image, const char *path, int *ret_fd, struct err *e)
{
	char number[32];

	(void)snprintf(number, sizeof(number), "/proc/self/fd/%d", image);
	return mount_source(strlen(path) <= SOURCE_MAX ? path : number, ret_fd, e);
}

/* Binds a free loop device to image; it goes when nobody uses it any more. */
static int
loop_attach(int image, char *name, size_t size, int *ret_fd, struct err *e)
{
	struct loop_config config = { .fd = (uint32_t)image,
		.info = { .lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR } };
	AUTO(fd_close) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return err_sys(e, errno, "open /dev/loop-control");
	for (int i = 0; i < LOOP_TRIES; i++) {
		AUTO(fd_close) int fd = -1;
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		if (n < 0)
			return err_sys(e, errno, "find a free loop device");
		(void)snprintf(name, size, "/dev/loop%d", n);
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_sys(e, errno, "open %s", name);
		if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
			*ret_fd = fd_take(&fd);
			return 0;
		}
		if (errno != EBUSY) /* somebody else was faster */
			return err_sys(e, errno, "set up %s", name);
	}
	return err_set(e, ERR_UNAVAILABLE, "others take every free loop device");
}

int
erofs_mount_loop(int image, int *ret_fd, struct err *e)
{
	AUTO(fd_close) int loop = -1;
	char name[32];
	int r = loop_attach(image, name, sizeof(name), &loop, e);

	return r < 0 ? r : mount_source(name, ret_fd, e);
}
