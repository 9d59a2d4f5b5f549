/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command - what the program does: start, serve (the daemon that start leaves behind), delete, probe.
 *
 * Each returns 0 or a negative class; main prints the error to stderr in one line.
 */
#ifndef CF_SHIM_COMMAND_H
#define CF_SHIM_COMMAND_H

#include "lib/base/err.h"
#include "workers/task/shim/place.h"

/* Descriptors of the serving shim. */
#define SERVE_SOCKET_FD 3
#define SERVE_ATTACH_FD 4

/* Makes the sockets, starts the serving shim and prints its address. */
int command_start(struct place *p, const struct shim_args *a, struct err *e);

/* Serves until Shutdown. */
int command_serve(const struct place *p, struct err *e);

/* Ends what a shim has left that is no more, or that nobody wants any more: then itself first. Prints a
 * DeleteResponse. May be run again. */
int command_delete(const struct place *p, struct err *e);

/* Tries the OCI runtimes that are installed and prints a line for each. */
int command_probe(struct err *e);

#endif
