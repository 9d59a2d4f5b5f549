/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_toml - the configuration reader. */
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "lib/base/toml.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct toml t = { .nvalues = 0 };
	struct err e = ERR_ZERO;

	if (toml_parse((const char *)data, n, "fuzz.toml", &a, &t, &e) < 0) {
		MUST(e.code != ERR_NONE && strncmp(e.msg, "fuzz.toml", 9) == 0);
		return 0;
	}
	for (unsigned i = 0; i < t.nvalues; i++) {
		MUST(t.values[i].table != NULL && t.values[i].key[0] != '\0');
		MUST(t.values[i].kind != TOML_STRING || t.values[i].string != NULL);
		MUST(t.values[i].line >= 1);
	}
	return 0;
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	static const char *const texts[] = { "root = \"/var/lib/coffer\"\nstate = '/run/coffer'\n",
		"# c\n[content]\nmax-downloads = 0x10\n\"quoted key\".x = true\n",
		"[events]\r\njournal-events = 100_000\r\n[a.b]\nlist = [ \"a\", # x\n 'b',\n]\n",
		"x = \"\\u00e4\\U0001F600\\t\\\\\"\ny = -0b101\nz = 0o17\n" };

	for (size_t i = 0; i < COUNT(texts); i++)
		seed(arg, texts[i], strlen(texts[i]));
}
