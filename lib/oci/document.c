/* SPDX-License-Identifier: Apache-2.0 */
/* document - see document.h */
#include "lib/oci/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/oci/json.h"

static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
};

bool
oci_layer_type_ok(const char *media_type)
{
	for (size_t i = 0; i < COUNT(layer_types); i++)
		if (strcmp(media_type, layer_types[i]) == 0)
			return true;
	return false;
}

static bool
is_index_type(const char *t)
{
	return strcmp(t, OCI_INDEX) == 0 || strcmp(t, DOCKER_INDEX) == 0;
}

static bool
is_manifest_type(const char *t)
{
	return strcmp(t, OCI_MANIFEST) == 0 || strcmp(t, DOCKER_MANIFEST) == 0;
}

/* The type without parameters, in lower case; "" when it says nothing about what a document is. */
static void
media_type_clean(const char *from, char *to)
{
	size_t n = 0;

	for (; from != NULL && from[n] != '\0' && strchr("; \t\r\n", from[n]) == NULL; n++) {
		if (n >= OCI_MEDIA_TYPE_MAX)
			break;
		to[n] = from[n];
		if (to[n] >= 'A' && to[n] <= 'Z')
			to[n] = (char)(to[n] + 'a' - 'A');
	}
	to[n] = '\0';
	if (strcmp(to, "application/json") == 0 || strcmp(to, "text/plain") == 0 ||
	    strcmp(to, "application/octet-stream") == 0)
		to[0] = '\0';
}

/* A string member into to (size bytes); absent is "". */
static int
member_text(const json_t *o, const char *name, char *to, size_t size, struct err *e)
{
	const json_t *j = json_object_get(o, name);

	to[0] = '\0';
	if (j == NULL)
		return 0;
	if (!json_is_string(j))
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is not a string", name);
	if (json_string_length(j) >= size)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "%s is longer than %zu bytes", name, size - 1);
	(void)snprintf(to, size, "%s", json_string_value(j));
	return 0;
}

static int
platform_read(const json_t *o, struct platform *ret, struct err *e)
{
	char os[64], arch[64], variant[64];
	int r;

	if (!json_is_object(o))
		return err_set(e, ERR_INVALID_ARGUMENT, "platform is not an object");
	if ((r = member_text(o, "os", os, sizeof(os), e)) < 0 ||
	    (r = member_text(o, "architecture", arch, sizeof(arch), e)) < 0 ||
	    (r = member_text(o, "variant", variant, sizeof(variant), e)) < 0)
		return r;
	return platform_make(os, arch, variant, ret, e);
}

static int
desc_read(const json_t *o, struct oci_desc *ret, struct err *e)
{
	struct oci_desc d = { .size = 0 };
	char text[DIGEST_TEXT_MAX + 64];
	const json_t *size, *platform;
	int r;

	if (!json_is_object(o))
		return err_set(e, ERR_INVALID_ARGUMENT, "not an object");
	if ((r = member_text(o, "mediaType", d.media_type, sizeof(d.media_type), e)) < 0 ||
	    (r = member_text(o, "digest", text, sizeof(text), e)) < 0 ||
	    (r = digest_parse(text, &d.digest, e)) < 0)
		return r;
	if (d.media_type[0] == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "mediaType is missing");
	size = json_object_get(o, "size");
	if (!json_is_integer(size))
		return err_set(e, ERR_INVALID_ARGUMENT, "size is missing or not a number");
	if (json_integer_value(size) < 0 ||
	    (unsigned long long)json_integer_value(size) > OCI_BLOB_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "size %lld is out of range",
		    (long long)json_integer_value(size));
	d.size = (uint64_t)json_integer_value(size);
	platform = json_object_get(o, "platform");
	if (platform != NULL && !json_is_null(platform)) {
		r = platform_read(platform, &d.platform, e);
		if (r < 0)
			return r;
		d.has_platform = true;
	}
	*ret = d;
	return 0;
}

static int
descs_read(const json_t *list, const char *name, size_t max, struct oci_doc *d, struct err *e)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list))
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is not a list", name);
	if (n > max)
		return err_set(
		    e, ERR_RESOURCE_EXHAUSTED, "%zu %s: at most %zu are allowed", n, name, max);
	d->descs = xcalloc(n + 1, sizeof(*d->descs));
	for (size_t i = 0; i < n; i++) {
		int r = desc_read(json_array_get(list, i), &d->descs[i], e);

		if (r < 0)
			return err_wrap(e, "%s[%zu]", name, i);
	}
	d->ndescs = n;
	return 0;
}

