/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull_docs - the documents of a pull: from the reference down to the manifests that are wanted, one
 * after the other, each digest once. See pull.h.
 */
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/oci/json.h"
#include "workers/content/gc.h"
#include "workers/content/pull_private.h"

#define WANTS_MAX 4096 /* documents of one image */

struct pull_put {
	struct pull *pull;	/* NULL: it is gone */
	struct pull_put *next;	/* in pull->puts */
	struct pull_part *head; /* the pull's */
	struct content *c;
	struct digest digest;
	struct buf body;
	struct err err;
};

static const char *
doc_kind(const struct oci_doc *doc)
{
	return doc->kind == OCI_KIND_INDEX ? "index" : "manifest";
}

/* --- what an index leads to ----------------------------------------------------------------------------- */

static int
want_add(struct pull *p, const struct oci_desc *d, unsigned depth, uint64_t wanted, struct err *e)
{
	for (size_t i = 0; i < p->nwants; i++) {
		if (!digest_equal(&p->wants[i].desc.digest, &d->digest))
			continue;
		if (i > p->at) /* it was not looked at yet */
			p->wants[i].wanted |= wanted;
		return 0;
	}
	if (depth > TREE_DEPTH_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "image %s: indexes in indexes, deeper than %d", p->name, TREE_DEPTH_MAX);
	if (p->nwants == WANTS_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "image %s: more than %d manifests",
		    p->name, WANTS_MAX);
	if (p->nwants == p->wants_room) {
		p->wants_room *= 2;
		p->wants = xrealloc(p->wants, p->wants_room * sizeof(*p->wants));
	}
	p->wants[p->nwants++] = (struct pull_want){ .desc = *d, .depth = depth, .wanted = wanted };
	return 0;
}

static bool
is_document(const struct oci_desc *d)
{
	return strcmp(d->media_type, OCI_INDEX) == 0 || strcmp(d->media_type, OCI_MANIFEST) == 0 ||
	       strcmp(d->media_type, DOCKER_INDEX) == 0 ||
	       strcmp(d->media_type, DOCKER_MANIFEST) == 0;
}

/* The manifests for the platforms this index was looked at for; all of them when all are asked for. */
static int
index_accept(struct pull *p, const struct oci_doc *doc, const struct pull_want *at, struct err *e)
{
	AUTO(free_ptr) uint64_t *wanted = xcalloc(doc->ndescs + 1, sizeof(*wanted));
	bool all = p->req->all_platforms;
	char want[PLATFORM_TEXT_MAX], have[300];
	int r = 0;

	for (unsigned i = 0; i < p->nplatforms; i++) {
		const struct oci_desc *d = (at->wanted >> i & 1) == 0
					       ? NULL
					       : oci_doc_choose(doc, &p->platforms[i]);

		if (d != NULL)
			wanted[d - doc->descs] |= 1ULL << i;
		else if (!all && (at->wanted >> i & 1) != 0)
			return err_set(e, ERR_NOT_FOUND,
			    "image %s has no manifest for %s: it has %s", p->name,
			    platform_text(&p->platforms[i], want),
			    oci_doc_platforms(doc, have, sizeof(have)));
	}
	for (size_t i = 0; i < doc->ndescs && r == 0; i++)
		if (wanted[i] != 0 || (all && is_document(&doc->descs[i])))
			r = want_add(p, &doc->descs[i], at->depth + 1, wanted[i], e);
	return r;
}

/* Takes doc. */
static int
manifest_accept(struct pull *p, struct oci_doc *doc, const struct oci_desc *desc,
    const struct pull_want *at, struct err *e)
{
	struct pull_manifest *m;

	if (at->wanted != 0 && oci_doc_image(doc, e) < 0) {
		pull_blame(e);
		return err_wrap(
		    e, "manifest of %s at registry %s", p->name, remote_host(p->remote));
	}
	m = xcalloc(1, sizeof(*m));
	m->pull = p;
	m->desc = *desc;
	m->doc = *doc;
	doc->descs = NULL;
	m->wanted = at->wanted;
	m->unpack = at->wanted != 0 && !p->req->no_unpack && !p->req->verify_only;
	p->manifests = xrealloc(p->manifests, (p->nmanifests + 1) * sizeof(struct pull_manifest *));
	p->manifests[p->nmanifests++] = m;
	return parts_add(p, m, e);
}

