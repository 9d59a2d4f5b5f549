/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words - the few words that the shim reads from JSON it did not write: an OCI runtime's log, and one
 * string of config.json.
 *
 * A scanner, not a parser: the text is hostile data, the answer is only shown to people (words_last)
 * or checked before use (words_string).
 */
#ifndef CF_SHIM_WORDS_H
#define CF_SHIM_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* The message of the last line of level error or fatal in a runtime's JSON log; false when none. */
bool words_last(const char *log, char *to, size_t size);

/* The last line of plain text that is not empty; false when there is none. */
bool words_last_line(const char *text, char *to, size_t size);

/* The string behind the first "key": in JSON text, unescaped; false when there is none. */
bool words_string(const char *json, const char *key, char *to, size_t size);

#endif
