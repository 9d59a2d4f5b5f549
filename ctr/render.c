/* SPDX-License-Identifier: Apache-2.0 */
/* render - see render.h */
#include "ctr/render.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/wire/wire.h"
#include "ctr/terminal.h"
#include "ctr/text.h"
#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"

#define GAP 3		/* columns between columns */
#define DIGEST_SHORT 19 /* "sha256:" and twelve digits */

/* --- tables --------------------------------------------------------------------------------------- */

void
table_init(struct table *t, const char *const *heads, unsigned columns, int digest)
{
	*t = (struct table){ .heads = heads, .columns = columns, .digest = digest };
}

void
table_cell(struct table *t, const char *text)
{
	struct buf clean = BUF_ZERO;

	text_clean(&clean, text == NULL || text[0] == '\0' ? "-" : text);
	if (t->n == t->room) {
		t->room = t->room == 0 ? 64 : t->room * 2;
		t->cells = xrealloc(t->cells, t->room * sizeof(*t->cells));
	}
	t->cells[t->n++] = buf_take(&clean);
}

void
table_cellf(struct table *t, const char *fmt, ...)
{
	AUTO(free_ptr) char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	MUST(vasprintf(&text, fmt, ap) >= 0);
	va_end(ap);
	table_cell(t, text);
}

void
table_map(struct table *t, const struct kvs *map)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;

	for (uint32_t i = 0; i < map->n; i++)
		(void)buf_addf(&text, "%s%s=%s", i == 0 ? "" : ",", map->v[i].k, map->v[i].v);
	table_cell(t, buf_str(&text));
}

static size_t
column_width(const struct table *t, unsigned column)
{
	size_t widest = text_width(t->heads[column]);

	for (size_t i = column; i < t->n; i += t->columns) {
		size_t n = text_width(t->cells[i]);

		widest = n > widest ? n : widest;
	}
	return widest;
}

/* One cell, padded unless it is the last of its row. */
static void
cell_print(FILE *to, const char *text, size_t width, bool last)
{
	size_t bytes = text_cut(text, width), shown = text_width(text);
	size_t blanks = GAP + (shown < width ? width - shown : 0);

	(void)fwrite_unlocked(text, 1, bytes, to);
	if (last)
		(void)fputc_unlocked('\n', to);
	for (size_t i = 0; !last && i < blanks; i++)
		(void)fputc_unlocked(' ', to);
}

void
table_print(const struct table *t, FILE *to, unsigned width)
{
	AUTO(free_ptr) size_t *widths = xcalloc(t->columns, sizeof(*widths));
	size_t total = 0;

	for (unsigned i = 0; i < t->columns; i++) {
		widths[i] = column_width(t, i);
		total += widths[i] + (i > 0 ? GAP : 0);
	}
	if (width > 0 && total > width && t->digest >= 0 && widths[t->digest] > DIGEST_SHORT)
		widths[t->digest] = DIGEST_SHORT;
	for (unsigned i = 0; i < t->columns; i++)
		cell_print(to, t->heads[i], widths[i], i + 1 == t->columns);
	for (size_t i = 0; i < t->n; i++) {
		unsigned column = (unsigned)(i % t->columns);

		cell_print(to, t->cells[i], widths[column], column + 1 == t->columns);
	}
}

void
table_show(const struct table *t)
{
	unsigned width = 0, height;

	if (!terminal_size(STDOUT_FILENO, &width, &height))
		width = 0;
	table_print(t, stdout, width);
}

void
table_free(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){ .cells = NULL };
}

/* --- JSON ----------------------------------------------------------------------------------------- */

json_t *
render_json_text(const char *text)
{
	json_t *v = json_string(text);
	AUTO(buf_free) struct buf valid = BUF_ZERO;
	size_t left = strlen(text);

	while (v == NULL && left > 0) {
		uint32_t code;
		size_t n = text_char(text, left, &code);

		(void)buf_add(&valid, n == 0 ? "\xef\xbf\xbd" : text, n == 0 ? 3 : n);
		text += n == 0 ? 1 : n;
		left -= n == 0 ? 1 : n;
	}
	if (v == NULL)
		v = json_string(buf_str(&valid));
	MUST(v != NULL);
	return v;
}

