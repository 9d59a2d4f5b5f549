/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shelf - the folders of snapshots.
 *
 *	ROOT/snapshot/new/<hex>/		being made; nobody's after a crash
 *	ROOT/snapshot/<snapshotter>/<number>/	a snapshot's; belongs to the record with its number
 *	ROOT/snapshot/trash/<hex>/		to be deleted in the background
 *
 * Each has fs/, the tree itself, and beside it what its snapshotter needs. A folder appears under its
 * number by one rename, after everything in it is on disk, and before the record that names it; it
 * leaves by one rename, after its record is gone. So, after a crash, a folder without a record is one
 * that was not finished or was being removed: it goes to the trash. Numbers are not used twice while the
 * worker lives, by whatever snapshotter.
 */
#ifndef CF_SNAPSHOT_SHELF_H
#define CF_SNAPSHOT_SHELF_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"

#define SHELF_NAME_MAX 24

enum snapshotter_id {
#define SNAPSHOTTER(NAME, name, doc) SNAPSHOTTER_##NAME,
#include "schemas/snapshotters.def"
	SNAPSHOTTER_COUNT
};

struct shelf;

/* Opens or makes the folders below root (absolute). Free with shelf_close. failed_precondition for a
 * root whose name overlayfs can't take as an option. */
int shelf_open(const char *root, struct shelf **ret, struct err *e);
void shelf_close(struct shelf **s);
/* Descriptors of ROOT/snapshot/<snapshotter> and of the trash, the shelf's. */
int shelf_kind_fd(const struct shelf *s, enum snapshotter_id kind);
int shelf_trash_fd(const struct shelf *s);
/* ROOT/snapshot/<snapshotter>, in a. */
char *shelf_path(const struct shelf *s, enum snapshotter_id kind, struct arena *a);

/* A new folder in new/ with an empty fs/ (root's, 0755); name (SHELF_NAME_MAX bytes) is how to call it.
 * ret_fd: its fs/, the caller's. */
int shelf_make(struct shelf *s, char *name, int *ret_fd, struct err *e);
/* Descriptor of new/<name> itself, the caller's; -1 with errno. */
int shelf_made_fd(const struct shelf *s, const char *name);
/* ROOT/snapshot/new/<name>, in a. */
char *shelf_made_path(const struct shelf *s, const char *name, struct arena *a);
/* new/<name> becomes <snapshotter>/<number>, on disk when this returns. */
int shelf_place(struct shelf *s, enum snapshotter_id kind, const char *name, uint64_t *ret_number,
    struct err *e);

/* To the trash; what is not there is fine. */
int shelf_drop_new(struct shelf *s, const char *name, struct err *e);
int shelf_drop(struct shelf *s, enum snapshotter_id kind, uint64_t number, struct err *e);
/* The same for all of new/. */
int shelf_drop_all_new(struct shelf *s, struct err *e);

/* Calls fn for every folder of that snapshotter. */
typedef void shelf_fn(void *arg, uint64_t number);
void shelf_each(const struct shelf *s, enum snapshotter_id kind, shelf_fn *fn, void *arg);
bool shelf_has(const struct shelf *s, enum snapshotter_id kind, uint64_t number);
/* Descriptor of a snapshot's fs/ (the caller's), -1 with errno. */
int shelf_fs(const struct shelf *s, enum snapshotter_id kind, uint64_t number);

/* failed_precondition when its files have the ids of the outside of a user namespace: a file "owners" beside fs/ says so
 * (workers/task/shim/owners.h), and a layer made of them would be wrong. */
int
shelf_check_owners(const struct shelf *s, enum snapshotter_id kind, uint64_t number, struct err *e);

/* To the trash with every folder that wanted denies; leaving is called before. *ret_n: how
 * many. */
struct shelf_sweep {
	bool (*wanted)(void *arg, enum snapshotter_id kind, uint64_t number);
	int (*leaving)(void *arg, enum snapshotter_id kind, uint64_t number, struct err *e);
	void *arg;
};
int shelf_sweep(struct shelf *s, const struct shelf_sweep *how, unsigned *ret_n, struct err *e);
bool shelf_trash_empty(struct shelf *s);

#endif
