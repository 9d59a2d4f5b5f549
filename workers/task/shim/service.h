/* SPDX-License-Identifier: Apache-2.0 */
/* service - the methods of containerd.task.v2.Task, checked and handed on; see container.h. */
#ifndef CF_SHIM_SERVICE_H
#define CF_SHIM_SERVICE_H

#include <stddef.h>

#include "lib/ttrpc/ttrpc.h"
#include "workers/task/shim/task.h"

/* What the handlers get. */
struct service {
	struct task *task;
	/* A Shutdown was answered and nothing is left to look after. */
	void (*shutdown)(void *arg);
	void *arg;
};

extern const struct ttrpc_method service_methods[];
extern const size_t service_nmethods;

#endif
