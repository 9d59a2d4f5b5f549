/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handlers_snapshot - prepare, commit, mounts, get, list, update, usage, diff, users, remove.
 *
 * Prepare: folder in new/, rename, then the row; a crash between leaves a folder without a row, which
 * the next start drops. Commit: a child brings the folder to disk and counts, then one transaction turns
 * its record; the folder stays where it is. Remove: the row goes first, then its folder to the trash; a
 * crash between leaves the same.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "lib/filter/labels.h"
#include "lib/filter/page.h"
#include "lib/oci/passwd.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/snapshot.h"

#define HANDLERS_PROTOTYPES_ONLY
#define ACTOR snapshot
#define ACTOR_DEF "schemas/snapshot.def"
#define ACTOR_STATE struct snapshot_state
#include "bus/worker/handlers.h"

/* --- common -------------------------------------------------------------------------------------- */

/* The snapshot that is meant. */
static int
row_get(struct snapshot_state *s, struct txn *t, struct call *c, const char *name, const char *key,
    const struct snapshotter **ret_sn, struct snapshot_row *row, struct err *e)
{
	*ret_sn = snapshotter_wanted(s, name, e);
	if (*ret_sn == NULL)
		return -(int)e->code;
	return snapshots_get(t, call_ns(c), (*ret_sn)->name, key, call_arena(c), row, e);
}

static bool
is_committed(const struct snapshot_row *row)
{
	return strcmp(row->snapshot->kind, "committed") == 0;
}

/* Its own folder goes; the trash is emptied in the background. */
static void
folder_drop(struct snapshot_state *s, const struct snapshotter *sn, uint64_t number)
{
	struct err e = ERR_ZERO;

	if ((sn->close != NULL && sn->close(s->shelf, number, &e) < 0) ||
	    shelf_drop(s->shelf, sn->id, number, &e) < 0)
		log_warn("%s", e.msg); /* without a row: the next start tries again */
	trash_kick(s);
}

/* --- mounts -------------------------------------------------------------------------------------- */

static int
mounts_of(struct snapshot_state *s, struct txn *t, struct call *c, const struct snapshot_row *row,
    struct snapshot_mounts_rep *rep, struct err *e)
{
	const struct snapshotter *sn = snapshotter_named(row->snapshot->snapshotter);
	struct arena *a = call_arena(c);
	uint64_t *lowers = arena_calloc(a, LOWERS_MAX, sizeof(*lowers));
	struct snapshot_view v = { .number = row->number,
		.lowers = lowers,
		.writable = strcmp(row->snapshot->kind, "active") == 0 };
	int n = snapshots_below(t, call_ns(c), row, a, lowers, LOWERS_MAX, e);

	if (n < 0)
		return n;
	v.nlowers = (unsigned)n;
	rep->snapshotter = arena_strdup(a, sn->name);
	n = snapshotter_open(sn, s->shelf, lowers, v.nlowers, e);
	return n < 0 ? n : sn->mounts(sn, s->shelf, &v, a, rep, e);
}

int
snapshot_on_snapshot_mounts(struct snapshot_state *s, struct call *c,
    const struct snapshot_key_req *req, struct snapshot_mounts_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const struct snapshotter *sn;
	struct snapshot_row row;
	int r;

	if ((r = store_read(s->store, &t, e)) < 0 ||
	    (r = row_get(s, t, c, req->snapshotter, req->key, &sn, &row, e)) < 0)
		return r;
	if (is_committed(&row))
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "snapshot %s is committed: prepare one from it to mount it", req->key);
	return mounts_of(s, t, c, &row, rep, e);
}

/* --- prepare ------------------------------------------------------------------------------------- */

