/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress - a pull or push as it goes on: one bar for each part on a terminal, one plain line for each
 * change of state anywhere else, or one JSON object for all that is told.
 *
 * On a terminal the block of lines is drawn again in place, at most ten times a second; when the window
 * changes its size, what the old lines have become is worked out, cleared and drawn anew.
 *
 * Plain lines are held back for the first two seconds: of a pull that is refused at once only the
 * reason is to be said.
 */
#ifndef CF_CTR_PROGRESS_H
#define CF_CTR_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/loop.h"
#include "schemas/schema.h"

struct progress;

/* to: stdout or stderr; bars when it is a terminal, unless json. With l, redraws by itself; NULL: only
 * when told. */
struct progress *progress_new(struct loop *l, FILE *to, bool json);
/* What changed. */
void progress_update(struct progress *p, const struct pull_item_list *changed);
/* Draws the block a last time and leaves it there. done: it went well; else lines that are still held
 * back are dropped. */
void progress_end(struct progress **p, bool done);

/* The block for a terminal of this size, without control characters, a line feed behind each line:
 * what the redraws print. For tests as well. */
void progress_block(const struct progress *p, unsigned width, unsigned height, struct buf *out);

/* Rows that lines of these widths take on a terminal that wraps them at width. */
unsigned progress_rows(const unsigned *widths, unsigned n, unsigned width);

#endif
