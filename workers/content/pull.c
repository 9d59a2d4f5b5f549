/* SPDX-License-Identifier: Apache-2.0 */
/* pull - see pull.h */
#include "workers/content/pull.h"

#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "lib/oci/hosts.h"
#include "lib/oci/json.h"
#include "workers/content/gc.h"
#include "workers/content/handlers.h"
#include "workers/content/http.h"
#include "workers/content/images.h"
#include "workers/content/pull_private.h"

struct pull_put {
	struct pull *pull; /* NULL: it ended meanwhile */
	struct content *c;
	struct oci_doc doc;
	struct oci_desc desc;
	struct buf body;
	struct err err;
};

static void doc_next(struct pull *p, const char *what, const struct oci_desc *desc);

bool
pull_holds_blob(const struct content *c, const char *ns, const char *digest)
{
	for (struct pull *p = c->pulls; p != NULL; p = p->next) {
		if (ns != NULL && strcmp(ns, p->ns) != 0)
			continue;
		if (set_has(&p->docs, digest))
			return true;
		for (size_t i = 0; i < p->nparts; i++)
			if (strcmp(p->parts[i].desc.digest.text, digest) == 0)
				return true;
	}
	return false;
}

bool
pull_holds_chain(const struct content *c, const char *ns, const char *chain_id)
{
	for (struct pull *p = c->pulls; p != NULL; p = p->next)
		for (size_t i = 0; strcmp(ns, p->ns) == 0 && i < p->config.nlayers; i++)
			if (strcmp(p->config.chain_ids[i].text, chain_id) == 0)
				return true;
	return false;
}

void
pull_ingests(const struct content *c, const char *ns, struct arena *a, uint32_t max,
    struct ingest_info_list *list)
{
	for (struct pull *p = c->pulls; p != NULL; p = p->next)
		for (size_t i = 0; strcmp(ns, p->ns) == 0 && i < p->nparts; i++) {
			const struct pull_part *part = &p->parts[i];

			if (part->state != ITEM_DOWNLOADING || list->n == max)
				continue;
			list->v[list->n++] = (struct ingest_info){
				.ref = arena_printf(a, "%s-%s", part->kind, part->desc.digest.text),
				.offset = part->offset,
				.total = part->desc.size,
				.expected = arena_strdup(a, part->desc.digest.text),
				.started_at = part->started_at,
				.updated_at = clock_real_ns(),
			};
		}
}

void
pull_blame(struct err *e)
{
	if (e->code == ERR_INVALID_ARGUMENT)
		e->code = ERR_DATA_LOSS;
}

/* --- the end ----------------------------------------------------------------------------------------- */

static void
pull_free(void *arg)
{
	struct pull *p = arg;

	oci_doc_free(&p->manifest);
	oci_config_free(&p->config);
	set_free(&p->docs);
	free_ptr(&p->parts);
	remote_free(&p->remote);
	free_ptr(&p);
}

/* Nothing of it runs any more and nobody finds it. The call goes to the caller, who sees to its answer
 * and to pull_free in a later turn: this may be called from callbacks of its own parts. */
static struct call *
pull_detach(struct pull *p, bool keep)
{
	struct call *call = p->call;

	p->call = NULL;
	loop_del(&p->begin);
	fetch_doc_cancel(&p->doc);
	if (p->put != NULL)
		p->put->pull = NULL;
	parts_stop(p, keep);
	loop_del(&p->timer);
	if (p->prev != NULL)
		p->prev->next = p->next;
	else
		p->c->pulls = p->next;
	if (p->next != NULL)
		p->next->prev = p->prev;
	return call;
}

