/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import - images from an archive or a folder: what `oci:`, `oci-archive:` and `docker save` write.
 *
 *	read     file after file, as they come: blobs go to the content store at once, whatever the order;
 *		 only oci-layout, index.json and manifest.json are kept, and a row for each other file
 *	plan     which names for which targets; a manifest is made for what docker saved without one
 *	check    every document and blob of each target is there and fits; references are recorded
 *	unpack   the layers
 *	name     only now is there an image to be seen
 *
 * A failure or Ctrl-C at any point ends the lease under which all of it was stored, and so removes it.
 * When ctr is killed the lease ends by itself after a day.
 */
#include <errno.h>
#include <search.h>
#include <string.h>
#include <time.h>

#include "ctr/archive.h"
#include "ctr/blobs.h"
#include "ctr/ctr.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "ctr/walk.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/ident.h"
#include "lib/oci/json.h"
#include "lib/oci/layout.h"
#include "lib/oci/reference.h"

#define ITEMS_MAX 16384
#define PLANS_MAX 4096
#define LINKS_MAX 8
#define MAGIC_MAX 4

/* A file of the archive that is no document of the layout. */
struct item {
	const char *path; /* behind the struct */
	char *link;	  /* the path it leads to; NULL: a file */
	struct oci_desc blob;
	unsigned char magic[MAGIC_MAX]; /* its first bytes: how a layer is packed */
};

/* A name to be given. */
struct plan {
	char *name;
	struct oci_desc target;
	bool index; /* the whole archive, by --index-name */
};

struct import {
	struct ctr *c;
	const struct opts *o;
	const char *from;
	struct wanted wanted;
	char base[REFERENCE_TEXT_MAX];
	struct kvs labels;
	struct archive_in *in;

	bool layout;
	struct buf index, saved; /* index.json, manifest.json */
	void *items;		 /* a tree by path */
	size_t nitems;
	struct plan *plans;
	size_t nplans;
};

/* --- reading -------------------------------------------------------------------------------------- */

/* The file in hand as a source, its first bytes seen already. */
struct source {
	struct archive_in *in;
	char head[512];
	size_t n, at;
};

static int
source_read(void *arg, void *to, size_t n, size_t *ret_n, struct err *e)
{
	struct source *s = arg;
	size_t left = s->n - s->at;

	if (left == 0)
		return archive_in_read(s->in, to, n, ret_n, e);
	*ret_n = n < left ? n : left;
	memcpy(to, s->head + s->at, *ret_n);
	s->at += *ret_n;
	return 0;
}

static int
source_head(struct source *s, struct err *e)
{
	size_t got = 1;
	int r = 0;

	while (r == 0 && got > 0 && s->n < sizeof(s->head)) {
		r = archive_in_read(s->in, s->head + s->n, sizeof(s->head) - s->n, &got, e);
		s->n += got;
	}
	return r;
}

static int
by_path(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path);
}

static struct item *
item_find(const struct import *im, const char *path)
{
	const struct item key = { .path = path };
	struct item *const *found = tfind(&key, &im->items, by_path);

	return found == NULL ? NULL : *found;
}

static int
item_add(struct import *im, const char *path, struct item **ret, struct err *e)
{
	struct item *ent;

	if (im->nitems++ == ITEMS_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "more than %d files in it", ITEMS_MAX);
	ent = xcalloc(1, sizeof(*ent) + strlen(path) + 1);
	ent->path = memcpy(ent + 1, path, strlen(path));
	MUST(tsearch(ent, &im->items, by_path) != NULL); /* only memory could fail */
	*ret = ent;
	return 0;
}

static void
item_free(void *arg)
{
	struct item *ent = arg;

	free(ent->link);
	free(ent);
}

