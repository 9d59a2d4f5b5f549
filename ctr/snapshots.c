/* SPDX-License-Identifier: Apache-2.0 */
/* snapshots - to look at: list, tree, info, usage. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctr/ctr.h"
#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"

static const char *
kind_shown(const char *kind)
{
	static const char *const kinds[] = { "Committed", "Active", "View" };

	for (unsigned i = 0; i < COUNT(kinds); i++)
		if (strcasecmp(kinds[i], kind) == 0)
			return kinds[i];
	return kind;
}

/* As containerd's; whose they are is told when there are several snapshotters'. */
static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "KEY", "PARENT", "KIND", "SNAPSHOTTER" };
	AUTO(table_free) struct table t;
	const struct snapshot *v = l->v;
	bool several = false;

	for (uint32_t i = 1; i < l->n; i++)
		several |= strcmp(v[i].snapshotter, v[0].snapshotter) != 0;
	table_init(&t, heads, several ? 4 : 3, 1);
	for (uint32_t i = 0; i < l->n; i++) {
		table_cell(&t, v[i].key);
		table_cell(&t, v[i].parent);
		table_cell(&t, kind_shown(v[i].kind));
		if (several)
			table_cell(&t, v[i].snapshotter);
	}
	table_show(&t);
}

int
snapshots_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct snapshot_list_req req = { .snapshotter = opts_text(o, "snapshotter") };

	return list_show(c, o, &snapshot_snapshot_list_method, &req, list_table, e);
}

/* --- tree ------------------------------------------------------------------------------------------ */

/* Ordered by snapshotter, parent, key: children stand side by side. */
static int
by_parent(const void *a, const void *b)
{
	const struct snapshot *x = a, *y = b;
	int r = strcmp(x->snapshotter, y->snapshotter);

	if (r == 0)
		r = strcmp(x->parent == NULL ? "" : x->parent, y->parent == NULL ? "" : y->parent);
	return r != 0 ? r : strcmp(x->key, y->key);
}

static void
branch_show(const struct list *l, const struct snapshot *parent, unsigned level)
{
	const struct snapshot *v = l->v;
	struct snapshot want = {
		.snapshotter = parent->snapshotter, .parent = parent->key, .key = ""
	};
	uint32_t low = 0, high = l->n;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (by_parent(&v[mid], &want) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < l->n && strcmp(v[low].snapshotter, want.snapshotter) == 0 &&
	       v[low].parent != NULL && strcmp(v[low].parent, want.parent) == 0;
	     low++) {
		(void)printf("%*s\\_ ", 2 * (int)level, "");
		text_print(stdout, v[low].key);
		branch_show(l, &v[low], level + 1);
	}
}

/* Lines as containerd's ctr draws them. */
int
snapshots_tree(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct snapshot_list_req req = { .snapshotter = opts_text(o, "snapshotter") };
	const struct snapshot *v;
	struct list all;
	int r = list_fetch(c, &snapshot_snapshot_list_method, &req, &a, &all, e);

	if (r < 0)
		return r;
	if (all.n > 1)
		qsort(all.v, all.n, sizeof(*v), by_parent);
	v = all.v;
	for (uint32_t i = 0; i < all.n; i++)
		if (v[i].parent == NULL) {
			(void)putchar(' ');
			text_print(stdout, v[i].key);
			branch_show(&all, &v[i], 1);
		}
	return 0;
}

/* --- info ------------------------------------------------------------------------------------------ */

