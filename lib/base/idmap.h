/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmap - which ids inside a user namespace are which outside of it.
 *
 * Written as containerd and the mount options uidmap= and gidmap= have it: INSIDE:OUTSIDE:SIZE, several of
 * them with commas between. What the kernel would refuse is refused here, and it is said why: more than 340
 * lines or 4,095 bytes of them, a size of 0, ids past 4294967294, ranges that overlap.
 */
#ifndef CF_BASE_IDMAP_H
#define CF_BASE_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

#define IDMAP_LINES_MAX 340

struct idmap_line {
	uint32_t inside, outside, size;
};

struct idmap {
	struct idmap_line v[IDMAP_LINES_MAX];
	unsigned n;
	unsigned bytes; /* as the kernel gets it */
};

/* Adds one mapping or a list of them. invalid_argument says what is wrong with which. */
int idmap_add(struct idmap *m, const char *text, struct err *e);

/* The id outside; false when it has none. */
bool idmap_outside(const struct idmap *m, uint32_t inside, uint32_t *ret);

/* A user namespace with these maps, in which nothing runs. ret_fd is the caller's. Starts and reaps a child that
 * sends no SIGCHLD. */
int idmap_userns(const struct idmap *uids, const struct idmap *gids, int *ret_fd, struct err *e);

#endif
