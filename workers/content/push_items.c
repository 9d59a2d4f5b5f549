/* SPDX-License-Identifier: Apache-2.0 */
/* push_items - one blob or document on its way to a registry; see push_private.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "workers/content/fetch.h"
#include "workers/content/push_private.h"

#define SMALL (1ULL << 20)     /* bytes of a blob that are sent in one request */
#define CHUNK_LEAST (64 << 10) /* who takes no request of so many bytes takes none */

static void step_run(struct push_part *part);

/* --- the end of a part --------------------------------------------------------------------------------- */

void
part_stop(struct push_part *part)
{
	remote_cancel(&part->req);
	loop_del(&part->timer);
	fd_close(&part->fd);
	free_ptr(&part->location);
}

static void
part_done(struct push_part *part, enum push_state state)
{
	struct push *p = part->push;

	part_stop(part);
	part->at = part->desc.size;
	push_part_set(part, state);
	push_pump(p);
}

static void
part_failed(struct push_part *part, const struct err *e)
{
	struct err own = *e;

	(void)err_wrap(&own, "%s %s", part->kind, part->desc.digest.text);
	push_fail(part->push, &own);
}

static void
on_pause_over(void *arg)
{
	struct push_part *part = arg;

	part->timer = NULL;
	step_run(part);
}

/* The same step again after a while, unless it was tried too often without a new byte there. */
static void
step_again(struct push_part *part, const struct remote_result *res)
{
	struct push *p = part->push;

	if (res->again != REMOTE_RETRY || ++part->attempts > p->c->options.retries) {
		part_failed(part, &res->err);
		return;
	}
	log_debug("push %s: attempt %u: %s", part->desc.digest.text, part->attempts, res->err.msg);
	part->timer = loop_once(
	    p->c->loop, fetch_pause_ms(part->attempts, res->after_s), on_pause_over, part);
}

/* --- requests -------------------------------------------------------------------------------------------- */

static ssize_t
on_read(void *arg, void *to, size_t n)
{
	struct push_part *part = arg;
	uint64_t left = part->end - part->at;
	ssize_t got = pread(part->fd, to, n < left ? n : (size_t)left, (off_t)part->at);

	if (got <= 0) /* the file is whole: it was verified; so the disk fails */
		return -1;
	part->at += (uint64_t)got;
	part->dirty = true;
	push_tell(part->push, false);
	return got;
}

static void
on_rewind(void *arg)
{
	struct push_part *part = arg;

	part->at = part->start;
}

static long
status_of(const struct remote_result *res)
{
	return res->http == NULL ? 0 : http_status(res->http);
}

/* Where the upload goes on. false: the registry does not say, or names a place it may not. */
static bool
location_take(struct push_part *part, const struct remote_result *res)
{
	char *to = remote_location(part->push->remote, res);

	if (to == NULL)
		return false;
	free_ptr(&part->location);
	part->location = to;
	return true;
}

/* "0-1023": 1024 bytes are there; "0-0" says nothing, as registries mean both none and one by it. */
static uint64_t
range_taken(const struct remote_result *res)
{
	const char *range = http_header(res->http, "Range", 0);
	unsigned long long last = 0;
	char end;

	if (range != NULL && strncmp(range, "bytes=", 6) == 0)
		range += 6;
	if (range == NULL || strlen(range) > 40 || sscanf(range, "0-%20llu%c", &last, &end) != 1)
		return 0;
	return last == 0 ? 0 : last + 1;
}

/* --- CHECK ---------------------------------------------------------------------------------------------- */

static void
on_checked(void *arg, const struct remote_result *res)
{
	struct push_part *part = arg;
	const char *digest;

	part->req = NULL;
	if (res->err.code == ERR_NONE) {
		digest = http_header(res->http, "Docker-Content-Digest", 0);
		/* A tag may mean another image until now. */
		if (!part->target ||
		    (digest != NULL && strcmp(digest, part->desc.digest.text) == 0)) {
			part_done(part, PUSH_EXISTS);
			return;
		}
	} else if (res->err.code != ERR_NOT_FOUND) {
		step_again(part, res);
		return;
	}
	part->attempts = 0;
	part->step = part->document ? STEP_COMMIT : STEP_OPEN;
	step_run(part);
}

static void
check(struct push_part *part)
{
	struct push *p = part->push;
	const struct remote_ask ask = {
		.method = HTTP_HEAD,
		.kind = part->document ? "manifests" : "blobs",
		.what = part->target ? p->ref.tag : part->desc.digest.text,
		.accept = part->document ? part->desc.media_type : NULL,
		.done = on_checked,
		.arg = part,
	};

	part->req = remote_start(p->remote, &ask);
}