/* Is a manifest one of a container image? Of an artifact everything may be of any type. */
static void
image_judge(struct oci_doc *d)
{
	char show[96];

	if (strcmp(d->config.media_type, OCI_CONFIG) != 0 &&
	    strcmp(d->config.media_type, DOCKER_CONFIG) != 0) {
		(void)err_set(&d->no_image, ERR_INVALID_ARGUMENT,
		    "not a container image: its config is of type %s",
		    ident_show(d->config.media_type, show, sizeof(show)));
		return;
	}
	for (size_t i = 0; i < d->ndescs; i++) {
		if (oci_layer_type_ok(d->descs[i].media_type))
			continue;
		(void)err_set(&d->no_image, ERR_UNIMPLEMENTED,
		    "layers[%zu] is of type %s: not supported", i,
		    ident_show(d->descs[i].media_type, show, sizeof(show)));
		return;
	}
}

int
oci_doc_image(const struct oci_doc *d, struct err *e)
{
	if (d->no_image.code == ERR_NONE)
		return 0;
	*e = d->no_image;
	return -(int)e->code;
}

static int
manifest_read(const json_t *root, struct oci_doc *d, struct err *e)
{
	int r = desc_read(json_object_get(root, "config"), &d->config, e);

	if (r < 0)
		return err_wrap(e, "config");
	r = descs_read(json_object_get(root, "layers"), "layers", OCI_LAYERS_MAX, d, e);
	if (r == 0)
		image_judge(d);
	return r;
}

/* Settles whether root is an index or a manifest, and its media type. */
static int
kind_settle(const json_t *root, const char *announced, struct oci_doc *d, struct err *e)
{
	bool list = json_object_get(root, "manifests") != NULL;
	bool layers = json_object_get(root, "layers") != NULL ||
		      json_object_get(root, "config") != NULL;
	char own[OCI_MEDIA_TYPE_MAX + 1], said[OCI_MEDIA_TYPE_MAX + 1], show[96];
	const json_t *version = json_object_get(root, "schemaVersion");
	int r = member_text(root, "mediaType", own, sizeof(own), e);

	if (r < 0)
		return r;
	media_type_clean(announced, said);
	if (json_is_integer(version) && json_integer_value(version) == 1)
		return err_set(e, ERR_UNIMPLEMENTED,
		    "Docker image format version 2, schema 1 is not supported: push the image "
		    "again "
		    "with a current tool");
	if (!json_is_integer(version) || json_integer_value(version) != 2)
		return err_set(e, ERR_INVALID_ARGUMENT, "schemaVersion is not 2");
	if (list && layers)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "it is an index and a manifest at once: refused as ambiguous");
	if (!list && !layers)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "it is neither an index (manifests) nor a manifest (config, layers)");
	if (own[0] != '\0' && said[0] != '\0' && strcmp(own, said) != 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "its mediaType %s is not the announced %s",
		    ident_show(own, show, sizeof(show)), said);
	if (own[0] == '\0')
		(void)snprintf(own, sizeof(own), "%s",
		    said[0] != '\0' ? said
		    : list	    ? OCI_INDEX
				    : OCI_MANIFEST);
	if (list ? !is_index_type(own) : !is_manifest_type(own))
		return err_set(e, ERR_INVALID_ARGUMENT, "it is %s but its media type is %s",
		    list ? "an index" : "a manifest", ident_show(own, show, sizeof(show)));
	d->kind = list ? OCI_KIND_INDEX : OCI_KIND_MANIFEST;
	(void)snprintf(d->media_type, sizeof(d->media_type), "%s", own);
	return 0;
}

int
oci_doc_parse(
    const void *data, size_t n, const char *media_type, struct oci_doc *ret, struct err *e)
{
	AUTO(json_free_ptr) json_t *root = NULL;
	AUTO(oci_doc_free) struct oci_doc d = { .descs = NULL };
	int r = oci_json_parse(data, n, &root, e);

	if (r < 0)
		return r;
	if (!json_is_object(root))
		return err_set(e, ERR_INVALID_ARGUMENT, "not a JSON object");
	r = kind_settle(root, media_type, &d, e);
	if (r < 0)
		return r;
	if (d.kind == OCI_KIND_INDEX)
		r = descs_read(
		    json_object_get(root, "manifests"), "manifests", OCI_MANIFESTS_MAX, &d, e);
	else
		r = manifest_read(root, &d, e);
	if (r < 0)
		return r;
	*ret = d;
	d.descs = NULL;
	return 0;
}