/* The names that containerd's ctr gives the fields. */
static json_t *
info_json(const struct snapshot *s)
{
	char text[CLOCK_TEXT_MAX];
	json_t *v = json_object(), *labels = json_object();

	(void)json_object_set_new(v, "Kind", render_json_text(kind_shown(s->kind)));
	(void)json_object_set_new(v, "Name", render_json_text(s->key));
	if (s->parent != NULL)
		(void)json_object_set_new(v, "Parent", render_json_text(s->parent));
	for (uint32_t i = 0; i < s->labels.n; i++)
		(void)json_object_set_new(
		    labels, s->labels.v[i].k, render_json_text(s->labels.v[i].v));
	if (s->labels.n > 0)
		(void)json_object_set(v, "Labels", labels);
	json_decref(labels);
	(void)json_object_set_new(v, "Created", json_string(clock_text(s->created_at, text)));
	(void)json_object_set_new(v, "Updated", json_string(clock_text(s->updated_at, text)));
	return v;
}

int
snapshots_info(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct snapshot_key_req req = { .key = o->args.v[0],
		.snapshotter = opts_text(o, "snapshotter") };
	struct snapshot_rep rep;
	int r = ctr_call(c, &snapshot_snapshot_get_method, &req, &a, &rep, e);

	if (r == 0)
		render_json_print(info_json(rep.snapshot), stdout, false);
	return r;
}

/* --- usage ----------------------------------------------------------------------------------------- */

struct used {
	const char *key;
	uint64_t size, inodes;
};

/* What the words name; without words, all. Those that are gone by now are left out then. */
static int
used_read(struct ctr *c, const struct opts *o, struct arena *a, struct used **ret, uint32_t *ret_n,
    struct err *e)
{
	struct snapshot_list_req req = { .snapshotter = opts_text(o, "snapshotter") };
	struct list all = { .n = o->args.n };
	uint32_t n = 0;
	int r = 0;

	if (o->args.n == 0)
		r = list_fetch(c, &snapshot_snapshot_list_method, &req, a, &all, e);
	*ret = arena_calloc(a, all.n + 1, sizeof(**ret));
	for (uint32_t i = 0; r == 0 && i < all.n; i++) {
		const struct snapshot *s = (const struct snapshot *)all.v +
					   (o->args.n == 0 ? i : 0);
		struct snapshot_key_req one = { .snapshotter = req.snapshotter };
		struct snapshot_usage_rep rep;

		one.key = o->args.n > 0 ? o->args.v[i] : s->key;
		if (o->args.n == 0)
			one.snapshotter = s->snapshotter;
		r = ctr_call(c, &snapshot_snapshot_usage_method, &one, a, &rep, e);
		if (r == 0)
			(*ret)[n++] = (struct used){ one.key, rep.size, rep.inodes };
		else if (r == -ERR_NOT_FOUND && o->args.n == 0)
			r = (*e = ERR_ZERO, 0);
	}
	*ret_n = n;
	return r;
}

static void
used_json(const struct used *v, uint32_t n)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < n; i++)
		(void)json_array_append_new(
		    all, json_pack("{s:o,s:I,s:I}", "key", render_json_text(v[i].key), "size",
			     (json_int_t)v[i].size, "inodes", (json_int_t)v[i].inodes));
	render_json_print(all, stdout, false);
}

int
snapshots_usage(struct ctr *c, const struct opts *o, struct err *e)
{
	static const char *const heads[] = { "KEY", "SIZE", "INODES" };
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	char text[TEXT_NUMBER_MAX];
	struct used *v;
	uint32_t n;
	bool json;
	int r;

	if ((r = ctr_format(o, &json, e)) < 0 || (r = used_read(c, o, &a, &v, &n, e)) < 0)
		return r;
	if (json) {
		used_json(v, n);
		return 0;
	}
	AUTO(table_free) struct table t;

	table_init(&t, heads, COUNT(heads), -1);
	for (uint32_t i = 0; i < n; i++) {
		table_cell(&t, v[i].key);
		if (opts_flag(o, "bytes"))
			table_cellf(&t, "%" PRIu64, v[i].size);
		else
			table_cell(&t, text_size(v[i].size, text));
		table_cellf(&t, "%" PRIu64, v[i].inodes);
	}
	table_show(&t);
	return 0;
}
