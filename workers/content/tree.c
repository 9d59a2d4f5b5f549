/* SPDX-License-Identifier: Apache-2.0 */
/* tree - see tree.h */
#include "workers/content/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/oci/json.h"
#include "lib/filter/labels.h"

#define GC_REF_CONTENT "containerd.io/gc.ref.content."

void
set_add(struct set *s, const char *text)
{
	if (s->n == s->room) {
		s->room = s->room == 0 ? 64 : 2 * s->room;
		s->v = xrealloc(s->v, s->room * sizeof(*s->v));
	}
	s->v[s->n++] = xstrdup(text);
	s->sorted = false;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

bool
set_has(struct set *s, const char *text)
{
	if (s->n == 0)
		return false;
	if (!s->sorted)
		qsort(s->v, s->n, sizeof(*s->v), by_text);
	s->sorted = true;
	return bsearch(&text, s->v, s->n, sizeof(*s->v), by_text) != NULL;
}

void
set_free(struct set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free_ptr(&s->v);
	s->n = s->room = 0;
}

int
tree_doc(struct content *c, const struct digest *d, const char *media_type, struct oci_doc *ret,
    struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	int r = blobs_read(&c->blobs, d, OCI_JSON_MAX, &text, e);

	if (r < 0)
		return r;
	if (oci_doc_parse(buf_str(&text), text.len, media_type, ret, e) < 0)
		return err_wrap(e, "document %s", d->text);
	return 0;
}

void
tree_free(struct tree *t)
{
	oci_doc_free(&t->doc);
	oci_config_free(&t->config);
	buf_free(&t->config_text);
}

int
tree_config_check(
    const char *name, const struct oci_config *config, const struct platform *p, struct err *e)
{
	char want[PLATFORM_TEXT_MAX], have[PLATFORM_TEXT_MAX];

	/* A config often says arm and not which. */
	if (!config->has_platform || platform_rank(p, &config->platform) > 0 ||
	    (strcmp(config->platform.os, p->os) == 0 &&
		strcmp(config->platform.arch, p->arch) == 0))
		return 0;
	return err_set(e, ERR_NOT_FOUND, "image %s has no manifest for %s: it is for %s", name,
	    platform_text(p, want), platform_text(&config->platform, have));
}

static int
choose_down(struct content *c, const char *name, const struct oci_desc *at,
    const struct platform *p, unsigned depth, struct tree *t, struct err *e)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	char want[PLATFORM_TEXT_MAX], have[300];
	const struct oci_desc *next;
	int r = tree_doc(c, &at->digest, at->media_type, &doc, e);

	if (r == -ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND, "image %s is not here for %s: pull it first", name,
		    platform_text(p, want));
	if (r < 0)
		return r;
	if (doc.kind == OCI_KIND_MANIFEST) {
		if (oci_doc_image(&doc, e) < 0)
			return err_wrap(e, "image %s", name);
		t->manifest = *at;
		t->doc = doc;
		doc.descs = NULL;
		return 0;
	}
	next = oci_doc_choose(&doc, p);
	if (next == NULL)
		return err_set(e, ERR_NOT_FOUND, "image %s has no manifest for %s: it has %s", name,
		    platform_text(p, want), oci_doc_platforms(&doc, have, sizeof(have)));
	if (depth == 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "image %s: indexes in indexes, deeper than %d", name, TREE_DEPTH_MAX);
	return choose_down(c, name, next, p, depth - 1, t, e);
}

int
tree_choose(struct content *c, const char *name, const struct oci_desc *target,
    const struct platform *p, struct tree *ret, struct err *e)
{
	AUTO(tree_free) struct tree t = { .platform = *p };
	int r = choose_down(c, name, target, p, TREE_DEPTH_MAX, &t, e);

	if (r < 0)
		return r;
	r = blobs_read(&c->blobs, &t.doc.config.digest, OCI_JSON_MAX, &t.config_text, e);
	if (r < 0)
		return err_wrap(e, "image %s", name);
	r = oci_config_parse(
	    buf_str(&t.config_text), t.config_text.len, t.doc.ndescs, &t.config, e);
	if (r < 0)
		return err_wrap(e, "config of image %s", name);
	r = tree_config_check(name, &t.config, p, e);
	if (r < 0)
		return r;
	*ret = t;
	t = (struct tree){ .doc = { .ndescs = 0 } };
	return 0;
}

/* --- labels ---------------------------------------------------------------------------------------- */

struct labelling {
	struct content *c;
	struct txn *t;
	const char *ns;
	struct arena arena;
};

