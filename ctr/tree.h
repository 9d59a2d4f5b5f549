/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - an image as it lies in the store: its documents, configs and layers, and which of them are here.
 *
 * Where walk.h demands that an image is whole, a tree shows what there is: parts that are missing,
 * documents that are damaged, platforms that were never pulled. Depth and size are bounded, whatever
 * an index names.
 */
#ifndef CF_CTR_TREE_H
#define CF_CTR_TREE_H

#include "ctr/walk.h"

/* What is in the store. Asked for part by part, or, when `all`, read at once: for many images. */
struct here {
	struct ctr *c;
	struct arena a;
	bool all;
	bool texts;		      /* trees keep their documents' texts */
	struct list blobs, snapshots; /* all of them, by name */
};
int here_open(struct here *h, struct ctr *c, bool all, struct err *e);
void here_close(struct here *h);
/* 1: it is here. */
int here_blob(struct here *h, const struct oci_desc *d, struct err *e);
/* 1: the layer is unpacked; ret_size (may be NULL): bytes on disk. */
int here_layer(struct here *h, const char *chain_id, uint64_t *ret_size, struct err *e);

enum node_kind { NODE_INDEX, NODE_MANIFEST, NODE_CONFIG, NODE_LAYER, NODE_BLOB };
extern const char *const node_kinds[];

struct node {
	enum node_kind kind;
	struct oci_desc desc;
	bool wanted; /* belongs to the platforms asked for */
	bool here;
	bool unpacked; /* layers */
	uint64_t unpacked_size;
	const char *chain_id; /* layers, when the config says it */
	const char *platform; /* manifests, when known */
	const char *damage;   /* what is wrong with a document */
	const char *text;     /* of a document, when texts are kept */
	struct node *v;
	size_t n;
};

/* Everything lives in a. */
int tree_build(struct here *h, const struct oci_desc *target, const struct wanted *w,
    struct arena *a, struct node **ret, struct err *e);

/* fn for each node, parents first, until it returns something else than 0, which is returned. */
typedef int node_fn(void *arg, const struct node *n);
int tree_each(const struct node *n, node_fn *fn, void *arg);

#endif
