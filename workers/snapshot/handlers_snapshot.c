/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handlers_snapshot - prepare, mounts, get, list, usage, users, remove.
 *
 * Prepare: folder in new/, rename, then the row; a crash between leaves a folder without a row, which
 * the next start drops. Remove: the row goes first, then its folder to the trash; a crash between
 * leaves the same.
 */
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "lib/filter/page.h"
#include "lib/oci/passwd.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/snapshot.h"

#define HANDLERS_PROTOTYPES_ONLY
#define ACTOR snapshot
#define ACTOR_DEF "schemas/snapshot.def"
#define ACTOR_STATE struct snapshot_state
#include "bus/worker/handlers.h"

/* --- mounts -------------------------------------------------------------------------------------- */

static int
mounts_of(struct snapshot_state *s, struct txn *t, struct call *c, const struct snapshot_row *row,
    struct snapshot_mounts_rep *rep, struct err *e)
{
	uint64_t *lowers = arena_calloc(call_arena(c), OVERLAY_LOWERS_MAX, sizeof(*lowers));
	struct overlay_view v = { .number = row->number,
		.lowers = lowers,
		.writable = strcmp(row->snapshot->kind, "active") == 0 };
	int n = layers_chain(
	    t, row->snapshot->parent, call_arena(c), lowers, OVERLAY_LOWERS_MAX, e);

	if (n < 0)
		return n;
	v.nlowers = (unsigned)n;
	return overlay_mounts(s->overlay, &v, call_arena(c), rep, e);
}

int
snapshot_on_snapshot_mounts(struct snapshot_state *s, struct call *c,
    const struct snapshot_key_req *req, struct snapshot_mounts_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct snapshot_row row;
	int r = store_read(s->store, &t, e);

	if (r == 0)
		r = snapshots_get(t, call_ns(c), req->key, call_arena(c), &row, e);
	if (r < 0)
		return r;
	if (strcmp(row.snapshot->kind, "committed") == 0)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "snapshot %s is committed: prepare one from it to mount it", req->key);
	return mounts_of(s, t, c, &row, rep, e);
}

/* --- prepare ------------------------------------------------------------------------------------- */

/* What has to be true, and the lowers' numbers. */
static int
prepare_check(struct txn *t, struct call *c, const struct snapshot_prepare_req *req,
    uint64_t *ret_top, struct err *e)
{
	struct snapshot_row parent;
	char shown[300];
	int r = snapshots_key_check(req->key, e);

	if (r < 0)
		return r;
	if (snapshots_has(t, call_ns(c), req->key))
		return err_set(e, ERR_ALREADY_EXISTS, "snapshot %s", req->key);
	*ret_top = 0;
	if (req->parent == NULL)
		return 0;
	r = snapshots_get(t, call_ns(c), req->parent, call_arena(c), &parent, e);
	if (r < 0)
		return err_wrap(e, "parent");
	if (strcmp(parent.snapshot->kind, "committed") != 0)
		return err_set(e, ERR_FAILED_PRECONDITION, "parent %s is not committed",
		    ident_show(req->parent, shown, sizeof(shown)));
	*ret_top = parent.number;
	return 0;
}

/* The folder of a new snapshot, under its number. */
static int
prepare_folder(struct snapshot_state *s, uint64_t top, uint64_t *ret_number, struct err *e)
{
	char name[OVERLAY_NAME_MAX] = "";
	AUTO(fd_close) int fd = -1;
	struct err drop = ERR_ZERO;
	int r = overlay_make(s->overlay, name, &fd, e);

	if (r == 0)
		r = overlay_make_work(s->overlay, name, e);
	if (r == 0 && top != 0)
		r = overlay_like(s->overlay, name, top, e);
	FAULT_POINT("snapshot.prepare.made");
	if (r == 0)
		r = overlay_place(s->overlay, name, ret_number, e);
	if (r < 0 && overlay_drop_new(s->overlay, name, &drop) < 0)
		log_warn("%s", drop.msg);
	return r;
}

static int
prepare_commit(struct snapshot_state *s, struct call *c, struct txn **t,
    const struct snapshot_prepare_req *req, uint64_t number, struct snapshot_mounts_rep *rep,
    struct err *e)
{
	struct ev_snapshot ev = {
		.key = req->key, .parent = req->parent, .snapshotter = SNAPSHOTTER
	};
	int64_t now = clock_real_ns();
	struct snapshot snap = { .key = req->key,
		.parent = req->parent,
		.kind = req->view ? "view" : "active",
		.snapshotter = SNAPSHOTTER,
		.labels = req->labels,
		.created_at = now,
		.updated_at = now };
	struct snapshot_row row = { .snapshot = &snap, .number = number };
	int r = mounts_of(s, *t, c, &row, rep, e);

	if (r == 0)
		r = snapshots_add(*t, call_ns(c), &row, call_arena(c), e);
	if (r == 0)
		r = store_event(*t, call_ns(c), "/snapshot/prepare", &ev, e);
	return r < 0 ? r : call_commit(c, t, rep, e);
}

int
snapshot_on_snapshot_prepare(struct snapshot_state *s, struct call *c,
    const struct snapshot_prepare_req *req, struct snapshot_mounts_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct err drop = ERR_ZERO;
	uint64_t top, number;
	int r = store_write(s->store, &t, e);

	if (r == 0)
		r = prepare_check(t, c, req, &top, e);
	if (r == 0)
		r = prepare_folder(s, top, &number, e);
	if (r < 0)
		return r;
	FAULT_POINT("snapshot.prepare.placed");
	r = prepare_commit(s, c, &t, req, number, rep, e);
	if (r < 0 && overlay_drop(s->overlay, number, &drop) < 0)
		log_warn("%s", drop.msg);
	if (r < 0)
		trash_kick(s);
	return r;
}

