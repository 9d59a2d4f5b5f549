/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels - maps of labels as containerd's: checked, changed by field paths, merged.
 *
 * A label without a value does not exist: setting it to nothing removes it.
 */
#ifndef CF_FILTER_LABELS_H
#define CF_FILTER_LABELS_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

/* The value, NULL when there is none. */
const char *labels_get(const struct kvs *l, const char *key);

/* Keys and values that containerd would take: a key, and 4096 bytes at most for the two. */
int labels_check(const struct kvs *l, struct err *e);

/* have with key set to value (NULL or "": removed); lists are made in a. */
void labels_set(struct kvs *have, const char *key, const char *value, struct arena *a);

/* Sets all of more in have. */
void labels_merge(struct kvs *have, const struct kvs *more, struct arena *a);

/* Changes have to what want says for the paths in fields: "labels" (all) or "labels.KEY"; no paths: all
 * of them. `other` (may be NULL) is a further path the record has: *ret_other says whether it is named.
 * Any other path is invalid_argument. */
int labels_update(struct kvs *have, const struct kvs *want, const struct strs *fields,
    const char *other, bool *ret_other, struct arena *a, struct err *e);

#endif
