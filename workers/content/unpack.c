/* SPDX-License-Identifier: Apache-2.0 */
/* unpack - see unpack.h */
#include "workers/content/unpack.h"

#include <string.h>

#include "lib/base/auto.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"
#include "workers/content/tree.h"

struct unpack_layer {
	struct unpack *unpack;
	struct client_call *call; /* NULL: done, or not begun */
};

struct unpack {
	struct content_note note;
	struct unpack *prev, *next; /* in c->unpacks */
	struct content *c;
	struct call *call;
	const char *snapshotter; /* in the call's arena; NULL: the daemon's choice */
	struct tree tree;
	struct unpack_layer *layers;
	size_t left;
};

static void unpack_cancelled(struct content_note *note);

bool
unpack_holds_chain(const struct content *c, const char *ns, const char *chain_id)
{
	for (const struct unpack *u = c->unpacks; u != NULL; u = u->next)
		for (size_t i = 0; strcmp(ns, call_ns(u->call)) == 0 && i < u->tree.config.nlayers;
		     i++)
			if (strcmp(u->tree.config.chain_ids[i].text, chain_id) == 0)
				return true;
	return false;
}

static struct unpack *
unpack_new(struct content *c, struct call *call)
{
	struct unpack *u = xcalloc(1, sizeof(*u));

	u->note.cancelled = unpack_cancelled;
	u->c = c;
	u->call = call;
	u->next = c->unpacks;
	if (u->next != NULL)
		u->next->prev = u;
	c->unpacks = u;
	return u;
}

/* Calls of layers that still run are forgotten: snapshot goes on by itself and keeps what it did. */
static void
unpack_free(struct unpack **up)
{
	struct unpack *u = *up;

	if (u == NULL)
		return;
	if (u->prev != NULL)
		u->prev->next = u->next;
	else
		u->c->unpacks = u->next;
	if (u->next != NULL)
		u->next->prev = u->prev;
	for (size_t i = 0; u->layers != NULL && i < u->tree.doc.ndescs; i++)
		client_cancel(&u->layers[i].call);
	tree_free(&u->tree);
	free_ptr(&u->layers);
	free_ptr(up);
}

static void
unpack_fail(struct unpack *u, const struct err *e)
{
	call_fail(u->call, e);
	unpack_free(&u);
}

static void
unpack_finish(struct unpack *u)
{
	struct nothing rep;

	call_reply(u->call, &rep);
	unpack_free(&u);
}

static void
on_layer(void *arg, const void *rep, const struct err *e)
{
	struct unpack_layer *l = arg;
	struct unpack *u = l->unpack;

	(void)rep;
	l->call = NULL;
	if (e != NULL)
		unpack_fail(u, e);
	else if (--u->left == 0)
		unpack_finish(u);
}

static int
layer_start(struct unpack *u, size_t i, struct err *e)
{
	const struct oci_desc *d = &u->tree.doc.descs[i];
	const struct oci_config *config = &u->tree.config;
	struct layer layer = {
		.digest = d->digest.text,
		.diff_id = config->diff_ids[i].text,
		.chain_id = config->chain_ids[i].text,
		.media_type = d->media_type,
		.size = d->size,
	};
	struct layer_unpack_req req = {
		.layer = &layer,
		.parent = i > 0 ? config->chain_ids[i - 1].text : NULL,
		.snapshotter = u->snapshotter,
	};
	struct client_opts opts = { .ns = call_ns(u->call), .lease = call_lease(u->call) };

	u->layers[i].unpack = u;
	return client_call(u->c->client, &snapshot_layer_unpack_method, &opts, &req, on_layer,
	    &u->layers[i], &u->layers[i].call, e);
}

/* Documents and layers belong to the namespace that asks. */
static int
blobs_seen(struct unpack *u, const struct oci_desc *target, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(u->call);
	const char *ns = call_ns(u->call);
	const struct oci_doc *doc = &u->tree.doc;
	struct blob row;
	int r;

	if ((r = store_read(u->c->store, &t, e)) < 0 ||
	    (r = blob_row_get(t, ns, &target->digest, a, &row, e)) < 0 ||
	    (r = blob_row_get(t, ns, &u->tree.manifest.digest, a, &row, e)) < 0 ||
	    (r = blob_row_get(t, ns, &doc->config.digest, a, &row, e)) < 0)
		return r;
	for (size_t i = 0; r == 0 && i < doc->ndescs; i++)
		r = blob_row_get(t, ns, &doc->descs[i].digest, a, &row, e);
	return r;
}

static int
unpack_start(struct unpack *u, const struct image_unpack_req *req, struct err *e)
{
	const struct image im = { .name = req->target->digest, .target = req->target };
	struct oci_desc target;
	struct platform platform;
	int r;

	platform_host(&platform);
	if ((req->platform != NULL && (r = platform_parse(req->platform, &platform, e)) < 0) ||
	    (r = image_target(&im, &target, e)) < 0 ||
	    (r = tree_choose(u->c, im.name, &target, &platform, &u->tree, e)) < 0 ||
	    (r = blobs_seen(u, &target, e)) < 0)
		return r;
	u->snapshotter = req->snapshotter;
	u->left = u->tree.doc.ndescs;
	u->layers = xcalloc(u->left + 1, sizeof(*u->layers));
	for (size_t i = 0; r == 0 && i < u->tree.doc.ndescs; i++)
		r = layer_start(u, i, e);
	return r;
}

static void
unpack_cancelled(struct content_note *note)
{
	struct unpack *u = (struct unpack *)note;

	unpack_free(&u);
}

int
content_on_image_unpack(struct content *c, struct call *call, const struct image_unpack_req *req,
    struct nothing *rep, struct err *e)
{
	AUTO(unpack_free) struct unpack *u = unpack_new(c, call);
	int r = unpack_start(u, req, e);

	(void)rep;
	if (r < 0 || u->left == 0)
		return r;
	call_note_set(call, &u->note);
	u = NULL;
	return CALL_LATER;
}
