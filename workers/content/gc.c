/* SPDX-License-Identifier: Apache-2.0 */
/* gc - see gc.h */
#include "workers/content/gc.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "workers/content/images.h"
#include "workers/content/pull.h"

#define DAY_NS (24LL * 3600 * 1000000000)
#define HOUR_NS (3600LL * 1000000000)

struct reach {
	struct content *c;
	struct set *blobs, *chains;
};

static int
reach_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct reach *r = arg;
	const struct image *im = rec;
	struct oci_desc target;

	(void)k;
	if (image_target(im, &target, e) < 0)
		return -(int)e->code;
	tree_reach(r->c, &target.digest, target.media_type, r->blobs, r->chains);
	return 0;
}

int
gc_reach(struct content *c, struct txn *t, const char *ns, struct set *blobs, struct set *chains,
    struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct reach r = { .c = c, .blobs = blobs, .chains = chains };
	struct key prefix;

	if (ns != NULL)
		store_key(&prefix, ns, "");
	return store_each(t, TABLE_IMAGES, ns != NULL ? &prefix : NULL, NULL, &image_schema, &a,
	    reach_one, &r, e);
}

struct rows {
	int64_t before;
	struct set *out;
};

static int
row_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct rows *r = arg;
	const struct blob *b = rec;

	(void)k;
	(void)e;
	if (b->created_at < r->before)
		set_add(r->out, b->digest);
	return 0;
}

struct namespaces {
	const struct digest *d;
	struct txn *t;
	bool found;
};

static int
has_row(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct namespaces *n = arg;
	const struct namespace *ns = rec;
	struct key row;

	(void)k;
	(void)e;
	blob_key(&row, ns->name, n->d);
	n->found = store_has(n->t, TABLE_BLOBS, &row);
	return n->found ? 1 : 0;
}

/* Is there a row for d in any namespace? Every namespace that has rows has a record of its own. */
static int
any_row(struct txn *t, const struct digest *d, bool *ret, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct namespaces n = { .d = d, .t = t };
	int r = store_each(t, TABLE_NAMESPACES, NULL, NULL, &namespace_schema, &a, has_row, &n, e);

	*ret = n.found;
	return r;
}

int
gc_rows(struct content *c, struct txn *t, const char *ns, const struct set *only, int64_t before,
    struct set *files, struct err *e)
{
	AUTO(set_free) struct set reached = { .n = 0 }, all = { .n = 0 };
	struct rows rows = { .before = before, .out = &all };
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct key prefix;
	int r = gc_reach(c, t, ns, &reached, NULL, e);

	if (r < 0)
		return r;
	store_key(&prefix, ns, "");
	if (only == NULL) {
		r = store_each(t, TABLE_BLOBS, &prefix, NULL, &blob_schema, &a, row_one, &rows, e);
		if (r < 0)
			return r;
		only = &all;
	}
	for (size_t i = 0; i < only->n; i++) {
		struct digest d;
		bool elsewhere;

		if (set_has(&reached, only->v[i]) || pull_holds_blob(c, ns, only->v[i]))
			continue;
		if ((r = digest_parse(only->v[i], &d, e)) < 0 ||
		    (r = blob_row_drop(t, ns, &d, e)) < 0 ||
		    (r = any_row(t, &d, &elsewhere, e)) < 0)
			return r;
		if (!elsewhere && !pull_holds_blob(c, NULL, only->v[i]) &&
		    blobs_has(&c->blobs, &d, 0, NULL) && !set_has(files, d.text))
			set_add(files, d.text);
	}
	return 0;
}

uint64_t
gc_files_bytes(const struct content *c, const struct set *files)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < files->n; i++) {
		struct err ignored = ERR_ZERO; /* the set holds what digest_parse accepted */
		struct digest d;
		uint64_t size = 0;

		if (digest_parse(files->v[i], &d, &ignored) == 0 &&
		    blobs_has(&c->blobs, &d, 0, &size))
			sum += size;
	}
	return sum;
}

unsigned
gc_files(const struct content *c, const struct set *files)
{
	unsigned gone = 0;

	for (size_t i = 0; i < files->n; i++) {
		struct err e = ERR_ZERO;
		struct digest d;

		if (digest_parse(files->v[i], &d, &e) == 0 && blobs_remove(&c->blobs, &d, &e) == 0)
			gone++;
		else
			log_warn("%s", e.msg); /* the next start tries again: it has no row */
	}
	return gone;
}

