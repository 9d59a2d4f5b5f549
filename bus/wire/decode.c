/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode - msgpack to records; see wire.h.
 *
 * Two steps. survey() walks the bytes and adds nothing to memory: every declared length must fit into
 * what is left, depth and number of values are bounded, extension types are refused. Only then may the
 * library build its tree (it allocates what a header claims). Then each declared field is looked up
 * and checked.
 */
#include "bus/wire/wire.h"

#include <msgpack.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/utf8.h"

struct survey {
	const uint8_t *p;
	size_t left;
	size_t nodes;
};

/* A field, and which entry of its list is in hand, counted from 1; 0: it is no list. */
struct place {
	const char *name;
	uint32_t entry;
};

struct decoder {
	struct arena *a;
	struct err *e;
	struct place at[WIRE_DEPTH_MAX + 1]; /* the way to the field in hand */
	unsigned depth;
};

static int
decode_rec(struct decoder *d, const struct schema *s, const msgpack_object *o, void *rec);

static bool
survey_take(struct survey *sv, size_t n)
{
	if (n > sv->left)
		return false;
	sv->p += n;
	sv->left -= n;
	return true;
}

static bool
survey_number(struct survey *sv, unsigned bytes, uint64_t *ret)
{
	const uint8_t *p = sv->p;
	uint64_t n = 0;

	if (!survey_take(sv, bytes))
		return false;
	for (unsigned i = 0; i < bytes; i++)
		n = n << 8 | p[i];
	*ret = n;
	return true;
}

static bool survey_value(struct survey *sv, unsigned depth);

static bool
survey_values(struct survey *sv, uint64_t n, unsigned depth)
{
	if (n > sv->left || depth == 0) /* every value takes a byte at least */
		return false;
	for (uint64_t i = 0; i < n; i++)
		if (!survey_value(sv, depth - 1))
			return false;
	return true;
}

static bool
survey_sized(struct survey *sv, unsigned bytes)
{
	uint64_t n;

	return survey_number(sv, bytes, &n) && n <= sv->left && survey_take(sv, (size_t)n);
}

static bool
survey_counted(struct survey *sv, unsigned bytes, unsigned each, unsigned depth)
{
	uint64_t n;

	return survey_number(sv, bytes, &n) && survey_values(sv, n * each, depth);
}

/* One value by its first byte: the format's table (msgpack spec). */
static bool
survey_value(struct survey *sv, unsigned depth)
{
	uint8_t t;

	if (sv->left == 0 || ++sv->nodes > WIRE_NODES_MAX)
		return false;
	t = *sv->p;
	(void)survey_take(sv, 1);
	if (t <= 0x7f || t >= 0xe0) /* small integers */
		return true;
	if (t <= 0x8f)
		return survey_values(sv, (t & 0x0fU) * 2U, depth);
	if (t <= 0x9f)
		return survey_values(sv, t & 0x0fU, depth);
	if (t <= 0xbf)
		return survey_take(sv, t & 0x1fU);
	switch (t) {
	case 0xc0:
	case 0xc2:
	case 0xc3:
		return true;
	case 0xc4:
	case 0xd9:
		return survey_sized(sv, 1);
	case 0xc5:
	case 0xda:
		return survey_sized(sv, 2);
	case 0xc6:
	case 0xdb:
		return survey_sized(sv, 4);
	case 0xcc:
	case 0xd0:
		return survey_take(sv, 1);
	case 0xcd:
	case 0xd1:
		return survey_take(sv, 2);
	case 0xca:
	case 0xce:
	case 0xd2:
		return survey_take(sv, 4);
	case 0xcb:
	case 0xcf:
	case 0xd3:
		return survey_take(sv, 8);
	case 0xdc:
		return survey_counted(sv, 2, 1, depth);
	case 0xdd:
		return survey_counted(sv, 4, 1, depth);
	case 0xde:
		return survey_counted(sv, 2, 2, depth);
	case 0xdf:
		return survey_counted(sv, 4, 2, depth);
	default: /* 0xc1 is never used; extensions have no place in our messages */
		return false;
	}
}

