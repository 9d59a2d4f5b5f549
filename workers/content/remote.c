/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote - see remote.h. Places and requests.
 *
 *	request -> place -> 2xx: done
 *	                 -> redirect: there, with or without our name
 *	                 -> 401: logged in (remote_auth.c), again
 *	                 -> else: the next place; behind the last one it fails
 *
 * At one place a request goes through at most AUTH_TRIES rounds, so a registry that always says 401
 * ends it; REDIRECTS_MAX redirects are followed.
 */
#include "workers/content/remote.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/oci/hosts.h"
#include "workers/content/remote_private.h"

#define REDIRECTS_MAX 8
#define CONNECT_MAX 3600000 /* ms */

void
wipe(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free_ptr(text);
}

static struct strs
strs_copy(struct strs from)
{
	struct strs to = { .v = xcalloc(from.n + 1, sizeof(*to.v)), .n = from.n };

	for (uint32_t i = 0; i < from.n; i++)
		to.v[i] = xstrdup(from.v[i]);
	return to;
}

/* Wiped: headers may be secrets. */
static void
strs_free(struct strs *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		explicit_bzero((char *)(uintptr_t)s->v[i], strlen(s->v[i]));
		free((char *)(uintptr_t)s->v[i]);
	}
	free_ptr(&s->v);
	s->n = 0;
}

static struct bytes
bytes_copy(struct bytes from)
{
	struct bytes to = { .n = from.n };

	if (from.n > 0)
		to.p = memcpy(xcalloc(1, from.n), from.p, from.n);
	return to;
}

static void
bytes_free(struct bytes *b)
{
	void *p = (void *)(uintptr_t)b->p;

	if (p != NULL)
		explicit_bzero(p, b->n);
	free(p);
	*b = (struct bytes){ .p = NULL };
}

/* --- places ------------------------------------------------------------------------------------------ */

static void
place_free(struct place *p)
{
	place_logout(p);
	free_ptr(&p->path);
	free_ptr(&p->guess);
	bytes_free(&p->ca);
	bytes_free(&p->cert);
	bytes_free(&p->key);
	strs_free(&p->headers);
}

/* --user is for the registry itself, the rest for whom it names. */
static void
place_login(struct place *p, const struct remote_opts *o, bool registry)
{
	const char *own = p->remote->ref.host;

	if (registry && o->user != NULL && o->user[0] != '\0') {
		p->user = xstrdup(o->user);
		p->password = xstrdup(o->password == NULL ? "" : o->password);
		return;
	}
	for (uint32_t i = 0; i < o->auths.n; i++) {
		const struct registry_auth *a = &o->auths.v[i];

		if (strcasecmp(a->host, p->name) != 0 &&
		    !(registry && strcasecmp(a->host, own) == 0))
			continue;
		if (a->identity_token != NULL && a->identity_token[0] != '\0')
			p->identity = xstrdup(a->identity_token);
		else if (a->username != NULL && a->username[0] != '\0') {
			p->user = xstrdup(a->username);
			p->password = xstrdup(a->password == NULL ? "" : a->password);
		}
		return;
	}
}

/* Headers come from clients too: each is one line with a name. */
static int
headers_check(const struct registry_host *h, struct err *e)
{
	for (uint32_t i = 0; i < h->headers.n; i++) {
		const char *line = h->headers.v[i];

		if (strpbrk(line, "\r\n") != NULL || strchr(line, ':') == NULL || line[0] == ':')
			return err_set(
			    e, ERR_INVALID_ARGUMENT, "a header is one line: Name: value");
	}
	return 0;
}

