/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a growing run of bytes with a hard limit, always NUL-terminated behind its end.
 *
 * A buf without a limit (limit 0) is for text we write ourselves; whatever a peer fills has one.
 */
#ifndef CF_BASE_BUF_H
#define CF_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data; /* NULL while empty; data[len] is 0 otherwise */
	size_t len, size;
	size_t limit; /* most bytes it may hold, 0 = no limit */
};

#define BUF_ZERO ((struct buf){ .data = NULL })
#define BUF_LIMIT(n) ((struct buf){ .limit = (n) })

/* Both return 0, or -1 when the limit would be passed (nothing is added then). */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_adds(struct buf *b, const char *s);

/* Room for n more bytes at b->data + b->len (add to b->len what was used); NULL past the limit. */
void *buf_room(struct buf *b, size_t n);

/* Drops n bytes from the front. */
void buf_drop(struct buf *b, size_t n);
/* The text; "" when empty. */
const char *buf_str(const struct buf *b);
/* Hands the malloced text over (never NULL) and empties the buf. */
char *buf_take(struct buf *b);
void buf_free(struct buf *b);

#endif
