/* SPDX-License-Identifier: Apache-2.0 */
/* images - see images.h; the handlers of image_list, image_get, image_tag, image_resolve. */
#include "workers/content/images.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/ident.h"
#include "lib/filter/page.h"
#include "lib/oci/reference.h"
#include "workers/content/gc.h"
#include "workers/content/handlers.h"
#include "lib/filter/labels.h"
#include "workers/content/tree.h"

/* "sha256:ab12" or "ab12.." as the start of a digest's text; NULL when it does not look like one. */
static const char *
digest_start(const char *ref, char *text, size_t size)
{
	const char *hex = strncmp(ref, "sha256:", 7) == 0 ? ref + 7 : ref;
	size_t n = strspn(hex, "0123456789abcdef");

	if (n < 4 || n > 64 || hex[n] != '\0')
		return NULL;
	(void)snprintf(text, size, "sha256:%s", hex);
	return text;
}

struct find {
	const char *start;	    /* of the digest */
	const struct reference *in; /* only names of this repository; NULL: all */
	struct arena *a;
	struct image *ret;
	unsigned names, targets;
};

static int
find_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct find *f = arg;
	struct image *im = rec;
	struct reference r;
	struct err ignored = ERR_ZERO;

	(void)k;
	(void)e;
	if (strncmp(im->target->digest, f->start, strlen(f->start)) != 0)
		return 0;
	if (f->in != NULL &&
	    (reference_parse(im->name, &r, &ignored) < 0 || strcmp(r.host, f->in->host) != 0 ||
		strcmp(r.path, f->in->path) != 0))
		return 0;
	if (f->names++ == 0) {
		*f->ret = *im;
		f->targets = 1;
	} else if (strcmp(im->target->digest, f->ret->target->digest) != 0) {
		f->targets++;
	}
	return 0;
}

static int
find_by_digest(struct txn *t, const char *ns, const char *ref, struct find *f, struct err *e)
{
	struct key prefix;
	char show[96];
	int r;

	store_key(&prefix, ns, "");
	r = store_each(t, TABLE_IMAGES, &prefix, NULL, &image_schema, f->a, find_one, f, e);
	if (r < 0)
		return r;
	if (f->targets > 1)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "\"%s\" is the start of several images' digests: give more digits",
		    ident_show(ref, show, sizeof(show)));
	return f->names > 0 ? 0 : -ERR_NOT_FOUND;
}

int
image_find(struct txn *t, const char *ns, const char *ref, struct arena *a, struct image *ret,
    unsigned *ret_names, struct err *e)
{
	char full[REFERENCE_TEXT_MAX], start[80], show[160];
	struct find f = { .a = a, .ret = ret };
	struct reference r = { .has_digest = false };
	struct err bad = ERR_ZERO;
	struct key k;
	int rc, parsed = reference_parse(ref, &r, &bad);

	if (ret_names != NULL)
		*ret_names = 1;
	store_key(&k, ns, ref);
	if (store_has(t, TABLE_IMAGES, &k)) /* clients may give any name */
		return store_get(t, TABLE_IMAGES, &k, &image_schema, a, ret, e);
	if (parsed == 0) {
		store_key(&k, ns, reference_text(&r, full));
		if (store_has(t, TABLE_IMAGES, &k))
			return store_get(t, TABLE_IMAGES, &k, &image_schema, a, ret, e);
	}
	if (parsed == 0 && r.has_digest) {
		f.start = r.digest.text;
		f.in = &r;
	} else {
		f.start = digest_start(ref, start, sizeof(start));
	}
	if (f.start != NULL) {
		rc = find_by_digest(t, ns, ref, &f, e);
		if (rc != -ERR_NOT_FOUND) {
			if (ret_names != NULL)
				*ret_names = f.names;
			return rc;
		}
	} else if (parsed < 0) {
		*e = bad;
		return parsed;
	}
	(void)ident_show(ref, show, sizeof(show));
	return err_set(e, ERR_NOT_FOUND,
	    "image \"%s\" is not here: pull it first (ctr images pull %s)", show, show);
}

