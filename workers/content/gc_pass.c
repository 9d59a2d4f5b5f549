/* SPDX-License-Identifier: Apache-2.0 */
/* gc_pass - see gc_pass.h */
#include "workers/content/gc_pass.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "workers/content/drafts.h"
#include "workers/content/images.h"
#include "lib/filter/labels.h"
#include "workers/content/leases.h"
#include "workers/content/pull.h"

struct load {
	const struct content *c;
	struct graph *g;
	struct arena scratch; /* one record */
	int64_t now, *next;
	char ns[STORE_KEY_MAX + 1];
};

/* The namespace in front of the key. */
static void
load_ns(struct load *l, const struct key *k)
{
	size_t n = strnlen(k->p, k->n);

	memcpy(l->ns, k->p, n);
	l->ns[n] = '\0';
}

/* Is the end still to come? It is noted, then. */
static bool
lives_until(struct load *l, int64_t end)
{
	if (end <= l->now)
		return false;
	if (end < *l->next)
		*l->next = end;
	return true;
}

/* Has it no end by label, or one that is still to come? A label that is no time says nothing. */
static bool
lives(struct load *l, const struct kvs *labels)
{
	const char *text = labels_get(labels, GC_LABEL_EXPIRE);
	int64_t end;

	return text == NULL || !clock_parse(text, &end) || lives_until(l, end);
}

static int
load_image(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct load *l = arg;
	const struct image *im = rec;
	uint32_t node;

	(void)e;
	load_ns(l, k);
	node = graph_node(l->g, NODE_IMAGE, l->ns, im->name);
	graph_exists(l->g, node);
	graph_edge(l->g, node, graph_node(l->g, NODE_BLOB, l->ns, im->target->digest), true);
	graph_labels(l->g, node, l->ns, &im->labels);
	if (lives(l, &im->labels))
		graph_root(l->g, node, false);
	arena_free(&l->scratch);
	return 0;
}

static int
load_blob(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct load *l = arg;
	const struct blob *b = rec;
	uint32_t node;

	(void)e;
	load_ns(l, k);
	node = graph_node(l->g, NODE_BLOB, l->ns, b->digest);
	graph_exists(l->g, node);
	graph_labels(l->g, node, l->ns, &b->labels);
	if (lives_until(l, b->held_until) || labels_get(&b->labels, GC_LABEL_ROOT) != NULL)
		graph_root(l->g, node, false);
	arena_free(&l->scratch);
	return 0;
}

static int
load_draft(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct load *l = arg;
	const struct ingest_info *row = rec;
	uint32_t node;

	(void)e;
	load_ns(l, k);
	node = graph_node(l->g, NODE_DRAFT, l->ns, row->ref);
	graph_exists(l->g, node);
	if (row->expected != NULL)
		graph_edge(l->g, node, graph_node(l->g, NODE_BLOB, l->ns, row->expected), true);
	if (lives_until(l, draft_updated_at(l->c, l->ns, row) + DRAFT_AGE_NS))
		graph_root(l->g, node, false);
	arena_free(&l->scratch);
	return 0;
}

static int
load_lease(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct load *l = arg;
	const struct lease *lease = rec;
	uint32_t node;

	(void)e;
	load_ns(l, k);
	node = graph_node(l->g, NODE_LEASE, l->ns, lease->id);
	graph_exists(l->g, node);
	if (lives(l, &lease->labels))
		graph_root(l->g, node, labels_get(&lease->labels, GC_LABEL_FLAT) != NULL);
	arena_free(&l->scratch);
	return 0;
}

static int
load_held(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct load *l = arg;
	const struct lease_resource *res = rec;
	AUTO(free_ptr) char *lease = NULL;
	enum node_type type;
	const char *key;

	(void)e;
	load_ns(l, k);
	lease = lease_of_key(k);
	lease_node(res->type, res->id, &l->scratch, &type, &key);
	graph_edge(l->g, graph_node(l->g, NODE_LEASE, l->ns, lease),
	    graph_node(l->g, type, l->ns, key), true);
	arena_free(&l->scratch);
	return 0;
}

