/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml - see toml.h.
 *
 * The text is checked for UTF-8 and control bytes first; then one pass over it. Keys are compared in a
 * canonical form: words joined by dots, each bare or in quotes, which is one text per key.
 */
#include "lib/base/toml.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"

struct key {
	char *words[TOML_DEPTH_MAX];
	unsigned n;
	char *full; /* canonical */
};

/* Where each value and table was defined, for duplicates. */
struct place {
	const char *full;
	size_t header; /* of a value: length of the header it stands under */
	unsigned line;
	bool table;
};

struct reader {
	const char *at, *end, *file;
	unsigned line;
	struct arena *arena;
	struct err *e;
	char *header; /* canonical, "" at the top */
	struct key header_key;
	struct place *places;
	unsigned nplaces, room;
	struct toml *out;
	unsigned out_room;
};

int
toml_fail(const char *file, unsigned line, struct err *e, const char *fmt, ...)
{
	char msg[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return err_set(e, ERR_INVALID_ARGUMENT, "%s:%u: %s", file, line, msg);
}

#define FAIL(r, ...) toml_fail((r)->file, (r)->line, (r)->e, __VA_ARGS__)

/* --- characters --------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at p (n bytes are left), 0 when it is none. */
static size_t
utf8_len(const unsigned char *p, size_t n)
{
	static const struct {
		unsigned char first, last, low, high;
		size_t len;
	} forms[] = {
		{ 0x00, 0x7f, 0, 0, 1 },
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < COUNT(forms); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if (forms[i].len > n ||
		    (forms[i].len > 1 && (p[1] < forms[i].low || p[1] > forms[i].high)))
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

static int
check_bytes(struct reader *r)
{
	const char *p = r->at;
	size_t len;

	for (; p < r->end; p += len) {
		unsigned char c = (unsigned char)*p;

		len = utf8_len((const unsigned char *)p, (size_t)(r->end - p));
		if (len == 0)
			return FAIL(r, "byte 0x%02x: the file is not UTF-8", c);
		if (c == '\n')
			r->line++;
		else if ((c < 0x20 && c != '\t' &&
			     !(c == '\r' && p + 1 < r->end && p[1] == '\n')) ||
			 c == 0x7f)
			return FAIL(r, "control byte 0x%02x", c);
	}
	r->line = 1;
	return 0;
}

static int
peek(const struct reader *r)
{
	return r->at < r->end ? (unsigned char)*r->at : -1;
}

static bool
take(struct reader *r, char c)
{
	if (peek(r) != c)
		return false;
	r->at++;
	return true;
}

static void
skip_blanks(struct reader *r)
{
	while (peek(r) == ' ' || peek(r) == '\t')
		r->at++;
}

static void
skip_comment(struct reader *r)
{
	if (peek(r) == '#')
		while (r->at < r->end && *r->at != '\n')
			r->at++;
}

/* True when it took a line's end. */
static bool
take_newline(struct reader *r)
{
	if (peek(r) == '\r')
		r->at++;
	if (!take(r, '\n'))
		return false;
	r->line++;
	return true;
}

static int
end_of_line(struct reader *r)
{
	skip_blanks(r);
	skip_comment(r);
	if (peek(r) == -1 || take_newline(r))
		return 0;
	return FAIL(r, "something stands behind the end of the value: one key per line");
}

/* --- strings ------------------------------------------------------------------------------------------ */

static int
hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static void
utf8_add(struct buf *b, uint32_t c)
{
	unsigned char text[4];
	size_t n = 0;

	if (c < 0x80) {
		text[n++] = (unsigned char)c;
	} else if (c < 0x800) {
		text[n++] = (unsigned char)(0xc0 | c >> 6);
		text[n++] = (unsigned char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		text[n++] = (unsigned char)(0xe0 | c >> 12);
		text[n++] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		text[n++] = (unsigned char)(0x80 | (c & 0x3f));
	} else {
		text[n++] = (unsigned char)(0xf0 | c >> 18);
		text[n++] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
		text[n++] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		text[n++] = (unsigned char)(0x80 | (c & 0x3f));
	}
	(void)buf_add(b, text, n);
}

/* Behind a backslash. */
static int
escape(struct reader *r, struct buf *b)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	int c = peek(r), digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
	const char *known = c > 0 ? strchr(from, c) : NULL;
	uint32_t code = 0;

	if (c == -1 || (known == NULL && digits == 0))
		return FAIL(
		    r, "unknown escape in a string: a backslash is written \\\\, or use '...'");
	r->at++;
	if (known != NULL)
		return buf_add(b, &to[known - from], 1);
	for (int i = 0; i < digits; i++, r->at++) {
		int d = hex_digit(peek(r));

		if (d < 0)
			return FAIL(r, "\\%c needs %d hex digits", c, digits);
		code = code << 4 | (uint32_t)d;
	}
	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return FAIL(r, "\\%c%0*x is not a character", c, digits, code);
	utf8_add(b, code);
	return 0;
}

/* "..." or '...' of one line. */
static int
string(struct reader *r, const char **ret)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	char quote = *r->at++;
	int bad = 0;

	if (r->end - r->at >= 2 && r->at[0] == quote && r->at[1] == quote)
		return FAIL(r, "strings of several lines are not supported");
	while (!take(r, quote)) {
		if (peek(r) == -1 || peek(r) == '\n' || peek(r) == '\r')
			return FAIL(r, "a string without its closing %c", quote);
		if (quote == '"' && take(r, '\\'))
			bad = escape(r, &b);
		else
			(void)buf_add(&b, r->at++, 1);
		if (bad < 0)
			return bad;
	}
	*ret = arena_strdup(r->arena, buf_str(&b));
	return 0;
}

/* --- keys --------------------------------------------------------------------------------------------- */

static bool
bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static int
key_word(struct reader *r, struct key *k)
{
	const char *start = r->at, *text;
	int bad;

	if (k->n == TOML_DEPTH_MAX)
		return FAIL(r, "a key of more than %d words", TOML_DEPTH_MAX);
	if (peek(r) == '"' || peek(r) == '\'') {
		bad = string(r, &text);
		if (bad < 0)
			return bad;
		k->words[k->n++] = arena_strdup(r->arena, text);
		return 0;
	}
	while (bare(peek(r)))
		r->at++;
	if (r->at == start)
		return FAIL(r, "expected a key: letters, digits, '_' and '-', or in quotes");
	k->words[k->n++] = arena_memdup(r->arena, start, (size_t)(r->at - start));
	return 0;
}

static void
canonical_word(struct buf *b, const char *word)
{
	const char *c = word;

	while (bare((unsigned char)*c))
		c++;
	if (*c == '\0' && c != word) {
		(void)buf_adds(b, word);
		return;
	}
	(void)buf_adds(b, "\"");
	for (c = word; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\')
			(void)buf_adds(b, "\\");
		(void)buf_add(b, c, 1);
	}
	(void)buf_adds(b, "\"");
}

static char *
canonical(struct reader *r, const struct key *k, unsigned from)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;

	for (unsigned i = from; i < k->n; i++) {
		if (i > from)
			(void)buf_adds(&b, ".");
		canonical_word(&b, k->words[i]);
	}
	return arena_strdup(r->arena, buf_str(&b));
}

/* word ('.' word)*, behind what k already holds. */
static int
key(struct reader *r, struct key *k)
{
	do {
		int bad;

		skip_blanks(r);
		bad = key_word(r, k);
		if (bad < 0)
			return bad;
		skip_blanks(r);
	} while (take(r, '.'));
	k->full = canonical(r, k, 0);
	if (strlen(k->full) > TOML_KEY_MAX)
		return FAIL(r, "a key of more than %d bytes", TOML_KEY_MAX);
	return 0;
}

/* deep is top itself or a key below it. */
static bool
below(const char *deep, const char *top)
{
	size_t n = strlen(top);

	return n == 0 || (strncmp(deep, top, n) == 0 && (deep[n] == '\0' || deep[n] == '.'));
}

/* Refuses what is already defined, then notes it. */
static int
define(struct reader *r, const char *full, bool table)
{
	size_t header = strlen(r->header);

	for (unsigned i = 0; i < r->nplaces; i++) {
		const struct place *p = &r->places[i];
		bool clash = strcmp(p->full, full) == 0;

		if (!p->table) /* a value is no table, and [t] adds nothing to what dots defined */
			clash = clash || below(full, p->full) ||
				(below(p->full, full) && (!table || p->header < strlen(full)));
		else if (!table) /* dots add nothing to a table that has its own [header] */
			clash = clash || below(p->full, full) ||
				(below(full, p->full) && strlen(p->full) > header);
		if (clash)
			return FAIL(r, "%s is already defined in line %u", full, p->line);
	}
	if (r->nplaces == r->room) {
		if (r->room >= TOML_VALUES_MAX)
			return FAIL(r, "more than %d keys", TOML_VALUES_MAX);
		r->room = r->room == 0 ? 32 : r->room * 2;
		r->places = xrealloc(r->places, r->room * sizeof(*r->places));
	}
	r->places[r->nplaces++] =
	    (struct place){ .full = full, .header = header, .line = r->line, .table = table };
	return 0;
}

/* --- values ------------------------------------------------------------------------------------------- */

/* The unquoted word at the reader: everything up to a blank, comma, bracket or line's end. */
static size_t
word_len(const struct reader *r)
{
	const char *p = r->at;

	while (p < r->end && strchr(" \t\r\n,]#", *p) == NULL)
		p++;
	return (size_t)(p - r->at);
}

static bool
digits_value(const char *text, unsigned base, uint64_t *ret)
{
	uint64_t sum = 0;
	bool digit = false; /* the one before was one: underscores stand between digits only */

	for (; *text != '\0'; text++) {
		int d = hex_digit(*text);

		if (*text == '_' && digit && text[1] != '\0') {
			digit = false;
			continue;
		}
		if (d < 0 || (unsigned)d >= base || __builtin_mul_overflow(sum, base, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)d, &sum))
			return false;
		digit = true;
	}
	*ret = sum;
	return digit;
}

