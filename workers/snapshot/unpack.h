/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack - a blob into a sink: inflate, hash, tar to disk, then sync.
 *
 * One thread inflates and hashes, the caller's thread creates files; a ring of fixed blocks is
 * between them, so memory does not depend on the layer. Every byte of the uncompressed stream is
 * hashed, also behind the tar's end mark. Nothing here decides whether the result is wanted: who
 * started it compares the digest and drops the result when it is not.
 *
 * Made for a process of its own (nursery.h) that has given up every right it does not need.
 */
#ifndef CF_SNAPSHOT_UNPACK_H
#define CF_SNAPSHOT_UNPACK_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/oci/digest.h"
#include "workers/snapshot/sink.h"

struct unpack_limits {
	uint64_t bytes;	  /* most bytes of the stream, and of the files in it */
	uint64_t entries; /* most entries */
	uint64_t held;	  /* most bytes of memory for the times of folders */
};

struct unpack_result {
	struct digest diff_id;
	struct layer_usage usage;
	uint64_t offset; /* bytes of the blob taken */
};

/* Called now and then with the bytes of the blob taken so far, on a thread of its own. */
typedef void unpack_progress_fn(void *arg, uint64_t offset);

/* Unpacks blob (borrowed) into to (empty). f: where the blob is still being written, else NULL. implied:
 * gets the paths of implied folders, each with its NUL. sync: end with everything on disk. */
struct follow;
int unpack_run(int blob, struct follow *f, struct sink *to, const struct unpack_limits *limits,
    bool sync, unpack_progress_fn *progress, void *arg, struct buf *implied,
    struct unpack_result *ret, struct err *e);

#endif
