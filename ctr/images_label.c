/* SPDX-License-Identifier: Apache-2.0 */
/* images_label - show and change the labels of an image. */
#include "ctr/ctr.h"
#include "ctr/labels.h"
#include "lib/base/auto.h"

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
		if ((r = labels_read(&words, all, &a, &req.labels, &req.fields, e)) < 0 ||
		    (r = ctr_call(c, &content_image_update_method, &req, &a, &image, e)) < 0)
			return r;
	}
	labels_print(&image.labels);
	return 0;
}
