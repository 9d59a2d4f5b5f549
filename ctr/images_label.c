/* SPDX-License-Identifier: Apache-2.0 */
/* images_label - show and change the labels of an image. */
#include <string.h>

#include "ctr/ctr.h"
#include "ctr/text.h"
#include "lib/base/auto.h"

static void
labels_print(const struct kvs *labels)
{
	for (uint32_t i = 0; i < labels->n; i++) {
		AUTO(buf_free) struct buf line = BUF_ZERO;

		(void)buf_addf(&line, "%s=%s", labels->v[i].k, labels->v[i].v);
		text_print(stdout, buf_str(&line));
	}
}

/* KEY=VALUE, KEY= (removes) and, as containerd's ctr takes it, KEY alone for KEY=true. */
static int
labels_read(const struct strs *words, bool all, struct arena *a, struct image_update_req *req,
    struct err *e)
{
	const char **fields = arena_calloc(a, words->n + 1, sizeof(*fields));
	int r = ctr_map("label", *words, a, &req->labels, e);

	for (uint32_t i = 0; r == 0 && i < words->n; i++) {
		if (strchr(words->v[i], '=') == NULL)
			req->labels.v[i].v = "true";
		fields[i] = arena_printf(a, "labels.%s", req->labels.v[i].k);
	}
	if (all)
		fields[0] = "labels";
	req->fields = (struct strs){ fields, all ? 1 : words->n };
	return r;
}

int
images_label(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct image_get_req get = { .ref = o->args.v[0] };
	const struct strs words = { o->args.v + 1, o->args.n - 1 };
	bool all = opts_flag(o, "replace-all");
	struct image_update_req req = { .name = NULL };
	struct image_get_rep got;
	struct image image;
	int r = ctr_call(c, &content_image_get_method, &get, &a, &got, e);

	if (r < 0)
		return r;
	image = *got.image;
	if (words.n > 0 || all) {
		req.name = got.image->name;
		if ((r = labels_read(&words, all, &a, &req, e)) < 0 ||
		    (r = ctr_call(c, &content_image_update_method, &req, &a, &image, e)) < 0)
			return r;
	}
	labels_print(&image.labels);
	return 0;
}
