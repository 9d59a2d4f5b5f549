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
#include "workers/content/sources.h"

#define ROWS_MS 50			   /* rows wait so long for others */
#define HELD_NS (24LL * 3600 * 1000000000) /* for the next try, should this pull not end */

bool
pull_holds_blob(const struct content *c, const char *ns, const char *digest)
{
	for (struct pull *p = c->pulls; p != NULL; p = p->next) {
		if (ns != NULL && strcmp(ns, p->ns) != 0)
			continue;
		if (set_has(&p->docs, digest))
			return true;
		for (size_t i = 0; i < p->nparts; i++)
			if (strcmp(p->parts[i]->desc.digest.text, digest) == 0)
				return true;
	}
	return false;
}

bool
pull_holds_chain(const struct content *c, const char *ns, const char *chain_id)
{
	for (struct pull *p = c->pulls; p != NULL; p = p->next)
		for (size_t i = 0; strcmp(ns, p->ns) == 0 && i < p->nmanifests; i++) {
			const struct oci_config *config = &p->manifests[i]->config;

			for (size_t k = 0; k < config->nlayers; k++)
				if (strcmp(config->chain_ids[k].text, chain_id) == 0)
					return true;
		}
	return false;
}

void
pull_ingests(const struct content *c, const char *ns, struct arena *a, uint32_t max,
    struct ingest_info_list *list)
{
	for (struct pull *p = c->pulls; p != NULL; p = p->next)
		for (size_t i = 0; strcmp(ns, p->ns) == 0 && i < p->nparts; i++) {
			const struct pull_part *part = p->parts[i];

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

bool
pull_may_use(const struct pull *p, const struct digest *d, uint64_t size, uint64_t *ret_size)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct err ignored = ERR_ZERO; /* then it is downloaded */

	if (!p->c->options.isolated)
		return blobs_has(&p->c->blobs, d, size, ret_size);
	return store_read(p->c->store, &t, &ignored) == 0 &&
	       blob_usable(p->c, t, p->ns, d, size, ret_size);
}

void
pull_blame(struct err *e)
{
	if (e->code == ERR_INVALID_ARGUMENT)
		e->code = ERR_DATA_LOSS;
}

/* --- rows ------------------------------------------------------------------------------------------- */

/* The blob's row, with the label that says from where it came. */
static int
row_add(struct pull *p, struct txn *t, const struct digest *d, uint64_t size, int64_t held_until,
    struct err *e)
{
	int r = blob_row_add(p->c, t, p->ns, call_lease(p->call), d, size, NULL, held_until, e);

