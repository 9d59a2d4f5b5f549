/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices - the device nodes of the host, for privileged containers. Internal to lib/oci (jansson).
 */
#ifndef CF_OCI_DEVICES_H
#define CF_OCI_DEVICES_H

#include <jansson.h>

#define OCI_DEVICES_MAX 1024

/* List of linux.devices entries: the nodes below /dev, without those that a container gets anyway or
 * that belong to a mount of its own (pts, shm, mqueue, console). The caller owns it. */
json_t *oci_devices_host(void);

#endif
