/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit - an image out of a container: what it has written becomes a layer on top of those it was made from.
 *
 *	layer       what changed in its snapshot; while that is read, the container is paused
 *	config      the image's, with the layer, an entry of history, and changes
 *	manifest    the image's layers as they are, and the new one; OCI's media types
 *	unpacked, then named
 *
 * What is made is held by a lease until it has its name: a failure, Ctrl-C or a kill of either side leaves
 * no image. ctr killed while it reads leaves the container paused: ctr tasks resume.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctr/blobs.h"
#include "ctr/change.h"
#include "ctr/recompress.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/oci/json.h"
#include "lib/oci/reference.h"

struct commit {
	struct ctr *c;
	const struct opts *o;
	struct arena a;
	const char *id;
	const struct container *container;
	bool running;
	struct image_resolve_rep base;
	struct snapshot_diff_rep diff;
	char created[CLOCK_TEXT_MAX];
};

/* --- the container and its image ------------------------------------------------------------------- */

/* The image for a platform, when the container stands on it: 1. */
static int
base_try(struct commit *m, const char *platform, const char *chain, struct err *e)
{
	const struct image_resolve_req req = { .ref = m->container->image, .platform = platform };
	int r = ctr_call(m->c, &content_image_resolve_method, &req, &m->a, &m->base, e);

	if (r < 0)
		return r;
	return strcmp(m->base.chain_id == NULL ? "" : m->base.chain_id, chain) == 0;
}

/* Among all platforms of an index. */
static int
base_search(struct commit *m, const char *chain, struct err *e)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	AUTO(buf_free) struct buf text = BUF_ZERO;
	const struct image_get_req get = { .ref = m->container->image };
	struct image_get_rep image;
	struct oci_desc target = { .size = 0 };
	int r = ctr_call(m->c, &content_image_get_method, &get, &m->a, &image, e);

	if (r < 0 || (r = digest_parse(image.image->target->digest, &target.digest, e)) < 0)
		return r;
	target.size = image.image->target->size;
	if ((r = blob_text(m->c, &target, &text, e)) < 0 ||
	    (r = oci_doc_parse(
		 buf_str(&text), text.len, image.image->target->media_type, &doc, e)) < 0)
		return r;
	for (size_t i = 0; doc.kind == OCI_KIND_INDEX && i < doc.ndescs; i++) {
		struct err ignored = ERR_ZERO; /* one that is not here is not it */
		char platform[PLATFORM_TEXT_MAX];

		if (doc.descs[i].has_platform &&
		    base_try(m, platform_text(&doc.descs[i].platform, platform), chain, &ignored) ==
			1)
			return 1;
	}
	return 0;
}

/* What the container was made from, as it is still here. */
static int
base_find(struct commit *m, struct err *e)
{
	const struct snapshot_key_req req = { .key = m->container->snapshot_key,
		.snapshotter = m->container->snapshotter };
	struct snapshot_rep snap;
	const char *chain;
	int r;

	if (m->container->image == NULL || req.key == NULL)
		return err_set(e, ERR_FAILED_PRECONDITION, "it was not made from an image");
	r = ctr_call(m->c, &snapshot_snapshot_get_method, &req, &m->a, &snap, e);
	if (r < 0)
		return r;
	chain = snap.snapshot->parent == NULL ? "" : snap.snapshot->parent;
	r = base_try(m, NULL, chain, e);
	if (r == -ERR_CANCELLED || r == -ERR_UNAVAILABLE)
		return r;
	if (r < 1)
		r = (*e = ERR_ZERO, base_search(m, chain, e));
	if (r == 0)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "it was made from other layers than %s has now: tag or pull those again",
		    m->container->image);
	return r < 0 ? r : 0;
}

static int
container_find(struct commit *m, struct err *e)
{
	const struct container_id_req req = { .id = m->id };
	struct container_rep rep;
	int r = ctr_call(m->c, &task_container_get_method, &req, &m->a, &rep, e);

	if (r < 0)
		return r;
	m->container = rep.container;
	m->running = rep.task != NULL && strcmp(rep.task->status, "running") == 0;
	return base_find(m, e);
}

/* --- the layer --------------------------------------------------------------------------------------- */

static int
packing_wanted(const struct opts *o, enum packing *ret, struct err *e)
{
	static const char *const names[] = {
		[PACK_NONE] = "none", [PACK_GZIP] = "gzip", [PACK_ZSTD] = "zstd"
	};
	const char *word = opts_text(o, "compression");

	*ret = PACK_GZIP;
	for (unsigned i = 0; word != NULL && i < COUNT(names); i++)
		if (strcmp(names[i], word) == 0) {
			*ret = (enum packing)i;
			return 0;
		}
	return word == NULL ? 0
			    : err_set(e, ERR_INVALID_ARGUMENT,
				  "--compression is gzip, zstd or none, not \"%.20s\"", word);
}

static int
layer_make(struct commit *m, enum packing packing, struct err *e)
{
	const struct snapshot_diff_req req = { .key = m->container->snapshot_key,
		.snapshotter = m->container->snapshotter,
		.media_type = packing_type(packing, true) };

	return ctr_call(m->c, &snapshot_snapshot_diff_method, &req, &m->a, &m->diff, e);
}

