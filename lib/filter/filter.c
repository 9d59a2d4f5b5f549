/* SPDX-License-Identifier: Apache-2.0 */
/* filter - see filter.h */
#include "lib/filter/filter.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/clock.h"
#include "lib/base/ident.h"
#include "lib/base/utf8.h"
#include "lib/filter/pattern.h"

#define DEPTH_MAX 8 /* fields of a path, those of a map's key not counted */
#define PATTERNS_MAX 16
#define NUMBER_MAX 24

enum op { OP_THERE, OP_IS, OP_IS_NOT, OP_LIKE };

/* fields lead to a value from the record on; the last one's kind says how it reads. */
struct selector {
	const struct field *fields[DEPTH_MAX];
	unsigned nfields;
	const char *key; /* in a map; NULL: the map itself */
	enum op op;
	const char *value;
	struct pattern *pattern;
};

struct all {
	struct selector *v;
	unsigned n;
};

struct filter {
	struct all *any;
	unsigned n;
	uint64_t pattern_ns; /* spent */
};

/* --- reading -------------------------------------------------------------------------------------- */

struct reading {
	const struct schema *schema;
	struct arena *a;
	const char *text;
	size_t at;
	unsigned *patterns;
	struct err *e;
};

static int wrong(struct reading *r, size_t at, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int
wrong(struct reading *r, size_t at, const char *fmt, ...)
{
	char what[ERR_MSG_MAX / 2], show[128];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return err_set(r->e, ERR_INVALID_ARGUMENT, "filter \"%s\": at byte %zu: %s",
	    ident_show(r->text, show, sizeof(show)), at + 1, what);
}

static void
skip_space(struct reading *r)
{
	r->at += strspn(r->text + r->at, " \t\n\v\f\r");
}

/* "\n", "\x41", "\101", "\u00e9": Go's escapes; returns the bytes read, 0 for one that is none. */
static size_t
escape(const char *s, uint32_t *ret)
{
	static const char from[] = "abfnrtv\\\"", to[] = "\a\b\f\n\r\t\v\\\"";
	const char *known = s[0] == '\0' ? NULL : strchr(from, s[0]);
	unsigned digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 3;
	unsigned base = digits == 3 ? 8 : 16, first = digits == 3 ? 0 : 1;

	if (known != NULL) {
		*ret = (unsigned char)to[known - from];
		return 1;
	}
	*ret = 0;
	for (unsigned i = first; i < first + digits; i++) {
		int c = tolower((unsigned char)s[i]);
		unsigned v = isdigit(c) ? (unsigned)c - '0' : (unsigned)c - 'a' + 10;

		if (!isxdigit(c) || v >= base)
			return 0;
		*ret = *ret * base + v;
	}
	return first + digits;
}

static size_t
put_char(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* An escape at r->at, appended to to. Between | and / only the quote and the backslash are escaped: the
 * rest is the pattern's. */
static int
read_escape(struct reading *r, char quote, char *to, size_t *n)
{
	const char *s = r->text + r->at + 1;
	uint32_t c;
	size_t used;

	if (quote != '"') {
		if (*s != quote && *s != '\\')
			to[(*n)++] = '\\';
		if (*s != '\0')
			to[(*n)++] = *s;
		r->at += 1 + (*s != '\0');
		return 0;
	}
	used = escape(s, &c);
	if (used == 0)
		return wrong(r, r->at, "no such escape");
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return wrong(r, r->at, "no such character");
	*n += put_char(to + *n, c);
	r->at += 1 + used;
	return 0;
}

static int
read_quoted(struct reading *r, const char **ret)
{
	char quote = r->text[r->at], *to = arena_calloc(r->a, strlen(r->text + r->at) + 1, 1);
	size_t start = r->at++, n = 0;
	int rc = 0;

	while (rc == 0 && r->text[r->at] != quote) {
		if (r->text[r->at] == '\0')
			return wrong(r, start, "what begins with %c does not end with it", quote);
		if (r->text[r->at] == '\\')
			rc = read_escape(r, quote, to, &n);
		else
			to[n++] = r->text[r->at++];
	}
	r->at++;
	*ret = to;
	return rc;
}

static int
read_name(struct reading *r, const char **ret)
{
	size_t n = 0;

	skip_space(r);
	if (r->text[r->at] == '"')
		return read_quoted(r, ret);
	while (isalnum((unsigned char)r->text[r->at + n]) || r->text[r->at + n] == '_')
		n++;
	if (n == 0)
		return wrong(r, r->at, "a field is expected: a name, or \"quoted\"");
	*ret = arena_memdup(r->a, r->text + r->at, n);
	r->at += n;
	return 0;
}

static int
read_value(struct reading *r, bool pattern, const char **ret)
{
	char c;
	size_t n;

	skip_space(r);
	c = r->text[r->at];
	if (c == '"' || (pattern && (c == '|' || c == '/')))
		return read_quoted(r, ret);
	n = strcspn(r->text + r->at, ", \t\n\v\f\r");
	if (n == 0)
		return wrong(r, r->at, "a value is expected");
	*ret = arena_memdup(r->a, r->text + r->at, n);
	r->at += n;
	return 0;
}

/* --- paths ---------------------------------------------------------------------------------------- */

/* Equal but for case and '_'. */
static bool
same_name(const char *a, const char *b)
{
	for (;; a++, b++) {
		a += strspn(a, "_");
		b += strspn(b, "_");
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (*a == '\0')
			return true;
	}
}

static const struct field *
field_find(const struct schema *s, const char *name)
{
	for (unsigned i = 0; i < s->nfields; i++)
		if (same_name(s->fields[i].name, name))
			return &s->fields[i];
	return NULL;
}

static const char *
field_names(const struct schema *s, struct arena *a)
{
	const char *names = "";

	for (unsigned i = 0; i < s->nfields; i++)
		if (s->fields[i].kind != FIELD_BIN && s->fields[i].kind != FIELD_RECS)
			names = arena_printf(
			    a, "%s%s%s", names, names[0] == '\0' ? "" : ", ", s->fields[i].name);
	return names;
}

/* Goes one name further. */
static int
path_step(
    struct reading *r, struct selector *s, const struct schema *in, const char *name, size_t at)
{
	const struct field *f = field_find(in, name);
	char show[64];

	if (f == NULL && s->nfields == 0 && in->fields[0].kind == FIELD_STR &&
	    (strcmp(name, "name") == 0 || strcmp(name, "id") == 0 || strcmp(name, "ref") == 0))
		f = &in->fields[0]; /* what it is named by */
	if (f == NULL || f->kind == FIELD_BIN || f->kind == FIELD_RECS)
		return wrong(r, at, "%s has no field \"%s\" to filter by: there are %s", in->name,
		    ident_show(name, show, sizeof(show)), field_names(in, r->a));
	if (s->nfields == DEPTH_MAX)
		return wrong(r, at, "too deep");
	s->fields[s->nfields++] = f;
	return 0;
}

static const struct field *
path_end(const struct selector *s)
{
	return s->nfields == 0 ? NULL : s->fields[s->nfields - 1];
}

static int
read_part(struct reading *r, struct selector *s)
{
	const struct field *end = path_end(s);
	const char *name;
	size_t at;
	int rc;

	skip_space(r);
	at = r->at;
	rc = read_name(r, &name);
	if (rc < 0)
		return rc;
	if (end == NULL || end->kind == FIELD_REC)
		return path_step(r, s, end == NULL ? r->schema : end->sub, name, at);
	if (end->kind == FIELD_MAP)
		s->key = s->key == NULL ? name : arena_printf(r->a, "%s.%s", s->key, name);
	else if (end->kind != FIELD_STR || strcmp(name, "name") != 0)
		return wrong(r, at, "%s has no fields", end->name);
	return 0;
}

static int
read_path(struct reading *r, struct selector *s)
{
	int rc = read_part(r, s);

	while (rc == 0) {
		skip_space(r);
		if (r->text[r->at] != '.')
			break;
		r->at++;
		rc = read_part(r, s);
	}
	return rc;
}

/* --- selectors ------------------------------------------------------------------------------------ */

static int
read_op(struct reading *r, enum op *ret)
{
	static const struct {
		const char *text;
		enum op op;
	} ops[] = { { "==", OP_IS }, { "!=", OP_IS_NOT }, { "~=", OP_LIKE } };

	for (unsigned i = 0; i < COUNT(ops); i++)
		if (strncmp(r->text + r->at, ops[i].text, 2) == 0) {
			r->at += 2;
			*ret = ops[i].op;
			return 0;
		}
	return wrong(r, r->at, "==, != or ~= is expected, or a comma, or the end");
}

static int
selector_check(struct reading *r, const struct selector *s, size_t at)
{
	const struct field *end = s->fields[s->nfields - 1];

	if (end->kind == FIELD_REC)
		return wrong(
		    r, at, "%s has fields to compare: %s", end->name, field_names(end->sub, r->a));
	if (end->kind == FIELD_MAP && s->key == NULL)
		return wrong(r, at, "%s needs a key to compare: %s.KEY or %s.\"KEY\"", end->name,
		    end->name, end->name);
	return 0;
}

static int
read_selector(struct reading *r, struct selector *s)
{
	size_t at;
	int rc = read_path(r, s);

	if (rc < 0 || r->text[r->at] == ',' || r->text[r->at] == '\0')
		return rc;
	at = r->at;
	if ((rc = read_op(r, &s->op)) < 0 || (rc = selector_check(r, s, at)) < 0)
		return rc;
	skip_space(r);
	at = r->at;
	if ((rc = read_value(r, s->op == OP_LIKE, &s->value)) < 0)
		return rc;
	if (s->op == OP_LIKE) {
		struct err why = ERR_ZERO;

		if (++*r->patterns > PATTERNS_MAX)
			return wrong(r, at, "more than %d patterns", PATTERNS_MAX);
		if (pattern_compile(s->value, r->a, &s->pattern, &why) < 0)
			return wrong(r, at, "%s", why.msg);
	}
	skip_space(r);
	return r->text[r->at] == ',' || r->text[r->at] == '\0'
		   ? 0
		   : wrong(r, r->at, "a comma or the end is expected");
}

static int
text_check(const char *text, struct err *e)
{
	size_t n = strlen(text), len;
	uint32_t c;

	if (n > FILTER_TEXT_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "a filter of %zu bytes: at most %d are taken", n, FILTER_TEXT_MAX);
	for (size_t i = 0; i < n; i += len) {
		len = utf8_char(text + i, n - i, &c);
		if (len == 0)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "a filter that is not UTF-8, at byte %zu", i + 1);
	}
	return 0;
}

static int
read_filter(struct reading *r, struct all *ret)
{
	int rc = text_check(r->text, r->e);

	skip_space(r);
	if (rc < 0 || r->text[r->at] == '\0')
		return rc;
	ret->v = arena_calloc(r->a, FILTER_SELECTORS_MAX, sizeof(*ret->v));
	do {
		if (ret->n == FILTER_SELECTORS_MAX)
			return wrong(r, r->at, "more than %d selectors", FILTER_SELECTORS_MAX);
		rc = read_selector(r, &ret->v[ret->n++]);
	} while (rc == 0 && r->text[r->at++] == ',');
	return rc;
}

int
filter_compile(const struct schema *s, const struct strs *texts, struct arena *a,
    struct filter **ret, struct err *e)
{
	struct filter *f = arena_calloc(a, 1, sizeof(*f));
	unsigned patterns = 0;
	bool every = texts->n == 0;

	f->any = arena_calloc(a, texts->n + 1, sizeof(*f->any));
	for (uint32_t i = 0; i < texts->n; i++) {
		struct reading r = {
			.schema = s, .a = a, .text = texts->v[i], .patterns = &patterns, .e = e
		};
		int rc = read_filter(&r, &f->any[f->n]);

		if (rc < 0)
			return rc;
		every = every || f->any[f->n].n == 0;
		f->n++;
	}
	*ret = every ? NULL : f;
	return 0;
}

/* --- accepting ------------------------------------------------------------------------------------ */

static int
like(struct filter *f, const struct selector *s, const char *text, struct err *e)
{
	uint64_t start = clock_mono_ns();
	int r = pattern_found(s->pattern, text, e);

	f->pattern_ns += clock_mono_ns() - start;
	if (r >= 0 && f->pattern_ns > FILTER_PATTERN_MS * 1000000ULL)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "the patterns of the filter take too long: give simpler ones");
	return r;
}

