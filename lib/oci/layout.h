/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout - the documents by which an archive or folder says which images are in it, read and written.
 *
 *	oci-layout     {"imageLayoutVersion":"1.0.0"}        it is an OCI layout
 *	index.json     an index whose entries have names     its images
 *	manifest.json  [{Config, RepoTags, Layers}]          the same as docker save has it: by paths
 *
 * Read with the suspicion of document.h. What is written is the same bytes for the same images.
 */
#ifndef CF_OCI_LAYOUT_H
#define CF_OCI_LAYOUT_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/oci/document.h"

#define LAYOUT_FILE "oci-layout"
#define LAYOUT_INDEX "index.json"
#define LAYOUT_SAVED "manifest.json"
#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"

#define LAYOUT_PATH_MAX 160 /* "blobs/sha512/..." */

/* Is this an oci-layout file of a version that we know? */
int layout_check(const void *data, size_t n, struct err *e);

/* "blobs/sha256/<hex>" into text (LAYOUT_PATH_MAX bytes); returns text. */
const char *layout_path(const struct digest *d, char *text);
/* The digest that such a path names; false for any other path. */
bool layout_path_parse(const char *path, struct digest *ret);

/* --- index.json ----------------------------------------------------------------------------------- */

struct layout_image {
	struct oci_desc desc;
	char *name; /* io.containerd.image.name, NULL when it has none */
	char *tag;  /* org.opencontainers.image.ref.name, the same */
};
struct layout_index {
	struct layout_image *v;
	size_t n;
};

int layout_index_parse(const void *data, size_t n, struct layout_index *ret, struct err *e);
void layout_index_write(const struct layout_index *index, struct buf *out);
void layout_index_free(struct layout_index *index);

/* --- manifest.json -------------------------------------------------------------------------------- */

struct layout_texts {
	char **v;
	size_t n;
};
struct layout_saved {
	char *config;
	struct layout_texts tags, layers; /* layers: paths, lowest first */
};
struct layout_saves {
	struct layout_saved *v;
	size_t n;
};

int layout_saves_parse(const void *data, size_t n, struct layout_saves *ret, struct err *e);
void layout_saves_write(const struct layout_saves *s, struct buf *out);
void layout_saves_free(struct layout_saves *s);
void layout_text_add(struct layout_texts *t, const char *text);

/* The manifest of an image that came without one: doc has media_type, config and layers. */
void layout_manifest_write(const struct oci_doc *doc, struct buf *out);

#endif
