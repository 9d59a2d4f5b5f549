/* SPDX-License-Identifier: Apache-2.0 */
/* main - the content worker on the workers' skeleton: options, start, tick, end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "workers/content/content.h"
#include "workers/content/drafts.h"
#include "workers/content/fetch.h"
#include "workers/content/gc.h"
#include "workers/content/http.h"
#include "workers/content/ingest.h"

#define ACTOR content
#define ACTOR_DEF "schemas/content.def"
#define ACTOR_STATE struct content
#include "bus/worker/handlers.h"

#define REST_TICKS 10 /* quiet seconds before connections are closed */
#define EXPIRE_TICKS 3600

static int
option_read(
    struct worker *w, const char *key, unsigned min, unsigned max, unsigned *value, struct err *e)
{
	const char *text = worker_option(w, key);
	unsigned long n;
	char *end;

	if (text == NULL)
		return 0;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || n < min || n > max)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "option %s = \"%s\": a number from %u to %u is wanted", key, text, min, max);
	*value = (unsigned)n;
	return 0;
}

static int
sharing_read(struct worker *w, bool *isolated, struct err *e)
{
	const char *text = worker_option(w, "content-sharing");

	if (text == NULL || strcmp(text, "shared") == 0 || strcmp(text, "isolated") == 0)
		*isolated = text != NULL && strcmp(text, "isolated") == 0;
	else
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "option content-sharing = \"%s\": shared or isolated is wanted", text);
	return 0;
}

static int
on_open(struct worker *w, void **ret_state, struct err *e)
{
	struct content *c = xcalloc(1, sizeof(*c));

	(void)e;
	c->worker = w;
	c->dirfd = c->drafts_fd = -1;
	c->options = CONTENT_OPTIONS_DEFAULT;
	*ret_state = c;
	return 0;
}

static int
on_start(struct worker *w, void *state, struct err *e)
{
	struct content *c = state;
	AUTO(free_ptr) char *path = xasprintf("%s/content", worker_root(w));
	struct content_options *o = &c->options;
	int r;

	if ((r = option_read(w, "max-concurrent-downloads", 1, 64, &o->max_downloads, e)) < 0 ||
	    (r = option_read(w, "connections-per-blob", 1, FETCH_STREAMS_MAX, &o->streams, e)) <
		0 ||
	    (r = option_read(w, "download-retries", 0, 100, &o->retries, e)) < 0 ||
	    (r = option_read(w, "stall-timeout", 1, 3600, &o->stall_s, e)) < 0 ||
	    (r = option_read(w, "connect-timeout", 1, 3600, &o->connect_s, e)) < 0)
		return r;
	if (worker_option(w, "hosts-dir") != NULL)
		o->hosts_dir = worker_option(w, "hosts-dir");
	if ((r = sharing_read(w, &o->isolated, e)) < 0)
		return r;
	c->loop = worker_loop(w);
	r = content_up(c, path, worker_board(w), e);
	if (r < 0)
		return r;
	worker_store(w, c->store);
	return 0;
}

static void
on_ready(struct worker *w, void *state)
{
	struct content *c = state;

	c->client = worker_client(w);
	gc_ready(c);
}

static void
on_tick(struct worker *w, void *state)
{
	struct content *c = state;
	struct err e = ERR_ZERO;

	(void)w;
	c->quiet = c->pulls == NULL ? c->quiet + 1 : 0;
	if (c->quiet == REST_TICKS) {
		ingest_rest(&c->blobs);
		http_rest(c->http);
	}
	drafts_tick(c);
	if (++c->ticks % EXPIRE_TICKS != 0)
		return;
	if (ingest_expire(&c->blobs, 24 * 3600, &e) < 0)
		log_warn("%s", e.msg);
}

static void
on_cancelled(void *state, struct call *call)
{
	struct content_note *note = call_note(call);

	(void)state;
	if (note != NULL)
		note->cancelled(note);
}

static void
on_close(void *state)
{
	struct content *c = state;

	content_down(c);
	free_ptr(&c);
}

int
main(int argc, char **argv)
{
	static const struct worker_spec spec = {
		.proc = PROC_CONTENT,
		.methods = content_methods,
		.thunks = content_thunks,
		.nmethods = COUNT(content_thunks),
		.open = on_open,
		.start = on_start,
		.ready = on_ready,
		.tick = on_tick,
		.cancelled = on_cancelled,
		.close = on_close,
	};

	return worker_main(argc, argv, &spec);
}
