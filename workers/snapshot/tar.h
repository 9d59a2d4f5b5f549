/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar - the entries of a layer's tar, put into a sink.
 *
 * libarchive reads (tar only, no filters); all decisions and all creation are ours: names, types,
 * whiteouts, limits. Whatever the archive says is hostile data: an error names the entry and what is
 * wrong with it, and the sink holds what came before it.
 *
 * Policy, beyond the OCI layer specification:
 *	- names are taken inside of the layer's root, ".." and leading "/" too; links as in a chroot
 *	- the last entry of a name wins; what is in the way of an entry goes, also as its parent
 *	- marks of overlayfs (character device 0:0, trusted.* and user.overlay.* attributes) are ours to
 *	  set: such devices are refused, such attributes left out
 *	- of security.* attributes, only security.capability is kept
 *	- owners over 2^31 - 1 and devices whose numbers Linux can't hold are refused
 *	- names that begin with ".wh..wh." other than the opaque mark are AUFS' own and left out
 *	- a hard link has the attributes and bytes of the file it names; when there is no such file but a
 *	  body follows, it becomes the file
 */
#ifndef CF_SNAPSHOT_TAR_H
#define CF_SNAPSHOT_TAR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "workers/snapshot/sink.h"

struct tar_limits {
	uint64_t bytes;	  /* most bytes of files, holes too */
	uint64_t entries; /* most entries */
};

/* Gives the next piece of the tar: *ret_block valid until the next call; 0 at the end, -1 with e. */
typedef ssize_t tar_next_fn(void *arg, const void **ret_block, struct err *e);

/* Reads next to its end and puts all entries into to (which is not finished then). Needs a UTF-8 LC_CTYPE. Errors:
 * invalid_argument for what the archive says, resource_exhausted for limits and a full disk. */
int tar_unpack(
    tar_next_fn *next, void *arg, struct sink *to, const struct tar_limits *limits, struct err *e);

#endif
