/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wire - the codec over all declared records: round trips, wrong types, missing and oversized
 * fields, hostile msgpack, random mutations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bus/wire/wire.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "tests/fuzz/records.h"

static int
decode(const struct schema *s, const struct buf *b, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;

	*e = ERR_ZERO;
	return wire_decode(s, b->data, b->len, &a, arena_calloc(&a, 1, s->size), e);
}

/* Decodes, encodes what came out, decodes that and encodes it again: both encodings are the same. */
static int
settle(const struct schema *s, const void *data, size_t n, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(buf_free) struct buf one = BUF_ZERO;
	AUTO(buf_free) struct buf two = BUF_ZERO;
	void *rec = arena_calloc(&a, 1, s->size);
	int r = wire_decode(s, data, n, &a, rec, e);

	if (r < 0)
		return r;
	assert_int_equal(wire_encode(s, rec, &one, e), 0);
	rec = arena_calloc(&a, 1, s->size);
	assert_int_equal(wire_decode(s, one.data, one.len, &a, rec, e), 0);
	assert_int_equal(wire_encode(s, rec, &two, e), 0);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	return 0;
}

static void
test_round_trip(void **state)
{
	uint64_t seed = 1;

	(void)state;
	assert_true(COUNT(all_records) > 40);
	for (size_t i = 0; i < COUNT(all_records); i++)
		for (int k = 0; k < 50; k++) {
			const struct schema *s = all_records[i];
			AUTO(arena_free) struct arena a = ARENA_ZERO;
			AUTO(buf_free) struct buf b = BUF_ZERO, again = BUF_ZERO;
			void *rec = arena_calloc(&a, 1, s->size);
			void *back = arena_calloc(&a, 1, s->size);
			struct err e = ERR_ZERO;

			records_fill(&seed, &a, s, rec, 3);
			assert_int_equal(wire_encode(s, rec, &b, &e), 0);
			assert_int_equal(wire_decode(s, b.data, b.len, &a, back, &e), 0);
			assert_int_equal(wire_encode(s, back, &again, &e), 0);
			assert_int_equal(b.len, again.len);
			assert_memory_equal(b.data, again.data, b.len);
			buf_free(&again);
		}
}

/* --- each field of each record ------------------------------------------------------------------ */

/* What a field of this kind takes, as one letter per type below. */
static const char *
takes(enum field_kind kind)
{
	switch (kind) {
	case FIELD_STR:
		return "s";
	case FIELD_BIN:
		return "b";
	case FIELD_U64:
		return "u";
	case FIELD_I64:
		return "ui";
	case FIELD_BOOL:
		return "t";
	case FIELD_MAP:
	case FIELD_REC:
		return "m";
	default:
		return "a";
	}
}

static void
pack_type(struct buf *b, char type)
{
	switch (type) {
	case 's':
		pack_str(b, "x");
		break;
	case 'b':
		pack_bin(b, "x", 1);
		break;
	case 'u':
		pack_byte(b, 7);
		break;
	case 'i':
		pack_byte(b, 0xff);
		break;
	case 't':
		pack_byte(b, 0xc3);
		break;
	case 'm':
		pack_map(b, 0);
		break;
	case 'a':
		pack_array(b, 0);
		break;
	case 'f':
		pack_head(b, 0xcb, 0x3ff0000000000000, 8);
		break;
	}
}

#define EACH_FIELD(s, f)                                                            \
	for (size_t i_ = 0; i_ < COUNT(all_records); i_++)                          \
		for (const struct schema *s = all_records[i_]; s != NULL; s = NULL) \
			for (const struct field *f = s->fields; f < s->fields + s->nfields; f++)

