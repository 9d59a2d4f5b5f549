/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - strings from outside made fit for a terminal, and numbers made fit for people.
 *
 * A clean text holds valid UTF-8 and nothing that moves the cursor, rings, changes colours or turns
 * the direction of writing: such bytes are shown as \x1b and the like.
 */
#ifndef CF_CTR_TEXT_H
#define CF_CTR_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/buf.h"

/* Appends text to out, cleaned. */
void text_clean(struct buf *out, const char *text);
void text_clean_n(struct buf *out, const char *text, size_t n);

/* A line of it. */
void text_print(FILE *to, const char *text);

/* Columns that a clean text takes (one per character: no allowance for wide ones). */
size_t text_width(const char *text);
/* Bytes of the longest beginning of a clean text that takes at most so many columns. */
size_t text_cut(const char *text, size_t columns);

/* Bytes of the valid UTF-8 character at text (n bytes are left), 0 when there is none. */
size_t text_char(const char *text, size_t n, uint32_t *ret_code);

#define TEXT_NUMBER_MAX 32
/* "0 B", "53.9 MiB" into to (TEXT_NUMBER_MAX bytes); returns to. */
const char *text_size(uint64_t bytes, char *to);
/* "12 seconds ago", "3 weeks ago"; "-" when then is 0. */
const char *text_age(int64_t then_ns, int64_t now_ns, char *to);
/* "12s", "3h 5m", "4d 2h". */
const char *text_span(int64_t ns, char *to);

#endif
