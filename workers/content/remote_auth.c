/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote_auth - logging in at a place: Basic, or a token from the service that it names. See remote.h.
 *
 *	401 + Basic, user given: again with it
 *	401 + Bearer: parked; one token request for all that are parked; again with the token
 *	401 although we showed what we have: permission_denied
 *
 * The token service is asked as docker's clients do: GET with Basic, or, for an identity token, the
 * OAuth2 form by POST. Its answer may be 64 KiB; it is never redirected.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/oci/json.h"
#include "workers/content/remote_private.h"

#define TOKEN_BODY_MAX 65536
#define TOKEN_MAX 32768

static void
buf_wipe(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->size);
	buf_free(b);
}

void
place_logout(struct place *p)
{
	http_cancel(&p->token_req);
	wipe(&p->user);
	wipe(&p->password);
	wipe(&p->identity);
	wipe(&p->token);
	buf_wipe(&p->token_body);
	buf_wipe(&p->form);
}

static struct remote_req *
parked_next(const struct place *p)
{
	struct remote_req *q = p->remote->reqs;

	while (q != NULL && !(q->parked && req_place(q) == p))
		q = q->next;
	return q;
}

/* The callbacks may end other requests: looked for from the start each time, parked ones only shrink. */
static void
parked_wake(struct place *p, const struct remote_result *failed)
{
	struct remote_req *q;

	while ((q = parked_next(p)) != NULL) {
		struct remote_result own = { .again = REMOTE_FINAL };

		q->parked = false;
		if (failed == NULL) {
			req_send(q);
			continue;
		}
		own = *failed;
		req_failed(q, &own);
	}
}

/* --- tokens ------------------------------------------------------------------------------------------- */

/* The token of the answer into p->token. */
static int
token_read(struct place *p, struct err *e)
{
	AUTO(json_free_ptr) json_t *j = NULL;
	const char *token;
	size_t n;

	if (oci_json_parse(buf_str(&p->token_body), p->token_body.len, &j, e) < 0)
		return err_wrap(e, "answer of the token service of registry %s", p->name);
	token = json_string_value(json_object_get(j, "token"));
	if (token == NULL)
		token = json_string_value(json_object_get(j, "access_token"));
	n = token == NULL ? 0 : strlen(token);
	if (n == 0 || n > TOKEN_MAX)
		return err_set(e, ERR_UNAVAILABLE,
		    "the token service of registry %s gives no usable token", p->name);
	for (size_t i = 0; i < n; i++)
		if (token[i] <= ' ' || token[i] >= 0x7f)
			return err_set(e, ERR_UNAVAILABLE,
			    "the token service of registry %s gives a token with bytes that no "
			    "header may have",
			    p->name);
	wipe(&p->token);
	p->token = xstrdup(token);
	p->token_serial++;
	return 0;
}

static enum http_take
token_take(void *arg, struct http_req *h, const void *data, size_t n)
{
	struct place *p = arg;

	(void)h;
	return buf_add(&p->token_body, data, n) < 0 ? HTTP_STOP : HTTP_TAKEN;
}

static ssize_t
form_read(void *arg, void *to, size_t n)
{
	struct place *p = arg;
	size_t left = p->form.len - p->form_at;

	n = n < left ? n : left;
	memcpy(to, buf_str(&p->form) + p->form_at, n);
	p->form_at += n;
	return (ssize_t)n;
}

/* What the service's status means when it is no token. */
static void
token_refused(const struct place *p, struct http_req *h, struct remote_result *res)
{
	long status = http_status(h);
	bool known = p->user != NULL || p->identity != NULL;

	if (status == 401 || status == 403 || (status == 400 && p->identity != NULL)) {
		(void)err_set(&res->err, ERR_PERMISSION_DENIED,
		    known ? "registry %s does not accept this user and password for %s (%ld): "
			    "check --user NAME:PASSWORD or your login"
			  : "registry %s does not let anyone read %s without a login, or it does "
			    "not exist (%ld): log in with --user NAME:PASSWORD",
		    p->name, p->remote->ref.path, status);
		return;
	}
	(void)err_set(&res->err, ERR_UNAVAILABLE, "the token service of registry %s answers %ld",
	    p->name, status);
	if (status >= 500 || status == 429) {
		res->again = REMOTE_RETRY;
		res->after_s = remote_retry_after(http_header(h, "Retry-After", 0));
	}
}