/* A copy is the same, and needs nothing of the original. */
static void
test_copy(void **state)
{
	uint64_t seed = 2;

	(void)state;
	for (size_t i = 0; i < COUNT(all_records); i++)
		for (int k = 0; k < 10; k++) {
			const struct schema *s = all_records[i];
			struct arena a = ARENA_ZERO;
			AUTO(arena_free) struct arena b = ARENA_ZERO;
			AUTO(buf_free) struct buf one = BUF_ZERO, two = BUF_ZERO;
			void *rec = arena_calloc(&a, 1, s->size);
			void *copy = arena_calloc(&b, 1, s->size);
			struct err e = ERR_ZERO;

			records_fill(&seed, &a, s, rec, 3);
			assert_int_equal(wire_encode(s, rec, &one, &e), 0);
			wire_copy(s, rec, &b, copy);
			arena_free(&a);
			assert_int_equal(wire_encode(s, copy, &two, &e), 0);
			assert_int_equal(one.len, two.len);
			assert_memory_equal(one.data, two.data, one.len);
		}
}

static void
test_least_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(all_records); i++) {
		AUTO(buf_free) struct buf b = BUF_ZERO;
		struct err e = ERR_ZERO;

		pack_record(&b, all_records[i], NULL, NULL);
		assert_int_equal(settle(all_records[i], b.data, b.len, &e), 0);
	}
}

static void
test_wrong_types(void **state)
{
	unsigned n = 0;

	(void)state;
	EACH_FIELD(s, f)
	{
		for (const char *type = "sbuitmaf"; *type != '\0'; type++) {
			AUTO(buf_free) struct buf b = BUF_ZERO, value = BUF_ZERO;
			struct err e = ERR_ZERO;
			int r;

			pack_type(&value, *type);
			pack_record(&b, s, f, &value);
			r = decode(s, &b, &e);
			if (strchr(takes(f->kind), *type) != NULL && f->kind != FIELD_REC) {
				assert_int_equal(r, 0);
			} else if (strchr(takes(f->kind), *type) == NULL) {
				assert_int_equal(r, -ERR_INVALID_ARGUMENT);
				assert_memory_equal(e.msg, f->name, strlen(f->name));
				n++;
			}
			buf_free(&value);
		}
	}
	assert_true(n > 1000);
}

static void
test_missing(void **state)
{
	(void)state;
	EACH_FIELD(s, f)
	{
		AUTO(buf_free) struct buf b = BUF_ZERO, nil = BUF_ZERO;
		char want[128];
		struct err e = ERR_ZERO;
		int must = f->must ? -ERR_INVALID_ARGUMENT : 0;

		(void)snprintf(want, sizeof(want), "%s: missing", f->name);
		pack_record(&b, s, f, NULL);
		assert_int_equal(decode(s, &b, &e), must);
		assert_true(!f->must || strcmp(e.msg, want) == 0);
		buf_free(&b);
		pack_byte(&nil, 0xc0); /* nil is absence */
		pack_record(&b, s, f, &nil);
		assert_int_equal(decode(s, &b, &e), must);
		buf_free(&nil);
	}
}

/* One more than allowed, and exactly as much. */
static void
pack_many(struct buf *value, const struct field *f, uint32_t n)
{
	AUTO(free_ptr) char *text = xcalloc(1, n + 1);

	memset(text, 'x', n);
	switch (f->kind) {
	case FIELD_STR:
		pack_str(value, text);
		break;
	case FIELD_BIN:
		pack_bin(value, text, n);
		break;
	case FIELD_MAP:
		pack_map(value, n);
		for (uint32_t i = 0; i < 2 * n; i++)
			pack_byte(value, 0xa0);
		break;
	case FIELD_STRS:
		pack_array(value, n);
		for (uint32_t i = 0; i < n; i++)
			pack_byte(value, 0xa0);
		break;
	default: /* RECS: the count is looked at before the first one is */
		pack_array(value, n);
		for (uint32_t i = 0; i < n; i++)
			pack_byte(value, 0x80);
	}
}

