/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drafts - blobs that clients write, under references of their own: the ingest_* methods.
 *
 * Owns ROOT/content/drafts/<SHA-256 of ns and ref>, 0640, and the rows of table drafts, which say what
 * was announced; how far one is its file's length says. (What pulls download is ingest.h's.)
 *
 *	ingest_write -> row, file -> ingest_write.. -> ingest_commit: blob
 *
 * Bytes are written and hashed on a thread, one operation at a time for each draft, in the order they
 * came. A draft that nobody spoke to for a while is closed; the next operation hashes its file again.
 * A write that is sent again, after its worker died behind it, finds its bytes there and is content.
 *
 * Commit: size and digest compared, chmod, fsync, link into blobs/, fsync of that folder; then one
 * transaction drops the row and makes the blob's, with the reply; then the draft's name goes. Killed
 * before the transaction: the start removes the blob's name, which has no row, the draft is whole, and
 * the request, sent again, commits it. Killed behind it: the start removes the draft, which has no row.
 * A file with two names is never written to.
 */
#ifndef CF_CONTENT_DRAFTS_H
#define CF_CONTENT_DRAFTS_H

#include "workers/content/content.h"

/* Opens the folder, removes files without a row. */
int drafts_up(struct content *c, struct err *e);
void drafts_down(struct content *c);

/* Once a second: closes those at rest. */
void drafts_tick(struct content *c);

#define DRAFT_AGE_NS (24LL * 3600 * 1000000000) /* without a byte; then it is garbage */

/* Is it open: was it spoken to lately? */
bool draft_open(const struct content *c, const char *ns, const char *ref);
/* Unix ns of the last byte of the draft with this row. */
int64_t draft_updated_at(const struct content *c, const char *ns, const struct ingest_info *row);
int draft_row_drop(struct txn *t, const char *ns, const char *ref, struct err *e);
/* Removes the file of a draft that is not open and has no row any more. */
void draft_forget(const struct content *c, const char *ns, const char *ref);

#endif
