/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - an actor's LMDB environment: typed tables, the outbox of events and the stored replies.
 * The only home of lmdb.h.
 *
 * One environment per store, opened by its owner alone, single-threaded, never across a fork. Values
 * are records in wire form. The map is grown before a write transaction starts whenever less than half
 * of it is free, so MDB_MAP_FULL is not met by anything smaller than STORE_TXN_MAX; when it is met all
 * the same the transaction fails with resource_exhausted and the next begin grows the map.
 *
 * Format: table "meta" holds key "format" (a number: STORE_FORMAT); a store of a newer format is
 * refused. Tables "outbox" and "replies" are in every store.
 *
 * Durability: a store opened durable survives a power cut from the moment store_commit returned
 * (LMDB's default sync); one on tmpfs is opened without.
 *
 * Crash story: LMDB is copy-on-write with two meta pages; a killed writer leaves the last commit. No
 * other state is kept outside the environment.
 */
#ifndef CF_STORE_H
#define CF_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

#define STORE_FORMAT 1
#define STORE_KEY_MAX 511	  /* LMDB's limit for keys */
#define STORE_TABLES_MAX 13	  /* tables an actor may have, beside our own three */
#define STORE_TXN_MAX (16u << 20) /* bytes one transaction may write */

struct store;
struct txn;

/* Opens or makes the environment in folder path (made 0700 when absent). tables: names, known from
 * then on by their index. Takes out stale readers. Errors: failed_precondition for a newer format,
 * data_loss when LMDB finds the file damaged (the message says what to do). */
int store_open(const char *path, const char *const *tables, unsigned ntables, bool durable,
    struct store **ret, struct err *e);
void store_close(struct store **s);

/* One write transaction at a time; reads may nest inside it by using the same txn. */
int store_read(struct store *s, struct txn **ret, struct err *e);
int store_write(struct store *s, struct txn **ret, struct err *e);
/* Both end *t and set it to NULL. store_abort is also the AUTO destructor; NULL is fine. */
int store_commit(struct txn **t, struct err *e);
void store_abort(struct txn **t);

/* A key: any bytes. STORE_KEY("text") for strings; composite keys: "ns\0name" built with store_key. */
struct key {
	size_t n;
	char p[STORE_KEY_MAX];
};
/* ns, a NUL byte, name: sorts by namespace, then name. Names over the limit are cut and get their
 * SHA-256 as a tail, so that long names stay distinct keys (records hold the full name). */
void store_key(struct key *k, const char *ns, const char *name);
void store_key_text(struct key *k, const char *text);
void store_key_u64(struct key *k, uint64_t number); /* big endian: sorts by number */
uint64_t store_key_to_u64(const struct key *k);

/* The record under k, decoded into a (copied: it outlives the txn). not_found when absent. */
int store_get(struct txn *t, unsigned table, const struct key *k, const struct schema *s,
    struct arena *a, void *rec, struct err *e);
bool store_has(struct txn *t, unsigned table, const struct key *k);
/* Adds or replaces. */
int store_put(struct txn *t, unsigned table, const struct key *k, const struct schema *s,
    const void *rec, struct err *e);
/* Success also when it was not there. */
int store_del(struct txn *t, unsigned table, const struct key *k, struct err *e);

/* Walks the keys that start with prefix (NULL: all), in order, behind `after` when given. fn gets each
 * record decoded into a; it returns 0 to go on, 1 to stop, negative for an error that store_each
 * returns. fn may delete or replace the record it was given, and nothing else in that table. */
typedef int store_each_fn(void *arg, const struct key *k, void *rec, struct err *e);
int store_each(struct txn *t, unsigned table, const struct key *prefix, const struct key *after,
    const struct schema *s, struct arena *a, store_each_fn *fn, void *arg, struct err *e);
/* Number of entries of a table. */
int store_count(struct txn *t, unsigned table, uint64_t *ret, struct err *e);

/* Adds an event to the outbox, in this transaction: body is a struct of event_kind(topic)->body. */
int store_event(struct txn *t, const char *ns, const char *topic, const void *body, struct err *e);
/* Forgets entries <= after, then lists up to limit (0 = 256) of the rest, oldest first, and stops after
 * about 1 MiB. Their space is given back by the next write transaction, so that reading costs no
 * sync. after beyond the newest entry means that the reader knew an older life of this store: nothing
 * is forgotten and the list starts at the oldest entry. */
int store_outbox(struct store *s, uint64_t after, unsigned limit, struct arena *a,
    struct outbox_entry_list *ret, struct err *e);
/* Number of the newest entry, 0 when there never was one. */
uint64_t store_outbox_last(struct store *s);

/* Keeps the reply of a request (its body in wire form) in this transaction, so that the same request
 * is answered again without being executed again. */
int store_reply_put(struct txn *t, const uint8_t id[16], const void *body, size_t n, struct err *e);
/* true and the body appended to out when there is one. */
bool store_reply_get(struct store *s, const uint8_t id[16], struct buf *out);
/* Drops replies older than max_age_ms (by the real-time clock at which they were put). */
int store_replies_expire(struct store *s, uint64_t max_age_ms, struct err *e);

#endif