static int
read_document(struct import *im, const struct archive_file *f, struct buf *out, struct err *e)
{
	size_t got = 1;
	int r = 0;

	if (f->link != NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is a link: refused", f->path);
	if (out->data != NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is in it twice: refused", f->path);
	if (f->size > OCI_JSON_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "%s has %llu bytes: at most %u are allowed", f->path,
		    (unsigned long long)f->size, OCI_JSON_MAX);
	MUST(buf_room(out, f->size + 1) != NULL); /* there now, even if it is empty */
	out->data[0] = '\0';
	while (r == 0 && got > 0) {
		char piece[4096];

		r = archive_in_read(im->in, piece, sizeof(piece), &got, e);
		if (r == 0 && out->len + got > OCI_JSON_MAX)
			r = err_set(e, ERR_RESOURCE_EXHAUSTED, "%s is larger than %u bytes",
			    f->path, OCI_JSON_MAX);
		if (r == 0)
			(void)buf_add(out, piece, got); /* has no limit */
	}
	return r;
}

static int
read_layout(struct import *im, const struct archive_file *f, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	int r = read_document(im, f, &text, e);

	if (r == 0 && im->layout)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is in it twice: refused", f->path);
	if (r == 0 && layout_check(buf_str(&text), text.len, e) < 0)
		return err_wrap(e, "%s", f->path);
	im->layout = true;
	return r;
}

/* What docker save adds to each layer for docker of ten years ago. */
static bool
is_legacy(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(path, "repositories") == 0 ||
	       (slash != NULL && (strcmp(slash, "/VERSION") == 0 || strcmp(slash, "/json") == 0));
}

static int
read_blob(struct import *im, const struct archive_file *f, struct err *e)
{
	struct source s = { .in = im->in };
	struct blob_source src = { .read = source_read, .arg = &s };
	struct digest want;
	bool named = layout_path_parse(f->path, &want);
	struct item *ent = item_find(im, f->path);
	int r;

	if (ent != NULL)
		return named ? 0 : err_set(e, ERR_INVALID_ARGUMENT, "it is in it twice: refused");
	if ((r = item_add(im, f->path, &ent, e)) < 0)
		return r;
	if (f->link != NULL) {
		ent->link = xstrdup(f->link);
		return 0;
	}
	if ((r = source_head(&s, e)) < 0)
		return r;
	memcpy(ent->magic, s.head, MAGIC_MAX);
	src.size = f->size;
	src.name = ent->path;
	return blob_put(im->c, named ? &want : NULL, &src, &ent->blob, e);
}

static int
read_file(struct import *im, const struct archive_file *f, struct err *e)
{
	char show[160];
	int r;

	if (strcmp(f->path, LAYOUT_FILE) == 0)
		return read_layout(im, f, e);
	if (strcmp(f->path, LAYOUT_INDEX) == 0)
		return read_document(im, f, &im->index, e);
	if (strcmp(f->path, LAYOUT_SAVED) == 0)
		return read_document(im, f, &im->saved, e);
	if (is_legacy(f->path))
		return 0;
	r = read_blob(im, f, e);
	return r == 0 || r == -ERR_CANCELLED
		   ? r
		   : err_wrap(e, "%s", ident_show(f->path, show, sizeof(show)));
}

static void
on_ready(void *arg, uint32_t events)
{
	(void)events;
	*(bool *)arg = true;
}

/* A pipe may be silent for long: the daemon and signals are heard meanwhile. */
static int
wait_input(void *arg, int fd, struct err *e)
{
	struct ctr *c = arg;
	bool ready = false;
	struct loop_source *s = loop_fd(c->loop, fd, EPOLLIN, on_ready, &ready);

	if (s == NULL && errno == EPERM)
		return 0; /* a device that is always ready */
	if (s == NULL)
		return err_sys(e, errno, "watch the input");
	while (!ready && c->caught == 0)
		loop_turn(c->loop, -1);
	loop_del(&s);
	return c->caught == 0 ? 0 : err_set(e, ERR_CANCELLED, "interrupted");
}

static int
read_all(struct import *im, struct err *e)
{
	struct archive_file f;
	int r = archive_in_open(im->from, wait_input, im->c, &im->in, e);

	while (r == 0 && (r = archive_in_next(im->in, &f, e)) == 1) {
		r = read_file(im, &f, e);
		if (r == 0 && im->c->caught != 0)
			r = err_set(e, ERR_CANCELLED, "interrupted");
	}
	return r;
}

/* --- planning ------------------------------------------------------------------------------------- */

static struct plan *
plan_find(const struct import *im, const char *name)
{
	for (size_t i = 0; i < im->nplans; i++)
		if (strcmp(im->plans[i].name, name) == 0)
			return &im->plans[i];
	return NULL;
}

/* One name, several platforms: the one that is wanted most, else the last. */
static bool
plan_better(const struct import *im, const struct oci_desc *now, const struct oci_desc *old)
{
	return !now->has_platform || !old->has_platform ||
	       wanted_rank(&im->wanted, &now->platform) >= wanted_rank(&im->wanted, &old->platform);
}

static int
plan_add(
    struct import *im, const char *name, const struct oci_desc *target, bool index, struct err *e)
{
	char full[REFERENCE_TEXT_MAX];
	struct reference ref;
	struct plan *p;
	int r = reference_parse(name, &ref, e);

	if (r < 0)
		return err_wrap(e, "name of an image");
	p = plan_find(im, reference_text(&ref, full));
	if (p == NULL && im->nplans == PLANS_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "more than %d names", PLANS_MAX);
	if (p == NULL) {
		im->plans = xrealloc(im->plans, (im->nplans + 1) * sizeof(*im->plans));
		p = &im->plans[im->nplans++];
		*p = (struct plan){ .name = xstrdup(full), .target = *target };
	}
	if (index || plan_better(im, target, &p->target)) {
		p->target = *target;
		p->index = index;
	}
	return 0;
}

static int
plan_digest(struct import *im, const struct oci_desc *target, struct err *e)
{
	AUTO(free_ptr) char *name = xasprintf("%s@%s", im->base, target->digest.text);

	return plan_add(im, name, target, false, e);
}

/* Is name that of the repository base, or below it? */
static bool
in_base(const char *name, const char *base)
{
	size_t n = strlen(base);

	return strncmp(name, base, n) == 0 && (name[n] == '\0' || strchr("/:@", name[n]) != NULL);
}

/* A ref.name of an index may be a full name or only a tag. "" when --base-name rules it out. */
static char *
tag_name(const struct import *im, const char *tag)
{
	if (strpbrk(tag, "/:@") == NULL)
		return xasprintf("%s:%s", im->base, tag);
	return xstrdup(opts_text(im->o, "base-name") == NULL || in_base(tag, im->base) ? tag : "");
}

/* Signatures and the like stand beside images in a layout, without a name. */
static bool
is_artifact(struct import *im, const struct oci_desc *d)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	struct err ignored = ERR_ZERO; /* not to be read: that will be said when it is checked */

	return blob_text(im->c, d, &text, &ignored) == 0 &&
	       oci_doc_parse(buf_str(&text), text.len, d->media_type, &doc, &ignored) == 0 &&
	       doc.kind == OCI_KIND_MANIFEST && oci_doc_image(&doc, &ignored) < 0;
}

static int
plan_image(struct import *im, const struct layout_image *image, struct err *e)
{
	AUTO(free_ptr)
	char *name = image->name != NULL  ? xstrdup(image->name)
		     : image->tag != NULL ? tag_name(im, image->tag)
					  : xstrdup("");
	const struct oci_desc *d = &image->desc;
	bool digests = opts_flag(im->o, "digests"), named = name[0] != '\0';
	bool nameless = image->name == NULL && image->tag == NULL &&
			opts_text(im->o, "index-name") == NULL;
	int r = 0;

	if (im->wanted.given && d->has_platform && wanted_rank(&im->wanted, &d->platform) == 0)
		return 0;
	if (named)
		r = plan_add(im, name, d, false, e);
	if (r == 0 && ((digests && !(named && opts_flag(im->o, "skip-digest-for-named"))) ||
			  (!digests && nameless && !is_artifact(im, d))))
		r = plan_digest(im, d, e);
	return r;
}

static int
plan_whole(struct import *im, const struct buf *index, struct err *e)
{
	const char *name = opts_text(im->o, "index-name");
	struct oci_desc d = { .media_type = OCI_INDEX };
	int r = name == NULL ? 0 : blob_put_text(im->c, index, NULL, &d, e);

	return r < 0 || name == NULL ? r : plan_add(im, name, &d, true, e);
}

static int
plan_index(
    struct import *im, const struct layout_index *index, const struct buf *text, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < index->n; i++)
		r = plan_image(im, &index->v[i], e);
	return r < 0 ? r : plan_whole(im, text, e);
}