/* Where to go from here. Takes doc. */
static void
doc_accept(struct pull *p, struct oci_doc *doc, const struct oci_desc *desc)
{
	struct pull_want at = p->wants[p->at];
	struct err e = ERR_ZERO;
	int r;

	if (p->heads[0]->state == ITEM_RESOLVING) {
		p->heads[0]->kind = doc_kind(doc);
		part_set(p->heads[0], ITEM_DONE);
	}
	if (!p->have_target) {
		p->target = *desc;
		p->have_target = true;
	}
	p->wants[p->at].desc = *desc; /* so that an index that names itself is known */
	r = doc->kind == OCI_KIND_INDEX ? index_accept(p, doc, &at, &e)
					: manifest_accept(p, doc, desc, &at, &e);
	p->at++;
	if (r < 0)
		pull_fail(p, &e);
}

static struct pull_part *
doc_head(struct pull *p, const char *kind, const struct oci_desc *desc)
{
	struct pull_part *head = head_add(p, kind, desc);

	head->offset = desc->size;
	return head;
}

/* --- documents from the registry -------------------------------------------------------------------------- */

static void
put_run(void *arg)
{
	struct pull_put *put = arg;

	(void)blobs_write(&put->c->blobs, &put->digest, put->body.data, put->body.len,
	    &put->err); /* looked at when it is done */
}

static void
put_free(struct pull_put **put)
{
	buf_free(&(*put)->body);
	free_ptr(put);
}

static void
put_unlink(struct pull_put *put)
{
	struct pull_put **at = &put->pull->puts;

	while (*at != put)
		at = &(*at)->next;
	*at = put->next;
}

static void
put_done(void *arg)
{
	AUTO(put_free) struct pull_put *put = arg;
	struct pull *p = put->pull;

	if (p != NULL)
		put_unlink(put);
	if (p == NULL || p->call == NULL) {
		gc_forget(put->c, &put->digest);
		if (p != NULL)
			pull_settle(p);
		return;
	}
	if (put->err.code != ERR_NONE) {
		pull_fail(p, &put->err);
		return;
	}
	p->bytes += put->body.len;
	part_set(put->head, ITEM_DONE);
	pull_came(put->head);
	parts_pump(p);
}

/* Writes the document on a thread, while what it names is already asked for. */
static void
doc_store(struct pull *p, const struct oci_desc *desc, const char *kind, const struct buf *body)
{
	struct pull_put *put = xcalloc(1, sizeof(*put));

	set_add(&p->docs, desc->digest.text);
	put->c = p->c;
	put->pull = p;
	put->head = doc_head(p, kind, desc);
	put->digest = desc->digest;
	(void)buf_add(&put->body, body->data, body->len); /* no limit */
	put->next = p->puts;
	p->puts = put;
	work_add(p->c->work, put_run, put_done, put);
}

/* The digest of what came is what was asked for, or what the registry says itself. */
static int
doc_check(struct pull *p, const struct oci_desc *want, const struct fetch_doc_result *res,
    struct oci_desc *got, struct err *e)
{
	const struct buf *body = res->body;
	char show[DIGEST_TEXT_MAX];

	digest_of(want->digest.text[0] != '\0' ? want->digest.alg : DIGEST_SHA256, buf_str(body),
	    body->len, &got->digest);
	got->size = body->len;
	if (want->digest.text[0] != '\0' && !digest_equal(&want->digest, &got->digest))
		return err_set(e, ERR_DATA_LOSS,
		    "manifest %s of %s is not what it should be: its digest is %s",
		    want->digest.text, p->name, got->digest.text);
	if (want->size != 0 && want->size != body->len)
		return err_set(e, ERR_DATA_LOSS,
		    "manifest %s of %s is %zu bytes long, not the %llu that were announced",
		    want->digest.text, p->name, body->len, (unsigned long long)want->size);
	if (want->digest.text[0] == '\0' && res->digest_header != NULL &&
	    strncmp(res->digest_header, "sha256:", 7) == 0 &&
	    strcmp(res->digest_header, got->digest.text) != 0)
		return err_set(e, ERR_DATA_LOSS,
		    "manifest of %s is damaged: the registry says %s, what came has %s", p->name,
		    ident_show(res->digest_header, show, sizeof(show)), got->digest.text);
	return 0;
}

