/* SPDX-License-Identifier: Apache-2.0 */
/* remote_words - what a registry's refusals and broken answers mean, in one line. See remote.h. */
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/oci/json.h"
#include "workers/content/remote_private.h"

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
	const char *host = req_place(q)->name;

	if (strcmp(q->kind, "blobs/uploads") == 0)
		(void)err_set(e, ERR_NOT_FOUND, "registry %s takes no upload to %s, or forgot it",
		    host, r->ref.path);
	else if (strcmp(code, "NAME_UNKNOWN") == 0)
		(void)err_set(
		    e, ERR_NOT_FOUND, "repository %s not found at registry %s", r->ref.path, host);
	else if (strcmp(q->kind, "manifests") == 0 && strchr(q->what, ':') == NULL)
		(void)err_set(e, ERR_NOT_FOUND, "tag \"%s\" of %s not found at registry %s",
		    q->what, r->ref.path, host);
	else
		(void)err_set(e, ERR_NOT_FOUND, "%s %s of %s not found at registry %s",
		    strcmp(q->kind, "manifests") == 0 ? "manifest" : "blob", q->what, r->ref.path,
		    host);
}

static void
denied(const struct remote_req *q, long status, const char *words, struct err *e)
{
	const struct place *p = req_place(q);
	const char *what = q->remote->push ? "write" : "read", *path = q->remote->ref.path;

	if (p->user != NULL || p->identity != NULL)
		(void)err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s does not let this user %s %s (%ld%s%s): check --user "
		    "NAME:PASSWORD or your login",
		    p->name, what, path, status, words[0] != '\0' ? ", " : "", words);
	else
		(void)err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s does not let anyone %s %s without a login%s "
		    "(%ld%s%s): log in with --user NAME:PASSWORD",
		    p->name, what, path, q->remote->push ? "" : ", or it does not exist", status,
		    words[0] != '\0' ? ", " : "", words);
}

/* A status that is not 2xx as an error. */
void
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
		    "registry %s answers %ld%s%s", req_place(q)->name, status,
		    words[0] != '\0' ? ": " : "", words);
		res->again = REMOTE_RETRY;
		res->after_s = remote_retry_after(http_header(h, "Retry-After", 0));
	} else {
		(void)err_set(&res->err, ERR_UNAVAILABLE, "registry %s answers %ld%s%s to %s/%s",
		    req_place(q)->name, status, words[0] != '\0' ? ": " : "", words, q->kind,
		    q->what);
	}
}

void
fault_explain(
    const struct place *p, enum http_fault fault, const char *text, struct remote_result *res)
{
	const char *host = p->name;
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
