/* SPDX-License-Identifier: Apache-2.0 */
/* pull_items - configs and layers of a pull: downloading, unpacking, telling. See pull.h. */
#include <string.h>

#include "bus/worker/worker.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "lib/oci/json.h"
#include "workers/content/images.h"
#include "workers/content/ingest.h"
#include "workers/content/pull_private.h"

#define PARTS_MAX 16384 /* blobs of one image, all its platforms */
#define TELL_MAX 512	/* parts per message, as declared */

static const char *const state_texts[] = {
	[ITEM_RESOLVING] = "resolving",
	[ITEM_WAITING] = "waiting",
	[ITEM_DOWNLOADING] = "downloading",
	[ITEM_VERIFYING] = "verifying",
	[ITEM_UNPACKING] = "unpacking",
	[ITEM_MISSING] = "missing",
	[ITEM_EXISTS] = "exists",
	[ITEM_DONE] = "done",
};

/* --- progress --------------------------------------------------------------------------------------- */

static void
part_tell(struct pull_part *part, struct pull_item_list *to)
{
	struct pull *p = part->pull;

	if (!part->dirty || to->n == TELL_MAX)
		return;
	part->dirty = false;
	to->v[to->n++] = (struct pull_item){
		.kind = part->kind,
		.digest = part->desc.digest.text[0] != '\0' ? part->desc.digest.text : p->name,
		.state = state_texts[part->state],
		.offset = part->offset,
		.total = part->desc.size,
	};
}

void
pull_told(void *arg)
{
	struct pull *p = arg;
	AUTO(free_ptr)
	struct pull_item *v = xcalloc(p->nheads + p->nparts + 1, sizeof(struct pull_item));
	struct image_pull_progress progress = { .items = { .v = v } };

	for (size_t i = 0; i < p->nheads; i++)
		part_tell(p->heads[i], &progress.items);
	for (size_t i = 0; i < p->nparts; i++)
		part_tell(p->parts[i], &progress.items);
	if (progress.items.n > 0 && p->call != NULL)
		call_progress(p->call, &progress);
	if (progress.items.n == TELL_MAX)
		pull_tell(p, false);
}

void
pull_tell(struct pull *p, bool now)
{
	if (p->call != NULL)
		teller_ask(&p->teller, now);
}

void
part_set(struct pull_part *part, enum item_state state)
{
	part->state = state;
	part->dirty = true;
	pull_tell(part->pull, true);
}

static struct pull_part *
part_new(
    struct pull *p, struct pull_part ***list, size_t *n, const char *kind, const struct oci_desc *d)
{
	struct pull_part *part = xcalloc(1, sizeof(*part));

	if ((*n & (*n - 1)) == 0) /* 0, 1, 2, 4, .. are full */
		*list = xrealloc(*list, (*n == 0 ? 1 : 2 * *n) * sizeof(struct pull_part *));
	(*list)[(*n)++] = part;
	part->pull = p;
	part->kind = kind;
	if (d != NULL)
		part->desc = *d;
	return part;
}

struct pull_part *
head_add(struct pull *p, const char *kind, const struct oci_desc *d)
{
	return part_new(p, &p->heads, &p->nheads, kind, d);
}

/* --- parts ------------------------------------------------------------------------------------------- */

/* The part of this digest, made when it is new; NULL when there are too many. */
static struct pull_part *
part_for(struct pull *p, const char *kind, const struct oci_desc *d)
{
	for (size_t i = 0; i < p->nparts; i++)
		if (digest_equal(&p->parts[i]->desc.digest, &d->digest))
			return p->parts[i];
	if (p->nparts == PARTS_MAX)
		return NULL;
	return part_new(p, &p->parts, &p->nparts, kind, d);
}