/* What has to be true, and the folder of the layer below (0: none). */
static int
prepare_check(struct txn *t, struct call *c, const struct snapshotter *sn,
    const struct snapshot_prepare_req *req, uint64_t *ret_top, struct err *e)
{
	struct snapshot_row parent;
	char shown[300];
	int r = snapshots_key_check(req->key, e);

	if (r < 0)
		return r;
	if (snapshots_has(t, call_ns(c), sn->name, req->key))
		return err_set(e, ERR_ALREADY_EXISTS, "there is a snapshot %s already", req->key);
	*ret_top = 0;
	if (req->parent == NULL)
		return 0;
	r = snapshots_get(t, call_ns(c), sn->name, req->parent, call_arena(c), &parent, e);
	if (r < 0)
		return err_wrap(e, "parent");
	if (!is_committed(&parent))
		return err_set(e, ERR_FAILED_PRECONDITION, "parent %s is not committed",
		    ident_show(req->parent, shown, sizeof(shown)));
	*ret_top = parent.number;
	return 0;
}

static int
prepare_furnish(struct snapshot_state *s, const struct snapshotter *sn, const char *name,
    uint64_t top, struct err *e)
{
	AUTO(fd_close) int dir = shelf_made_fd(s->shelf, name);
	AUTO(fd_close) int below = -1;

	if (sn->furnish == NULL)
		return 0;
	if (dir < 0)
		return err_sys(e, errno, "open new/%s", name);
	if (top != 0) {
		if (snapshotter_open(sn, s->shelf, &top, 1, e) < 0)
			return -(int)e->code;
		below = shelf_fs(s->shelf, sn->id, top);
		if (below < 0)
			return err_sys(e, errno, "open layer %llu", (unsigned long long)top);
	}
	return sn->furnish(dir, below, e);
}

/* The folder of a new snapshot, under its number. */
static int
prepare_folder(struct snapshot_state *s, const struct snapshotter *sn, uint64_t top,
    uint64_t *ret_number, struct err *e)
{
	char name[SHELF_NAME_MAX] = "";
	AUTO(fd_close) int fd = -1;
	struct err drop = ERR_ZERO;
	int r = shelf_make(s->shelf, name, &fd, e);

	if (r == 0)
		r = prepare_furnish(s, sn, name, top, e);
	FAULT_POINT("snapshot.prepare.made");
	if (r == 0)
		r = shelf_place(s->shelf, sn->id, name, ret_number, e);
	if (r < 0 && shelf_drop_new(s->shelf, name, &drop) < 0)
		log_warn("%s", drop.msg);
	return r;
}

