/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native - the snapshotter of whole trees: each snapshot is a copy of the one below, with shared blocks
 * where the filesystem has them. It needs nothing of the kernel, and is slow and large where blocks can't
 * be shared.
 */
#include "workers/snapshot/snapshotter.h"

static int
native_probe(struct shelf *s, bool fsverity, struct err *e)
{
	(void)s;
	(void)fsverity; /* of images alone */
	(void)e;
	return 0;
}

static int
native_mounts(const struct snapshotter *sn, const struct shelf *s, const struct snapshot_view *v,
    struct arena *a, struct snapshot_mounts_rep *ret, struct err *e)
{
	bool below = !v->writable && v->nlowers > 0; /* a view is of the layer itself */

	(void)e;
	snapshotter_bind(sn, s, below ? v->lowers[0] : v->number, v->writable, a, ret);
	return 0;
}

const struct snapshotter snapshotter_native = {
	.name = "native",
	.id = SNAPSHOTTER_NATIVE,
	.form = NURSERY_FOLDER,
	.whole = true,
	.probe = native_probe,
	.mounts = native_mounts,
};
