/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay - the folders of snapshots, and how to mount them with overlayfs.
 *
 *	ROOT/snapshot/new/<hex>/{fs,work}	being made; nobody's after a crash
 *	ROOT/snapshot/overlay/<number>/{fs,work}	a snapshot's; belongs to the record with its number
 *	ROOT/snapshot/trash/<hex>/		to be deleted in the background
 *
 * A folder appears in overlay/ by one rename, after everything in it is on disk, and before the record
 * that names it; it leaves by one rename, after its record is gone. So, after a crash, a folder without
 * a record is one that was not finished or was being removed: it goes to the trash. Numbers are not
 * used twice while the worker lives.
 */
#ifndef CF_SNAPSHOT_OVERLAY_H
#define CF_SNAPSHOT_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

#define OVERLAY_LOWERS_MAX 500
#define OVERLAY_NAME_MAX 24

struct overlay;

/* Opens or makes the folders below root (absolute). Free with overlay_close. failed_precondition for a
 * root whose name overlayfs can't take as an option. */
int overlay_open(const char *root, struct overlay **ret, struct err *e);
void overlay_close(struct overlay **o);
/* Descriptor of ROOT/snapshot/overlay and of the trash, ours. */
int overlay_layers_fd(const struct overlay *o);
int overlay_trash_fd(const struct overlay *o);

/* A new folder in new/ with an empty fs/ (root's, 0755); name (OVERLAY_NAME_MAX bytes) is how to call
 * it. ret_fd: its fs/, the caller's. */
int overlay_make(struct overlay *o, char *name, int *ret_fd, struct err *e);
/* Adds work/ (for a snapshot to be written to). */
int overlay_make_work(struct overlay *o, const char *name, struct err *e);
/* Gives fs/ of name the mode and owner of a layer's fs/. */
int overlay_like(struct overlay *o, const char *name, uint64_t layer, struct err *e);
/* new/<name> becomes overlay/<number>, on disk when this returns. */
int overlay_place(struct overlay *o, const char *name, uint64_t *ret_number, struct err *e);

/* To the trash; what is not there is fine. */
int overlay_drop_new(struct overlay *o, const char *name, struct err *e);
int overlay_drop(struct overlay *o, uint64_t number, struct err *e);
/* The same for all of new/. */
int overlay_drop_all_new(struct overlay *o, struct err *e);

bool overlay_has(struct overlay *o, uint64_t number);
/* Descriptor of a snapshot's fs/ (the caller's), -1 with errno. */
int overlay_fs(struct overlay *o, uint64_t number);
/* To the trash with every folder in overlay/ that wanted denies. *ret_n: how many. */
typedef bool overlay_wanted_fn(void *arg, uint64_t number);
int overlay_sweep(
    struct overlay *o, overlay_wanted_fn *wanted, void *arg, unsigned *ret_n, struct err *e);
bool overlay_trash_empty(struct overlay *o);

/* The mounts of a snapshot: number is its own folder; lowers are the layers below, nearest first. */
struct overlay_view {
	uint64_t number;
	const uint64_t *lowers;
	unsigned nlowers;
	bool writable;
};
int overlay_mounts(const struct overlay *o, const struct overlay_view *v, struct arena *a,
    struct snapshot_mounts_rep *ret, struct err *e);

#endif
