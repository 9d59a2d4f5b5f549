/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote - see remote.h.
 *
 *	request -> 2xx: done
 *	        -> 401 + Basic, user given: again with it
 *	        -> 401 + Bearer: parked; one token request for all that are parked; again with the token
 *	        -> 401 although we showed what we have: permission_denied
 *
 * A request goes through at most AUTH_TRIES rounds, so a registry that always says 401 ends it.
 */
#include "workers/content/remote.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/ident.h"
#include "lib/oci/json.h"

#define AUTH_TRIES 3
#define TOKEN_BODY_MAX 65536
#define TOKEN_MAX 32768

enum scheme { SCHEME_HTTPS, SCHEME_HTTP, SCHEME_HTTP_GUESSED };

struct remote {
	struct http *http;
	struct reference ref;
	enum scheme scheme;
	bool answered; /* the scheme is right: somebody answered */
	char *guess;   /* why plain HTTP was thought wrong; set when HTTPS was tried instead */
	bool insecure;
	char *user, *password;
	unsigned stall_s, connect_s;
	bool basic;  /* the registry wants user and password */
	char *token; /* or this */
	unsigned token_serial;
	struct challenge challenge;
	struct http_req *token_req;
	struct buf token_body;
	struct remote_req *reqs;
};

struct remote_req {
	struct remote *remote;
	struct remote_req *prev, *next;
	struct http_req *http;
	const char *kind;
	char *what, *accept;
	uint64_t from, to;
	http_body_fn *body;
	remote_done_fn *done;
	void *arg;
	unsigned tries, token_serial; /* the token it was sent with */
	bool parked;		      /* waits for a token */
	bool had_auth;
};

static void req_send(struct remote_req *q);

static void
wipe(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free_ptr(text);
}

void
remote_new(
    struct http *h, const struct reference *ref, const struct remote_opts *o, struct remote **ret)
{
	struct remote *r = xcalloc(1, sizeof(*r));

	r->http = h;
	r->ref = *ref;
	r->scheme = o->plain_http					  ? SCHEME_HTTP
		    : reference_host_is_loopback(reference_registry(ref)) ? SCHEME_HTTP_GUESSED
									  : SCHEME_HTTPS;
	r->insecure = o->insecure;
	if (o->user != NULL && o->user[0] != '\0') {
		r->user = xstrdup(o->user);
		r->password = xstrdup(o->password == NULL ? "" : o->password);
	}
	r->stall_s = o->stall_s;
	r->connect_s = o->connect_s;
	*ret = r;
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
	http_cancel(&r->token_req);
	wipe(&r->user);
	wipe(&r->password);
	wipe(&r->token);
	free_ptr(&r->guess);
	if (r->token_body.data != NULL)
		explicit_bzero(r->token_body.data, r->token_body.size);
	buf_free(&r->token_body);
	free_ptr(rp);
}

const char *
remote_host(const struct remote *r)
{
	return reference_registry(&r->ref);
}

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
	free_ptr(&q->accept);
	free_ptr(qp);
}

static void
req_end(struct remote_req *q, struct remote_result *res)
{
	q->http = NULL; /* http frees it when its callback returns */
	q->done(q->arg, res);
	req_free(&q);
}

/* --- what a refusal means --------------------------------------------------------------------------*/

/* The registry's own words: errors[0].message of its JSON answer, escaped; "" when there are none. */
static void
words_of(struct http_req *h, char *code, size_t code_size, char *words, size_t words_size)
{
	AUTO(json_free_ptr) json_t *j = NULL;
	const char *body = http_error_body(h), *text;
	struct err ignored = ERR_ZERO;
	json_t *first;

	code[0] = words[0] = '\0';
	if (oci_json_parse(body, strlen(body), &j, &ignored) < 0)
		return;
	first = json_array_get(json_object_get(j, "errors"), 0);
	text = json_string_value(json_object_get(first, "code"));
	(void)ident_show(text == NULL ? "" : text, code, code_size);
	text = json_string_value(json_object_get(first, "message"));
	(void)ident_show(text == NULL ? "" : text, words, words_size);
}

static void
not_there(const struct remote_req *q, const char *code, struct err *e)
{
	const struct remote *r = q->remote;

	if (strcmp(code, "NAME_UNKNOWN") == 0)
		(void)err_set(e, ERR_NOT_FOUND, "repository %s not found at registry %s",
		    r->ref.path, remote_host(r));
	else if (strcmp(q->kind, "manifests") == 0 && strchr(q->what, ':') == NULL)
		(void)err_set(e, ERR_NOT_FOUND, "tag \"%s\" of %s not found at registry %s",
		    q->what, r->ref.path, remote_host(r));
	else
		(void)err_set(e, ERR_NOT_FOUND, "%s %s of %s not found at registry %s",
		    strcmp(q->kind, "manifests") == 0 ? "manifest" : "blob", q->what, r->ref.path,
		    remote_host(r));
}

