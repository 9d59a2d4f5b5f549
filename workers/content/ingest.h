/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest - one blob on its way to disk: hashed while it is written, renamed in when it is right.
 *
 *	open -> READY(offset) -> add.. [ROOM].. -> finish -> DONE
 *	          any point: FAILED; restart -> READY(0); close
 *
 * The file is ROOT/content/ingest/<hex>, 0640. What an earlier download left there is hashed again and
 * continued. Reading, hashing, writing and syncing happen on threads, one job at a time per ingest;
 * the callbacks come on the loop, never from within a call. At most one ingest per digest is open.
 *
 * finish: flush, size and digest compared, fsync, chmod, rename to blobs/, fsync of that folder.
 * Crash points: before the rename an ingest file that the next download continues; behind it a whole
 * blob without a row, which is removed at start.
 */
#ifndef CF_CONTENT_INGEST_H
#define CF_CONTENT_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/content/blobs.h"

enum ingest_event { INGEST_READY, INGEST_ROOM, INGEST_DONE, INGEST_FAILED };

/* e only with INGEST_FAILED: data_loss for a wrong size or digest, else what the disk said. The ingest
 * may be closed in the callback. */
typedef void ingest_fn(void *arg, enum ingest_event what, const struct err *e);

/* size: what the blob must have in the end. Borrows b. */
struct ingest *
ingest_open(struct blobs *b, const struct digest *d, uint64_t size, ingest_fn *fn, void *arg);

/* Takes n bytes, or takes nothing and returns false: INGEST_ROOM comes when it is worth trying again.
 * The caller keeps the sum within size. */
bool ingest_add(struct ingest *in, const void *p, size_t n);

/* Nothing will come for a while: write what is still in memory. */
void ingest_flush(struct ingest *in);

void ingest_finish(struct ingest *in);

/* Throws away what is there: READY comes again with offset 0. */
void ingest_restart(struct ingest *in);

/* Changes what the blob must have in the end. */
void ingest_expect(struct ingest *in, uint64_t size);

/* Bytes taken so far (ready ones and those on their way to the disk). */
uint64_t ingest_offset(const struct ingest *in);
/* Ends it. keep: the file stays for a later download. A job that runs is left to end by itself. NULL is
 * fine. */
void ingest_close(struct ingest **in, bool keep);

/* At start and now and then: removes ingest files older than max_age_s that no ingest is open for. */
int ingest_expire(struct blobs *b, int64_t max_age_s, struct err *e);

#endif