/* --- what docker saved ---------------------------------------------------------------------------- */

static int
saved_blob(
    const struct import *im, const char *path, const char *what, struct item **ret, struct err *e)
{
	char show[160];
	struct item *ent = item_find(im, path);

	for (unsigned n = 0; ent != NULL && ent->link != NULL; n++)
		ent = n < LINKS_MAX ? item_find(im, ent->link) : NULL;
	if (ent == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, LAYOUT_SAVED ": %s %s is not there", what,
		    ident_show(path, show, sizeof(show)));
	*ret = ent;
	return 0;
}

static const char *
saved_type(const struct item *layer)
{
	if (layer->magic[0] == 0x1f && layer->magic[1] == 0x8b)
		return "application/vnd.docker.image.rootfs.diff.tar.gzip";
	if (memcmp(layer->magic, "\x28\xb5\x2f\xfd", 4) == 0)
		return "application/vnd.docker.image.rootfs.diff.tar.zstd";
	return "application/vnd.docker.image.rootfs.diff.tar";
}

static int
saved_platform(struct import *im, const struct oci_doc *doc, struct oci_desc *d, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(oci_config_free) struct oci_config config = { .nlayers = 0 };
	int r = blob_text(im->c, &doc->config, &text, e);

	if (r < 0)
		return r;
	if (oci_config_parse(buf_str(&text), text.len, doc->ndescs, &config, e) < 0)
		return err_wrap(e, "image config");
	d->has_platform = config.has_platform;
	d->platform = config.platform;
	return 0;
}