/* Is this text (NULL: absent) what the selector asks for? "!=" is answered as "==". */
static int
holds(struct filter *f, const struct selector *s, const char *text, struct err *e)
{
	if (text == NULL)
		return 0;
	if (s->op == OP_THERE)
		return 1;
	return s->op == OP_LIKE ? like(f, s, text, e) : strcmp(text, s->value) == 0;
}

static int
holds_any(struct filter *f, const struct selector *s, const struct strs *list, struct err *e)
{
	int r = 0;

	for (uint32_t i = 0; i < list->n && r == 0; i++)
		r = holds(f, s, list->v[i], e);
	return r;
}

static const char *
map_text(const struct kvs *map, const char *key)
{
	if (key == NULL)
		return map->n > 0 ? "" : NULL;
	for (uint32_t i = 0; i < map->n; i++)
		if (strcmp(map->v[i].k, key) == 0)
			return map->v[i].v;
	return NULL;
}

/* A number or a truth as text; what is optional and zero is absent. */
static const char *
number_text(const struct field *f, const void *at, char *text)
{
	uint64_t u = f->kind == FIELD_BOOL ? *(const bool *)at : *(const uint64_t *)at;

	if (u == 0 && !f->must)
		return NULL;
	if (f->kind == FIELD_BOOL)
		return u != 0 ? "true" : "false";
	(void)snprintf(text, NUMBER_MAX, f->kind == FIELD_I64 ? "%lld" : "%llu", (long long)u);
	return text;
}

