/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8 - what may be shown of text from outside: whole, printable characters.
 */
#ifndef CF_BASE_UTF8_H
#define CF_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the printable character at s (a NUL-terminated text), 0 when there is none: the end, a
 * control character (C0, DEL, C1, line and paragraph separators, marks that turn the writing direction)
 * or bytes that are not UTF-8. */
static inline size_t
utf8_printable(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	static const unsigned long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	unsigned long c = n == 1 ? p[0] : n == 2 ? p[0] & 0x1fU : p[0] & (n == 3 ? 0x0fU : 0x07U);

	if (n == 0 || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) /* the NUL ends this, too */
			return 0;
		c = c << 6 | (p[i] & 0x3fU);
	}
	if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c < least[n] || c > 0x10ffff ||
	    (c >= 0xd800 && c < 0xe000) || (c >= 0x2028 && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069))
		return 0;
	return n;
}

#endif