static int
place_add(struct remote *r, const struct registry_host *h, const struct remote_opts *o,
    bool registry, struct err *e)
{
	struct place *p = &r->places[r->nplaces];
	const char *path = "/v2";
	bool https = true;

	if (headers_check(h, e) < 0 ||
	    (h->url != NULL && hosts_url(h->url, &https, p->name, sizeof(p->name), &path, e) < 0))
		return -(int)e->code;
	if (h->url == NULL)
		(void)snprintf(p->name, sizeof(p->name), "%s", reference_registry(&r->ref));
	p->remote = r;
	p->path = xstrdup(path);
	if (h->url != NULL)
		p->scheme = https ? SCHEME_HTTPS : SCHEME_HTTP;
	else if (o->plain_http)
		p->scheme = SCHEME_HTTP;
	else if (reference_host_is_loopback(p->name) && h->ca.n == 0 && h->cert.n == 0)
		p->scheme = SCHEME_HTTP_GUESSED;
	p->proxy = strcmp(p->name, reference_registry(&r->ref)) != 0 &&
		   strcmp(p->name, r->ref.host) != 0;
	p->insecure = o->insecure || h->skip_verify;
	p->resolve = o->push || hosts_can(h, "resolve");
	p->pull = o->push || hosts_can(h, "pull");
	p->ca = bytes_copy(h->ca);
	p->cert = bytes_copy(h->cert);
	p->key = bytes_copy(h->key);
	p->headers = strs_copy(h->headers);
	p->connect_ms = h->connect_ms == 0	      ? o->connect_s * 1000
			: h->connect_ms > CONNECT_MAX ? CONNECT_MAX
						      : (unsigned)h->connect_ms;
	place_login(p, o, registry);
	r->nplaces++;
	return 0;
}

static int
places_make(struct remote *r, const struct remote_opts *o, struct err *e)
{
	static const struct registry_host itself = { .url = NULL };
	const struct registry_host *v = o->hosts.n > 0 ? o->hosts.v : &itself;
	uint32_t n = o->hosts.n > 0 ? o->hosts.n : 1;

	for (uint32_t i = 0; i < n && r->nplaces < (o->push ? 1 : PLACES_MAX); i++)
		if ((!o->push || hosts_can(&v[i], "push")) &&
		    place_add(r, &v[i], o, i == n - 1, e) < 0)
			return err_wrap(e, "registry hosts of %s", r->ref.host);
	if (r->nplaces == 0)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "no host of registry %s may be pushed to: none has the capability push",
		    r->ref.host);
	return 0;
}

int
remote_new(struct http *h, const struct reference *ref, const struct remote_opts *o,
    struct remote **ret, struct err *e)
{
	AUTO(remote_free) struct remote *r = xcalloc(1, sizeof(*r));
	int rc;

	r->http = h;
	r->ref = *ref;
	r->push = o->push;
	r->stall_s = o->stall_s;
	r->mounts = strs_copy(o->mounts);
	rc = places_make(r, o, e);
	if (rc == 0)
		*ret = TAKE(r);
	return rc;
}

void
remote_free(struct remote **rp)
{
	struct remote *r = *rp;

	if (r == NULL)
		return;
	while (r->reqs != NULL) {
		struct remote_req *q = r->reqs;

		remote_cancel(&q);
	}
	for (unsigned i = 0; i < r->nplaces; i++)
		place_free(&r->places[i]);
	strs_free(&r->mounts);
	free_ptr(rp);
}

const char *
remote_host(const struct remote *r)
{
	return strcmp(r->ref.host, "docker.io") == 0 ? reference_registry(&r->ref) : r->ref.host;
}

bool
remote_distrust(struct remote *r, unsigned place)
{
	if (place < r->nplaces) /* else it was another one's */
		r->places[place].failed = true;
	for (unsigned i = 0; i < r->nplaces; i++)
		if (!r->places[i].failed)
			return true;
	return false;
}

/* Where q may go next: the places that did not fail come first. False: nowhere. */
static bool
place_next(struct remote_req *q)
{
	const struct remote *r = q->remote;
	bool tag = q->what != NULL && strchr(q->what, ':') == NULL;

	for (int failed = 0; failed <= 1; failed++)
		for (unsigned i = 0; i < r->nplaces; i++) {
			const struct place *p = &r->places[i];

			if ((q->tried >> i & 1) != 0 || p->failed != (failed == 1) ||
			    !(tag ? p->resolve : p->pull))
				continue;
			q->place = i;
			return true;
		}
	return false;
}

/* --- the end of a request ----------------------------------------------------------------------------- */

