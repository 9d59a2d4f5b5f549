/* SPDX-License-Identifier: Apache-2.0 */
/*
 * all.h - every declaration once, for an expansion; no include guard.
 *
 * Define RECORD, RPC, COMMON and EVENT before. While an actor's file is read, ACTOR is its name. The
 * .def files undefine the macros at their ends, so they are pushed around each of them.
 */
#pragma push_macro("RECORD")
#include "schemas/bus.def"
#pragma pop_macro("RECORD")

#define ACTOR content
#pragma push_macro("RECORD")
#pragma push_macro("RPC")
#pragma push_macro("COMMON")
#include "schemas/content.def"
#pragma pop_macro("COMMON")
#pragma pop_macro("RPC")
#pragma pop_macro("RECORD")
#undef ACTOR

#define ACTOR snapshot
#pragma push_macro("RECORD")
#pragma push_macro("RPC")
#pragma push_macro("COMMON")
#include "schemas/snapshot.def"
#pragma pop_macro("COMMON")
#pragma pop_macro("RPC")
#pragma pop_macro("RECORD")
#undef ACTOR

#define ACTOR task
#pragma push_macro("RECORD")
#pragma push_macro("RPC")
#pragma push_macro("COMMON")
#include "schemas/task.def"
#pragma pop_macro("COMMON")
#pragma pop_macro("RPC")
#pragma pop_macro("RECORD")
#undef ACTOR

#define ACTOR events
#include "schemas/events.def"
#undef ACTOR
