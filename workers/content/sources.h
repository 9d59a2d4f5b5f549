/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sources - where a blob is known to be: labels containerd.io/distribution.source.HOST of its row, with
 * the repositories of that registry, in containerd's form. A push has the registry take blobs over from
 * there instead of sending them.
 */
#ifndef CF_CONTENT_SOURCES_H
#define CF_CONTENT_SOURCES_H

#include "workers/content/content.h"

/* Notes in the row of d, which must be there, that repo at host has it. */
int source_add(struct content *c, struct txn *t, const char *ns, const struct digest *d,
    const char *host, const char *repo, struct err *e);

/* A repository at host, other than repo, that is known to have d; NULL when there is none. */
const char *source_find(struct txn *t, const char *ns, const struct digest *d, const char *host,
    const char *repo, struct arena *a);

#endif
