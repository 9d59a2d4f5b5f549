/* SPDX-License-Identifier: Apache-2.0 */
/* leases - see leases.h; the handlers of lease_*. */
#include "workers/content/leases.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/ident.h"
#include "lib/filter/page.h"
#include "lib/oci/digest.h"
#include "workers/content/gc.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"
#include "lib/filter/labels.h"

#define LIST_MAX 1000

static void
held_key(struct key *k, const char *ns, const char *lease, const char *type, const char *id)
{
	AUTO(free_ptr) char *text = xasprintf("%s/%s/%s", lease, type, id);

	store_key(k, ns, text);
}

static int
lease_get(struct txn *t, const char *ns, const char *id, struct arena *a, struct lease *ret,
    struct err *e)
{
	char show[96];
	struct key k;

	store_key(&k, ns, id);
	if (!store_has(t, TABLE_LEASES, &k))
		return err_set(e, ERR_NOT_FOUND, "there is no lease %s in namespace %s",
		    ident_show(id, show, sizeof(show)), ns);
	return store_get(t, TABLE_LEASES, &k, &lease_schema, a, ret, e);
}

int
lease_hold(struct content *c, struct txn *t, const char *ns, const char *lease, const char *type,
    const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct lease_resource res = { .type = type, .id = id };
	enum node_type node;
	const char *key;
	struct lease row;
	struct key k;
	int r;

	if (lease == NULL)
		return 0;
	r = lease_get(t, ns, lease, &a, &row, e);
	if (r < 0)
		return r;
	lease_node(type, id, &a, &node, &key);
	gc_touch(c, node, ns, key);
	held_key(&k, ns, lease, type, id);
	return store_put(t, TABLE_HELD, &k, &lease_resource_schema, &res, e);
}

int
lease_release(struct txn *t, const char *ns, const char *lease, const char *type, const char *id,
    struct err *e)
{
	struct key k;

	if (lease == NULL)
		return 0;
	held_key(&k, ns, lease, type, id);
	return store_del(t, TABLE_HELD, &k, e);
}

struct held_drop {
	struct txn *t;
};

static int
held_drop_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct held_drop *d = arg;

	(void)rec;
	return store_del(d->t, TABLE_HELD, k, e);
}

int
lease_drop(struct txn *t, const char *ns, const char *lease, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct held_drop d = { .t = t };
	struct lease row;
	struct key k;
	int r = lease_get(t, ns, lease, &a, &row, e);

	if (r < 0)
		return r;
	held_key(&k, ns, lease, "", "");
	k.n--; /* "lease//": the prefix is "lease/" */
	r = store_each(t, TABLE_HELD, &k, NULL, &lease_resource_schema, &a, held_drop_one, &d, e);
	if (r < 0)
		return r;
	store_key(&k, ns, lease);
	return store_del(t, TABLE_LEASES, &k, e);
}

char *
lease_of_key(const struct key *k)
{
	const char *text = memchr(k->p, '\0', k->n);
	size_t n = 0;

	if (text != NULL)
		for (text++; text + n < k->p + k->n && text[n] != '/';)
			n++;
	return n > 0 ? xasprintf("%.*s", (int)n, text) : xstrdup("");
}

void
lease_node(const char *type, const char *id, struct arena *a, enum node_type *ret_type,
    const char **ret_key)
{
	*ret_key = id;
	if (strcmp(type, LEASE_CONTENT) == 0) {
		*ret_type = NODE_BLOB;
	} else if (strcmp(type, LEASE_IMAGES) == 0) {
		*ret_type = NODE_IMAGE;
	} else if (strcmp(type, LEASE_INGESTS) == 0) {
		*ret_type = NODE_DRAFT;
	} else {
		*ret_type = NODE_SNAPSHOT;
		*ret_key = arena_printf(a, "%s/%s", type + strlen(LEASE_SNAPSHOTS), id);
	}
}

/* --- handlers -------------------------------------------------------------------------------------- */

/* Types that there are, and ids that they may have. */
static int
resource_check(const struct lease_resource *res, struct err *e)
{
	struct digest d;
	char show[80];

	if (strcmp(res->type, LEASE_CONTENT) == 0)
		return digest_parse(res->id, &d, e);
	if (res->id[0] == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "what the lease is to hold has no name");
	if (strcmp(res->type, LEASE_IMAGES) == 0 || strcmp(res->type, LEASE_INGESTS) == 0)
		return 0;
	if (strncmp(res->type, LEASE_SNAPSHOTS, strlen(LEASE_SNAPSHOTS)) == 0)
		return ident_check("snapshotter", res->type + strlen(LEASE_SNAPSHOTS), e);
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "a lease holds content, images, ingests or snapshots/NAME, not \"%s\"",
	    ident_show(res->type, show, sizeof(show)));
}

