/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml - a strict reader of the part of TOML 1.0 that a configuration needs.
 *
 * Taken: comments, tables, dotted and quoted keys, basic and literal strings of one line, integers
 * (decimal, hex, octal, binary), booleans, arrays of strings and of such arrays (over several lines
 * too). Refused with a message that says so: floats, dates, inline tables, arrays of tables, multi-line
 * strings, other arrays. Duplicate keys and tables, control bytes and bytes that are not UTF-8 are errors.
 * The document is a flat list of values, and one of tables, in the order of the file; what keys mean is
 * the caller's business.
 */
#ifndef CF_BASE_TOML_H
#define CF_BASE_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"

#define TOML_MAX (1u << 20)  /* bytes of a document */
#define TOML_VALUES_MAX 4096 /* values of a document; elements of an array */
#define TOML_KEY_MAX 256     /* bytes of a whole key */
#define TOML_DEPTH_MAX 8     /* words of a whole key */

/* TOML_ARRAY: an array that has an array in it; each of its elements is TOML_STRING or TOML_STRINGS. */
enum toml_kind { TOML_STRING, TOML_INTEGER, TOML_BOOLEAN, TOML_STRINGS, TOML_ARRAY };

struct toml_value {
	const char *table;  /* first word of the whole key; "" when it has but one */
	const char *key;    /* the rest, words joined by '.'; those that need quotes have them */
	char *const *words; /* the whole key, word by word, without quotes */
	unsigned nwords;
	unsigned line; /* from 1 */
	enum toml_kind kind;
	const char *string;
	int64_t integer;
	bool boolean;
	const char **strings;
	unsigned nstrings;
	struct toml_value *elements;
	unsigned nelements;
};

/* A [header]; its table may have no values. */
struct toml_table {
	char *const *words;
	unsigned nwords;
	unsigned line;
};

struct toml {
	struct toml_value *values;
	unsigned nvalues;
	struct toml_table *tables;
	unsigned ntables;
};

/* Reads n bytes; what comes out lives in a. invalid_argument with "FILE:LINE: what is wrong". */
int toml_parse(
    const char *text, size_t n, const char *file, struct arena *a, struct toml *ret, struct err *e);

/* invalid_argument with the same form of message, for callers that dislike a value. */
int
toml_fail(const char *file, unsigned line, struct err *e, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
