/* SPDX-License-Identifier: Apache-2.0 */
/* layout - see layout.h */
#include "lib/oci/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/oci/json.h"

#define NAME_ANNOTATION "io.containerd.image.name"
#define TAG_ANNOTATION "org.opencontainers.image.ref.name"
#define TEXT_MAX 1024
#define TAGS_MAX 1024

int
layout_check(const void *data, size_t n, struct err *e)
{
	AUTO(json_free_ptr) json_t *root = NULL;
	const char *version;
	int r = oci_json_parse(data, n, &root, e);

	if (r < 0)
		return r;
	version = json_string_value(json_object_get(root, "imageLayoutVersion"));
	if (version == NULL || strcmp(version, "1.0.0") != 0)
		return err_set(e, ERR_UNIMPLEMENTED, "imageLayoutVersion is not 1.0.0");
	return 0;
}

const char *
layout_path(const struct digest *d, char *text)
{
	(void)snprintf(text, LAYOUT_PATH_MAX, "blobs/%s/%s", digest_alg_name(d), digest_hex(d));
	return text;
}

bool
layout_path_parse(const char *path, struct digest *ret)
{
	char text[LAYOUT_PATH_MAX], *slash;
	struct err ignored = ERR_ZERO; /* it names none */

	if (strncmp(path, "blobs/", 6) != 0 || strlen(path) >= sizeof(text))
		return false;
	(void)strcpy(text, path + 6);
	slash = strchr(text, '/');
	if (slash == NULL)
		return false;
	*slash = ':';
	return digest_parse(text, ret, &ignored) == 0;
}

/* --- reading -------------------------------------------------------------------------------------- */

/* A string member, at most TEXT_MAX bytes; absent or null is NULL. */
static int
member_text(const json_t *o, const char *name, char **ret, struct err *e)
{
	const json_t *j = json_object_get(o, name);

	if (j == NULL || json_is_null(j))
		return 0;
	if (!json_is_string(j))
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is not a string", name);
	if (json_string_length(j) > TEXT_MAX)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "%s is longer than %d bytes", name, TEXT_MAX);
	*ret = xstrdup(json_string_value(j));
	return 0;
}

static int
member_texts(const json_t *o, const char *name, size_t max, struct layout_texts *ret, struct err *e)
{
	const json_t *j = json_object_get(o, name);

	if (j == NULL || json_is_null(j))
		return 0;
	if (!json_is_array(j))
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is not a list", name);
	if (json_array_size(j) > max)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "%zu %s: at most %zu are allowed",
		    json_array_size(j), name, max);
	for (size_t i = 0; i < json_array_size(j); i++) {
		const json_t *t = json_array_get(j, i);

		if (!json_is_string(t) || json_string_length(t) > TEXT_MAX)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "%s[%zu] is not a string of at most %d bytes", name, i, TEXT_MAX);
		layout_text_add(ret, json_string_value(t));
	}
	return 0;
}

int
layout_index_parse(const void *data, size_t n, struct layout_index *ret, struct err *e)
{
	AUTO(json_free_ptr) json_t *root = NULL;
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	AUTO(layout_index_free) struct layout_index index = { .n = 0 };
	const json_t *list;
	int r = oci_doc_parse(data, n, NULL, &doc, e);

	if (r < 0 || (r = oci_json_parse(data, n, &root, e)) < 0)
		return r;
	if (doc.kind != OCI_KIND_INDEX)
		return err_set(e, ERR_INVALID_ARGUMENT, "it is a manifest, not an index");
	list = json_object_get(root, "manifests");
	index.v = xcalloc(doc.ndescs + 1, sizeof(*index.v));
	for (size_t i = 0; i < doc.ndescs; i++) {
		const json_t *notes = json_object_get(json_array_get(list, i), "annotations");
		struct layout_image *im = &index.v[index.n++];

		im->desc = doc.descs[i];
		if ((r = member_text(notes, NAME_ANNOTATION, &im->name, e)) < 0 ||
		    (r = member_text(notes, TAG_ANNOTATION, &im->tag, e)) < 0)
			return err_wrap(e, "manifests[%zu]", i);
	}
	*ret = index;
	index = (struct layout_index){ .n = 0 };
	return 0;
}

static int
saved_read(const json_t *o, struct layout_saved *s, struct err *e)
{
	int r = member_text(o, "Config", &s->config, e);

	if (r < 0 || (r = member_texts(o, "RepoTags", TAGS_MAX, &s->tags, e)) < 0 ||
	    (r = member_texts(o, "Layers", OCI_LAYERS_MAX, &s->layers, e)) < 0)
		return r;
	if (s->config == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "Config is missing");
	return 0;
}