/* Makes the manifest that it came without, the same as containerd makes. */
static int
saved_manifest(struct import *im, const struct layout_saved *s, struct oci_desc *ret, struct err *e)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .media_type = DOCKER_MANIFEST };
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct item *ent;
	int r = saved_blob(im, s->config, "config", &ent, e);

	if (r < 0)
		return r;
	doc.config = ent->blob;
	(void)strcpy(doc.config.media_type, DOCKER_CONFIG);
	doc.descs = xcalloc(s->layers.n + 1, sizeof(*doc.descs));
	for (size_t i = 0; i < s->layers.n; i++) {
		if ((r = saved_blob(im, s->layers.v[i], "layer", &ent, e)) < 0)
			return r;
		doc.descs[doc.ndescs] = ent->blob;
		(void)strcpy(doc.descs[doc.ndescs++].media_type, saved_type(ent));
	}
	layout_manifest_write(&doc, &text);
	(void)strcpy(ret->media_type, DOCKER_MANIFEST);
	r = blob_put_text(im->c, &text, NULL, ret, e);
	return r < 0 ? r : saved_platform(im, &doc, ret, e);
}

static void
saved_add(struct layout_index *index, const struct oci_desc *d, const char *name)
{
	const char *colon = name == NULL ? NULL : strrchr(name, ':');

	index->v = xrealloc(index->v, (index->n + 1) * sizeof(*index->v));
	index->v[index->n++] = (struct layout_image){ .desc = *d,
		.name = name == NULL ? NULL : xstrdup(name),
		.tag = colon == NULL ? NULL : xstrdup(colon + 1) };
}

static int
saved_image(
    struct import *im, const struct layout_saved *s, struct layout_index *index, struct err *e)
{
	char name[REFERENCE_TEXT_MAX];
	struct oci_desc d = { .size = 0 };
	struct reference ref;
	int r;

	if (index->n + s->tags.n > PLANS_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "more than %d names", PLANS_MAX);
	r = saved_manifest(im, s, &d, e);
	if (r == 0 && s->tags.n == 0)
		saved_add(index, &d, NULL);
	for (size_t i = 0; r == 0 && i < s->tags.n; i++) {
		if (reference_parse(s->tags.v[i], &ref, e) < 0)
			return err_wrap(e, LAYOUT_SAVED ": RepoTags");
		saved_add(index, &d, reference_text(&ref, name));
	}
	return r;
}

/* --- the archive's own account of itself ------------------------------------------------------------ */

