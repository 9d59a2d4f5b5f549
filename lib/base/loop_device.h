/* SPDX-License-Identifier: Apache-2.0 */
/* loop_device - a file as a block device, for filesystems that can be mounted from nothing else. */
#ifndef CF_BASE_LOOP_DEVICE_H
#define CF_BASE_LOOP_DEVICE_H

#include <stdbool.h>

#include "lib/base/err.h"

#define LOOP_DEVICE_NAME_MAX 32

/* Puts file (borrowed) behind a free device. name: LOOP_DEVICE_NAME_MAX bytes. *ret_fd, the caller's, is open for
 * as long as the device must not go: it is free again once nobody has it open or mounted. */
int loop_device(int file, bool read_only, char *name, int *ret_fd, struct err *e);

#endif