void
oci_doc_free(struct oci_doc *d)
{
	free_ptr(&d->descs);
	d->ndescs = 0;
}

const struct oci_desc *
oci_doc_choose(const struct oci_doc *d, const struct platform *p)
{
	const struct oci_desc *best = NULL;
	unsigned best_rank = 0;

	for (size_t i = 0; i < d->ndescs; i++) {
		const struct oci_desc *m = &d->descs[i];
		unsigned rank = m->has_platform ? platform_rank(p, &m->platform) : 0;

		/* One that says nothing may be the one, when no other is: what is in it will tell. */
		if (!m->has_platform)
			rank = 1;
		if (!is_manifest_type(m->media_type) && !is_index_type(m->media_type))
			rank = 0;
		if (rank > best_rank) {
			best = m;
			best_rank = rank;
		}
	}
	return best;
}

const char *
oci_doc_platforms(const struct oci_doc *d, char *text, size_t size)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < d->ndescs; i++) {
		char one[PLATFORM_TEXT_MAX];

		if (!d->descs[i].has_platform ||
		    strcmp(d->descs[i].platform.os, "unknown") == 0) /* attestations */
			continue;
		(void)platform_text(&d->descs[i].platform, one);
		if (n + strlen(one) + 6 >= size) {
			(void)snprintf(text + n, size - n, ", ...");
			break;
		}
		n += (size_t)snprintf(text + n, size - n, "%s%s", n > 0 ? ", " : "", one);
	}
	return text;
}

/* chain(0) = diff(0), chain(i) = sha256(chain(i-1) + " " + diff(i)). */
static void
chains_make(struct oci_config *c)
{
	for (size_t i = 0; i < c->nlayers; i++) {
		char both[2 * DIGEST_TEXT_MAX];
		int n;

		if (i == 0) {
			c->chain_ids[0] = c->diff_ids[0];
			continue;
		}
		n = snprintf(
		    both, sizeof(both), "%s %s", c->chain_ids[i - 1].text, c->diff_ids[i].text);
		digest_of(DIGEST_SHA256, both, (size_t)n, &c->chain_ids[i]);
	}
}

static int
diff_ids_read(const json_t *root, size_t nlayers, struct oci_config *c, struct err *e)
{
	const json_t *rootfs = json_object_get(root, "rootfs");
	const json_t *ids = json_object_get(rootfs, "diff_ids");

	if (!json_is_object(rootfs) || !json_is_array(ids))
		return err_set(e, ERR_INVALID_ARGUMENT, "rootfs.diff_ids is missing");
	if (json_array_size(ids) != nlayers)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "the manifest has %zu layers and the config %zu diff_ids", nlayers,
		    json_array_size(ids));
	c->diff_ids = xcalloc(nlayers + 1, sizeof(*c->diff_ids));
	c->chain_ids = xcalloc(nlayers + 1, sizeof(*c->chain_ids));
	c->nlayers = nlayers;
	for (size_t i = 0; i < nlayers; i++) {
		const char *text = json_string_value(json_array_get(ids, i));

		if (text == NULL)
			return err_set(
			    e, ERR_INVALID_ARGUMENT, "rootfs.diff_ids[%zu] is not a string", i);
		if (digest_parse(text, &c->diff_ids[i], e) < 0)
			return err_wrap(e, "rootfs.diff_ids[%zu]", i);
	}
	chains_make(c);
	return 0;
}

int
oci_config_parse(const void *data, size_t n, size_t nlayers, struct oci_config *ret, struct err *e)
{
	AUTO(json_free_ptr) json_t *root = NULL;
	AUTO(oci_config_free) struct oci_config c = { .nlayers = 0 };
	int r = oci_json_parse(data, n, &root, e);

	if (r < 0)
		return r;
	if (!json_is_object(root))
		return err_set(e, ERR_INVALID_ARGUMENT, "not a JSON object");
	r = platform_read(root, &c.platform, e);
	if (r < 0)
		return r;
	c.has_platform = c.platform.os[0] != '\0' && c.platform.arch[0] != '\0';
	r = diff_ids_read(root, nlayers, &c, e);
	if (r < 0)
		return r;
	*ret = c;
	c.diff_ids = c.chain_ids = NULL;
	return 0;
}

void
oci_config_free(struct oci_config *c)
{
	free_ptr(&c->diff_ids);
	free_ptr(&c->chain_ids);
	c->nlayers = 0;
}
