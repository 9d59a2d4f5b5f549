/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup - a container's control groups, version 1, 2 or both: who is in them, and their end when the OCI
 * runtime could not bring it about.
 *
 * Where they are is written to the bundle ("coffer.cgroup", the kernel's own lines for the container's process)
 * once the container is made. Before that only config.json tells. Only a group whose last component
 * has the container's name in it is ever emptied: a container may have been put into a shared one.
 */
#ifndef CF_SHIM_CGROUP_H
#define CF_SHIM_CGROUP_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"

/*
 * Lets the kernel make ready for a process to change its group, by moving the calling one to where it is. The
 * first move after a quiet time waits for an RCU grace period (5 to 20 ms seen here; percpu_down_write of
 * cgroup_threadgroup_rwsem), those that follow within another one do not. Takes 15 ms more than that, so
 * that it lasts.
 */
void cgroup_make_ready(void);

/* Keeps the groups of pid in the working folder. */
int cgroup_save(pid_t pid, struct err *e);

/* All processes in the groups of pid and below: *ret_pids is malloced. Just pid when it has no group of
 * its own. */
int cgroup_pids(pid_t pid, pid_t **ret_pids, size_t *ret_n, struct err *e);

/* Kills what is in the container's groups and removes them, as recorded in the working folder. Blocks
 * for at most some seconds. Success when nothing is left. */
int cgroup_clean(const char *id, struct err *e);

#endif
