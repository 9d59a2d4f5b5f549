/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest - see digest.h.
 *
 * Hashing is libcrypto's, which uses the CPU's SHA instructions: its SHA functions alone, linked in (module.mk).
 * By way of EVP every program that has to do with digests would load the whole library at its start, which
 * costs ctr a millisecond and a worker at rest its memory.
 */
#define OPENSSL_API_COMPAT 10101 /* where these are not deprecated in favour of EVP */
#include "lib/oci/digest.h"

#include <openssl/sha.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"

struct hasher {
	enum digest_alg alg;
	union {
		SHA256_CTX sha256;
		SHA512_CTX sha512;
	} u;
};

static const struct {
	const char *prefix;
	size_t prefix_len, hex_len;
} algs[] = {
	[DIGEST_SHA256] = { "sha256:", 7, 64 },
	[DIGEST_SHA512] = { "sha512:", 7, 128 },
};

static int
digest_bad(const char *text, const char *why, struct err *e)
{
	char show[96];

	return err_set(e, ERR_INVALID_ARGUMENT, "digest \"%s\" is not valid: %s",
	    ident_show(text, show, sizeof(show)), why);
}

int
digest_parse(const char *text, struct digest *ret, struct err *e)
{
	for (size_t i = 0; i < COUNT(algs); i++) {
		const char *hex = text + algs[i].prefix_len;
		size_t n;

		if (strncmp(text, algs[i].prefix, algs[i].prefix_len) != 0)
			continue;
		n = strspn(hex, "0123456789abcdef");
		if (hex[n] != '\0')
			return digest_bad(
			    text, "only the digits 0-9 and a-f may follow the ':'", e);
		if (n != algs[i].hex_len)
			return digest_bad(text,
			    algs[i].hex_len == 64 ? "sha256 has 64 hex digits"
						  : "sha512 has 128 hex digits",
			    e);
		ret->alg = (enum digest_alg)i;
		memcpy(ret->text, text, algs[i].prefix_len + n + 1);
		return 0;
	}
	return digest_bad(text, "it must start with sha256: or sha512:", e);
}

const char *
digest_hex(const struct digest *d)
{
	return d->text + algs[d->alg].prefix_len;
}

const char *
digest_alg_name(const struct digest *d)
{
	return d->alg == DIGEST_SHA256 ? "sha256" : "sha512";
}

bool
digest_equal(const struct digest *a, const struct digest *b)
{
	return strcmp(a->text, b->text) == 0;
}

static void
digest_format(enum digest_alg alg, const unsigned char *raw, struct digest *ret)
{
	static const char digits[] = "0123456789abcdef";
	char *to = ret->text + algs[alg].prefix_len;

	ret->alg = alg;
	memcpy(ret->text, algs[alg].prefix, algs[alg].prefix_len);
	for (size_t i = 0; i < algs[alg].hex_len / 2; i++) {
		*to++ = digits[raw[i] >> 4];
		*to++ = digits[raw[i] & 15];
	}
	*to = '\0';
}

void
digest_of(enum digest_alg alg, const void *p, size_t n, struct digest *ret)
{
	struct hasher h = { .alg = alg };

	hasher_reset(&h);
	hasher_add(&h, p, n);
	hasher_digest(&h, ret);
}

struct hasher *
hasher_new(enum digest_alg alg)
{
	struct hasher *h = xcalloc(1, sizeof(*h));

	h->alg = alg;
	hasher_reset(h);
	return h;
}

void
hasher_add(struct hasher *h, const void *p, size_t n)
{
	/* What libcrypto answers in these calls is 1, always. */
	if (h->alg == DIGEST_SHA256)
		(void)SHA256_Update(&h->u.sha256, p, n);
	else
		(void)SHA512_Update(&h->u.sha512, p, n);
}

void
hasher_digest(const struct hasher *h, struct digest *ret)
{
	unsigned char raw[SHA512_DIGEST_LENGTH];
	struct hasher copy = *h;

	if (h->alg == DIGEST_SHA256)
		(void)SHA256_Final(raw, &copy.u.sha256);
	else
		(void)SHA512_Final(raw, &copy.u.sha512);
	digest_format(h->alg, raw, ret);
}

void
hasher_reset(struct hasher *h)
{
	if (h->alg == DIGEST_SHA256)
		(void)SHA256_Init(&h->u.sha256);
	else
		(void)SHA512_Init(&h->u.sha512);
}

void
hasher_free(struct hasher **hp)
{
	free_ptr(hp);
}