/* --- layers ----------------------------------------------------------------------------------------- */

struct gc_layers {
	struct content *c;
	char ns[IDENT_MAX + 1];
	struct set keys;
	size_t at;
	gc_done_fn *done;
	void *arg;
	struct loop_source *end;
};

static void layers_next(struct gc_layers *g);

static void
on_removed(void *arg, const void *rep, const struct err *e)
{
	struct gc_layers *g = arg;

	(void)rep;
	if (e != NULL && e->code != ERR_NOT_FOUND && e->code != ERR_FAILED_PRECONDITION)
		log_warn("remove layer %s: %s", g->keys.v[g->at], e->msg);
	g->at++;
	layers_next(g);
}

static void
layers_end(void *arg)
{
	struct gc_layers *g = arg;

	g->end = NULL;
	if (g->done != NULL)
		g->done(g->arg);
	set_free(&g->keys);
	free_ptr(&g);
}

static void
layers_next(struct gc_layers *g)
{
	struct client_opts opts = { .ns = g->ns };
	struct err e = ERR_ZERO;

	for (; g->at < g->keys.n; g->at++) {
		struct snapshot_key_req req = { .key = g->keys.v[g->at] };

		if (pull_holds_chain(g->c, g->ns, req.key)) /* a pull wants it again */
			continue;
		if (client_call(g->c->client, &snapshot_snapshot_remove_method, &opts, &req,
			on_removed, g, NULL, &e) == 0)
			return;
		log_warn("remove layer %s: %s", g->keys.v[g->at], e.msg);
	}
	g->end = loop_once(g->c->loop, 0, layers_end, g);
}

struct gc_layers *
gc_layers_start(struct content *c, const char *ns, struct set *keys, gc_done_fn *done, void *arg)
{
	struct gc_layers *g = xcalloc(1, sizeof(*g));

	g->c = c;
	(void)snprintf(g->ns, sizeof(g->ns), "%.*s", IDENT_MAX, ns);
	g->keys = *keys;
	*keys = (struct set){ .n = 0 };
	g->done = done;
	g->arg = arg;
	layers_next(g);
	return g;
}

void
gc_layers_detach(struct gc_layers **g)
{
	if (*g != NULL)
		(*g)->done = NULL;
	*g = NULL;
}

int
gc_chains_free(struct content *c, struct txn *t, const char *ns, const struct set *chains,
    struct set *ret, struct err *e)
{
	AUTO(set_free) struct set blobs = { .n = 0 }, reached = { .n = 0 };
	int r = gc_reach(c, t, ns, &blobs, &reached, e);

	if (r < 0)
		return r;
	for (size_t i = chains->n; i-- > 0;)
		if (!set_has(&reached, chains->v[i]) && !pull_holds_chain(c, ns, chains->v[i]))
			set_add(ret, chains->v[i]);
	return 0;
}

/* --- after pulls, and now and then ---------------------------------------------------------------- */

/* only NULL: all rows; keys: gets the layers of chains that may go, when chains is not NULL. */
static int
drop_now(struct content *c, const char *ns, const struct set *only, int64_t before,
    const struct set *chains, struct set *keys, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(set_free) struct set files = { .n = 0 };
	int r;

	if ((r = store_write(c->store, &t, e)) < 0 ||
	    (r = gc_rows(c, t, ns, only, before, &files, e)) < 0 ||
	    (chains != NULL && (r = gc_chains_free(c, t, ns, chains, keys, e)) < 0) ||
	    (r = content_commit(c, &t, e)) < 0)
		return r;
	(void)gc_files(c, &files);
	return 0;
}

struct gc_layers *
gc_after_pull(struct content *c, const char *ns, const struct set *blobs, const struct set *chains,
    gc_done_fn *done, void *arg)
{
	AUTO(set_free) struct set none = { .n = 0 }, keys = { .n = 0 };
	struct err e = ERR_ZERO;

	if (drop_now(c, ns, blobs != NULL ? blobs : &none, INT64_MAX, chains, &keys, &e) < 0)
		log_warn("tidy up after a pull: %s", e.msg); /* the sweep does it later */
	return keys.n > 0 ? gc_layers_start(c, ns, &keys, done, arg) : NULL;
}