/* Lets go of its blobs, unless they are kept for another try. */
static void
pull_release(struct pull *p)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct err e = ERR_ZERO;
	int r = store_write(p->c->store, &t, &e);

	for (size_t i = 0; r == 0 && i < p->docs.n; i++)
		r = blob_row_release(p->c, t, p->ns, p->docs.v[i], &e);
	for (size_t i = 0; r == 0 && i < p->nparts; i++)
		r = blob_row_release(p->c, t, p->ns, p->parts[i].desc.digest.text, &e);
	if (r < 0 || content_commit(p->c, &t, &e) < 0)
		log_warn("tidy up after a pull: %s", e.msg); /* they go after a day */
}

/* The answer of a failed pull, when nothing of it is left. */
static void
on_tidied(void *arg, const struct gc_totals *sum, const struct err *e)
{
	struct pull *p = arg;
	struct call *call = p->failed;

	(void)sum;
	(void)e; /* it is tried again, by and by */
	p->tidying = NULL;
	p->failed = NULL;
	call_fail(call, &p->failure);
	p->end = loop_once(p->c->loop, 0, pull_free, p);
}

void
pull_fail(struct pull *p, const struct err *e)
{
	bool keep = e->code == ERR_UNAVAILABLE;

	if (p->call == NULL)
		return;
	p->failure = *e;
	p->failed = pull_detach(p, keep);
	if (!keep)
		pull_release(p);
	p->tidying = gc_run(p->c, on_tidied, p);
}

static void
pull_cancelled(struct content_note *note)
{
	struct pull *p = (struct pull *)note;

	gc_detach(&p->tidying);
	if (p->call != NULL) {
		log_info("pull %s was cancelled", p->name);
		(void)pull_detach(p, true);
		gc_deleted(p->c);
	}
	p->end = loop_once(p->c->loop, 0, pull_free, p);
}

static int
finish_commit(struct pull *p, struct image_pull_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	uint64_t size = p->manifest_desc.size;
	int r = store_write(p->c->store, &t, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < p->docs.n; i++) {
		struct digest d;
		uint64_t bytes = 0;

		if ((r = digest_parse(p->docs.v[i], &d, e)) < 0)
			return r;
		(void)blobs_has(&p->c->blobs, &d, 0, &bytes);
		if ((r = blob_row_add(p->c, t, p->ns, call_lease(p->call), &d, bytes, NULL, 0, e)) <
		    0)
			return r;
	}
	for (size_t i = 0; i < p->nparts; i++) {
		const struct oci_desc *d = &p->parts[i].desc;

		size += d->size;
		if ((r = blob_row_add(
			 p->c, t, p->ns, call_lease(p->call), &d->digest, d->size, NULL, 0, e)) < 0)
			return r;
	}
	rep->image->size = size;
	if ((r = image_put(p->c, t, p->ns, rep->image, e)) < 0)
		return r;
	FAULT_POINT("content.pull.commit");
	return call_commit(p->call, &t, rep, e);
}

void
pull_finish(struct pull *p)
{
	char platform[PLATFORM_TEXT_MAX];
	struct descriptor target = {
		.media_type = p->target.media_type,
		.digest = p->target.digest.text,
		.size = p->target.size,
	};
	struct image im = {
		.name = p->name,
		.target = &target,
		.labels = p->req->labels,
		.platform = platform_text(
		    p->config.has_platform ? &p->config.platform : &p->platform, platform),
	};
	struct image_pull_rep rep = { .image = &im, .bytes = p->bytes };
	struct err e = ERR_ZERO;
	struct call *call;

	if (finish_commit(p, &rep, &e) < 0) {
		pull_fail(p, &e);
		return;
	}
	FAULT_POINT("content.pull.committed");
	log_info("pulled %s: %s, %llu bytes downloaded", p->name, p->target.digest.text,
	    (unsigned long long)p->bytes);
	pull_tell_rest(p);
	call = pull_detach(p, true);
	call_reply(call, &rep);
	p->end = loop_once(p->c->loop, 0, pull_free, p);
}

/* --- documents ---------------------------------------------------------------------------------------- */

