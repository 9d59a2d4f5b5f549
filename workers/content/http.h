/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - requests by libcurl's multi interface, driven from the loop. The only home of curl.h.
 *
 * Only http and https are spoken. Redirects are answers like others: who asks knows whom to trust with
 * what (remote.h). Headers are capped at 64 KiB, error bodies at 16 KiB; a body is handed on piece by
 * piece, and one to be sent is asked for piece by piece. Proxies are those of the environment, as
 * libcurl takes them, HTTP_PROXY in capitals too, and never for loopback addresses.
 */
#ifndef CF_CONTENT_HTTP_H
#define CF_CONTENT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "schemas/schema.h"

struct http;
struct http_req;

enum http_take { HTTP_TAKEN, HTTP_TAKEN_PAUSE, HTTP_PAUSE, HTTP_STOP };

/* How a request ended, when no status tells. */
enum http_fault {
	HTTP_OK,	/* there is a status and the whole body came */
	HTTP_STOPPED,	/* the body callback said HTTP_STOP */
	HTTP_CONNECT,	/* no connection: refused, no route, no such host */
	HTTP_TLS_PLAIN, /* we spoke TLS, the other side does not */
	HTTP_TLS,	/* certificate or handshake */
	HTTP_PLAIN_TLS, /* we spoke plain HTTP, the answer is not HTTP */
	HTTP_STALLED,	/* nothing came for too long */
	HTTP_CUT,	/* the connection broke: worth another try */
	HTTP_BAD	/* the answer is against the rules or our limits */
};

/* Called for bodies of status 200..299 only. n bytes are taken whole or not at all; http_resume after
 * HTTP_PAUSE and HTTP_TAKEN_PAUSE, which saves libcurl keeping the bytes. The request may not be cancelled from here. */
typedef enum http_take http_body_fn(void *arg, struct http_req *r, const void *p, size_t n);
/* The end; r is gone afterwards. text: libcurl's words when fault is not HTTP_OK. */
typedef void http_done_fn(void *arg, struct http_req *r, enum http_fault fault, const char *text);

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH };

/* The next bytes of the body that is sent, at most n: how many, or -1 to give up. It is asked for as
 * many as were announced. */
typedef ssize_t http_read_fn(void *arg, void *p, size_t n);

struct http_ask {
	enum http_method method;
	const char *url;
	const char *accept;	     /* NULL: none */
	const char *user, *password; /* Basic, both or neither */
	const char *bearer;	     /* token, or NULL */
	struct strs headers;	     /* further ones */
	uint64_t from, to;	     /* Range: bytes [from, to); to 0: to the end; both 0: all */
	http_read_fn *read;	     /* of POST, PUT and PATCH; NULL: no body */
	uint64_t size;		     /* its bytes */
	struct bytes ca, cert, key;  /* PEM; n = 0: none. Must live as long as the request */
	bool insecure;		     /* any certificate will do */
	bool multiplex; /* HTTP/2, when TLS and the server have it: many small requests */
	unsigned stall_s, connect_ms;
	http_body_fn *body; /* NULL: not wanted */
	http_done_fn *done;
	void *arg;
};

struct http *http_new(struct loop *l);
/* Loads libcurl when that was not done yet: to be called before http_start. */
int http_load(struct http *h, struct err *e);
/* Requests that run are dropped without their callbacks. */
void http_free(struct http **h);
/* Closes idle connections and forgets certificates when no request runs: memory at rest. */
void http_rest(struct http *h);

/* Strings are copied. */
struct http_req *http_start(struct http *h, const struct http_ask *ask);
void http_resume(struct http_req *r);
/* No callback comes. NULL is fine. */
void http_cancel(struct http_req **r);

/* Did anything come that looks like HTTP? */
bool http_heard(const struct http_req *r);
/* Of the last answer, from the first body callback on. */
long http_status(const struct http_req *r);
/* Value of its n-th header of this name, NULL when there is none. */
const char *http_header(struct http_req *r, const char *name, unsigned nth);
/* Content-Length, -1 when not given. */
int64_t http_length(const struct http_req *r);
/* What came as body of an answer that is not 2xx, cut. */
const char *http_error_body(const struct http_req *r);

/* Where a redirect leads: an absolute URL, NULL when it is none. */
const char *http_redirect(const struct http_req *r);

/* text with everything but unreserved characters as %XX; free it. */
char *http_escape(const char *text);

#endif
