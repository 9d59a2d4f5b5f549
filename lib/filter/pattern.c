/* SPDX-License-Identifier: Apache-2.0 */
/* pattern - see pattern.h */
#include "lib/filter/pattern.h"

#include <ctype.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define OPTIONS (PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY)
#define NEST_MAX 100
#define WORKSPACE 2400 /* ints: some 200 places in the pattern that are looked at at a time */

struct pattern {
	pcre2_code *code;
	pcre2_match_data *match;
};

/* --- what is taken -------------------------------------------------------------------------------- */

/* Bytes of "(", "(?i-s:", "(?i)", "(?P<name>": what may open a group. 0: something else. */
static size_t
group_length(const char *s)
{
	size_t n;

	if (s[1] == '*')
		return 0;
	if (s[1] != '?')
		return 1;
	n = strspn(s + 2, "imsU-");
	if (s[2 + n] == ':' || (n > 0 && s[2 + n] == ')'))
		return 2 + n;
	return strncmp(s + 2, "P<", 2) == 0 ? 4 : 0;
}

/* Bytes of an escape. 0: one that only a matcher which goes back can do, or none of Go's. */
static size_t
escape_length(const char *s)
{
	const char *end;

	if (s[1] == 'Q') {
		end = strstr(s, "\\E");
		return end != NULL ? (size_t)(end - s) + 2 : strlen(s);
	}
	if (s[1] == '\0' || (s[1] >= '1' && s[1] <= '9'))
		return 0;
	return !isalpha((unsigned char)s[1]) || strchr("dDsSwWbBAzaftnrvxpP", s[1]) != NULL ? 2 : 0;
}

/* Bytes of "[...]", or of what is left when it does not end. */
static size_t
class_length(const char *s)
{
	size_t at = s[1] == '^' ? 2 : 1;
	const char *end;

	if (s[at] == ']')
		at++;
	while (s[at] != '\0' && s[at] != ']') {
		end = strncmp(s + at, "[:", 2) == 0 ? strstr(s + at, ":]") : NULL;
		if (end != NULL)
			at = (size_t)(end - s) + 2;
		else
			at += s[at] == '\\' && s[at + 1] != '\0' ? 2 : 1;
	}
	return at + (s[at] == ']');
}

/* pcre2 knows more than Go; nothing of that is let through to its automaton. */
static int
syntax_check(const char *text, struct err *e)
{
	for (size_t at = 0, n; text[at] != '\0'; at += n) {
		n = text[at] == '('    ? group_length(text + at)
		    : text[at] == '\\' ? escape_length(text + at)
		    : text[at] == '['  ? class_length(text + at)
				       : 1;
		if (strchr("*+?}", text[at]) != NULL && text[at + 1] == '+')
			n = 0;
		if (n == 0)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "the pattern has something at its byte %zu that is not known: the "
			    "syntax "
			    "is that of Go's regexp",
			    at + 1);
	}
	return 0;
}

/* --- pcre2 ---------------------------------------------------------------------------------------- */

static void *
take(PCRE2_SIZE n, void *arena)
{
	return arena_calloc(arena, 1, n);
}

/* With the arena. */
static void
leave(void *p, void *arena)
{
	(void)p;
	(void)arena;
}

static int
compile(const char *text, size_t n, uint32_t options, pcre2_general_context *g, pcre2_code **ret,
    struct err *e)
{
	pcre2_compile_context *c = pcre2_compile_context_create(g);
	char what[128];
	PCRE2_SIZE at;
	int code;

	(void)pcre2_set_parens_nest_limit(c, NEST_MAX);
	(void)pcre2_set_newline(c, PCRE2_NEWLINE_LF);
	*ret = pcre2_compile((PCRE2_SPTR)text, n, OPTIONS | options, &code, &at, c);
	if (*ret != NULL)
		return 0;
	(void)pcre2_get_error_message(code, (PCRE2_UCHAR *)what, sizeof(what));
	return err_set(
	    e, ERR_INVALID_ARGUMENT, "the pattern is wrong behind its byte %zu: %s", at, what);
}

/* The pattern is compiled as it is first, for its errors' places, and so that ")|(" can't escape from
 * what stands around it then: one pass from the start instead of a try at each byte. "\E" ends a "\Q". */
int
pattern_compile(const char *text, struct arena *a, struct pattern **ret, struct err *e)
{
	pcre2_general_context *g = pcre2_general_context_create(take, leave, a);
	struct pattern *p = arena_calloc(a, 1, sizeof(*p));
	size_t n = strlen(text);
	char *whole;
	int r;

	if (n > PATTERN_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "the pattern has %zu bytes: at most %d are taken", n, PATTERN_MAX);
	if ((r = syntax_check(text, e)) < 0 || (r = compile(text, n, 0, g, &p->code, e)) < 0)
		return r;
	whole = arena_printf(a, "(?s:.*?)(?:%s\\E)", text);
	r = compile(whole, strlen(whole), PCRE2_ANCHORED, g, &p->code, e);
	if (r < 0)
		return r;
	p->match = pcre2_match_data_create(1, g);
	*ret = p;
	return 0;
}

int
pattern_found(struct pattern *p, const char *text, struct err *e)
{
	int workspace[WORKSPACE], r;
	char what[128];

	r = pcre2_dfa_match(p->code, (PCRE2_SPTR)text, strlen(text), 0, PCRE2_DFA_SHORTEST,
	    p->match, NULL, workspace, WORKSPACE);

	if (r >= 0)
		return 1;
	if (r == PCRE2_ERROR_NOMATCH || (r <= PCRE2_ERROR_UTF8_ERR1 && r >= PCRE2_ERROR_UTF8_ERR21))
		return 0;
	(void)pcre2_get_error_message(r, (PCRE2_UCHAR *)what, sizeof(what));
	return err_set(e, ERR_RESOURCE_EXHAUSTED, "the pattern is too costly: %s", what);
}
