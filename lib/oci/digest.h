/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest - "sha256:<64 hex>" and "sha512:<128 hex>": checked, made and compared.
 *
 * A struct digest only ever holds a text that digest_parse accepted or digest_of made: lower-case hex
 * of the right length behind a known algorithm. So its hex is safe as one path component, and no path
 * is made from a digest that was not parsed first.
 */
#ifndef CF_OCI_DIGEST_H
#define CF_OCI_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

enum digest_alg { DIGEST_SHA256, DIGEST_SHA512 };

#define DIGEST_TEXT_MAX 136 /* "sha512:", 128 hex digits, NUL */

struct digest {
	enum digest_alg alg;
	char text[DIGEST_TEXT_MAX];
};

/* invalid_argument says what is wrong; the text is shown escaped and cut. */
int digest_parse(const char *text, struct digest *ret, struct err *e);

/* The part behind the colon. */
const char *digest_hex(const struct digest *d);
/* "sha256" or "sha512". */
const char *digest_alg_name(const struct digest *d);
bool digest_equal(const struct digest *a, const struct digest *b);

/* Digest of n bytes. */
void digest_of(enum digest_alg alg, const void *p, size_t n, struct digest *ret);

/* Incremental. Aborts only when libcrypto has no memory or no SHA-2. */
struct hasher;
struct hasher *hasher_new(enum digest_alg alg);
void hasher_add(struct hasher *h, const void *p, size_t n);
/* Digest of what was added so far; more may be added after it. */
void hasher_digest(const struct hasher *h, struct digest *ret);
/* Forgets what was added. */
void hasher_reset(struct hasher *h);
void hasher_free(struct hasher **h);

#endif
