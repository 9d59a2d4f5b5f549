/* SPDX-License-Identifier: Apache-2.0 */
/* handlers - prototypes of the handlers, for the files that define them (main.c expands its own). */
#ifndef CF_CONTENT_HANDLERS_H
#define CF_CONTENT_HANDLERS_H

#include "workers/content/content.h"

#define ACTOR content
#define ACTOR_DEF "schemas/content.def"
#define ACTOR_STATE struct content
#define HANDLERS_PROTOTYPES_ONLY
#include "bus/worker/handlers.h"
#undef HANDLERS_PROTOTYPES_ONLY

#endif