int
layout_saves_parse(const void *data, size_t n, struct layout_saves *ret, struct err *e)
{
	AUTO(json_free_ptr) json_t *root = NULL;
	AUTO(layout_saves_free) struct layout_saves s = { .n = 0 };
	int r = oci_json_parse(data, n, &root, e);

	if (r < 0)
		return r;
	if (!json_is_array(root))
		return err_set(e, ERR_INVALID_ARGUMENT, "not a list of images");
	if (json_array_size(root) > OCI_MANIFESTS_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "%zu images: at most %d are allowed",
		    json_array_size(root), OCI_MANIFESTS_MAX);
	s.v = xcalloc(json_array_size(root) + 1, sizeof(*s.v));
	for (size_t i = 0; i < json_array_size(root); i++)
		if (saved_read(json_array_get(root, i), &s.v[s.n++], e) < 0)
			return err_wrap(e, "image %zu", i);
	*ret = s;
	s = (struct layout_saves){ .n = 0 };
	return 0;
}

/* --- writing -------------------------------------------------------------------------------------- */

/* Members stay in the order in which they were set. */
static void
json_out(json_t *take, struct buf *out)
{
	char *text = json_dumps(take, JSON_COMPACT);

	MUST(text != NULL && buf_adds(out, text) == 0); /* only memory could fail */
	free(text);
	json_decref(take);
}

static void
set_text(json_t *o, const char *name, const char *text)
{
	json_t *s = json_string(text);

	MUST(json_object_set_new(o, name, s == NULL ? json_string("") : s) == 0);
}

static json_t *
desc_json(const struct oci_desc *d)
{
	json_t *o = json_object();

	set_text(o, "mediaType", d->media_type);
	set_text(o, "digest", d->digest.text);
	MUST(json_object_set_new(o, "size", json_integer((json_int_t)d->size)) == 0);
	return o;
}

static json_t *
platform_json(const struct platform *p)
{
	json_t *o = json_object();

	set_text(o, "architecture", p->arch);
	set_text(o, "os", p->os);
	if (p->variant[0] != '\0')
		set_text(o, "variant", p->variant);
	return o;
}

void
layout_index_write(const struct layout_index *index, struct buf *out)
{
	json_t *root = json_object(), *list = json_array();

	MUST(json_object_set_new(root, "schemaVersion", json_integer(2)) == 0);
	set_text(root, "mediaType", OCI_INDEX);
	for (size_t i = 0; i < index->n; i++) {
		const struct layout_image *im = &index->v[i];
		json_t *o = desc_json(&im->desc), *notes = json_object();

		if (im->name != NULL)
			set_text(notes, NAME_ANNOTATION, im->name);
		if (im->tag != NULL)
			set_text(notes, TAG_ANNOTATION, im->tag);
		if (json_object_size(notes) > 0)
			MUST(json_object_set(o, "annotations", notes) == 0);
		json_decref(notes);
		if (im->desc.has_platform)
			MUST(json_object_set_new(
				 o, "platform", platform_json(&im->desc.platform)) == 0);
		MUST(json_array_append_new(list, o) == 0);
	}
	MUST(json_object_set_new(root, "manifests", list) == 0);
	json_out(root, out);
}

static json_t *
texts_json(const struct layout_texts *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->n; i++)
		MUST(json_array_append_new(list, json_string(t->v[i])) == 0);
	return list;
}

void
layout_saves_write(const struct layout_saves *s, struct buf *out)
{
	json_t *root = json_array();

	for (size_t i = 0; i < s->n; i++) {
		json_t *o = json_object();

		set_text(o, "Config", s->v[i].config);
		MUST(json_object_set_new(o, "RepoTags", texts_json(&s->v[i].tags)) == 0);
		MUST(json_object_set_new(o, "Layers", texts_json(&s->v[i].layers)) == 0);
		MUST(json_array_append_new(root, o) == 0);
	}
	json_out(root, out);
}

void
layout_manifest_write(const struct oci_doc *doc, struct buf *out)
{
	json_t *root = json_object(), *layers = json_array();

	MUST(json_object_set_new(root, "schemaVersion", json_integer(2)) == 0);
	set_text(root, "mediaType", doc->media_type);
	MUST(json_object_set_new(root, "config", desc_json(&doc->config)) == 0);
	for (size_t i = 0; i < doc->ndescs; i++)
		MUST(json_array_append_new(layers, desc_json(&doc->descs[i])) == 0);
	MUST(json_object_set_new(root, "layers", layers) == 0);
	json_out(root, out);
}

/* --- memory --------------------------------------------------------------------------------------- */

void
layout_text_add(struct layout_texts *t, const char *text)
{
	t->v = xrealloc(t->v, (t->n + 1) * sizeof(*t->v));
	t->v[t->n++] = xstrdup(text);
}

static void
texts_free(struct layout_texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	free(t->v);
}

void
layout_index_free(struct layout_index *index)
{
	for (size_t i = 0; i < index->n; i++) {
		free(index->v[i].name);
		free(index->v[i].tag);
	}
	free_ptr(&index->v);
	index->n = 0;
}

void
layout_saves_free(struct layout_saves *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].config);
		texts_free(&s->v[i].tags);
		texts_free(&s->v[i].layers);
	}
	free_ptr(&s->v);
	s->n = 0;
}