static int
value_holds(struct filter *f, const struct selector *s, const void *rec, struct err *e)
{
	const struct field *end = s->fields[s->nfields - 1];
	char number[NUMBER_MAX];
	const void *at;

	for (unsigned i = 0; i + 1 < s->nfields; i++) {
		rec = *(const void *const *)((const char *)rec + s->fields[i]->offset);
		if (rec == NULL)
			return 0;
	}
	at = (const char *)rec + end->offset;
	switch (end->kind) {
	case FIELD_STR:
		return holds(f, s, *(const char *const *)at, e);
	case FIELD_MAP:
		return holds(f, s, map_text(at, s->key), e);
	case FIELD_STRS:
		return holds_any(f, s, at, e);
	case FIELD_REC:
		return *(const void *const *)at != NULL;
	default:
		return holds(f, s, number_text(end, at, number), e);
	}
}

static int
all_hold(struct filter *f, const struct all *all, const void *rec, struct err *e)
{
	for (unsigned i = 0; i < all->n; i++) {
		int r = value_holds(f, &all->v[i], rec, e);

		if (r >= 0 && all->v[i].op == OP_IS_NOT)
			r = !r;
		if (r <= 0)
			return r;
	}
	return 1;
}

int
filter_accepts(struct filter *f, const void *rec, struct err *e)
{
	int r = f == NULL;

	for (unsigned i = 0; f != NULL && i < f->n && r == 0; i++)
		r = all_hold(f, &f->any[i], rec, e);
	return r;
}
