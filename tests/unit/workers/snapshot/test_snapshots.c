/* SPDX-License-Identifier: Apache-2.0 */
/* Records of snapshots and layers, their folders, and what a start makes of a disorder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/sysmacros.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/snapshot/shelf.h"
#include "workers/snapshot/snapshotter.h"
#include "workers/snapshot/snapshots.h"

/* The longest namespace there is: the keys get longer than LMDB takes. */
#define NS76 "n234567890123456789012345678901234567890123456789012345678901234567890123456"

struct fix {
	char dir[64];
	struct store *store;
	struct shelf *shelf;
	struct arena arena;
	struct err e;
	uint64_t lost; /* a folder that is not there */
	unsigned used;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));
	char path[96];

	(void)strcpy(f->dir, "/tmp/coffer-snapshots-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(path, sizeof(path), "%s/db", f->dir);
	assert_int_equal(
	    store_open(path, snapshots_tables, TABLE_COUNT, false, &f->store, &f->e), 0);
	assert_int_equal(shelf_open(f->dir, &f->shelf, &f->e), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	store_close(&f->store);
	shelf_close(&f->shelf);
	arena_free(&f->arena);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &f->e), 0);
	free(f);
	return 0;
}

static int
add(struct fix *f, const char *ns, const char *key, const char *parent, const char *kind,
    uint64_t number)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct snapshot s = { .key = key,
		.parent = parent,
		.kind = kind,
		.snapshotter = "overlay",
		.created_at = 1,
		.updated_at = 1 };
	struct snapshot_row row = { .snapshot = &s, .number = number };
	int r = store_write(f->store, &t, &f->e);

	if (r == 0)
		r = snapshots_add(t, ns, &row, &f->arena, &f->e);
	return r < 0 ? r : store_commit(&t, &f->e);
}

static void
add_layer(struct fix *f, const char *chain, const char *parent, uint64_t number, bool opaque)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct layer_row l = { .chain_id = chain,
		.snapshotter = "overlay",
		.parent = parent,
		.diff_id = "sha256:x",
		.number = number,
		.opaque_root = opaque };

	assert_int_equal(store_write(f->store, &t, &f->e), 0);
	assert_int_equal(layers_add(t, &l, &f->arena, &f->e), 0);
	assert_int_equal(store_commit(&t, &f->e), 0);
}

static int
drop(struct fix *f, const char *ns, const char *key, bool *gone)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct snapshots_gone drops;
	struct snapshot_row row;
	int r = store_write(f->store, &t, &f->e);

	if (r == 0)
		r = snapshots_get(t, ns, "overlay", key, &f->arena, &row, &f->e);
	if (r == 0)
		r = snapshots_remove(t, ns, &row, &f->arena, &drops, &f->e);
	if (r == 0)
		*gone = drops.n > 0;
	return r < 0 ? r : store_commit(&t, &f->e);
}

static bool
has(struct fix *f, const char *ns, const char *key)
{
	AUTO(store_abort) struct txn *t = NULL;

	assert_int_equal(store_read(f->store, &t, &f->e), 0);
	return snapshots_has(t, ns, "overlay", key);
}

static int
chain(struct fix *f, const char *top, uint64_t *numbers, unsigned max)
{
	AUTO(store_abort) struct txn *t = NULL;

	assert_int_equal(store_read(f->store, &t, &f->e), 0);
	return layers_chain(t, "overlay", top, &f->arena, numbers, max, &f->e);
}

