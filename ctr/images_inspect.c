/* SPDX-License-Identifier: Apache-2.0 */
/* images_inspect - an image as the tree that it is: index, manifests, configs, layers. */
#include <string.h>

#include "ctr/render.h"
#include "ctr/text.h"
#include "ctr/tree.h"
#include "lib/base/auto.h"

/* --- for people ----------------------------------------------------------------------------------- */

struct drawing {
	bool content;
	char lead[128]; /* what stands left of a line: a level takes at most ten bytes */
};

static void
line_print(const struct drawing *d, const char *branch, const char *text)
{
	AUTO(buf_free) struct buf line = BUF_ZERO;

	(void)buf_addf(&line, "%s%s%s", d->lead, branch, text);
	text_print(stdout, buf_str(&line));
}

static const char *
state_of(const struct node *n)
{
	if (!n->here)
		return n->unpacked ? "  missing, unpacked" : "  missing";
	return n->unpacked ? "  unpacked" : "";
}

static void
node_line(const struct drawing *d, const struct node *n, const char *branch)
{
	AUTO(buf_free) struct buf line = BUF_ZERO;
	char size[TEXT_NUMBER_MAX];

	(void)buf_addf(&line, "%s %s  %s  ", node_kinds[n->kind], n->desc.digest.text,
	    text_size(n->desc.size, size));
	if (n->platform != NULL)
		(void)buf_addf(&line, "%s  ", n->platform);
	(void)buf_addf(&line, "%s%s", n->desc.media_type, state_of(n));
	if (n->damage != NULL)
		(void)buf_addf(&line, "  damaged: %s", n->damage);
	line_print(d, branch, buf_str(&line));
}

/* The document, indented, below its node. */
static void
content_print(const struct drawing *d, const struct node *n)
{
	AUTO(free_ptr) char *text = NULL;
	json_t *v;

	if (!d->content || n->text == NULL)
		return;
	v = render_json_document(n->text, strlen(n->text));
	text = json_dumps(v, JSON_INDENT(2) | JSON_ENCODE_ANY);
	json_decref(v);
	for (char *at = text, *end; at != NULL; at = end) {
		end = strchr(at, '\n');
		if (end != NULL)
			*end++ = '\0';
		line_print(d, n->n > 0 ? "│ " : "  ", at);
	}
}

static void
tree_print(struct drawing *d, const struct node *n, bool last)
{
	size_t lead = strlen(d->lead);

	node_line(d, n, last ? "└── " : "├── ");
	(void)snprintf(d->lead + lead, sizeof(d->lead) - lead, "%s", last ? "    " : "│   ");
	content_print(d, n);
	for (size_t i = 0; i < n->n; i++)
		tree_print(d, &n->v[i], i + 1 == n->n);
	d->lead[lead] = '\0';
}

/* --- for programs --------------------------------------------------------------------------------- */

static json_t *
tree_json(const struct node *n, bool content)
{
	json_t *v = json_object(), *children = json_array();

	(void)json_object_set_new(v, "kind", json_string(node_kinds[n->kind]));
	(void)json_object_set_new(v, "media_type", render_json_text(n->desc.media_type));
	(void)json_object_set_new(v, "digest", json_string(n->desc.digest.text));
	(void)json_object_set_new(v, "size", json_integer((json_int_t)n->desc.size));
	(void)json_object_set_new(v, "present", json_boolean(n->here));
	if (n->platform != NULL)
		(void)json_object_set_new(v, "platform", render_json_text(n->platform));
	if (n->chain_id != NULL) {
		(void)json_object_set_new(v, "chain_id", json_string(n->chain_id));
		(void)json_object_set_new(v, "unpacked", json_boolean(n->unpacked));
	}
	if (n->damage != NULL)
		(void)json_object_set_new(v, "damage", render_json_text(n->damage));
	if (content && n->text != NULL)
		(void)json_object_set_new(
		    v, "content", render_json_document(n->text, strlen(n->text)));
	for (size_t i = 0; i < n->n; i++)
		(void)json_array_append_new(children, tree_json(&n->v[i], content));
	if (n->n > 0)
		(void)json_object_set(v, "children", children);
	json_decref(children);
	return v;
}

int
images_inspect(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct wanted every = { .all = true };
	struct drawing d = { .content = opts_flag(o, "content") };
	struct here here;
	struct oci_desc target;
	struct image *im;
	struct node *tree;
	bool json;
	json_t *v;
	int r = ctr_format(o, &json, e);

	if (r < 0 || (r = walk_find(c, o->args.v[0], &a, &im, &target, e)) < 0 ||
	    (r = here_open(&here, c, false, e)) < 0)
		return r;
	here.texts = d.content;
	r = tree_build(&here, &target, &every, &a, &tree, e);
	here_close(&here);
	if (r < 0)
		return err_wrap(e, "image %s", im->name);
	if (json) {
		v = render_json(&image_schema, im);
		(void)json_object_set_new(v, "tree", tree_json(tree, d.content));
		render_json_print(v, stdout, false);
		return 0;
	}
	text_print(stdout, im->name);
	tree_print(&d, tree, true);
	return 0;
}
