/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settle - implied folders of a new layer get the attributes of the same folders below.
 *
 * An archive may hold "a/b/file" and neither "a" nor "a/b". Their folders had to be made, and in an
 * overlay they would hide mode, owner, times and attributes of the real ones; so, once the layers below
 * are known and committed, these are copied. Folders that the layers below don't have (or hide) stay
 * root's, 0755. Where there is a symbolic link below ("bin" to "usr/bin"), what was put into the implied
 * folder moves to where the link leads, as if the archive had been unpacked over the layers below, and
 * the folder goes.
 */
#ifndef CF_SNAPSHOT_SETTLE_H
#define CF_SNAPSHOT_SETTLE_H

#include <stdint.h>

#include "lib/base/err.h"

/* folder: the layer. layers: the folder that holds "<number>/fs" of each layer. list: a file of paths,
 * each with its NUL (untrusted). lowers: numbers of the layers below, nearest first. Ends with syncfs. */
int settle_run(
    int folder, int layers, int list, const uint64_t *lowers, unsigned nlowers, struct err *e);

#endif
