/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stack - overlayfs over folders <number>/fs: what snapshotters share whose containers' roots are
 * overlays, however they make the folders of their layers.
 */
#ifndef CF_SNAPSHOT_STACK_H
#define CF_SNAPSHOT_STACK_H

#include "workers/snapshot/snapshotter.h"

/* Each as in struct snapshotter. */
int stack_probe(struct shelf *s, bool fsverity, struct err *e);
int stack_furnish(int dir, int top, struct err *e);
int stack_mounts(const struct snapshotter *sn, const struct shelf *s, const struct snapshot_view *v,
    struct arena *a, struct snapshot_mounts_rep *ret, struct err *e);

#endif