static void
test_too_large(void **state)
{
	unsigned n = 0;

	(void)state;
	EACH_FIELD(s, f)
	{
		AUTO(buf_free) struct buf b = BUF_ZERO, value = BUF_ZERO;
		struct err e = ERR_ZERO;

		if (f->max == 0)
			continue;
		pack_many(&value, f, f->max + 1);
		pack_record(&b, s, f, &value);
		assert_int_equal(decode(s, &b, &e), -ERR_INVALID_ARGUMENT);
		assert_memory_equal(e.msg, f->name, strlen(f->name));
		assert_non_null(strstr(e.msg, "at most"));
		buf_free(&b);
		buf_free(&value);
		n++;
		if (f->kind == FIELD_RECS)
			continue;
		pack_many(&value, f, f->max);
		pack_record(&b, s, f, &value);
		assert_int_equal(decode(s, &b, &e), 0);
		buf_free(&value);
	}
	assert_true(n > 100);
}

/* --- single cases ------------------------------------------------------------------------------- */

static int
decode_odd(const char *field, const struct buf *value, struct err *e)
{
	const struct schema *s = &event_read_req_schema;
	AUTO(buf_free) struct buf b = BUF_ZERO;

	for (unsigned i = 0; i < s->nfields; i++)
		if (strcmp(s->fields[i].name, field) == 0)
			pack_record(&b, s, &s->fields[i], value);
	assert_true(b.len > 0);
	return decode(s, &b, e);
}

static void
test_numbers(void **state)
{
	static const struct {
		uint8_t type;
		uint64_t value;
		unsigned bytes;
		bool u64, i64;
	} cases[] = {
		{ 0xcf, UINT64_MAX, 8, true, false },
		{ 0xcf, INT64_MAX, 8, true, true },
		{ 0xcf, (uint64_t)INT64_MAX + 1, 8, true, false },
		{ 0xd3, (uint64_t)INT64_MIN, 8, false, true },
		{ 0xd3, UINT64_MAX, 8, false, true }, /* -1 */
		{ 0xd3, 5, 8, true, true },	      /* a signed form of a positive number */
		{ 0xd0, 0x80, 1, false, true },
		{ 0xcc, 0xff, 1, true, true },
		{ 0xca, 0, 4, false, false },
	};
	const struct field *f = NULL;

	(void)state;
	for (unsigned i = 0; i < event_schema.nfields; i++)
		if (strcmp(event_schema.fields[i].name, "time") == 0)
			f = &event_schema.fields[i];
	assert_non_null(f);
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO(buf_free) struct buf value = BUF_ZERO, b = BUF_ZERO;
		struct err e;

		pack_head(&value, cases[i].type, cases[i].value, cases[i].bytes);
		assert_int_equal(decode_odd("from", &value, &e) == 0, cases[i].u64);
		pack_record(&b, &event_schema, f, &value);
		assert_int_equal(decode(&event_schema, &b, &e) == 0, cases[i].i64);
		buf_free(&b);
	}
}

static void
test_text_with_nul(void **state)
{
	AUTO(buf_free) struct buf value = BUF_ZERO;
	struct err e;

	(void)state;
	pack_array(&value, 2);
	pack_str(&value, "fine");
	pack_str_n(&value, "a\0b", 3);
	assert_int_equal(decode_odd("topics", &value, &e), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(e.msg, "topics"));
	assert_non_null(strstr(e.msg, "NUL"));
}

static void
test_text_is_utf8(void **state)
{
	static const struct {
		const char *text;
		bool fine;
	} cases[] = { { "\xa3"
			"abc",
			  true },
		{ "\xa2\xc3\xa9", true }, { "\xa4\xf0\x9f\x98\x80", true },
		{ "\xa2\xc0\x80", false }, { "\xa3\xed\xa0\x80", false },
		{ "\xa4\xf5\x80\x80\x80", false }, { "\xa1\xc3", false },
		{ "\xa2\x80"
		  "a",
		    false } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		AUTO(buf_free) struct buf b = BUF_ZERO;
		struct image_get_req req;
		struct err e = ERR_ZERO;

		assert_int_equal(buf_add(&b, "\x81\xa3ref", 5), 0);
		assert_int_equal(buf_adds(&b, cases[i].text), 0);
		assert_int_equal(wire_decode(&image_get_req_schema, b.data, b.len, &a, &req, &e),
		    cases[i].fine ? 0 : -ERR_INVALID_ARGUMENT);
	}
}

