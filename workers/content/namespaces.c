/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespaces - which there are. "default" is there without having been made.
 *
 * A namespace is made by namespace_create or by the first thing put into it. It is removed when it is
 * empty, with force together with what is in it: containers are asked for first and never taken along; a
 * collection takes what nobody holds (with force: everything); then what is still there is counted, and
 * the row goes last, when that is nothing.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "workers/content/gc.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"
#include "lib/filter/labels.h"

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

int
content_on_namespace_update(struct content *c, struct call *call,
    const struct namespace_update_req *req, struct namespace *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(call);
	struct ev_namespace ev = { .name = req->name };
	struct key k;
	int r;

	*rep = (struct namespace){ .name = req->name };
	store_key_text(&k, req->name);
	if ((r = ident_check("namespace", req->name, e)) < 0 ||
	    (r = store_write(c->store, &t, e)) < 0)
		return r;
	if (store_has(t, TABLE_NAMESPACES, &k))
		r = store_get(t, TABLE_NAMESPACES, &k, &namespace_schema, a, rep, e);
	else if (strcmp(req->name, "default") != 0)
		r = err_set(e, ERR_NOT_FOUND, "there is no namespace %s", req->name);
	if (r < 0 ||
	    (r = labels_update(&rep->labels, &req->labels, &req->fields, NULL, NULL, a, e)) < 0)
		return r;
	ev.labels = rep->labels;
	if ((r = store_put(t, TABLE_NAMESPACES, &k, &namespace_schema, rep, e)) < 0 ||
	    (r = store_event(t, req->name, "/namespaces/update", &ev, e)) < 0)
		return r;
	return call_commit(call, &t, rep, e);
}

/* --- remove ---------------------------------------------------------------------------------------- */

struct removal {
	struct content_note note;
	struct content *c;
	struct call *call;
	char ns[IDENT_MAX + 1];
	bool force, condemning;
	struct client_call *asked;
	struct gc_wait *wait;
};

static void
removal_free(struct removal **mp)
{
	struct removal *m = *mp;

	client_cancel(&m->asked);
	gc_detach(&m->wait);
	if (m->condemning)
		(void)gc_condemn(m->c, NULL);
	free_ptr(mp);
}

static void
removal_end(struct removal *m, const struct err *e)
{
	struct call *call = m->call;
	struct nothing rep;

	removal_free(&m);
	if (e != NULL)
		call_fail(call, e);
	else
		call_reply(call, &rep);
}

static void
removal_cancelled(struct content_note *note)
{
	struct removal *m = (struct removal *)note;

	removal_free(&m);
}

static int
count_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	(void)k;
	(void)rec;
	(void)e;
	++*(unsigned *)arg;
	return 0;
}

/* "2 images, 3 blobs" of what is in the namespace; empty when nothing is. */
static int
contents(struct txn *t, const char *ns, uint32_t snapshots, struct buf *out, struct err *e)
{
	static const struct {
		unsigned table;
		const struct schema *schema;
		const char *what;
	} tables[] = {
		{ TABLE_IMAGES, &image_schema, "image" },
		{ TABLE_BLOBS, &blob_schema, "blob" },
		{ TABLE_DRAFTS, &ingest_info_schema, "ingest" },
		{ TABLE_LEASES, &lease_schema, "lease" },
	};
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct key prefix;

	store_key(&prefix, ns, "");
	for (size_t i = 0; i <= COUNT(tables); i++) {
		unsigned n = i == COUNT(tables) ? snapshots : 0;
		int r = i == COUNT(tables) ? 0
					   : store_each(t, tables[i].table, &prefix, NULL,
						 tables[i].schema, &a, count_one, &n, e);

		if (r < 0)
			return r;
		if (n > 0)
			(void)buf_addf(out, "%s%u %s%s", out->len > 0 ? ", " : "", n,
			    i == COUNT(tables) ? "snapshot" : tables[i].what, n > 1 ? "s" : "");
	}
	return 0;
}

