/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_out - writes the tar of a layer, packs it and hashes both, all on the way to a descriptor.
 *
 * The bytes depend on what is written alone: numeric owners, times to the nanosecond, attributes in order,
 * pax records where ustar has no room, no name or time of this host. libarchive's pax writer has all of
 * that; what it can't say is a time in the second before 1970 that is no whole second, which is rounded down.
 *
 * Of attributes, those are written that unpacking takes (tar.h). Holes are written as zeros, a gibibyte of them and
 * more in a file as a sparse map (GNU 1.0 in pax): containerd, umoci and GNU tar read that, but podman
 * and buildah, which read it, can't push such a layer on.
 */
#ifndef CF_SNAPSHOT_LAYER_OUT_H
#define CF_SNAPSHOT_LAYER_OUT_H

#include <stdint.h>
#include <sys/stat.h>

#include "lib/oci/digest.h"

enum layer_packing { LAYER_PLAIN, LAYER_GZIP, LAYER_ZSTD };

struct layer_out;

/* fd is borrowed. Needs a UTF-8 LC_CTYPE. */
int layer_out_new(int fd, enum layer_packing how, struct layer_out **ret, struct err *e);
void layer_out_free(struct layer_out **o);

/* What name in the folder behind dir is, with its bytes, called path ("" for the root). link: the path
 * of an entry before it that is the same file, or NULL. failed_precondition for what a layer can't hold.
 * Changes the working folder. */
int layer_out_put(struct layer_out *o, const char *path, int dir, const char *name,
    const struct stat *st, const char *link, struct err *e);
/* An empty file called path: a whiteout. */
int layer_out_mark(struct layer_out *o, const char *path, struct err *e);

struct layer_out_result {
	struct digest diff_id, digest;
	uint64_t tar_bytes, bytes; /* before and after packing */
};
/* The end of the tar. */
int layer_out_finish(struct layer_out *o, struct layer_out_result *ret, struct err *e);

#endif
