/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_doc - manifests and indexes, in memory; see fetch.h. */
#include "lib/base/auto.h"
#include "lib/oci/document.h"
#include "lib/oci/json.h"
#include "workers/content/fetch.h"

#define ACCEPT OCI_INDEX ", " OCI_MANIFEST ", " DOCKER_INDEX ", " DOCKER_MANIFEST ", */*;q=0.1"

struct fetch_doc {
	struct content *c;
	struct remote *remote;
	struct remote_req *req;
	struct loop_source *timer;
	char *what;
	struct buf body;
	unsigned attempts;
	fetch_doc_done_fn *done;
	void *arg;
};

static void doc_ask(struct fetch_doc *f);

static void
on_pause_over(void *arg)
{
	struct fetch_doc *f = arg;

	f->timer = NULL;
	doc_ask(f);
}

static enum http_take
on_body(void *arg, struct http_req *h, const void *p, size_t n)
{
	struct fetch_doc *f = arg;

	(void)h;
	return buf_add(&f->body, p, n) < 0 ? HTTP_STOP : HTTP_TAKEN;
}

static void
on_answer(void *arg, const struct remote_result *res)
{
	struct fetch_doc *f = arg;
	struct fetch_doc_result ok = { .body = &f->body };
	struct err e = res->err;

	f->req = NULL;
	if (res->stopped)
		(void)err_set(&e, ERR_RESOURCE_EXHAUSTED,
		    "registry %s: manifest %s is larger than %u bytes", remote_host(f->remote),
		    f->what, OCI_JSON_MAX);
	if (e.code != ERR_NONE && !res->stopped && res->again == REMOTE_RETRY &&
	    ++f->attempts <= f->c->options.retries) {
		f->timer = loop_once(
		    f->c->loop, fetch_pause_ms(f->attempts, res->after_s), on_pause_over, f);
		return;
	}
	if (e.code != ERR_NONE) {
		f->done(f->arg, NULL, &e);
	} else {
		ok.place = res->place;
		ok.media_type = http_header(res->http, "Content-Type", 0);
		ok.digest_header = http_header(res->http, "Docker-Content-Digest", 0);
		f->done(f->arg, &ok, NULL);
	}
	fetch_doc_cancel(&f);
}

static void
doc_ask(struct fetch_doc *f)
{
	struct remote_ask ask = {
		.kind = "manifests",
		.what = f->what,
		.accept = ACCEPT,
		.body = on_body,
		.done = on_answer,
		.arg = f,
	};

	buf_free(&f->body);
	f->body = BUF_LIMIT(OCI_JSON_MAX);
	f->req = remote_start(f->remote, &ask);
}

struct fetch_doc *
fetch_doc_start(
    struct content *c, struct remote *r, const char *what, fetch_doc_done_fn *done, void *arg)
{
	struct fetch_doc *f = xcalloc(1, sizeof(*f));

	f->c = c;
	f->remote = r;
	f->what = xstrdup(what);
	f->done = done;
	f->arg = arg;
	doc_ask(f);
	return f;
}

void
fetch_doc_cancel(struct fetch_doc **fp)
{
	struct fetch_doc *f = *fp;

	if (f == NULL)
		return;
	remote_cancel(&f->req);
	loop_del(&f->timer);
	buf_free(&f->body);
	free_ptr(&f->what);
	free_ptr(fp);
}