int
namespace_ensure(struct txn *t, const char *ns, struct err *e)
{
	struct namespace row = { .name = ns };
	struct ev_namespace ev = { .name = ns };
	struct key k;
	int r;

	store_key_text(&k, ns);
	if (store_has(t, TABLE_NAMESPACES, &k))
		return 0;
	r = ident_check("namespace", ns, e);
	if (r < 0)
		return r;
	r = store_put(t, TABLE_NAMESPACES, &k, &namespace_schema, &row, e);
	return r < 0 ? r : store_event(t, ns, "/namespaces/create", &ev, e);
}

/* Garbage collection is told what is held from now on, what may not be any more, and until when. */
static void
image_note(struct content *c, const char *ns, const struct image *im, const struct image *old)
{
	const char *expire = labels_get(&im->labels, GC_LABEL_EXPIRE);
	int64_t end;

	gc_touch(c, NODE_IMAGE, ns, im->name);
	gc_touch(c, NODE_BLOB, ns, im->target->digest);
	gc_touch_labels(c, ns, &im->labels);
	if (old != NULL)
		gc_deleted(c);
	if (expire != NULL && clock_parse(expire, &end))
		gc_expects(c, end);
}

int
image_put(struct content *c, struct txn *t, const char *ns, struct image *im, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct ev_image ev = { .name = im->name, .labels = im->labels };
	struct image old;
	struct key k;
	bool had;
	int r = namespace_ensure(t, ns, e);

	if (r < 0)
		return r;
	store_key(&k, ns, im->name);
	had = store_has(t, TABLE_IMAGES, &k);
	if (had) {
		r = store_get(t, TABLE_IMAGES, &k, &image_schema, &a, &old, e);
		if (r < 0)
			return r;
	}
	im->updated_at = clock_real_ns();
	im->created_at = had ? old.created_at : im->updated_at;
	image_note(c, ns, im, had ? &old : NULL);
	if (!tree_labelled(t, ns, im->target->digest) &&
	    (r = tree_label(c, t, ns, im->target, e)) < 0)
		return r;
	if ((r = store_put(t, TABLE_IMAGES, &k, &image_schema, im, e)) < 0)
		return r;
	return store_event(t, ns, had ? "/images/update" : "/images/create", &ev, e);
}

int
image_row_drop(struct txn *t, const char *ns, const char *name, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct ev_image ev = { .name = name };
	struct image im;
	struct key k;
	int r;

	store_key(&k, ns, name);
	if (!store_has(t, TABLE_IMAGES, &k))
		return 0;
	r = store_get(t, TABLE_IMAGES, &k, &image_schema, &a, &im, e);
	if (r < 0)
		return r;
	ev.labels = im.labels;
	r = store_del(t, TABLE_IMAGES, &k, e);
	return r < 0 ? r : store_event(t, ns, "/images/delete", &ev, e);
}

int
image_target(const struct image *im, struct oci_desc *ret, struct err *e)
{
	struct oci_desc d = { .size = im->target->size };

	if (digest_parse(im->target->digest, &d.digest, e) < 0)
		return err_wrap(e, "image %.200s", im->name);
	(void)snprintf(d.media_type, sizeof(d.media_type), "%s", im->target->media_type);
	*ret = d;
	return 0;
}

int
content_commit(struct content *c, struct txn **t, struct err *e)
{
	int r = store_commit(t, e);

	if (r == 0 && c->worker != NULL)
		worker_outbox_wake(c->worker);
	return r;
}

/* --- handlers ------------------------------------------------------------------------------------- */

static int
list_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	(void)k;
	return page_take(arg, rec, e);
}

int
rows_page(
    struct content *c, struct call *call, const struct rows_ask *l, struct page *p, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(call);
	struct key prefix, after;
	int r;

	store_key(&prefix, call_ns(call), "");
	store_key(&after, call_ns(call), l->after != NULL ? l->after : "");
	if ((r = page_start(p, l->schema, l->filters, l->limit, a, e)) < 0 ||
	    (r = store_read(c->store, &t, e)) < 0)
		return r;
	return store_each(t, l->table, &prefix, &after, l->schema, a, list_one, p, e);
}

int
content_on_image_list(struct content *c, struct call *call, const struct image_list_req *req,
    struct image_list_rep *rep, struct err *e)
{
	const struct rows_ask l = { TABLE_IMAGES, &image_schema, req->after, &req->filters,
		req->limit };
	struct page p;
	int r = rows_page(c, call, &l, &p, e);

