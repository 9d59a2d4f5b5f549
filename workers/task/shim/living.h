/* SPDX-License-Identifier: Apache-2.0 */
/*
 * living - shims of this bundle that live on although nobody wants them any more.
 *
 * Found in /proc, not by their sockets: those may be gone, or a newer shim's. One of ours is a program called
 * containerd-shim-* that works in the bundle and was called with our namespace and id; delete calls are left
 * alone. The pid is held by a pidfd while we look, so no other process is signalled in its place.
 */
#ifndef CF_SHIM_LIVING_H
#define CF_SHIM_LIVING_H

#include "workers/task/shim/place.h"

/* Kills them and waits for their end. deadline_exceeded when one is still there after seconds: then its
 * container must not be cleaned away below it. */
int living_end(const struct place *p, struct err *e);

#endif