/* Other encoders have orders of their own; of a key that comes twice the first one counts. */
static void
test_keys_in_any_order(void **state)
{
	static const char *const forms[] = { "\x82\xa5limit\x05\xa5"
					     "after\xa1x",
		"\x82\xa5"
		"after\xa1x\xa5limit\x05",
		"\x83\xa5limit\x05\xa4what\x01\xa5"
		"after\xa1x",
		"\x83\xa5"
		"after\xa1x\xa5limit\x05\xa5"
		"after\xa1y",
		"\x84\xa5limit\x05\xa5limit\x06\xa5"
		"after\xa1x\xa5"
		"after\xa1y" };

	(void)state;
	for (size_t i = 0; i < COUNT(forms); i++) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		struct image_list_req req;
		struct err e = ERR_ZERO;

		assert_int_equal(
		    wire_decode(&image_list_req_schema, forms[i], strlen(forms[i]), &a, &req, &e),
		    0);
		assert_int_equal(req.limit, 5);
		assert_string_equal(req.after, "x");
	}
}

static void
test_nested_field_is_named(void **state)
{
	const struct schema *s = &event_read_rep_schema;
	AUTO(buf_free) struct buf b = BUF_ZERO;
	struct err e;

	(void)state;
	pack_map(&b, 2);
	pack_str(&b, "next");
	pack_byte(&b, 1);
	pack_str(&b, "events");
	pack_array(&b, 2);
	pack_record(&b, &event_schema, NULL, NULL);
	pack_record(&b, &event_schema, &event_schema.fields[0], NULL);
	assert_int_equal(decode(s, &b, &e), -ERR_INVALID_ARGUMENT);
	assert_string_equal(e.msg, "events[1].seq: missing");
}

static void
test_unknown_keys_are_skipped(void **state)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct event_read_req req;
	struct err e;

	(void)state;
	pack_map(&b, 6);
	pack_str(&b, "later");
	pack_map(&b, 1);
	pack_byte(&b, 1); /* a key that is no text */
	pack_array(&b, 1);
	pack_byte(&b, 0xc0);
	pack_byte(&b, 5);
	pack_byte(&b, 6);
	pack_str(&b, "from");
	pack_byte(&b, 7);
	pack_str(&b, "from"); /* again: the first one counts */
	pack_byte(&b, 8);
	pack_str(&b, "");
	pack_byte(&b, 0xc0);
	pack_str(&b, "froma");
	pack_byte(&b, 0xc0);
	assert_int_equal(wire_decode(&event_read_req_schema, b.data, b.len, &a, &req, &e), 0);
	assert_int_equal(req.from, 7);
}

/* --- hostile bytes ------------------------------------------------------------------------------ */

static void
refused(const void *data, size_t n)
{
	static const struct schema *const some[] = { &envelope_schema, &nothing_schema,
		&event_read_req_schema, &outbox_read_rep_schema };

	for (size_t i = 0; i < COUNT(some); i++) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		void *rec = arena_calloc(&a, 1, some[i]->size);
		struct err e = ERR_ZERO;

		assert_int_equal(wire_decode(some[i], data, n, &a, rec, &e), -ERR_INVALID_ARGUMENT);
		assert_true(a.used < 4096);
	}
}

