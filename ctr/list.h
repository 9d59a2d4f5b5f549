/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list - what all list commands have in common: page after page of records, shown as names, JSON or a
 * table. Driven by the declarations: a list method's reply has one list of records (and `next`), its
 * request may have `after` and `filters`: the words behind the command are those.
 */
#ifndef CF_CTR_LIST_H
#define CF_CTR_LIST_H

#include "ctr/ctr.h"

extern const struct opt list_opts[]; /* --quiet, --format */

/* Prints records as a table. */
typedef void list_table_fn(const struct list *records);

/* req: a struct of m->req; its `after` is written to. Returns an exit status or a negative error. */
int list_show(struct ctr *c, const struct opts *o, const struct method *m, void *req,
    list_table_fn *table, struct err *e);

/* All records, in a. */
int list_fetch(struct ctr *c, const struct method *m, void *req, struct arena *a, struct list *ret,
    struct err *e);

#endif
