/* SPDX-License-Identifier: Apache-2.0 */
/* labels - what the label commands of images, content and namespaces have in common. */
#ifndef CF_CTR_LABELS_H
#define CF_CTR_LABELS_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

/* KEY=VALUE, KEY= (removes) and, as containerd's ctr takes it, KEY alone for KEY=true: the labels and the
 * field paths of an update. all: those that are not given go. */
int labels_read(const struct strs *words, bool all, struct arena *a, struct kvs *ret_labels,
    struct strs *ret_fields, struct err *e);
/* One a line. */
void labels_print(const struct kvs *labels);

#endif