int
content_on_lease_create(struct content *c, struct call *call, const struct lease_create_req *req,
    struct lease *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const char *ns = call_ns(call);
	const char *expire;
	char made[33];
	struct key k;
	int64_t end;
	int r;

	ident_random(made, 16);
	*rep = (struct lease){ .id = req->id != NULL ? req->id : made, .labels = { .n = 0 } };
	rep->created_at = clock_real_ns();
	labels_merge(&rep->labels, &req->labels, call_arena(call));
	rep->id = arena_strdup(call_arena(call), rep->id);
	if ((r = ident_check("lease", rep->id, e)) < 0 || (r = labels_check(&rep->labels, e)) < 0 ||
	    (r = store_write(c->store, &t, e)) < 0 || (r = namespace_ensure(t, ns, e)) < 0)
		return r;
	store_key(&k, ns, rep->id);
	if (store_has(t, TABLE_LEASES, &k))
		return err_set(e, ERR_ALREADY_EXISTS, "lease %s exists", rep->id);
	gc_touch(c, NODE_LEASE, ns, rep->id);
	if ((r = store_put(t, TABLE_LEASES, &k, &lease_schema, rep, e)) < 0 ||
	    (r = call_commit(call, &t, rep, e)) < 0)
		return r;
	expire = labels_get(&rep->labels, GC_LABEL_EXPIRE);
	if (expire != NULL && clock_parse(expire, &end))
		gc_expects(c, end);
	return 0;
}

int
content_on_lease_list(struct content *c, struct call *call, const struct lease_list_req *req,
    struct lease_list_rep *rep, struct err *e)
{
	const struct rows_ask l = { TABLE_LEASES, &lease_schema, req->after, &req->filters,
		req->limit };
	struct page p;
	int r = rows_page(c, call, &l, &p, e);

	if (r < 0)
		return r;
	page_end(&p, &rep->leases, &rep->more, &rep->next);
	return 0;
}

int
content_on_lease_delete(struct content *c, struct call *call, const struct lease_delete_req *req,
    struct nothing *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	int r;

	if ((r = store_write(c->store, &t, e)) < 0 ||
	    (r = lease_drop(t, call_ns(call), req->id, e)) < 0 ||
	    (r = call_commit(call, &t, rep, e)) < 0)
		return r;
	gc_deleted(c);
	return req->sync ? gc_before_reply(c, call) : 0;
}

int
content_on_lease_add(struct content *c, struct call *call, const struct lease_resource_req *req,
    struct nothing *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	int r;

	if ((r = resource_check(req->resource, e)) < 0 || (r = store_write(c->store, &t, e)) < 0 ||
	    (r = lease_hold(
		 c, t, call_ns(call), req->id, req->resource->type, req->resource->id, e)) < 0)
		return r;
	return call_commit(call, &t, rep, e);
}

int
content_on_lease_remove(struct content *c, struct call *call, const struct lease_resource_req *req,
    struct nothing *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct lease row;
	int r;

	if ((r = resource_check(req->resource, e)) < 0 || (r = store_write(c->store, &t, e)) < 0 ||
	    (r = lease_get(t, call_ns(call), req->id, call_arena(call), &row, e)) < 0 ||
	    (r = lease_release(
		 t, call_ns(call), req->id, req->resource->type, req->resource->id, e)) < 0 ||
	    (r = call_commit(call, &t, rep, e)) < 0)
		return r;
	gc_deleted(c);
	return 0;
}

static int
resource_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct lease_resources_rep *rep = arg;

	(void)k;
	(void)e;
	rep->more = rep->resources.n == LIST_MAX;
	if (rep->more)
		return 1;
	rep->resources.v[rep->resources.n++] = *(struct lease_resource *)rec;
	return 0;
}

int
content_on_lease_resources(struct content *c, struct call *call,
    const struct lease_resources_req *req, struct lease_resources_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const char *ns = call_ns(call);
	struct arena *a = call_arena(call);
	struct key prefix, after;
	struct lease row;
	int r;

	rep->resources.v = arena_calloc(a, LIST_MAX, sizeof(*rep->resources.v));
	if ((r = store_read(c->store, &t, e)) < 0 ||
	    (r = lease_get(t, ns, req->id, a, &row, e)) < 0)
		return r;
	held_key(&prefix, ns, req->id, "", "");
	prefix.n--;
	if (req->after != NULL)
		held_key(&after, ns, req->id, req->after->type, req->after->id);
	return store_each(t, TABLE_HELD, &prefix, req->after != NULL ? &after : NULL,
	    &lease_resource_schema, a, resource_one, rep, e);
}