int
parts_add(struct pull *p, struct pull_manifest *m, struct err *e)
{
	size_t n = m->doc.ndescs;

	m->layers = xcalloc(n + 1, sizeof(*m->layers));
	for (size_t i = 0; i <= n; i++) {
		const struct oci_desc *d = i == 0 ? &m->doc.config : &m->doc.descs[i - 1];
		struct pull_part *part = part_for(p, i == 0 ? "config" : "layer", d);

		if (part == NULL)
			return err_set(e, ERR_RESOURCE_EXHAUSTED, "image %s: more than %d blobs",
			    p->name, PARTS_MAX);
		if (part->desc.size != d->size)
			return err_set(e, ERR_DATA_LOSS,
			    "image %s: blob %s is said to have %llu bytes and %llu", p->name,
			    d->digest.text, (unsigned long long)part->desc.size,
			    (unsigned long long)d->size);
		if (i == 0) {
			m->config_part = part;
			continue;
		}
		m->layers[i - 1] = (struct pull_layer){ .manifest = m, .n = i - 1, .part = part };
		if (m->unpack) {
			part->unpacks++;
			p->unpacking++;
		}
	}
	for (size_t i = 0; i < p->nparts; i++)
		if (p->parts[i]->state == ITEM_RESOLVING)
			part_set(p->parts[i], ITEM_WAITING);
	return 0;
}

/* All that was to be done with the part's blob is done. */
static void
part_done(struct pull_part *part)
{
	part->offset = part->desc.size;
	part_set(part, part->fresh || strcmp(part->kind, "layer") == 0 ? ITEM_DONE : ITEM_EXISTS);
}

/* --- unpacking ---------------------------------------------------------------------------------------- */

static void
on_unpacked(void *arg, const void *rep, const struct err *e)
{
	struct pull_layer *l = arg;
	struct pull_part *part = l->part;
	struct pull *p = part->pull;

	(void)rep;
	l->call = NULL;
	if (e != NULL) {
		struct err own = *e;

		(void)err_wrap(&own, "unpack layer %s", part->desc.digest.text);
		pull_fail(p, &own);
		return;
	}
	p->unpacking--;
	client_cancel(&l->follow);
	if (--part->unpacks == 0)
		part_done(part);
	parts_pump(p);
}

static void
on_unpacking(void *arg, const void *progress)
{
	struct pull_part *part = ((struct pull_layer *)arg)->part;
	const struct layer_unpack_progress *now = progress;

	part->unpacked = now->offset;
	if (part->state != ITEM_UNPACKING) /* it comes still: what it shows is how far that is */
		return;
	part->offset = now->offset;
	part->dirty = true;
	pull_tell(part->pull, false);
}

static void
layer_name(const struct pull_layer *l, struct layer *ret)
{
	const struct oci_config *config = &l->manifest->config;

	*ret = (struct layer){
		.digest = l->part->desc.digest.text,
		.diff_id = config->diff_ids[l->n].text,
		.chain_id = config->chain_ids[l->n].text,
		.media_type = l->manifest->doc.descs[l->n].media_type,
		.size = l->part->desc.size,
	};
}

static const char *
layer_parent(const struct pull_layer *l)
{
	return l->n > 0 ? l->manifest->config.chain_ids[l->n - 1].text : NULL;
}

/* Nothing depends on it: what could not be unpacked on the way is when it is here. */
static void
on_followed(void *arg, const void *rep, const struct err *e)
{
	struct pull_layer *l = arg;

	(void)rep;
	l->follow = NULL;
	if (e == NULL)
		return;
	l->part->unpacked = 0;
	log_debug("layer %s is not unpacked while it comes: %s", l->part->desc.digest.text, e->msg);
	if (e->code == ERR_UNAVAILABLE) /* the download began again, perhaps */
		parts_pump(l->part->pull);
}

