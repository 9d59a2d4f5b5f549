/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - memory of one request: allocate and forget, freed as a whole.
 *
 * Decoded messages, replies and what handlers build on the way live in the arena of their call and
 * die with it; copy what must live longer. Allocation never returns NULL (aborts, as xcalloc does).
 */
#ifndef CF_BASE_ARENA_H
#define CF_BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *head;
	size_t used; /* bytes handed out so far */
};

#define ARENA_ZERO ((struct arena){ .head = NULL })

/* n * size zeroed bytes, aligned for any type. */
void *arena_calloc(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s);
/* Copies n bytes and adds a NUL. */
char *arena_memdup(struct arena *a, const void *p, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Frees everything; the arena can be used again. For AUTO as well. */
void arena_free(struct arena *a);

#endif
