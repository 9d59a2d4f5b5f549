/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input - a process' stdin: what clients and a fifo give, written as fast as the process takes it.
 *
 * At most one piece of each giver waits here; while something waits the givers are not read (hooks.paused).
 */
#ifndef CF_SHIM_INPUT_H
#define CF_SHIM_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"

struct input;

/* Called when it starts and when it stops to be full. */
typedef void input_paused_fn(void *arg, bool paused);

struct input *input_new(struct loop *l, bool terminal, input_paused_fn *paused, void *arg);
void input_free(struct input **in);

/* Takes the writing end (a pipe, or a terminal's master; made non-blocking). */
void input_set_fd(struct input *in, int take_fd);
/* Reads a client's fifo as well. */
int input_fifo(struct input *in, const char *path, struct err *e);

void input_write(struct input *in, const char *data, size_t n);
/* No more input: for a pipe its end, for a terminal its end-of-file character. */
void input_end(struct input *in);
/* CloseIO: the fifo ends when its last writer closes it; without a fifo as input_end. */
void input_close(struct input *in);

#endif
