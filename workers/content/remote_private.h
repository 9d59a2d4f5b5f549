/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote_private - what remote.c (places and requests), remote_auth.c (logging in) and remote_words.c
 * (what a refusal means) share.
 */
#ifndef CF_CONTENT_REMOTE_PRIVATE_H
#define CF_CONTENT_REMOTE_PRIVATE_H

#include "lib/base/buf.h"
#include "workers/content/remote.h"

#define PLACES_MAX 33
#define AUTH_TRIES 3

enum scheme { SCHEME_HTTPS, SCHEME_HTTP, SCHEME_HTTP_GUESSED };

/* A host that may be asked. */
struct place {
	struct remote *remote;
	char name[REFERENCE_NAME_MAX + 1]; /* host[:port] */
	char *path;			   /* "/v2" */
	enum scheme scheme;
	bool proxy;    /* it stands for the registry: requests say whom they mean */
	bool answered; /* the scheme is right: somebody answered */
	char *guess;   /* why plain HTTP was thought wrong; set when HTTPS was tried instead */
	bool failed;   /* asked last */
	bool insecure, resolve, pull;
	struct bytes ca, cert, key;
	struct strs headers;
	unsigned connect_ms;
	/* logging in */
	char *user, *password, *identity;
	bool basic;  /* it wants user and password */
	char *token; /* or this */
	unsigned token_serial;
	struct challenge challenge;
	struct http_req *token_req;
	struct buf token_body, form; /* form: what is sent to the token service */
	size_t form_at;
};

struct remote {
	struct http *http;
	struct reference ref;
	bool push;
	unsigned stall_s;
	struct strs mounts;
	struct place places[PLACES_MAX];
	unsigned nplaces;
	struct remote_req *reqs;
};

struct remote_req {
	struct remote *remote;
	struct remote_req *prev, *next;
	struct http_req *http;
	enum http_method method;
	const char *kind;
	char *what, *url, *accept;
	struct strs headers;
	uint64_t from, until, size;
	http_read_fn *read;
	void (*rewind)(void *arg);
	http_body_fn *body;
	remote_done_fn *done;
	void *arg;
	unsigned place;	  /* being asked */
	uint64_t tried;	  /* places that failed, as bits */
	struct err worst; /* of the last of them in the list */
	unsigned worst_place;
	struct err before; /* what the first one said, when it is another one */
	bool retry;	   /* one of them might answer later */
	unsigned after_s;
	bool begun; /* its body was handed on */
	char *to;   /* where a redirect led */
	bool bare;  /* to another host: no credentials */
	unsigned redirects;
	unsigned tries, token_serial; /* the token it was sent with */
	bool parked;		      /* waits for a token */
	bool had_auth;
};

static inline struct place *
req_place(const struct remote_req *q)
{
	return &q->remote->places[q->place];
}

void wipe(char **text);

/* remote.c: asks (again) where q->place and q->to say. */
void req_send(struct remote_req *q);
/* The place failed q: the next one is asked, or q ends. */
void req_failed(struct remote_req *q, struct remote_result *res);

/* remote_auth.c: a 401 for q: true when q will be sent again with what was asked for. */
bool authorize(struct remote_req *q, struct http_req *h, struct err *e);
void place_logout(struct place *p);

/* remote_words.c: a status that is not 2xx, or a fault, as an error. */
void status_explain(struct remote_req *q, struct http_req *h, struct remote_result *res);
void fault_explain(
    const struct place *p, enum http_fault fault, const char *text, struct remote_result *res);

#endif