/* Its row, when nothing is left in it. */
static int
removal_commit(struct removal *m, uint32_t snapshots, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(buf_free) struct buf left = BUF_ZERO;
	struct ev_namespace ev = { .name = m->ns };
	struct nothing rep;
	struct key k;
	int r;

	if ((r = store_write(m->c->store, &t, e)) < 0 ||
	    (r = contents(t, m->ns, snapshots, &left, e)) < 0)
		return r;
	if (left.len > 0)
		return err_set(e, ERR_FAILED_PRECONDITION, "namespace %s still has %s: %s", m->ns,
		    buf_str(&left),
		    m->force ? "somebody is using it, try again"
			     : "remove them first, or use --force");
	store_key_text(&k, m->ns);
	if ((r = store_del(t, TABLE_NAMESPACES, &k, e)) < 0 ||
	    (r = store_event(t, m->ns, "/namespaces/delete", &ev, e)) < 0)
		return r;
	return call_commit(m->call, &t, &rep, e);
}

static void
on_snapshots(void *arg, const void *rep, const struct err *e)
{
	struct removal *m = arg;
	const struct snapshot_list_rep *list = rep;
	struct err own = ERR_ZERO;

	m->asked = NULL;
	if (e != NULL)
		removal_end(m, e);
	else
		removal_end(m, removal_commit(m, list->snapshots.n, &own) < 0 ? &own : NULL);
}

static void
on_collected(void *arg, const struct gc_totals *sum, const struct err *e)
{
	struct removal *m = arg;
	struct snapshot_list_req req = { .limit = 0 };
	struct client_opts opts = { .ns = m->ns };
	struct err own = ERR_ZERO;

	(void)sum;
	m->wait = NULL;
	if (e != NULL)
		removal_end(m, e);
	else if (client_call(m->c->client, &snapshot_snapshot_list_method, &opts, &req,
		     on_snapshots, m, &m->asked, &own) < 0)
		removal_end(m, &own);
}

static void
on_containers(void *arg, const void *rep, const struct err *e)
{
	struct removal *m = arg;
	const struct container_list_rep *list = rep;
	struct err own = ERR_ZERO;

	m->asked = NULL;
	if (e == NULL && list->containers.n > 0)
		(void)err_set(&own, ERR_FAILED_PRECONDITION,
		    "namespace %s still has containers (%s): delete them first", m->ns,
		    list->containers.v[0].container->id);
	else if (e == NULL && m->force && !(m->condemning = gc_condemn(m->c, m->ns)))
		(void)err_set(&own, ERR_UNAVAILABLE,
		    "another namespace is being removed: try again when it is gone");
	if (e != NULL || own.code != ERR_NONE)
		removal_end(m, e != NULL ? e : &own);
	else
		m->wait = gc_run(m->c, on_collected, m);
}

int
content_on_namespace_remove(struct content *c, struct call *call,
    const struct namespace_remove_req *req, struct nothing *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct container_list_req ask = { .limit = 1 };
	struct client_opts opts = { .ns = req->name };
	struct removal *m;
	struct key k;
	int r = ident_check("namespace", req->name, e);

	(void)rep;
	if (r < 0 || (r = store_read(c->store, &t, e)) < 0)
		return r;
	store_key_text(&k, req->name);
	if (strcmp(req->name, "default") == 0)
		return err_set(e, ERR_FAILED_PRECONDITION, "namespace default is always there");
	if (!store_has(t, TABLE_NAMESPACES, &k))
		return err_set(e, ERR_NOT_FOUND, "there is no namespace %s", req->name);
	m = xcalloc(1, sizeof(*m));
	m->note.cancelled = removal_cancelled;
	m->c = c;
	m->call = call;
	m->force = req->force;
	(void)snprintf(m->ns, sizeof(m->ns), "%s", req->name);
	r = client_call(
	    c->client, &task_container_list_method, &opts, &ask, on_containers, m, &m->asked, e);
	if (r < 0) {
		removal_free(&m);
		return r;
	}
	call_note_set(call, &m->note);
	return CALL_LATER;
}