/* Has snapshot unpack the layer while it comes, when its download has a slot on the board. */
static void
follow_start(struct pull_layer *l)
{
	struct pull *p = l->part->pull;
	struct client_opts opts = { .ns = p->ns, .on_progress = on_unpacking };
	struct layer layer;
	struct ingest_place place;
	struct layer_follow_req req = {
		.layer = &layer, .parent = layer_parent(l), .snapshotter = p->req->snapshotter
	};
	struct err e = ERR_ZERO;

	if (!fetch_place(l->part->fetch, &place) || place.take == l->followed)
		return;
	layer_name(l, &layer);
	req.ingest = place.name;
	req.slot = place.slot;
	req.take = l->followed = place.take;
	if (client_call(p->c->client, &snapshot_layer_follow_method, &opts, &req, on_followed, l,
		&l->follow, &e) < 0)
		log_debug("%s", e.msg);
}

static void
unpack_start(struct pull_layer *l)
{
	struct pull_part *part = l->part;
	struct pull *p = part->pull;
	struct layer layer;
	struct layer_unpack_req req = {
		.layer = &layer,
		.parent = layer_parent(l),
		.snapshotter = p->req->snapshotter,
		.take = part->take,
	};
	struct client_opts opts = { .ns = p->ns, .on_progress = on_unpacking };
	struct err e = ERR_ZERO;

	layer_name(l, &layer);
	l->started = true;
	part->offset = part->unpacked;
	part_set(part, ITEM_UNPACKING);
	if (client_call(p->c->client, &snapshot_layer_unpack_method, &opts, &req, on_unpacked, l,
		&l->call, &e) < 0)
		pull_fail(p, &e);
}

/* Starts the layers of m that may be unpacked. */
static void
unpack_pump(struct pull_manifest *m)
{
	for (size_t i = 0; m->unpack && m->have_config && i < m->doc.ndescs; i++) {
		if (m->pull->call == NULL)
			return;
		if (m->layers[i].part->here && !m->layers[i].started)
			unpack_start(&m->layers[i]);
		else if (m->layers[i].part->fetch != NULL && m->layers[i].follow == NULL)
			follow_start(&m->layers[i]);
	}
}

/* --- configs ------------------------------------------------------------------------------------------- */

/* Is the config for one of the platforms that m was chosen for? */
static int
platform_check(struct pull_manifest *m, struct err *e)
{
	struct pull *p = m->pull;
	int r = 0;

	for (unsigned i = 0; i < p->nplatforms; i++) {
		if ((m->wanted >> i & 1) == 0)
			continue;
		r = tree_config_check(p->name, &m->config, &p->platforms[i], e);
		if (r == 0)
			break;
	}
	if (r == 0 || !p->req->all_platforms)
		return r;
	*e = ERR_ZERO; /* all of them: not one for this host */
	p->unpacking -= m->unpack ? (unsigned)m->doc.ndescs : 0;
	for (size_t i = 0; m->unpack && i < m->doc.ndescs; i++) {
		struct pull_part *part = m->layers[i].part;

		if (--part->unpacks == 0 && part->here)
			part_done(part);
	}
	m->unpack = false;
	return 0;
}

static int
config_read(struct pull_manifest *m, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	int r = blobs_read(&m->pull->c->blobs, &m->doc.config.digest, OCI_JSON_MAX, &text, e);

	if (r < 0)
		return r;
	if (oci_config_parse(buf_str(&text), text.len, m->doc.ndescs, &m->config, e) < 0) {
		pull_blame(e);
		return err_wrap(e, "config %s", m->doc.config.digest.text);
	}
	m->have_config = true;
	return platform_check(m, e);
}

/* The configs that are here and were asked for. */
static int
configs_read(struct pull *p, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->nmanifests; i++) {
		struct pull_manifest *m = p->manifests[i];

		if (m->wanted != 0 && !m->have_config && m->config_part->here)
			r = config_read(m, e);
	}
	return r;
}

/* --- downloads ----------------------------------------------------------------------------------------- */

/* A config is small and the layers need it: it does not count among the downloads. */
static bool
counts(const struct pull_part *part)
{
	return strcmp(part->kind, "config") != 0;
}

