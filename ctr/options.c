/* SPDX-License-Identifier: Apache-2.0 */
/* options - see options.h */
#include "ctr/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/ident.h"

static bool
listed(const char *names, const char *name, size_t n)
{
	while (names != NULL && *names != '\0') {
		size_t len = strcspn(names, "|");

		if (len == n && strncmp(names, name, n) == 0)
			return true;
		names += len;
		names += *names == '|';
	}
	return false;
}

static struct opt_slot *
slot_named(const struct opts *o, const char *name, size_t n)
{
	for (unsigned i = 0; i < o->nslots; i++) {
		const struct opt *opt = o->slots[i].opt;

		if (listed(opt->name, name, n) || listed(opt->also, name, n))
			return &o->slots[i];
	}
	return NULL;
}

static struct opt_slot *
slot_lettered(const struct opts *o, char letter)
{
	for (unsigned i = 0; i < o->nslots; i++)
		if (o->slots[i].opt->letter == letter)
			return &o->slots[i];
	return NULL;
}

static void
strs_push(struct arena *a, struct strs *l, uint32_t *room, const char *text)
{
	if (l->n == *room) {
		const char **grown;

		*room = *room == 0 ? 8 : *room * 2;
		grown = arena_calloc(a, *room, sizeof(*grown));
		if (l->n > 0)
			memcpy(grown, l->v, l->n * sizeof(*grown));
		l->v = grown;
	}
	l->v[l->n++] = text;
}

static void
slot_put(struct opts *o, struct opt_slot *s, const char *value)
{
	if (s->opt->kind != OPT_LIST)
		s->values.n = 0;
	strs_push(&o->arena, &s->values, &s->room, value);
}

static int
put_flag(struct opts *o, struct opt_slot *s, const char *value, struct err *e)
{
	char show[64];

	if (value == NULL || strcmp(value, "true") == 0) {
		slot_put(o, s, "true");
		return 0;
	}
	if (strcmp(value, "false") == 0) {
		s->values.n = 0;
		return 0;
	}
	return err_set(e, ERR_INVALID_ARGUMENT, "option --%s takes no value, but has \"%s\"",
	    s->opt->name, ident_show(value, show, sizeof(show)));
}

/* Both give the number of words used, or a negative error. */
static int
take_long(struct opts *o, char **words, struct err *e)
{
	const char *name = words[0] + 2, *value = strchr(name, '=');
	size_t n = value == NULL ? strlen(name) : (size_t)(value - name);
	struct opt_slot *s = slot_named(o, name, n);
	char show[64];
	int ret;

	if (value != NULL)
		value++;
	if (s == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "unknown option %s",
		    ident_show(words[0], show, sizeof(show)));
	if (s->opt->kind == OPT_FLAG) {
		ret = put_flag(o, s, value, e);
		return ret < 0 ? ret : 1;
	}
	if (value == NULL && words[1] == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "option --%s needs a value: %s",
		    s->opt->name, s->opt->arg);
	slot_put(o, s, value != NULL ? value : words[1]);
	return value != NULL ? 1 : 2;
}

static int
take_letters(struct opts *o, char **words, struct err *e)
{
	for (const char *at = words[0] + 1; *at != '\0'; at++) {
		struct opt_slot *s = slot_lettered(o, *at);
		char show[64];

		if (s == NULL)
			return err_set(e, ERR_INVALID_ARGUMENT, "unknown option %s",
			    ident_show(words[0], show, sizeof(show)));
		if (s->opt->kind == OPT_FLAG) {
			slot_put(o, s, "true");
			continue;
		}
		if (at[1] != '\0') {
			slot_put(o, s, at[1] == '=' ? at + 2 : at + 1);
			return 1;
		}
		if (words[1] == NULL)
			return err_set(e, ERR_INVALID_ARGUMENT, "option -%c needs a value: %s", *at,
			    s->opt->arg);
		slot_put(o, s, words[1]);
		return 2;
	}
	return 1;
}

static void
slots_make(struct opts *o, const struct opt *const *tables)
{
	unsigned n = 0;

	for (unsigned t = 0; tables[t] != NULL; t++)
		for (const struct opt *opt = tables[t]; opt->name != NULL; opt++)
			n++;
	o->slots = arena_calloc(&o->arena, n + 1, sizeof(*o->slots));
	for (unsigned t = 0; tables[t] != NULL; t++)
		for (const struct opt *opt = tables[t]; opt->name != NULL; opt++)
			o->slots[o->nslots++].opt = opt;
}

int
opts_parse(struct opts *o, const struct opt *const *tables, unsigned command_after, char **words,
    struct err *e)
{
	bool literal = false;
	uint32_t room = 0;

	slots_make(o, tables);
	while (*words != NULL) {
		const char *word = *words;
		int used = 1;

		if (literal || word[0] != '-' || word[1] == '\0') {
			strs_push(&o->arena, &o->args, &room, word);
			if (o->args.n > command_after)
				literal = true;
		} else if (strcmp(word, "--") == 0) {
			literal = true;
		} else {
			used = word[1] == '-' ? take_long(o, words, e) : take_letters(o, words, e);
		}
		if (used < 0)
			return used;
		words += used;
	}
	return 0;
}

void
opts_free(struct opts *o)
{
	arena_free(&o->arena);
	*o = OPTS_ZERO;
}

static const struct opt_slot *
slot_of(const struct opts *o, const char *name)
{
	for (unsigned i = 0; i < o->nslots; i++)
		if (strcmp(o->slots[i].opt->name, name) == 0)
			return &o->slots[i];
	MUST(!"an option that is in no table of its command");
}

bool
opts_flag(const struct opts *o, const char *name)
{
	return slot_of(o, name)->values.n > 0;
}