static void
layers_are_shared_and_counted(void **state)
{
	struct fix *f = *state;
	bool gone = true;
	uint64_t n[4];

	assert_int_equal(add(f, "a", "L1", NULL, "committed", 1), -ERR_NOT_FOUND);
	add_layer(f, "L1", NULL, 1, false);
	assert_int_equal(add(f, "a", "L1", NULL, "committed", 1), 0);
	assert_int_equal(add(f, "b", "L1", NULL, "committed", 1), 0);
	assert_int_equal(drop(f, "a", "L1", &gone), 0);
	assert_false(gone);
	assert_int_equal(chain(f, "L1", n, 4), 1);
	assert_int_equal(drop(f, "a", "L1", &gone), -ERR_NOT_FOUND);
	assert_int_equal(drop(f, "b", "L1", &gone), 0);
	assert_true(gone);
	assert_int_equal(chain(f, "L1", n, 4), -ERR_FAILED_PRECONDITION);
	assert_non_null(strstr(f->e.msg, "layer L1 is missing"));
}

static void
parents_stay(void **state)
{
	struct fix *f = *state;
	bool gone = false;

	add_layer(f, "L1", NULL, 1, false);
	assert_int_equal(add(f, "a", "L1", NULL, "committed", 1), 0);
	assert_int_equal(add(f, "a", "c1", "L1", "active", 2), 0);
	assert_int_equal(add(f, "b", "L1", NULL, "committed", 1), 0);
	assert_int_equal(drop(f, "a", "L1", &gone), -ERR_FAILED_PRECONDITION);
	assert_string_equal(f->e.msg, "snapshot L1 is the parent of c1: remove that first");
	assert_int_equal(drop(f, "b", "L1", &gone), 0); /* children are a namespace's own */
	assert_int_equal(drop(f, "a", "c1", &gone), 0);
	assert_true(gone);
	assert_int_equal(drop(f, "a", "L1", &gone), 0);
	assert_true(gone);
}

static void
long_names_have_children_too(void **state)
{
	struct fix *f = *state;
	char parent[161], child[256], other[161];
	bool gone;

	memset(parent, 'p', 160);
	memset(child, 'c', 255);
	memset(other, 'p', 160);
	parent[160] = child[255] = other[160] = '\0';
	other[159] = 'q';
	add_layer(f, parent, NULL, 1, false);
	add_layer(f, other, NULL, 2, false);
	assert_int_equal(add(f, NS76, parent, NULL, "committed", 1), 0);
	assert_int_equal(add(f, NS76, other, NULL, "committed", 2), 0);
	assert_int_equal(add(f, NS76, child, parent, "active", 3), 0);
	assert_int_equal(drop(f, NS76, parent, &gone), -ERR_FAILED_PRECONDITION);
	assert_int_equal(drop(f, NS76, other, &gone), 0);
	assert_int_equal(drop(f, NS76, child, &gone), 0);
	assert_int_equal(drop(f, NS76, parent, &gone), 0);
}

static void
chains_end_at_opaque_roots(void **state)
{
	struct fix *f = *state;
	uint64_t n[4];

	add_layer(f, "L1", NULL, 11, false);
	add_layer(f, "L2", "L1", 12, true);
	add_layer(f, "L3", "L2", 13, false);
	assert_int_equal(chain(f, "L3", n, 4), 2);
	assert_int_equal(n[0], 13);
	assert_int_equal(n[1], 12);
	assert_int_equal(chain(f, "L1", n, 4), 1);
	assert_int_equal(chain(f, NULL, n, 4), 0);
	assert_int_equal(chain(f, "L3", n, 1), -ERR_FAILED_PRECONDITION);
}

