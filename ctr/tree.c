/* SPDX-License-Identifier: Apache-2.0 */
/* tree - see tree.h */
#include "ctr/tree.h"

#include <stdlib.h>
#include <string.h>

#include "ctr/blobs.h"
#include "ctr/list.h"
#include "lib/base/auto.h"

#define DEPTH_MAX 4
#define NODES_MAX 20000
#define TEXTS_MAX (64U << 20)

/* --- what is here --------------------------------------------------------------------------------- */

int
here_open(struct here *h, struct ctr *c, bool all, struct err *e)
{
	struct blob_list_req blobs = { .after = NULL };
	struct snapshot_list_req snapshots = { .after = NULL };
	int r;

	*h = (struct here){ .c = c, .all = all };
	if (!all)
		return 0;
	r = list_fetch(c, &content_blob_list_method, &blobs, &h->a, &h->blobs, e);
	return r < 0 ? r
		     : list_fetch(
			   c, &snapshot_snapshot_list_method, &snapshots, &h->a, &h->snapshots, e);
}

void
here_close(struct here *h)
{
	arena_free(&h->a);
}

static int
blob_named(const void *name, const void *blob)
{
	return strcmp(name, ((const struct blob *)blob)->digest);
}

static int
snapshot_named(const void *name, const void *snapshot)
{
	return strcmp(name, ((const struct snapshot *)snapshot)->key);
}

/* A request whose not_found is an answer: 1 found, 0 not. */
static int
is_found(int r, struct err *e)
{
	if (r != -ERR_NOT_FOUND)
		return r < 0 ? r : 1;
	*e = ERR_ZERO;
	return 0;
}

int
here_blob(struct here *h, const struct oci_desc *d, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct blob_ref req = { .digest = d->digest.text };
	const struct blob *found;
	struct blob rep = { .size = d->size };
	int r = 1;

	if (h->all) {
		found = bsearch(
		    req.digest, h->blobs.v, h->blobs.n, sizeof(struct blob), blob_named);
		return found != NULL && found->size == d->size;
	}
	r = is_found(ctr_call(h->c, &content_blob_stat_method, &req, &a, &rep, e), e);
	return r > 0 ? rep.size == d->size : r;
}

int
here_layer(struct here *h, const char *chain_id, uint64_t *ret_size, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct snapshot_key_req req = { .key = chain_id };
	struct snapshot_rep rep = { .snapshot = NULL };
	const struct snapshot *s;
	int r;

	if (h->all) {
		s = bsearch(chain_id, h->snapshots.v, h->snapshots.n, sizeof(*s), snapshot_named);
	} else {
		r = is_found(ctr_call(h->c, &snapshot_snapshot_get_method, &req, &a, &rep, e), e);
		if (r < 0)
			return r;
		s = rep.snapshot;
	}
	if (s != NULL && ret_size != NULL)
		*ret_size = s->size;
	return s != NULL;
}

/* --- building ------------------------------------------------------------------------------------- */

const char *const node_kinds[] = { "index", "manifest", "config", "layer", "blob" };

struct building {
	struct here *h;
	const struct wanted *wanted;
	struct arena *a;
	size_t nnodes, texts;
};

static bool
is_index(const char *media_type)
{
	return strcmp(media_type, OCI_INDEX) == 0 || strcmp(media_type, DOCKER_INDEX) == 0;
}

static int
nodes_make(struct building *b, struct node *of, size_t n, struct err *e)
{
	b->nnodes += n;
	if (b->nnodes > NODES_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "more than %d parts", NODES_MAX);
	of->v = arena_calloc(b->a, n + 1, sizeof(*of->v));
	of->n = n;
	return 0;
}

static int
leaf_fill(struct building *b, struct node *n, enum node_kind kind, const struct oci_desc *d,
    bool wanted, struct err *e)
{
	int r = here_blob(b->h, d, e);

	*n = (struct node){ .kind = kind, .desc = *d, .wanted = wanted, .here = r > 0 };
	return r < 0 ? r : 0;
}

/* 1: the document was read; 0: it is damaged, which is no error. */
static int
text_read(struct building *b, struct node *n, struct buf *text, struct err *e)
{
	struct err why = ERR_ZERO;
	int r = blob_text(b->h->c, &n->desc, text, &why);

	if (r == -ERR_CANCELLED || r == -ERR_UNAVAILABLE) {
		*e = why;
		return r;
	}
	if (r < 0) {
		n->damage = arena_strdup(b->a, why.msg);
		return 0;
	}
	b->texts += b->h->texts ? text->len : 0;
	if (b->texts > TEXTS_MAX)
		return err_set(
		    e, ERR_RESOURCE_EXHAUSTED, "documents of more than %u bytes", TEXTS_MAX);
	if (b->h->texts)
		n->text = arena_memdup(b->a, buf_str(text), text->len);
	return 1;
}