static void
denied(const struct remote_req *q, long status, const char *words, struct err *e)
{
	const struct remote *r = q->remote;

	if (r->user != NULL)
		(void)err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s does not let this user read %s (%ld%s%s): check --user "
		    "NAME:PASSWORD",
		    remote_host(r), r->ref.path, status, words[0] != '\0' ? ", " : "", words);
	else
		(void)err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s does not let anyone read %s without a login, or it does not exist "
		    "(%ld%s%s): log in with --user NAME:PASSWORD",
		    remote_host(r), r->ref.path, status, words[0] != '\0' ? ", " : "", words);
}

/* A status that is not 2xx as an error. */
static void
status_explain(struct remote_req *q, struct http_req *h, struct remote_result *res)
{
	long status = http_status(h);
	char code[64], words[200];

	words_of(h, code, sizeof(code), words, sizeof(words));
	res->again = REMOTE_FINAL;
	if (status == 404) {
		not_there(q, code, &res->err);
	} else if (status == 401 || status == 403) {
		denied(q, status, words, &res->err);
	} else if (status == 408 || status == 429 || status >= 500) {
		(void)err_set(&res->err, status == 429 ? ERR_RESOURCE_EXHAUSTED : ERR_UNAVAILABLE,
		    "registry %s answers %ld%s%s", remote_host(q->remote), status,
		    words[0] != '\0' ? ": " : "", words);
		res->again = REMOTE_RETRY;
		res->after_s = remote_retry_after(http_header(h, "Retry-After", 0));
	} else {
		(void)err_set(&res->err, ERR_UNAVAILABLE, "registry %s answers %ld%s%s to %s/%s",
		    remote_host(q->remote), status, words[0] != '\0' ? ": " : "", words, q->kind,
		    q->what);
	}
}

static void
fault_explain(
    const struct remote *r, enum http_fault fault, const char *text, struct remote_result *res)
{
	const char *host = remote_host(r);
	char show[240];

	(void)ident_show(text, show, sizeof(show));
	res->again = REMOTE_FINAL;
	switch (fault) {
	case HTTP_CONNECT:
		(void)err_set(
		    &res->err, ERR_UNAVAILABLE, "registry %s cannot be reached: %s", host, show);
		res->again = REMOTE_CONNECT;
		break;
	case HTTP_TLS_PLAIN:
		(void)err_set(&res->err, ERR_FAILED_PRECONDITION,
		    "registry %s speaks plain HTTP, not TLS: use --plain-http if that is wanted",
		    host);
		break;
	case HTTP_TLS:
		(void)err_set(&res->err, ERR_FAILED_PRECONDITION,
		    "no TLS connection with registry %s: %s (--skip-verify takes any certificate)",
		    host, show);
		break;
	case HTTP_PLAIN_TLS:
		(void)err_set(&res->err, ERR_FAILED_PRECONDITION,
		    "registry %s does not answer in plain HTTP: %s", host, show);
		break;
	case HTTP_STALLED:
	case HTTP_CUT:
		(void)err_set(&res->err, ERR_UNAVAILABLE, "the connection to registry %s broke: %s",
		    host, show);
		res->again = REMOTE_RETRY;
		break;
	default:
		(void)err_set(
		    &res->err, ERR_UNAVAILABLE, "registry %s answers badly: %s", host, show);
		break;
	}
}

/* --- tokens ------------------------------------------------------------------------------------- */

static void
parked_fail(struct remote *r, const struct remote_result *res)
{
	struct remote_req *q = r->reqs;

	while (q != NULL) {
		struct remote_req *next = q->next;

		if (q->parked) {
			struct remote_result own = *res;

			q->parked = false;
			req_end(q, &own);
			/* The callback may have ended others: start over, parked ones only shrink. */
			next = r->reqs;
		}
		q = next;
	}
}

static void
parked_send(struct remote *r)
{
	for (struct remote_req *q = r->reqs; q != NULL; q = q->next) {
		if (!q->parked)
			continue;
		q->parked = false;
		req_send(q);
	}
}