/* The blob of part is in the store. */
static void
part_here(struct pull_part *part)
{
	part->here = true;
	part->offset = part->desc.size;
	if (part->unpacks > 0)
		part_set(part, ITEM_WAITING);
	else
		part_set(part, part->fresh ? ITEM_DONE : ITEM_EXISTS);
}

static void
on_fetched(void *arg, uint64_t bytes, const struct err *e)
{
	struct pull_part *part = arg;
	struct pull *p = part->pull;
	struct err own = e != NULL ? *e : ERR_ZERO;

	part->take = fetch_take(part->fetch);
	part->fetch = NULL;
	p->downloading -= counts(part);
	p->bytes += bytes;
	part->fresh = true;
	FAULT_POINT("content.pull.fetched");
	if (own.code != ERR_NONE) {
		pull_fail(p, &own);
		return;
	}
	pull_came(part);
	part_here(part);
	parts_pump(p);
}

static void
on_moved(void *arg, uint64_t written)
{
	struct pull_part *part = arg;

	part->offset = written;
	if (written == part->desc.size && part->state == ITEM_DOWNLOADING) {
		part_set(part, ITEM_VERIFYING);
		return;
	}
	part->dirty = true;
	pull_tell(part->pull, false);
}

static void
download_start(struct pull_part *part)
{
	struct pull *p = part->pull;

	p->downloading += counts(part);
	part->started_at = clock_real_ns();
	part_set(part, ITEM_DOWNLOADING);
	part->fetch = fetch_start(p->c, &(struct fetch_ask){ .ns = p->ns,
					    .remote = p->remote,
					    .digest = &part->desc.digest,
					    .size = part->desc.size,
					    .done = on_fetched,
					    .moved = on_moved,
					    .arg = part });
}

/* What may be done with a part that waits. */
static void
part_pump(struct pull_part *part, unsigned most)
{
	struct pull *p = part->pull;
	uint64_t size = 0;

	if (part->state != ITEM_WAITING || part->here)
		return;
	if (p->req->verify_only) {
		if (p->downloading < most)
			verify_start(part);
		return;
	}
	if (pull_may_use(p, &part->desc.digest, 0, &size) && size == part->desc.size)
		part_here(part);
	else if (!counts(part) || p->downloading < most)
		download_start(part);
}

static size_t
parts_left(const struct pull *p)
{
	size_t left = p->unpacking + (p->puts != NULL);

	for (size_t i = 0; i < p->nparts; i++)
		left += p->parts[i]->state != ITEM_DONE && p->parts[i]->state != ITEM_EXISTS &&
			p->parts[i]->state != ITEM_MISSING;
	return left;
}

void
parts_pump(struct pull *p)
{
	unsigned most = p->req->max_downloads > 0 && p->req->max_downloads <= 64
			    ? (unsigned)p->req->max_downloads
			    : p->c->options.max_downloads;
	struct err e = ERR_ZERO;

	for (size_t i = 0; i < p->nparts && p->call != NULL; i++)
		part_pump(p->parts[i], most);
	if (p->call != NULL && !p->req->verify_only && configs_read(p, &e) < 0)
		pull_fail(p, &e);
	for (size_t i = 0; i < p->nmanifests && p->call != NULL; i++)
		unpack_pump(p->manifests[i]);
	if (p->call == NULL || p->at < p->nwants || parts_left(p) > 0)
		return;
	if (p->req->verify_only)
		verify_finish(p);
	else
		pull_finish(p);
}

void
parts_stop(struct pull *p, bool keep)
{
	for (size_t i = 0; i < p->nparts; i++) {
		fetch_cancel(&p->parts[i]->fetch, keep);
		verify_stop(p->parts[i]);
	}
	for (size_t i = 0; i < p->nmanifests; i++)
		for (size_t k = 0;
		     p->manifests[i]->layers != NULL && k < p->manifests[i]->doc.ndescs; k++) {
			client_cancel(&p->manifests[i]->layers[k].call);
			client_cancel(&p->manifests[i]->layers[k].follow);
		}
}