/* "layers[3].digest", into text */
static const char *
path_text(const struct decoder *d, char *text, size_t size)
{
	size_t n = 0;

	for (unsigned i = 0; i < d->depth && n < size; i++) {
		n += (size_t)snprintf(text + n, size - n, "%s%s", i > 0 ? "." : "", d->at[i].name);
		if (d->at[i].entry > 0 && n < size)
			n += (size_t)snprintf(text + n, size - n, "[%u]", d->at[i].entry - 1);
	}
	return d->depth == 0 ? "message" : text;
}

static int
bad(struct decoder *d, const char *what)
{
	char path[160];

	return err_set(
	    d->e, ERR_INVALID_ARGUMENT, "%s: %s", path_text(d, path, sizeof(path)), what);
}

static int
too_many(struct decoder *d, size_t n, const struct field *f)
{
	char path[160];

	return err_set(d->e, ERR_INVALID_ARGUMENT, "%s: %zu %s, at most %u are allowed",
	    path_text(d, path, sizeof(path)), n,
	    f->kind == FIELD_STR || f->kind == FIELD_BIN ? "bytes" : "entries", f->max);
}

/* The other languages that read our answers insist on it. */
static bool
is_utf8(const char *text, size_t n)
{
	uint32_t c;
	size_t len;

	for (; n > 0; text += len, n -= len) {
		len = (unsigned char)*text < 0x80 ? 1 : utf8_char(text, n, &c);
		if (len == 0)
			return false;
	}
	return true;
}

static int
text_of(struct decoder *d, const msgpack_object *o, const char **ret)
{
	if (o->type != MSGPACK_OBJECT_STR)
		return bad(d, "must be a string");
	if (memchr(o->via.str.ptr, '\0', o->via.str.size) != NULL)
		return bad(d, "must not contain a NUL byte");
	if (!is_utf8(o->via.str.ptr, o->via.str.size))
		return bad(d, "must be UTF-8");
	*ret = arena_memdup(d->a, o->via.str.ptr, o->via.str.size);
	return 0;
}

