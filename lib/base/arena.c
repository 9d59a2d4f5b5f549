/* SPDX-License-Identifier: Apache-2.0 */
/* arena - see arena.h. A list of chunks; a large piece gets a chunk of its own. */
#include "lib/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

#define CHUNK_BYTES 4000
#define ALIGN 16

struct arena_chunk {
	struct arena_chunk *next;
	size_t size, used;
	_Alignas(ALIGN) unsigned char data[];
};

static struct arena_chunk *
chunk_add(struct arena *a, size_t least)
{
	size_t size = least > CHUNK_BYTES ? least : CHUNK_BYTES;
	struct arena_chunk *c = xcalloc(1, sizeof(*c) + size);

	c->size = size;
	if (a->head != NULL && least > CHUNK_BYTES) { /* keep filling the chunk that is open */
		c->next = a->head->next;
		a->head->next = c;
	} else {
		c->next = a->head;
		a->head = c;
	}
	return c;
}

void *
arena_calloc(struct arena *a, size_t n, size_t size)
{
	struct arena_chunk *c = a->head;
	size_t bytes;
	void *p;

	MUST(!__builtin_mul_overflow(n, size, &bytes) && bytes < SIZE_MAX / 2);
	bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (c == NULL || c->size - c->used < bytes)
		c = chunk_add(a, bytes);
	p = c->data + c->used;
	c->used += bytes;
	a->used += bytes;
	return p;
}

char *
arena_memdup(struct arena *a, const void *p, size_t n)
{
	char *copy = arena_calloc(a, n + 1, 1);

	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_memdup(a, s, strlen(s));
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *text;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	MUST(n >= 0);
	text = arena_calloc(a, (size_t)n + 1, 1);
	(void)vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return text;
}

void
arena_free(struct arena *a)
{
	struct arena_chunk *c = a->head;

	while (c != NULL) {
		struct arena_chunk *next = c->next;

		free(c);
		c = next;
	}
	*a = ARENA_ZERO;
}
