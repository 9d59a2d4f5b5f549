/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert - an image whose layers are packed another way, or with OCI's media types.
 *
 *	layers      recompressed, the tars in them checked by the diff ids and left as they are
 *	config      the same blob: it names tars
 *	manifest    the same text with new descriptors, then the index of those that were asked for
 *	name        last
 *
 * The same image gives the same result. What is made is held by a lease until it has its name.
 */
#include <string.h>

#include "ctr/blobs.h"
#include "ctr/recompress.h"
#include "ctr/text.h"
#include "ctr/walk.h"
#include "lib/base/auto.h"
#include "lib/oci/json.h"
#include "lib/oci/reference.h"

/* What a document or layer has become. */
struct made {
	struct digest from;
	struct oci_desc to;
};

struct convert {
	struct ctr *c;
	struct wanted wanted;
	bool repack; /* else packing stays */
	enum packing to;
	bool oci;
	struct made *made;
	size_t nmade;
};

/* --- what was made -------------------------------------------------------------------------------- */

static const struct oci_desc *
made_get(const struct convert *v, const struct digest *from)
{
	for (size_t i = 0; i < v->nmade; i++)
		if (digest_equal(&v->made[i].from, from))
			return &v->made[i].to;
	return NULL;
}

/* What it became, which was made before. */
static const struct oci_desc *
made_of(const struct convert *v, const struct digest *from)
{
	const struct oci_desc *to = made_get(v, from);

	MUST(to != NULL);
	return to;
}

static void
made_add(struct convert *v, const struct digest *from, const struct oci_desc *to)
{
	struct made m = { .from = *from, .to = *to };

	v->made = xrealloc(v->made, (v->nmade + 1) * sizeof(*v->made));
	v->made[v->nmade++] = m;
}

static void
type_set(struct oci_desc *d, const char *type)
{
	(void)snprintf(d->media_type, sizeof(d->media_type), "%s", type);
}

/* --- layers --------------------------------------------------------------------------------------- */

static int
layer_repack(struct convert *v, const struct oci_desc *layer, const struct digest *diff_id,
    struct oci_desc *to, struct err *e)
{
	AUTO(recompress_free) struct recompress *r = NULL;
	struct blob_source src = { .read = recompress_read, .size = BLOB_TO_END };
	int s = recompress_new(v->c, layer, v->to, &r, e);

	src.arg = r;
	if (s < 0 || (s = blob_put(v->c, NULL, &src, to, e)) < 0)
		return s;
	blobs_tell(v->c, layer->digest.text, "done", layer->size, layer->size);
	return recompress_check(r, diff_id, e);
}

static int
layer_convert(
    struct convert *v, const struct oci_desc *layer, const struct digest *diff_id, struct err *e)
{
	enum packing from = packing_of(layer->media_type);
	bool oci = v->oci || strstr(layer->media_type, ".oci.") != NULL;
	struct oci_desc to = *layer;
	int r = 0;

	if (made_get(v, &layer->digest) != NULL)
		return 0;
	if (v->repack && from != v->to)
		r = layer_repack(v, layer, diff_id, &to, e);
	if (r < 0)
		return r;
	type_set(&to, packing_type(v->repack ? v->to : from, oci));
	made_add(v, &layer->digest, &to);
	return 0;
}

static int
layers_convert(struct convert *v, const struct oci_doc *doc, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(oci_config_free) struct oci_config config = { .nlayers = 0 };
	int r = blob_text(v->c, &doc->config, &text, e);

	if (r < 0 || (r = oci_config_parse(buf_str(&text), text.len, doc->ndescs, &config, e)) < 0)
		return r;
	for (size_t i = 0; r == 0 && i < doc->ndescs; i++)
		r = layer_convert(v, &doc->descs[i], &config.diff_ids[i], e);
	return r;
}

/* --- documents ------------------------------------------------------------------------------------ */

static void
json_text(json_t *o, const char *name, const char *text)
{
	MUST(json_object_set_new(o, name, json_string(text)) == 0);
}

/* Makes o, a descriptor, name to. What was noted about other bytes is dropped. */
static void
json_desc(json_t *o, const struct oci_desc *from, const struct oci_desc *to)
{
	json_text(o, "mediaType", to->media_type);
	json_text(o, "digest", to->digest.text);
	MUST(json_object_set_new(o, "size", json_integer((json_int_t)to->size)) == 0);
	if (!digest_equal(&from->digest, &to->digest))
		(void)json_object_del(o, "annotations");
}

static void
manifest_edit(const struct convert *v, json_t *root, const struct oci_doc *doc)
{
	json_t *layers = json_object_get(root, "layers");

	for (size_t i = 0; i < doc->ndescs; i++)
		json_desc(
		    json_array_get(layers, i), &doc->descs[i], made_of(v, &doc->descs[i].digest));
	if (v->oci)
		json_text(json_object_get(root, "config"), "mediaType", OCI_CONFIG);
}

static void
index_edit(const struct convert *v, json_t *root, const struct walk_step *step)
{
	json_t *list = json_object_get(root, "manifests");

	for (size_t i = step->doc->ndescs; i-- > 0;) {
		const struct oci_desc *from = &step->doc->descs[i];
		const struct oci_desc *to = step->taken[i] ? made_get(v, &from->digest) : NULL;

		if (to != NULL)
			json_desc(json_array_get(list, i), from, to);
		else
			(void)json_array_remove(list, i);
	}
}

