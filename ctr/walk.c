/* SPDX-License-Identifier: Apache-2.0 */
/* walk - see walk.h */
#include "ctr/walk.h"

#include <stdlib.h>
#include <string.h>

#include "ctr/blobs.h"
#include "lib/base/auto.h"
#include "lib/base/ident.h"

#define DEPTH_MAX 4
#define DOCUMENTS_MAX 4096
#define PLATFORMS_MAX 64

/* --- platforms ------------------------------------------------------------------------------------ */

const struct opt wanted_opts[] = {
	{ "platform", 0, OPT_LIST, "OS/ARCH",
	    "Only what is for this platform: linux/amd64, linux/arm64/v8. May be repeated. "
	    "Default: "
	    "the host's.",
	    NULL },
	{ "all-platforms", 0, OPT_FLAG, NULL, "All that an index has.", NULL },
	{ .name = NULL },
};

/* One value of --platform. */
static int
wanted_add(struct wanted *w, const char *words, struct err *e)
{
	while (true) {
		size_t n = strcspn(words, ",");
		char word[PLATFORM_TEXT_MAX];
		int r;

		if (w->n == PLATFORMS_MAX)
			return err_set(
			    e, ERR_INVALID_ARGUMENT, "more than %d platforms", PLATFORMS_MAX);
		(void)snprintf(word, sizeof(word), "%.*s", n < sizeof(word) ? (int)n : 99, words);
		r = platform_parse(word, &w->v[w->n], e);
		if (r < 0)
			return err_wrap(e, "option --platform");
		w->n++;
		if (words[n] == '\0')
			return 0;
		words += n + 1;
	}
}

int
wanted_read(const struct opts *o, struct wanted *ret, struct err *e)
{
	struct strs words = opts_list(o, "platform");
	int r = 0;

	*ret = (struct wanted){ .all = opts_flag(o, "all-platforms"),
		.v = xcalloc(PLATFORMS_MAX, sizeof(struct platform)) };
	ret->given = ret->all || words.n > 0;
	if (ret->all && words.n > 0)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "--platform and --all-platforms exclude each other");
	for (uint32_t i = 0; r == 0 && i < words.n; i++)
		r = wanted_add(ret, words.v[i], e);
	if (!ret->given)
		platform_host(&ret->v[ret->n++]);
	return r;
}

void
wanted_free(struct wanted *w)
{
	free_ptr(&w->v);
}

unsigned
wanted_rank(const struct wanted *w, const struct platform *p)
{
	unsigned best = w->all ? 1 : 0;

	for (size_t i = 0; i < w->n; i++) {
		unsigned rank = platform_rank(&w->v[i], p);

		if (rank > best)
			best = rank;
	}
	return best;
}

/* --- documents ------------------------------------------------------------------------------------ */

struct walk {
	struct ctr *c;
	const struct wanted *wanted;
	walk_fn *fn;
	void *arg;
	struct digest *seen;
	size_t nseen;
};

static bool
seen_add(struct walk *w, const struct digest *d)
{
	for (size_t i = 0; i < w->nseen; i++)
		if (digest_equal(&w->seen[i], d))
			return true;
	w->seen[w->nseen++] = *d;
	return false;
}

bool
walk_is_document(const struct oci_desc *d)
{
	static const char *const types[] = { OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX,
		DOCKER_MANIFEST };

	for (size_t i = 0; i < COUNT(types); i++)
		if (strcmp(d->media_type, types[i]) == 0)
			return true;
	return false;
}

static int
nothing_for(const struct platform *p, const struct oci_doc *doc, struct err *e)
{
	char want[PLATFORM_TEXT_MAX], have[300];

	return err_set(e, ERR_NOT_FOUND, "no manifest for %s: it has %s", platform_text(p, want),
	    oci_doc_platforms(doc, have, sizeof(have)));
}

/* Attestations ("unknown") belong to all of an image where somebody brought them. */
static bool
is_missing_extra(const struct walk *w, const struct oci_desc *d)
{
	struct err ignored = ERR_ZERO; /* not here is what is asked */

	return d->has_platform && strcmp(d->platform.os, "unknown") == 0 &&
	       blob_check(w->c, d, &ignored) < 0;
}

/* Which entries of an index are wanted. */
static int
choose(const struct walk *w, const struct oci_doc *doc, bool *taken, struct err *e)
{
	for (size_t i = 0; i < doc->ndescs; i++)
		taken[i] = w->wanted->all && walk_is_document(&doc->descs[i]) &&
			   !is_missing_extra(w, &doc->descs[i]);
	for (size_t i = 0; i < w->wanted->n; i++) {
		const struct oci_desc *d = oci_doc_choose(doc, &w->wanted->v[i]);

		if (d == NULL)
			return nothing_for(&w->wanted->v[i], doc, e);
		taken[d - doc->descs] = true;
	}
	return 0;
}

