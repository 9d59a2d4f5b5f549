/* SPDX-License-Identifier: Apache-2.0 */
/* copy - a record with all that it points at; see wire.h. */
#include <string.h>

#include "bus/wire/wire.h"

static const char *
text_copy(const char *text, struct arena *a)
{
	return text == NULL ? NULL : arena_strdup(a, text);
}

static void
map_copy(struct kvs *m, struct arena *a)
{
	const struct kv *from = m->v;

	m->v = arena_calloc(a, m->n, sizeof(*m->v));
	for (uint32_t i = 0; i < m->n; i++)
		m->v[i] = (struct kv){ text_copy(from[i].k, a), text_copy(from[i].v, a) };
}

static void
strs_copy(struct strs *l, struct arena *a)
{
	const char *const *from = l->v;

	l->v = arena_calloc(a, l->n, sizeof(*l->v));
	for (uint32_t i = 0; i < l->n; i++)
		l->v[i] = text_copy(from[i], a);
}

static void
recs_copy(const struct schema *s, struct list *l, struct arena *a)
{
	const char *from = l->v;
	char *to = arena_calloc(a, l->n, s->size);

	for (uint32_t i = 0; i < l->n; i++)
		wire_copy(s, from + i * s->size, a, to + i * s->size);
	l->v = to;
}

/* What at points at is the original's still. */
static void
field_copy(const struct field *f, void *at, struct arena *a)
{
	struct bytes *bin = at;
	const void *from;

	switch (f->kind) {
	case FIELD_STR:
		*(const char **)at = text_copy(*(const char **)at, a);
		break;
	case FIELD_BIN:
		bin->p = bin->n == 0 ? NULL : arena_memdup(a, bin->p, bin->n);
		break;
	case FIELD_MAP:
		map_copy(at, a);
		break;
	case FIELD_STRS:
		strs_copy(at, a);
		break;
	case FIELD_REC:
		from = *(void **)at;
		if (from != NULL)
			wire_copy(f->sub, from, a, *(void **)at = arena_calloc(a, 1, f->sub->size));
		break;
	case FIELD_RECS:
		recs_copy(f->sub, at, a);
		break;
	case FIELD_U64:
	case FIELD_I64:
	case FIELD_BOOL:
		break;
	}
}

void
wire_copy(const struct schema *s, const void *rec, struct arena *a, void *ret)
{
	memcpy(ret, rec, s->size);
	for (unsigned i = 0; i < s->nfields; i++)
		field_copy(&s->fields[i], (char *)ret + s->fields[i].offset, a);
}
