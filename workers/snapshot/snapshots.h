/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshots - the records of snapshots and layers.
 *
 * Table "snapshots": (namespace, snapshotter/key) -> snapshot_row. Table "layers": snapshotter/layer ->
 * layer_row, without a namespace: a layer is on disk once. One that was unpacked goes by its chain id,
 * and every namespace that unpacked it has a committed snapshot of its own that counts in refs; one that
 * a client committed is that namespace's and goes by "namespace/key". A layer stays as long as a
 * snapshot is it or another layer stands on it. Table "children": (namespace, snapshotter/parent, child),
 * so that asking for children needs no walk.
 *
 * All functions work inside of the caller's transaction; records that they fill live in its arena.
 */
#ifndef CF_SNAPSHOT_SNAPSHOTS_H
#define CF_SNAPSHOT_SNAPSHOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/store/store.h"
#include "schemas/schema.h"

enum snapshots_table { TABLE_SNAPSHOTS, TABLE_LAYERS, TABLE_CHILDREN, TABLE_COUNT };
extern const char *const snapshots_tables[TABLE_COUNT];

/* invalid_argument unless key can be shown and stored: 1 to 255 printable bytes. */
int snapshots_key_check(const char *key, struct err *e);

/* sn: the snapshotter's name. not_found names the key. */
int snapshots_get(struct txn *t, const char *ns, const char *sn, const char *key, struct arena *a,
    struct snapshot_row *ret, struct err *e);
bool snapshots_has(struct txn *t, const char *ns, const char *sn, const char *key);
/* Replaces the row of the same key: what it is and stands on stays. */
int snapshots_put(struct txn *t, const char *ns, const struct snapshot_row *row, struct err *e);
/* Adds it, with its place among its parent's children; a committed one counts in its layer. */
int snapshots_add(
    struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a, struct err *e);
/* failed_precondition names a child. ret_drop: the folders that are nobody's any more. */
struct snapshots_gone {
	uint64_t *v;
	size_t n;
};
int snapshots_remove(struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a,
    struct snapshots_gone *ret_drop, struct err *e);

/* The layer that a committed snapshot is. */
const char *snapshots_layer(const struct snapshot_row *row);
/* Folder numbers of what is below a snapshot and shows, nearest first. Returns how many;
 * failed_precondition when one is missing. */
int snapshots_below(struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a,
    uint64_t *numbers, unsigned max, struct err *e);

int layers_get(struct txn *t, const char *sn, const char *layer, struct arena *a,
    struct layer_row *ret, struct err *e);
/* A new one: counts in the layer it stands on. */
int layers_add(struct txn *t, const struct layer_row *row, struct arena *a, struct err *e);
/* As snapshots_below, from layer on (NULL: none). */
int layers_chain(struct txn *t, const char *sn, const char *layer, struct arena *a,
    uint64_t *numbers, unsigned max, struct err *e);

/* Gives rows of an earlier format their keys, drops every record whose folder is not there any more (has
 * says so), and adjusts the counts. Calls used with the number of each folder that has a record. */
struct snapshots_recovery {
	bool (*has)(void *arg, const char *sn, uint64_t number);
	void (*used)(void *arg, const char *sn, uint64_t number);
	void *arg;
};
int snapshots_recover(struct store *s, const struct snapshots_recovery *how, struct err *e);

#endif