static int
layers_check(const struct walk *w, const struct oci_doc *doc, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < doc->ndescs; i++)
		r = blob_check(w->c, &doc->descs[i], e);
	return r;
}

/* Config and layers of a manifest: here, and fitting one another. alone: no index has said what it is for.
 * An artifact has no config to speak of. */
static int
manifest_check(const struct walk *w, const struct oci_doc *doc, bool alone,
    struct oci_config *config, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	char only[PLATFORM_TEXT_MAX];
	bool artifact = doc->no_image.code != ERR_NONE;
	int r = artifact ? blob_check(w->c, &doc->config, e)
			 : blob_text(w->c, &doc->config, &text, e);

	if (r < 0)
		return r;
	if (artifact)
		return layers_check(w, doc, e);
	if (oci_config_parse(buf_str(&text), text.len, doc->ndescs, config, e) < 0)
		return err_wrap(e, "config %s", doc->config.digest.text);
	if (alone && w->wanted->given && config->has_platform &&
	    wanted_rank(w->wanted, &config->platform) == 0)
		return err_set(
		    e, ERR_NOT_FOUND, "it is for %s only", platform_text(&config->platform, only));
	return layers_check(w, doc, e);
}

static int walk_down(struct walk *w, const struct oci_desc *at, unsigned depth, struct err *e);

static int
walk_entries(
    struct walk *w, const struct oci_doc *doc, const bool *taken, unsigned depth, struct err *e)
{
	int r = 0;

	if (depth == DEPTH_MAX)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "indexes in indexes, deeper than %d", DEPTH_MAX);
	for (size_t i = 0; r == 0 && i < doc->ndescs; i++)
		if (taken[i])
			r = walk_down(w, &doc->descs[i], depth + 1, e);
	return r;
}

static int
walk_down(struct walk *w, const struct oci_desc *at, unsigned depth, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	AUTO(oci_config_free) struct oci_config config = { .nlayers = 0 };
	AUTO(free_ptr) bool *taken = NULL;
	struct walk_step step = { .desc = at, .doc = &doc, .text = &text, .config = &config };
	int r;

	if (w->nseen == DOCUMENTS_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "more than %d documents", DOCUMENTS_MAX);
	if (seen_add(w, &at->digest))
		return 0;
	if ((r = blob_text(w->c, at, &text, e)) < 0)
		return r;
	if (oci_doc_parse(buf_str(&text), text.len, at->media_type, &doc, e) < 0)
		return err_wrap(e, "document %s", at->digest.text);
	step.taken = taken = xcalloc(doc.ndescs + 1, sizeof(*taken));
	if (doc.kind == OCI_KIND_MANIFEST)
		r = manifest_check(w, &doc, depth == 0, &config, e);
	else if ((r = choose(w, &doc, taken, e)) == 0)
		r = walk_entries(w, &doc, taken, depth, e);
	return r < 0 ? r : w->fn(w->arg, &step, e);
}

int
walk_image(struct ctr *c, const struct oci_desc *target, const struct wanted *wanted, walk_fn *fn,
    void *arg, struct err *e)
{
	AUTO(free_ptr) struct digest *seen = xcalloc(DOCUMENTS_MAX, sizeof(*seen));
	struct walk w = { .c = c, .wanted = wanted, .fn = fn, .arg = arg, .seen = seen };

	return walk_down(&w, target, 0, e);
}

int
walk_refer(struct ctr *c, const struct walk_step *step, struct err *e)
{
	size_t n = step->config->nlayers;

	if (step->doc->kind == OCI_KIND_INDEX)
		return blob_refer_index(c, step->desc, step->doc, step->taken, e);
	return blob_refer_manifest(
	    c, step->desc, step->doc, n == 0 ? NULL : &step->config->chain_ids[n - 1], e);
}

int
walk_find(struct ctr *c, const char *ref, struct arena *a, struct image **ret,
    struct oci_desc *ret_target, struct err *e)
{
	const struct image_get_req req = { .ref = ref };
	struct image_get_rep rep;
	struct oci_desc d = { .size = 0 };
	int r = ctr_call(c, &content_image_get_method, &req, a, &rep, e);

	if (r < 0 || (r = digest_parse(rep.image->target->digest, &d.digest, e)) < 0)
		return r;
	(void)snprintf(d.media_type, sizeof(d.media_type), "%s", rep.image->target->media_type);
	d.size = rep.image->target->size;
	*ret = rep.image;
	*ret_target = d;
	return 0;
}
