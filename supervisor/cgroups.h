/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroups - where the containers' control groups are, and their removal when none is left.
 *
 * A container's group is ROOT/NS/ID in every hierarchy; runtimes make and remove it, and leave its
 * parents. Those go when the daemon ends: while it runs, another container may be on its way into them.
 */
#ifndef CF_SUPERVISOR_CGROUPS_H
#define CF_SUPERVISOR_CGROUPS_H

#define CGROUP_ROOT_MAX 32

/* "/coffer", or "/coffer-<hash of state>" for a daemon beside the usual folder: two on one host must not
 * share groups. Into to (CGROUP_ROOT_MAX bytes); returns to. */
const char *cgroups_root(const char *state, char *to);

/* Removes the groups of this daemon that are empty; those of running containers stay. */
void cgroups_prune(const char *state);

#endif