json_t *
render_json_document(const void *p, size_t n)
{
	json_t *v = json_loadb(p, n, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
	AUTO(buf_free) struct buf raw = BUF_ZERO;

	if (v != NULL)
		return v;
	text_clean_n(&raw, p, n);
	return render_json_text(buf_str(&raw));
}

static json_t *
json_time(int64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	return json_string(clock_text(ns, text));
}

/* The declarations give every time as "Unix time in nanoseconds" under such a name. */
static bool
field_is_time(const struct field *f)
{
	size_t n = strlen(f->name);

	return f->kind == FIELD_I64 &&
	       (strcmp(f->name, "time") == 0 || (n > 3 && strcmp(f->name + n - 3, "_at") == 0) ||
		   (n > 6 && strcmp(f->name + n - 6, "_until") == 0));
}

static json_t *
json_records(const struct schema *s, const struct list *l)
{
	json_t *v = json_array();

	for (uint32_t i = 0; i < l->n; i++)
		MUST(json_array_append_new(
			 v, render_json(s, (const char *)l->v + (size_t)i * s->size)) == 0);
	return v;
}

static json_t *
json_map(const struct kvs *map)
{
	json_t *v = json_object();

	for (uint32_t i = 0; i < map->n; i++) {
		json_t *text = render_json_text(map->v[i].v);

		/* A key that is not UTF-8 cannot be a key of JSON: it is left out. */
		(void)json_object_set_new(v, map->v[i].k, text);
	}
	return v;
}

static json_t *
json_strs(const struct strs *l)
{
	json_t *v = json_array();

	for (uint32_t i = 0; i < l->n; i++)
		MUST(json_array_append_new(v, render_json_text(l->v[i])) == 0);
	return v;
}

/* NULL for what is absent and need not be there. */
static json_t *
json_field(const struct field *f, const void *at)
{
	const struct list *l = at;
	const struct bytes *b = at;
	const char *const *text = at;
	const void *const *rec = at;
	const int64_t *i = at;

	switch (f->kind) {
	case FIELD_STR:
		return *text == NULL || (!f->must && **text == '\0') ? NULL
								     : render_json_text(*text);
	case FIELD_BIN:
		return b->n == 0 ? NULL : render_json_document(b->p, b->n);
	case FIELD_U64: {
		uint64_t n = *(const uint64_t *)at;

		return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
	}
	case FIELD_I64:
		if (!field_is_time(f))
			return json_integer(*i);
		return *i == 0 ? NULL : json_time(*i);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)at);
	case FIELD_MAP:
		return l->n == 0 && !f->must ? NULL : json_map(at);
	case FIELD_STRS:
		return l->n == 0 && !f->must ? NULL : json_strs(at);
	case FIELD_REC:
		return *rec == NULL ? NULL : render_json(f->sub, *rec);
	case FIELD_RECS:
		return l->n == 0 && !f->must ? NULL : json_records(f->sub, l);
	}
	return NULL;
}

json_t *
render_json(const struct schema *s, const void *rec)
{
	json_t *v = json_object();

	MUST(v != NULL);
	for (unsigned i = 0; i < s->nfields; i++) {
		json_t *field = json_field(&s->fields[i], (const char *)rec + s->fields[i].offset);

		if (field != NULL)
			MUST(json_object_set_new(v, s->fields[i].name, field) == 0);
	}
	return v;
}

json_t *
render_json_event(const char *topic, const struct bytes *body)
{
	const struct event_kind *kind = event_kind(topic);
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct err e = ERR_ZERO;
	json_t *v;
	void *rec;

	if (kind != NULL) {
		rec = arena_calloc(&a, 1, kind->body->size);
		if (wire_decode(kind->body, body->p, body->n, &a, rec, &e) == 0)
			return render_json(kind->body, rec);
	}
	v = json_object();
	MUST(v != NULL &&
	     json_object_set_new(v, "undecoded", render_json_document(body->p, body->n)) == 0);
	return v;
}

/* JSON text may hold DEL, C1 controls and the like inside strings: they become \uXXXX. */
static void
json_write(FILE *to, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		uint32_t code = 0;
		size_t n = text_char(text, left, &code);

		n = n == 0 ? 1 : n;
		if ((code >= 0x7f && code < 0xa0) || (code >= 0x2028 && code <= 0x202e) ||
		    (code >= 0x2066 && code <= 0x2069) || code == 0x200e || code == 0x200f)
			(void)fprintf(to, "\\u%04x", code);
		else
			(void)fwrite(text, 1, n, to);
		text += n;
		left -= n;
	}
	(void)fputc('\n', to);
}

void
render_json_print(json_t *take_value, FILE *to, bool one_line)
{
	AUTO(free_ptr)
	char *text = json_dumps(take_value,
	    (one_line ? JSON_COMPACT : JSON_INDENT(2)) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

	json_decref(take_value);
	MUST(text != NULL);
	json_write(to, text);
}

void
render_json_list(const struct schema *s, const void *v, uint32_t n)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < n; i++)
		MUST(json_array_append_new(
			 list, render_json(s, (const char *)v + (size_t)i * s->size)) == 0);
	render_json_print(list, stdout, false);
}