/* The token of the answer into r->token. */
static int
token_read(struct remote *r, struct err *e)
{
	AUTO(json_free_ptr) json_t *j = NULL;
	const char *token;
	size_t n;

	if (oci_json_parse(r->token_body.data, r->token_body.len, &j, e) < 0)
		return err_wrap(e, "answer of the token service of registry %s", remote_host(r));
	token = json_string_value(json_object_get(j, "token"));
	if (token == NULL)
		token = json_string_value(json_object_get(j, "access_token"));
	n = token == NULL ? 0 : strlen(token);
	if (n == 0 || n > TOKEN_MAX)
		return err_set(e, ERR_UNAVAILABLE,
		    "the token service of registry %s gives no usable token", remote_host(r));
	for (size_t i = 0; i < n; i++)
		if (token[i] <= ' ' || token[i] >= 0x7f)
			return err_set(e, ERR_UNAVAILABLE,
			    "the token service of registry %s gives a token with bytes that no "
			    "header "
			    "may have",
			    remote_host(r));
	wipe(&r->token);
	r->token = xstrdup(token);
	r->token_serial++;
	return 0;
}

static enum http_take
token_take(void *arg, struct http_req *h, const void *p, size_t n)
{
	struct remote *r = arg;

	(void)h;
	return buf_add(&r->token_body, p, n) < 0 ? HTTP_STOP : HTTP_TAKEN;
}

static void
token_done(void *arg, struct http_req *h, enum http_fault fault, const char *text)
{
	struct remote *r = arg;
	struct remote_result res = { .again = REMOTE_FINAL };

	r->token_req = NULL;
	if (fault == HTTP_STOPPED) {
		(void)err_set(&res.err, ERR_UNAVAILABLE,
		    "the token service of registry %s answers more than %d bytes", remote_host(r),
		    TOKEN_BODY_MAX);
	} else if (fault != HTTP_OK) {
		fault_explain(r, fault, text, &res);
		(void)err_wrap(&res.err, "token service %.120s", r->challenge.realm);
	} else if (http_status(h) / 100 == 2) {
		(void)token_read(r, &res.err);
	} else if (http_status(h) == 401 || http_status(h) == 403) {
		(void)err_set(&res.err, ERR_PERMISSION_DENIED,
		    r->user != NULL
			? "registry %s does not accept this user and password for %s (%ld): check "
			  "--user NAME:PASSWORD"
			: "registry %s does not let anyone read %s without a login, or it does not "
			  "exist (%ld): log in with --user NAME:PASSWORD",
		    remote_host(r), r->ref.path, http_status(h));
	} else {
		(void)err_set(&res.err, ERR_UNAVAILABLE,
		    "the token service of registry %s answers %ld", remote_host(r), http_status(h));
		if (http_status(h) >= 500 || http_status(h) == 429)
			res.again = REMOTE_RETRY;
	}
	if (res.err.code == ERR_NONE)
		parked_send(r);
	else
		parked_fail(r, &res);
}

static void
token_start(struct remote *r)
{
	const struct challenge *ch = &r->challenge;
	AUTO(free_ptr) char *service = http_escape(ch->service);
	AUTO(free_ptr) char *scope = xasprintf("repository:%s:pull", r->ref.path);
	AUTO(free_ptr) char *scope_text = http_escape(scope);
	AUTO(free_ptr)
	char *url = xasprintf("%s%sservice=%s&scope=%s", ch->realm,
	    strchr(ch->realm, '?') == NULL ? "?" : "&", service, scope_text);
	struct http_get get = {
		.url = url,
		.user = r->user,
		.password = r->password,
		.insecure = r->insecure,
		.stall_s = r->stall_s,
		.connect_s = r->connect_s,
		.body = token_take,
		.done = token_done,
		.arg = r,
	};

	buf_free(&r->token_body);
	r->token_body = BUF_LIMIT(TOKEN_BODY_MAX);
	r->token_req = http_start(r->http, &get);
}

/* A 401 for q: true when q will be sent again with what was asked for. */
static bool
authorize(struct remote_req *q, struct http_req *h, struct err *e)
{
	struct remote *r = q->remote;
	struct challenge ch = { .basic = false };
	const char *header;

	/* Somebody else's request has got a newer token meanwhile. */
	if (q->had_auth && r->token != NULL && q->token_serial != r->token_serial &&
	    q->tries < AUTH_TRIES) {
		req_send(q);
		return true;
	}
	for (unsigned i = 0; (header = http_header(h, "WWW-Authenticate", i)) != NULL && i < 8; i++)
		challenge_read(header, &ch);
	/* A token grows old; a fresh one that is refused at once is a refusal. */
	if (q->tries >= AUTH_TRIES || (q->had_auth && !(ch.bearer && q->tries < 2)))
		return false;
	if (ch.bearer) {
		if (realm_check(remote_host(r), r->scheme != SCHEME_HTTPS, ch.realm, e) < 0)
			return false;
		r->challenge = ch;
		q->parked = true;
		if (r->token_req == NULL)
			token_start(r);
		return true;
	}
	if (ch.basic && r->user != NULL) {
		r->basic = true;
		req_send(q);
		return true;
	}
	return false;
}

