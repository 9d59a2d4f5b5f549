/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespaces - which there are. "default" is there without having been made.
 *
 * A namespace is made by namespace_create or by the first image pulled into it. It may be removed when
 * it has no image here, and no snapshot and no container where those are kept: they are asked one
 * after the other, and the row goes last.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "workers/content/gc.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"

#define NAMESPACES_MAX 10000

struct names {
	struct arena *a;
	struct namespace *v;
	uint32_t n;
};

static int
name_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct names *l = arg;

	(void)k;
	(void)e;
	if (l->n == NAMESPACES_MAX - 1)
		return 1;
	l->v[l->n++] = *(struct namespace *)rec;
	return 0;
}

int
content_on_namespace_list(struct content *c, struct call *call, const struct nothing *req,
    struct namespace_list_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct names l = { .a = call_arena(call) };
	uint64_t rows = 0;
	struct key k;
	int r;

	(void)req;
	if ((r = store_read(c->store, &t, e)) < 0 ||
	    (r = store_count(t, TABLE_NAMESPACES, &rows, e)) < 0)
		return r;
	l.v = arena_calloc(l.a, (size_t)rows + 1, sizeof(*l.v));
	r = store_each(t, TABLE_NAMESPACES, NULL, NULL, &namespace_schema, l.a, name_one, &l, e);
	if (r < 0)
		return r;
	store_key_text(&k, "default");
	if (!store_has(t, TABLE_NAMESPACES, &k)) {
		uint32_t at = 0;

		while (at < l.n && strcmp(l.v[at].name, "default") < 0)
			at++;
		memmove(l.v + at + 1, l.v + at, (l.n - at) * sizeof(*l.v));
		l.v[at] = (struct namespace){ .name = "default" };
		l.n++;
	}
	rep->namespaces.v = l.v;
	rep->namespaces.n = l.n;
	return 0;
}

int
content_on_namespace_create(struct content *c, struct call *call,
    const struct namespace_create_req *req, struct namespace *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct ev_namespace ev = { .name = req->name, .labels = req->labels };
	struct key k;
	int r = ident_check("namespace", req->name, e);

	if (r < 0)
		return r;
	r = store_write(c->store, &t, e);
	if (r < 0)
		return r;
	store_key_text(&k, req->name);
	if (store_has(t, TABLE_NAMESPACES, &k) || strcmp(req->name, "default") == 0)
		return err_set(e, ERR_ALREADY_EXISTS, "namespace %s exists", req->name);
	rep->name = req->name;
	rep->labels = req->labels;
	if ((r = store_put(t, TABLE_NAMESPACES, &k, &namespace_schema, rep, e)) < 0 ||
	    (r = store_event(t, req->name, "/namespaces/create", &ev, e)) < 0)
		return r;
	return call_commit(call, &t, rep, e);
}

/* --- remove ---------------------------------------------------------------------------------------- */

struct removal {
	struct content_note note;
	struct content *c;
	struct call *call;
	char ns[IDENT_MAX + 1];
	struct client_call *asked;
};

static int
any_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	(void)k;
	(void)rec;
	(void)e;
	*(bool *)arg = true;
	return 1;
}

static int
holds_images(struct txn *t, const char *ns, bool *ret, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct key prefix;

	*ret = false;
	store_key(&prefix, ns, "");
	return store_each(t, TABLE_IMAGES, &prefix, NULL, &image_schema, &a, any_one, ret, e);
}

static void
removal_end(struct removal *m, const struct err *e)
{
	struct call *call = m->call;

	client_cancel(&m->asked);
	free_ptr(&m);
	if (e != NULL) {
		call_fail(call, e);
	} else {
		struct nothing rep;

		call_reply(call, &rep);
	}
}

static void
removal_cancelled(struct content_note *note)
{
	struct removal *m = (struct removal *)note;

	client_cancel(&m->asked);
	free_ptr(&m);
}

static void
removal_refuse(struct removal *m, const char *what)
{
	struct err e = ERR_ZERO;

	(void)err_set(&e, ERR_FAILED_PRECONDITION, "namespace %s still has %s: remove them first",
	    m->ns, what);
	removal_end(m, &e);
}

/* Nothing is left in it: blobs of it that nobody uses, and its row. */
static int
removal_commit(struct removal *m, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(set_free) struct set files = { .n = 0 };
	struct ev_namespace ev = { .name = m->ns };
	struct nothing rep;
	struct key k;
	bool images;
	int r;

	if ((r = store_write(m->c->store, &t, e)) < 0 ||
	    (r = holds_images(t, m->ns, &images, e)) < 0)
		return r;
	if (images)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "namespace %s still has images: remove them first", m->ns);
	store_key_text(&k, m->ns);
	if ((r = gc_rows(m->c, t, m->ns, NULL, INT64_MAX, &files, e)) < 0 ||
	    (r = store_del(t, TABLE_NAMESPACES, &k, e)) < 0 ||
	    (r = store_event(t, m->ns, "/namespaces/delete", &ev, e)) < 0 ||
	    (r = call_commit(m->call, &t, &rep, e)) < 0)
		return r;
	(void)gc_files(m->c, &files);
	return 0;
}

static void
on_containers(void *arg, const void *rep, const struct err *e)
{
	struct removal *m = arg;
	const struct container_list_rep *list = rep;
	struct err own = ERR_ZERO;

	m->asked = NULL;
	if (e != NULL)
		removal_end(m, e);
	else if (list->containers.n > 0)
		removal_refuse(m, "containers");
	else if (removal_commit(m, &own) < 0)
		removal_end(m, &own);
	else
		removal_end(m, NULL);
}

static void
on_snapshots(void *arg, const void *rep, const struct err *e)
{
	struct removal *m = arg;
	const struct snapshot_list_rep *list = rep;
	struct container_list_req req = { .limit = 1 };
	struct client_opts opts = { .ns = m->ns };
	struct err own = ERR_ZERO;

	m->asked = NULL;
	if (e != NULL)
		removal_end(m, e);
	else if (list->snapshots.n > 0)
		removal_refuse(m, "snapshots");
	else if (client_call(m->c->client, &task_container_list_method, &opts, &req, on_containers,
		     m, &m->asked, &own) < 0)
		removal_end(m, &own);
}

int
content_on_namespace_remove(struct content *c, struct call *call,
    const struct namespace_remove_req *req, struct nothing *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct snapshot_list_req ask = { .limit = 1 };
	struct client_opts opts = { .ns = req->name };
	struct removal *m;
	struct key k;
	bool images;
	int r = ident_check("namespace", req->name, e);

	(void)rep;
	if (r < 0 || (r = store_read(c->store, &t, e)) < 0)
		return r;
	store_key_text(&k, req->name);
	if (strcmp(req->name, "default") == 0)
		return err_set(e, ERR_FAILED_PRECONDITION, "namespace default is always there");
	if (!store_has(t, TABLE_NAMESPACES, &k))
		return err_set(e, ERR_NOT_FOUND, "there is no namespace %s", req->name);
	r = holds_images(t, req->name, &images, e);
	if (r < 0)
		return r;
	if (images)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "namespace %s still has images: remove them first", req->name);
	m = xcalloc(1, sizeof(*m));
	m->note.cancelled = removal_cancelled;
	m->c = c;
	m->call = call;
	(void)snprintf(m->ns, sizeof(m->ns), "%s", req->name);
	r = client_call(
	    c->client, &snapshot_snapshot_list_method, &opts, &ask, on_snapshots, m, &m->asked, e);
	if (r < 0) {
		free_ptr(&m);
		return r;
	}
	call_note_set(call, &m->note);
	return CALL_LATER;
}