static int
prepare_commit(struct snapshot_state *s, struct call *c, struct txn **t,
    const struct snapshotter *sn, const struct snapshot_prepare_req *req, uint64_t number,
    struct snapshot_mounts_rep *rep, struct err *e)
{
	struct ev_snapshot ev = { .key = req->key, .parent = req->parent, .snapshotter = sn->name };
	int64_t now = clock_real_ns();
	struct snapshot snap = { .key = req->key,
		.parent = req->parent,
		.kind = req->view ? "view" : "active",
		.snapshotter = sn->name,
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

/* A snapshot that starts as a copy. */
struct copying {
	const struct snapshotter *sn;
	const struct snapshot_prepare_req *req;
	char name[SHELF_NAME_MAX]; /* in new/ */
};

/* The folder is there: it gets its number and its record, if all is still as it was. */
static int
copy_place(struct snapshot_state *s, struct call *c, struct copying *m,
    struct snapshot_mounts_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	uint64_t top, number;
	int r;

	if ((r = store_write(s->store, &t, e)) < 0 ||
	    (r = prepare_check(t, c, m->sn, m->req, &top, e)) < 0 ||
	    (r = shelf_place(s->shelf, m->sn->id, m->name, &number, e)) < 0)
		return r;
	FAULT_POINT("snapshot.prepare.copied");
	r = prepare_commit(s, c, &t, m->sn, m->req, number, rep, e);
	if (r < 0)
		folder_drop(s, m->sn, number);
	return r;
}

static int
on_copied(struct snapshot_state *s, struct call *c, void *arg, const struct nursery_report *r,
    const void **ret_rep, struct err *e)
{
	struct copying *m = arg;
	struct snapshot_mounts_rep *rep = NULL;
	struct err drop = ERR_ZERO;
	int ret = -1;

	if (r != NULL) {
		rep = arena_calloc(call_arena(c), 1, sizeof(*rep));
		ret = copy_place(s, c, m, rep, e);
	}
	if (ret < 0 && shelf_drop_new(s->shelf, m->name, &drop) < 0)
		log_warn("%s", drop.msg);
	trash_kick(s);
	*ret_rep = rep;
	return ret;
}

/* Gives a child the copying. */
static int
copy_start(struct snapshot_state *s, struct call *c, const struct snapshotter *sn,
    const struct snapshot_prepare_req *req, uint64_t top, struct err *e)
{
	struct arena *a = call_arena(c);
	struct copying *m = arena_calloc(a, 1, sizeof(*m));
	struct chore_ask ask = { .op = NURSERY_COPY, .file = -1, .done = on_copied, .arg = m };
	struct err drop = ERR_ZERO;
	int r;

	m->sn = sn;
	m->req = req;
	r = shelf_make(s->shelf, m->name, &ask.folder, e);
	if (r < 0)
		return r;
	ask.what = arena_printf(a, "copy layer %s", req->parent);
	ask.file = shelf_fs(s->shelf, sn->id, top);
	if (ask.file >= 0)
		return chore_add(s, c, &ask);
	r = err_sys(e, errno, "open layer %s", req->parent);
	fd_close(&ask.folder);
	if (shelf_drop_new(s->shelf, m->name, &drop) < 0)
		log_warn("%s", drop.msg);
	return r;
}

int
snapshot_on_snapshot_prepare(struct snapshot_state *s, struct call *c,
    const struct snapshot_prepare_req *req, struct snapshot_mounts_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const struct snapshotter *sn = snapshotter_wanted(s, req->snapshotter, e);
	uint64_t top, number;
	int r;

	if (sn == NULL)
		return -(int)e->code;
	if ((r = store_write(s->store, &t, e)) < 0 ||
	    (r = prepare_check(t, c, sn, req, &top, e)) < 0)
		return r;
	if (sn->whole && top != 0 && !req->view)
		return copy_start(s, c, sn, req, top, e);
	if ((r = prepare_folder(s, sn, top, &number, e)) < 0)
		return r;
	FAULT_POINT("snapshot.prepare.placed");
	r = prepare_commit(s, c, &t, sn, req, number, rep, e);
	if (r < 0)
		folder_drop(s, sn, number);
	return r;
}

/* --- commit -------------------------------------------------------------------------------------- */

struct commit {
	const struct snapshotter *sn;
	const struct snapshot_commit_req *req;
};

/* What has to be true. */
static int
commit_check(
    struct txn *t, struct call *c, const struct commit *m, struct snapshot_row *ret, struct err *e)
{
	const char *ns = call_ns(c), *sn = m->sn->name;
	char shown[300];
	int r;

