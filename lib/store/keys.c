/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys - keys of tables: bytes that sort as the names or numbers they stand for.
 *
 * A key of STORE_KEY_MAX bytes is always a cut one (the start of the text and its SHA-256), any shorter
 * one is the text itself, so no name can be made up that meets the key of another.
 */
#include "lib/store/private.h"

#include <sodium.h>
#include <string.h>

#define TAIL crypto_hash_sha256_BYTES

_Static_assert(STORE_KEY_MAX > 2 * TAIL, "a cut key keeps a readable start");

/* Makes a key of ns (when not NULL, with a NUL byte behind it) and text. */
static void
key_make(struct key *k, const char *ns, const char *text)
{
	size_t nns = ns == NULL ? 0 : strlen(ns) + 1, ntext = strlen(text);
	crypto_hash_sha256_state hash;

	if (nns + ntext < STORE_KEY_MAX) {
		if (nns > 0)
			memcpy(k->p, ns, nns);
		memcpy(k->p + nns, text, ntext);
		k->n = nns + ntext;
		return;
	}
	(void)crypto_hash_sha256_init(&hash); /* these three cannot fail */
	(void)crypto_hash_sha256_update(&hash, (const unsigned char *)ns, nns);
	(void)crypto_hash_sha256_update(&hash, (const unsigned char *)text, ntext);
	(void)crypto_hash_sha256_final(&hash, (unsigned char *)k->p + STORE_KEY_MAX - TAIL);
	for (size_t i = 0; i < STORE_KEY_MAX - TAIL; i++)
		k->p[i] = i < nns ? ns[i] : text[i - nns];
	k->n = STORE_KEY_MAX;
}

void
store_key(struct key *k, const char *ns, const char *name)
{
	key_make(k, ns, name);
}

void
store_key_text(struct key *k, const char *text)
{
	key_make(k, NULL, text);
}

void
u64_put(unsigned char to[8], uint64_t number)
{
	for (int i = 7; i >= 0; i--) {
		to[i] = (unsigned char)number;
		number >>= 8;
	}
}

uint64_t
u64_get(const unsigned char from[8])
{
	uint64_t number = 0;

	for (int i = 0; i < 8; i++)
		number = number << 8 | from[i];
	return number;
}

void
store_key_u64(struct key *k, uint64_t number)
{
	u64_put((unsigned char *)k->p, number);
	k->n = 8;
}

uint64_t
store_key_to_u64(const struct key *k)
{
	MUST(k->n == 8);
	return u64_get((const unsigned char *)k->p);
}