/* --- OPEN ----------------------------------------------------------------------------------------------- */

static void
on_opened(void *arg, const struct remote_result *res)
{
	struct push_part *part = arg;
	const char *min;
	struct err e = ERR_ZERO;

	part->req = NULL;
	if (res->err.code != ERR_NONE) {
		/* It may not read there, or does not know how: then it is sent. */
		if (part->from != NULL && res->again != REMOTE_RETRY) {
			part->from = NULL;
			step_run(part);
			return;
		}
		step_again(part, res);
		return;
	}
	if (status_of(res) == 201) {
		part_done(part, part->from != NULL ? PUSH_MOUNTED : PUSH_DONE);
		return;
	}
	if (!location_take(part, res)) {
		(void)err_set(&e, ERR_UNAVAILABLE, "registry %s does not say where to upload to",
		    remote_host(part->push->remote));
		part_failed(part, &e);
		return;
	}
	min = http_header(res->http, "OCI-Chunk-Min-Length", 0);
	part->chunk_min = min == NULL ? 0 : strtoull(min, NULL, 10);
	part->start = part->at = part->end = 0;
	part->step = STEP_SEND;
	step_run(part);
}

static void
open_upload(struct push_part *part)
{
	AUTO(free_ptr) char *from = part->from == NULL ? NULL : http_escape(part->from);
	AUTO(free_ptr)
	char *what = from == NULL ? xstrdup("")
				  : xasprintf("?mount=%s&from=%s", part->desc.digest.text, from);
	const struct remote_ask ask = {
		.method = HTTP_POST,
		.kind = "blobs/uploads",
		.what = what,
		.done = on_opened,
		.arg = part,
	};

	part->req = remote_start(part->push->remote, &ask);
}

/* --- SEND, STATUS, COMMIT ------------------------------------------------------------------------------- */

/* The registry has so many bytes: what next? */
static void
taken(struct push_part *part, uint64_t n)
{
	if (n > part->best) {
		part->best = n;
		part->attempts = 0;
	}
	part->start = part->at = part->end = n < part->desc.size ? n : part->desc.size;
	part->step = part->start == part->desc.size ? STEP_COMMIT : STEP_SEND;
	step_run(part);
}

/* The upload is gone: another one, from the first byte. */
static bool
upload_lost(const struct push_part *part, const struct remote_result *res)
{
	long status = status_of(res);

	return status == 404 || status == 410 || status == 416 ||
	       (part->step == STEP_STATUS && res->again != REMOTE_RETRY);
}

/* 413: the registry, or a proxy before it, wants less at once. */
static bool
chunk_halve(struct push_part *part, const struct remote_result *res)
{
	uint64_t half = (part->end - part->start) / 2;

	if (status_of(res) != 413 || half < CHUNK_LEAST)
		return false;
	if (half < part->push->chunk)
		part->push->chunk = half;
	part->step = STEP_STATUS;
	step_run(part);
	return true;
}

/* A request of the upload failed: how far did it come? */
static void
upload_failed(struct push_part *part, const struct remote_result *res)
{
	struct remote_result again = *res;
	bool asked = part->step == STEP_STATUS;

	if (chunk_halve(part, res))
		return;
	if (!upload_lost(part, res)) {
		if (res->again == REMOTE_RETRY)
			part->step = STEP_STATUS;
		step_again(part, res);
		return;
	}
	part->step = STEP_OPEN;
	again.again = REMOTE_RETRY;
	if (asked) /* what led to the question has been counted */
		step_run(part);
	else
		step_again(part, &again);
}

static void
on_status(void *arg, const struct remote_result *res)
{
	struct push_part *part = arg;

	part->req = NULL;
	if (res->err.code != ERR_NONE) {
		upload_failed(part, res);
		return;
	}
	(void)location_take(part, res); /* the old one is good as well */
	taken(part, range_taken(res));
}

static void
on_sent(void *arg, const struct remote_result *res)
{
	struct push_part *part = arg;
	uint64_t n;

	part->req = NULL;
	if (res->err.code != ERR_NONE) {
		upload_failed(part, res);
		return;
	}
	part->push->bytes += part->end - part->start;
	(void)location_take(part, res); /* the old one is good as well */
	n = range_taken(res);
	taken(part, n > part->start && n < part->end ? n : part->end);
}

