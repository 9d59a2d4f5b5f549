/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc - what no image reaches any more: rows and files of blobs here, layers at the snapshot worker.
 *
 * A blob's row goes when no image of its namespace reaches it and no pull of that namespace holds it;
 * its file goes when no namespace has a row for it. Rows and events go in the caller's transaction,
 * files after its commit: a crash between leaves files without rows, which the start removes.
 */
#ifndef CF_CONTENT_GC_H
#define CF_CONTENT_GC_H

#include "workers/content/content.h"
#include "workers/content/tree.h"

/* Adds what the images of ns (NULL: of all namespaces) reach. Either set may be NULL. */
int gc_reach(struct content *c, struct txn *t, const char *ns, struct set *blobs,
    struct set *chains, struct err *e);

/* Drops the rows of ns that nothing reaches: those of `only` (NULL: all), made before `before` (Unix
 * ns). Adds the files to be removed to files. */
int gc_rows(struct content *c, struct txn *t, const char *ns, const struct set *only,
    int64_t before, struct set *files, struct err *e);

/* Bytes of these blobs; then their removal, which returns how many are gone. */
uint64_t gc_files_bytes(const struct content *c, const struct set *files);
unsigned gc_files(const struct content *c, const struct set *files);

/* Asks the snapshot worker to remove the layers named in keys (in order: children first), one after the
 * other; those in use or already gone are passed over. done may be NULL. Takes keys over. */
struct gc_layers;
typedef void gc_done_fn(void *arg);
struct gc_layers *
gc_layers_start(struct content *c, const char *ns, struct set *keys, gc_done_fn *done, void *arg);
/* No callback comes; the removals go on. NULL is fine. */
void gc_layers_detach(struct gc_layers **g);

/* Of chains, those that no image of ns reaches and no pull of ns holds, last first, into ret. */
int gc_chains_free(struct content *c, struct txn *t, const char *ns, const struct set *chains,
    struct set *ret, struct err *e);

/* What a pull that failed leaves: drops rows and files of blobs (NULL: they stay) and layers of chains
 * that nothing reaches. Like gc_layers_start; NULL, and no callback, when no layer has to go. */
struct gc_layers *gc_after_pull(struct content *c, const char *ns, const struct set *blobs,
    const struct set *chains, gc_done_fn *done, void *arg);

/* Removes the blob's file when no namespace has a row for it and no pull holds it. */
void gc_forget(struct content *c, const struct digest *d);

/* All namespaces: rows older than a day that nothing reaches, and layers nobody uses. */
void gc_sweep(struct content *c);

#endif