static int
integer(struct reader *r, const char *word, int64_t *ret)
{
	const char *digits = word + (*word == '+' || *word == '-');
	unsigned base = 10;
	uint64_t n;

	if (word[0] == '0' && word[1] != '\0') {
		base = word[1] == 'x' ? 16 : word[1] == 'o' ? 8 : word[1] == 'b' ? 2 : 0;
		digits += 2;
	} else if (digits[0] == '0' && digits[1] != '\0') {
		base = 0; /* no leading zeros */
	}
	if (strpbrk(word, ".:") != NULL ||
	    (base == 10 && (strpbrk(digits, "eE-") != NULL || strcmp(digits, "inf") == 0 ||
			       strcmp(digits, "nan") == 0)))
		return FAIL(r, "%.40s: floats and dates are not supported", word);
	if (base == 0 || !digits_value(digits, base, &n))
		return FAIL(r, "%.40s is not a whole number of 64 bits", word);
	if (n > (uint64_t)INT64_MAX + (*word == '-'))
		return FAIL(r, "%.40s does not fit 64 bits", word);
	*ret = *word == '-' ? (int64_t)(0 - n) : (int64_t)n;
	return 0;
}

static int array(struct reader *r, struct toml_value *v, bool inner);

static int
array_gap(struct reader *r)
{
	do {
		skip_blanks(r);
		skip_comment(r);
	} while (take_newline(r));
	return peek(r) == -1 ? FAIL(r, "an array without its closing ]") : 0;
}

