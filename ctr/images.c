/* SPDX-License-Identifier: Apache-2.0 */
/* images - list, info, remove, tag. */
#include <string.h>

#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"

/* --- list ----------------------------------------------------------------------------------------- */

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "REF", "DIGEST", "SIZE", "PLATFORM", "CREATED" };
	AUTO(table_free) struct table t;
	const struct image *images = l->v;
	int64_t now = clock_real_ns();
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), 1);
	for (uint32_t i = 0; i < l->n; i++) {
		const struct image *im = &images[i];

		table_cell(&t, im->name);
		table_cell(&t, im->target->digest);
		table_cell(&t, im->size == 0 ? NULL : text_size(im->size, text));
		table_cell(&t, im->platform);
		table_cell(&t, text_age(im->updated_at, now, text));
	}
	table_show(&t);
}

int
images_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct image_list_req req = { .after = NULL };

	return list_show(c, o, &content_image_list_method, &req, list_table, e);
}

/* --- info, remove, tag ---------------------------------------------------------------------------- */

int
images_info(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct image_get_req get = { .ref = o->args.v[0] };
	struct image_resolve_req resolve = { .ref = o->args.v[0],
		.platform = opts_text(o, "platform") };
	struct image_get_rep got;
	struct image_resolve_rep rep;
	json_t *v, *more;
	int r = ctr_call(c, &content_image_get_method, &get, &a, &got, e);

	if (r == 0)
		r = ctr_call(c, &content_image_resolve_method, &resolve, &a, &rep, e);
	if (r < 0)
		return r;
	v = render_json(&image_schema, got.image);
	more = render_json(&image_resolve_rep_schema, &rep);
	(void)json_object_del(more, "name");
	MUST(json_object_update(v, more) == 0);
	json_decref(more);
	render_json_print(v, stdout, false);
	return 0;
}

static int
remove_one(struct ctr *c, const struct opts *o, const char *word, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct image_remove_req req = {
		.ref = word, .force = opts_flag(o, "force"), .sync = !opts_flag(o, "async")
	};
	struct image_remove_rep rep;
	int r = ctr_call(c, &content_image_remove_method, &req, &a, &rep, e);

	if (r == 0)
		text_print(stdout, rep.name);
	return r;
}

int
images_remove(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, remove_one, false);
}

int
images_tag(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;

	for (uint32_t i = 1; i < o->args.n; i++) {
		const struct image_tag_req req = {
			.ref = o->args.v[0], .name = o->args.v[i], .force = opts_flag(o, "force")
		};
		struct image_get_rep rep;
		int r = ctr_call(c, &content_image_tag_method, &req, &a, &rep, e);

		if (r < 0)
			return r;
		text_print(stdout, rep.image->name);
	}
	return 0;
}
