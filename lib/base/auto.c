/* SPDX-License-Identifier: Apache-2.0 */
/* auto - see auto.h */
#include "lib/base/auto.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base/err.h"

void
fd_close(int *fd)
{
	int keep = errno;

	if (*fd >= 0)
		(void)close(
		    *fd); /* data was fsynced where it matters; here a close cannot be retried */
	*fd = -1;
	errno = keep;
}

int
fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

void
free_ptr(void *p)
{
	void **pp = p;

	free(*pp);
	*pp = NULL;
}

void
dir_close(DIR **d)
{
	if (*d != NULL)
		(void)closedir(*d);
	*d = NULL;
}

void
file_close(FILE **f)
{
	if (*f != NULL)
		(void)fclose(*f); /* callers that write check fflush themselves */
	*f = NULL;
}

void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	MUST(p != NULL || n == 0 || size == 0);
	return p;
}

void *
xrealloc(void *p, size_t size)
{
	void *grown = realloc(p, size);

	MUST(grown != NULL || size == 0);
	return grown;
}

char *
xstrdup(const char *s)
{
	char *copy = strdup(s);

	MUST(copy != NULL);
	return copy;
}

char *
xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	MUST(n >= 0);
	return text;
}