/* What came, checked and parsed. */
static int
doc_read(struct pull *p, const struct fetch_doc_result *res, struct oci_doc *doc,
    struct oci_desc *got, struct err *e)
{
	const struct oci_desc *want = &p->wants[p->at].desc;
	int r = doc_check(p, want, res, got, e);

	if (r < 0)
		return r;
	r = oci_doc_parse(buf_str(res->body), res->body->len,
	    want->media_type[0] != '\0' ? want->media_type : res->media_type, doc, e);
	if (r < 0) {
		pull_blame(e);
		return err_wrap(
		    e, "manifest of %s at registry %s", p->name, remote_host(p->remote));
	}
	(void)strcpy(got->media_type, doc->media_type); /* both have room for any media type */
	return 0;
}

static void
on_doc(void *arg, const struct fetch_doc_result *res, const struct err *failed)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	struct pull *p = arg;
	struct oci_desc got = { .size = 0 };
	struct err e = failed != NULL ? *failed : ERR_ZERO;
	const char *kind;

	p->doc = NULL;
	if (failed == NULL && doc_read(p, res, &doc, &got, &e) < 0 &&
	    remote_distrust(p->remote, res->place)) {
		docs_next(p); /* another place may have the right one */
		return;
	}
	if (e.code != ERR_NONE) {
		pull_fail(p, &e);
		return;
	}
	kind = doc_kind(&doc);
	if (p->req->verify_only && !blobs_has(&p->c->blobs, &got.digest, got.size, NULL))
		verify_problem(p, kind, &got, "missing");
	doc_accept(p, &doc, &got);
	if (p->call != NULL && !p->req->verify_only)
		doc_store(p, &got, kind, res->body);
	docs_next(p);
}

/* --- one after the other ---------------------------------------------------------------------------------- */

/* Are the bytes of a document on disk the right ones? They are few. */
static bool
doc_whole(struct pull *p, const struct oci_desc *want)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err ignored = ERR_ZERO;
	struct digest got;

	if (blobs_read(&p->c->blobs, &want->digest, OCI_JSON_MAX, &text, &ignored) < 0)
		return false;
	digest_of(want->digest.alg, buf_str(&text), text.len, &got);
	return digest_equal(&got, &want->digest);
}

/* Is the wanted document here already? true: it was taken (or the pull failed). A damaged one is
 * fetched again. */
static bool
doc_here(struct pull *p)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	struct oci_desc got = p->wants[p->at].desc;
	struct err ignored = ERR_ZERO; /* not readable: fetched again */
	uint64_t size = 0;

	if (got.digest.text[0] == '\0' || !pull_may_use(p, &got.digest, got.size, &size) ||
	    !doc_whole(p, &got) || tree_doc(p->c, &got.digest, got.media_type, &doc, &ignored) < 0)
		return false;
	got.size = size;
	(void)strcpy(got.media_type, doc.media_type); /* both have room for any media type */
	set_add(&p->docs, got.digest.text);
	part_set(doc_head(p, doc_kind(&doc), &got), ITEM_EXISTS);
	doc_accept(p, &doc, &got);
	return true;
}

/* verify_only: what is not here is a problem, but for the first document: what that is the registry
 * says. true: go on with the next one. */
static bool
doc_verified(struct pull *p)
{
	if (p->at == 0)
		return false;
	if (!doc_here(p)) {
		verify_problem(p, "manifest", &p->wants[p->at].desc, "missing or damaged");
		p->at++;
	}
	return true;
}

void
docs_next(struct pull *p)
{
	while (p->call != NULL && p->at < p->nwants)
		if (!(p->req->verify_only ? doc_verified(p) : doc_here(p))) {
			const struct digest *d = &p->wants[p->at].desc.digest;

			p->doc = fetch_doc_start(
			    p->c, p->remote, d->text[0] != '\0' ? d->text : p->ref.tag, on_doc, p);
			break;
		}
	if (p->call != NULL)
		parts_pump(p);
}

void
docs_stop(struct pull *p)
{
	fetch_doc_cancel(&p->doc);
}

void
docs_leave(struct pull *p)
{
	for (struct pull_put *put = p->puts; put != NULL; put = put->next)
		put->pull = NULL;
	p->puts = NULL;
}