static void
keys(void **state)
{
	struct fix *f = *state;
	char text[300];

	assert_int_equal(snapshots_key_check("nginx-1", &f->e), 0);
	assert_int_equal(snapshots_key_check("", &f->e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(snapshots_key_check("a\1b", &f->e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(snapshots_key_check("a b", &f->e), -ERR_INVALID_ARGUMENT);
	memset(text, 'x', 256);
	text[256] = '\0';
	assert_int_equal(snapshots_key_check(text, &f->e), -ERR_INVALID_ARGUMENT);
}

static bool
folder_there(void *arg, const char *sn, uint64_t number)
{
	const struct fix *f = arg;

	return strcmp(sn, "overlay") == 0 && number != f->lost;
}

static void
folder_used(void *arg, const char *sn, uint64_t number)
{
	struct fix *f = arg;

	(void)sn;
	(void)number;
	f->used++;
}

static void
recovers(void **state)
{
	struct fix *f = *state;
	struct snapshots_recovery how = { .has = folder_there, .used = folder_used, .arg = f };
	uint64_t n[4];
	bool gone;

	add_layer(f, "L1", NULL, 1, false);
	add_layer(f, "L2", "L1", 2, false);
	add_layer(f, "unused", NULL, 9, false);
	assert_int_equal(add(f, "a", "L1", NULL, "committed", 1), 0);
	assert_int_equal(add(f, "a", "L2", "L1", "committed", 2), 0);
	assert_int_equal(add(f, "b", "L1", NULL, "committed", 1), 0);
	assert_int_equal(add(f, "a", "c", "L2", "active", 3), 0);
	assert_int_equal(snapshots_recover(f->store, &how, &f->e), 0);
	assert_int_equal(f->used, 3);
	assert_int_equal(chain(f, "unused", n, 4), -ERR_FAILED_PRECONDITION);
	f->lost = 1; /* in both namespaces */
	assert_int_equal(snapshots_recover(f->store, &how, &f->e), 0);
	assert_false(has(f, "a", "L1"));
	assert_false(has(f, "b", "L1"));
	assert_true(has(f, "a", "L2"));
	assert_int_equal(chain(f, "L2", n, 4), -ERR_FAILED_PRECONDITION);
	add_layer(f, "L1", NULL, 5, false); /* unpacked again */
	assert_int_equal(add(f, "a", "L1", NULL, "committed", 5), 0);
	assert_int_equal(chain(f, "L2", n, 4), 2);
	assert_int_equal(n[1], 5);
	f->lost = 3;
	assert_int_equal(snapshots_recover(f->store, &how, &f->e), 0);
	assert_false(has(f, "a", "c"));
	assert_int_equal(drop(f, "a", "L2", &gone), 0); /* its child is forgotten, too */
	assert_true(gone);
	assert_int_equal(drop(f, "a", "L1", &gone), 0); /* the counts were right */
	assert_true(gone);
}

/* A layer that a namespace shares may stand on one that is another namespace's own. */
static void
layers_hold_those_below(void **state)
{
	struct fix *f = *state;
	uint64_t n[4];
	bool gone = true;

	add_layer(f, "a/base", NULL, 1, false);
	add_layer(f, "L2", "a/base", 2, false);
	assert_int_equal(add(f, "b", "L2", "base", "committed", 2), 0);
	assert_int_equal(chain(f, "L2", n, 4), 2);
	assert_int_equal(drop(f, "b", "L2", &gone), 0);
	assert_true(gone);
	assert_int_equal(chain(f, "a/base", n, 4), -ERR_FAILED_PRECONDITION);
}

/* Keys were without the snapshotter while there was one. */
static void
earlier_rows_are_taken_over(void **state)
{
	struct fix *f = *state;
	struct snapshots_recovery how = { .has = folder_there, .used = folder_used, .arg = f };
	struct layer_row l = { .chain_id = "L1", .diff_id = "sha256:x", .number = 1 };
	struct snapshot base = {
		.key = "L1", .kind = "committed", .snapshotter = "overlay", .created_at = 1
	};
	struct snapshot top = { .key = "/a/b",
		.parent = "L1",
		.kind = "active",
		.snapshotter = "overlay",
		.created_at = 1 };
	struct snapshot_row rows[2] = { { .snapshot = &base, .number = 1 },
		{ .snapshot = &top, .number = 2 } };
	struct snapshot_child child = { .key = "/a/b" };
	struct txn *t = NULL;
	struct key k;
	bool gone;

	assert_int_equal(store_write(f->store, &t, &f->e), 0);
	store_key_text(&k, "L1");
	assert_int_equal(store_put(t, TABLE_LAYERS, &k, &layer_row_schema, &l, &f->e), 0);
	for (unsigned i = 0; i < 2; i++) {
		store_key(&k, "a", rows[i].snapshot->key);
		assert_int_equal(
		    store_put(t, TABLE_SNAPSHOTS, &k, &snapshot_row_schema, &rows[i], &f->e), 0);
	}
	store_key(&k, "a", "L1\1/a/b");
	assert_int_equal(
	    store_put(t, TABLE_CHILDREN, &k, &snapshot_child_schema, &child, &f->e), 0);
	assert_int_equal(store_commit(&t, &f->e), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(snapshots_recover(f->store, &how, &f->e), 0);
		assert_int_equal(f->used, 2 * (i + 1));
	}
	assert_int_equal(drop(f, "a", "L1", &gone), -ERR_FAILED_PRECONDITION);
	assert_int_equal(drop(f, "a", "/a/b", &gone), 0);
	assert_true(gone);
	assert_int_equal(drop(f, "a", "L1", &gone), 0);
	assert_true(gone);
}

/* --- folders ------------------------------------------------------------------------------------- */

static uint64_t
make(struct fix *f, mode_t mode)
{
	char name[SHELF_NAME_MAX];
	AUTO(fd_close) int fd = -1;
	AUTO(fd_close) int dir = -1;
	uint64_t number;

	assert_int_equal(shelf_make(f->shelf, name, &fd, &f->e), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	dir = shelf_made_fd(f->shelf, name);
	assert_int_equal(snapshotter_overlay.furnish(dir, -1, &f->e), 0);
	assert_int_equal(shelf_place(f->shelf, SNAPSHOTTER_OVERLAY, name, &number, &f->e), 0);
	return number;
}

static bool
odd(void *arg, enum snapshotter_id kind, uint64_t number)
{
	(void)arg;
	assert_int_equal(kind, SNAPSHOTTER_OVERLAY);
	return number % 2 == 1;
}

static int
leaving(void *arg, enum snapshotter_id kind, uint64_t number, struct err *e)
{
	struct fix *f = arg;

	(void)kind;
	(void)e;
	f->used = (unsigned)number;
	return 0;
}

static void
folders(void **state)
{
	struct fix *f = *state;
	struct shelf_sweep sweep = { .wanted = odd, .leaving = leaving, .arg = f };
	enum snapshotter_id overlay = SNAPSHOTTER_OVERLAY;
	char name[SHELF_NAME_MAX];
	AUTO(fd_close) int fd = -1;
	AUTO(fd_close) int dir = -1;
	AUTO(fd_close) int top = -1;
	struct stat st;
	unsigned n;

	assert_int_equal(make(f, 0750), 1);
	assert_int_equal(make(f, 0755), 2);
	assert_int_equal(make(f, 0755), 3);
	assert_int_equal(shelf_make(f->shelf, name, &fd, &f->e), 0);
	dir = shelf_made_fd(f->shelf, name);
	top = shelf_fs(f->shelf, overlay, 1);
	assert_int_equal(snapshotter_overlay.furnish(dir, top, &f->e), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_true(shelf_has(f->shelf, overlay, 2));
	assert_true(shelf_trash_empty(f->shelf));
	assert_int_equal(shelf_sweep(f->shelf, &sweep, &n, &f->e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(f->used, 2);
	assert_false(shelf_has(f->shelf, overlay, 2));
	assert_false(shelf_trash_empty(f->shelf));
	assert_int_equal(shelf_drop(f->shelf, overlay, 1, &f->e), 0);
	assert_int_equal(shelf_drop(f->shelf, overlay, 1, &f->e), 0); /* again: fine */
	assert_int_equal(shelf_drop_all_new(f->shelf, &f->e), 0);
	assert_int_equal(fstat(fd, &st), 0);
	/* Numbers go on behind what is there. */
	shelf_close(&f->shelf);
	assert_int_equal(shelf_open(f->dir, &f->shelf, &f->e), 0);
	assert_int_equal(make(f, 0755), 4);
}

static int
mounts_of(struct fix *f, const struct snapshot_view *v, struct snapshot_mounts_rep *rep)
{
	return snapshotter_overlay.mounts(&snapshotter_overlay, f->shelf, v, &f->arena, rep, &f->e);
}

static void
mounts(void **state)
{
	struct fix *f = *state;
	uint64_t lowers[2] = { 1000, 999 };
	struct snapshot_view v = { .number = 7, .lowers = lowers, .writable = true };
	struct snapshot_mounts_rep rep = { .mounts = { .n = 0 } };
	char want[256];
	unsigned i = 0;

	assert_int_equal(snapshotter_overlay.probe(f->shelf, false, &f->e), 0);
	assert_int_equal(mounts_of(f, &v, &rep), 0);
	assert_string_equal(rep.mounts.v[0].type, "bind");
	assert_string_equal(rep.mounts.v[0].options.v[0], "rw");
	v.nlowers = 1;
	v.writable = false;
	assert_int_equal(mounts_of(f, &v, &rep), 0);
	(void)snprintf(want, sizeof(want), "%s/snapshot/overlay/1000/fs", f->dir);
	assert_string_equal(rep.mounts.v[0].type, "bind");
	assert_string_equal(rep.mounts.v[0].source, want);
	assert_string_equal(rep.mounts.v[0].options.v[0], "ro");
	v.nlowers = 2;
	v.writable = true;
	assert_int_equal(mounts_of(f, &v, &rep), 0);
	assert_string_equal(rep.mounts.v[0].type, "overlay");
	while (strncmp(rep.mounts.v[0].options.v[i], "lowerdir=", 9) != 0)
		assert_true(++i < rep.mounts.v[0].options.n);
	(void)snprintf(want, sizeof(want),
	    "lowerdir=%s/snapshot/overlay/1000/fs:%s/snapshot/overlay/999/fs", f->dir, f->dir);
	assert_string_equal(rep.mounts.v[0].options.v[i], want);
	(void)snprintf(want, sizeof(want), "upperdir=%s/snapshot/overlay/7/fs", f->dir);
	assert_string_equal(rep.mounts.v[0].options.v[i + 1], want);
}

/* Who unpacks may make any device and open none. */
static void
devices_are_nodes_only(void **state)
{
	struct fix *f = *state;
	char name[SHELF_NAME_MAX];
	AUTO(fd_close) int fd = -1;
	AUTO(fd_close) int dir = -1;

	assert_int_equal(shelf_make(f->shelf, name, &fd, &f->e), 0);
	dir = shelf_made_fd(f->shelf, name);
	assert_int_equal(mknodat(fd, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
	assert_int_equal(openat(fd, "null", O_RDWR | O_CLOEXEC), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(openat(dir, "fs/null", O_RDWR | O_CLOEXEC), -1);
	assert_int_equal(errno, EACCES);
}

static void
roots_that_options_cannot_name(void **state)
{
	struct fix *f = *state;
	struct shelf *o = NULL;

	assert_int_equal(shelf_open("/tmp/a,b", &o, &f->e), -ERR_FAILED_PRECONDITION);
	assert_int_equal(shelf_open("/tmp/a:b", &o, &f->e), -ERR_FAILED_PRECONDITION);
	assert_int_equal(shelf_open("relative", &o, &f->e), -ERR_FAILED_PRECONDITION);
	assert_null(o);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = { T(layers_are_shared_and_counted), T(parents_stay),
		T(long_names_have_children_too), T(chains_end_at_opaque_roots), T(keys),
		T(recovers), T(layers_hold_those_below), T(earlier_rows_are_taken_over), T(folders),
		T(mounts), T(devices_are_nodes_only), T(roots_that_options_cannot_name) };

	if (geteuid() != 0) {
		(void)printf("needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
