/* SPDX-License-Identifier: Apache-2.0 */
/* digest - see digest.h. Hashing is libcrypto's, which uses the CPU's SHA instructions. */
#include "lib/oci/digest.h"

#include <openssl/evp.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"

struct hasher {
	enum digest_alg alg;
	EVP_MD_CTX *ctx;
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

static const EVP_MD *
alg_md(enum digest_alg alg)
{
	return alg == DIGEST_SHA256 ? EVP_sha256() : EVP_sha512();
}

static void
digest_format(enum digest_alg alg, const unsigned char *raw, unsigned n, struct digest *ret)
{
	static const char digits[] = "0123456789abcdef";
	char *to = ret->text + algs[alg].prefix_len;

	MUST(2 * n == algs[alg].hex_len);
	ret->alg = alg;
	memcpy(ret->text, algs[alg].prefix, algs[alg].prefix_len);
	for (unsigned i = 0; i < n; i++) {
		*to++ = digits[raw[i] >> 4];
		*to++ = digits[raw[i] & 15];
	}
	*to = '\0';
}

void
digest_of(enum digest_alg alg, const void *p, size_t n, struct digest *ret)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	MUST(EVP_Digest(p, n, raw, &len, alg_md(alg), NULL) == 1);
	digest_format(alg, raw, len, ret);
}

struct hasher *
hasher_new(enum digest_alg alg)
{
	struct hasher *h = xcalloc(1, sizeof(*h));

	h->alg = alg;
	h->ctx = EVP_MD_CTX_new();
	MUST(h->ctx != NULL);
	hasher_reset(h);
	return h;
}

void
hasher_add(struct hasher *h, const void *p, size_t n)
{
	MUST(EVP_DigestUpdate(h->ctx, p, n) == 1);
}

void
hasher_digest(const struct hasher *h, struct digest *ret)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	EVP_MD_CTX *copy = EVP_MD_CTX_new();

	MUST(copy != NULL && EVP_MD_CTX_copy_ex(copy, h->ctx) == 1);
	MUST(EVP_DigestFinal_ex(copy, raw, &len) == 1);
	EVP_MD_CTX_free(copy);
	digest_format(h->alg, raw, len, ret);
}

void
hasher_reset(struct hasher *h)
{
	MUST(EVP_DigestInit_ex(h->ctx, alg_md(h->alg), NULL) == 1);
}

void
hasher_free(struct hasher **hp)
{
	struct hasher *h = *hp;

	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	free_ptr(hp);
}
