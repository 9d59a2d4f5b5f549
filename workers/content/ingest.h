/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest - one blob on its way to disk: hashed while it is written, renamed in when it is right.
 *
 *	open -> READY -> add.. [ROOM].. -> finish -> DONE
 *	          any point: FAILED; restart -> READY; close
 *
 * The file is ROOT/content/ingest/<hex> (SCOPE~<hex>), 0640. Bytes may come in any order, from several connections: each
 * goes to its place, and the file is hashed from the front as far as it has no gap. What an earlier
 * download left is taken up: the file itself says what it has, its holes are what it has not. Reading,
 * hashing, writing and syncing happen on threads, one job at a time per ingest; the callbacks come on the
 * loop, never from within a call. At most one ingest per scope and digest is open.
 *
 * Memory: CHUNKS_MAX chunks for all ingests together, CHUNKS_EACH for one; who has none waits for ROOM.
 *
 * finish: flush, hash to the end, size and digest compared, chmod, fsync; then those that got so far
 * together are renamed to blobs/ and that folder is synced once for all of them.
 * Crash points: before the rename an ingest file that the next download continues; behind it a whole
 * blob without a row, which is removed at start.
 */
#ifndef CF_CONTENT_INGEST_H
#define CF_CONTENT_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/content/blobs.h"
#include "workers/content/spans.h"

enum ingest_event { INGEST_READY, INGEST_ROOM, INGEST_DONE, INGEST_FAILED };

/* e only with INGEST_FAILED: data_loss for a wrong size or digest, else what the disk said. The ingest
 * may be closed in the callback. */
typedef void ingest_fn(void *arg, enum ingest_event what, const struct err *e);

/* scope: a namespace whose ingests are its own, "": everybody's; one ingest per scope and digest. size: what
 * the blob must have in the end. Borrows b. */
struct ingest *ingest_open(struct blobs *b, const char *scope, const struct digest *d,
    uint64_t size, ingest_fn *fn, void *arg);

/* Takes n bytes (INGEST_ADD_MAX at most) that belong at this offset, or takes nothing and returns false:
 * INGEST_ROOM comes when it is worth trying again. The caller keeps them within size. */
#define INGEST_ADD_MAX (256U << 10)
bool ingest_add(struct ingest *in, uint64_t at, const void *p, size_t n);
/* Would the next bytes have to wait? Then INGEST_ROOM comes when they need not. */
bool ingest_full(struct ingest *in);

/* Nothing will come for a while: write what is still in memory. */
void ingest_flush(struct ingest *in);

void ingest_finish(struct ingest *in);

/* Throws away what is there: READY comes again, with nothing. */
void ingest_restart(struct ingest *in);

/* Changes what the blob must have in the end. */
void ingest_expect(struct ingest *in, uint64_t size);

/*
 * Where another process can read what is in the file while it is being written (content's board, section
 * "ingest"). A take is one run of bytes: below the slot's watermark its bytes stay what they are, and when
 * DONE comes the blob is what was written under this take. Another one begins when the bytes may change.
 */
struct ingest_place {
	const char *name; /* of the file in ROOT/content/ingest; the ingest's */
	unsigned slot;
	uint32_t take; /* 0: none, there was no slot */
};
void ingest_place(const struct ingest *in, struct ingest_place *ret);

/* What was taken so far: what is in the file and what is on its way there. */
const struct spans *ingest_spans(const struct ingest *in);
/* Ends it. keep: the file stays for a later download. A job that runs is left to end by itself. NULL is
 * fine. */
void ingest_close(struct ingest **in, bool keep);

/* Gives back the memory that is kept for the next download. */
void ingest_rest(struct blobs *b);

/* At start and now and then: removes ingest files older than max_age_s that no ingest is open for. */
int ingest_expire(struct blobs *b, int64_t max_age_s, struct err *e);

#endif
