/* SPDX-License-Identifier: Apache-2.0 */
/* blobs - see blobs.h */
#include "ctr/blobs.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctr/progress.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/ident.h"
#include "lib/oci/json.h"

#define LEASE_S (24 * 3600)
#define GC_REF "containerd.io/gc.ref."

/* --- watching --------------------------------------------------------------------------------------- */

void
blobs_watch(struct ctr *c, bool wanted)
{
	if (wanted && isatty(STDERR_FILENO))
		c->progress = progress_new(c->loop, stderr, false);
}

void
blobs_watched(struct ctr *c, bool done)
{
	progress_end(&c->progress, done);
}

void
blobs_tell(struct ctr *c, const char *name, const char *state, uint64_t offset, uint64_t total)
{
	struct pull_item item = {
		.kind = "blob", .digest = name, .state = state, .offset = offset, .total = total
	};
	const struct pull_item_list one = { .v = &item, .n = 1 };

	if (c->progress != NULL && total > BLOB_PIECE)
		progress_update(c->progress, &one);
}

/* --- reading -------------------------------------------------------------------------------------- */

static int
size_check(const struct oci_desc *d, uint64_t size, struct err *e)
{
	return size == d->size
		   ? 0
		   : err_set(e, ERR_DATA_LOSS, "blob %s has %llu bytes, not %llu", d->digest.text,
			 (unsigned long long)size, (unsigned long long)d->size);
}

int
blob_check(struct ctr *c, const struct oci_desc *d, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct blob_ref req = { .digest = d->digest.text };
	struct blob rep;
	int r = ctr_call(c, &content_blob_stat_method, &req, &a, &rep, e);

	return r < 0 ? r : size_check(d, rep.size, e);
}

/* rep's bytes live in a. */
static int
piece_get(struct ctr *c, const struct oci_desc *d, uint64_t offset, struct arena *a,
    struct blob_read_rep *rep, struct err *e)
{
	const struct blob_read_req req = { .digest = d->digest.text, .offset = offset };
	int r;

	if ((r = ctr_call(c, &content_blob_read_method, &req, a, rep, e)) < 0 ||
	    (r = size_check(d, rep->total, e)) < 0)
		return r;
	return rep->data.n > 0 || offset == d->size
		   ? 0
		   : err_set(e, ERR_DATA_LOSS, "blob %s ends early", d->digest.text);
}

int
blob_piece(struct ctr *c, const struct oci_desc *d, uint64_t offset, struct buf *out, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct blob_read_rep rep;
	int r = piece_get(c, d, offset, &a, &rep, e);

	if (r == 0 && buf_add(out, rep.data.p, rep.data.n) < 0)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "blob %s is too large", d->digest.text);
	return r;
}

int
blob_copy(struct ctr *c, const struct oci_desc *d, blob_sink_fn *sink, void *arg, struct err *e)
{
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < d->size;) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		struct blob_read_rep rep;

		r = piece_get(c, d, at, &a, &rep, e);
		if (r == 0)
			r = sink(arg, rep.data.p, rep.data.n, e);
		if (r == 0)
			at += rep.data.n;
		blobs_tell(c, d->digest.text, at < d->size ? "exporting" : "done", at, d->size);
	}
	return r;
}

int
blob_text(struct ctr *c, const struct oci_desc *d, struct buf *out, struct err *e)
{
	struct digest got;
	int r = 0;

	if (d->size > OCI_JSON_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "document %s has %llu bytes: at most %u are allowed", d->digest.text,
		    (unsigned long long)d->size, OCI_JSON_MAX);
	while (r == 0 && out->len < d->size)
		r = blob_piece(c, d, out->len, out, e);
	if (r < 0)
		return r;
	digest_of(d->digest.alg, buf_str(out), out->len, &got);
	return digest_equal(&got, &d->digest)
		   ? 0
		   : err_set(e, ERR_DATA_LOSS, "blob %s is damaged: its digest is %s",
			 d->digest.text, got.text);
}

/* --- writing -------------------------------------------------------------------------------------- */

struct upload {
	struct ctr *c;
	char ref[16 + 2 * 12];
	const char *want; /* NULL: any digest */
	const struct blob_source *src;
	uint64_t at;
};

