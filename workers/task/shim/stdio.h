/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio - one process' stdin, stdout and stderr: from its pipes or terminal to log, clients and fifos,
 * and back.
 *
 * Order of calls: stdio_new, (stdio_child_fds | stdio_terminal), stdio_started, stdio_exited, stdio_free; a
 * process that never starts goes from anywhere to stdio_free. Nothing is read from the process before
 * stdio_started, so a runtime that fails leaves its words unread for stdio_words_fd.
 *
 * Output is read only as fast as those take it who may hold the process up: clients that
 * attached before the start, and fifos that have a reader. Log and other clients never do.
 *
 * The end of output is the end of the pipe; or, since children of the process may hold that open,
 * the moment when the process has ended and nothing is left to read. What comes later is thrown away.
 */
#ifndef CF_SHIM_STDIO_H
#define CF_SHIM_STDIO_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "workers/task/shim/attach.h"
#include "workers/task/shim/place.h"

struct stdio;

struct stdio_spec {
	const char *in, *out, *err; /* as Create and Exec have them; see lib/ttrpc/shim.h */
	bool terminal;
	bool logged; /* the container's own process: has a log where one is configured */
	uid_t uid;   /* whose its pipes are, so that it may open /dev/stdout */
	gid_t gid;
};

int stdio_new(struct loop *l, const struct place *p, const struct stdio_spec *spec,
    struct stdio **ret_io, struct err *e);
void stdio_free(struct stdio **io);

/* The three ends for the process, borrowed; -1 for what is to be /dev/null. Not with a terminal. */
void stdio_child_fds(const struct stdio *io, int fds[3]);
/* The reading end of the pipe that the process has as stderr (or stdout), -1 when there is none. */
int stdio_words_fd(const struct stdio *io);

/* Takes the master side of the process' terminal. */
void stdio_terminal(struct stdio *io, int take_fd);
void stdio_started(struct stdio *io);
void stdio_exited(struct stdio *io);

void stdio_close_stdin(struct stdio *io);
int stdio_resize(struct stdio *io, unsigned width, unsigned height, struct err *e);

struct attach_group *stdio_clients(const struct stdio *io);

#endif