static void
want_ref(struct labelling *l, struct kvs *want, const struct digest *child, const char *name)
{
	struct key k;

	blob_key(&k, l->ns, child);
	if (!store_has(l->t, TABLE_BLOBS, &k))
		return;
	want->v[want->n++] = (struct kv){
		.k = arena_printf(&l->arena, GC_REF_CONTENT "%s", name),
		.v = child->text,
	};
}

/* Gives the row of d these labels, and ends what a pull held it by. No row, or nothing to change: fine. */
static int
row_label(struct labelling *l, const struct digest *d, const struct kvs *want, struct err *e)
{
	bool same = true;
	struct blob row;
	struct key k;
	int r;

	blob_key(&k, l->ns, d);
	if (!store_has(l->t, TABLE_BLOBS, &k))
		return 0;
	r = store_get(l->t, TABLE_BLOBS, &k, &blob_schema, &l->arena, &row, e);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < want->n && same; i++) {
		const char *have = labels_get(&row.labels, want->v[i].k);

		same = have != NULL && strcmp(have, want->v[i].v) == 0;
	}
	if (same && row.held_until == 0)
		return 0;
	labels_merge(&row.labels, want, &l->arena);
	row.held_until = 0;
	return blob_row_put(l->c, l->t, l->ns, &row, e);
}

/* The config holds the top layer's snapshot, which has the others below it: that of any snapshotter. */
static int
label_config(struct labelling *l, const struct oci_doc *doc, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(oci_config_free) struct oci_config config = { .nlayers = 0 };
	struct err ignored = ERR_ZERO; /* no config of an image: it has no layers to hold */
	struct kv kv[] = {
#define SNAPSHOTTER(NAME, name, doc) { "containerd.io/gc.ref.snapshot." #name, NULL },
#include "schemas/snapshotters.def"
	};
	struct kvs want = { .v = kv };

	if (blobs_read(&l->c->blobs, &doc->config.digest, OCI_JSON_MAX, &text, &ignored) == 0 &&
	    oci_config_parse(buf_str(&text), text.len, doc->ndescs, &config, &ignored) == 0 &&
	    config.nlayers > 0) {
		for (; want.n < COUNT(kv); want.n++)
			kv[want.n].v = config.chain_ids[config.nlayers - 1].text;
	}
	return row_label(l, &doc->config.digest, &want, e);
}

static int
label_down(struct labelling *l, const struct digest *d, const char *media_type, unsigned depth,
    struct err *e)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	struct err ignored = ERR_ZERO; /* not here, or no document: it refers to nothing */
	struct kvs want = { .n = 0 }, none = { .n = 0 };
	bool manifest;
	char name[32];
	int r = 0;

	if (tree_doc(l->c, d, media_type, &doc, &ignored) < 0)
		return row_label(l, d, &none, e);
	manifest = doc.kind == OCI_KIND_MANIFEST;
	want.v = arena_calloc(&l->arena, doc.ndescs + 1, sizeof(*want.v));
	for (size_t i = 0; i < doc.ndescs; i++) {
		(void)snprintf(name, sizeof(name), "%s.%zu", manifest ? "l" : "m", i);
		want_ref(l, &want, &doc.descs[i].digest, name);
	}
	for (size_t i = 0; r == 0 && i < doc.ndescs; i++)
		r = manifest || depth == 0 ? row_label(l, &doc.descs[i].digest, &none, e)
					   : label_down(l, &doc.descs[i].digest,
						 doc.descs[i].media_type, depth - 1, e);
	if (r == 0 && manifest) {
		want_ref(l, &want, &doc.config.digest, "config");
		r = label_config(l, &doc, e);
	}
	return r < 0 ? r : row_label(l, d, &want, e);
}

int
tree_label(struct content *c, struct txn *t, const char *ns, const struct descriptor *target,
    struct err *e)
{
	struct labelling l = { .c = c, .t = t, .ns = ns };
	struct digest d;
	int r = digest_parse(target->digest, &d, e);

	if (r == 0)
		r = label_down(&l, &d, target->media_type, TREE_DEPTH_MAX, e);
	arena_free(&l.arena);
	return r;
}

bool
tree_labelled(struct txn *t, const char *ns, const char *digest)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct err ignored = ERR_ZERO; /* not a blob of ns: nobody has */
	struct blob row = { .labels = { .n = 0 } };
	struct digest d;

	if (digest_parse(digest, &d, &ignored) < 0 ||
	    blob_row_get(t, ns, &d, &a, &row, &ignored) < 0)
		return false;
	for (uint32_t i = 0; i < row.labels.n; i++)
		if (strncmp(row.labels.v[i].k, GC_REF_CONTENT, strlen(GC_REF_CONTENT)) == 0)
			return true;
	return false;
}
