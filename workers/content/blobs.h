/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobs - the immutable files of the content store, and their rows.
 *
 * Owns ROOT/content/blobs/<alg>/<hex>: a file is there only whole, verified and synced (ingest.h
 * renames it in). A row per namespace and blob says in which namespaces it may be seen and since when;
 * it is written behind the file and removed before it. So after a crash there may be files without
 * rows (removed at start) but no rows without files, unless somebody else removed files (those rows
 * are dropped at start and said in the log).
 */
#ifndef CF_CONTENT_BLOBS_H
#define CF_CONTENT_BLOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/board/board.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/work.h"
#include "lib/oci/digest.h"
#include "lib/store/store.h"
#include "schemas/schema.h"

struct content;
struct ingest;
struct chunk;

/* The downloads, see ingest.c. */
struct ingests {
	struct ingest *open;
	struct ingest *closing;		    /* closed, with a job still running */
	struct ingest *synced, *publishing; /* wait to be renamed; are being renamed */
	struct chunk *spare;
	unsigned chunks; /* in use */
	uint32_t take;	 /* number given last */
};

struct blobs {
	int algs[2];   /* folders blobs/sha256, blobs/sha512, by enum digest_alg */
	int ingest_fd; /* folder ingest */
	int trash_fd;  /* folder trash: blobs that are gone but for their bytes */
	struct work *work;
	struct board *board; /* may be NULL */
	struct ingests ingests;
};

/* Makes the folders below dirfd (borrowed for the call). Borrows work and board. */
int blobs_open(struct blobs *b, int dirfd, struct work *work, struct board *board, struct err *e);
void blobs_close(struct blobs *b);

/* Is it there, with this size? size 0 asks for no size. ret_size may be NULL. */
bool blobs_has(const struct blobs *b, const struct digest *d, uint64_t size, uint64_t *ret_size);
/* Appends the blob to out; it may be at most max bytes. */
int blobs_read(
    const struct blobs *b, const struct digest *d, size_t max, struct buf *out, struct err *e);
int blobs_open_one(const struct blobs *b, const struct digest *d, int *ret_fd, struct err *e);
/* Stores n bytes whose digest is d, synced, in the calling thread. */
int blobs_write(
    const struct blobs *b, const struct digest *d, const void *data, size_t n, struct err *e);
/* Success also when it is not there. */
int blobs_remove(const struct blobs *b, const struct digest *d, struct err *e);
/* The same at once whatever its size: its bytes go with blobs_empty_trash, which any thread may call. */
int blobs_discard(const struct blobs *b, const struct digest *d, struct err *e);
void blobs_empty_trash(const struct blobs *b);

/* Calls fn for every blob file; names that are no digests are removed. */
typedef void blobs_each_fn(void *arg, const struct digest *d);
int blobs_each(const struct blobs *b, blobs_each_fn *fn, void *arg, struct err *e);

/* Rows: a blob as one namespace sees it. blob_row_get: not_found says in which namespace it is not. */
void blob_key(struct key *k, const char *ns, const struct digest *d);
int blob_row_get(struct txn *t, const char *ns, const struct digest *d, struct arena *a,
    struct blob *ret, struct err *e);

/* Makes the row, with the /content/create event, when there is none; lease (may be NULL) gets to hold
 * the blob either way. labels (may be NULL) and held_until (0: not held) are for a new row. */
int blob_row_add(struct content *c, struct txn *t, const char *ns, const char *lease,
    const struct digest *d, uint64_t size, const struct kvs *labels, int64_t held_until,
    struct err *e);
int blob_row_put(
    struct content *c, struct txn *t, const char *ns, const struct blob *row, struct err *e);
/* May ns use the blob without presenting its bytes: has it a row, or another namespace one that it shares
 * (content-sharing in the configuration, or label containerd.io/namespace.shareable of that namespace)?
 * false too when its file is not there with this size (0: any). */
bool blob_usable(struct content *c, struct txn *t, const char *ns, const struct digest *d,
    uint64_t size, uint64_t *ret_size);
/* Has any namespace a row for it? shareable: only those whose label shares with all. */
int
blob_row_anywhere(struct txn *t, const struct digest *d, bool shareable, bool *ret, struct err *e);
/* Sets held_until, 0 ends it. Success also when there is no row. */
int blob_row_hold(struct content *c, struct txn *t, const char *ns, const char *digest,
    int64_t until, struct err *e);
int blob_row_drop(struct txn *t, const char *ns, const struct digest *d, struct err *e);

#endif
