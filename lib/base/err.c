/* SPDX-License-Identifier: Apache-2.0 */
/* err - see err.h. The classes live in schemas/errors.def. */
#include "lib/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/utf8.h"

static const struct {
	enum err_code code;
	const char *text;
	int exit;
} classes[] = {
#define ERR(name, wire, text, exit) { ERR_##name, text, exit },
#include "schemas/errors.def"
};

void (*must_hook)(const char *text);

/* Makes the message one line of printable UTF-8, whatever bytes from outside it quotes and wherever it
 * was cut: it goes to terminals, JSON and other languages' string types. */
static void
clean(char *msg)
{
	while (*msg != '\0') {
		size_t n = utf8_printable(msg);

		if (n == 0)
			*msg = *msg == '\n' || *msg == '\r' || *msg == '\t' ? ' ' : '?';
		msg += n == 0 ? 1 : n;
	}
}

int
err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	e->sys = 0;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap); /* a cut message is still a message */
	va_end(ap);
	clean(e->msg);
	return -(int)code;
}

int
err_sys(struct err *e, int errnum, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	e->code = err_from_errno(errnum);
	e->sys = errnum;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	(void)snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", strerror(errnum));
	clean(e->msg);
	return -(int)e->code;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	char was[ERR_MSG_MAX];
	va_list ap;
	size_t n;

	memcpy(was, e->msg, sizeof(was));
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	(void)snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", was);
	clean(e->msg);
	return -(int)e->code;
}

enum err_code
err_from_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ESRCH:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_ALREADY_EXISTS;
	case ENOTEMPTY:
	case EBUSY:
		return ERR_FAILED_PRECONDITION;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_PERMISSION_DENIED;
	case EINVAL:
	case ENAMETOOLONG:
	case ELOOP:
	case E2BIG:
		return ERR_INVALID_ARGUMENT;
	case ENOSPC:
	case EDQUOT:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EFBIG:
		return ERR_RESOURCE_EXHAUSTED;
	case EAGAIN:
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
		return ERR_UNAVAILABLE;
	case ETIMEDOUT:
		return ERR_DEADLINE_EXCEEDED;
	default:
		return ERR_INTERNAL;
	}
}

const char *
err_text(enum err_code code)
{
	for (size_t i = 0; i < COUNT(classes); i++)
		if (classes[i].code == code)
			return classes[i].text;
	return "unknown";
}

enum err_code
err_from_wire(unsigned wire)
{
	for (size_t i = 0; i < COUNT(classes); i++)
		if ((unsigned)classes[i].code == wire)
			return classes[i].code;
	return ERR_UNKNOWN;
}

int
err_exit(enum err_code code)
{
	for (size_t i = 0; i < COUNT(classes); i++)
		if (classes[i].code == code)
			return classes[i].exit;
	return 1;
}

void
must_fail(const char *file, int line, const char *cond)
{
	char text[256];
	int n;

	n = snprintf(text, sizeof(text), "%s:%d: must hold: %s\n", file, line, cond);
	if (n > 0)
		(void)!write(
		    STDERR_FILENO, text, strlen(text)); /* nothing to do about a lost stderr */
	if (must_hook != NULL)
		must_hook(text);
	abort();
}
