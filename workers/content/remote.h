/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote - one repository at one registry: how to ask it, with which rights, and what its refusals mean.
 *
 * Plain HTTP or TLS is settled once: HTTPS, HTTP when asked for, and for a loopback registry HTTP with
 * one change to HTTPS when the answer shows that TLS is spoken there. Credentials (Basic) are sent only
 * after the registry asked for them; a Bearer token is fetched once and shared by all requests,
 * and again when it is refused later.
 *
 * Who gets the password: the registry itself, and the token service it names, when that is https (or
 * the registry itself is plain HTTP) and not an address of this host or link that the registry has no
 * business to name. Tokens and passwords are in no message, and are wiped when the remote is freed.
 */
#ifndef CF_CONTENT_REMOTE_H
#define CF_CONTENT_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/oci/reference.h"
#include "workers/content/http.h"

struct remote;
struct remote_req;

struct remote_opts {
	bool plain_http, insecure;
	const char *user, *password; /* NULL or "": none */
	unsigned stall_s, connect_s;
};

/* Copies what it needs; borrows h. Free with remote_free when no request runs any more. */
void remote_new(
    struct http *h, const struct reference *ref, const struct remote_opts *o, struct remote **ret);
void remote_free(struct remote **r);
/* "127.0.0.1:5000" */
const char *remote_host(const struct remote *r);

/* What may be done about a failure. */
enum remote_again {
	REMOTE_FINAL,	/* the same would come again */
	REMOTE_CONNECT, /* nobody there; worth it only for somebody who was there before */
	REMOTE_RETRY,	/* a broken connection, or the server said to come again */
};

struct remote_result {
	struct err err; /* code ERR_NONE: a 2xx answer whose body came whole */
	enum remote_again again;
	unsigned after_s;      /* the server asked to wait so long; 0 = it did not */
	bool stopped;	       /* the body callback stopped it; err is ERR_NONE */
	struct http_req *http; /* for status and headers; NULL when there was no answer */
};

/* The request is gone after it. */
typedef void remote_done_fn(void *arg, const struct remote_result *res);

struct remote_get {
	const char *kind; /* "manifests" or "blobs" */
	const char *what; /* tag or digest */
	const char *accept;
	uint64_t from, to; /* bytes [from, to) of it; to 0: to its end */
	http_body_fn *body;
	remote_done_fn *done;
	void *arg;
};

/* kind is kept by reference (a literal), what and accept are copied. Callbacks never come from within. */
struct remote_req *remote_start(struct remote *r, const struct remote_get *get);
/* After HTTP_PAUSE. */
void remote_resume(struct remote_req *q);
void remote_cancel(struct remote_req **q);

/* Retry-After: seconds or nonsense; capped at 30. */
unsigned remote_retry_after(const char *header);

/* One challenge of a WWW-Authenticate header: its scheme and up to three parameters. */
struct challenge {
	bool basic, bearer;
	char realm[1024], service[256], scope[512];
};
/* Reads one header value, which may hold several challenges; keeps the strongest known one. */
void challenge_read(const char *header, struct challenge *ret);
/* May a registry at this host (plain: over HTTP) send us to this realm? */
int realm_check(const char *host, bool plain, const char *realm, struct err *e);

#endif