static void
req_free(struct remote_req **qp)
{
	struct remote_req *q = *qp;

	if (q->prev != NULL)
		q->prev->next = q->next;
	else
		q->remote->reqs = q->next;
	if (q->next != NULL)
		q->next->prev = q->prev;
	http_cancel(&q->http);
	free_ptr(&q->what);
	free_ptr(&q->url);
	free_ptr(&q->to);
	free_ptr(&q->accept);
	strs_free(&q->headers);
	free_ptr(qp);
}

static void
req_end(struct remote_req *q, struct remote_result *res)
{
	q->http = NULL; /* http frees it when its callback returns */
	res->place = q->place;
	q->done(q->arg, res);
	req_free(&q);
}

/* What a place said, kept: the last one in the list has the last word, the first to fail is mentioned. */
static void
failure_keep(struct remote_req *q, const struct remote_result *res)
{
	q->retry = q->retry || res->again == REMOTE_RETRY;
	if (res->after_s > q->after_s)
		q->after_s = res->after_s;
	if (q->worst.code == ERR_NONE) {
		q->worst = res->err;
		q->worst_place = q->place;
	} else if (q->place > q->worst_place) {
		if (q->before.code == ERR_NONE)
			q->before = q->worst;
		q->worst = res->err;
		q->worst_place = q->place;
	} else if (q->before.code == ERR_NONE) {
		q->before = res->err;
	}
}

void
req_failed(struct remote_req *q, struct remote_result *res)
{
	failure_keep(q, res);
	q->tried |= 1ULL << q->place;
	if (res->again != REMOTE_FINAL)
		req_place(q)->failed = true;
	free_ptr(&q->to);
	q->bare = false;
	q->tries = q->redirects = 0;
	if (!q->begun && q->url == NULL && place_next(q)) {
		req_send(q);
		return;
	}
	res->err = q->worst;
	if (q->before.code != ERR_NONE)
		(void)err_set(
		    &res->err, q->worst.code, "%.240s; and %.240s", q->worst.msg, q->before.msg);
	/* What the last place knows for sure will not change by asking again. */
	if (q->retry && q->worst.code != ERR_NOT_FOUND && q->worst.code != ERR_PERMISSION_DENIED)
		res->again = REMOTE_RETRY;
	res->after_s = q->after_s;
	req_end(q, res);
}

/* --- redirects ---------------------------------------------------------------------------------------- */

/* Is this host[:port] (n bytes) the one of p? port: what is meant when there is none. */
static bool
same_host(const struct place *p, const char *host, size_t n, const char *port)
{
	size_t own = strlen(p->name), m = strlen(port);

	if (n > m && strncmp(host + n - m, port, m) == 0)
		n -= m;
	if (own > m && strcmp(p->name + own - m, port) == 0)
		own -= m;
	return n == own && strncasecmp(host, p->name, n) == 0;
}

/* "scheme://host:port" of a URL is the one that place p is asked by. */
static bool
same_origin(const struct place *p, const char *url)
{
	bool https = strncasecmp(url, "https://", 8) == 0;
	const char *at = url + (https ? 8 : 7);

	return https == (p->scheme == SCHEME_HTTPS) &&
	       same_host(p, at, strcspn(at, "/?#"), https ? ":443" : ":80");
}

static int
redirect_check(const struct remote_req *q, const char *url, struct err *e)
{
	const struct place *p = req_place(q);
	bool https = q->to != NULL ? strncasecmp(q->to, "https:", 6) == 0
				   : p->scheme == SCHEME_HTTPS;
	char show[160];

	if (url == NULL)
		return err_set(e, ERR_UNAVAILABLE,
		    "registry %s answers badly: a redirect that leads nowhere, or to what is not "
		    "http",
		    p->name);
	if (q->redirects >= REDIRECTS_MAX)
		return err_set(e, ERR_UNAVAILABLE,
		    "registry %s answers badly: more than %d redirects, the last to %s", p->name,
		    REDIRECTS_MAX, ident_show(url, show, sizeof(show)));
	return same_origin(p, url) ? 0 : realm_check(p->name, !https, "redirects to", url, e);
}

