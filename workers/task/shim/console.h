/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console - the socket on which an OCI runtime hands over the master side of a new terminal.
 */
#ifndef CF_SHIM_CONSOLE_H
#define CF_SHIM_CONSOLE_H

#include "lib/base/err.h"
#include "lib/base/loop.h"

struct console;

/* The descriptor is the callee's. Called at most once; the console may be freed from it. */
typedef void console_got_fn(void *arg, int take_fd);

/* Listens at path (removed by console_free). */
int console_new(struct loop *l, const char *path, console_got_fn *got, void *arg,
    struct console **ret_c, struct err *e);
void console_free(struct console **c);

const char *console_path(const struct console *c);

#endif