/* A few bytes that claim gigabytes: refused before anything is allocated. */
static void
test_claims(void **state)
{
	static const struct {
		size_t n;
		uint8_t bytes[12];
	} cases[] = {
		{ 0, { 0 } },
		{ 1, { 0xc1 } }, /* never used */
		{ 1, { 0x81 } },
		{ 1, { 0x90 } }, /* not a map */
		{ 1, { 0xc0 } },
		{ 5, { 0xdd, 0xff, 0xff, 0xff, 0xff } },
		{ 5, { 0xdf, 0xff, 0xff, 0xff, 0xff } },
		{ 5, { 0xdf, 0x80, 0x00, 0x00, 0x00 } }, /* times two is zero in 32 bits */
		{ 6, { 0x81, 0xdb, 0xff, 0xff, 0xff, 0xff } },
		{ 6, { 0x81, 0xc6, 0xff, 0xff, 0xff, 0xff } },
		{ 7, { 0x81, 0xa0, 0xdd, 0x7f, 0xff, 0xff, 0xff } },
		{ 7, { 0x81, 0xa0, 0xdf, 0x0f, 0xff, 0xff, 0xff } },
		{ 4, { 0x81, 0xa0, 0xc4, 0x02 } },
		{ 5, { 0x81, 0xa0, 0xd4, 0x01, 0x00 } },       /* extension */
		{ 6, { 0x81, 0xa0, 0xc7, 0x01, 0x01, 0x00 } }, /* extension */
		{ 8, { 0x81, 0xa0, 0xd6, 0xff, 0, 0, 0, 0 } }, /* time */
		{ 2, { 0x80, 0x80 } },			       /* two values */
		{ 3, { 0x81, 0xa1, 'x' } },
		{ 3, { 0x82, 0xa0, 0xc0 } },
	};
	struct rusage before, after;

	(void)state;
	(void)getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < COUNT(cases); i++) {
		/* On the heap, exactly so long: ASan sees a read behind the end. */
		AUTO(free_ptr) void *data = xcalloc(1, cases[i].n + 1);

		data = xrealloc(data, cases[i].n == 0 ? 1 : cases[i].n);
		memcpy(data, cases[i].bytes, cases[i].n);
		refused(data, cases[i].n);
	}
	(void)getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 64 * 1024);
}

static void
test_depth(void **state)
{
	(void)state;
	for (uint32_t depth = 1; depth < 200000; depth = depth * 3 + 1)
		for (int map = 0; map < 2; map++) {
			AUTO(buf_free) struct buf b = BUF_ZERO;
			struct err e;
			int want = depth + 1 > WIRE_DEPTH_MAX ? -ERR_INVALID_ARGUMENT : 0;

			pack_map(&b, 1);
			pack_str(&b, "unknown");
			for (uint32_t i = 0; i < depth; i++) {
				pack_byte(&b, map ? 0x81 : 0x91);
				if (map)
					pack_byte(&b, 0xa0);
			}
			pack_byte(&b, 0xc0);
			assert_int_equal(decode(&nothing_schema, &b, &e), want);
		}
}

static void
test_number_of_values(void **state)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	struct err e;

	(void)state;
	pack_map(&b, 1);
	pack_str(&b, "unknown");
	pack_array(&b, WIRE_NODES_MAX);
	for (uint32_t i = 0; i < WIRE_NODES_MAX; i++)
		pack_byte(&b, 0xc0);
	assert_int_equal(decode(&nothing_schema, &b, &e), -ERR_INVALID_ARGUMENT);
}

/* Every start of a valid message, and every byte of it changed: an answer, never a crash. */
static void
test_cut_and_flipped(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (size_t i = 0; i < COUNT(all_records); i++) {
		const struct schema *s = all_records[i];
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		AUTO(buf_free) struct buf b = BUF_ZERO;
		void *rec = arena_calloc(&a, 1, s->size);
		struct err e = ERR_ZERO;

		records_fill(&seed, &a, s, rec, 2);
		assert_int_equal(wire_encode(s, rec, &b, &e), 0);
		for (size_t n = 0; n < b.len && n < 1500; n++) {
			AUTO(free_ptr) char *part = xcalloc(1, n + 1);

			part = xrealloc(part, n == 0 ? 1 : n);
			memcpy(part, b.data, n);
			assert_int_equal(settle(s, part, n, &e), -ERR_INVALID_ARGUMENT);
		}
		for (size_t at = 0; at < b.len && at < 1500; at++) {
			char was = b.data[at];

			b.data[at] = (char)records_random(&seed);
			assert_true(
			    settle(s, b.data, b.len, &e) == 0 || e.code == ERR_INVALID_ARGUMENT);
			b.data[at] = was;
		}
	}
}

