/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images_usage - what images take on disk: their blobs and their unpacked layers, and how much of that
 * other images need as well. All that is here counts, of every platform.
 */
#include <stdlib.h>
#include <string.h>

#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "ctr/tree.h"
#include "lib/base/auto.h"

/* A blob or a layer of an image. */
struct part {
	const char *id;
	uint32_t image;
	bool layer;
	uint64_t size;
};

struct used {
	const struct image *image;
	uint64_t content, snapshots, shared;
};

struct using
{
	struct ctr *c;
	struct here here;
	struct arena a;
	struct used *v;
	uint32_t n, at;
	struct part *parts;
	size_t nparts, room;
	struct used all; /* each thing once */
};

static void
part_add(struct using *u, const char *id, bool layer, uint64_t size)
{
	if (u->nparts == u->room) {
		u->room = u->room == 0 ? 1024 : 2 * u->room;
		u->parts = xrealloc(u->parts, u->room * sizeof(*u->parts));
	}
	u->parts[u->nparts++] = (struct part){
		.id = arena_strdup(&u->a, id), .image = u->at, .layer = layer, .size = size
	};
}

static int
node_add(void *arg, const struct node *n)
{
	struct using *u = arg;

	if (n->here)
		part_add(u, n->desc.digest.text, false, n->desc.size);
	if (n->unpacked)
		part_add(u, n->chain_id, true, n->unpacked_size);
	return 0;
}

static int
image_add(struct using *u, const struct image *im, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct wanted every = { .all = true };
	struct oci_desc target = { .size = im->target->size };
	struct node *tree;
	int r = digest_parse(im->target->digest, &target.digest, e);

	(void)snprintf(target.media_type, sizeof(target.media_type), "%s", im->target->media_type);
	if (r < 0 || (r = tree_build(&u->here, &target, &every, &a, &tree, e)) < 0)
		return err_wrap(e, "image %s", im->name);
	(void)tree_each(tree, node_add, u);
	return 0;
}

static int
by_id(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	int r = strcmp(x->id, y->id);

	if (r == 0)
		r = (int)x->layer - (int)y->layer;
	return r != 0 ? r : x->image < y->image ? -1 : x->image > y->image;
}

static bool
same_thing(const struct part *a, const struct part *b)
{
	return a->layer == b->layer && strcmp(a->id, b->id) == 0;
}

/* One thing: the parts from at to end, which may name an image twice. */
static void
thing_count(struct using *u, size_t at, size_t end)
{
	bool shared = u->parts[at].image != u->parts[end - 1].image;

	for (size_t i = at; i < end; i++) {
		const struct part *p = &u->parts[i];
		struct used *of = &u->v[p->image];

		if (i > at && u->parts[i - 1].image == p->image)
			continue;
		*(p->layer ? &of->snapshots : &of->content) += p->size;
		of->shared += shared ? p->size : 0;
	}
	*(u->parts[at].layer ? &u->all.snapshots : &u->all.content) += u->parts[at].size;
	u->all.shared += shared ? u->parts[at].size : 0;
}

static int
usage_read(struct using *u, struct err *e)
{
	struct image_list_req req = { .after = NULL };
	const struct image *images;
	struct list l;
	int r = here_open(&u->here, u->c, true, e);

	if (r < 0 || (r = list_fetch(u->c, &content_image_list_method, &req, &u->a, &l, e)) < 0)
		return r;
	images = l.v;
	u->v = arena_calloc(&u->a, l.n + 1, sizeof(*u->v));
	for (u->n = l.n; u->at < l.n; u->at++) {
		u->v[u->at].image = &images[u->at];
		if ((r = image_add(u, &images[u->at], e)) < 0)
			return r;
	}
	if (u->nparts > 0)
		qsort(u->parts, u->nparts, sizeof(*u->parts), by_id);
	for (size_t at = 0, end; at < u->nparts; at = end) {
		for (end = at + 1; end < u->nparts && same_thing(&u->parts[at], &u->parts[end]);)
			end++;
		thing_count(u, at, end);
	}
	return 0;
}

/* --- showing -------------------------------------------------------------------------------------- */

static void
used_row(struct table *t, const char *name, const struct used *u)
{
	char text[TEXT_NUMBER_MAX];

	table_cell(t, name);
	table_cell(t, text_size(u->content, text));
	table_cell(t, text_size(u->snapshots, text));
	table_cell(t, text_size(u->shared, text));
	table_cell(t, text_size(u->content + u->snapshots - u->shared, text));
}

static json_t *
used_json(const struct used *u)
{
	json_t *v = json_object();

	(void)json_object_set_new(v, "name", render_json_text(u->image->name));
	(void)json_object_set_new(v, "content", json_integer((json_int_t)u->content));
	(void)json_object_set_new(v, "snapshots", json_integer((json_int_t)u->snapshots));
	(void)json_object_set_new(v, "shared", json_integer((json_int_t)u->shared));
	(void)json_object_set_new(
	    v, "unique", json_integer((json_int_t)(u->content + u->snapshots - u->shared)));
	return v;
}

static void
show(const struct using *u, const struct used *const *v, uint32_t n, bool json)
{
	static const char *const heads[] = { "REF", "CONTENT", "SNAPSHOTS", "SHARED", "UNIQUE" };
	AUTO(table_free) struct table t;
	json_t *all;

	table_init(&t, heads, COUNT(heads), -1);
	if (json) {
		all = json_array();
		for (uint32_t i = 0; i < n; i++)
			(void)json_array_append_new(all, used_json(v[i]));
		render_json_print(all, stdout, false);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		used_row(&t, v[i]->image->name, v[i]);
	if (n == u->n)
		used_row(&t, "all, each thing once", &u->all);
	table_show(&t);
}

/* The rows of the images that the words name; all without words. */
static int
rows_choose(
    struct using *u, const struct opts *o, const struct used **v, uint32_t *n, struct err *e)
{
	*n = 0;
	for (uint32_t i = 0; o->args.n == 0 && i < u->n; i++)
		v[(*n)++] = &u->v[i];
	for (uint32_t w = 0; w < o->args.n; w++) {
		const struct image_get_req get = { .ref = o->args.v[w] };
		struct image_get_rep rep;
		int r = ctr_call(u->c, &content_image_get_method, &get, &u->a, &rep, e);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < u->n; i++)
			if (strcmp(u->v[i].image->name, rep.image->name) == 0)
				v[(*n)++] = &u->v[i];
	}
	return 0;
}

int
images_usage(struct ctr *c, const struct opts *o, struct err *e)
{
	struct using u = { .c = c };
	const struct used **v;
	uint32_t n;
	bool json;
	int r = ctr_format(o, &json, e);

	if (r == 0)
		r = usage_read(&u, e);
	if (r == 0) {
		v = arena_calloc(&u.a, u.n + o->args.n + 1, sizeof(*v));
		r = rows_choose(&u, o, v, &n, e);
		if (r == 0)
			show(&u, v, n, json);
	}
	free(u.parts);
	here_close(&u.here);
	arena_free(&u.a);
	return r;
}