/* --- reading ------------------------------------------------------------------------------------- */

int
snapshot_on_snapshot_get(struct snapshot_state *s, struct call *c,
    const struct snapshot_key_req *req, struct snapshot_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct snapshot_row row;
	int r = store_read(s->store, &t, e);

	if (r == 0)
		r = snapshots_get(t, call_ns(c), req->key, call_arena(c), &row, e);
	if (r == 0)
		rep->snapshot = row.snapshot;
	return r;
}

static int
list_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	const struct snapshot_row *row = rec;

	(void)k;
	return page_take(arg, row->snapshot, e);
}

int
snapshot_on_snapshot_list(struct snapshot_state *s, struct call *c,
    const struct snapshot_list_req *req, struct snapshot_list_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(c);
	struct key prefix, after;
	struct page p;
	int r;

	store_key(&prefix, call_ns(c), "");
	store_key(&after, call_ns(c), req->after == NULL ? "" : req->after);
	if ((r = page_start(&p, &snapshot_schema, &req->filters, req->limit, a, e)) < 0 ||
	    (r = store_read(s->store, &t, e)) < 0 ||
	    (r = store_each(t, TABLE_SNAPSHOTS, &prefix, &after, &snapshot_row_schema, a, list_one,
		 &p, e)) < 0)
		return r;
	page_end(&p, &rep->snapshots, &rep->more, &rep->next);
	return 0;
}

int
snapshot_on_snapshot_usage(struct snapshot_state *s, struct call *c,
    const struct snapshot_key_req *req, struct snapshot_usage_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct snapshot_row row;
	int r = store_read(s->store, &t, e);

	if (r == 0)
		r = snapshots_get(t, call_ns(c), req->key, call_arena(c), &row, e);
	if (r < 0)
		return r;
	if (strcmp(row.snapshot->kind, "committed") != 0)
		return usage_count(s, c, row.number);
	rep->size = row.snapshot->size;
	rep->inodes = row.snapshot->inodes;
	return 0;
}

/* --- users --------------------------------------------------------------------------------------- */

static int
resolve_in(struct snapshot_state *s, const struct snapshot_row *row, const uint64_t *numbers,
    unsigned n, const struct oci_user_ref *ref, struct oci_user *ret, struct err *e)
{
	AUTO(fd_close) int passwd = -1;
	AUTO(fd_close) int group = -1;
	int layers = overlay_layers_fd(s->overlay);
	int r = merged_open(layers, numbers, n, "etc/passwd", &passwd, e);

	if (r == 0)
		r = merged_open(layers, numbers, n, "etc/group", &group, e);
	if (r == 0)
		r = oci_user_resolve(ref, passwd, group, ret, e);
	return r < 0 ? err_wrap(e, "snapshot %s", row->snapshot->key) : 0;
}

int
snapshot_on_user_resolve(struct snapshot_state *s, struct call *c,
    const struct user_resolve_req *req, struct user_resolve_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(c);
	uint64_t *numbers = arena_calloc(a, OVERLAY_LOWERS_MAX + 1, sizeof(*numbers));
	struct oci_user *user = arena_calloc(a, 1, sizeof(*user));
	struct snapshot_row row;
	struct oci_user_ref ref;
	const char *chain;
	unsigned n = 0;
	int r = oci_user_parse(req->user == NULL ? "" : req->user, &ref, e);

	if (r == 0)
		r = store_read(s->store, &t, e);
	if (r == 0)
		r = snapshots_get(t, call_ns(c), req->key, a, &row, e);
	if (r < 0)
		return r;
	chain = row.snapshot->key;
	if (strcmp(row.snapshot->kind, "committed") != 0) {
		numbers[n++] = row.number;
		chain = row.snapshot->parent;
	}
	r = layers_chain(t, chain, a, numbers + n, OVERLAY_LOWERS_MAX, e);
	if (r >= 0)
		r = resolve_in(s, &row, numbers, n + (unsigned)r, &ref, user, e);
	if (r < 0)
		return r;
	rep->uid = user->uid;
	rep->gid = user->gid;
	rep->gids.v = arena_calloc(a, user->ngids + 1, sizeof(*rep->gids.v));
	for (unsigned i = 0; i < user->ngids; i++)
		rep->gids.v[rep->gids.n++] = arena_printf(a, "%u", user->gids[i]);
	return 0;
}

/* --- remove -------------------------------------------------------------------------------------- */

int
snapshot_on_snapshot_remove(struct snapshot_state *s, struct call *c,
    const struct snapshot_key_req *req, struct nothing *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct ev_snapshot ev = { .key = req->key, .snapshotter = SNAPSHOTTER };
	struct snapshot_row row;
	struct err drop = ERR_ZERO;
	bool gone = false;
	int r = store_write(s->store, &t, e);

	if (r == 0)
		r = snapshots_get(t, call_ns(c), req->key, call_arena(c), &row, e);
	if (r == 0)
		r = snapshots_remove(t, call_ns(c), &row, call_arena(c), &gone, e);
	if (r < 0)
		return r;
	ev.parent = row.snapshot->parent;
	r = store_event(t, call_ns(c), "/snapshot/remove", &ev, e);
	if (r == 0)
		r = call_commit(c, &t, rep, e);
	if (r < 0 || !gone)
		return r;
	FAULT_POINT("snapshot.remove.committed");
	if (overlay_drop(s->overlay, row.number, &drop) < 0)
		log_warn("%s", drop.msg); /* without a row: the next start tries again */
	trash_kick(s);
	return 0;
}
