/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflate - a blob as the stream of bytes that was packed into it: gzip (one member or many), zstd
 * (frames of a bounded window, skippable ones too) or nothing at all.
 *
 * The form is read from the first bytes, not from the media type: registries and tools mix those up,
 * and the digest of what comes out is checked anyway. Memory is bounded: an input buffer, and for
 * zstd a window of at most INFLATE_WINDOW_LOG bits. Not thread safe.
 */
#ifndef CF_SNAPSHOT_INFLATE_H
#define CF_SNAPSHOT_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define INFLATE_WINDOW_LOG 27 /* 128 MiB, what `zstd -d` takes without being told otherwise */

struct follow;
struct inflate;

/* Reads fd (borrowed) from where it stands to its end; f (borrowed, NULL: it is whole) says how far it has come.
 * Errors: data_loss when it can't be read, unavailable when what is followed ends. */
int inflate_open(int fd, struct follow *f, struct inflate **ret, struct err *e);
void inflate_close(struct inflate **in);

/* Up to size bytes into to; *ret_n is how many, 0 at the end of the stream. data_loss for a stream
 * that is damaged or cut short, resource_exhausted for a zstd window over the limit. */
int inflate_read(struct inflate *in, void *to, size_t size, size_t *ret_n, struct err *e);

/* Bytes of the blob that were taken so far. */
uint64_t inflate_offset(const struct inflate *in);
/* "gzip", "zstd" or "tar". */
const char *inflate_form(const struct inflate *in);

#endif