static int
decode_strs(struct decoder *d, const struct field *f, const msgpack_object *o, struct strs *to)
{
	const msgpack_object_array *l = &o->via.array;

	if (o->type != MSGPACK_OBJECT_ARRAY)
		return bad(d, "must be a list");
	if (l->size > f->max)
		return too_many(d, l->size, f);
	to->v = arena_calloc(d->a, l->size, sizeof(*to->v));
	for (to->n = 0; to->n < l->size; to->n++) {
		int r = text_of(d, &l->ptr[to->n], &to->v[to->n]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int
decode_map(struct decoder *d, const struct field *f, const msgpack_object *o, struct kvs *to)
{
	const msgpack_object_map *m = &o->via.map;
	int r;

	if (o->type != MSGPACK_OBJECT_MAP)
		return bad(d, "must be a map");
	if (m->size > f->max)
		return too_many(d, m->size, f);
	to->v = arena_calloc(d->a, m->size, sizeof(*to->v));
	for (to->n = 0; to->n < m->size; to->n++) {
		r = text_of(d, &m->ptr[to->n].key, &to->v[to->n].k);
		if (r < 0)
			return r;
		r = text_of(d, &m->ptr[to->n].val, &to->v[to->n].v);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
decode_recs(struct decoder *d, const struct field *f, const msgpack_object *o, struct list *to)
{
	const msgpack_object_array *l = &o->via.array;
	struct place *at = &d->at[d->depth - 1];

	if (o->type != MSGPACK_OBJECT_ARRAY)
		return bad(d, "must be a list");
	if (l->size > f->max)
		return too_many(d, l->size, f);
	to->v = arena_calloc(d->a, l->size, f->sub->size);
	for (to->n = 0; to->n < l->size; to->n++) {
		int r;

		at->entry = to->n + 1;
		r = decode_rec(d, f->sub, &l->ptr[to->n], (char *)to->v + to->n * f->sub->size);
		if (r < 0)
			return r;
	}
	at->entry = 0;
	return 0;
}

static int
decode_str(struct decoder *d, const struct field *f, const msgpack_object *o, const char **to)
{
	if (o->type == MSGPACK_OBJECT_STR && f->max != 0 && o->via.str.size > f->max)
		return too_many(d, o->via.str.size, f);
	return text_of(d, o, to);
}

static int
decode_bin(struct decoder *d, const struct field *f, const msgpack_object *o, struct bytes *to)
{
	if (o->type != MSGPACK_OBJECT_BIN)
		return bad(d, "must be binary");
	if (f->max != 0 && o->via.bin.size > f->max)
		return too_many(d, o->via.bin.size, f);
	*to = (struct bytes){ .p = o->via.bin.ptr, .n = o->via.bin.size };
	return 0;
}

static int
decode_i64(struct decoder *d, const msgpack_object *o, int64_t *to)
{
	if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		*to = o->via.i64;
	else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX)
		*to = (int64_t)o->via.u64;
	else
		return bad(d, "must be an integer of 64 bits");
	return 0;
}

static int
decode_value(struct decoder *d, const struct field *f, const msgpack_object *o, void *p)
{
	switch (f->kind) {
	case FIELD_STR:
		return decode_str(d, f, o, p);
	case FIELD_BIN:
		return decode_bin(d, f, o, p);
	case FIELD_U64:
		if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
			return bad(d, "must be a whole number, not negative");
		*(uint64_t *)p = o->via.u64;
		return 0;
	case FIELD_I64:
		return decode_i64(d, o, p);
	case FIELD_BOOL:
		if (o->type != MSGPACK_OBJECT_BOOLEAN)
			return bad(d, "must be true or false");
		*(bool *)p = o->via.boolean;
		return 0;
	case FIELD_MAP:
		return decode_map(d, f, o, p);
	case FIELD_STRS:
		return decode_strs(d, f, o, p);
	case FIELD_REC:
		*(void **)p = arena_calloc(d->a, 1, f->sub->size);
		return decode_rec(d, f->sub, o, *(void **)p);
	case FIELD_RECS:
		return decode_recs(d, f, o, p);
	}
	return bad(d, "is of a kind that cannot be decoded");
}

static bool
is_key(const msgpack_object *k, const char *name, size_t n)
{
	return k->type == MSGPACK_OBJECT_STR && k->via.str.size == n &&
	       memcmp(k->via.str.ptr, name, n) == 0;
}

/* The value of this key; the first one counts when a key comes twice. nil means absent. *next: how many
 * entries at the start were those of fields before this one, in their order, as our encoder writes
 * them. */
static const msgpack_object *
lookup(const msgpack_object_map *m, const char *name, uint32_t *next)
{
	size_t n = strlen(name);

	for (uint32_t i = *next; i < m->size; i++)
		if (is_key(&m->ptr[i].key, name, n)) {
			*next += i == *next;
			return m->ptr[i].val.type == MSGPACK_OBJECT_NIL ? NULL : &m->ptr[i].val;
		}
	return NULL;
}

static int
decode_rec(struct decoder *d, const struct schema *s, const msgpack_object *o, void *rec)
{
	uint32_t next = 0;

	if (o->type != MSGPACK_OBJECT_MAP)
		return bad(d, "must be a map");
	for (unsigned i = 0; i < s->nfields; i++) {
		const struct field *f = &s->fields[i];
		const msgpack_object *v = lookup(&o->via.map, f->name, &next);
		int r;

		d->at[d->depth++] = (struct place){ .name = f->name };
		if (v == NULL && f->must)
			return bad(d, "missing");
		r = v == NULL ? 0 : decode_value(d, f, v, (char *)rec + f->offset);
		if (r < 0)
			return r;
		d->depth--;
	}
	return 0;
}

int
wire_decode(
    const struct schema *s, const void *data, size_t n, struct arena *a, void *rec, struct err *e)
{
	struct survey sv = { .p = data, .left = n };
	struct decoder d = { .a = a, .e = e };
	msgpack_unpacked tree;
	size_t off = 0;
	int r;

	memset(rec, 0, s->size);
	if (!survey_value(&sv, WIRE_DEPTH_MAX) || sv.left != 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "message: not one well-formed msgpack map of at most %d "
		    "levels and %d values",
		    WIRE_DEPTH_MAX, WIRE_NODES_MAX);
	msgpack_unpacked_init(&tree);
	if (msgpack_unpack_next(&tree, data, n, &off) != MSGPACK_UNPACK_SUCCESS)
		r = bad(&d, "not well-formed msgpack");
	else
		r = decode_rec(&d, s, &tree.data, rec);
	msgpack_unpacked_destroy(&tree);
	return r;
}
