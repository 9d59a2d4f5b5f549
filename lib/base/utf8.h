/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8 - characters of text from outside: whole ones, and those that may be shown.
 */
#ifndef CF_BASE_UTF8_H
#define CF_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed character (RFC 3629) that n bytes at s begin with, and its code point; 0 when
 * there is none. */
static inline size_t
utf8_char(const char *s, size_t n, uint32_t *ret)
{
	const unsigned char *p = (const unsigned char *)s;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len;
	uint32_t c;

	if (n == 0)
		return 0;
	len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len == 0 || len > n || p[0] > 0xf4)
		return 0;
	c = len == 1 ? p[0] : len == 2 ? p[0] & 0x1fU : p[0] & (len == 3 ? 0x0fU : 0x07U);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fU);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret = c;
	return len;
}

/* Bytes of the printable character at s (a NUL-terminated text), 0 when there is none: the end, a
 * control character (C0, DEL, C1, line and paragraph separators, marks that turn the writing direction)
 * or bytes that are not UTF-8. */
static inline size_t
utf8_printable(const char *s)
{
	uint32_t c = 0;
	size_t n = 0;

	while (n < 4 && s[n] != '\0')
		n++;
	n = utf8_char(s, n, &c);

	if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069))
		return 0;
	return n;
}

#endif
