/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document - what registries serve: indexes, manifests and image configs, OCI and Docker v2.2, as C.
 *
 * Everything is checked when it is parsed, so that whoever holds a struct oci_doc may use it: digests
 * are parsed digests, sizes are sane, a document is an index or a manifest and not both, and its
 * mediaType agrees with what it was announced as. Errors are invalid_argument (resource_exhausted for
 * limits, unimplemented for things like Docker schema 1) and do not name the document: wrap them.
 */
#ifndef CF_OCI_DOCUMENT_H
#define CF_OCI_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/oci/digest.h"
#include "lib/oci/platform.h"

#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"

#define OCI_LAYERS_MAX 512
#define OCI_MANIFESTS_MAX 4096
#define OCI_BLOB_MAX (1ULL << 42) /* 4 TiB: no blob may claim more */
#define OCI_MEDIA_TYPE_MAX 255

struct oci_desc {
	char media_type[OCI_MEDIA_TYPE_MAX + 1];
	struct digest digest;
	uint64_t size;
	bool has_platform;
	struct platform platform;
};

enum oci_kind { OCI_KIND_INDEX, OCI_KIND_MANIFEST };

struct oci_doc {
	enum oci_kind kind;
	char media_type[OCI_MEDIA_TYPE_MAX + 1];
	struct oci_desc config; /* manifest */
	struct oci_desc *descs; /* index: its manifests; manifest: its layers, lowest first */
	size_t ndescs;
	struct err
	    no_image; /* of a manifest: why it is no container image; ERR_NONE when it is one */
};

/* media_type: Content-Type or the type its descriptor gives; parameters behind ';' are ignored; NULL
 * or a type that says nothing (application/json, text/plain, application/octet-stream) leaves it to
 * the document. ret is filled on success and freed with oci_doc_free. */
int oci_doc_parse(
    const void *data, size_t n, const char *media_type, struct oci_doc *ret, struct err *e);
/* An artifact's manifest (a signature, an attestation) is a manifest too: who wants to run or unpack
 * what it names asks here. invalid_argument or unimplemented says what is in the way. */
int oci_doc_image(const struct oci_doc *d, struct err *e);
/* NULL-safe on a zeroed struct; for AUTO too. */
void oci_doc_free(struct oci_doc *d);

/* The entry of an index that serves p best, NULL when none does; of equals the first. Entries without a
 * platform (indexes in indexes, mostly) come last. */
const struct oci_desc *oci_doc_choose(const struct oci_doc *d, const struct platform *p);

/* "linux/amd64, linux/arm64" of what an index offers, cut to size. */
const char *oci_doc_platforms(const struct oci_doc *d, char *text, size_t size);

/* An image config: only what pulling needs. */
struct oci_config {
	bool has_platform;
	struct platform platform;
	struct digest *diff_ids; /* per layer */
	struct digest *chain_ids;
	size_t nlayers;
};

/* nlayers: layers of the manifest it belongs to; diff_ids must be as many. */
int
oci_config_parse(const void *data, size_t n, size_t nlayers, struct oci_config *ret, struct err *e);
void oci_config_free(struct oci_config *c);

/* Does this media type name a file tree we can unpack? */
bool oci_layer_type_ok(const char *media_type);

#endif