/* What a config says of its manifest's node: the platform and the layers' chain ids. */
static int
config_apply(struct building *b, struct node *manifest, struct err *e)
{
	AUTO(oci_config_free) struct oci_config config = { .nlayers = 0 };
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct node *own = &manifest->v[0];
	char platform[PLATFORM_TEXT_MAX];
	struct err why = ERR_ZERO;
	int r = text_read(b, own, &text, e);

	if (r <= 0)
		return r;
	if (oci_config_parse(buf_str(&text), text.len, manifest->n - 1, &config, &why) < 0) {
		own->damage = arena_strdup(b->a, why.msg);
		return 0;
	}
	if (config.has_platform)
		manifest->platform = arena_strdup(b->a, platform_text(&config.platform, platform));
	for (size_t i = 0; i < config.nlayers; i++) {
		struct node *layer = &manifest->v[i + 1];

		layer->chain_id = arena_strdup(b->a, config.chain_ids[i].text);
		r = here_layer(b->h, layer->chain_id, &layer->unpacked_size, e);
		if (r < 0)
			return r;
		layer->unpacked = r > 0;
	}
	return 0;
}

static int
manifest_fill(struct building *b, struct node *n, const struct oci_doc *doc, struct err *e)
{
	int r = nodes_make(b, n, doc->ndescs + 1, e);

	if (r == 0)
		r = leaf_fill(b, &n->v[0], NODE_CONFIG, &doc->config, n->wanted, e);
	for (size_t i = 0; r == 0 && i < doc->ndescs; i++)
		r = leaf_fill(b, &n->v[i + 1], NODE_LAYER, &doc->descs[i], n->wanted, e);
	return r == 0 && n->v[0].here ? config_apply(b, n, e) : r;
}

static int document_fill(struct building *b, struct node *n, const struct oci_desc *d, bool wanted,
    unsigned depth, struct err *e);

static int
index_fill(
    struct building *b, struct node *n, const struct oci_doc *doc, unsigned depth, struct err *e)
{
	AUTO(free_ptr) bool *taken = xcalloc(doc->ndescs + 1, sizeof(*taken));
	char platform[PLATFORM_TEXT_MAX];
	int r = nodes_make(b, n, doc->ndescs, e);

	for (size_t i = 0; i < b->wanted->n; i++) {
		const struct oci_desc *d = oci_doc_choose(doc, &b->wanted->v[i]);

		if (d != NULL)
			taken[d - doc->descs] = true;
		else if (n->wanted)
			n->damage = arena_printf(b->a, "it has nothing for %s",
			    platform_text(&b->wanted->v[i], platform));
	}
	for (size_t i = 0; r == 0 && i < doc->ndescs; i++) {
		const struct oci_desc *d = &doc->descs[i];
		bool attests = d->has_platform && strcmp(d->platform.os, "unknown") == 0;

		r = document_fill(b, &n->v[i], d,
		    n->wanted && (taken[i] || (b->wanted->all && !attests)), depth + 1, e);
		if (r == 0 && n->v[i].platform == NULL && d->has_platform)
			n->v[i].platform = arena_strdup(
			    b->a, platform_text(&d->platform, platform));
	}
	return r;
}

static int
document_open(struct building *b, struct node *n, struct oci_doc *doc, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err why = ERR_ZERO;
	int r = text_read(b, n, &text, e);

	if (r > 0 && oci_doc_parse(buf_str(&text), text.len, n->desc.media_type, doc, &why) < 0) {
		n->damage = arena_strdup(b->a, why.msg);
		return 0;
	}
	return r;
}

static int
document_fill(struct building *b, struct node *n, const struct oci_desc *d, bool wanted,
    unsigned depth, struct err *e)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	bool opens = depth == 0 || walk_is_document(d);
	enum node_kind kind = is_index(d->media_type) ? NODE_INDEX : NODE_MANIFEST;
	int r = leaf_fill(b, n, opens ? kind : NODE_BLOB, d, wanted, e);

	if (r < 0 || !opens || !n->here)
		return r;
	if (depth > DEPTH_MAX) {
		n->damage = "indexes in indexes, too deep";
		return 0;
	}
	r = document_open(b, n, &doc, e);
	if (r <= 0)
		return r;
	n->kind = doc.kind == OCI_KIND_INDEX ? NODE_INDEX : NODE_MANIFEST;
	return doc.kind == OCI_KIND_INDEX ? index_fill(b, n, &doc, depth, e)
					  : manifest_fill(b, n, &doc, e);
}

int
tree_build(struct here *h, const struct oci_desc *target, const struct wanted *w, struct arena *a,
    struct node **ret, struct err *e)
{
	struct building b = { .h = h, .wanted = w, .a = a };

	*ret = arena_calloc(a, 1, sizeof(**ret));
	return document_fill(&b, *ret, target, true, 0, e);
}

int
tree_each(const struct node *n, node_fn *fn, void *arg)
{
	int r = fn(arg, n);

	for (size_t i = 0; r == 0 && i < n->n; i++)
		r = tree_each(&n->v[i], fn, arg);
	return r;
}
