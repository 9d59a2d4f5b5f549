/* SPDX-License-Identifier: Apache-2.0 */
/* words - see words.h */
#include "workers/task/shim/words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int
hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];

		if (!isxdigit((unsigned char)c))
			return -1;
		v = v * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
	}
	return v;
}

/* Copies a JSON string that starts behind its quote. */
static void
unescape(const char *from, const char *end, char *to, size_t size)
{
	static const char plain[] = "\"\\/bfnrt", means[] = "\"\\/  \n  ";
	size_t n = 0;

	for (; from < end && *from != '"' && *from != '\0' && n + 2 < size; from++) {
		const char *at;
		int v;

		if (*from != '\\') {
			to[n++] = *from;
			continue;
		}
		from++;
		if (from >= end || *from == '\0')
			break;
		if (*from == 'u' && end - from > 4 && (v = hex4(from + 1)) >= 0) {
			from += 4;
			to[n++] = v > 0 && v < 0x80 ? (char)v : '?';
		} else if ((at = strchr(plain, *from)) != NULL) {
			to[n++] = means[at - plain];
		}
	}
	to[n] = '\0';
}

/* Finds "key" : " and returns what is behind the quote; NULL when it is not there. */
static const char *
find_string(const char *from, const char *end, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = from; p < end && (p = memchr(p, '"', (size_t)(end - p))) != NULL;) {
		p++;
		if ((size_t)(end - p) <= len || strncmp(p, key, len) != 0 || p[len] != '"')
			continue;
		p += len + 1;
		while (p < end && isspace((unsigned char)*p))
			p++;
		if (p >= end || *p != ':')
			continue;
		p++;
		while (p < end && isspace((unsigned char)*p))
			p++;
		if (p < end && *p == '"')
			return p + 1;
	}
	return NULL;
}

static bool
is_error(const char *level, const char *end)
{
	return level != NULL && end - level > 5 &&
	       (strncmp(level, "error", 5) == 0 || strncmp(level, "fatal", 5) == 0);
}

bool
words_last(const char *log, char *to, size_t size)
{
	bool found = false;

	while (*log != '\0') {
		const char *end = log + strcspn(log, "\n"), *msg;

		if (is_error(find_string(log, end, "level"), end) &&
		    (msg = find_string(log, end, "msg")) != NULL) {
			unescape(msg, end, to, size);
			found = to[0] != '\0';
		}
		log = end + (*end == '\n');
	}
	return found;
}

bool
words_last_line(const char *text, char *to, size_t size)
{
	bool found = false;

	while (*text != '\0') {
		size_t n = strcspn(text, "\n");

		if (n > 0) {
			size_t len = n < size ? n : size - 1;

			memcpy(to, text, len);
			to[len] = '\0';
			found = true;
		}
		text += n + (text[n] == '\n');
	}
	return found;
}

bool
words_string(const char *json, const char *key, char *to, size_t size)
{
	const char *end = json + strlen(json), *at = find_string(json, end, key);

	if (at == NULL)
		return false;
	unescape(at, end, to, size);
	return true;
}
