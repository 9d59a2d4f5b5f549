/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export - images as one OCI layout archive that docker load understands as well.
 *
 *	oci-layout, index.json, manifest.json    which images are in it, twice told
 *	blobs/sha256/<hex>                       each once, in the order in which they are referred to
 *
 * The documents come first, so that who reads from a pipe knows what comes. An index goes in as it is, as
 * its digest is the image's; platforms that were not asked for are named by it and not there. The bytes
 * depend on the images alone. Memory: documents, and a piece of a blob.
 */
#include <string.h>

#include "ctr/archive.h"
#include "ctr/blobs.h"
#include "ctr/ctr.h"
#include "ctr/walk.h"
#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/oci/layout.h"
#include "lib/oci/reference.h"

struct export
{
	struct ctr *c;
	const struct opts *o;
	struct wanted wanted;
	struct layout_index index;
	struct layout_saves saves;
	struct oci_desc *blobs; /* to be written, each once */
	size_t nblobs;

	struct digest *saved; /* the manifests behind saves */

	/* Of the image in hand: the manifest that docker is told of. */
	unsigned best_rank; /* 0: none yet */
	struct oci_desc best, best_config;
	struct oci_desc *best_layers;
	size_t nbest_layers;

	struct archive_out *out;
	struct hasher *hash;
};

/* --- what goes in --------------------------------------------------------------------------------- */

static void
blob_add(struct export *x, const struct oci_desc *d)
{
	for (size_t i = 0; i < x->nblobs; i++)
		if (digest_equal(&x->blobs[i].digest, &d->digest))
			return;
	x->blobs = xrealloc(x->blobs, (x->nblobs + 1) * sizeof(*x->blobs));
	x->blobs[x->nblobs++] = *d;
}

static unsigned
rank_of(const struct export *x, const struct oci_desc *d)
{
	struct platform host;

	if (!d->has_platform)
		return 1;
	if (!x->wanted.all)
		return 1 + wanted_rank(&x->wanted, &d->platform);
	platform_host(&host);
	return 1 + platform_rank(&host, &d->platform);
}

/* Docker knows one platform of an image: the manifest in hand, when it is better than the last one. */
static void
best_take(struct export *x, const struct walk_step *step)
{
	unsigned rank = rank_of(x, step->desc);

	if (rank <= x->best_rank || step->doc->no_image.code != ERR_NONE)
		return;
	x->best_rank = rank;
	x->best = *step->desc;
	x->best_config = step->doc->config;
	x->best_layers = xrealloc(
	    x->best_layers, (step->doc->ndescs + 1) * sizeof(*x->best_layers));
	memcpy(x->best_layers, step->doc->descs, step->doc->ndescs * sizeof(*x->best_layers));
	x->nbest_layers = step->doc->ndescs;
}

static int
on_document(void *arg, const struct walk_step *step, struct err *e)
{
	struct export *x = arg;
	const struct oci_doc *doc = step->doc;

	(void)e;
	blob_add(x, step->desc);
	if (doc->kind == OCI_KIND_INDEX)
		return 0;
	blob_add(x, &doc->config);
	for (size_t i = 0; i < doc->ndescs; i++)
		blob_add(x, &doc->descs[i]);
	best_take(x, step);
	return 0;
}

/* The entry of manifest.json for the best manifest: one for all names that it has. */
static struct layout_saved *
saved_get(struct export *x)
{
	char path[LAYOUT_PATH_MAX];
	struct layout_saved *s;

	(void)layout_path(&x->best_config.digest, path);
	for (size_t i = 0; i < x->saves.n; i++)
		if (digest_equal(&x->saved[i], &x->best.digest))
			return &x->saves.v[i];
	x->saved = xrealloc(x->saved, (x->saves.n + 1) * sizeof(*x->saved));
	x->saved[x->saves.n] = x->best.digest;
	x->saves.v = xrealloc(x->saves.v, (x->saves.n + 1) * sizeof(*x->saves.v));
	s = &x->saves.v[x->saves.n++];
	*s = (struct layout_saved){ .config = xstrdup(path) };
	for (size_t i = 0; i < x->nbest_layers; i++)
		layout_text_add(&s->layers, layout_path(&x->best_layers[i].digest, path));
	return s;
}

/* As docker says it: docker.io/library/nginx:1 is nginx:1. Names without a tag have none for docker. */
static void
saved_tag(struct layout_saved *s, const char *name)
{
	char text[REFERENCE_TEXT_MAX], *at;
	struct err ignored = ERR_ZERO; /* a name that is no reference cannot be told to docker */
	struct reference ref;
	const char *tag = text;

	if (reference_parse(name, &ref, &ignored) < 0 || ref.tag[0] == '\0')
		return;
	(void)reference_text(&ref, text);
	if ((at = strchr(text, '@')) != NULL)
		*at = '\0';
	if (strncmp(tag, "docker.io/", 10) == 0)
		tag += strncmp(tag, "docker.io/library/", 18) == 0 ? 18 : 10;
	layout_text_add(&s->tags, tag);
}

