/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote - one repository at one registry: which places to ask, with which rights, and what their
 * refusals mean.
 *
 * Places are the hosts of a hosts.toml in its order, the registry itself last (alone when there is no
 * such file). A request goes to the first place that may be asked for it (capabilities), and on to the
 * next when that one cannot be reached, refuses or does not have it; a place that failed is asked last
 * from then on. Once an answer's body was handed on, its end is reported, not hidden: the caller asks
 * again from where it was, and gets the next place. Pushes go to one place.
 *
 * Plain HTTP or TLS is settled once per place: as its URL says, HTTPS, HTTP when asked for, and for a
 * loopback registry HTTP with one change to HTTPS when the answer shows that TLS is spoken there.
 * Credentials are sent only after the place asked for them: Basic, or to its token service, whose Bearer
 * token is fetched once, shared by all requests, and fetched again when it is refused later.
 *
 * Who gets a password: the host it is for, and the token service that host names, when that is https (or
 * the host itself is plain HTTP) and not an address of this host or link that the registry has no
 * business to name. A redirect to another scheme, host or port is followed with nothing but the request:
 * no credentials, headers or client certificate; never from https to http, never to such an address.
 * Tokens and passwords are in no message, and are wiped when the remote is freed.
 */
#ifndef CF_CONTENT_REMOTE_H
#define CF_CONTENT_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/oci/reference.h"
#include "schemas/schema.h"
#include "workers/content/http.h"

struct remote;
struct remote_req;

struct remote_opts {
	bool plain_http, insecure;
	bool push;
	const char *user, *password;	 /* NULL or "": none; for the registry itself */
	struct registry_auth_list auths; /* for hosts by name */
	struct registry_host_list hosts; /* none: the registry itself */
	struct strs mounts;		 /* repositories whose blobs a push may take over */
	unsigned stall_s, connect_s;
};

/* Copies what it needs; borrows h. invalid_argument when hosts have a wrong URL or nobody may be pushed
 * to. Free with remote_free when no request runs any more. */
int remote_new(struct http *h, const struct reference *ref, const struct remote_opts *o,
    struct remote **ret, struct err *e);
void remote_free(struct remote **r);
/* "127.0.0.1:5000", as the reference says it. */
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
	unsigned place;	       /* who answered; see remote_distrust */
	struct http_req *http; /* for status and headers; NULL when there was no answer */
};

/* The request is gone after it. */
typedef void remote_done_fn(void *arg, const struct remote_result *res);

struct remote_ask {
	enum http_method method;
	const char *kind; /* "manifests", "blobs" or "blobs/uploads" */
	const char *what; /* tag or digest; of an upload: "" or "?mount=.." */
	const char *url;  /* instead of kind and what: where the registry said to go on */
	const char *accept;
	struct strs headers;
	uint64_t from, to; /* bytes [from, to) of it; to 0: to its end */
	http_read_fn
	    *read; /* the body to send is read again from its start when it is sent again */
	void (*rewind)(void *arg);
	uint64_t size;
	http_body_fn *body;
	remote_done_fn *done;
	void *arg;
};

/* kind is kept by reference (a literal), other texts are copied. Callbacks never come from within. */
struct remote_req *remote_start(struct remote *r, const struct remote_ask *ask);
/* After HTTP_PAUSE. */
void remote_resume(struct remote_req *q);
void remote_cancel(struct remote_req **q);

/* What came from this place was wrong: it is asked last from now on. true when there is another one
 * that is not in disgrace. */
bool remote_distrust(struct remote *r, unsigned place);

/* The absolute URL of an upload from the Location of res, NULL when that is not one that may be used.
 * Free it. */
char *remote_location(struct remote *r, const struct remote_result *res);

/* Retry-After: seconds, a date, or nonsense; capped at 30. */
unsigned remote_retry_after(const char *header);

/* One challenge of a WWW-Authenticate header: its scheme and up to three parameters. */
struct challenge {
	bool basic, bearer;
	char realm[1024], service[256], scope[512];
};
/* Reads one header value, which may hold several challenges; keeps the strongest known one. */
void challenge_read(const char *header, struct challenge *ret);
/* May a registry at this host (plain: over HTTP) send us to this realm, this page? what is for the
 * message: "names the token service". */
int realm_check(const char *host, bool plain, const char *what, const char *url, struct err *e);

#endif
