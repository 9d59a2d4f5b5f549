/* SPDX-License-Identifier: Apache-2.0 */
/* push - an image_push call; see push_private.h. */
#include <string.h>

#include "bus/worker/worker.h"
#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"
#include "workers/content/pull.h"
#include "workers/content/push_private.h"
#include "workers/content/sources.h"

#define TELL_MAX 512 /* parts per message, as declared */
#define PARTS_MAX 16384
#define MOUNTS_MAX 8
#define CHUNK_LEAST 4096

static const char *const state_texts[] = {
	[PUSH_WAITING] = "waiting",
	[PUSH_UPLOADING] = "uploading",
	[PUSH_EXISTS] = "exists",
	[PUSH_MOUNTED] = "mounted",
	[PUSH_DONE] = "done",
};

/* --- telling -------------------------------------------------------------------------------------------- */

static void
on_tell(void *arg)
{
	struct push *p = arg;
	AUTO(free_ptr) struct pull_item *v = xcalloc(TELL_MAX, sizeof(*v));
	struct image_push_progress progress = { .items = { .v = v } };

	for (size_t i = 0; i < p->nparts && progress.items.n < TELL_MAX; i++) {
		struct push_part *part = p->parts[i];

		if (!part->dirty)
			continue;
		part->dirty = false;
		v[progress.items.n++] = (struct pull_item){
			.kind = part->kind,
			.digest = part->desc.digest.text,
			.state = state_texts[part->state],
			.offset = part->at,
			.total = part->desc.size,
		};
	}
	if (progress.items.n > 0 && p->call != NULL)
		call_progress(p->call, &progress);
	if (progress.items.n == TELL_MAX)
		push_tell(p, false);
}

void
push_tell(struct push *p, bool now)
{
	if (p->call != NULL)
		teller_ask(&p->teller, now);
}

