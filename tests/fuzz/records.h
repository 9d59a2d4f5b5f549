/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records - every declared record, random ones of each, and msgpack written by hand; for unit tests and
 * fuzz targets of the codec. Functions are static inline: there is nothing to link.
 */
#ifndef CF_TESTS_RECORDS_H
#define CF_TESTS_RECORDS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

#define RECORD(name, doc) &name##_schema,
#define RPC(...)
#define COMMON(...)
#define EVENT(...)
static const struct schema *const all_records[] = {
#include "schemas/all.h"
};
#undef RECORD
#undef RPC
#undef COMMON
#undef EVENT

/* --- random records ---------------------------------------------------------------------------- */

/* A small generator of our own: the same seed gives the same record everywhere. */
static inline uint32_t
records_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33);
}

static inline const char *
records_text(uint64_t *seed, struct arena *a, uint32_t max)
{
	size_t n = records_random(seed) % (max == 0 || max > 40 ? 40 : max);
	char *text;

	if (max != 0 && max < 5000 && records_random(seed) % 8 == 0)
		n = max;
	text = arena_calloc(a, n + 1, 1);
	for (size_t i = 0; i < n; i++)
		text[i] = (char)(1 + records_random(seed) % 127);
	return text;
}

static inline void
records_fill(uint64_t *seed, struct arena *a, const struct schema *s, void *rec, unsigned depth);

static inline uint64_t
records_number(uint64_t *seed)
{
	uint64_t n = (uint64_t)records_random(seed) << 33 ^ (uint64_t)records_random(seed) << 8;

	return n >> records_random(seed) % 64;
}

static inline void
records_list(uint64_t *seed, struct arena *a, const struct field *f, void *at, unsigned depth)
{
	uint32_t n = records_random(seed) % (f->max < 4 ? f->max + 1 : 4);
	struct list *l = at;
	struct kvs *map = at;
	struct strs *strs = at;

	l->n = n;
	if (f->kind == FIELD_MAP) {
		map->v = arena_calloc(a, n, sizeof(*map->v));
		for (uint32_t i = 0; i < n; i++)
			map->v[i] = (struct kv){ records_text(seed, a, 0),
				records_text(seed, a, 0) };
	} else if (f->kind == FIELD_STRS) {
		strs->v = arena_calloc(a, n, sizeof(*strs->v));
		for (uint32_t i = 0; i < n; i++)
			strs->v[i] = records_text(seed, a, 0);
	} else {
		l->v = arena_calloc(a, n, f->sub->size);
		for (uint32_t i = 0; i < n; i++)
			records_fill(seed, a, f->sub, (char *)l->v + i * f->sub->size, depth - 1);
	}
}

static inline void
records_fill(uint64_t *seed, struct arena *a, const struct schema *s, void *rec, unsigned depth)
{
	for (unsigned i = 0; i < s->nfields; i++) {
		const struct field *f = &s->fields[i];
		void *at = (char *)rec + f->offset;

		if (!f->must && (depth == 0 || records_random(seed) % 3 == 0))
			continue;
		switch (f->kind) {
		case FIELD_STR:
			*(const char **)at = records_text(seed, a, f->max);
			break;
		case FIELD_BIN: {
			const char *text = records_text(seed, a, f->max);

			*(struct bytes *)at = (struct bytes){ text, strlen(text) };
			break;
		}
		case FIELD_U64:
			*(uint64_t *)at = records_number(seed);
			break;
		case FIELD_I64:
			*(int64_t *)at = (int64_t)(records_number(seed) - records_number(seed));
			break;
		case FIELD_BOOL:
			*(bool *)at = records_random(seed) % 2 == 0;
			break;
		case FIELD_REC:
			*(void **)at = arena_calloc(a, 1, f->sub->size);
			records_fill(seed, a, f->sub, *(void **)at, depth == 0 ? 0 : depth - 1);
			break;
		default:
			if (depth > 0)
				records_list(seed, a, f, at, depth);
		}
	}
}

/* --- msgpack by hand --------------------------------------------------------------------------- */

static inline void
pack_head(struct buf *b, uint8_t type, uint64_t n, unsigned bytes)
{
	uint8_t head[9] = { type };

	for (unsigned i = 0; i < bytes; i++)
		head[1 + i] = (uint8_t)(n >> 8 * (bytes - 1 - i));
	(void)buf_add(b, head, 1 + bytes); /* these bufs have no limit */
}

static inline void
pack_map(struct buf *b, uint32_t n)
{
	pack_head(b, 0xdf, n, 4);
}

static inline void
pack_array(struct buf *b, uint32_t n)
{
	pack_head(b, 0xdd, n, 4);
}

static inline void
pack_str_n(struct buf *b, const char *text, size_t n)
{
	pack_head(b, 0xdb, n, 4);
	(void)buf_add(b, text, n);
}

static inline void
pack_str(struct buf *b, const char *text)
{
	pack_str_n(b, text, strlen(text));
}

static inline void
pack_bin(struct buf *b, const void *p, size_t n)
{
	pack_head(b, 0xc6, n, 4);
	(void)buf_add(b, p, n);
}

static inline void
pack_byte(struct buf *b, uint8_t byte)
{
	(void)buf_add(b, &byte, 1);
}

/* The least value that a field takes. */
static inline void
pack_least(struct buf *b, const struct field *f)
{
	switch (f->kind) {
	case FIELD_STR:
		pack_str(b, "");
		break;
	case FIELD_BIN:
		pack_bin(b, "", 0);
		break;
	case FIELD_U64:
	case FIELD_I64:
		pack_byte(b, 0);
		break;
	case FIELD_BOOL:
		pack_byte(b, 0xc2);
		break;
	case FIELD_MAP:
		pack_map(b, 0);
		break;
	case FIELD_STRS:
	case FIELD_RECS:
		pack_array(b, 0);
		break;
	case FIELD_REC:
		pack_map(b, f->sub->nfields);
		for (unsigned i = 0; i < f->sub->nfields; i++) {
			pack_str(b, f->sub->fields[i].name);
			pack_least(b, &f->sub->fields[i]);
		}
	}
}

/* A record of s with the least values, but field `odd` (NULL: none) with the msgpack value given, or
 * without it when value is NULL. */
static inline void
pack_record(struct buf *b, const struct schema *s, const struct field *odd, const struct buf *value)
{
	pack_map(b, s->nfields - (odd != NULL && value == NULL));
	for (unsigned i = 0; i < s->nfields; i++) {
		const struct field *f = &s->fields[i];

		if (f == odd && value == NULL)
			continue;
		pack_str(b, f->name);
		if (f == odd)
			(void)buf_add(b, value->data, value->len);
		else
			pack_least(b, f);
	}
}

#endif
