/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run - children: programs run to their end, and the ends of processes that others started for us.
 *
 * The shim is a subreaper: besides the programs it runs itself (OCI runtimes), a container's processes
 * become its children when the runtime that made them has gone, and so do orphans of containers
 * that share our pid namespace. All are reaped here, once, on SIGCHLD. An end that nobody watches yet is
 * kept while a runtime is at work (its pid file may be read only after the process has ended) and
 * forgotten otherwise.
 */
#ifndef CF_SHIM_RUN_H
#define CF_SHIM_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"

struct reaper;

/* status as waitpid gives it */
typedef void reaped_fn(void *arg, pid_t pid, int status, int64_t at);

/* Blocks SIGCHLD and becomes the subreaper. NULL with errno when the kernel refuses. */
struct reaper *reaper_new(struct loop *l);
void reaper_free(struct reaper **r);

/* Calls fn once when pid has ended: from here when it has already (then pid was kept). */
void reaper_watch(struct reaper *r, pid_t pid, reaped_fn *fn, void *arg);
void reaper_unwatch(struct reaper *r, pid_t pid);

#define RUN_ARGS_MAX 32

struct run_spec {
	const char *argv[RUN_ARGS_MAX]; /* argv[0] is an absolute path; ends with NULL */
	int fd[3];	     /* the child's 0, 1, 2; -1: /dev/null; RUN_OUTPUT: kept for done */
	uint64_t timeout_ms; /* it is killed then, with its process group */
};
#define RUN_OUTPUT (-2)
#define RUN_OUTPUT_MAX 65536

struct run_end {
	int status; /* waitpid's */
	bool timed_out;
	const char *
	    output; /* of the RUN_OUTPUT descriptors, both in one; its first RUN_OUTPUT_MAX bytes */
};
typedef void run_done_fn(void *arg, const struct run_end *end);

/* Starts the program; done is called once, later. The descriptors are borrowed. */
int run_start(
    struct reaper *r, const struct run_spec *spec, run_done_fn *done, void *arg, struct err *e);

/* Finds an executable by name in PATH, or checks an absolute path. not_found otherwise. */
int run_find(const char *name, char *path, size_t size, struct err *e);

#endif
