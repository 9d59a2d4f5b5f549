/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spans - which bytes of a blob are there: ranges, sorted, neither touching nor overlapping.
 *
 * Bounded: downloads fill gaps from the front with a few streams, so there are few of them.
 */
#ifndef CF_CONTENT_SPANS_H
#define CF_CONTENT_SPANS_H

#include <stdbool.h>
#include <stdint.h>

#define SPANS_MAX 64

struct span {
	uint64_t from, to; /* [from, to) */
};

struct spans {
	unsigned n;
	struct span v[SPANS_MAX];
};

/* Adds [from, to), which may overlap and touch others. False: there are too many, nothing was added. */
bool spans_add(struct spans *s, uint64_t from, uint64_t to);
/* Bytes that are there without a gap from 0 on. */
uint64_t spans_front(const struct spans *s);
/* All bytes that are there. */
uint64_t spans_sum(const struct spans *s);
/* The first gap that begins below end, cut at end. False: there is none. */
bool spans_gap(const struct spans *s, uint64_t end, struct span *ret);

#endif
