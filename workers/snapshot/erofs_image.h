/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_image - a layer as one EROFS file, written in one pass over its tar (a sink, see sink.h).
 *
 * The file is written from its beginning to its end: the bytes of files as they arrive; inodes of
 * files, links and devices in between, a megabyte at a time (a "segment"); folders, which may change to
 * the last entry, behind all that; the superblock at last. Kept in memory are the names, a hundred
 * bytes and the name's own for each.
 *
 * The same tar gives the same bytes. An implied folder that stays so is of 1970; a layer's uuid comes
 * from its diff id.
 *
 * Crash story: a file without a superblock can't be mounted, and lies in a folder that is dropped.
 */
#ifndef CF_SNAPSHOT_EROFS_IMAGE_H
#define CF_SNAPSHOT_EROFS_IMAGE_H

#include "lib/base/err.h"
#include "workers/snapshot/sink.h"

#define EROFS_IMAGE_NAME "layer.erofs"

struct erofs_image;

/* Makes EROFS_IMAGE_NAME in the folder behind dir (borrowed). held_max: most bytes of memory for names. */
int erofs_image_new(int dir, size_t held_max, struct erofs_image **ret, struct err *e);
void erofs_image_free(struct erofs_image **im);
struct sink *erofs_image_sink(struct erofs_image *im);

#endif
