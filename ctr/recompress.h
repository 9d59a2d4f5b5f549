/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recompress - a layer's blob read from the content store, packed another way; the tar in it stays as it is.
 *
 * A source for blob_put: bytes are read, unpacked and packed only as they are asked for, so that memory is
 * a few pieces whatever the layer. The same tar gives the same bytes.
 */
#ifndef CF_CTR_RECOMPRESS_H
#define CF_CTR_RECOMPRESS_H

#include "ctr/ctr.h"
#include "lib/oci/document.h"

enum packing { PACK_NONE, PACK_GZIP, PACK_ZSTD };

/* How a layer of this media type is packed. */
enum packing packing_of(const char *media_type);
/* The media type of a layer packed so. Docker has none for zstd. */
const char *packing_type(enum packing p, bool oci);

struct recompress;

int recompress_new(struct ctr *c, const struct oci_desc *layer, enum packing to,
    struct recompress **ret, struct err *e);
/* As blob_source_fn; arg is the recompress. */
int recompress_read(void *arg, void *to, size_t n, size_t *ret_n, struct err *e);
/* At the end: is the tar the one that its image's config names? data_loss when not. */
int recompress_check(const struct recompress *r, const struct digest *diff_id, struct err *e);
void recompress_free(struct recompress **r);

#endif