/* As it is told without anybody who interrupts: it has to go on. */
static int
resume(struct commit *m, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct container_id_req req = { .id = m->id };
	int caught = m->c->caught, r;
	struct nothing rep;

	m->c->caught = 0;
	r = ctr_call(m->c, &task_task_resume_method, &req, &a, &rep, e);
	if (m->c->caught == 0)
		m->c->caught = caught;
	return r < 0 ? err_wrap(e, "it is paused still (ctr tasks resume)") : 0;
}

/* The layer, of a container that stands still meanwhile. */
static int
layer_quiet(struct commit *m, enum packing packing, struct err *e)
{
	const struct container_id_req req = { .id = m->id };
	bool pause = opts_list(m->o, "pause").n == 0 || opts_flag(m->o, "pause");
	struct err also = ERR_ZERO;
	struct nothing rep;
	int r;

	if (!m->running || !pause)
		return layer_make(m, packing, e);
	r = ctr_call(m->c, &task_task_pause_method, &req, &m->a, &rep, e);
	if (r < 0)
		return r == -ERR_CANCELLED
			   ? r
			   : err_wrap(e, "pause it first (--pause=false reads it as it runs)");
	r = layer_make(m, packing, e);
	if (resume(m, &also) < 0 && r == 0)
		r = (*e = also, -(int)also.code);
	return r;
}

/* --- documents --------------------------------------------------------------------------------------- */

static void
set_text(json_t *o, const char *name, const char *text)
{
	(void)json_object_set_new(o, name, render_json_text(text));
}

/* What the container ran, as one line. */
static const char *
command_of(struct commit *m)
{
	AUTO(json_free_ptr) json_t *spec = NULL;
	AUTO(buf_free) struct buf line = BUF_ZERO;
	struct err ignored = ERR_ZERO;
	const json_t *args, *one;
	size_t i;

	if (oci_json_parse(m->container->spec.p, m->container->spec.n, &spec, &ignored) < 0)
		return "";
	args = json_object_get(json_object_get(spec, "process"), "args");
	json_array_foreach (args, i, one)
		(void)buf_addf(&line, "%s%s", i > 0 ? " " : "", json_string_value(one));
	return arena_strdup(&m->a, buf_str(&line));
}

/* There is an entry for each layer, also for those whose makers wrote none. */
static void
history_add(struct commit *m, json_t *config)
{
	json_t *history = json_object_get(config, "history"), *entry = json_object();
	const char *author = opts_text(m->o, "author"), *message = opts_text(m->o, "message");

	if (!json_is_array(history)) {
		(void)json_object_set_new(config, "history", json_array());
		history = json_object_get(config, "history");
		for (uint32_t i = 0; i < m->base.layers.n; i++)
			(void)json_array_append_new(history, json_object());
	}
	set_text(entry, "created", m->created);
	set_text(entry, "created_by", command_of(m));
	if (author != NULL)
		set_text(entry, "author", author);
	if (message != NULL)
		set_text(entry, "comment", message);
	(void)json_array_append_new(history, entry);
}

static int
config_edit(struct commit *m, json_t *config, struct err *e)
{
	json_t *ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
	const char *author = opts_text(m->o, "author");

	if (!json_is_array(ids))
		return err_set(e, ERR_DATA_LOSS, "the image's config has no rootfs.diff_ids");
	(void)json_array_append_new(ids, json_string(m->diff.diff_id));
	set_text(config, "created", m->created);
	if (author != NULL)
		set_text(config, "author", author);
	/* docker's notes about the container that made the image */
	(void)json_object_del(config, "container");
	(void)json_object_del(config, "container_config");
	history_add(m, config);
	return change_apply(config, opts_list(m->o, "change"), e);
}

static int
json_put(struct commit *m, const json_t *v, const char *type, struct oci_desc *ret,
    struct buf *text, struct err *e)
{
	char *dump = json_dumps(v, JSON_COMPACT);
	int r;

	MUST(dump != NULL && buf_adds(text, dump) == 0); /* only memory could fail */
	free(dump);
	r = blob_put_text(m->c, text, NULL, ret, e);
	(void)snprintf(ret->media_type, sizeof(ret->media_type), "%s", type);
	return r;
}

static json_t *
desc_json(const char *type, const char *digest, uint64_t size)
{
	return json_pack(
	    "{s:s,s:s,s:I}", "mediaType", type, "digest", digest, "size", (json_int_t)size);
}

/* The layers of the image and the new one, as a manifest has them. */
static json_t *
layers_json(const struct commit *m)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < m->base.layers.n; i++) {
		const struct layer *l = &m->base.layers.v[i];
		bool foreign = strstr(l->media_type, "foreign") != NULL ||
			       strstr(l->media_type, "nondistributable") != NULL;

		(void)json_array_append_new(all,
		    desc_json(
			foreign ? l->media_type : packing_type(packing_of(l->media_type), true),
			l->digest, l->size));
	}
	(void)json_array_append_new(
	    all, desc_json(m->diff.media_type, m->diff.digest, m->diff.size));
	return all;
}

