/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern - regular expressions of strangers. The only home of pcre2.
 *
 * The syntax is that of Go's regexp (RE2), which is a part of PCRE's; what PCRE has beyond it (references
 * to groups, looking around, recursion) is refused. Matching is by PCRE's automaton, which follows all
 * ways at once in one pass over the text. Memory is bounded by the pattern's length, by the 64 KiB
 * that it may compile to, and by the number of places that are followed at a time.
 */
#ifndef CF_FILTER_PATTERN_H
#define CF_FILTER_PATTERN_H

#include "lib/base/arena.h"
#include "lib/base/err.h"

#define PATTERN_MAX 1024

struct pattern;

/* Everything lives in a. invalid_argument says what is wrong and where. */
int pattern_compile(const char *text, struct arena *a, struct pattern **ret, struct err *e);

/* 1: it is found somewhere in text, 0: it is not (never in what is not UTF-8). resource_exhausted when
 * too many ways are open. */
int pattern_found(struct pattern *p, const char *text, struct err *e);

#endif