	if ((r = snapshots_key_check(m->req->name, e)) < 0 ||
	    (r = labels_check(&m->req->labels, e)) < 0 ||
	    (r = snapshots_get(t, ns, sn, m->req->key, call_arena(c), ret, e)) < 0)
		return r;
	if (strcmp(ret->snapshot->kind, "active") != 0)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "snapshot %s is a %s one: only an active one can be committed",
		    ident_show(m->req->key, shown, sizeof(shown)), ret->snapshot->kind);
	if (snapshots_has(t, ns, sn, m->req->name))
		return err_set(
		    e, ERR_ALREADY_EXISTS, "there is a snapshot %s already", m->req->name);
	return 0;
}

/* The record and the layer of the committed one. */
static int
commit_rows(struct txn *t, struct call *c, const struct commit *m, struct snapshot_row *row,
    const struct nursery_report *r, struct err *e)
{
	struct arena *a = call_arena(c);
	const char *ns = call_ns(c);
	struct snapshots_gone gone;
	struct snapshot_row parent;
	struct layer_row layer = { .chain_id = arena_printf(a, "%s/%s", ns, m->req->name),
		.snapshotter = m->sn->name,
		.number = row->number,
		.size = r->bytes,
		.inodes = r->inodes };
	struct snapshot *snap = row->snapshot;
	int ret = snapshots_remove(t, ns, row, a, &gone, e);

	if (ret == 0 && snap->parent != NULL) {
		ret = snapshots_get(t, ns, m->sn->name, snap->parent, a, &parent, e);
		if (ret == 0)
			layer.parent = snapshots_layer(&parent);
	}
	if (ret == 0)
		ret = layers_add(t, &layer, a, e);
	if (ret < 0)
		return ret;
	snap->key = m->req->name;
	snap->kind = "committed";
	snap->labels = m->req->labels;
	snap->created_at = snap->updated_at = clock_real_ns();
	snap->size = r->bytes;
	snap->inodes = r->inodes;
	row->layer = layer.chain_id;
	return snapshots_add(t, ns, row, a, e);
}

static int
on_sealed(struct snapshot_state *s, struct call *c, void *arg, const struct nursery_report *r,
    const void **ret_rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const struct commit *m = arg;
	struct ev_snapshot ev = { .key = m->req->name, .snapshotter = m->sn->name };
	struct snapshot_rep *rep;
	struct snapshot_row row;
	int ret;

	if (r == NULL)
		return 0;
	if ((ret = store_write(s->store, &t, e)) < 0 || (ret = commit_check(t, c, m, &row, e)) < 0)
		return ret;
	ev.parent = row.snapshot->parent;
	if ((ret = commit_rows(t, c, m, &row, r, e)) < 0 ||
	    (ret = store_event(t, call_ns(c), "/snapshot/commit", &ev, e)) < 0)
		return ret;
	rep = arena_calloc(call_arena(c), 1, sizeof(*rep));
	rep->snapshot = row.snapshot;
	*ret_rep = rep;
	FAULT_POINT("snapshot.commit.sealed");
	return call_commit(c, &t, rep, e);
}

int
snapshot_on_snapshot_commit(struct snapshot_state *s, struct call *c,
    const struct snapshot_commit_req *req, struct snapshot_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct commit *m = arena_calloc(call_arena(c), 1, sizeof(*m));
	struct chore_ask ask = { .op = NURSERY_SEAL, .file = -1, .done = on_sealed, .arg = m };
	struct snapshot_row row;
	int r;

	(void)rep;
	m->req = req;
	m->sn = snapshotter_wanted(s, req->snapshotter, e);
	if (m->sn == NULL)
		return -(int)e->code;
	if ((r = store_read(s->store, &t, e)) < 0 || (r = commit_check(t, c, m, &row, e)) < 0)
		return r;
	ask.what = arena_printf(call_arena(c), "commit snapshot %s", req->key);
	if (shelf_check_owners(s->shelf, m->sn->id, row.number, e) < 0)
		return err_wrap(e, "%s", ask.what);
	ask.folder = shelf_fs(s->shelf, m->sn->id, row.number);
	if (ask.folder < 0)
		return err_sys(e, errno, "open snapshot %s", req->key);
	return chore_add(s, c, &ask);
}

/* --- reading ------------------------------------------------------------------------------------- */

int
snapshot_on_snapshot_get(struct snapshot_state *s, struct call *c,
    const struct snapshot_key_req *req, struct snapshot_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const struct snapshotter *sn;
	struct snapshot_row row;
	int r = store_read(s->store, &t, e);

	if (r == 0)
		r = row_get(s, t, c, req->snapshotter, req->key, &sn, &row, e);
	if (r == 0)
		rep->snapshot = row.snapshot;
	return r;
}

struct listing {
	struct page page;
	const char *last; /* snapshotter of the row looked at */
};

static int
list_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	const struct snapshot_row *row = rec;
	struct listing *l = arg;
	int r = page_take(&l->page, row->snapshot, e);

