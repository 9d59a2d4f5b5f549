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

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

/* A layer whose folders can be changed; paths are free of links. */
struct settled {
	const struct settled_ops *ops;
};

struct settled_ops {
	/* Whether path is a folder of the layer, and what is below shows there. */
	bool (*shows)(struct settled *l, const char *path);
	/* Gives the folder path the attributes of the one behind from. */
	int (*like)(struct settled *l, const char *path, int from, struct err *e);
	/* Makes the folder path, root's and 0755. 1: something of that name is there. */
	int (*make)(struct settled *l, const char *path, struct err *e);
	/* What is in the folder path goes into the folder real, and path goes: folders of both are merged, of
	 * anything else what is there stays. */
	int (*move)(struct settled *l, const char *path, const char *real, struct err *e);
	/* Everything is on disk when this returns. */
	int (*finish)(struct settled *l, struct err *e);
};

/* A layer that is the folder behind fd (borrowed). */
struct settled_folder {
	struct settled settled; /* first */
	int fd;
};
struct settled_folder settled_folder(int fd);

/* The layer that is EROFS_IMAGE_NAME in the folder behind dir (borrowed). */
int settle_image(
    int dir, int layers, int list, const uint64_t *lowers, unsigned nlowers, struct err *e);

/* layers: the folder that holds "<number>/fs" of each layer. list: a file of paths, each with its NUL
 * (untrusted). lowers: numbers of the layers below, nearest first. */
int settle_run(struct settled *layer, int layers, int list, const uint64_t *lowers,
    unsigned nlowers, struct err *e);

#endif