/* The document is in the store: where to go from here. Takes doc. */
static void
doc_accept(struct pull *p, struct oci_doc *doc, const struct oci_desc *desc)
{
	char want[PLATFORM_TEXT_MAX], have[300];
	const struct oci_desc *next;
	struct err e = ERR_ZERO;

	if (p->heads[0].state == ITEM_RESOLVING) {
		p->heads[0].kind = doc->kind == OCI_KIND_INDEX ? "index" : "manifest";
		part_set(&p->heads[0], ITEM_DONE);
	}
	if (!p->have_target) {
		p->target = *desc;
		p->have_target = true;
	}
	if (doc->kind == OCI_KIND_MANIFEST) {
		p->manifest_desc = *desc;
		p->manifest = *doc;
		doc->descs = NULL;
		parts_make(p);
		parts_pump(p);
		return;
	}
	next = oci_doc_choose(doc, &p->platform);
	if (next == NULL)
		(void)err_set(&e, ERR_NOT_FOUND, "image %s has no manifest for %s: it has %s",
		    p->name, platform_text(&p->platform, want),
		    oci_doc_platforms(doc, have, sizeof(have)));
	else if (p->depth++ == TREE_DEPTH_MAX)
		(void)err_set(&e, ERR_INVALID_ARGUMENT,
		    "image %s: indexes in indexes, deeper than %d", p->name, TREE_DEPTH_MAX);
	if (e.code != ERR_NONE)
		pull_fail(p, &e);
	else
		doc_next(p, next->digest.text, next);
}

static void
put_run(void *arg)
{
	struct pull_put *put = arg;

	(void)blobs_write(&put->c->blobs, &put->desc.digest, put->body.data, put->body.len,
	    &put->err); /* looked at when it is done */
}

static void
put_done(void *arg)
{
	struct pull_put *put = arg;
	struct pull *p = put->pull;

	if (p != NULL) {
		struct pull_part *head;

		p->put = NULL;
		p->bytes += put->body.len;
		if (put->err.code == ERR_NONE)
			(void)pull_row(p, &put->desc, &put->err);
		if (put->err.code != ERR_NONE) {
			pull_fail(p, &put->err);
		} else {
			head = head_add(
			    p, put->doc.kind == OCI_KIND_INDEX ? "index" : "manifest", &put->desc);
			head->offset = put->desc.size;
			part_set(head, ITEM_DONE);
			doc_accept(p, &put->doc, &put->desc);
		}
	} else {
		gc_forget(put->c, &put->desc.digest);
	}
	oci_doc_free(&put->doc);
	buf_free(&put->body);
	free_ptr(&put);
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

static void
on_doc(void *arg, const struct fetch_doc_result *res, const struct err *failed)
{
	struct pull *p = arg;
	struct oci_desc want = p->manifest_desc, got = { .size = 0 };
	struct err e = failed != NULL ? *failed : ERR_ZERO;
	struct pull_put *put;

	p->doc = NULL;
	if (e.code == ERR_NONE)
		(void)doc_check(p, &want, res, &got, &e);
	if (e.code != ERR_NONE) {
		pull_fail(p, &e);
		return;
	}
	put = xcalloc(1, sizeof(*put));
	if (oci_doc_parse(buf_str(res->body), res->body->len,
		want.media_type[0] != '\0' ? want.media_type : res->media_type, &put->doc,
		&e) < 0) {
		pull_blame(&e);
		(void)err_wrap(
		    &e, "manifest of %s at registry %s", p->name, remote_host(p->remote));
		free_ptr(&put);
		pull_fail(p, &e);
		return;
	}
	(void)strcpy(got.media_type, put->doc.media_type); /* both have room for any media type */
	set_add(&p->docs, got.digest.text);
	put->c = p->c;
	put->pull = p;
	put->desc = got;
	(void)buf_add(&put->body, res->body->data, res->body->len); /* no limit */
	p->put = put;
	work_add(p->c->work, put_run, put_done, put);
}

/* Is the wanted document here already? true: it was taken (or the pull failed). */
static bool
doc_here(struct pull *p, const struct oci_desc *want)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	struct err ignored = ERR_ZERO; /* not readable: fetched again */
	struct oci_desc got = *want;
	struct pull_part *head;
	uint64_t size = 0;

	if (want->digest.text[0] == '\0' ||
	    !blobs_has(&p->c->blobs, &want->digest, want->size, &size) ||
	    tree_doc(p->c, &want->digest, want->media_type, &doc, &ignored) < 0)
		return false;
	got.size = size;
	(void)strcpy(got.media_type, doc.media_type); /* both have room for any media type */
	set_add(&p->docs, got.digest.text);
	head = head_add(p, doc.kind == OCI_KIND_INDEX ? "index" : "manifest", &got);
	head->offset = size;
	part_set(head, ITEM_EXISTS);
	doc_accept(p, &doc, &got);
	return true;
}

