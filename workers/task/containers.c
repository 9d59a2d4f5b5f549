/* SPDX-License-Identifier: Apache-2.0 */
/* containers - see containers.h */
#include "workers/task/containers.h"

#include <stdio.h>

#include "lib/base/auto.h"
#include "workers/task/tells.h"

int
taskd_open_stores(struct taskd *t, const char *root, const char *state, struct err *e)
{
	static const char *const durable[] = { "containers", "specs", "told", "kept" };
	static const char *const fleeting[] = { "tasks" };
	AUTO(free_ptr) char *a = xasprintf("%s/task/db", root), *b = xasprintf("%s/task/db", state);
	int r;

	t->root = root;
	t->state = state;
	t->tells_end = &t->tells;
	if ((r = store_open(a, durable, COUNT(durable), true, &t->containers, e)) < 0 ||
	    (r = store_open(b, fleeting, COUNT(fleeting), false, &t->tasks, e)) < 0)
		taskd_close_stores(t);
	return r;
}

void
taskd_close_stores(struct taskd *t)
{
	store_close(&t->tasks);
	store_close(&t->containers);
}

static int
none(const char *id, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "container \"%s\" does not exist", id);
}

int
container_read(struct taskd *t, const char *ns, const char *id, struct arena *a,
    struct container_row *ret, struct err *e)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct key k;
	int r = store_read(t->containers, &txn, e);

	if (r < 0)
		return r;
	store_key(&k, ns, id);
	if (!store_has(txn, TABLE_CONTAINERS, &k))
		return none(id, e);
	return store_get(txn, TABLE_CONTAINERS, &k, &container_row_schema, a, ret, e);
}

int
container_read_spec(struct taskd *t, const char *ns, const char *id, struct arena *a,
    struct bytes *ret, struct err *e)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct spec_row row;
	struct key k;
	int r = store_read(t->containers, &txn, e);

	if (r < 0)
		return r;
	store_key(&k, ns, id);
	if (!store_has(txn, TABLE_SPECS, &k))
		return none(id, e);
	r = store_get(txn, TABLE_SPECS, &k, &spec_row_schema, a, &row, e);
	if (r == 0)
		*ret = row.spec;
	return r;
}

static bool
has(struct taskd *t, unsigned table, const char *ns, const char *id)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct err e = ERR_ZERO;
	struct key k;

	store_key(&k, ns, id);
	return store_read(t->containers, &txn, &e) == 0 && store_has(txn, table, &k);
}

const char *
container_snapshotter(struct taskd *t, const char *ns, const char *id, struct arena *a)
{
	struct container_row row;
	struct err ignored = ERR_ZERO;

	return container_read(t, ns, id, a, &row, &ignored) < 0 ? NULL : row.container->snapshotter;
}

bool
container_exists(struct taskd *t, const char *ns, const char *id)
{
	return has(t, TABLE_CONTAINERS, ns, id);
}

bool
container_kept(struct taskd *t, const char *ns, const char *id)
{
	return has(t, TABLE_KEPT, ns, id);
}

int
container_add(struct taskd *t, struct txn *txn, const char *ns, const struct container_row *row,
    struct bytes spec, struct err *e)
{
	const struct container *c = row->container;
	struct spec_row srow = { .spec = spec };
	struct ev_container ev = { .id = c->id, .image = c->image, .runtime = c->runtime };
	struct key k;
	int r;

	store_key(&k, ns, c->id);
	if ((r = tells_write(t, txn, e)) < 0 ||
	    (r = store_put(txn, TABLE_CONTAINERS, &k, &container_row_schema, row, e)) < 0 ||
	    (r = store_put(txn, TABLE_SPECS, &k, &spec_row_schema, &srow, e)) < 0 ||
	    (r = store_del(txn, TABLE_KEPT, &k, e)) < 0)
		return r;
	return store_event(txn, ns, "/containers/create", &ev, e);
}

int
container_remove(
    struct taskd *t, struct txn *txn, const char *ns, const char *id, bool kept, struct err *e)
{
	struct ev_container ev = { .id = id };
	struct nothing nothing;
	struct key k;
	int r;

	store_key(&k, ns, id);
	if ((r = tells_write(t, txn, e)) < 0 || (r = store_del(txn, TABLE_CONTAINERS, &k, e)) < 0 ||
	    (r = store_del(txn, TABLE_SPECS, &k, e)) < 0 ||
	    (kept && (r = store_put(txn, TABLE_KEPT, &k, &nothing_schema, &nothing, e)) < 0))
		return r;
	return store_event(txn, ns, "/containers/delete", &ev, e);
}

struct each {
	int (*fn)(void *arg, const struct container_row *row);
	void *arg;
};

static int
each_row(void *arg, const struct key *k, void *rec, struct err *e)
{
	const struct each *each = arg;

	(void)k;
	(void)e;
	return each->fn(each->arg, rec);
}

int
containers_each(struct taskd *t, const char *ns, const char *after, struct arena *a,
    int (*fn)(void *arg, const struct container_row *row), void *arg, struct err *e)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct each each = { .fn = fn, .arg = arg };
	struct key prefix, from;
	int r = store_read(t->containers, &txn, e);

	if (r < 0)
		return r;
	store_key(&prefix, ns, "");
	store_key(&from, ns, after == NULL ? "" : after);
	return store_each(txn, TABLE_CONTAINERS, &prefix, after == NULL ? NULL : &from,
	    &container_row_schema, a, each_row, &each, e);
}