/* One element: a string, or at the outer level an array of strings. */
static int
element(struct reader *r, struct toml_value *v, bool inner)
{
	v->line = r->line;
	if (peek(r) == '"' || peek(r) == '\'') {
		v->kind = TOML_STRING;
		return string(r, &v->string);
	}
	if (inner || peek(r) != '[')
		return FAIL(r, "only strings in quotes can stand in an array");
	return array(r, v, true);
}

/* The elements as what they are together. */
static void
array_settle(struct reader *r, struct toml_value *v, const struct toml_value *list, unsigned n)
{
	v->kind = TOML_STRINGS;
	for (unsigned i = 0; i < n; i++)
		if (list[i].kind != TOML_STRING)
			v->kind = TOML_ARRAY;
	if (v->kind == TOML_ARRAY) {
		v->elements = arena_calloc(r->arena, n, sizeof(*v->elements));
		memcpy(v->elements, list, n * sizeof(*list));
		v->nelements = n;
		return;
	}
	v->strings = arena_calloc(r->arena, n + 1, sizeof(*v->strings));
	for (unsigned i = 0; i < n; i++)
		v->strings[i] = list[i].string;
	v->nstrings = n;
}

static int
array(struct reader *r, struct toml_value *v, bool inner)
{
	AUTO(free_ptr) struct toml_value *list = NULL;
	unsigned n = 0, room = 0;
	int bad;

	r->at++;
	for (;;) {
		bad = array_gap(r);
		if (bad < 0 || take(r, ']'))
			break;
		if (n == room) {
			if (room >= TOML_VALUES_MAX)
				return FAIL(r, "an array of more than %d strings", TOML_VALUES_MAX);
			room = room == 0 ? 16 : room * 2;
			list = xrealloc(list, room * sizeof(*list));
		}
		list[n] = (struct toml_value){ .line = r->line };
		if ((bad = element(r, &list[n++], inner)) < 0)
			return bad;
		if ((bad = array_gap(r)) < 0)
			return bad;
		if (!take(r, ',') && peek(r) != ']')
			return FAIL(r, "expected a comma or ] in the array");
	}
	if (bad == 0)
		array_settle(r, v, list, n);
	return bad;
}

