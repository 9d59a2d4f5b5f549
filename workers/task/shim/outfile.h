/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outfile - where containerd's API sends a stream: a fifo that the client made, or a file.
 *
 * A fifo that is full holds its process up, as a pipe would. One whose reader has gone holds nobody
 * up: what is written meanwhile is dropped, until a reader is there again. (A fifo is held
 * open for reading here in the first seconds, for a client that is slow to open its end.)
 */
#ifndef CF_SHIM_OUTFILE_H
#define CF_SHIM_OUTFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"

struct outfile;

/* what: a path, "fifo:///path" or "file:///path". drained: called, later, when a full one has room again. */
int outfile_open(struct loop *l, const char *what, loop_timer_fn *drained, void *arg,
    struct outfile **ret_f, struct err *e);
void outfile_close(struct outfile **f);

/* Takes all n bytes: what does not fit now is kept. */
void outfile_write(struct outfile *f, const char *data, size_t n);
bool outfile_holds(const struct outfile *f);

#endif
