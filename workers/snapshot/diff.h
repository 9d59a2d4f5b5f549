/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff - what changed from one stack of layers to another, as the tar of a layer.
 *
 * A stack is what overlayfs would merge: folders <number>/fs, nearest first (one, for a snapshotter of whole
 * trees). Folders that both have at their ends are not looked at but where something above changes: so
 * what a container wrote is read from its own folder directly, and two unrelated trees are walked
 * side by side by the same code.
 *
 * In each folder, parents before what they hold: the opaque mark, whiteouts, files, then folders, each by the
 * bytes of their names. An entry is written unless both have it with the same type, owner, mode, mtime,
 * attributes and bytes; the first name of a file is the file, further ones are links to it. A folder that
 * is the same is written when something in it is; the root when more than its mtime changed. Sockets are left out.
 *
 * Trees come from outside: links are not followed, nothing but regular files is opened.
 */
#ifndef CF_SNAPSHOT_DIFF_H
#define CF_SNAPSHOT_DIFF_H

#include <stdint.h>

#include "workers/snapshot/layer_out.h"

struct diff_stack {
	const uint64_t *numbers;
	unsigned n;
};

/* layers: the folder of the folders, borrowed. *ret_sockets: how many were left out. Changes the working
 * folder. */
int diff_run(int layers, const struct diff_stack *upper, const struct diff_stack *lower,
    struct layer_out *out, uint64_t *ret_sockets, struct err *e);

#endif
