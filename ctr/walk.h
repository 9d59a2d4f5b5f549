/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk - from an image's target through its indexes and manifests, as far as the wanted platforms need.
 *
 * Each document is read once, however often it is named; depth and number are bounded, so that no index,
 * whatever it names, keeps us busy. What a manifest names is looked for: an image that was walked to the
 * end is whole.
 */
#ifndef CF_CTR_WALK_H
#define CF_CTR_WALK_H

#include "ctr/ctr.h"
#include "lib/oci/document.h"

/* Platforms that --platform (each may have several, apart by commas) and --all-platforms ask for; without
 * them the host's. */
struct wanted {
	bool all;
	bool given; /* somebody asked */
	struct platform *v;
	size_t n;
};
extern const struct opt wanted_opts[];
int wanted_read(const struct opts *o, struct wanted *ret, struct err *e);
void wanted_free(struct wanted *w);
/* How well p serves what is wanted; 0: not at all. */
unsigned wanted_rank(const struct wanted *w, const struct platform *p);

/* Is it an index or a manifest, by its media type? */
bool walk_is_document(const struct oci_desc *d);

/* A document, after all it names. */
struct walk_step {
	const struct oci_desc *desc;
	const struct oci_doc *doc;
	const struct buf *text;
	const bool *taken;		 /* index: which entries belong to it */
	const struct oci_config *config; /* manifest */
};
typedef int walk_fn(void *arg, const struct walk_step *step, struct err *e);

/* not_found when something is missing, or there is nothing for a platform. */
int walk_image(struct ctr *c, const struct oci_desc *target, const struct wanted *w, walk_fn *fn,
    void *arg, struct err *e);

/* What step's document holds, written down (blobs.h). */
int walk_refer(struct ctr *c, const struct walk_step *step, struct err *e);

/* An image by its name, short name or digest, in a; and what it points at. */
int walk_find(struct ctr *c, const char *ref, struct arena *a, struct image **ret,
    struct oci_desc *ret_target, struct err *e);

#endif
