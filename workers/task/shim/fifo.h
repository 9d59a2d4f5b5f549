/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fifo - starting a container of runc's without another runc.
 *
 * `runc create` leaves a process that waits in an open of ROOT/ID/exec.fifo for somebody to read. `runc start`
 * reads and removes the fifo: two system calls, for which a Go program has to come to life (5 ms of the
 * 40 that runc takes for a whole container). We make them ourselves, when nothing else is to be done: no
 * poststart hook (runc 1.2 and later run them then), and the fifo is there. It has been so since runc 1.0;
 * should it not be so one day, there is no such fifo, and the caller asks runc.
 */
#ifndef CF_SHIM_FIFO_H
#define CF_SHIM_FIFO_H

#include <stdbool.h>

#include "lib/base/loop.h"
#include "workers/task/shim/runtime.h"

struct fifo;

/* Opens the fifo of rt's container, and waits for the word of its process: done comes later, once, and
 * the fifo is freed then. NULL: not to be started this way. */
struct fifo *fifo_start(const struct runtime *rt, struct loop *l, runtime_done_fn *done, void *arg);

/* The process has ended: done is called, with an error when there was no word. NULL is fine. */
void fifo_ended(struct fifo *f);

#endif
