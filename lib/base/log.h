/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - one line per fact, to stderr, with time, level and who says it; text or JSON.
 *
 * Text:  2026-11-23T14:33:07.123Z info  content  pulled docker.io/library/nginx:latest request=ab12..
 * JSON:  {"time":"...","level":"info","worker":"content","msg":"..."}
 * Bytes that came from outside are printed escaped: a log line is always one line. One write(2) per
 * line, so lines of several processes do not mix.
 */
#ifndef CF_BASE_LOG_H
#define CF_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Set once at the start; who is kept by reference (a literal). */
void log_init(const char *who, enum log_level least, bool json);

/* "debug", "info", "warn", "error" to a level; -1 for anything else. */
int log_level_parse(const char *text);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
