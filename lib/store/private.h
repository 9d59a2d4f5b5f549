/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private - what the files of lib/store share; nobody else includes it, so lmdb.h stays here.
 */
#ifndef CF_STORE_PRIVATE_H
#define CF_STORE_PRIVATE_H

#include <lmdb.h>
#include <setjmp.h>

#include "lib/store/store.h"

/* Our own tables, behind those of the actor. */
enum { TABLE_META, TABLE_OUTBOX, TABLE_REPLIES, OWN_TABLES };

struct store {
	MDB_env *env;
	char *path;
	unsigned ntables; /* the actor's */
	char *names[STORE_TABLES_MAX + OWN_TABLES];
	MDB_dbi dbi[STORE_TABLES_MAX + OWN_TABLES];
	unsigned open_txns; /* the map can only be grown while there is none */
	bool writing;
	size_t room;	 /* of the file: so far there are blocks for it on the disk */
	jmp_buf *check;	 /* set while the walk at open runs */
	bool full;	 /* a transaction met the end of the map: the next one grows it first */
	uint64_t forget; /* outbox entries up to this one are in the journal */
	uint64_t forgot; /* and up to this one they are deleted */
};

struct txn {
	struct store *s;
	MDB_txn *mdb;
	bool write;
};

/* Index of one of our own tables. */
static inline unsigned
own(const struct store *s, unsigned table)
{
	return s->ntables + table;
}

/* An error of LMDB as ours: "store PATH: DOING: WORDS", damage with what to do about it. */
int store_fail(struct store *s, int rc, struct err *e, const char *doing);

/* Raw values: mdb_get and mdb_put with our errors. val points into the map, until the transaction
 * ends or writes. raw_get: 1 when found, 0 when not. */
int
raw_get(struct txn *t, unsigned table, const void *key, size_t nkey, MDB_val *val, struct err *e);
int raw_put(struct txn *t, unsigned table, const void *key, size_t nkey, const void *val,
    size_t nval, struct err *e);
int raw_del(struct txn *t, unsigned table, const void *key, size_t nkey, struct err *e);

/* Big-endian numbers, so that keys sort as the numbers do. */
void u64_put(unsigned char to[8], uint64_t number);
uint64_t u64_get(const unsigned char from[8]);

/* Deletes what the journal has of the outbox, within a write transaction that has begun. */
int outbox_trim(struct txn *t, struct err *e);

#endif
