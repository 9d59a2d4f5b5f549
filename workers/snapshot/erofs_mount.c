/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_mount - see erofs_mount.h */
#include "workers/snapshot/erofs_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/loop_device.h"

#define SOURCE_MAX 255 /* of what fsconfig takes */

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

int
erofs_mount_loop(int image, int *ret_fd, struct err *e)
{
	AUTO(fd_close) int loop = -1;
	char name[LOOP_DEVICE_NAME_MAX];
	int r = loop_device(image, true, name, &loop, e);

	return r < 0 ? r : mount_source(name, ret_fd, e);
}
