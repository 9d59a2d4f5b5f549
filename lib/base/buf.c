/* SPDX-License-Identifier: Apache-2.0 */
/* buf - see buf.h */
#include "lib/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

void *
buf_room(struct buf *b, size_t n)
{
	size_t need = b->len + n + 1;

	MUST(need > n);
	if (b->limit != 0 && b->len + n > b->limit)
		return NULL;
	if (need > b->size) {
		size_t size = b->size < 64 ? 64 : b->size;

		while (size < need)
			size *= 2;
		b->data = xrealloc(b->data, size);
		b->size = size;
	}
	b->data[b->len + n] = '\0';
	return b->data + b->len;
}

int
buf_add(struct buf *b, const void *p, size_t n)
{
	void *to = buf_room(b, n);

	if (to == NULL)
		return -1;
	if (n > 0)
		memcpy(to, p, n);
	b->len += n;
	return 0;
}

int
buf_adds(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	char *to;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	MUST(n >= 0);
	to = buf_room(b, (size_t)n);
	if (to != NULL) {
		(void)vsnprintf(to, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
	return to == NULL ? -1 : 0;
}

void
buf_drop(struct buf *b, size_t n)
{
	MUST(n <= b->len);
	if (b->data == NULL)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
	b->data[b->len] = '\0';
}

const char *
buf_str(const struct buf *b)
{
	return b->data == NULL ? "" : b->data;
}

char *
buf_take(struct buf *b)
{
	char *text = b->data == NULL ? xstrdup("") : b->data;

	b->data = NULL;
	b->len = b->size = 0;
	return text;
}

void
buf_free(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->size = 0;
}
