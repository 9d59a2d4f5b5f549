/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - what went wrong, of which class, said once by who noticed and wrapped by who knows more.
 *
 * A struct err lives on the caller's stack and starts as ERR_NONE (`struct err e = ERR_ZERO;`).
 * Functions that can fail take it last, return 0 or a negative class, and leave their ret_*
 * arguments untouched on failure. A message says what we were doing to what, without a final dot:
 * "open blob sha256:ab..: No space left on device". It is always one line of printable UTF-8: other
 * bytes in what it quotes become ' ' or '?'.
 */
#ifndef CF_BASE_ERR_H
#define CF_BASE_ERR_H

#include <stdarg.h>

enum err_code {
	ERR_NONE = 0,
#define ERR(name, wire, text, exit) ERR_##name = (wire),
#include "schemas/errors.def"
};

#define ERR_MSG_MAX 512

struct err {
	enum err_code code;
	int sys; /* errno when a system call failed, else 0 */
	char msg[ERR_MSG_MAX];
};

#define ERR_ZERO ((struct err){ .code = ERR_NONE })

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Sets class and message. Returns -code. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same with ": strerror(errnum)" appended; the class is made from errnum (err_from_errno). */
int err_sys(struct err *e, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the message; keeps the class. Returns -code. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The class an errno belongs to: ENOENT not_found, EEXIST already_exists, ENOSPC resource_exhausted,
 * EACCES/EPERM permission_denied, ..., anything else internal. */
enum err_code err_from_errno(int errnum);

/* "not_found" and so on; "unknown" for numbers that are not in the table. Static. */
const char *err_text(enum err_code code);

/* The number from the bus as a class; ERR_UNKNOWN for one we do not know. */
enum err_code err_from_wire(unsigned wire);

/* Exit status of ctr for this class. */
int err_exit(enum err_code code);

/* Programmer errors only: peer bytes, files and kernel results are data and return errors.
 * Writes the condition to stderr and to the last words (see must_hook), then aborts: the supervisor
 * makes an abort affordable. Always on. */
#define MUST(cond) ((cond) ? (void)0 : must_fail(__FILE__, __LINE__, #cond))
_Noreturn void must_fail(const char *file, int line, const char *cond);

/* Called with the text before the abort; the board sets it to keep the last words. */
extern void (*must_hook)(const char *text);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
