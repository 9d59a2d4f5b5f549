/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images_check - is all of an image here, and is it unpacked?
 *
 * Looked at is what the platforms asked for need; when none is, the platform that was pulled. That bytes
 * are what their digests say is `content verify`'s to say.
 */
#include <string.h>

#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "ctr/tree.h"
#include "lib/base/auto.h"

struct checked {
	const struct image *image;
	unsigned parts, here, manifests, unpacked;
	uint64_t size;	    /* of what is here */
	struct buf missing; /* a line each */
};

struct checking {
	struct ctr *c;
	const struct opts *o;
	struct here here;
	struct wanted wanted;
	struct arena a;
	struct checked *v;
	uint32_t n;
};

static void
missing_add(struct checked *k, const struct node *n, const char *what)
{
	(void)buf_addf(&k->missing, "%s %s %s\n", node_kinds[n->kind], n->desc.digest.text, what);
}

static bool
layers_unpacked(const struct node *manifest)
{
	for (size_t i = 1; i < manifest->n; i++)
		if (!manifest->v[i].unpacked)
			return false;
	return manifest->n > 0 && manifest->v[0].here;
}

static int
node_count(void *arg, const struct node *n)
{
	struct checked *k = arg;

	if (!n->wanted)
		return 0;
	k->parts++;
	if (n->here && n->damage == NULL) {
		k->here++;
		k->size += n->desc.size;
	} else {
		missing_add(k, n, n->here ? n->damage : "is missing");
	}
	if (n->kind == NODE_MANIFEST) {
		k->manifests++;
		k->unpacked += layers_unpacked(n);
	}
	return 0;
}

static int
check_one(struct checking *x, struct checked *k, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct platform pulled;
	struct wanted own = x->wanted;
	struct err ignored = ERR_ZERO; /* then the host's */
	struct oci_desc target = { .size = k->image->target->size };
	struct node *tree;
	int r = digest_parse(k->image->target->digest, &target.digest, e);

	if (!own.given && k->image->platform != NULL &&
	    platform_parse(k->image->platform, &pulled, &ignored) == 0)
		own.v = &pulled;
	(void)snprintf(
	    target.media_type, sizeof(target.media_type), "%s", k->image->target->media_type);
	if (r < 0 || (r = tree_build(&x->here, &target, &own, &a, &tree, e)) < 0)
		return err_wrap(e, "image %s", k->image->name);
	(void)tree_each(tree, node_count, k);
	return 0;
}

/* --- which ---------------------------------------------------------------------------------------- */

static bool
is_filter(const char *word)
{
	return strstr(word, "==") != NULL || strstr(word, "!=") != NULL ||
	       strstr(word, "~=") != NULL;
}

static int
images_add(struct checking *x, const struct image *v, uint32_t n)
{
	struct checked *all = arena_calloc(&x->a, x->n + n + 1, sizeof(*all));

	if (x->n > 0)
		memcpy(all, x->v, x->n * sizeof(*all));
	for (uint32_t i = 0; i < n; i++)
		all[x->n + i].image = &v[i];
	x->v = all;
	x->n += n;
	return 0;
}

/* Words are names, or filters when there is an operator in them; none: all images. */
static int
images_choose(struct checking *x, struct err *e)
{
	const char **filters = arena_calloc(&x->a, x->o->args.n + 1, sizeof(*filters));
	struct image_list_req req = { .filters = { .v = filters } };
	struct list l;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < x->o->args.n; i++) {
		const char *word = x->o->args.v[i];
		const struct image_get_req get = { .ref = word };
		struct image_get_rep rep;

		if (is_filter(word))
			filters[req.filters.n++] = word;
		else if ((r = ctr_call(x->c, &content_image_get_method, &get, &x->a, &rep, e)) == 0)
			r = images_add(x, rep.image, 1);
	}
	if (r < 0 || (x->o->args.n > 0 && req.filters.n == 0))
		return r;
	r = list_fetch(x->c, &content_image_list_method, &req, &x->a, &l, e);
	return r < 0 ? r : images_add(x, l.v, l.n);
}

