/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs - a container's log as it was written by the shim: lines `TIME stream P|F text`, in the files
 * log, log.1 (older), log.2, ...
 *
 * The files are read from the oldest to the newest and then followed over rotations: nothing is left
 * out and nothing comes twice as long as a file is not removed before it was read. A line that is not
 * of this form is printed as it is.
 */
#ifndef CF_CTR_LOGS_H
#define CF_CTR_LOGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"

struct logs;

struct logs_opts {
	const char *path; /* of the newest file; copied */
	int64_t tail;	  /* only so many lines of what is there; negative: all */
	bool timestamps;
	FILE *out, *err; /* for the two streams; borrowed */
};

/* not_found while there is no file. */
int logs_open(const struct logs_opts *o, struct logs **ret, struct err *e);

/* Prints what has come since. A half line stays back until the rest of it comes. */
int logs_read(struct logs *l, struct err *e);
/* Prints the half line too: nothing more will come. */
void logs_finish(struct logs *l);
/* Readable (an inotify descriptor, borrowed) when there may be more; logs_read empties it. */
int logs_fd(const struct logs *l);
void logs_free(struct logs **l);

#endif
