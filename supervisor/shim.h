/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim - the programs that hold containers, as the supervisor deals with them: find, call, connect to,
 * kill. The call convention is containerd's shim v2.
 */
#ifndef CF_SUPERVISOR_SHIM_H
#define CF_SUPERVISOR_SHIM_H

#include "supervisor/folders.h"

#define SHIM_DEFAULT "io.containerd.coffer.v1"

/* The program of a runtime: "io.containerd.NAME.vN" is containerd-shim-NAME-vN beside cofferd or in the
 * usual folders; an absolute path is taken when only root can write to it. Into path (PATH_MAX). */
int shim_program(const char *runtime, const char *self_dir, char *path, struct err *e);

struct shim_call {
	const char *runtime, *verb; /* "start", "delete", "probe" */
	const char *ns, *id;	    /* NULL for probe */
	int in, out, err;	    /* become its stdin, stdout, stderr; borrowed */
};

/* Starts the program; ret_pidfd is the caller's. */
int shim_run(const struct folders *f, const char *self_dir, const struct shim_call *call,
    pid_t *ret_pid, int *ret_pidfd, struct err *e);

/* Connects to a shim's socket; only to those below STATE/s and /run/containerd/s that root listens on.
 * unavailable when its queue is full. ret_fd is the caller's and does not block. */
int shim_connect(const struct folders *f, const char *address, int *ret_fd, struct err *e);

/* Kills the shim of a container should it live: one whose start was answered to a daemon that was dead by
 * then, so that nobody knows its socket. Before its delete call, never else. */
void shim_end_leaked(const struct folders *f, const char *ns, const char *id);

/* Signals the process behind a pidfd, when it is a shim. Success when it is gone. */
int shim_kill(int pidfd, int signo, struct err *e);

#endif
