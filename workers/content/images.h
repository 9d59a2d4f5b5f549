/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images - the names of images: records in LMDB, found by full name, short name or digest.
 */
#ifndef CF_CONTENT_IMAGES_H
#define CF_CONTENT_IMAGES_H

#include "lib/filter/page.h"
#include "lib/oci/document.h"
#include "workers/content/content.h"

/* Finds what a person means by ref: a full or short name; name@digest; or a target's digest, with or
 * without "sha256:", cut to no less than 4 digits. Several names of one digest: the first, and their
 * number in *ret_names (may be NULL). not_found; invalid_argument when it is neither, or a cut digest
 * means several images. */
int image_find(struct txn *t, const char *ns, const char *ref, struct arena *a, struct image *ret,
    unsigned *ret_names, struct err *e);

/* Adds or replaces the record, keeps created_at of an older one, writes the event, makes the namespace,
 * labels what it reaches (tree_label) unless who put it together has done so. Fills in created_at and
 * updated_at of im. */
int image_put(struct content *c, struct txn *t, const char *ns, struct image *im, struct err *e);

/* Drops the record, with the event. Success also when it is not there. */
int image_row_drop(struct txn *t, const char *ns, const char *name, struct err *e);

/* The record's target, checked. */
int image_target(const struct image *im, struct oci_desc *ret, struct err *e);

/* Makes ns exist; success when it does. */
int namespace_ensure(struct txn *t, const char *ns, struct err *e);

/* One answer of a list method: the rows of the call's namespace, in the order of their keys. */
struct rows_ask {
	unsigned table;
	const struct schema *schema;
	const char *after; /* NULL: from the first */
	const struct strs *filters;
	uint64_t limit;
};
int rows_page(
    struct content *c, struct call *call, const struct rows_ask *l, struct page *p, struct err *e);

/* store_commit, and the outbox is looked at. */
int content_commit(struct content *c, struct txn **t, struct err *e);

#endif
