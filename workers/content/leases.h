/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leases - what clients hold against garbage collection while they work.
 *
 * Tables: leases: ns\0id -> lease; held: ns\0id/type/key -> lease_resource. A lease and what it holds go
 * in one transaction. What a request with a lease makes is added to it in the transaction that makes it.
 */
#ifndef CF_CONTENT_LEASES_H
#define CF_CONTENT_LEASES_H

#include "workers/content/content.h"
#include "workers/content/graph.h"

/* Types of what is held. */
#define LEASE_CONTENT "content"
#define LEASE_IMAGES "images"
#define LEASE_INGESTS "ingests"
#define LEASE_SNAPSHOTS "snapshots/" /* and the snapshotter */

/* Success also when it holds it already, or lease is NULL; not_found when there is no such lease. */
int lease_hold(struct content *c, struct txn *t, const char *ns, const char *lease,
    const char *type, const char *id, struct err *e);

/* Success also when it does not hold it, or lease is NULL. */
int lease_release(struct txn *t, const char *ns, const char *lease, const char *type,
    const char *id, struct err *e);

/* Removes the lease and what it holds. not_found when it is not there. */
int lease_drop(struct txn *t, const char *ns, const char *lease, struct err *e);

/* The lease in a key of table held. The caller frees it. */
char *lease_of_key(const struct key *k);
/* What is held, as garbage collection knows it. */
void lease_node(const char *type, const char *id, struct arena *a, enum node_type *ret_type,
    const char **ret_key);

#endif
