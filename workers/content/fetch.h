/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch - blobs and documents from a registry, with patience: retries, resumption, sharing.
 *
 * A blob is downloaded once however many ask for it: the first who asked owns the transfer (its remote
 * and rights are used), and when it gives up or is refused the next one takes over where it stopped.
 * A broken connection is continued by Range from what is on disk; after options.retries attempts
 * that brought next to nothing it is given up. A large blob comes in pieces, on up to options.streams
 * connections, when the registry honours Range.
 */
#ifndef CF_CONTENT_FETCH_H
#define CF_CONTENT_FETCH_H

#include "lib/base/buf.h"
#include "workers/content/content.h"
#include "workers/content/remote.h"

#define FETCH_STREAMS_MAX 16 /* connections for one blob */

struct fetch;
struct fetch_doc;

/* e == NULL: the blob is in the store. bytes: what had to be downloaded for this caller. The fetch is
 * gone after it. Never called from within fetch_start. */
typedef void fetch_done_fn(void *arg, uint64_t bytes, const struct err *e);
/* So many bytes came, those of earlier attempts included. Called often; may not cancel. */
typedef void fetch_moved_fn(void *arg, uint64_t came);

struct fetch_ask {
	const char *ns; /* where namespaces are isolated, a download is shared within one alone */
	struct remote *remote;
	const struct digest *digest;
	uint64_t size;
	fetch_done_fn *done;
	fetch_moved_fn *moved; /* NULL: not wanted */
	void *arg;
};

struct fetch *fetch_start(struct content *c, const struct fetch_ask *ask);
/* Where its bytes can be read while they come (ingest.h); false when they can't. */
struct ingest_place;
bool fetch_place(const struct fetch *f, struct ingest_place *ret);
/* In fetch_done_fn: the take that brought the blob, 0 when it had none. */
uint32_t fetch_take(const struct fetch *f);
/* No callback comes. keep: leave what was downloaded for another time. NULL is fine. */
void fetch_cancel(struct fetch **f, bool keep);

struct fetch_doc_result {
	const struct buf *body;
	const char *media_type;	   /* Content-Type, may be NULL */
	const char *digest_header; /* Docker-Content-Digest, may be NULL */
	unsigned place;		   /* who served it: see remote_distrust */
};
/* res valid during the callback; NULL with e. */
typedef void fetch_doc_done_fn(void *arg, const struct fetch_doc_result *res, const struct err *e);

/* A manifest or index by tag or digest, at most 4 MiB, in memory. Its digest is not checked here. */
struct fetch_doc *fetch_doc_start(
    struct content *c, struct remote *r, const char *what, fetch_doc_done_fn *done, void *arg);
void fetch_doc_cancel(struct fetch_doc **f);

/* Pause before attempt n (from 1): 200 ms doubled each time, at most 10 s, and up to a quarter more by
 * chance; what the server asked for when that is longer. */
uint64_t fetch_pause_ms(unsigned attempt, unsigned after_s);

#endif
