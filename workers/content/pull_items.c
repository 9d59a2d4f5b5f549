/* SPDX-License-Identifier: Apache-2.0 */
/* pull_items - config and layers of a pull: downloading, unpacking, telling. See pull.h. */
#include <string.h>

#include "bus/worker/worker.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/oci/json.h"
#include "workers/content/images.h"
#include "workers/content/pull_private.h"

#define HELD_NS (24LL * 3600 * 1000000000) /* for the next try, should this pull not end */
#define TELL_MS 100
#define TELL_MAX 512 /* parts per message, as declared */

static const char *const state_texts[] = {
	[ITEM_RESOLVING] = "resolving",
	[ITEM_WAITING] = "waiting",
	[ITEM_DOWNLOADING] = "downloading",
	[ITEM_UNPACKING] = "unpacking",
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

static void
on_tell(void *arg)
{
	struct pull *p = arg;
	AUTO(free_ptr)
	struct pull_item *v = xcalloc(p->nheads + p->nparts + 1, sizeof(struct pull_item));
	struct image_pull_progress progress = { .items = { .v = v } };

	p->timer = NULL;
	p->told_ms = clock_mono_ms();
	for (size_t i = 0; i < p->nheads; i++)
		part_tell(&p->heads[i], &progress.items);
	for (size_t i = 0; i < p->nparts; i++)
		part_tell(&p->parts[i], &progress.items);
	if (progress.items.n > 0 && p->call != NULL)
		call_progress(p->call, &progress);
	if (progress.items.n == TELL_MAX)
		pull_tell(p, false);
}

void
pull_tell_rest(struct pull *p)
{
	while (p->timer != NULL) {
		loop_del(&p->timer);
		on_tell(p);
	}
}

void
pull_tell(struct pull *p, bool now)
{
	uint64_t since = clock_mono_ms() - p->told_ms;

	if (p->call == NULL)
		return;
	if (now)
		loop_del(&p->timer);
	if (p->timer == NULL)
		p->timer = loop_once(
		    p->c->loop, now || since >= TELL_MS ? 0 : TELL_MS - since, on_tell, p);
}

void
part_set(struct pull_part *part, enum item_state state)
{
	part->state = state;
	part->dirty = true;
	pull_tell(part->pull, true);
}

struct pull_part *
head_add(struct pull *p, const char *kind, const struct oci_desc *d)
{
	struct pull_part *h = &p->heads[p->nheads];

	MUST(p->nheads < COUNT(p->heads));
	p->nheads++;
	h->pull = p;
	h->kind = kind;
	if (d != NULL)
		h->desc = *d;
	return h;
}

/* --- parts ------------------------------------------------------------------------------------------- */

void
parts_make(struct pull *p)
{
	p->nparts = p->manifest.ndescs + 1;
	p->parts = xcalloc(p->nparts, sizeof(*p->parts));
	for (size_t i = 0; i < p->nparts; i++) {
		struct pull_part *part = &p->parts[i];

		part->pull = p;
		part->kind = i == 0 ? "config" : "layer";
		part->desc = i == 0 ? p->manifest.config : p->manifest.descs[i - 1];
		part->layer = i - 1;
		part_set(part, ITEM_WAITING);
	}
}

static void
on_unpacked(void *arg, const void *rep, const struct err *e)
{
	struct pull_part *part = arg;

	(void)rep;
	part->unpack = NULL;
	if (e != NULL) {
		struct err own = *e;

		(void)err_wrap(&own, "unpack layer %s", part->desc.digest.text);
		pull_fail(part->pull, &own);
		return;
	}
	part->offset = part->desc.size;
	part_set(part, ITEM_DONE);
	parts_pump(part->pull);
}

static void
on_unpacking(void *arg, const void *progress)
{
	struct pull_part *part = arg;
	const struct layer_unpack_progress *now = progress;

	part->offset = now->offset;
	part->dirty = true;
	pull_tell(part->pull, false);
}

static void
unpack_start(struct pull_part *part)
{
	struct pull *p = part->pull;
	size_t i = part->layer;
	struct layer layer = {
		.digest = part->desc.digest.text,
		.diff_id = p->config.diff_ids[i].text,
		.chain_id = p->config.chain_ids[i].text,
		.media_type = part->desc.media_type,
		.size = part->desc.size,
	};
	struct layer_unpack_req req = {
		.layer = &layer,
		.parent = i > 0 ? p->config.chain_ids[i - 1].text : NULL,
	};
	struct client_opts opts = { .ns = p->ns, .on_progress = on_unpacking };
	struct err e = ERR_ZERO;

	part->offset = 0;
	part_set(part, ITEM_UNPACKING);
	if (client_call(p->c->client, &snapshot_layer_unpack_method, &opts, &req, on_unpacked, part,
		&part->unpack, &e) < 0)
		pull_fail(p, &e);
}

static int
config_read(struct pull *p, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	int r = blobs_read(&p->c->blobs, &p->manifest.config.digest, OCI_JSON_MAX, &text, e);

	if (r < 0)
		return r;
	if (oci_config_parse(buf_str(&text), text.len, p->manifest.ndescs, &p->config, e) < 0) {
		pull_blame(e);
		return err_wrap(e, "config %s", p->manifest.config.digest.text);
	}
	p->have_config = true;
	return tree_config_check(p->name, &p->config, &p->platform, e);
}

/* The blob of part is in the store. */
static void
part_here(struct pull_part *part)
{
	struct pull *p = part->pull;
	struct err e = ERR_ZERO;

	part->here = true;
	part->offset = part->desc.size;
	if (part == &p->parts[0]) {
		part_set(part, part->fresh ? ITEM_DONE : ITEM_EXISTS);
		if (config_read(p, &e) < 0)
			pull_fail(p, &e);
	} else if (p->req->no_unpack) {
		part_set(part, part->fresh ? ITEM_DONE : ITEM_EXISTS);
	} else {
		part_set(part, ITEM_WAITING);
	}
}

int
pull_row(struct pull *p, const struct oci_desc *desc, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	int r;

	if ((r = store_write(p->c->store, &t, e)) < 0 ||
	    (r = blob_row_add(p->c, t, p->ns, call_lease(p->call), &desc->digest, desc->size, NULL,
		 clock_real_ns() + HELD_NS, e)) < 0)
		return r;
	return content_commit(p->c, &t, e);
}

static void
on_fetched(void *arg, uint64_t bytes, const struct err *e)
{
	struct pull_part *part = arg;
	struct pull *p = part->pull;
	struct err own = e != NULL ? *e : ERR_ZERO;

	part->fetch = NULL;
	p->downloading--;
	p->bytes += bytes;
	part->fresh = true;
	FAULT_POINT("content.pull.fetched");
	if (own.code == ERR_NONE)
		(void)pull_row(p, &part->desc, &own);
	if (own.code != ERR_NONE) {
		pull_fail(p, &own);
		return;
	}
	part_here(part);
	parts_pump(p);
}

static void
on_moved(void *arg, uint64_t written)
{
	struct pull_part *part = arg;

	part->offset = written;
	part->dirty = true;
	pull_tell(part->pull, false);
}

void
parts_pump(struct pull *p)
{
	unsigned most = p->req->max_downloads > 0 && p->req->max_downloads <= 64
			    ? (unsigned)p->req->max_downloads
			    : p->c->options.max_downloads;
	size_t left = 0;

	for (size_t i = 0; i < p->nparts && p->call != NULL; i++) {
		struct pull_part *part = &p->parts[i];
		uint64_t size = 0;

		if (part->state != ITEM_WAITING)
			continue;
		if (!part->here && blobs_has(&p->c->blobs, &part->desc.digest, 0, &size) &&
		    size == part->desc.size)
			part_here(part);
		if (p->call == NULL)
			return;
		/* The config is small and the layers need it: it does not count. */
		if (!part->here && p->downloading < most + (p->parts[0].fetch != NULL)) {
			p->downloading++;
			part->started_at = clock_real_ns();
			part_set(part, ITEM_DOWNLOADING);
			part->fetch = fetch_start(p->c, p->remote, &part->desc.digest,
			    part->desc.size, on_fetched, on_moved, part);
		}
		if (part->here && part->state == ITEM_WAITING && p->have_config)
			unpack_start(part);
	}
	for (size_t i = 0; i < p->nparts; i++)
		left += p->parts[i].state != ITEM_DONE && p->parts[i].state != ITEM_EXISTS;
	if (left == 0 && p->call != NULL)
		pull_finish(p);
}

void
parts_stop(struct pull *p, bool keep)
{
	for (size_t i = 0; i < p->nparts; i++) {
		fetch_cancel(&p->parts[i].fetch, keep);
		client_cancel(&p->parts[i].unpack);
	}
}