static void
mutate(struct buf *b, uint64_t *seed)
{
	static const uint8_t heads[] = { 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc4,
		0xc5, 0xc6, 0xc7, 0xca, 0xcb, 0xcc, 0xcf, 0xd0, 0xd3, 0xd4, 0xd9, 0xda, 0xdb, 0xdc,
		0xdd, 0xde, 0xdf, 0xff };
	size_t at = b->len == 0 ? 0 : records_random(seed) % b->len;

	switch (records_random(seed) % 5) {
	case 0:
		if (b->len > 0)
			b->data[at] = (char)heads[records_random(seed) % COUNT(heads)];
		break;
	case 1:
		if (b->len > 0)
			b->data[at] ^= (char)(1 << records_random(seed) % 8);
		break;
	case 2:
		b->len = at;
		break;
	case 3:
		pack_byte(b, (uint8_t)records_random(seed));
		break;
	default: /* a piece copied over another */
		if (b->len > 4) {
			size_t n = 1 + records_random(seed) % (b->len / 2);
			size_t from = records_random(seed) % (b->len - n);
			size_t to = records_random(seed) % (b->len - n);

			memmove(b->data + to, b->data + from, n);
		}
	}
}

static void
test_random_mutations(void **state)
{
	uint64_t seed = (uint64_t)clock_real_ns(), start = clock_mono_ms();
	unsigned fine = 0, rounds = 0;

	(void)state;
	(void)printf("seed %llu\n", (unsigned long long)seed);
	for (; rounds < 20000 && clock_mono_ms() - start < 3000; rounds++) {
		const struct schema *s = all_records[records_random(&seed) % COUNT(all_records)];
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		AUTO(buf_free) struct buf b = BUF_ZERO;
		void *rec = arena_calloc(&a, 1, s->size);
		struct err e = ERR_ZERO;

		records_fill(&seed, &a, s, rec, 2);
		assert_int_equal(wire_encode(s, rec, &b, &e), 0);
		for (unsigned i = records_random(&seed) % 4; i < 4; i++)
			mutate(&b, &seed);
		if (settle(s, b.data, b.len, &e) == 0)
			fine++;
		else
			assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
	}
	assert_true(rounds > 500);
	assert_true(fine > 0 && fine < rounds); /* some pass, or nothing was reached */
}

/* --- encoding ----------------------------------------------------------------------------------- */

static void
test_encode_holds_to_the_declaration(void **state)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	AUTO(buf_free) struct buf small = BUF_LIMIT(16);
	char long_text[100];
	struct envelope env = { .v = 1, .kind = "request" };
	struct image image = { .name = "x" };
	struct err e = ERR_ZERO;

	(void)state;
	memset(long_text, 'x', 99);
	long_text[99] = '\0';
	assert_int_equal(buf_adds(&b, "before"), 0);
	env.method = long_text;
	assert_int_equal(wire_encode(&envelope_schema, &env, &b, &e), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(e.msg, "envelope.method"));
	assert_string_equal(buf_str(&b), "before"); /* nothing of it was added */
	assert_int_equal(wire_encode(&image_schema, &image, &b, &e), -ERR_INTERNAL);
	assert_non_null(strstr(e.msg, "image.target"));
	assert_int_equal(b.len, 6);
	env.method = "version";
	assert_int_equal(wire_encode(&envelope_schema, &env, &small, &e), -ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(small.len, 0);
	assert_int_equal(wire_encode(&envelope_schema, &env, &b, &e), 0);
	assert_int_equal(settle(&envelope_schema, b.data + 6, b.len - 6, &e), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_least_values),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_text_with_nul),
		cmocka_unit_test(test_text_is_utf8),
		cmocka_unit_test(test_keys_in_any_order),
		cmocka_unit_test(test_nested_field_is_named),
		cmocka_unit_test(test_unknown_keys_are_skipped),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_number_of_values),
		cmocka_unit_test(test_cut_and_flipped),
		cmocka_unit_test(test_random_mutations),
		cmocka_unit_test(test_encode_holds_to_the_declaration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
