/* SPDX-License-Identifier: Apache-2.0 */
/* encode - records to msgpack; see wire.h. */
#include "bus/wire/wire.h"

#include <msgpack.h>
#include <string.h>

struct encoder {
	msgpack_packer pk;
	struct buf *out;
	struct err *e;
};

static int encode_rec(struct encoder *enc, const struct schema *s, const void *rec);

static int
write_buf(void *arg, const char *data, size_t n)
{
	struct encoder *enc = arg;

	if (buf_add(enc->out, data, n) == 0)
		return 0;
	if (enc->e->code == ERR_NONE)
		(void)err_set(enc->e, ERR_RESOURCE_EXHAUSTED, "encode: larger than %zu bytes",
		    enc->out->limit);
	return -1;
}

static void
pack_text(struct encoder *enc, const char *text)
{
	size_t n = strlen(text);

	(void)msgpack_pack_str(&enc->pk, n); /* a refused write is in enc->e, checked at the end */
	(void)msgpack_pack_str_body(&enc->pk, text, n);
}

static const void *
member(const void *rec, const struct field *f)
{
	return (const char *)rec + f->offset;
}

static bool
is_empty(const struct field *f, const void *p)
{
	switch (f->kind) {
	case FIELD_STR:
	case FIELD_REC:
		return *(const void *const *)p == NULL;
	case FIELD_BIN:
		return ((const struct bytes *)p)->n == 0;
	case FIELD_U64:
	case FIELD_I64:
		return *(const uint64_t *)p == 0;
	case FIELD_BOOL:
		return !*(const bool *)p;
	case FIELD_MAP:
	case FIELD_STRS:
	case FIELD_RECS:
		return ((const struct list *)p)->n == 0;
	}
	return true;
}

/* What the field holds, in the unit of its bound. */
static size_t
extent(const struct field *f, const void *p)
{
	switch (f->kind) {
	case FIELD_STR:
		return strlen(*(const char *const *)p);
	case FIELD_BIN:
		return ((const struct bytes *)p)->n;
	case FIELD_MAP:
	case FIELD_STRS:
	case FIELD_RECS:
		return ((const struct list *)p)->n;
	default:
		return 0;
	}
}

static int
check_field(const struct schema *s, const struct field *f, const void *p, struct err *e)
{
	if ((f->kind == FIELD_STR || f->kind == FIELD_REC) && is_empty(f, p)) {
		if (!f->must)
			return 0;
		return err_set(e, ERR_INTERNAL, "encode %s.%s: missing", s->name, f->name);
	}
	if (f->max != 0 && extent(f, p) > f->max)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "%s.%s: %zu is more than the %u that are allowed", s->name, f->name,
		    extent(f, p), f->max);
	return 0;
}

static void
encode_map(struct encoder *enc, const struct kvs *map)
{
	(void)msgpack_pack_map(&enc->pk, map->n);
	for (uint32_t i = 0; i < map->n; i++) {
		pack_text(enc, map->v[i].k);
		pack_text(enc, map->v[i].v == NULL ? "" : map->v[i].v);
	}
}

static int
encode_recs(struct encoder *enc, const struct field *f, const struct list *l)
{
	(void)msgpack_pack_array(&enc->pk, l->n);
	for (uint32_t i = 0; i < l->n; i++) {
		int r = encode_rec(enc, f->sub, (const char *)l->v + i * f->sub->size);

		if (r < 0)
			return r;
	}
	return 0;
}

static int
encode_value(struct encoder *enc, const struct field *f, const void *p)
{
	const struct bytes *bin = p;
	const struct strs *strs = p;

	switch (f->kind) {
	case FIELD_STR:
		pack_text(enc, *(const char *const *)p);
		break;
	case FIELD_BIN:
		(void)msgpack_pack_bin(&enc->pk, bin->n);
		(void)msgpack_pack_bin_body(&enc->pk, bin->p, bin->n);
		break;
	case FIELD_U64:
		(void)msgpack_pack_uint64(&enc->pk, *(const uint64_t *)p);
		break;
	case FIELD_I64:
		(void)msgpack_pack_int64(&enc->pk, *(const int64_t *)p);
		break;
	case FIELD_BOOL:
		(void)(*(const bool *)p ? msgpack_pack_true(&enc->pk)
					: msgpack_pack_false(&enc->pk));
		break;
	case FIELD_MAP:
		encode_map(enc, p);
		break;
	case FIELD_STRS:
		(void)msgpack_pack_array(&enc->pk, strs->n);
		for (uint32_t i = 0; i < strs->n; i++)
			pack_text(enc, strs->v[i]);
		break;
	case FIELD_REC:
		return encode_rec(enc, f->sub, *(const void *const *)p);
	case FIELD_RECS:
		return encode_recs(enc, f, p);
	}
	return 0;
}

static int
encode_rec(struct encoder *enc, const struct schema *s, const void *rec)
{
	unsigned n = 0;
	int r;

	for (unsigned i = 0; i < s->nfields; i++) {
		const struct field *f = &s->fields[i];

		r = check_field(s, f, member(rec, f), enc->e);
		if (r < 0)
			return r;
		n += f->must || !is_empty(f, member(rec, f));
	}
	(void)msgpack_pack_map(&enc->pk, n);
	for (unsigned i = 0; i < s->nfields; i++) {
		const struct field *f = &s->fields[i];

		if (!f->must && is_empty(f, member(rec, f)))
			continue;
		pack_text(enc, f->name);
		r = encode_value(enc, f, member(rec, f));
		if (r < 0)
			return r;
	}
	return enc->e->code == ERR_NONE ? 0 : -(int)enc->e->code;
}

int
wire_encode(const struct schema *s, const void *rec, struct buf *out, struct err *e)
{
	struct err own = ERR_ZERO;
	struct encoder enc = { .out = out, .e = &own };
	size_t was = out->len;
	int r;

	msgpack_packer_init(&enc.pk, &enc, write_buf);
	r = encode_rec(&enc, s, rec);
	if (r < 0) {
		*e = own;
		out->len = was;
	}
	return r;
}