/* 1: the blob is here already. */
static int
upload_add(struct upload *u, const void *p, size_t n, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct ingest_write_req req = { .ref = u->ref,
		.offset = u->at,
		.data = { .p = p, .n = (uint32_t)n },
		.total = u->src->size == BLOB_TO_END ? 0 : u->src->size,
		.expected = u->want };
	struct ingest_info rep;
	int r = ctr_call(u->c, &content_ingest_write_method, &req, &a, &rep, e);

	if (r == -ERR_ALREADY_EXISTS) {
		*e = ERR_ZERO;
		return 1;
	}
	u->at += n;
	return r;
}

static int
upload_commit(struct upload *u, struct oci_desc *ret, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct ingest_commit_req req = {
		.ref = u->ref, .size = u->at, .expected = u->want, .labels = u->src->labels
	};
	struct blob rep;
	int r = ctr_call(u->c, &content_ingest_commit_method, &req, &a, &rep, e);

	if (r < 0 || ret == NULL)
		return r;
	ret->size = rep.size;
	return digest_parse(rep.digest, &ret->digest, e);
}

static void
upload_abort(struct upload *u)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct ingest_ref req = { .ref = u->ref };
	struct err ignored = ERR_ZERO; /* its lease takes it away as well, a little later */
	struct nothing rep;
	int caught = u->c->caught;

	u->c->caught = 0;
	(void)ctr_call(u->c, &content_ingest_abort_method, &req, &a, &rep, &ignored);
	u->c->caught = caught;
}

/* The next piece of the source, less than a whole one at its end only. */
static int
upload_fill(struct upload *u, char *piece, size_t *ret_n, struct err *e)
{
	size_t n = 0, got = 1;
	int r = 0;

	while (r == 0 && got > 0 && n < BLOB_PIECE) {
		r = u->src->read(u->src->arg, piece + n, BLOB_PIECE - n, &got, e);
		n += got;
	}
	*ret_n = n;
	if (r == 0 && u->src->size != BLOB_TO_END && u->at + n > u->src->size)
		return err_set(e, ERR_INVALID_ARGUMENT, "more than the %llu bytes it should have",
		    (unsigned long long)u->src->size);
	return r;
}

/* 1: it is here already. */
static int
upload_run(struct upload *u, struct err *e)
{
	AUTO(free_ptr) char *piece = xcalloc(1, BLOB_PIECE);
	uint64_t size = u->src->size;
	size_t n = BLOB_PIECE;
	int r = 0;

	/* The first one is sent even when it is empty: it makes the ingest. */
	for (bool first = true; r == 0 && n == BLOB_PIECE; first = false) {
		r = upload_fill(u, piece, &n, e);
		if (r == 0 && (n > 0 || first))
			r = upload_add(u, piece, n, e);
		if (size != BLOB_TO_END)
			blobs_tell(u->c, u->want != NULL ? u->want : u->src->name,
			    r < 0	    ? "failed"
			    : r == 1	    ? "exists"
			    : u->at == size ? "done"
					    : "importing",
			    u->at, size);
	}
	if (r == 0 && size != BLOB_TO_END && u->at != size)
		return err_set(e, ERR_INVALID_ARGUMENT, "%llu bytes of %llu",
		    (unsigned long long)u->at, (unsigned long long)size);
	return r;
}

int
blob_put(struct ctr *c, const struct digest *want, const struct blob_source *src,
    struct oci_desc *ret, struct err *e)
{
	struct upload u = { .c = c, .want = want == NULL ? NULL : want->text, .src = src };
	char random[2 * 12 + 1];
	int r;

	ident_random(random, 12);
	(void)snprintf(u.ref, sizeof(u.ref), "ctr-%s", random);
	r = upload_run(&u, e);
	if (r == 0)
		r = upload_commit(&u, ret, e);
	else if (r == 1 && ret != NULL)
		ret->digest = *want, ret->size = src->size;
	if (r < 0)
		upload_abort(&u);
	return r < 0 ? r : 0;
}

struct text_source {
	const struct buf *text;
	size_t at;
};

static int
text_read(void *arg, void *to, size_t n, size_t *ret_n, struct err *e)
{
	struct text_source *s = arg;
	size_t left = s->text->len - s->at;

	(void)e;
	*ret_n = n < left ? n : left;
	memcpy(to, buf_str(s->text) + s->at, *ret_n);
	s->at += *ret_n;
	return 0;
}

int
blob_put_text(struct ctr *c, const struct buf *text, const struct kvs *labels, struct oci_desc *ret,
    struct err *e)
{
	struct text_source s = { .text = text };
	struct blob_source src = { .read = text_read, .arg = &s, .size = text->len };
	struct digest d;

