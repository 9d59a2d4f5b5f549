/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - time in the three forms we use.
 *
 * Waiting and limits use the monotonic clock; what is stored or shown uses Unix time in nanoseconds
 * (int64_t, UTC), printed as RFC 3339.
 */
#ifndef CF_BASE_CLOCK_H
#define CF_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_ns(void);
int64_t clock_real_ns(void);

#define CLOCK_TEXT_MAX 40
/* "2026-11-23T14:33:07.123456789Z" into text (CLOCK_TEXT_MAX bytes); returns text. 0 gives "-". */
const char *clock_text(int64_t real_ns, char *text);
/* The same without the fraction, as tables show it. */
const char *clock_text_s(int64_t real_ns, char *text);

/* Reads RFC 3339: "2026-11-23T14:33:07Z", with a fraction or an offset ("+01:00") too. false: it is none. */
bool clock_parse(const char *text, int64_t *ret_real_ns);

#endif