/* Stores the new text of a document that was read from step. */
static int
document_put(struct convert *v, const struct walk_step *step, json_t *root, struct err *e)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	AUTO(free_ptr) bool *taken = NULL;
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct oci_desc to = *step->desc;
	struct walk_step made = *step;
	char *dump;
	int r;

	type_set(&to, !v->oci				  ? step->doc->media_type
		      : step->doc->kind == OCI_KIND_INDEX ? OCI_INDEX
							  : OCI_MANIFEST);
	json_text(root, "mediaType", to.media_type);
	dump = json_dumps(root, JSON_COMPACT);
	MUST(dump != NULL && buf_adds(&text, dump) == 0); /* only memory could fail */
	free(dump);
	if ((r = oci_doc_parse(text.data, text.len, to.media_type, &doc, e)) < 0 ||
	    (r = blob_put_text(v->c, &text, NULL, &to, e)) < 0)
		return r;
	made.desc = &to;
	made.doc = &doc;
	made.taken = taken = xcalloc(doc.ndescs + 1, sizeof(*taken));
	memset(taken, true, doc.ndescs); /* the others are not in it any more */
	r = walk_refer(v->c, &made, e);
	if (r == 0)
		made_add(v, &step->desc->digest, &to);
	return r;
}

static int
on_document(void *arg, const struct walk_step *step, struct err *e)
{
	struct convert *v = arg;
	AUTO(json_free_ptr) json_t *root = NULL;
	const struct oci_doc *doc = step->doc;
	const struct oci_desc *one;
	size_t taken = 0, last = 0;
	int r;

	for (size_t i = 0; doc->kind == OCI_KIND_INDEX && i < doc->ndescs; i++)
		if (step->taken[i])
			taken++, last = i;
	if (taken == 1 && !v->wanted.all) {
		/* An index of one is that one. */
		one = made_get(v, &doc->descs[last].digest);
		if (one != NULL)
			made_add(v, &step->desc->digest, one);
		return 0;
	}
	if (doc->no_image.code != ERR_NONE)
		return 0; /* an attestation is about what was: it does not go along */
	if ((r = oci_json_parse(buf_str(step->text), step->text->len, &root, e)) < 0)
		return r;
	if (doc->kind == OCI_KIND_INDEX)
		index_edit(v, root, step);
	else if ((r = layers_convert(v, doc, e)) < 0)
		return r;
	else
		manifest_edit(v, root, doc);
	return document_put(v, step, root, e);
}

/* --- the command ---------------------------------------------------------------------------------- */

static int
options_read(struct convert *v, const struct opts *o, struct err *e)
{
	static const char *const names[] = {
		[PACK_NONE] = "uncompress", [PACK_GZIP] = "gzip", [PACK_ZSTD] = "zstd"
	};
	unsigned n = 0;

	for (unsigned i = 0; i < COUNT(names); i++)
		if (opts_flag(o, names[i]))
			v->to = (enum packing)i, n++;
	v->repack = n > 0;
	v->oci = opts_flag(o, "oci") || (v->repack && v->to == PACK_ZSTD);
	if (n > 1)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "--uncompress, --gzip and --zstd exclude each other");
	if (n == 0 && !v->oci)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "convert to what? Give --uncompress, --gzip, --zstd or --oci");
	return wanted_read(o, &v->wanted, e);
}

static int
image_name(struct convert *v, const char *name, const struct oci_desc *to, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct descriptor target = {
		.media_type = to->media_type, .digest = to->digest.text, .size = to->size
	};
	const struct image_create_req req = { .name = name, .target = &target, .replace = true };
	struct image rep;
	int r = ctr_call(v->c, &content_image_create_method, &req, &a, &rep, e);

	if (r == 0)
		text_print(stdout, rep.target->digest);
	return r;
}

static int
convert_run(struct convert *v, const char *from, const char *name, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct oci_desc target;
	struct image *im;
	int r = walk_find(v->c, from, &a, &im, &target, e);

	if (r < 0)
		return r;
	blobs_watch(v->c, true);
	r = walk_image(v->c, &target, &v->wanted, on_document, v, e);
	blobs_watched(v->c, r == 0);
	if (r < 0)
		return r == -ERR_CANCELLED ? r : err_wrap(e, "image %s", im->name);
	if (made_get(v, &target.digest) == NULL)
		return err_set(e, ERR_FAILED_PRECONDITION, "%s is not a container image", im->name);
	return image_name(v, name, made_of(v, &target.digest), e);
}

static void
convert_free(struct convert *v)
{
	wanted_free(&v->wanted);
	free_ptr(&v->made);
}

int
images_convert(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(convert_free) struct convert v = { .c = c };
	char name[REFERENCE_TEXT_MAX];
	struct err last = ERR_ZERO;
	struct reference ref;
	int r, end;

	if ((r = options_read(&v, o, e)) < 0 || (r = reference_parse(o->args.v[1], &ref, e)) < 0 ||
	    (r = ctr_catch(c, e)) < 0 || (r = lease_begin(c, e)) < 0)
		return r;
	r = convert_run(&v, o->args.v[0], reference_text(&ref, name), e);
	end = lease_end(c, &last);
	if (r == 0 && end < 0)
		*e = last, r = end;
	return r;
}
