/* SPDX-License-Identifier: Apache-2.0 */
/* gc - collect garbage now, and say what went. */
#include <inttypes.h>

#include "ctr/ctr.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"

static void
line(uint64_t n, const char *what)
{
	if (n > 0)
		(void)printf("%" PRIu64 " %s%s removed\n", n, what, n > 1 ? "s" : "");
}

int
gc_collect(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct nothing req = {};
	char text[TEXT_NUMBER_MAX];
	struct gc_run_rep rep;
	bool json = false;
	int r = ctr_format(o, &json, e);

	if (r == 0)
		r = ctr_call(c, &content_gc_run_method, &req, &a, &rep, e);
	if (r < 0)
		return r;
	if (json) {
		render_json_print(render_json(&gc_run_rep_schema, &rep), stdout, false);
		return 0;
	}
	line(rep.images, "image");
	line(rep.blobs, "blob");
	line(rep.snapshots, "snapshot");
	line(rep.ingests, "ingest");
	line(rep.leases, "lease");
	(void)printf("%s won in %" PRIu64 ".%03" PRIu64 " s\n", text_size(rep.bytes, text),
	    rep.took_ns / 1000000000, rep.took_ns / 1000000 % 1000);
	return 0;
}