	(void)k;
	if (r == 0)
		l->last = row->snapshot->snapshotter;
	return r;
}

/* after: "snapshotter/key", as next says. */
int
snapshot_on_snapshot_list(struct snapshot_state *s, struct call *c,
    const struct snapshot_list_req *req, struct snapshot_list_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(c);
	const struct snapshotter *sn = NULL;
	struct key prefix, after;
	struct listing l = { .last = NULL };
	int r;

	if (req->snapshotter != NULL && (sn = snapshotter_wanted(s, req->snapshotter, e)) == NULL)
		return -(int)e->code;
	store_key(&prefix, call_ns(c), sn == NULL ? "" : arena_printf(a, "%s/", sn->name));
	store_key(&after, call_ns(c), req->after == NULL ? "" : req->after);
	if ((r = page_start(&l.page, &snapshot_schema, &req->filters, req->limit, a, e)) < 0 ||
	    (r = store_read(s->store, &t, e)) < 0 ||
	    (r = store_each(t, TABLE_SNAPSHOTS, &prefix, &after, &snapshot_row_schema, a, list_one,
		 &l, e)) < 0)
		return r;
	page_end(&l.page, &rep->snapshots, &rep->more, &rep->next);
	if (rep->next != NULL)
		rep->next = arena_printf(a, "%s/%s", l.last, rep->next);
	return 0;
}

static int
on_counted(struct snapshot_state *s, struct call *c, void *arg, const struct nursery_report *r,
    const void **ret_rep, struct err *e)
{
	struct snapshot_usage_rep *rep = arg;

	(void)s;
	(void)c;
	(void)e;
	if (r == NULL)
		return 0;
	*rep = (struct snapshot_usage_rep){ .size = r->bytes, .inodes = r->inodes };
	*ret_rep = rep;
	return 0;
}

int
snapshot_on_snapshot_usage(struct snapshot_state *s, struct call *c,
    const struct snapshot_key_req *req, struct snapshot_usage_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(c);
	struct chore_ask ask = { .op = NURSERY_COUNT, .file = -1, .done = on_counted };
	const struct snapshotter *sn;
	struct snapshot_row row;
	int r;

	if ((r = store_read(s->store, &t, e)) < 0 ||
	    (r = row_get(s, t, c, req->snapshotter, req->key, &sn, &row, e)) < 0)
		return r;
	if (is_committed(&row)) {
		rep->size = row.snapshot->size;
		rep->inodes = row.snapshot->inodes;
		return 0;
	}
	ask.arg = arena_calloc(a, 1, sizeof(*rep));
	ask.what = arena_printf(a, "count snapshot %s", req->key);
	ask.folder = shelf_fs(s->shelf, sn->id, row.number);
	if (ask.folder < 0)
		return err_sys(e, errno, "open snapshot %s", req->key);
	return chore_add(s, c, &ask);
}

/* --- labels -------------------------------------------------------------------------------------- */

int
snapshot_on_snapshot_update(struct snapshot_state *s, struct call *c,
    const struct snapshot_update_req *req, struct snapshot_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const struct snapshotter *sn;
	struct snapshot_row row;
	struct snapshot *snap;
	int r;

	if ((r = store_write(s->store, &t, e)) < 0 ||
	    (r = row_get(s, t, c, req->snapshotter, req->key, &sn, &row, e)) < 0)
		return r;
	snap = row.snapshot;
	if ((r = labels_update(
		 &snap->labels, &req->labels, &req->fields, NULL, NULL, call_arena(c), e)) < 0)
		return r;
	snap->updated_at = clock_real_ns();
	if ((r = snapshots_put(t, call_ns(c), &row, e)) < 0)
		return r;
	rep->snapshot = snap;
	return call_commit(c, &t, rep, e);
}

