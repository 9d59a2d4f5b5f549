/* SPDX-License-Identifier: Apache-2.0 */
/* containers - the steps that `containers start` and `run` share. */
#ifndef CF_CTR_CONTAINERS_H
#define CF_CTR_CONTAINERS_H

#include "ctr/ctr.h"

/* Makes the container's process, not yet running; an ended one of its last run gives way. *ret lives
 * in a. */
int container_task_create(
    struct ctr *c, const char *id, struct arena *a, struct task **ret, struct err *e);
/* Lets it run; when that fails the task is removed again. */
int container_task_start(struct ctr *c, const char *id, struct arena *a, struct err *e);

/* `containers start --attach`: returns the exit status of the process. */
int run_start_attached(struct ctr *c, const char *id, struct err *e);

#endif
