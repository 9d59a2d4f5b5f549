/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema - the declarations of schemas/ as C: a struct per record, and tables that describe it.
 *
 * struct image_pull_req, struct container, ... are expanded from the .def files, with the field names
 * that are on the wire. Strings are NUL-terminated, NULL when absent; numbers and booleans that are
 * absent are 0; lists and maps have a count. Who fills or reads a record owns its memory: usually an
 * arena (decoded records point into the arena they were decoded into, BIN fields into the message).
 *
 * <record>_schema describes struct <record>; <actor>_<method>_method describes a method;
 * <actor>_methods lists all methods of an actor.
 */
#ifndef CF_SCHEMAS_SCHEMA_H
#define CF_SCHEMAS_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_kind {
	FIELD_STR,
	FIELD_BIN,
	FIELD_U64,
	FIELD_I64,
	FIELD_BOOL,
	FIELD_MAP,
	FIELD_STRS,
	FIELD_REC,
	FIELD_RECS
};

struct bytes {
	const void *p;
	size_t n;
};

struct kv {
	const char *k, *v;
};

/* The three list forms share this layout; the codec relies on it. */
struct list {
	void *v;
	uint32_t n;
};

struct kvs {
	struct kv *v;
	uint32_t n;
};

struct strs {
	const char **v;
	uint32_t n;
};

struct schema;

struct field {
	const char *name;
	enum field_kind kind;
	bool must;
	uint32_t max;		  /* bytes or entries, 0 where it has no meaning */
	uint32_t offset;	  /* in the struct */
	const struct schema *sub; /* REC and RECS */
	const char *doc;
};

struct schema {
	const char *name;
	size_t size; /* sizeof the struct */
	const struct field *fields;
	unsigned nfields;
	const char *doc;
};

/* What a record of s is named by: its first field, a text or a record that has a name itself. */
const char *record_name(const struct schema *s, const void *rec);

/* Who may call a method, as a mask; see content.def. */
enum {
#define PROC(NAME, name, uid, caps, doc) PROC_##NAME,
#include "schemas/procs.def"
	PROC_COUNT
};
enum {
#define PROC(NAME, name, uid, caps, doc) BY_##NAME = 1 << PROC_##NAME,
#include "schemas/procs.def"
	BY_CLIENT = 1 << PROC_COUNT,
	BY_ALL = (1 << (PROC_COUNT + 1)) - 1
};

enum method_flag { RPC_READ, RPC_WRITE, RPC_LONG, RPC_WAIT };

struct method {
	const char *actor, *name;
	const struct schema *req, *rep, *progress;
	unsigned by;
	enum method_flag flag;
	const char *doc;
};

struct event_kind {
	const char *topic;
	const struct schema *body;
	const char *actor, *doc;
};

/* The kind of this topic, NULL when there is none. */
const struct event_kind *event_kind(const char *topic);
extern const struct event_kind event_kinds[];
extern const unsigned event_kinds_count;

/* The struct of each record. */
#define T_STR const char *
#define T_BIN struct bytes
#define T_U64 uint64_t
#define T_I64 int64_t
#define T_BOOL bool
#define T_MAP struct kvs
#define T_STRS struct strs
#define T_REC(r) struct r *
#define T_RECS(r) struct r##_list
#define AS_MEMBER(M, field, TYPE, need, max, doc) T_##TYPE field;

#define RECORD(name, doc)                      \
	struct name {                          \
		name##_FIELDS(AS_MEMBER, name) \
	};                                     \
	struct name##_list {                   \
		struct name *v;                \
		uint32_t n;                    \
	};                                     \
	extern const struct schema name##_schema;
#define RPC(...)
#define COMMON(...)
#define EVENT(...)
#include "schemas/all.h"

/* The description of each method. */
#define RECORD(...)
#define EVENT(...)
#define RPC METHOD_DECL
#define COMMON METHOD_DECL
#define METHOD_DECL(name, ...) METHOD_DECL_(ACTOR, name)
#define METHOD_DECL_(actor, name) METHOD_DECL__(actor, name)
#define METHOD_DECL__(actor, name) extern const struct method actor##_##name##_method;
#include "schemas/all.h"

#define ACTOR_TABLE(actor)                                   \
	extern const struct method *const actor##_methods[]; \
	extern const unsigned actor##_methods_count;
ACTOR_TABLE(content)
ACTOR_TABLE(snapshot)
ACTOR_TABLE(task)
ACTOR_TABLE(events)

#endif
