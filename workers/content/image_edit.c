/* SPDX-License-Identifier: Apache-2.0 */
/* image_edit - the handlers of image_create and image_update: images put together by clients. */
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"
#include "lib/filter/labels.h"
#include "workers/content/leases.h"
#include "workers/content/tree.h"

/* Size and platform as lists show them, when what it takes to know them is here. */
static void
image_measure(struct content *c, struct image *im, struct arena *a)
{
	AUTO(tree_free) struct tree tree = { .doc = { .ndescs = 0 } };
	char text[PLATFORM_TEXT_MAX];
	struct err ignored = ERR_ZERO; /* not here, or made for elsewhere: not known */
	struct platform host;
	struct oci_desc target;

	im->size = 0;
	im->platform = NULL;
	platform_host(&host);
	if (image_target(im, &target, &ignored) < 0 ||
	    tree_choose(c, im->name, &target, &host, &tree, &ignored) < 0)
		return;
	im->size = tree.manifest.size + tree.doc.config.size;
	for (size_t i = 0; i < tree.doc.ndescs; i++)
		im->size += tree.doc.descs[i].size;
	im->platform = arena_strdup(
	    a, platform_text(tree.config.has_platform ? &tree.config.platform : &host, text));
}

static int
target_check(const struct descriptor *d, struct err *e)
{
	struct digest digest;

	if (d->size == 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "an image's target has a size");
	return digest_parse(d->digest, &digest, e);
}

static int
image_get(struct txn *t, const char *ns, const char *name, struct arena *a, struct image *ret,
    struct err *e)
{
	char show[160];
	struct key k;

	store_key(&k, ns, name);
	if (!store_has(t, TABLE_IMAGES, &k))
		return err_set(e, ERR_NOT_FOUND, "image \"%s\" is not here",
		    ident_show(name, show, sizeof(show)));
	return store_get(t, TABLE_IMAGES, &k, &image_schema, a, ret, e);
}

int
content_on_image_create(struct content *c, struct call *call, const struct image_create_req *req,
    struct image *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const char *ns = call_ns(call);
	struct arena *a = call_arena(call);
	char show[160];
	struct key k;
	int r;

	if (req->name[0] == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "an image needs a name");
	if ((r = target_check(req->target, e)) < 0 || (r = labels_check(&req->labels, e)) < 0)
		return r;
	*rep = (struct image){ .name = req->name, .target = req->target };
	labels_merge(&rep->labels, &req->labels, a);
	image_measure(c, rep, a);
	r = store_write(c->store, &t, e);
	if (r < 0)
		return r;
	store_key(&k, ns, req->name);
	if (!req->replace && store_has(t, TABLE_IMAGES, &k))
		return err_set(e, ERR_ALREADY_EXISTS, "image %s exists",
		    ident_show(req->name, show, sizeof(show)));
	if ((r = image_put(c, t, ns, rep, e)) < 0 ||
	    (r = lease_hold(c, t, ns, call_lease(call), LEASE_IMAGES, rep->name, e)) < 0)
		return r;
	return call_commit(call, &t, rep, e);
}

int
content_on_image_update(struct content *c, struct call *call, const struct image_update_req *req,
    struct image *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const char *ns = call_ns(call);
	struct arena *a = call_arena(call);
	bool target = false;
	int r;

	if ((r = store_write(c->store, &t, e)) < 0 ||
	    (r = image_get(t, ns, req->name, a, rep, e)) < 0 ||
	    (r = labels_update(&rep->labels, &req->labels, &req->fields, "target", &target, a, e)) <
		0)
		return r;
	if (target && (req->target != NULL || req->fields.n > 0)) {
		if (req->target == NULL)
			return err_set(e, ERR_INVALID_ARGUMENT, "field target: missing");
		r = target_check(req->target, e);
		if (r < 0)
			return r;
		rep->target = req->target;
		image_measure(c, rep, a);
	}
	r = image_put(c, t, ns, rep, e);
	return r < 0 ? r : call_commit(call, &t, rep, e);
}