static void
on_committed(void *arg, const struct remote_result *res)
{
	struct push_part *part = arg;
	const char *digest;
	struct err e = ERR_ZERO;

	part->req = NULL;
	if (res->err.code != ERR_NONE && part->document) {
		step_again(part, res);
		return;
	}
	if (res->err.code != ERR_NONE) {
		upload_failed(part, res);
		return;
	}
	part->push->bytes += part->end - part->start;
	digest = http_header(res->http, "Docker-Content-Digest", 0);
	if (digest != NULL && strncmp(digest, "sha256:", 7) == 0 &&
	    strncmp(part->desc.digest.text, "sha256:", 7) == 0 &&
	    strcmp(digest, part->desc.digest.text) != 0) {
		(void)err_set(&e, ERR_DATA_LOSS, "registry %s took it for another one: %.80s",
		    remote_host(part->push->remote), digest);
		part_failed(part, &e);
		return;
	}
	part_done(part, PUSH_DONE);
}

/* One request of an upload: bytes [start, end), of which the registry has all before start. */
static void
send_request(struct push_part *part, enum http_method method, const char *url, uint64_t end,
    const char *header, remote_done_fn *done)
{
	const char *headers[] = { "Content-Type: application/octet-stream", header };
	const struct remote_ask ask = {
		.method = method,
		.kind = "blobs/uploads",
		.what = "",
		.url = url,
		.headers = { headers, header == NULL ? 1 : 2 },
		.read = end > part->start ? on_read : NULL,
		.rewind = on_rewind,
		.size = end - part->start,
		.done = done,
		.arg = part,
	};

	part->end = end;
	part->req = remote_start(part->push->remote, &ask);
}

static void
commit(struct push_part *part)
{
	AUTO(free_ptr) char *digest = http_escape(part->desc.digest.text);
	AUTO(free_ptr)
	char *url = xasprintf("%s%sdigest=%s", part->location,
	    strchr(part->location, '?') == NULL ? "?" : "&", digest);

	send_request(part, HTTP_PUT, url, part->desc.size, NULL, on_committed);
}

/* What is small goes with the commit: registries forget what came of a PUT that broke. */
static void
send_chunk(struct push_part *part)
{
	uint64_t chunk = part->push->chunk > part->chunk_min ? part->push->chunk : part->chunk_min;
	uint64_t left = part->desc.size - part->start, end;
	AUTO(free_ptr) char *range = NULL;

	if (part->state != PUSH_UPLOADING)
		push_part_set(part, PUSH_UPLOADING);
	if (part->start == 0 && left <= chunk && left <= SMALL) {
		commit(part);
		return;
	}
	end = part->start + (left < chunk ? left : chunk);
	if (left < part->desc.size ||
	    end < part->desc.size) /* a whole one goes as docker sends it */
		range = xasprintf("Content-Range: %llu-%llu", (unsigned long long)part->start,
		    (unsigned long long)end - 1);
	send_request(part, HTTP_PATCH, part->location, end, range, on_sent);
}

static void
ask_status(struct push_part *part)
{
	const struct remote_ask ask = {
		.kind = "blobs/uploads",
		.what = "",
		.url = part->location,
		.done = on_status,
		.arg = part,
	};

	part->req = remote_start(part->push->remote, &ask);
}

static void
put_document(struct push_part *part)
{
	struct push *p = part->push;
	AUTO(free_ptr) char *type = xasprintf("Content-Type: %s", part->desc.media_type);
	const char *headers[] = { type };
	const struct remote_ask ask = {
		.method = HTTP_PUT,
		.kind = "manifests",
		.what = part->target ? p->ref.tag : part->desc.digest.text,
		.headers = { headers, 1 },
		.read = on_read,
		.rewind = on_rewind,
		.size = part->desc.size,
		.done = on_committed,
		.arg = part,
	};

	push_part_set(part, PUSH_UPLOADING);
	part->start = 0;
	part->end = part->desc.size;
	part->req = remote_start(p->remote, &ask);
}

static void
step_run(struct push_part *part)
{
	switch (part->step) {
	case STEP_CHECK:
		check(part);
		break;
	case STEP_OPEN:
		open_upload(part);
		break;
	case STEP_SEND:
		send_chunk(part);
		break;
	case STEP_STATUS:
		ask_status(part);
		break;
	case STEP_COMMIT:
		if (part->document)
			put_document(part);
		else
			commit(part);
		break;
	}
}

void
part_start(struct push_part *part)
{
	struct push *p = part->push;
	struct err e = ERR_ZERO;

	if (blobs_open_one(&p->c->blobs, &part->desc.digest, &part->fd, &e) < 0) {
		part_failed(part, &e);
		return;
	}
	part->step = STEP_CHECK;
	step_run(part);
}