/* A redirect is followed, or is an error. */
static void
redirect(struct remote_req *q, struct http_req *h)
{
	struct remote_result res = { .http = h, .again = REMOTE_FINAL };
	const char *url = http_redirect(h);

	if (redirect_check(q, url, &res.err) < 0) {
		req_failed(q, &res);
		return;
	}
	free_ptr(&q->to);
	q->to = xstrdup(url);
	q->bare = q->bare || !same_origin(req_place(q), url);
	q->redirects++;
	req_send(q);
}

static bool
is_redirect(const struct remote_req *q, long status)
{
	return q->method <= HTTP_HEAD &&
	       (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

/* --- requests ----------------------------------------------------------------------------------------- */

/* The words of a server that speaks TLS and was asked in plain HTTP. */
static bool
wants_tls(enum http_fault fault, struct http_req *h)
{
	return fault == HTTP_OK && http_status(h) == 400 &&
	       strcasestr(http_error_body(h), "https") != NULL;
}

/* Loopback registries are asked in plain HTTP first; may this answer mean that they speak TLS? */
static bool
guessed_wrong(const struct place *p, enum http_fault fault, struct http_req *h)
{
	if (p->scheme != SCHEME_HTTP_GUESSED || p->answered)
		return false;
	return fault == HTTP_PLAIN_TLS || (fault == HTTP_CUT && !http_heard(h)) ||
	       wants_tls(fault, h);
}

static void
on_answer(struct remote_req *q, struct http_req *h)
{
	struct remote_result res = { .http = h };
	long status = http_status(h);

	req_place(q)->answered = true;
	if (is_redirect(q, status)) {
		redirect(q, h);
		return;
	}
	if (status == 401 && !q->bare && authorize(q, h, &res.err))
		return;
	if (status / 100 == 2) {
		req_end(q, &res);
		return;
	}
	if (res.err.code == ERR_NONE)
		status_explain(q, h, &res);
	req_failed(q, &res);
}

static void
on_done(void *arg, struct http_req *h, enum http_fault fault, const char *text)
{
	struct remote_req *q = arg;
	struct place *p = req_place(q);
	struct remote_result res = { .http = h };

	q->http = NULL;
	if (guessed_wrong(p, fault, h)) {
		p->scheme = SCHEME_HTTPS;
		p->guess = xstrdup(text);
		q->tries--;
		req_send(q);
		return;
	}
	if (fault == HTTP_STOPPED) {
		res.stopped = true;
		req_end(q, &res);
		return;
	}
	if (fault == HTTP_OK && !wants_tls(fault, h)) {
		on_answer(q, h);
		return;
	}
	if (fault == HTTP_OK)
		(void)err_set(&res.err, ERR_FAILED_PRECONDITION,
		    "registry %s speaks TLS (HTTPS), not plain HTTP: leave --plain-http away",
		    p->name);
	else if (p->guess != NULL && !p->answered &&
		 (fault == HTTP_TLS_PLAIN || fault == HTTP_TLS) &&
		 strstr(text, "certificate") ==
		     NULL) /* neither: what came first is the better story */
		fault_explain(p, HTTP_PLAIN_TLS, p->guess, &res);
	else
		fault_explain(p, fault, text, &res);
	req_failed(q, &res);
}

static enum http_take
on_body(void *arg, struct http_req *h, const void *p, size_t n)
{
	struct remote_req *q = arg;

	req_place(q)->answered = true;
	q->begun = true;
	return q->body(q->arg, h, p, n);
}

static ssize_t
on_read(void *arg, void *p, size_t n)
{
	struct remote_req *q = arg;

	return q->read(q->arg, p, n);
}

static char *
url_make(const struct remote_req *q)
{
	const struct place *p = req_place(q);
	const struct remote *r = q->remote;

	if (q->to != NULL || q->url != NULL)
		return xstrdup(q->to != NULL ? q->to : q->url);
	return xasprintf("%s://%s%s/%s/%s/%s%s%s", p->scheme == SCHEME_HTTPS ? "https" : "http",
	    p->name, p->path, r->ref.path, q->kind, q->what,
	    !p->proxy			   ? ""
	    : strchr(q->what, '?') == NULL ? "?ns="
					   : "&ns=",
	    p->proxy ? r->ref.host : "");
}

void
req_send(struct remote_req *q)
{
	struct place *p = req_place(q);
	AUTO(free_ptr) char *url = url_make(q);
	AUTO(free_ptr)
	const char **headers = xcalloc(p->headers.n + q->headers.n + 1, sizeof(*headers));
	struct http_ask ask = {
		.method = q->method,
		.url = url,
		.accept = q->accept,
		.headers = { .v = headers },
		.from = q->from,
		.to = q->until,
		.read = q->read == NULL ? NULL : on_read,
		.size = q->size,
		.ca = p->ca,
		.insecure = p->insecure,
		.multiplex = strcmp(q->kind, "manifests") == 0,
		.stall_s = q->remote->stall_s,
		.connect_ms = p->connect_ms,
		.body = q->body == NULL ? NULL : on_body,
		.done = on_done,
		.arg = q,
	};

	for (uint32_t i = 0; i < q->headers.n; i++)
		headers[ask.headers.n++] = q->headers.v[i];
	for (uint32_t i = 0; i < p->headers.n && !q->bare; i++)
		headers[ask.headers.n++] = p->headers.v[i];
	if (!q->bare) {
		ask.user = p->basic ? p->user : NULL;
		ask.password = p->password;
		ask.bearer = p->token;
		ask.cert = p->cert;
		ask.key = p->key;
	}
	q->tries++;
	q->had_auth = p->basic || p->token != NULL;
	q->token_serial = p->token_serial;
	if (q->rewind != NULL)
		q->rewind(q->arg);
	q->http = http_start(q->remote->http, &ask);
}

struct remote_req *
remote_start(struct remote *r, const struct remote_ask *ask)
{
	struct remote_req *q = xcalloc(1, sizeof(*q));

	q->remote = r;
	q->next = r->reqs;
	if (r->reqs != NULL)
		r->reqs->prev = q;
	r->reqs = q;
	q->method = ask->method;
	q->kind = ask->kind;
	q->what = xstrdup(ask->what);
	q->url = ask->url == NULL ? NULL : xstrdup(ask->url);
	q->accept = ask->accept == NULL ? NULL : xstrdup(ask->accept);
	q->headers = strs_copy(ask->headers);
	q->from = ask->from;
	q->until = ask->to;
	q->read = ask->read;
	q->rewind = ask->rewind;
	q->size = ask->size;
	q->body = ask->body;
	q->done = ask->done;
	q->arg = ask->arg;
	if (!place_next(q))
		q->place = r->nplaces - 1; /* nobody has the capability: the registry itself has */
	if (q->url != NULL && !same_origin(req_place(q), q->url))
		q->bare = true;
	req_send(q);
	return q;
}

void
remote_resume(struct remote_req *q)
{
	if (q->http != NULL)
		http_resume(q->http);
}

void
remote_cancel(struct remote_req **q)
{
	if (*q != NULL)
		req_free(q);
}

char *
remote_location(struct remote *r, const struct remote_result *res)
{
	const struct place *p = &r->places[res->place];
	const char *to = res->http == NULL ? NULL : http_header(res->http, "Location", 0);
	struct err ignored = ERR_ZERO;

	if (to == NULL || strlen(to) > 4096)
		return NULL;
	for (const char *c = to; *c != '\0'; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return NULL;
	if (to[0] == '/' && to[1] != '/')
		return xasprintf(
		    "%s://%s%s", p->scheme == SCHEME_HTTPS ? "https" : "http", p->name, to);
	/* A registry behind a proxy that speaks TLS for it may not know. */
	if (p->scheme == SCHEME_HTTPS && strncasecmp(to, "http://", 7) == 0 &&
	    same_host(p, to + 7, strcspn(to + 7, "/?#"), ":443"))
		return xasprintf("https://%s", to + 7);
	if (!same_origin(p, to) &&
	    realm_check(p->name, p->scheme != SCHEME_HTTPS, "uploads to", to, &ignored) < 0)
		return NULL;
	return xstrdup(to);
}