static int
plan_saved(struct import *im, struct err *e)
{
	AUTO(layout_saves_free) struct layout_saves saves = { .n = 0 };
	AUTO(layout_index_free) struct layout_index index = { .n = 0 };
	AUTO(buf_free) struct buf text = BUF_ZERO;
	int r = 0;

	if (layout_saves_parse(buf_str(&im->saved), im->saved.len, &saves, e) < 0)
		return err_wrap(e, LAYOUT_SAVED);
	for (size_t i = 0; r == 0 && i < saves.n; i++)
		r = saved_image(im, &saves.v[i], &index, e);
	layout_index_write(&index, &text);
	return r < 0 ? r : plan_index(im, &index, &text, e);
}

static int
plan_layout(struct import *im, struct err *e)
{
	AUTO(layout_index_free) struct layout_index index = { .n = 0 };

	if (im->index.data == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "there is no " LAYOUT_INDEX " in it");
	if (layout_index_parse(buf_str(&im->index), im->index.len, &index, e) < 0)
		return err_wrap(e, LAYOUT_INDEX);
	return plan_index(im, &index, &im->index, e);
}

static int
plan_all(struct import *im, struct err *e)
{
	int r;

	if (!im->layout && im->saved.data == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "not an archive of images: neither " LAYOUT_FILE " nor " LAYOUT_SAVED
		    " is in it");
	r = im->layout ? plan_layout(im, e) : plan_saved(im, e);
	if (r == 0 && im->nplans == 0)
		return err_set(e, ERR_NOT_FOUND, "no image in it is what was asked for");
	return r;
}

/* --- checking, unpacking, naming ------------------------------------------------------------------ */

static int
on_document(void *arg, const struct walk_step *step, struct err *e)
{
	struct import *im = arg;

	return walk_refer(im->c, step, e);
}

/* The whole archive as one image refers to what was taken of it. */
static int
index_refer(struct import *im, const struct plan *whole, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	AUTO(free_ptr) bool *taken = NULL;
	int r = blob_text(im->c, &whole->target, &text, e);

	if (r < 0 || (r = oci_doc_parse(buf_str(&text), text.len, OCI_INDEX, &doc, e)) < 0)
		return r;
	taken = xcalloc(doc.ndescs + 1, sizeof(*taken));
	for (size_t i = 0; r == 0 && i < doc.ndescs; i++) {
		const struct oci_desc *d = &doc.descs[i];

		taken[i] = !d->has_platform || !im->wanted.given ||
			   wanted_rank(&im->wanted, &d->platform) > 0;
		if (taken[i])
			r = walk_image(im->c, d, &im->wanted, on_document, im, e);
	}
	return r < 0 ? r : blob_refer_index(im->c, &whole->target, &doc, taken, e);
}

static int
check_all(struct import *im, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < im->nplans; i++) {
		const struct plan *p = &im->plans[i];

		r = p->index ? index_refer(im, p, e)
			     : walk_image(im->c, &p->target, &im->wanted, on_document, im, e);
		if (r < 0 && r != -ERR_CANCELLED)
			return err_wrap(e, "image %s", p->name);
	}
	return r;
}

static struct descriptor
descriptor_of(const struct oci_desc *d)
{
	return (struct descriptor){
		.media_type = d->media_type, .digest = d->digest.text, .size = d->size
	};
}

/* not_found: the image is for other platforms only. */
static int
unpack_for(struct import *im, const struct plan *p, const char *platform, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct descriptor target = descriptor_of(&p->target);
	const struct image_unpack_req req = { .target = &target,
		.platform = platform,
		.snapshotter = opts_text(im->o, "snapshotter") };
	struct nothing rep;
	int r = ctr_call(im->c, &content_image_unpack_method, &req, &a, &rep, e);

	if (r == 0 || r == -ERR_CANCELLED || r == -ERR_NOT_FOUND)
		return r;
	return err_wrap(e, "image %s", p->name);
}

/* For what was asked for, else for this host. */
static int
unpack_one(struct import *im, const struct plan *p, struct err *e)
{
	char text[PLATFORM_TEXT_MAX];
	int r = 0;

	if (im->wanted.all)
		r = unpack_for(im, p, NULL, e);
	for (size_t i = 0; r == 0 && i < im->wanted.n; i++)
		r = unpack_for(im, p, platform_text(&im->wanted.v[i], text), e);
	if (r != -ERR_NOT_FOUND || im->wanted.given)
		return r;
	*e = ERR_ZERO;
	return 0;
}

