/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tarmake - writes tars byte by byte, so that tests can make what no tool would.
 */
#ifndef CF_TEST_TARMAKE_H
#define CF_TEST_TARMAKE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"

struct entry {
	const char *name;
	char
	    type; /* '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' folder, '6' fifo */
	const char *link;
	const char *body;
	unsigned mode; /* 0: 0644, folders 0755 */
	uint64_t uid, gid, mtime;
	unsigned major, minor;
	const char *pax; /* "key=value\n" lines without their lengths, for a pax header in front */
};

static inline void
tar_octal(char *to, size_t width, uint64_t n)
{
	for (size_t i = width - 1; i > 0; i--, n >>= 3)
		to[i - 1] = (char)('0' + (n & 7));
}

static inline void
tar_pad(struct buf *b)
{
	static const char zeros[512];

	if (b->len % 512 != 0)
		(void)buf_add(b, zeros, 512 - b->len % 512);
}

static inline void
tar_header(struct buf *b, const struct entry *e, const char *name, char type, uint64_t size)
{
	char h[512] = { 0 };
	unsigned sum = 0, mode = e->mode != 0 ? e->mode : type == '5' ? 0755 : 0644;

	(void)snprintf(h, 100, "%s", name);
	tar_octal(h + 100, 8, mode);
	tar_octal(h + 108, 8, e->uid & 07777777);
	tar_octal(h + 116, 8, e->gid & 07777777);
	tar_octal(h + 124, 12, size);
	tar_octal(h + 136, 12, e->mtime);
	memset(h + 148, ' ', 8);
	h[156] = type;
	if (e->link != NULL && type != 'x')
		(void)snprintf(h + 157, 100, "%s", e->link);
	memcpy(h + 257, "ustar\00000", 8);
	tar_octal(h + 329, 8, e->major);
	tar_octal(h + 337, 8, e->minor);
	for (unsigned i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	(void)snprintf(h + 148, 8, "%06o", sum);
	h[155] = ' ';
	(void)buf_add(b, h, sizeof(h));
}

/* One pax record with its own length in front. */
static inline void
tar_pax_record(struct buf *b, const char *key, const void *value, size_t n)
{
	size_t rest = strlen(key) + n + 3, len = rest, digits;

	do {
		digits = (size_t)snprintf(NULL, 0, "%zu", len);
		if (digits + rest == len)
			break;
		len = digits + rest;
	} while (1);
	(void)buf_addf(b, "%zu %s=", len, key);
	(void)buf_add(b, value, n);
	(void)buf_adds(b, "\n");
}

static inline void
tar_pax(struct buf *b, const struct entry *e)
{
	struct buf body = BUF_ZERO;

	for (const char *p = e->pax; *p != '\0'; p += strcspn(p, "\n") + 1) {
		char key[128];
		size_t k = strcspn(p, "=");

		(void)snprintf(key, sizeof(key), "%.*s", (int)k, p);
		tar_pax_record(&body, key, p + k + 1, strcspn(p + k + 1, "\n"));
	}
	tar_header(b, e, "pax", 'x', body.len);
	(void)buf_add(b, body.data, body.len);
	tar_pad(b);
	buf_free(&body);
}

static inline void
tar_add(struct buf *b, const struct entry *e)
{
	size_t n = e->body == NULL ? 0 : strlen(e->body);

	if (e->pax != NULL)
		tar_pax(b, e);
	tar_header(b, e, e->name, e->type == 0 ? '0' : e->type, n);
	if (n > 0)
		(void)buf_add(b, e->body, n);
	tar_pad(b);
}

static inline void
tar_end(struct buf *b)
{
	static const char zeros[1024];

	(void)buf_add(b, zeros, sizeof(zeros));
}

#endif