const char *
opts_text(const struct opts *o, const char *name)
{
	const struct opt_slot *s = slot_of(o, name);

	return s->values.n == 0 ? NULL : s->values.v[0];
}

struct strs
opts_list(const struct opts *o, const char *name)
{
	return slot_of(o, name)->values;
}

const struct opt_slot *
opts_slot(const struct opts *o, const struct opt *opt)
{
	for (unsigned i = 0; i < o->nslots; i++)
		if (o->slots[i].opt == opt)
			return &o->slots[i];
	return NULL;
}

static int
wrong(struct err *e, const char *name, const char *text, const char *want)
{
	char show[64];

	return err_set(e, ERR_INVALID_ARGUMENT, "option --%s: \"%s\" is not %s", name,
	    ident_show(text, show, sizeof(show)), want);
}

int
opts_number(const struct opts *o, const char *name, uint64_t *ret, struct err *e)
{
	const char *text = opts_text(o, name);
	unsigned long long n;
	char *end;

	if (text == NULL)
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0)
		return wrong(e, name, text, "a number");
	*ret = n;
	return 0;
}

int
opts_signed(const struct opts *o, const char *name, int64_t *ret, struct err *e)
{
	const char *text = opts_text(o, name);
	long long n;
	char *end;

	if (text == NULL)
		return 0;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (text[0] == '\0' || isspace((unsigned char)text[0]) || *end != '\0' || errno != 0)
		return wrong(e, name, text, "a number");
	*ret = n;
	return 0;
}

int
opts_bytes(const struct opts *o, const char *name, uint64_t *ret, struct err *e)
{
	const char *text = opts_text(o, name);

	if (text == NULL)
		return 0;
	return parse_bytes(text, ret, e) < 0 ? err_wrap(e, "option --%s", name) : 0;
}

int
opts_duration_ms(const struct opts *o, const char *name, uint64_t *ret, struct err *e)
{
	const char *text = opts_text(o, name);

	if (text == NULL)
		return 0;
	return parse_duration_ms(text, ret, e) < 0 ? err_wrap(e, "option --%s", name) : 0;
}

/* A number that is not negative, with its unit behind it; false when there is no such number. (strtod
 * alone would take "inf", "0x10", "1e9" and leading spaces too.) */
static bool
number_and_unit(const char *text, double *ret, const char **unit)
{
	size_t n = strspn(text, "0123456789.");
	char digits[32], *end;

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, text, n);
	digits[n] = '\0';
	*ret = strtod(digits, &end);
	*unit = text + n;
	return end != digits && *end == '\0';
}

int
parse_duration_ms(const char *text, uint64_t *ret, struct err *e)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60e3 }, { "h", 3600e3 } };
	const char *unit;
	char show[64];
	double n;

	if (number_and_unit(text, &n, &unit))
		for (size_t i = 0; i < COUNT(units); i++)
			if (strcmp(unit, units[i].unit) == 0 && n * units[i].ms < 1e15) {
				*ret = (uint64_t)(n * units[i].ms + 0.5);
				return 0;
			}
	return err_set(e, ERR_INVALID_ARGUMENT, "\"%s\" is not a time (10, 10s, 500ms, 2m, 1h)",
	    ident_show(text, show, sizeof(show)));
}

int
parse_bytes(const char *text, uint64_t *ret, struct err *e)
{
	static const char units[] = "bkmgt";
	const char *unit, *at;
	char show[64];
	double n;

	if (number_and_unit(text, &n, &unit)) {
		at = *unit == '\0' ? units : strchr(units, tolower((unsigned char)*unit));
		if (*unit != '\0')
			unit++;
		if (at != NULL && at != units && strcasecmp(unit, "ib") == 0)
			unit += 2;
		else if (at != NULL && at != units && strcasecmp(unit, "b") == 0)
			unit++;
		if (at != NULL && *unit == '\0') {
			n = ldexp(n, 10 * (int)(at - units));
			if (n < 9e18) {
				*ret = (uint64_t)n;
				return 0;
			}
		}
	}
	return err_set(e, ERR_INVALID_ARGUMENT, "\"%s\" is not a size (65536, 64k, 512m, 1.5g)",
	    ident_show(text, show, sizeof(show)));
}

static int
signal_named(const char *name)
{
	for (int i = 1; i < 32; i++) {
		const char *abbrev = sigabbrev_np(i);

		if (abbrev != NULL && strcasecmp(abbrev, name) == 0)
			return i;
	}
	return strcasecmp(name, "IOT") == 0 ? SIGABRT : 0;
}

int
parse_signal(const char *text, uint64_t *ret, struct err *e)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	bool min = strncasecmp(name, "RTMIN", 5) == 0, max = strncasecmp(name, "RTMAX", 5) == 0;
	long n = 0;
	char show[64], *end;

	if (min || max) {
		/* The kernel's numbers: libc keeps the first two for itself. */
		n = name[5] == '\0' ? 0 : strtol(name + 5, &end, 10);
		if (name[5] == '\0' || (name[5] == (min ? '+' : '-') &&
					   isdigit((unsigned char)name[6]) && *end == '\0'))
			n += min ? 34 : 64;
		n = n >= 34 && n <= 64 ? n : 0;
	} else if (isdigit((unsigned char)name[0])) {
		n = strtol(name, &end, 10);
		n = *end == '\0' && n >= 1 && n <= 64 && name == text ? n : 0;
	} else {
		n = signal_named(name);
	}
	if (n == 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "\"%s\" is not a signal (a name as TERM or SIGTERM, or a number)",
		    ident_show(text, show, sizeof(show)));
	*ret = (uint64_t)n;
	return 0;
}