void
gc_forget(struct content *c, const struct digest *d)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;
	bool used = true;

	if (pull_holds_blob(c, NULL, d->text))
		return;
	if (store_read(c->store, &t, &e) < 0 || any_row(t, d, &used, &e) < 0 ||
	    (!used && blobs_remove(&c->blobs, d, &e) < 0))
		log_warn("forget blob %s: %s", d->text, e.msg);
}

struct sweep {
	struct content *c;
	char ns[IDENT_MAX + 1];
};

/* Is key the parent of one of these that is not in gone? */
static bool
has_children(const struct snapshot_list *l, const char *key, const bool *gone)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (!gone[i] && l->v[i].parent != NULL && strcmp(l->v[i].parent, key) == 0)
			return true;
	return false;
}

/* Layers of l that can go, children before parents, into keys. */
static void
idle_layers(struct sweep *s, const struct snapshot_list *l, struct set *reached, struct set *keys)
{
	AUTO(free_ptr) bool *gone = xcalloc(l->n + 1, sizeof(*gone));
	int64_t before = clock_real_ns() - HOUR_NS;
	bool again = true;

	while (again) {
		again = false;
		for (uint32_t i = 0; i < l->n; i++) {
			const struct snapshot *sn = &l->v[i];

			if (gone[i] || strcmp(sn->kind, "committed") != 0 ||
			    strncmp(sn->key, "sha256:", 7) != 0 || sn->created_at > before ||
			    set_has(reached, sn->key) || pull_holds_chain(s->c, s->ns, sn->key) ||
			    has_children(l, sn->key, gone))
				continue;
			gone[i] = again = true;
			set_add(keys, sn->key);
		}
	}
}

static void
on_listed(void *arg, const void *rep, const struct err *failed)
{
	AUTO(set_free) struct set blobs = { .n = 0 }, reached = { .n = 0 }, keys = { .n = 0 };
	AUTO(store_abort) struct txn *t = NULL;
	const struct snapshot_list_rep *list = rep;
	struct sweep *s = arg;
	struct err e = ERR_ZERO;

	if (failed != NULL)
		e = *failed;
	else if (store_read(s->c->store, &t, &e) == 0 &&
		 gc_reach(s->c, t, s->ns, &blobs, &reached, &e) == 0)
		idle_layers(s, &list->snapshots, &reached, &keys);
	if (e.code != ERR_NONE)
		log_warn("look for unused layers of namespace %s: %s", s->ns, e.msg);
	else if (keys.n > 0)
		(void)gc_layers_start(s->c, s->ns, &keys, NULL, NULL);
	free_ptr(&s);
}

static void
sweep_one(struct content *c, const char *ns)
{
	struct snapshot_list_req req = { .limit = 0 };
	struct client_opts opts = { .ns = ns };
	struct err e = ERR_ZERO;
	struct sweep *s;

	if (drop_now(c, ns, NULL, clock_real_ns() - DAY_NS, NULL, NULL, &e) < 0)
		log_warn("look for unused blobs of namespace %s: %s", ns, e.msg);
	s = xcalloc(1, sizeof(*s));
	s->c = c;
	(void)snprintf(s->ns, sizeof(s->ns), "%.*s", IDENT_MAX, ns);
	if (client_call(c->client, &snapshot_snapshot_list_method, &opts, &req, on_listed, s, NULL,
		&e) < 0) {
		log_warn("look for unused layers of namespace %s: %s", ns, e.msg);
		free_ptr(&s);
	}
}

static int
ns_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	const struct namespace *ns = rec;

	(void)k;
	(void)e;
	set_add(arg, ns->name);
	return 0;
}

void
gc_sweep(struct content *c)
{
	AUTO(set_free) struct set names = { .n = 0 };
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;

	if (store_read(c->store, &t, &e) < 0 || store_each(t, TABLE_NAMESPACES, NULL, NULL,
						    &namespace_schema, &a, ns_one, &names, &e) < 0)
		log_warn("list namespaces: %s", e.msg);
	store_abort(&t);
	for (size_t i = 0; i < names.n; i++)
		sweep_one(c, names.v[i]);
}
