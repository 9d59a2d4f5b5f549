/* SPDX-License-Identifier: Apache-2.0 */
/* labels - see labels.h */
#include "ctr/labels.h"

#include <stdio.h>
#include <string.h>

#include "ctr/ctr.h"
#include "ctr/text.h"
#include "lib/base/auto.h"

void
labels_print(const struct kvs *labels)
{
	for (uint32_t i = 0; i < labels->n; i++) {
		AUTO(buf_free) struct buf line = BUF_ZERO;

		(void)buf_addf(&line, "%s=%s", labels->v[i].k, labels->v[i].v);
		text_print(stdout, buf_str(&line));
	}
}

int
labels_read(const struct strs *words, bool all, struct arena *a, struct kvs *ret_labels,
    struct strs *ret_fields, struct err *e)
{
	const char **fields = arena_calloc(a, words->n + 1, sizeof(*fields));
	int r = ctr_map("label", *words, a, ret_labels, e);

	for (uint32_t i = 0; r == 0 && i < words->n; i++) {
		if (strchr(words->v[i], '=') == NULL)
			ret_labels->v[i].v = "true";
		fields[i] = arena_printf(a, "labels.%s", ret_labels->v[i].k);
	}
	if (all)
		fields[0] = "labels";
	*ret_fields = (struct strs){ fields, all ? 1 : words->n };
	return r;
}