/* The layers below the new one must be here: an image is named when it is whole. */
static int
layers_check(const struct commit *m, const struct oci_doc *doc, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < doc->ndescs; i++)
		r = blob_check(m->c, &doc->descs[i], e);
	return r;
}

static int
manifest_put(struct commit *m, const struct oci_desc *config, const struct digest *chain,
    struct oci_desc *ret, struct err *e)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(json_free_ptr)
	json_t *v = json_pack("{s:i,s:s,s:o,s:o}", "schemaVersion", 2, "mediaType", OCI_MANIFEST,
	    "config", desc_json(OCI_CONFIG, config->digest.text, config->size), "layers",
	    layers_json(m));
	int r;

	if ((r = json_put(m, v, OCI_MANIFEST, ret, &text, e)) < 0 ||
	    (r = oci_doc_parse(buf_str(&text), text.len, OCI_MANIFEST, &doc, e)) < 0 ||
	    (r = layers_check(m, &doc, e)) < 0)
		return r;
	return blob_refer_manifest(m->c, ret, &doc, chain, e);
}

static int
documents_put(struct commit *m, struct oci_desc *ret, struct err *e)
{
	AUTO(json_free_ptr) json_t *v = NULL;
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(oci_config_free) struct oci_config config = { .nlayers = 0 };
	struct oci_desc desc;
	size_t n = m->base.layers.n + 1;
	int r;

	if ((r = oci_json_parse(m->base.config.p, m->base.config.n, &v, e)) < 0 ||
	    (r = config_edit(m, v, e)) < 0 ||
	    (r = json_put(m, v, OCI_CONFIG, &desc, &text, e)) < 0 ||
	    (r = oci_config_parse(buf_str(&text), text.len, n, &config, e)) < 0)
		return r;
	return manifest_put(m, &desc, &config.chain_ids[n - 1], ret, e);
}

/* --- the command ------------------------------------------------------------------------------------- */

/* SOURCE_DATE_EPOCH, as other makers of images take it, or now. */
static int
created_set(struct commit *m, struct err *e)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	int64_t ns = clock_real_ns();
	char *end;
	long long s;

	if (text != NULL && *text != '\0') {
		errno = 0;
		s = strtoll(text, &end, 10);
		if (errno != 0 || *end != '\0' || s <= 0 || s > INT64_MAX / 1000000000)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "SOURCE_DATE_EPOCH is not a number of seconds");
		ns = s * 1000000000;
	}
	(void)clock_text(ns, m->created);
	return 0;
}

static int
image_make(struct commit *m, const char *name, bool json, struct err *e)
{
	struct oci_desc made;
	struct descriptor target = { .media_type = made.media_type, .digest = made.digest.text };
	const struct image_unpack_req unpack = { .target = &target,
		.snapshotter = m->container->snapshotter };
	const struct image_create_req create = { .name = name, .target = &target, .replace = true };
	struct nothing nothing;
	struct image image;
	int r = documents_put(m, &made, e);

	target.size = made.size;
	if (r < 0 ||
	    (r = ctr_call(m->c, &content_image_unpack_method, &unpack, &m->a, &nothing, e)) < 0 ||
	    (r = ctr_call(m->c, &content_image_create_method, &create, &m->a, &image, e)) < 0)
		return r;
	if (json)
		render_json_print(render_json(&image_schema, &image), stdout, false);
	else
		text_print(stdout, image.name);
	return 0;
}

static int
commit(struct commit *m, const char *name, enum packing packing, bool json, struct err *e)
{
	int r;

	if ((r = container_find(m, e)) < 0 || (r = layer_quiet(m, packing, e)) < 0)
		return r;
	if (m->diff.sockets > 0)
		(void)fprintf(stderr,
		    "ctr: containers commit: %llu socket%s left out: no layer holds one\n",
		    (unsigned long long)m->diff.sockets, m->diff.sockets == 1 ? "" : "s");
	return image_make(m, name, json, e);
}

int
containers_commit(struct ctr *c, const struct opts *o, struct err *e)
{
	struct commit m = { .c = c, .o = o, .id = o->args.v[0] };
	AUTO(json_free_ptr) json_t *trial = json_object();
	char name[REFERENCE_TEXT_MAX];
	struct err last = ERR_ZERO;
	struct reference ref;
	enum packing packing;
	bool json;
	int r, end;

	/* All that can be said before anything is done. */
	if ((r = ctr_format(o, &json, e)) < 0 || (r = packing_wanted(o, &packing, e)) < 0 ||
	    (r = reference_parse(o->args.v[1], &ref, e)) < 0 || (r = created_set(&m, e)) < 0 ||
	    (r = change_apply(trial, opts_list(o, "change"), e)) < 0 || (r = ctr_catch(c, e)) < 0 ||
	    (r = lease_begin(c, e)) < 0)
		return r;
	r = commit(&m, reference_text(&ref, name), packing, json, e);
	end = lease_end(c, &last);
	if (r == 0 && end < 0)
		*e = last, r = end;
	arena_free(&m.a);
	return r;
}