/* --- diff ---------------------------------------------------------------------------------------- */

int
snapshot_on_snapshot_diff(struct snapshot_state *s, struct call *c,
    const struct snapshot_diff_req *req, struct snapshot_diff_rep *rep, struct err *e)
{
	(void)rep;
	return diffs_add(s, c, req, e);
}

/* --- users --------------------------------------------------------------------------------------- */

static int
resolve_in(struct snapshot_state *s, const struct snapshotter *sn, const uint64_t *numbers,
    unsigned n, const struct oci_user_ref *ref, struct oci_user *ret, struct err *e)
{
	AUTO(fd_close) int passwd = -1;
	AUTO(fd_close) int group = -1;
	int layers = shelf_kind_fd(s->shelf, sn->id), r;

	if ((r = snapshotter_open(sn, s->shelf, numbers, n, e)) < 0 ||
	    (r = merged_open(layers, numbers, n, "etc/passwd", &passwd, e)) < 0 ||
	    (r = merged_open(layers, numbers, n, "etc/group", &group, e)) < 0)
		return r;
	return oci_user_resolve(ref, passwd, group, ret, e);
}

int
snapshot_folders(struct txn *t, struct call *c, const struct snapshotter *sn,
    const struct snapshot_row *row, bool below, uint64_t *numbers, struct err *e)
{
	struct arena *a = call_arena(c);
	bool view = strcmp(row->snapshot->kind, "view") == 0;
	int own = 0, n;

	if (is_committed(row) && !below) {
		n = layers_chain(t, sn->name, snapshots_layer(row), a, numbers, LOWERS_MAX, e);
	} else {
		if (!below && !(sn->whole && view)) /* which has nothing of its own */
			numbers[own++] = row->number;
		n = snapshots_below(t, call_ns(c), row, a, numbers + own, LOWERS_MAX, e);
	}
	if (n < 0)
		return n;
	return sn->whole && own + n > 1 ? 1 : own + n; /* the topmost has the others in it */
}

int
snapshot_on_user_resolve(struct snapshot_state *s, struct call *c,
    const struct user_resolve_req *req, struct user_resolve_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(c);
	uint64_t *numbers = arena_calloc(a, LOWERS_MAX + 1, sizeof(*numbers));
	struct oci_user *user = arena_calloc(a, 1, sizeof(*user));
	const struct snapshotter *sn;
	struct snapshot_row row;
	struct oci_user_ref ref;
	int r;

	if ((r = oci_user_parse(req->user == NULL ? "" : req->user, &ref, e)) < 0 ||
	    (r = store_read(s->store, &t, e)) < 0 ||
	    (r = row_get(s, t, c, req->snapshotter, req->key, &sn, &row, e)) < 0 ||
	    (r = snapshot_folders(t, c, sn, &row, false, numbers, e)) < 0)
		return r;
	r = resolve_in(s, sn, numbers, (unsigned)r, &ref, user, e);
	if (r < 0)
		return err_wrap(e, "snapshot %s", row.snapshot->key);
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
	const struct snapshotter *sn;
	struct ev_snapshot ev = { .key = req->key };
	struct snapshots_gone gone;
	struct snapshot_row row;
	int r;

	if ((r = store_write(s->store, &t, e)) < 0 ||
	    (r = row_get(s, t, c, req->snapshotter, req->key, &sn, &row, e)) < 0 ||
	    (r = snapshots_remove(t, call_ns(c), &row, call_arena(c), &gone, e)) < 0)
		return r;
	ev.snapshotter = sn->name;
	ev.parent = row.snapshot->parent;
	if ((r = store_event(t, call_ns(c), "/snapshot/remove", &ev, e)) < 0 ||
	    (r = call_commit(c, &t, rep, e)) < 0)
		return r;
	FAULT_POINT("snapshot.remove.committed");
	for (size_t i = 0; i < gone.n; i++)
		folder_drop(s, sn, gone.v[i]);
	return 0;
}