/* what: tag or digest; desc: what is known of it. p->manifest_desc keeps it meanwhile. */
static void
doc_next(struct pull *p, const char *what, const struct oci_desc *desc)
{
	struct oci_desc want = *desc;

	if (doc_here(p, &want))
		return;
	p->manifest_desc = want;
	p->doc = fetch_doc_start(
	    p->c, p->remote, want.digest.text[0] != '\0' ? want.digest.text : what, on_doc, p);
}

static void
on_begin(void *arg)
{
	struct pull *p = arg;
	struct oci_desc first = { .size = 0 };

	p->begin = NULL;
	part_set(head_add(p, "manifest", NULL), ITEM_RESOLVING);
	if (p->ref.has_digest)
		first.digest = p->ref.digest;
	doc_next(p, p->ref.tag, &first);
}

int
content_remote(struct content *c, const struct reference *ref, const struct remote_opts *opts,
    struct arena *a, struct remote **ret, struct err *e)
{
	struct remote_opts o = *opts;

	o.stall_s = c->options.stall_s;
	o.connect_s = c->options.connect_s;
	if (http_load(c->http, e) < 0 ||
	    (o.hosts.n == 0 && hosts_find(c->options.hosts_dir, ref->host, a, &o.hosts, e) < 0))
		return -(int)e->code;
	return remote_new(c->http, ref, &o, ret, e);
}

int
content_on_image_pull(struct content *c, struct call *call, const struct image_pull_req *req,
    struct image_pull_rep *rep, struct err *e)
{
	const struct remote_opts opts = {
		.plain_http = req->plain_http,
		.insecure = req->skip_verify,
		.user = req->username,
		.password = req->password,
		.auths = req->auths,
		.hosts = req->hosts,
	};
	struct platform platform;
	struct reference ref;
	struct remote *remote = NULL;
	struct pull *p;
	int r;

	(void)rep;
	if ((r = reference_parse(req->ref, &ref, e)) < 0 ||
	    (r = ident_check("namespace", call_ns(call), e)) < 0)
		return r;
	platform_host(&platform);
	if (req->platform != NULL && (r = platform_parse(req->platform, &platform, e)) < 0)
		return r;
	if ((r = content_remote(c, &ref, &opts, call_arena(call), &remote, e)) < 0)
		return r;
	p = xcalloc(1, sizeof(*p));
	p->note.cancelled = pull_cancelled;
	p->c = c;
	p->call = call;
	p->req = req;
	p->ns = call_ns(call);
	p->ref = ref;
	p->platform = platform;
	(void)reference_text(&ref, p->name);
	p->next = c->pulls;
	if (c->pulls != NULL)
		c->pulls->prev = p;
	c->pulls = p;
	p->remote = remote;
	call_note_set(call, &p->note);
	p->begin = loop_once(c->loop, 0, on_begin, p);
	return CALL_LATER;
}
