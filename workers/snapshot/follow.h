/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow - reading a blob that content is still downloading, as far as it has come.
 *
 * Content says on its board, in the download's slot, how many bytes from 0 on are in the file (the
 * watermark), under a number, the take: as long as the slot has this take, bytes below the watermark stay what
 * they are. When the slot is let go, the blob is whole if its file has its size and is read-only, else the
 * download ended or began again, and what was read is worth nothing.
 *
 * What is on the board and in the file is another process' word: lies make an unpack that fails or is never
 * committed (layers.c accepts only what content says this very take has brought), nothing worse.
 */
#ifndef CF_SNAPSHOT_FOLLOW_H
#define CF_SNAPSHOT_FOLLOW_H

#include <stdint.h>

#include "bus/board/board.h"
#include "lib/base/err.h"

struct follow {
	int file;
	const struct board_ingest *slot; /* in a read-only mapping of content's board */
	uint32_t take;
	uint64_t size; /* what the blob will have */
	uint64_t safe; /* may be read up to here */
};

/* Waits until there is more than at bytes to read; f->safe says how many. At at == size it returns at once.
 * unavailable when no more will come. */
int follow_wait(struct follow *f, uint64_t at, struct err *e);

#endif
