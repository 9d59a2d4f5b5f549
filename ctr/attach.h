/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach - the client's end of docs/attach.md: our stdin, stdout and stderr joined to a process.
 *
 *	attach_open -> (start the process) -> attach_copy -> callbacks -> attach_free
 *
 * Nothing blocks: while our stdout cannot take more, nothing is read from the shim, which holds the
 * process up; while the shim cannot take more, our stdin is not read. Descriptors 0, 1 and 2 are left
 * in the mode they were in (others may share them).
 */
#ifndef CF_CTR_ATTACH_H
#define CF_CTR_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"

struct attach;

enum attach_event {
	ATTACH_END,	 /* the process has ended, and all it wrote is written */
	ATTACH_LOST,	 /* the shim went away, or gave us up: text says why */
	ATTACH_DETACHED, /* the user typed ctrl-p ctrl-q */
	ATTACH_BROKEN	 /* nobody reads our stdout or stderr any more; what comes is dropped */
};

typedef void attach_fn(void *arg, enum attach_event event, const char *text);

/* Connects and says which process is meant (exec_id NULL: the container's own). Returns when the shim
 * has welcomed us: from then on no output is missed. stop: gives up with cancelled when it becomes
 * non-zero (set by a callback of the loop). */
int attach_open(struct loop *l, const char *path, const char *exec_id, const int *stop,
    struct attach **ret, struct err *e);

enum {
	ATTACH_INPUT = 1, /* join our stdin */
	ATTACH_EOF = 2,	  /* and pass its end on */
	ATTACH_KEYS = 4	  /* watch it for the detach keys */
};

/* Starts copying; fn is called on the loop. */
void attach_copy(struct attach *a, unsigned flags, attach_fn *fn, void *arg);

bool attach_tty(const struct attach *a);
/* True while output waits for our stdout or stderr. */
bool attach_busy(const struct attach *a);
/* Packets received so far. */
uint64_t attach_seen(const struct attach *a);
void attach_free(struct attach **a);

#endif
