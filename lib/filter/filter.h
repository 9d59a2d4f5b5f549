/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter - containerd's filter language, over the records of schemas/.
 *
 *	filters   := filter ...			one of them must accept; none: everything is accepted
 *	filter    := selector ("," selector)*	all must hold; empty: everything is accepted
 *	selector  := path [op value]		without an op: it is there
 *	path      := field ("." field)*		field: letters, digits and _, or "quoted"
 *	op        := "==" | "!=" | "~="		"~=" takes a regular expression
 *	value     := "quoted" | up to the next comma or space; behind "~=" also |quoted| or /quoted/
 *
 * A path leads through the declared fields of a record, and behind a map's name to a key of it:
 * target.digest, labels.mine, labels."io.x/y". Fields are known by their own names, without regard to
 * case and '_' (mediatype); "name", "id" and "ref" stand for what a record is named by, and ".name"
 * behind a text is that text (runtime.name). A name that the record does not declare is an error.
 */
#ifndef CF_FILTER_H
#define CF_FILTER_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

#define FILTER_TEXT_MAX 4096 /* bytes of one filter */
#define FILTER_SELECTORS_MAX 64
#define FILTER_PATTERN_MS 100 /* that the patterns of one compiled filter may take, in all */

struct filter;

/* Compiles texts for records of s. The result lives in a and points into s; NULL, which accepts
 * everything, when there is nothing to look at. invalid_argument says what is wrong with which filter
 * at which byte. */
int filter_compile(const struct schema *s, const struct strs *texts, struct arena *a,
    struct filter **ret, struct err *e);

/* 1: rec is accepted, 0: it is not. resource_exhausted when the patterns take too long. */
int filter_accepts(struct filter *f, const void *rec, struct err *e);

#endif
