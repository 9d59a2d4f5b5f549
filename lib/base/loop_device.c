/* SPDX-License-Identifier: Apache-2.0 */
/* loop_device - see loop_device.h */
#include "lib/base/loop_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "lib/base/auto.h"

#define TRIES 64

int
loop_device(int file, bool read_only, char *name, int *ret_fd, struct err *e)
{
	struct loop_config config = { .fd = (uint32_t)file,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0) };
	AUTO(fd_close) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return err_sys(e, errno, "open /dev/loop-control");
	for (unsigned tries = 0; tries < TRIES; tries++) {
		AUTO(fd_close) int dev = -1;
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0)
			return err_sys(e, errno, "find a free loop device");
		(void)snprintf(name, LOOP_DEVICE_NAME_MAX, "/dev/loop%d", number);
		dev = open(name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (dev >= 0 && ioctl(dev, LOOP_CONFIGURE, &config) == 0) {
			*ret_fd = fd_take(&dev);
			return 0;
		}
		if (errno != EBUSY) /* else somebody was faster */
			return err_sys(e, errno, "set up %s", name);
	}
	return err_set(e, ERR_UNAVAILABLE, "find a free loop device: others are faster");
}