void
push_part_set(struct push_part *part, enum push_state state)
{
	part->state = state;
	part->dirty = true;
	push_tell(part->push, true);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void
push_free(void *arg)
{
	struct push *p = arg;

	for (size_t i = 0; i < p->nparts; i++) {
		part_stop(p->parts[i]);
		free_ptr(&p->parts[i]);
	}
	free_ptr(&p->parts);
	remote_free(&p->remote);
	free_ptr(&p);
}

/* Nothing of it runs any more; it is freed in a later turn, as this may be a callback of its parts. */
static struct call *
push_detach(struct push *p)
{
	struct call *call = p->call;

	p->call = NULL;
	loop_del(&p->begin);
	for (size_t i = 0; i < p->nparts; i++)
		part_stop(p->parts[i]);
	teller_stop(&p->teller);
	p->end = loop_once(p->c->loop, 0, push_free, p);
	return call;
}

void
push_fail(struct push *p, const struct err *e)
{
	struct err own = *e;

	if (p->call == NULL)
		return;
	(void)err_wrap(&own, "push %s", p->name);
	call_fail(push_detach(p), &own);
}

static void
push_cancelled(struct content_note *note)
{
	struct push *p = (struct push *)note;

	if (p->call == NULL)
		return;
	log_info("push %s was cancelled", p->name);
	(void)push_detach(p);
}

/* The rows say where the blobs are now. */
static int
sources_note(struct push *p, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	int r = store_write(p->c->store, &t, e);

	for (size_t i = 0; r == 0 && i < p->nparts; i++)
		r = source_add(
		    p->c, t, p->ns, &p->parts[i]->desc.digest, p->ref.host, p->ref.path, e);
	return r < 0 ? r : content_commit(p->c, &t, e);
}

static void
push_finish(struct push *p)
{
	struct descriptor target = {
		.media_type = p->target.media_type,
		.digest = p->target.digest.text,
		.size = p->target.size,
	};
	const struct image_push_rep rep = { .name = p->name, .target = &target, .bytes = p->bytes };
	struct err e = ERR_ZERO;

	/* The image may have been removed meanwhile; it was sent all the same. */
	if (sources_note(p, &e) < 0)
		log_debug("push %s: %s", p->name, e.msg);
	log_info("pushed %s: %s, %llu bytes sent", p->name, p->target.digest.text,
	    (unsigned long long)p->bytes);
	teller_rest(&p->teller);
	call_reply(p->call, &rep);
	(void)push_detach(p);
}

/* --- what is sent, in which order ------------------------------------------------------------------------ */

static bool
finished(const struct push_part *part)
{
	return part->state >= PUSH_EXISTS;
}

static bool
running(const struct push_part *part)
{
	return part->req != NULL || part->timer != NULL;
}

void
push_pump(struct push *p)
{
	size_t most = p->req->max_uploads > 0 && p->req->max_uploads <= 64
			  ? p->req->max_uploads
			  : p->c->options.max_downloads;
	size_t busy = 0, left = 0;

	for (size_t i = 0; i < p->nparts; i++)
		busy += running(p->parts[i]);
	for (size_t i = 0; i < p->nparts && p->call != NULL; i++) {
		struct push_part *part = p->parts[i];

		if (finished(part))
			continue;
		/* A document waits for all that stands before it, as it may name it. */
		if (!running(part) && busy < most && (!part->document || left == 0)) {
			busy++;
			part_start(part);
		}
		left++;
	}
	if (left == 0 && p->call != NULL)
		push_finish(p);
}

static struct push_part *
part_add(struct push *p, const char *kind, const struct oci_desc *d, struct err *e)
{
	struct push_part *part;

	for (size_t i = 0; i < p->nparts; i++)
		if (digest_equal(&p->parts[i]->desc.digest, &d->digest))
			return p->parts[i];
	if (p->nparts == PARTS_MAX || !blobs_has(&p->c->blobs, &d->digest, d->size, NULL)) {
		(void)err_set(e, p->nparts == PARTS_MAX ? ERR_RESOURCE_EXHAUSTED : ERR_NOT_FOUND,
		    "image %s: %s", p->req->image != NULL ? p->req->image : p->name,
		    p->nparts == PARTS_MAX ? "more than 16384 blobs"
					   : "not all of it is here: push what is for one platform "
					     "(--platform), or pull it with --all-platforms");
		return NULL;
	}
	part = xcalloc(1, sizeof(*part));
	part->push = p;
	part->kind = kind;
	part->desc = *d;
	part->fd = -1;
	part->dirty = true;
	if ((p->nparts & (p->nparts - 1)) == 0) /* 0, 1, 2, 4, .. are full */
		p->parts = xrealloc(
		    p->parts, (p->nparts == 0 ? 1 : 2 * p->nparts) * sizeof(struct push_part *));
	p->parts[p->nparts++] = part;
	return part;
}

/* All below d, then d itself. */
static int
walk(struct push *p, const struct oci_desc *d, unsigned depth, struct err *e)
{
	AUTO(oci_doc_free) struct oci_doc doc = { .ndescs = 0 };
	struct push_part *part;
	bool index;
	int r = tree_doc(p->c, &d->digest, d->media_type, &doc, e);

	if (r == -ERR_NOT_FOUND)
		return part_add(p, "manifest", d, e) == NULL ? -(int)e->code : r;
	if (r < 0)
		return r;
	index = doc.kind == OCI_KIND_INDEX;
	if (index && depth == 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "image %s: indexes in indexes, deeper than %d", p->name, TREE_DEPTH_MAX);
	for (size_t i = 0; r == 0 && i < doc.ndescs; i++) {
		if (index)
			r = walk(p, &doc.descs[i], depth - 1, e);
		else if (part_add(p, "layer", &doc.descs[i], e) == NULL)
			r = -(int)e->code;
	}
	if (r == 0 && !index && part_add(p, "config", &doc.config, e) == NULL)
		r = -(int)e->code;
	if (r < 0)
		return r;
	part = part_add(p, index ? "index" : "manifest", d, e);
	if (part == NULL)
		return -(int)e->code;
	(void)strcpy(part->desc.media_type, doc.media_type); /* both have room for any media type */
	part->document = true;
	return 0;
}

/* The image, and of it what is for the platform that is asked for. */
static int
target_find(struct push *p, struct txn *t, struct err *e)
{
	AUTO(tree_free) struct tree tree = { .doc = { .ndescs = 0 } };
	struct platform platform;
	struct image im;
	int r = image_find(t, p->ns, p->req->image != NULL ? p->req->image : p->req->ref,
	    call_arena(p->call), &im, NULL, e);

	if (r < 0 || (r = image_target(&im, &p->target, e)) < 0 || p->req->platform == NULL)
		return r;
	if ((r = platform_parse(p->req->platform, &platform, e)) < 0 ||
	    (r = tree_choose(p->c, im.name, &p->target, &platform, &tree, e)) < 0)
		return r;
	p->target = tree.manifest;
	return 0;
}

/* Notes where the registry has blobs already; the repositories are handed to the remote. */
static void
mounts_find(struct push *p, struct txn *t, struct strs *ret)
{
	struct arena *a = call_arena(p->call);

	ret->v = arena_calloc(a, MOUNTS_MAX, sizeof(*ret->v));
	for (size_t i = 0; i < p->nparts; i++) {
		struct push_part *part = p->parts[i];
		uint32_t k = 0;
		const char *from = part->document ? NULL
						  : source_find(t, p->ns, &part->desc.digest,
							p->ref.host, p->ref.path, a);

		while (from != NULL && k < ret->n && strcmp(ret->v[k], from) != 0)
			k++;
		if (from == NULL || k == MOUNTS_MAX)
			continue;
		if (k == ret->n)
			ret->v[ret->n++] = from;
		part->from = from;
	}
}

static int
prepare(struct push *p, struct err *e)
{
	const struct image_push_req *req = p->req;
	AUTO(store_abort) struct txn *t = NULL;
	struct remote_opts opts = {
		.push = true,
		.plain_http = req->plain_http,
		.insecure = req->skip_verify,
		.user = req->username,
		.password = req->password,
		.auths = req->auths,
		.hosts = req->hosts,
	};
	int r;

	if ((r = store_read(p->c->store, &t, e)) < 0 || (r = target_find(p, t, e)) < 0 ||
	    (r = walk(p, &p->target, TREE_DEPTH_MAX, e)) < 0)
		return r;
	p->parts[p->nparts - 1]->target = p->ref.tag[0] != '\0';
	if (p->ref.has_digest && !digest_equal(&p->ref.digest, &p->target.digest))
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "%s names another digest than the image has: %s", p->name,
		    p->target.digest.text);
	mounts_find(p, t, &opts.mounts);
	return content_remote(p->c, &p->ref, &opts, call_arena(p->call), &p->remote, e);
}

static void
on_begin(void *arg)
{
	struct push *p = arg;

	p->begin = NULL;
	push_tell(p, true);
	push_pump(p);
}

int
content_on_image_push(struct content *c, struct call *call, const struct image_push_req *req,
    struct image_push_rep *rep, struct err *e)
{
	struct reference ref;
	struct push *p;
	int r;

	(void)rep;
	if ((r = reference_parse(req->ref, &ref, e)) < 0)
		return r;
	if (req->chunk != 0 && req->chunk < CHUNK_LEAST)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "a chunk has at least %d bytes", CHUNK_LEAST);
	p = xcalloc(1, sizeof(*p));
	p->note.cancelled = push_cancelled;
	p->c = c;
	p->call = call;
	p->req = req;
	p->ns = call_ns(call);
	p->ref = ref;
	p->chunk = req->chunk != 0 ? req->chunk : UINT64_MAX;
	p->teller = (struct teller){ .loop = c->loop, .tell = on_tell, .arg = p };
	(void)reference_text(&ref, p->name);
	r = prepare(p, e);
	if (r < 0) {
		push_free(p);
		return r;
	}
	call_note_set(call, &p->note);
	p->begin = loop_once(c->loop, 0, on_begin, p);
	return CALL_LATER;
}
