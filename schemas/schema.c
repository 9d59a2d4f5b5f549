/* SPDX-License-Identifier: Apache-2.0 */
/* schema - the tables of schema.h, expanded from the .def files. */
#include "schemas/schema.h"

#include <string.h>

#include "lib/base/err.h"

#define NEED_MUST true
#define NEED_MAY false

#define K_STR FIELD_STR
#define K_BIN FIELD_BIN
#define K_U64 FIELD_U64
#define K_I64 FIELD_I64
#define K_BOOL FIELD_BOOL
#define K_MAP FIELD_MAP
#define K_STRS FIELD_STRS
#define K_REC(r) FIELD_REC
#define K_RECS(r) FIELD_RECS

#define SUB_STR NULL
#define SUB_BIN NULL
#define SUB_U64 NULL
#define SUB_I64 NULL
#define SUB_BOOL NULL
#define SUB_MAP NULL
#define SUB_STRS NULL
#define SUB_REC(r) &r##_schema
#define SUB_RECS(r) &r##_schema

#define AS_FIELD(M, f, TYPE, need, most, text)   \
	{ .name = #f,                            \
		.kind = K_##TYPE,                \
		.must = NEED_##need,             \
		.max = (most),                   \
		.offset = offsetof(struct M, f), \
		.sub = SUB_##TYPE,               \
		.doc = (text) },

/* A record without fields still needs an array with an element. */
#define RECORD(record, text)                                                               \
	static const struct field record##_fields[] = { record##_FIELDS(AS_FIELD, record){ \
	    .name = NULL } };                                                              \
	const struct schema record##_schema = { .name = #record,                           \
		.size = sizeof(struct record),                                             \
		.fields = record##_fields,                                                 \
		.nfields = COUNT(record##_fields) - 1,                                     \
		.doc = (text) };
#define RPC(...)
#define COMMON(...)
#define EVENT(...)
#include "schemas/all.h"

#define RECORD(...)
#define EVENT(...)
#define RPC METHOD_DEF
#define COMMON METHOD_DEF
#define METHOD_DEF(...) METHOD_DEF_(ACTOR, __VA_ARGS__)
#define METHOD_DEF_(...) METHOD_DEF__(__VA_ARGS__)
#define METHOD_DEF__(a, m, q, p, g, who, how, text)           \
	const struct method a##_##m##_method = { .actor = #a, \
		.name = #m,                                   \
		.req = &q##_schema,                           \
		.rep = &p##_schema,                           \
		.progress = &g##_schema,                      \
		.by = (who),                                  \
		.flag = (how),                                \
		.doc = (text) };
#include "schemas/all.h"

#define RECORD(...)
#define EVENT(...)
#define RPC METHOD_REF
#define COMMON METHOD_REF
#define METHOD_REF(name, ...) METHOD_REF_(ACTOR, name)
#define METHOD_REF_(a, m) METHOD_REF__(a, m)
#define METHOD_REF__(a, m) &a##_##m##_method,

#define ACTOR content
const struct method *const content_methods[] = {
#include "schemas/content.def"
};
#undef ACTOR
const unsigned content_methods_count = COUNT(content_methods);

#define RECORD(...)
#define RPC METHOD_REF
#define COMMON METHOD_REF
#define ACTOR snapshot
const struct method *const snapshot_methods[] = {
#include "schemas/snapshot.def"
};
#undef ACTOR
const unsigned snapshot_methods_count = COUNT(snapshot_methods);

#define RECORD(...)
#define RPC METHOD_REF
#define COMMON METHOD_REF
#define ACTOR task
const struct method *const task_methods[] = {
#include "schemas/task.def"
};
#undef ACTOR
const unsigned task_methods_count = COUNT(task_methods);

#define RECORD(...)
#define RPC METHOD_REF
#define COMMON METHOD_REF
#define ACTOR events
const struct method *const events_methods[] = {
#include "schemas/events.def"
};
#undef ACTOR
const unsigned events_methods_count = COUNT(events_methods);

#define RECORD(...)
#define RPC(...)
#define COMMON(...)
#define EVENT(name, record, who, text) { (name), &record##_schema, #who, (text) },
const struct event_kind event_kinds[] = {
#include "schemas/events.def"
};
const unsigned event_kinds_count = COUNT(event_kinds);

const char *
record_name(const struct schema *s, const void *rec)
{
	const void *at = (const char *)rec + s->fields[0].offset;

	return s->fields[0].kind == FIELD_REC
		   ? record_name(s->fields[0].sub, *(const void *const *)at)
		   : *(const char *const *)at;
}

const struct event_kind *
event_kind(const char *topic)
{
	for (unsigned i = 0; i < event_kinds_count; i++)
		if (strcmp(event_kinds[i].topic, topic) == 0)
			return &event_kinds[i];
	return NULL;
}