static void
index_add(struct export *x, const char *name, const struct oci_desc *target)
{
	struct layout_index *index = &x->index;
	struct err ignored = ERR_ZERO; /* no reference: no tag */
	struct reference ref;
	const char *tag = NULL;

	if (reference_parse(name, &ref, &ignored) == 0)
		tag = ref.tag[0] != '\0' ? ref.tag : NULL;
	index->v = xrealloc(index->v, (index->n + 1) * sizeof(*index->v));
	index->v[index->n++] = (struct layout_image){
		.desc = *target, .name = xstrdup(name), .tag = tag == NULL ? NULL : xstrdup(tag)
	};
}

static int
image_add(struct export *x, const char *word, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct oci_desc target;
	struct image *im;
	int r = walk_find(x->c, word, &a, &im, &target, e);

	if (r < 0)
		return r;
	x->best_rank = 0;
	r = walk_image(x->c, &target, &x->wanted, on_document, x, e);
	if (r < 0)
		return r == -ERR_CANCELLED ? r : err_wrap(e, "image %s", im->name);
	index_add(x, im->name, &target);
	if (x->best_rank > 0)
		saved_tag(saved_get(x), im->name);
	return 0;
}

/* --- writing -------------------------------------------------------------------------------------- */

static int
text_write(struct export *x, const char *path, const void *p, size_t n, struct err *e)
{
	int r = archive_out_file(x->out, path, n, e);

	return r < 0 ? r : archive_out_write(x->out, p, n, e);
}

static int
documents_write(struct export *x, struct err *e)
{
	AUTO(buf_free) struct buf index = BUF_ZERO, saved = BUF_ZERO;
	int r = text_write(x, LAYOUT_FILE, LAYOUT_TEXT, strlen(LAYOUT_TEXT), e);

	layout_index_write(&x->index, &index);
	layout_saves_write(&x->saves, &saved);
	if (r == 0)
		r = text_write(x, LAYOUT_INDEX, index.data, index.len, e);
	if (r == 0 && !opts_flag(x->o, "skip-manifest-json"))
		r = text_write(x, LAYOUT_SAVED, saved.data, saved.len, e);
	return r;
}

static int
piece_write(void *arg, const void *p, size_t n, struct err *e)
{
	struct export *x = arg;

	hasher_add(x->hash, p, n);
	return archive_out_write(x->out, p, n, e);
}

static int
blob_write(struct export *x, const struct oci_desc *d, struct err *e)
{
	char path[LAYOUT_PATH_MAX];
	struct digest got;
	int r = archive_out_file(x->out, layout_path(&d->digest, path), d->size, e);

	hasher_free(&x->hash);
	x->hash = hasher_new(d->digest.alg);
	if (r < 0 || (r = blob_copy(x->c, d, piece_write, x, e)) < 0)
		return r;
	hasher_digest(x->hash, &got);
	return digest_equal(&got, &d->digest)
		   ? 0
		   : err_set(e, ERR_DATA_LOSS, "blob %s is damaged: its digest is %s",
			 d->digest.text, got.text);
}

static bool
has_alg(const struct export *x, enum digest_alg alg)
{
	for (size_t i = 0; i < x->nblobs; i++)
		if (x->blobs[i].digest.alg == alg)
			return true;
	return false;
}

static int
archive_write(struct export *x, const char *to, struct err *e)
{
	int r = archive_out_open(to, &x->out, e);

	if (r < 0 || (r = documents_write(x, e)) < 0 ||
	    (r = archive_out_folder(x->out, "blobs", e)) < 0)
		return r;
	if (has_alg(x, DIGEST_SHA256))
		r = archive_out_folder(x->out, "blobs/sha256", e);
	if (r == 0 && has_alg(x, DIGEST_SHA512))
		r = archive_out_folder(x->out, "blobs/sha512", e);
	for (size_t i = 0; r == 0 && i < x->nblobs; i++)
		r = blob_write(x, &x->blobs[i], e);
	return r < 0 ? r : archive_out_done(x->out, e);
}

/* --- the command ---------------------------------------------------------------------------------- */

static void
export_free(struct export *x)
{
	archive_out_close(&x->out);
	hasher_free(&x->hash);
	wanted_free(&x->wanted);
	layout_index_free(&x->index);
	layout_saves_free(&x->saves);
	free_ptr(&x->saved);
	free_ptr(&x->blobs);
	free_ptr(&x->best_layers);
}

/* To a pipe, signals end us as they come: there is nothing to clean up, and who reads may be slow. */
int
images_export(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(export_free) struct export x = { .c = c, .o = o };
	const char *to = o->args.v[0];
	int r = wanted_read(o, &x.wanted, e);

	if (r == 0 && strcmp(to, "-") != 0)
		r = ctr_catch(c, e);
	for (uint32_t i = 1; r == 0 && i < o->args.n; i++)
		r = image_add(&x, o->args.v[i], e);
	if (r < 0)
		return r;
	blobs_watch(c, true);
	r = archive_write(&x, to, e);
	blobs_watched(c, r == 0);
	return r;
}
