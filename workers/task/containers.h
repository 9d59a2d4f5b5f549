/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containers - what is stored of containers, durably, in ROOT/task/db.
 *
 *	containers	ns NUL id -> container_row, without the spec
 *	specs		ns NUL id -> spec_row
 *	told		ns NUL id[/exec] -> told_row (tells.h)
 *	kept		ns NUL id -> nothing: its snapshot was left behind on purpose
 *
 * A container is there with its spec, and with its event in the outbox, from one transaction on, and
 * goes the same way.
 */
#ifndef CF_TASK_CONTAINERS_H
#define CF_TASK_CONTAINERS_H

#include "workers/task/task.h"

enum { TABLE_CONTAINERS, TABLE_SPECS, TABLE_TOLD, TABLE_KEPT };

/* All in a, which outlives the transaction. not_found: "container "x" does not exist". */
int container_read(struct taskd *t, const char *ns, const char *id, struct arena *a,
    struct container_row *ret, struct err *e);
int container_read_spec(struct taskd *t, const char *ns, const char *id, struct arena *a,
    struct bytes *ret, struct err *e);
/* Of its root, in a; NULL when there is no such container. */
const char *container_snapshotter(struct taskd *t, const char *ns, const char *id, struct arena *a);
bool container_exists(struct taskd *t, const char *ns, const char *id);
bool container_kept(struct taskd *t, const char *ns, const char *id);

/* Both put their event and what tells.h has queued into txn; call containers_committed after the
 * commit. */
int container_add(struct taskd *t, struct txn *txn, const char *ns, const struct container_row *row,
    struct bytes spec, struct err *e);
int container_remove(
    struct taskd *t, struct txn *txn, const char *ns, const char *id, bool kept, struct err *e);

/* Calls fn for each container of ns behind `after` (NULL: all), until it returns other than 0. */
int containers_each(struct taskd *t, const char *ns, const char *after, struct arena *a,
    int (*fn)(void *arg, const struct container_row *row), void *arg, struct err *e);

#endif
