/* SPDX-License-Identifier: Apache-2.0 */
/* text - see text.h */
#include "ctr/text.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

size_t
text_char(const char *text, size_t n, uint32_t *ret_code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *b = (const unsigned char *)text;
	uint32_t code;
	size_t len;

	if (n == 0)
		return 0;
	if (b[0] < 0x80) {
		*ret_code = b[0];
		return 1;
	}
	len = b[0] >= 0xf0 && b[0] < 0xf5 ? 4 : b[0] >= 0xe0 && b[0] < 0xf0 ? 3 : 2;
	if (b[0] < 0xc2 || b[0] >= 0xf5 || len > n)
		return 0;
	code = b[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (b[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	*ret_code = code;
	return len;
}

/* Control characters of both sets, line separators, and what turns the direction of writing. */
static bool
code_harmless(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	return !(c == 0x2028 || c == 0x2029 || c == 0x200e || c == 0x200f ||
		 (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069));
}

/* Bytes at the start that are printable ASCII: nearly all there is. */
static size_t
plain_length(const char *text, size_t n)
{
	size_t at = 0;

	while (at < n && text[at] >= ' ' && text[at] < 0x7f)
		at++;
	return at;
}

void
text_clean_n(struct buf *out, const char *text, size_t n)
{
	while (n > 0) {
		uint32_t code = 0;
		size_t len = plain_length(text, n);

		if (len > 0)
			code = ' ';
		else
			len = text_char(text, n, &code);
		if (len > 0 && code_harmless(code)) {
			(void)buf_add(out, text, len);
		} else if (len > 1) {
			(void)buf_addf(out, "\\u%04x", code);
		} else {
			len = 1;
			(void)buf_addf(out, "\\x%02x", (unsigned char)*text);
		}
		text += len;
		n -= len;
	}
}

void
text_clean(struct buf *out, const char *text)
{
	text_clean_n(out, text, strlen(text));
}

void
text_print(FILE *to, const char *text)
{
	AUTO(buf_free) struct buf clean = BUF_ZERO;

	text_clean(&clean, text);
	(void)fprintf(to, "%s\n", buf_str(&clean));
}

size_t
text_width(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

size_t
text_cut(const char *text, size_t columns)
{
	size_t at = 0;

	for (; text[at] != '\0'; at++)
		if (((unsigned char)text[at] & 0xc0) != 0x80 && columns-- == 0)
			break;
	return at;
}

const char *
text_size(uint64_t bytes, char *to)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double n = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		(void)snprintf(to, TEXT_NUMBER_MAX, "%u B", (unsigned)bytes);
		return to;
	}
	/* 1023.95 would be rounded to 1024.0 */
	while (n >= 1023.95 && unit + 1 < COUNT(units)) {
		n /= 1024;
		unit++;
	}
	(void)snprintf(to, TEXT_NUMBER_MAX, "%.1f %s", n, units[unit]);
	return to;
}

const char *
text_age(int64_t then_ns, int64_t now_ns, char *to)
{
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = { { 365 * 86400, "year" }, { 30 * 86400, "month" }, { 7 * 86400, "week" },
		{ 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };
	int64_t s = (now_ns - then_ns) / 1000000000;

	if (then_ns == 0)
		return strcpy(to, "-");
	for (size_t i = 0; i < COUNT(units); i++)
		if (s >= units[i].seconds) {
			int64_t n = s / units[i].seconds;

			(void)snprintf(to, TEXT_NUMBER_MAX, "%lld %s%s ago", (long long)n,
			    units[i].unit, n == 1 ? "" : "s");
			return to;
		}
	return strcpy(to, "just now"); /* clocks that went back, too */
}

const char *
text_span(int64_t ns, char *to)
{
	long long s = ns < 0 ? 0 : ns / 1000000000;

	if (s < 60)
		(void)snprintf(to, TEXT_NUMBER_MAX, "%llds", s);
	else if (s < 3600)
		(void)snprintf(to, TEXT_NUMBER_MAX, "%lldm %llds", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(to, TEXT_NUMBER_MAX, "%lldh %lldm", s / 3600, s % 3600 / 60);
	else
		(void)snprintf(to, TEXT_NUMBER_MAX, "%lldd %lldh", s / 86400, s % 86400 / 3600);
	return to;
}
