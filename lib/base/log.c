/* SPDX-License-Identifier: Apache-2.0 */
/* log - see log.h. No allocation: the supervisor logs when memory is gone. */
#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/utf8.h"

#define LINE_MAX_BYTES 2048

static const char *const level_text[] = { "debug", "info", "warn", "error" };

static struct {
	const char *who;
	enum log_level least;
	bool json;
} log_state = { "-", LOG_INFO, false };

void
log_init(const char *who, enum log_level least, bool json)
{
	log_state.who = who;
	log_state.least = least;
	log_state.json = json;
}

int
log_level_parse(const char *text)
{
	for (size_t i = 0; i < COUNT(level_text); i++)
		if (strcmp(text, level_text[i]) == 0)
			return (int)i;
	return -1;
}

/* Copies text so that it stays one line (and one JSON string, which asks for the quotes too). */
static size_t
escape(char *to, size_t size, const char *text, bool json)
{
	size_t n = 0;

	while (*text != '\0' && n + 8 < size) {
		unsigned char c = (unsigned char)*text;
		size_t whole = utf8_printable(text);

		if (whole == 0 && json && c < 0x80)
			n += (size_t)snprintf(to + n, size - n, "\\u%04x", c);
		else if (whole == 0) /* in JSON the backslash needs another one */
			n += (size_t)snprintf(to + n, size - n, json ? "\\\\x%02x" : "\\x%02x", c);
		else if (json && (c == '"' || c == '\\'))
			n += (size_t)snprintf(to + n, size - n, "\\%c", c);
		else {
			memcpy(to + n, text, whole);
			n += whole;
		}
		text += whole == 0 ? 1 : whole;
	}
	to[n] = '\0';
	return n;
}

void
log_write(enum log_level level, const char *fmt, ...)
{
	char msg[LINE_MAX_BYTES / 2], clean[LINE_MAX_BYTES - 128], line[LINE_MAX_BYTES];
	char when[CLOCK_TEXT_MAX];
	va_list ap;
	int n;

	if (level < log_state.least)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	(void)escape(clean, sizeof(clean), msg, log_state.json);
	(void)clock_text(clock_real_ns(), when);
	(void)strcpy(when + 23, "Z"); /* milliseconds are enough for a reader */
	if (log_state.json)
		n = snprintf(line, sizeof(line),
		    "{\"time\":\"%s\",\"level\":\"%s\",\"worker\":\"%s\",\"msg\":\"%s\"}\n", when,
		    level_text[level], log_state.who, clean);
	else
		n = snprintf(line, sizeof(line), "%s %-5s %-10s %s\n", when, level_text[level],
		    log_state.who, clean);
	if (n > 0)
		(void)!write(
		    STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}