/* --- requests ----------------------------------------------------------------------------------- */

/* The words of a server that speaks TLS and was asked in plain HTTP. */
static bool
wants_tls(enum http_fault fault, struct http_req *h)
{
	return fault == HTTP_OK && http_status(h) == 400 &&
	       strcasestr(http_error_body(h), "https") != NULL;
}

/* Loopback registries are asked in plain HTTP first; may this answer mean that they speak TLS? */
static bool
guessed_wrong(const struct remote *r, enum http_fault fault, struct http_req *h)
{
	if (r->scheme != SCHEME_HTTP_GUESSED || r->answered)
		return false;
	return fault == HTTP_PLAIN_TLS || (fault == HTTP_CUT && !http_heard(h)) ||
	       wants_tls(fault, h);
}

static void
on_done(void *arg, struct http_req *h, enum http_fault fault, const char *text)
{
	struct remote_req *q = arg;
	struct remote *r = q->remote;
	struct remote_result res = { .http = h };

	q->http = NULL;
	if (guessed_wrong(r, fault, h)) {
		r->scheme = SCHEME_HTTPS;
		r->guess = xstrdup(text);
		q->tries--;
		req_send(q);
		return;
	}
	if (fault == HTTP_STOPPED) {
		res.stopped = true;
	} else if (fault != HTTP_OK && r->guess != NULL && !r->answered &&
		   (fault == HTTP_TLS_PLAIN || fault == HTTP_TLS) &&
		   strstr(text, "certificate") ==
		       NULL) { /* neither: what came first is the better story */
		fault_explain(r, HTTP_PLAIN_TLS, r->guess, &res);
	} else if (fault != HTTP_OK) {
		fault_explain(r, fault, text, &res);
	} else if (wants_tls(fault, h)) {
		(void)err_set(&res.err, ERR_FAILED_PRECONDITION,
		    "registry %s speaks TLS (HTTPS), not plain HTTP: leave --plain-http away",
		    remote_host(r));
	} else {
		r->answered = true;
		if (http_status(h) == 401 && authorize(q, h, &res.err))
			return;
		if (http_status(h) / 100 != 2 && res.err.code == ERR_NONE)
			status_explain(q, h, &res);
	}
	req_end(q, &res);
}

static enum http_take
on_body(void *arg, struct http_req *h, const void *p, size_t n)
{
	struct remote_req *q = arg;

	q->remote->answered = true;
	return q->body(q->arg, h, p, n);
}

static void
req_send(struct remote_req *q)
{
	struct remote *r = q->remote;
	AUTO(free_ptr)
	char *url = xasprintf("%s://%s/v2/%s/%s/%s", r->scheme == SCHEME_HTTPS ? "https" : "http",
	    remote_host(r), r->ref.path, q->kind, q->what);
	struct http_get get = {
		.url = url,
		.accept = q->accept,
		.user = r->basic ? r->user : NULL,
		.password = r->password,
		.bearer = r->token,
		.from = q->from,
		.to = q->to,
		.insecure = r->insecure,
		.redirects = true,
		.stall_s = r->stall_s,
		.connect_s = r->connect_s,
		.body = on_body,
		.done = on_done,
		.arg = q,
	};

	q->tries++;
	q->had_auth = r->basic || r->token != NULL;
	q->token_serial = r->token_serial;
	q->http = http_start(r->http, &get);
}

struct remote_req *
remote_start(struct remote *r, const struct remote_get *get)
{
	struct remote_req *q = xcalloc(1, sizeof(*q));

	q->remote = r;
	q->next = r->reqs;
	if (r->reqs != NULL)
		r->reqs->prev = q;
	r->reqs = q;
	q->kind = get->kind;
	q->what = xstrdup(get->what);
	q->accept = get->accept == NULL ? NULL : xstrdup(get->accept);
	q->from = get->from;
	q->to = get->to;
	q->body = get->body;
	q->done = get->done;
	q->arg = get->arg;
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
