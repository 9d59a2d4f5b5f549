/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay - the snapshotter of folders: a layer is a folder with overlayfs' marks in it (character device
 * 0:0 for what is gone, trusted.overlay.opaque for what hides all below), a container's root the overlay of
 * its own fs/, with work/ beside it, over those below.
 */
#include "workers/snapshot/stack.h"

const struct snapshotter snapshotter_overlay = {
	.name = "overlay",
	.id = SNAPSHOTTER_OVERLAY,
	.form = NURSERY_FOLDER,
	.probe = stack_probe,
	.furnish = stack_furnish,
	.mounts = stack_mounts,
};
