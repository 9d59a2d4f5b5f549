/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xattrs - the extended attributes of a file that belong into a layer, ordered by name.
 */
#ifndef CF_SNAPSHOT_XATTRS_H
#define CF_SNAPSHOT_XATTRS_H

#include <stdbool.h>

#include "lib/base/buf.h"
#include "workers/snapshot/sink.h"

#define XATTRS_MAX 256

/* Filled again and again; starts as zeros. */
struct xattrs {
	unsigned n;
	struct layer_xattr v[XATTRS_MAX]; /* in bytes */
	struct buf names, values;
};

/* Of layers' attributes those that are kept: user.* and security.capability, POSIX ACLs; nothing that means
 * something to overlayfs or to this host alone. */
bool xattr_kept(const char *name);

/* Those of name in the folder behind dir, links not followed. failed_precondition for what a mount with
 * redirect_dir or metacopy has left: its tree can't be told without that mount. Changes the working folder. */
int xattrs_read(struct xattrs *x, int dir, const char *name, struct err *e);
bool xattrs_equal(const struct xattrs *a, const struct xattrs *b);
void xattrs_free(struct xattrs *x);

#endif
