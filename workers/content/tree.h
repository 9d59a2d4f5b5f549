/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - from an image's target down to its layers, by the documents on disk; and sets of digests.
 */
#ifndef CF_CONTENT_TREE_H
#define CF_CONTENT_TREE_H

#include "lib/oci/document.h"
#include "workers/content/content.h"

/* How deep indexes may stand in indexes. */
#define TREE_DEPTH_MAX 4

/* A growing set of texts; zero-initialise, free with set_free. */
struct set {
	char **v;
	size_t n, room; /* sorted once asked */
	bool sorted;
};
void set_add(struct set *s, const char *text);
bool set_has(struct set *s, const char *text);
void set_free(struct set *s);

/* Reads and parses an index or manifest. not_found when its blob is not here. */
int tree_doc(struct content *c, const struct digest *d, const char *media_type, struct oci_doc *ret,
    struct err *e);

/* One platform's part of an image. */
struct tree {
	struct oci_desc manifest;
	struct oci_doc doc;
	struct oci_config config;
	struct buf config_text;
	struct platform platform;
};
void tree_free(struct tree *t);

/* Chooses the manifest for p below target (name is for messages) and reads it and its config. not_found
 * lists the platforms there are. */
int tree_choose(struct content *c, const char *name, const struct oci_desc *target,
    const struct platform *p, struct tree *ret, struct err *e);

/* Writes down in the rows of ns what the documents say: labels for garbage collection as containerd's
 * clients give them, for every blob below target that is here (platforms that were not pulled are not).
 * From now on target holds them, and no pull has to. The snapshot is named whether it is there or not. */
int tree_label(struct content *c, struct txn *t, const char *ns, const struct descriptor *target,
    struct err *e);
/* Has somebody said what the blob refers to? */
bool tree_labelled(struct txn *t, const char *ns, const char *digest);

/* Is the config made for another os or architecture? not_found says so. */
int tree_config_check(
    const char *name, const struct oci_config *config, const struct platform *p, struct err *e);

#endif
