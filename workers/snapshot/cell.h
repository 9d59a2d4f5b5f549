/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell - the system call filter of the nursery's children.
 *
 * An allow-list: calls on files below descriptors that are open, memory, threads of its own, the clock; nothing
 * that makes a process, a socket or a mount, runs a program, maps code, signals or looks at anybody else.
 * A call that is not in it ends the child with SIGSYS. The programs are made once, in the nursery, and
 * inherited: a child's share is one system call.
 */
#ifndef CF_SNAPSHOT_CELL_H
#define CF_SNAPSHOT_CELL_H

#include "lib/base/err.h"

enum cell {
	CELL_LOOK,  /* reads trees */
	CELL_IMAGE, /* and writes files */
	CELL_CLEAR, /* reads and removes */
	CELL_MAKE,  /* all that unpacking takes */
	CELL_COUNT
};

/* Makes the programs. failed_precondition where the kernel has no filters. */
int cell_prepare(struct err *e);
/* From now on. no_new_privs must be set. Does nothing when cell_prepare failed. */
int cell_enter(enum cell c, struct err *e);

#endif