	if (r < 0)
		return r;
	page_end(&p, &rep->images, &rep->more, &rep->next);
	return 0;
}

int
content_on_image_get(struct content *c, struct call *call, const struct image_get_req *req,
    struct image_get_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	int r;

	rep->image = arena_calloc(call_arena(call), 1, sizeof(*rep->image));
	r = store_read(c->store, &t, e);
	if (r < 0)
		return r;
	return image_find(t, call_ns(call), req->ref, call_arena(call), rep->image, NULL, e);
}

int
content_on_image_tag(struct content *c, struct call *call, const struct image_tag_req *req,
    struct image_get_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct reference name;
	char full[REFERENCE_TEXT_MAX];
	struct image *im = arena_calloc(call_arena(call), 1, sizeof(*im));
	struct key k;
	int r;

	r = reference_parse(req->name, &name, e);
	if (r < 0)
		return r;
	if (name.has_digest)
		return err_set(e, ERR_INVALID_ARGUMENT, "a new name may not have a digest");
	if ((r = store_write(c->store, &t, e)) < 0 ||
	    (r = image_find(t, call_ns(call), req->ref, call_arena(call), im, NULL, e)) < 0)
		return r;
	store_key(&k, call_ns(call), reference_text(&name, full));
	if (!req->force && store_has(t, TABLE_IMAGES, &k))
		return err_set(e, ERR_ALREADY_EXISTS,
		    "image %s exists: --force makes the name point at the other image", full);
	im->name = arena_strdup(call_arena(call), full);
	r = image_put(c, t, call_ns(call), im, e);
	if (r < 0)
		return r;
	rep->image = im;
	return call_commit(call, &t, rep, e);
}

static void
layers_fill(const struct tree *tree, struct arena *a, struct layer_list *ret)
{
	ret->v = arena_calloc(a, tree->doc.ndescs + 1, sizeof(*ret->v));
	ret->n = (uint32_t)tree->doc.ndescs;
	for (size_t i = 0; i < tree->doc.ndescs; i++) {
		const struct oci_desc *d = &tree->doc.descs[i];

		ret->v[i] = (struct layer){
			.digest = arena_strdup(a, d->digest.text),
			.diff_id = arena_strdup(a, tree->config.diff_ids[i].text),
			.chain_id = arena_strdup(a, tree->config.chain_ids[i].text),
			.media_type = arena_strdup(a, d->media_type),
			.size = d->size,
		};
	}
}

int
content_on_image_resolve(struct content *c, struct call *call, const struct image_resolve_req *req,
    struct image_resolve_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(tree_free) struct tree tree = { .doc = { .ndescs = 0 } };
	struct arena *a = call_arena(call);
	char platform[PLATFORM_TEXT_MAX];
	struct platform want;
	struct oci_desc target;
	struct image im;
	int r;

	platform_host(&want);
	if (req->platform != NULL && (r = platform_parse(req->platform, &want, e)) < 0)
		return r;
	if ((r = store_read(c->store, &t, e)) < 0 ||
	    (r = image_find(t, call_ns(call), req->ref, a, &im, NULL, e)) < 0 ||
	    (r = image_target(&im, &target, e)) < 0)
		return r;
	r = tree_choose(c, im.name, &target, &want, &tree, e);
	if (r == -ERR_INVALID_ARGUMENT)
		e->code = ERR_DATA_LOSS; /* what is stored is wrong, not what was asked for */
	if (r < 0)
		return -(int)e->code;
	rep->name = im.name;
	rep->manifest = arena_calloc(a, 1, sizeof(*rep->manifest));
	rep->manifest->media_type = arena_strdup(a, tree.doc.media_type);
	rep->manifest->digest = arena_strdup(a, tree.manifest.digest.text);
	rep->manifest->size = tree.manifest.size;
	rep->manifest->platform = arena_strdup(a, platform_text(&want, platform));
	rep->config.p = arena_memdup(a, buf_str(&tree.config_text), tree.config_text.len);
	rep->config.n = tree.config_text.len;
	layers_fill(&tree, a, &rep->layers);
	if (rep->layers.n > 0)
		rep->chain_id = rep->layers.v[rep->layers.n - 1].chain_id;
	return 0;
}