static int
unpack_all(struct import *im, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < im->nplans; i++)
		if (!im->plans[i].index)
			r = unpack_one(im, &im->plans[i], e);
	return r;
}

static void
say(const struct import *im, const struct image *image)
{
	if (opts_flag(im->o, "quiet"))
		text_print(stdout, image->name);
	else
		(void)printf("%s %s\n", image->name, image->target->digest);
	(void)fflush(stdout);
}

static int
name_all(struct import *im, bool json, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct image *images = arena_calloc(&a, im->nplans, sizeof(*images));

	for (size_t i = 0; i < im->nplans; i++) {
		struct descriptor target = descriptor_of(&im->plans[i].target);
		const struct image_create_req req = { .name = im->plans[i].name,
			.target = &target,
			.labels = im->labels,
			.replace = true };
		int r = ctr_call(im->c, &content_image_create_method, &req, &a, &images[i], e);

		if (r < 0)
			return r;
		if (!json)
			say(im, &images[i]);
	}
	if (json)
		render_json_list(&image_schema, images, (uint32_t)im->nplans);
	return 0;
}

/* --- the command ---------------------------------------------------------------------------------- */

/* A name given by option. */
static int
name_check(const struct opts *o, const char *option, struct err *e)
{
	const char *name = opts_text(o, option);
	struct reference ref;

	return name == NULL || reference_parse(name, &ref, e) == 0
		   ? 0
		   : err_wrap(e, "option --%s", option);
}

static int
options_read(struct import *im, struct arena *a, struct err *e)
{
	const char *base = opts_text(im->o, "base-name");
	time_t now = (time_t)(clock_real_ns() / 1000000000);
	struct tm tm;
	int r;

	if ((r = wanted_read(im->o, &im->wanted, e)) < 0 ||
	    (r = ctr_map("label", opts_list(im->o, "label"), a, &im->labels, e)) < 0)
		return r;
	if ((r = name_check(im->o, "base-name", e)) < 0 ||
	    (r = name_check(im->o, "index-name", e)) < 0)
		return r;
	if (base != NULL)
		(void)snprintf(im->base, sizeof(im->base), "%s", base);
	else
		(void)strftime(im->base, sizeof(im->base), "import-%Y-%m-%d", gmtime_r(&now, &tm));
	return 0;
}

static int
import_run(struct import *im, bool json, struct err *e)
{
	char show[160];
	int r;

	blobs_watch(im->c, !json && !opts_flag(im->o, "quiet"));
	r = read_all(im, e);
	blobs_watched(im->c, r == 0);
	if (r == 0)
		r = plan_all(im, e);
	if (r == 0)
		r = check_all(im, e);
	/* What is wrong is what the archive says, not how we were called. */
	if (r == -ERR_INVALID_ARGUMENT)
		e->code = ERR_DATA_LOSS;
	if (r < 0)
		return r == -ERR_CANCELLED || r == -ERR_UNAVAILABLE
			   ? r
			   : err_wrap(e, "%s", ident_show(im->from, show, sizeof(show)));
	if (!opts_flag(im->o, "no-unpack"))
		r = unpack_all(im, e);
	return r < 0 ? r : name_all(im, json, e);
}

static void
import_free(struct import *im)
{
	archive_in_close(&im->in);
	wanted_free(&im->wanted);
	buf_free(&im->index);
	buf_free(&im->saved);
	tdestroy(im->items, item_free);
	for (size_t i = 0; i < im->nplans; i++)
		free(im->plans[i].name);
	free_ptr(&im->plans);
}

int
images_import(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(import_free) struct import im = { .c = c, .o = o, .from = o->args.v[0] };
	struct err last = ERR_ZERO;
	bool json;
	int r, end;

	if ((r = ctr_format(o, &json, e)) < 0 || (r = options_read(&im, &a, e)) < 0 ||
	    (r = ctr_catch(c, e)) < 0 || (r = lease_begin(c, e)) < 0)
		return r;
	r = import_run(&im, json, e);
	end = lease_end(c, &last);
	if (r == 0 && end < 0)
		*e = last, r = end;
	return r;
}
