/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal - the terminal of the user: its size, and raw mode that never outlives ctr.
 *
 * One terminal can be raw at a time. It is put back by terminal_restore, at exit, and when ctr dies of
 * a fault (SEGV, BUS, ABRT, ...); only SIGKILL leaves it raw.
 */
#ifndef CF_CTR_TERMINAL_H
#define CF_CTR_TERMINAL_H

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

/* False when fd is no terminal; one that does not know its size is 80 by 24. */
bool terminal_size(int fd, unsigned *ret_width, unsigned *ret_height);

int terminal_raw(int fd, struct err *e);
void terminal_restore(void);

/* Asks on the terminal, without echo; one line without its end. */
int terminal_ask_hidden(const char *prompt, struct buf *out, struct err *e);

#endif