	if (labels != NULL)
		src.labels = *labels;
	digest_of(DIGEST_SHA256, buf_str(text), text->len, &d);
	return blob_put(c, &d, &src, ret, e);
}

/* --- labels and leases ---------------------------------------------------------------------------- */

/* What a blob refers to, being put together. */
struct refer {
	struct arena arena;
	struct blob_update_req req;
};

/* n: how many there will be at most. */
static void
refer_begin(struct refer *ref, const struct oci_desc *d, size_t n)
{
	ref->arena = ARENA_ZERO;
	ref->req = (struct blob_update_req){ .digest = d->digest.text,
		.labels = { .v = arena_calloc(&ref->arena, n, sizeof(struct kv)) },
		.fields = { .v = arena_calloc(&ref->arena, n, sizeof(char *)) } };
}

/* what: "content.config". */
static void
refer_to(struct refer *ref, const char *what, const struct digest *d)
{
	const char *field = arena_printf(&ref->arena, "labels." GC_REF "%s", what);
	struct blob_update_req *req = &ref->req;

	req->labels.v[req->labels.n++] = (struct kv){ .k = field + strlen("labels."),
		.v = d->text };
	req->fields.v[req->fields.n++] = field;
}

static int
refer_end(struct refer *ref, struct ctr *c, struct err *e)
{
	struct blob rep;
	int r = ctr_call(c, &content_blob_update_method, &ref->req, &ref->arena, &rep, e);

	arena_free(&ref->arena);
	return r;
}

/* Numbered as they stand in the document: so platforms that come later get numbers of their own. */
static void
refer_all(struct refer *ref, const char *what, const struct oci_doc *doc, const bool *taken)
{
	char name[32];

	for (size_t i = 0; i < doc->ndescs; i++) {
		(void)snprintf(name, sizeof(name), "content.%s.%zu", what, i);
		if (taken == NULL || taken[i])
			refer_to(ref, name, &doc->descs[i].digest);
	}
}

int
blob_refer_index(struct ctr *c, const struct oci_desc *d, const struct oci_doc *doc,
    const bool *taken, struct err *e)
{
	struct refer ref;

	refer_begin(&ref, d, doc->ndescs + 1);
	refer_all(&ref, "m", doc, taken);
	return refer_end(&ref, c, e);
}

int
blob_refer_manifest(struct ctr *c, const struct oci_desc *d, const struct oci_doc *doc,
    const struct digest *chain_id, struct err *e)
{
	static const char *const snapshotters[] = {
#define SNAPSHOTTER(NAME, name, doc) "snapshot." #name,
#include "schemas/snapshotters.def"
	};
	struct refer ref;
	int r;

	refer_begin(&ref, d, doc->ndescs + 1);
	refer_to(&ref, "content.config", &doc->config.digest);
	refer_all(&ref, "l", doc, NULL);
	r = refer_end(&ref, c, e);
	if (r < 0 || chain_id == NULL)
		return r;
	refer_begin(&ref, &doc->config, COUNT(snapshotters));
	for (unsigned i = 0; i < COUNT(snapshotters); i++)
		refer_to(&ref, snapshotters[i], chain_id);
	return refer_end(&ref, c, e);
}

int
lease_begin(struct ctr *c, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	char end[32];
	time_t at = (time_t)(clock_real_ns() / 1000000000) + LEASE_S;
	struct tm tm;
	struct kv expire = { .k = "containerd.io/gc.expire", .v = end };
	const struct lease_create_req req = { .labels = { .v = &expire, .n = 1 } };
	struct lease rep;
	int r;

	(void)strftime(end, sizeof(end), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
	r = ctr_call(c, &content_lease_create_method, &req, &a, &rep, e);
	if (r == 0)
		c->lease = xstrdup(rep.id);
	return r;
}

int
lease_end(struct ctr *c, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(free_ptr) char *id = TAKE(c->lease);
	const struct lease_delete_req req = { .id = id, .sync = true };
	int caught = c->caught;
	struct nothing rep;
	int r;

	if (id == NULL)
		return 0;
	c->caught = 0; /* who interrupts wants this done, and may interrupt again */
	r = ctr_call(c, &content_lease_delete_method, &req, &a, &rep, e);
	if (caught != 0)
		c->caught = caught;
	return r;
}
