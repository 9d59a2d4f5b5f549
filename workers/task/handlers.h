/* SPDX-License-Identifier: Apache-2.0 */
/* handlers - prototypes of the methods' handlers, from their declaration. */
#ifndef CF_TASK_HANDLERS_H
#define CF_TASK_HANDLERS_H

#include "workers/task/task.h"

#define HANDLERS_PROTOTYPES_ONLY
#define ACTOR task
#define ACTOR_DEF "schemas/task.def"
#define ACTOR_STATE struct taskd
#include "bus/worker/handlers.h"
#undef HANDLERS_PROTOTYPES_ONLY

#endif
