/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handlers.h - prototypes and thunks of an actor's handlers, from its declaration.
 *
 * In one file of the worker:
 *	#define ACTOR content
 *	#define ACTOR_DEF "schemas/content.def"
 *	#define ACTOR_STATE struct content
 *	#include "bus/worker/handlers.h"
 * gives `content_on_<method>` prototypes (methods declared with COMMON are the skeleton's own) and
 * `static worker_thunk *const content_thunks[]`. A method without a handler does not link. Handlers
 * live in other files: those include this with HANDLERS_PROTOTYPES_ONLY defined. No include guard.
 */
#include "bus/worker/worker.h"

#define HANDLERS_CAT(a, b) HANDLERS_CAT_(a, b)
#define HANDLERS_CAT_(a, b) a##b

#define RECORD(...)
#define EVENT(...)
#define COMMON(...)
#define RPC(m, q, p, g, who, how, doc)                                         \
	int HANDLERS_CAT(ACTOR, _on_##m)(ACTOR_STATE * state, struct call * c, \
	    const struct q *req, struct p *rep, struct err *e);
#include ACTOR_DEF

#ifndef HANDLERS_PROTOTYPES_ONLY

#define RECORD(...)
#define EVENT(...)
#define COMMON(...)
#define RPC(m, q, p, g, who, how, doc)                                              \
	static int HANDLERS_CAT(ACTOR, _thunk_##m)(                                 \
	    void *state, struct call *c, const void *req, void *rep, struct err *e) \
	{                                                                           \
		return HANDLERS_CAT(ACTOR, _on_##m)(state, c, req, rep, e);         \
	}
#include ACTOR_DEF

int worker_on_version(void *state, struct call *c, const void *req, void *rep, struct err *e);
int worker_on_outbox_read(void *state, struct call *c, const void *req, void *rep, struct err *e);

#define RECORD(...)
#define EVENT(...)
#define COMMON(m, ...) worker_on_##m,
#define RPC(m, ...) HANDLERS_CAT(ACTOR, _thunk_##m),
static worker_thunk *const HANDLERS_CAT(ACTOR, _thunks)[] = {
#include ACTOR_DEF
};

#endif
#undef HANDLERS_CAT
#undef HANDLERS_CAT_
#undef ACTOR
#undef ACTOR_DEF
#undef ACTOR_STATE
