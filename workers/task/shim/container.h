/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container - what is done to the container as a whole and takes the OCI runtime: made, started,
 * signalled, deleted; and the same for execs. Every function with an rq answers it, now or later.
 */
#ifndef CF_SHIM_CONTAINER_H
#define CF_SHIM_CONTAINER_H

#include "lib/ttrpc/proto/task.pb-c.h"
#include "workers/task/shim/task.h"

void container_create(
    struct task *t, struct ttrpc_request *rq, const Containerd__Task__V2__CreateTaskRequest *req);
void container_exec(
    struct task *t, struct ttrpc_request *rq, const Containerd__Task__V2__ExecProcessRequest *req);
void container_start(struct proc *p, struct ttrpc_request *rq);
void container_delete(struct proc *p, struct ttrpc_request *rq);
/* Its own process has ended, and that is told: the runtime's part of the delete to come begins. */
void container_ended(struct proc *init);
void container_kill(struct proc *p, struct ttrpc_request *rq, unsigned signo, bool all);
/* verb pause or resume */
void container_pause(struct task *t, struct ttrpc_request *rq, bool pause);
/* resources: OCI LinuxResources as JSON. One after the other, in the order of the calls (update.c). */
void container_update(struct task *t, struct ttrpc_request *rq, const void *resources, size_t n);

#endif
