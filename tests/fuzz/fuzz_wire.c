/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_wire - the decoder, for every record: the first byte says which, the rest is the message. What it
 * takes must encode, and come back the same.
 */
#include "bus/wire/wire.h"
#include "lib/base/auto.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/records.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct schema *s = all_records[n == 0 ? 0 : data[0] % COUNT(all_records)];
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(buf_free) struct buf one = BUF_ZERO;
	AUTO(buf_free) struct buf two = BUF_ZERO;
	void *rec = arena_calloc(&a, 1, s->size);
	struct err e = ERR_ZERO;

	if (n == 0)
		return 0;
	if (wire_decode(s, data + 1, n - 1, &a, rec, &e) < 0) {
		MUST(e.code == ERR_INVALID_ARGUMENT && e.msg[0] != '\0');
		return 0;
	}
	MUST(wire_encode(s, rec, &one, &e) == 0);
	MUST(wire_decode(s, one.data, one.len, &a, rec, &e) == 0);
	MUST(wire_encode(s, rec, &two, &e) == 0);
	MUST(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
	return 0;
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	uint64_t random_state = 3;

	_Static_assert(COUNT(all_records) < 256, "one byte says which record");
	for (unsigned i = 0; i < COUNT(all_records); i++) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		AUTO(buf_free) struct buf least = BUF_ZERO;
		AUTO(buf_free) struct buf full = BUF_ZERO;
		void *rec = arena_calloc(&a, 1, all_records[i]->size);
		struct err e = ERR_ZERO;

		pack_byte(&least, (uint8_t)i);
		pack_record(&least, all_records[i], NULL, NULL);
		seed(arg, least.data, least.len);
		records_fill(&random_state, &a, all_records[i], rec, 3);
		pack_byte(&full, (uint8_t)i);
		MUST(wire_encode(all_records[i], rec, &full, &e) == 0);
		seed(arg, full.data, full.len);
	}
}