/* --- showing -------------------------------------------------------------------------------------- */

static bool
is_whole(const struct checked *k)
{
	return k->here == k->parts;
}

static bool
is_unpacked(const struct checked *k)
{
	return k->manifests > 0 && k->unpacked == k->manifests;
}

static void
table_print_all(const struct checking *x)
{
	static const char *const heads[] = { "REF", "DIGEST", "STATUS", "SIZE", "UNPACKED" };
	AUTO(table_free) struct table t;
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), 1);
	for (uint32_t i = 0; i < x->n; i++) {
		const struct checked *k = &x->v[i];

		table_cell(&t, k->image->name);
		table_cell(&t, k->image->target->digest);
		table_cellf(
		    &t, "%s (%u/%u)", is_whole(k) ? "complete" : "incomplete", k->here, k->parts);
		table_cell(&t, text_size(k->size, text));
		table_cell(&t, is_unpacked(k) ? "yes" : "no");
	}
	table_show(&t);
}

static json_t *
missing_json(const struct checked *k)
{
	json_t *v = json_array();

	for (const char *at = buf_str(&k->missing), *end; *at != '\0'; at = end + 1) {
		AUTO(free_ptr) char *line = NULL;

		end = strchr(at, '\n');
		line = xasprintf("%.*s", (int)(end - at), at);
		(void)json_array_append_new(v, render_json_text(line));
	}
	return v;
}

static void
json_print_all(const struct checking *x)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < x->n; i++) {
		const struct checked *k = &x->v[i];
		json_t *v = json_object();

		(void)json_object_set_new(v, "name", render_json_text(k->image->name));
		(void)json_object_set_new(v, "digest", render_json_text(k->image->target->digest));
		(void)json_object_set_new(v, "complete", json_boolean(is_whole(k)));
		(void)json_object_set_new(v, "parts", json_integer(k->parts));
		(void)json_object_set_new(v, "present", json_integer(k->here));
		(void)json_object_set_new(v, "size", json_integer((json_int_t)k->size));
		(void)json_object_set_new(v, "unpacked", json_boolean(is_unpacked(k)));
		(void)json_object_set_new(v, "missing", missing_json(k));
		(void)json_array_append_new(all, v);
	}
	render_json_print(all, stdout, false);
}

/* A line for each part that is missing. Returns the exit status. */
static int
complain(struct checking *x)
{
	int status = 0;

	(void)fflush(stdout);
	for (uint32_t i = 0; i < x->n; i++)
		for (const char *at = buf_str(&x->v[i].missing), *end; *at != '\0'; at = end + 1) {
			struct err e = ERR_ZERO;

			end = strchr(at, '\n');
			(void)err_set(&e, ERR_NOT_FOUND, "%.200s: %.*s", x->v[i].image->name,
			    (int)(end - at), at);
			status = ctr_complain(x->c, &e);
		}
	return status;
}

static int
check_all(struct checking *x, struct err *e)
{
	bool json;
	int r = ctr_format(x->o, &json, e);

	if (r < 0 || (r = wanted_read(x->o, &x->wanted, e)) < 0 || (r = images_choose(x, e)) < 0 ||
	    (r = here_open(&x->here, x->c, x->n > 20, e)) < 0)
		return r;
	for (uint32_t i = 0; i < x->n; i++)
		if ((r = check_one(x, &x->v[i], e)) < 0)
			return r;
	if (opts_flag(x->o, "quiet")) {
		for (uint32_t i = 0; i < x->n; i++)
			if (is_whole(&x->v[i]) && is_unpacked(&x->v[i]))
				text_print(stdout, x->v[i].image->name);
	} else if (json) {
		json_print_all(x);
	} else {
		table_print_all(x);
	}
	return complain(x);
}

int
images_check(struct ctr *c, const struct opts *o, struct err *e)
{
	struct checking x = { .c = c, .o = o };
	int r = check_all(&x, e);

	for (uint32_t i = 0; i < x.n; i++)
		buf_free(&x.v[i].missing);
	wanted_free(&x.wanted);
	here_close(&x.here);
	arena_free(&x.a);
	return r;
}