static int
value(struct reader *r, struct toml_value *v)
{
	size_t n = word_len(r);
	char *word;

	switch (peek(r)) {
	case '"':
	case '\'':
		v->kind = TOML_STRING;
		return string(r, &v->string);
	case '[':
		return array(r, v, false);
	case '{':
		return FAIL(r, "inline tables are not supported: use [table] or dotted keys");
	default:
		break;
	}
	if (n == 0)
		return FAIL(r, "the value is missing");
	word = arena_memdup(r->arena, r->at, n);
	r->at += n;
	v->kind = TOML_BOOLEAN;
	v->boolean = strcmp(word, "true") == 0;
	if (v->boolean || strcmp(word, "false") == 0)
		return 0;
	v->kind = TOML_INTEGER;
	if (strchr("+-0123456789", word[0]) != NULL)
		return integer(r, word, &v->integer);
	return FAIL(r, "%.40s is not a value: strings need quotes", word);
}

/* --- lines -------------------------------------------------------------------------------------------- */

static char *const *
words_copy(struct reader *r, const struct key *k)
{
	char **words = arena_calloc(r->arena, k->n, sizeof(*words));

	memcpy(words, k->words, k->n * sizeof(*words));
	return words;
}

static void
table_add(struct reader *r, const struct key *k)
{
	struct toml *out = r->out;

	if ((out->ntables & (out->ntables - 1)) == 0) { /* 0, 1, 2, 4, .. are full */
		struct toml_table *grown = arena_calloc(
		    r->arena, out->ntables == 0 ? 1 : 2 * out->ntables, sizeof(*grown));

		if (out->ntables > 0)
			memcpy(grown, out->tables, out->ntables * sizeof(*grown));
		out->tables = grown;
	}
	out->tables[out->ntables++] =
	    (struct toml_table){ .words = words_copy(r, k), .nwords = k->n, .line = r->line };
}

static int
header_line(struct reader *r)
{
	struct key k = { .n = 0 };
	int bad;

	r->at++;
	if (peek(r) == '[')
		return FAIL(r, "arrays of tables are not supported");
	bad = key(r, &k);
	if (bad < 0)
		return bad;
	if (!take(r, ']'))
		return FAIL(r, "expected ] behind the name of the table");
	bad = define(r, k.full, true);
	if (bad < 0)
		return bad;
	r->header = k.full;
	r->header_key = k;
	table_add(r, &k);
	return end_of_line(r);
}

static int
value_line(struct reader *r)
{
	struct toml_value v = { .line = r->line };
	struct key k = r->header_key;
	int bad = key(r, &k);

	if (bad < 0)
		return bad;
	if (!take(r, '='))
		return FAIL(r, "expected = behind the key %s", k.full);
	bad = define(r, k.full, false);
	if (bad < 0)
		return bad;
	skip_blanks(r);
	bad = value(r, &v);
	if (bad < 0)
		return bad;
	v.table = k.n > 1 ? k.words[0] : "";
	v.key = canonical(r, &k, k.n > 1 ? 1 : 0);
	v.words = words_copy(r, &k);
	v.nwords = k.n;
	if (r->out->nvalues == r->out_room) {
		struct toml_value *grown;

		r->out_room = r->out_room == 0 ? 32 : r->out_room * 2;
		grown = arena_calloc(r->arena, r->out_room, sizeof(*grown));
		if (r->out->nvalues > 0)
			memcpy(grown, r->out->values, r->out->nvalues * sizeof(*grown));
		r->out->values = grown;
	}
	r->out->values[r->out->nvalues++] = v;
	return end_of_line(r);
}

int
toml_parse(
    const char *text, size_t n, const char *file, struct arena *a, struct toml *ret, struct err *e)
{
	struct toml out = { .values = NULL };
	struct reader r = { .at = text,
		.end = text + n,
		.file = file,
		.line = 1,
		.arena = a,
		.e = e,
		.header = arena_strdup(a, ""),
		.out = &out };
	int bad;

	if (n > TOML_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s: larger than %u bytes", file, TOML_MAX);
	bad = check_bytes(&r);
	while (bad == 0 && r.at < r.end) {
		skip_blanks(&r);
		skip_comment(&r);
		if (peek(&r) == -1 || take_newline(&r))
			continue;
		bad = peek(&r) == '[' ? header_line(&r) : value_line(&r);
	}
	free(r.places);
	if (bad == 0)
		*ret = out;
	return bad;
}