int
gc_load(const struct content *c, struct graph *g, struct txn *t, int64_t now, int64_t *next,
    struct err *e)
{
	static const struct {
		unsigned table;
		const struct schema *schema;
		store_each_fn *fn;
	} tables[] = {
		{ TABLE_IMAGES, &image_schema, load_image },
		{ TABLE_BLOBS, &blob_schema, load_blob },
		{ TABLE_DRAFTS, &ingest_info_schema, load_draft },
		{ TABLE_LEASES, &lease_schema, load_lease },
		{ TABLE_HELD, &lease_resource_schema, load_held },
	};
	struct load l = { .c = c, .g = g, .now = now, .next = next };
	int r = 0;

	for (size_t i = 0; r == 0 && i < COUNT(tables); i++)
		r = store_each(t, tables[i].table, NULL, NULL, tables[i].schema, &l.scratch,
		    tables[i].fn, &l, e);
	arena_free(&l.scratch);
	return r;
}

/* --- dropping -------------------------------------------------------------------------------------- */

static int
drop_blob(struct content *c, struct txn *t, const struct graph_item *it, struct gc_dropped *out,
    struct gc_totals *sum, struct err *e)
{
	struct digest d;
	bool elsewhere;
	int r;

	if (pull_holds_blob(c, it->ns, it->key))
		return 0;
	if ((r = digest_parse(it->key, &d, e)) < 0 || (r = blob_row_drop(t, it->ns, &d, e)) < 0 ||
	    (r = blob_row_anywhere(t, &d, false, &elsewhere, e)) < 0)
		return r;
	sum->blobs++;
	if (!elsewhere && !pull_holds_blob(c, NULL, it->key))
		set_add(&out->files, it->key);
	return 0;
}

static int
drop_draft(struct content *c, struct txn *t, const struct graph_item *it, struct gc_dropped *out,
    struct gc_totals *sum, struct err *e)
{
	AUTO(free_ptr) char *both = xasprintf("%s/%s", it->ns, it->key);

	if (draft_open(c, it->ns, it->key))
		return 0;
	sum->ingests++;
	set_add(&out->drafts, both);
	return draft_row_drop(t, it->ns, it->key, e);
}

static int
drop_one(struct content *c, struct txn *t, const struct graph_item *it, struct gc_dropped *out,
    struct gc_totals *sum, struct err *e)
{
	switch (it->type) {
	case NODE_IMAGE:
		sum->images++;
		return image_row_drop(t, it->ns, it->key, e);
	case NODE_BLOB:
		return drop_blob(c, t, it, out, sum, e);
	case NODE_DRAFT:
		return drop_draft(c, t, it, out, sum, e);
	case NODE_LEASE:
		sum->leases++;
		return lease_drop(t, it->ns, it->key, e);
	case NODE_SNAPSHOT: /* the snapshot worker's */
	case NODE_CONTAINER:
		break;
	}
	return 0;
}

int
gc_drop(struct content *c, struct graph *g, struct txn *t, uint32_t *at, unsigned max,
    struct gc_dropped *out, struct gc_totals *sum, struct err *e)
{
	struct graph_item it;
	unsigned n = 0;

	for (; *at < graph_count(g) && n < max; (*at)++) {
		int r;

		if (!graph_garbage(g, *at, &it) || it.type == NODE_SNAPSHOT)
			continue;
		n++;
		r = drop_one(c, t, &it, out, sum, e);
		if (r < 0 && r != -ERR_NOT_FOUND) /* somebody was faster */
			return r;
	}
	return 0;
}

void
gc_dropped_files(struct content *c, struct gc_dropped *d, struct gc_totals *sum)
{
	for (size_t i = 0; i < d->files.n; i++) {
		struct err e = ERR_ZERO;
		struct digest digest;
		uint64_t size = 0;

		if (digest_parse(d->files.v[i], &digest, &e) < 0 ||
		    !blobs_has(&c->blobs, &digest, 0, &size))
			continue;
		if (blobs_discard(&c->blobs, &digest, &e) < 0)
			log_warn("%s", e.msg); /* the next start tries again: it has no row */
		else
			sum->bytes += size;
	}
	for (size_t i = 0; i < d->drafts.n; i++) {
		AUTO(free_ptr) char *ns = xstrdup(d->drafts.v[i]);
		char *slash = strchr(ns, '/');

		*slash = '\0';
		draft_forget(c, ns, slash + 1);
	}
	set_free(&d->files);
	set_free(&d->drafts);
}
