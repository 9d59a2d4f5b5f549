/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobs - bytes to and from the content store, in pieces: what travels over the bus at a time.
 *
 * An upload is an ingest with a name of its own. Its writes survive the worker's death, as all requests
 * do. What is stored while a lease is held is safe from garbage collection until the lease ends; then
 * whatever no image refers to goes. Memory: one piece.
 */
#ifndef CF_CTR_BLOBS_H
#define CF_CTR_BLOBS_H

#include "ctr/ctr.h"
#include "lib/base/buf.h"
#include "lib/oci/document.h"

#define BLOB_PIECE (1U << 20)

/* Takes or gives bytes. A source sets *ret_n to 0 at its end only. */
typedef int blob_sink_fn(void *arg, const void *p, size_t n, struct err *e);
typedef int blob_source_fn(void *arg, void *to, size_t n, size_t *ret_n, struct err *e);

/* Appends the piece of a blob at offset to out; nothing at its end. */
int blob_piece(
    struct ctr *c, const struct oci_desc *d, uint64_t offset, struct buf *out, struct err *e);
/* All bytes of a blob, in order. Its size must be d->size. */
int
blob_copy(struct ctr *c, const struct oci_desc *d, blob_sink_fn *sink, void *arg, struct err *e);
/* A document, whole: data_loss when it is not what its descriptor says. */
int blob_text(struct ctr *c, const struct oci_desc *d, struct buf *out, struct err *e);
/* not_found when it is not here, data_loss when it has another size. */
int blob_check(struct ctr *c, const struct oci_desc *d, struct err *e);

/* Bytes to be stored. */
struct blob_source {
	blob_source_fn *read;
	void *arg;
	uint64_t size;	   /* exactly so many; BLOB_TO_END: until read gives none */
	const char *name;  /* for who watches, while there is no digest */
	struct kvs labels; /* of the blob, when it is new */
};
#define BLOB_TO_END UINT64_MAX

/* Stores what src gives. want: the digest it must have, NULL = any. ret (may be NULL) gets digest and
 * size. A blob that is here is not read again. */
int blob_put(struct ctr *c, const struct digest *want, const struct blob_source *src,
    struct oci_desc *ret, struct err *e);
/* labels may be NULL. */
int blob_put_text(struct ctr *c, const struct buf *text, const struct kvs *labels,
    struct oci_desc *ret, struct err *e);

/* The labels by which a document keeps what it refers to from garbage collection, as containerd's clients
 * give them. An index: those of its entries for which taken says so. A manifest: config and layers, and
 * its config the snapshot of the top layer, chain_id (NULL when it has no layers). */
int blob_refer_index(struct ctr *c, const struct oci_desc *d, const struct oci_doc *doc,
    const bool *taken, struct err *e);
int blob_refer_manifest(struct ctr *c, const struct oci_desc *d, const struct oci_doc *doc,
    const struct digest *chain_id, struct err *e);

/* From here to its end, what is stored is held by a lease of a day at most. Ending it removes what
 * nothing else holds, and is fine without a beginning. */
int lease_begin(struct ctr *c, struct err *e);
int lease_end(struct ctr *c, struct err *e);

/* On a terminal, bars on stderr for blobs of more than a piece, from here to the end of the command. */
void blobs_watch(struct ctr *c, bool wanted);
/* The bars stay as they are; done: it went well. Also when nobody watches. */
void blobs_watched(struct ctr *c, bool done);
/* What goes on with a blob, or with what has that name. */
void
blobs_tell(struct ctr *c, const char *name, const char *state, uint64_t offset, uint64_t total);

#endif
