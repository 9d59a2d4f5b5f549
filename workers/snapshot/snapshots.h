/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshots - the records of snapshots and layers.
 *
 * Table "snapshots": (namespace, key) -> snapshot_row. Table "layers": chain id -> layer_row, without a
 * namespace: a layer is on disk once, and every namespace that unpacked it has a committed snapshot of
 * its own that counts in refs. The layer goes with its last snapshot. Table "children": (namespace,
 * parent, child), so that asking for children needs no walk.
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

/* not_found names the key. */
int snapshots_get(struct txn *t, const char *ns, const char *key, struct arena *a,
    struct snapshot_row *ret, struct err *e);
bool snapshots_has(struct txn *t, const char *ns, const char *key);
/* Adds it, with its place among its parent's children; a committed one counts in its layer. */
int snapshots_add(
    struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a, struct err *e);
/* failed_precondition names a child. *ret_drop: its folder is nobody's any more. */
int snapshots_remove(struct txn *t, const char *ns, const struct snapshot_row *row, struct arena *a,
    bool *ret_drop, struct err *e);

int layers_get(
    struct txn *t, const char *chain_id, struct arena *a, struct layer_row *ret, struct err *e);
int layers_put(struct txn *t, const struct layer_row *row, struct err *e);
/* Folder numbers of a layer and those below it that show, nearest first. Returns how many;
 * failed_precondition when one is missing. */
int layers_chain(struct txn *t, const char *chain_id, struct arena *a, uint64_t *numbers,
    unsigned max, struct err *e);

/* Drops every record whose folder is not there any more (has says so), and adjusts the counts. Calls
 * used with the number of each folder that has a record. */
struct snapshots_recovery {
	bool (*has)(void *arg, uint64_t number);
	void (*used)(void *arg, uint64_t number);
	void *arg;
};
int snapshots_recover(struct store *s, const struct snapshots_recovery *how, struct err *e);

#endif