static void
token_done(void *arg, struct http_req *h, enum http_fault fault, const char *text)
{
	struct place *p = arg;
	struct remote_result res = { .again = REMOTE_FINAL };

	p->token_req = NULL;
	if (fault == HTTP_STOPPED) {
		(void)err_set(&res.err, ERR_UNAVAILABLE,
		    "the token service of registry %s answers more than %d bytes", p->name,
		    TOKEN_BODY_MAX);
	} else if (fault != HTTP_OK) {
		fault_explain(p, fault, text, &res);
		(void)err_wrap(&res.err, "token service %.120s", p->challenge.realm);
	} else if (http_status(h) / 100 == 2) {
		(void)token_read(p, &res.err);
	} else {
		token_refused(p, h, &res);
	}
	buf_wipe(&p->form);
	parked_wake(p, res.err.code == ERR_NONE ? NULL : &res);
}

/* What we want to do there, as scopes: to each, `before` is put. */
static void
scopes_add(const struct place *p, struct buf *to, const char *before)
{
	const struct remote *r = p->remote;
	AUTO(free_ptr)
	char *own = xasprintf("repository:%s:pull%s", r->ref.path, r->push ? ",push" : "");
	AUTO(free_ptr) char *own_text = http_escape(own);

	(void)buf_addf(to, "%s%s", before, own_text);
	/* A mirror may have the repository under another name. */
	if (p->proxy && p->challenge.scope[0] != '\0' && strcmp(p->challenge.scope, own) != 0) {
		AUTO(free_ptr) char *text = http_escape(p->challenge.scope);

		(void)buf_addf(to, "%s%s", before, text);
	}
	for (uint32_t i = 0; i < r->mounts.n; i++) {
		AUTO(free_ptr) char *from = xasprintf("repository:%s:pull", r->mounts.v[i]);
		AUTO(free_ptr) char *text = http_escape(from);

		(void)buf_addf(to, "%s%s", before, text);
	}
}

/* The OAuth2 form that trades an identity token for an access token. */
static void
form_make(struct place *p, const char *service)
{
	AUTO(free_ptr) char *identity = http_escape(p->identity);
	AUTO(buf_free) struct buf scopes = BUF_ZERO;

	scopes_add(p, &scopes, "%20");
	buf_wipe(&p->form);
	p->form_at = 0;
	(void)buf_addf(&p->form,
	    "grant_type=refresh_token&service=%s&client_id=coffer&scope=%s&refresh_token=%s",
	    service, buf_str(&scopes) + 3, identity);
	explicit_bzero(identity, strlen(identity));
}

static void
token_start(struct place *p)
{
	static const char *form_type[] = { "Content-Type: application/x-www-form-urlencoded" };
	const struct challenge *ch = &p->challenge;
	AUTO(free_ptr) char *service = http_escape(ch->service);
	AUTO(buf_free) struct buf url = BUF_ZERO;
	struct http_ask ask = {
		.ca = p->ca,
		.insecure = p->insecure,
		.multiplex = true,
		.stall_s = p->remote->stall_s,
		.connect_ms = p->connect_ms,
		.body = token_take,
		.done = token_done,
		.arg = p,
	};

	(void)buf_adds(&url, ch->realm);
	if (p->identity != NULL) {
		form_make(p, service);
		ask.method = HTTP_POST;
		ask.headers = (struct strs){ .v = form_type, .n = 1 };
		ask.read = form_read;
		ask.size = p->form.len;
	} else {
		(void)buf_addf(
		    &url, "%sservice=%s", strchr(ch->realm, '?') == NULL ? "?" : "&", service);
		scopes_add(p, &url, "&scope=");
		ask.user = p->user;
		ask.password = p->password;
	}
	ask.url = buf_str(&url);
	buf_wipe(&p->token_body);
	p->token_body = BUF_LIMIT(TOKEN_BODY_MAX);
	p->token_req = http_start(p->remote->http, &ask);
}

bool
authorize(struct remote_req *q, struct http_req *h, struct err *e)
{
	struct place *p = req_place(q);
	struct challenge ch = { .basic = false };
	const char *header;

	/* Somebody else's request has got a newer token meanwhile. */
	if (q->had_auth && p->token != NULL && q->token_serial != p->token_serial &&
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
		if (realm_check(p->name, p->scheme != SCHEME_HTTPS, "names the token service",
			ch.realm, e) < 0)
			return false;
		p->challenge = ch;
		q->parked = true;
		if (p->token_req == NULL)
			token_start(p);
		return true;
	}
	if (ch.basic && p->user != NULL) {
		p->basic = true;
		req_send(q);
		return true;
	}
	return false;
}