	return r < 0 ? r : source_add(p->c, t, p->ns, d, p->ref.host, p->ref.path, e);
}

/* Those of a list that have none yet. */
static int
rows_add(struct pull *p, struct txn *t, struct pull_part **list, size_t n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		if (list[i]->no_row)
			r = row_add(p, t, &list[i]->desc.digest, list[i]->desc.size,
			    clock_real_ns() + HELD_NS, e);
	for (size_t i = 0; r == 0 && i < n; i++)
		list[i]->no_row = false;
	return r;
}

static int
rows_write(struct pull *p, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	int r;

	if ((r = store_write(p->c->store, &t, e)) < 0 ||
	    (r = rows_add(p, t, p->heads, p->nheads, e)) < 0 ||
	    (r = rows_add(p, t, p->parts, p->nparts, e)) < 0)
		return r;
	return content_commit(p->c, &t, e);
}

static void
on_rows(void *arg)
{
	struct pull *p = arg;
	struct err e = ERR_ZERO;

	p->rows = NULL;
	if (rows_write(p, &e) < 0)
		pull_fail(p, &e);
}

void
pull_came(struct pull_part *part)
{
	struct pull *p = part->pull;

	part->no_row = true;
	if (p->rows == NULL)
		p->rows = loop_once(p->c->loop, ROWS_MS, on_rows, p);
}

/* At the end: a blob without a row would be there until the next start. */
static void
rows_flush(struct pull *p)
{
	struct err e = ERR_ZERO;

	if (p->rows == NULL)
		return;
	loop_del(&p->rows);
	if (rows_write(p, &e) < 0)
		log_warn("%s", e.msg);
}

/* --- the end ----------------------------------------------------------------------------------------- */

static void
pull_free(void *arg)
{
	struct pull *p = arg;

	for (size_t i = 0; i < p->nmanifests; i++) {
		oci_doc_free(&p->manifests[i]->doc);
		oci_config_free(&p->manifests[i]->config);
		free_ptr(&p->manifests[i]->layers);
		free_ptr(&p->manifests[i]);
	}
	for (size_t i = 0; i < p->nparts; i++)
		free_ptr(&p->parts[i]);
	for (size_t i = 0; i < p->nheads; i++)
		free_ptr(&p->heads[i]);
	free_ptr(&p->manifests);
	free_ptr(&p->parts);
	free_ptr(&p->heads);
	free_ptr(&p->wants);
	free_ptr(&p->platforms);
	buf_free(&p->problems);
	set_free(&p->docs);
	remote_free(&p->remote);
	free_ptr(&p);
}

/* Nothing of it runs any more and nobody finds it. The call goes to the caller, who sees to its answer
 * and to pull_free in a later turn: this may be called from callbacks of its own parts. */
static struct call *
pull_detach(struct pull *p, bool keep)
{
	struct call *call = p->call;

	rows_flush(p);
	p->call = NULL;
	loop_del(&p->begin);
	docs_stop(p);
	parts_stop(p, keep);
	teller_stop(&p->teller);
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
		r = blob_row_hold(p->c, t, p->ns, p->docs.v[i], 0, &e);
	for (size_t i = 0; r == 0 && i < p->nparts; i++)
		r = blob_row_hold(p->c, t, p->ns, p->parts[i]->desc.digest.text, 0, &e);
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
pull_settle(struct pull *p)
{
	if (p->puts != NULL)
		return;
	if (p->req->verify_only) { /* it took nothing */
		on_tidied(p, NULL, NULL);
		return;
	}
	if (p->failure.code != ERR_UNAVAILABLE)
		pull_release(p);
	p->tidying = gc_run(p->c, on_tidied, p);
}

void
pull_fail(struct pull *p, const struct err *e)
{
	if (p->call == NULL)
		return;
	p->failure = *e;
	p->failed = pull_detach(p, e->code == ERR_UNAVAILABLE);
	pull_settle(p);
}

static void
pull_cancelled(struct content_note *note)
{
	struct pull *p = (struct pull *)note;

	gc_detach(&p->tidying);
	docs_leave(p);
	if (p->call != NULL) {
		log_info("pull %s was cancelled", p->name);
		(void)pull_detach(p, true);
		gc_deleted(p->c);
	}
	p->end = loop_once(p->c->loop, 0, pull_free, p);
}

void
pull_reply(struct pull *p, const struct image_pull_rep *rep)
{
	struct call *call;

	teller_rest(&p->teller);
	call = pull_detach(p, true);
	call_reply(call, rep);
	p->end = loop_once(p->c->loop, 0, pull_free, p);
}

static int
finish_commit(struct pull *p, struct image_pull_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	int r = store_write(p->c->store, &t, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < p->docs.n; i++) {
		struct digest d;
		uint64_t bytes = 0;

		if ((r = digest_parse(p->docs.v[i], &d, e)) < 0)
			return r;
		(void)blobs_has(&p->c->blobs, &d, 0, &bytes);
		if ((r = row_add(p, t, &d, bytes, 0, e)) < 0)
			return r;
	}
	for (size_t i = 0; i < p->nparts; i++)
		if ((r = row_add(p, t, &p->parts[i]->desc.digest, p->parts[i]->desc.size, 0, e)) <
		    0)
			return r;
	/* Labels of an earlier pull may be of fewer platforms. */
	if ((r = tree_label(p->c, t, p->ns, rep->image->target, e)) < 0 ||
	    (r = image_put(p->c, t, p->ns, rep->image, e)) < 0)
		return r;
	FAULT_POINT("content.pull.commit");
	if ((r = call_commit(p->call, &t, rep, e)) == 0)
		loop_del(&p->rows); /* they were among these */
	return r;
}

/* The manifest that stands for the image: the first one that was asked for. */
static const struct pull_manifest *
manifest_first(const struct pull *p)
{
	for (size_t i = 0; i < p->nmanifests; i++)
		if (p->manifests[i]->wanted != 0)
			return p->manifests[i];
	return p->manifests[0];
}

void
pull_image(const struct pull *p, struct image *im, struct descriptor *target, char *platform)
{
	const struct pull_manifest *m = manifest_first(p);

	*target = (struct descriptor){
		.media_type = p->target.media_type,
		.digest = p->target.digest.text,
		.size = p->target.size,
	};
	*im = (struct image){
		.name = p->name,
		.target = target,
		.labels = p->req->labels,
		.size = m->desc.size + m->doc.config.size,
		.platform = platform_text(
		    m->config.has_platform ? &m->config.platform : &p->platforms[0], platform),
	};
	for (size_t i = 0; i < m->doc.ndescs; i++)
		im->size += m->doc.descs[i].size;
}

void
pull_finish(struct pull *p)
{
	char platform[PLATFORM_TEXT_MAX];
	struct descriptor target;
	struct image im;
	struct image_pull_rep rep = { .image = &im, .bytes = p->bytes };
	struct err e = ERR_ZERO;

	pull_image(p, &im, &target, platform);
	if (finish_commit(p, &rep, &e) < 0) {
		pull_fail(p, &e);
		return;
	}
	FAULT_POINT("content.pull.committed");
	log_info("pulled %s: %s, %llu bytes downloaded", p->name, p->target.digest.text,
	    (unsigned long long)p->bytes);
	pull_reply(p, &rep);
}

static void
on_begin(void *arg)
{
	struct pull *p = arg;

	p->begin = NULL;
	part_set(head_add(p, "manifest", NULL), ITEM_RESOLVING);
	docs_next(p);
}

/* What is asked for, and the reference as the first document to look at. */
static int
pull_prepare(struct pull *p, struct err *e)
{
	const struct image_pull_req *req = p->req;
	const char *one[] = { req->platform };
	struct strs texts = req->platform != NULL ? (struct strs){ one, 1 } : req->platforms;
	int r;

	p->platforms = xcalloc(texts.n + 1, sizeof(*p->platforms));
	platform_host(&p->platforms[0]);
	p->nplatforms = texts.n > 0 && !req->all_platforms ? texts.n : 1;
	for (uint32_t i = 0; i < texts.n && !req->all_platforms; i++)
		if ((r = platform_parse(texts.v[i], &p->platforms[i], e)) < 0)
			return r;
	p->wants = xcalloc(1, sizeof(*p->wants));
	p->nwants = p->wants_room = 1;
	p->wants[0].wanted = p->nplatforms == 64 ? ~0ULL : (1ULL << p->nplatforms) - 1;
	if (p->ref.has_digest)
		p->wants[0].desc.digest = p->ref.digest;
	return 0;
}

int
content_remote(struct content *c, const struct reference *ref, const struct remote_opts *opts,
    struct arena *a, struct remote **ret, struct err *e)
{
	struct remote_opts o = *opts;

	/* Behind the last byte a registry still has to look at all that it was sent. */
	o.stall_s = o.push ? 4 * c->options.stall_s : c->options.stall_s;
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
	struct reference ref;
	struct pull *p;
	int r;

	(void)rep;
	if ((r = reference_parse(req->ref, &ref, e)) < 0 ||
	    (r = ident_check("namespace", call_ns(call), e)) < 0)
		return r;
	p = xcalloc(1, sizeof(*p));
	p->note.cancelled = pull_cancelled;
	p->c = c;
	p->call = call;
	p->req = req;
	p->ns = call_ns(call);
	p->ref = ref;
	p->teller = (struct teller){ .loop = c->loop, .tell = pull_told, .arg = p };
	(void)reference_text(&ref, p->name);
	if ((r = pull_prepare(p, e)) < 0 ||
	    (r = content_remote(c, &ref, &opts, call_arena(call), &p->remote, e)) < 0) {
		pull_free(p);
		return r;
	}
	p->next = c->pulls;
	if (c->pulls != NULL)
		c->pulls->prev = p;
	c->pulls = p;
	call_note_set(call, &p->note);
	p->begin = loop_once(c->loop, 0, on_begin, p);
	return CALL_LATER;
}
