/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - see http.h.
 *
 * libcurl says which sockets to watch (on_socket) and when it wants to be called (on_timer); we call
 * curl_multi_socket_action and then collect what ended. libcurl must not be re-entered from its own
 * callbacks: body callbacks therefore only take, pause or stop, and requests end in collect().
 */
#include "workers/content/http.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/oci/reference.h"
#include "workers/content/curl_lib.h"

#define HEADERS_MAX 65536
#define ERROR_BODY_MAX 16384
#define MANY 16	      /* requests at once that have smaller buffers */
#define RATE_MIN 128L /* bytes a second: less, for stall_s seconds, is nothing */

struct http {
	struct loop *loop;
	struct curl_lib curl; /* with the first request */
	bool loaded;
	CURLM *multi; /* made with the first request, gone at rest */
	struct loop_source *timer;
	unsigned running;
	struct http_req *reqs;
};

struct http_req {
	struct http_req *prev, *next;
	struct http *http;
	CURL *easy;
	struct curl_slist *headers;
	http_body_fn *body;
	http_read_fn *read;
	http_done_fn *done;
	void *arg;
	bool https, stopped, header_overflow;
	size_t header_bytes;
	struct buf error_body;
	char text[CURL_ERROR_SIZE];
};

struct watch {
	struct http *http;
	struct loop_source *source;
	curl_socket_t fd;
};

static void collect(struct http *h);

static void
on_ready(void *arg, uint32_t events)
{
	struct watch *w = arg;
	struct http *h = w->http;
	int mask = 0, running;

	if (events & (EPOLLIN | EPOLLHUP))
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		mask |= CURL_CSELECT_ERR;
	(void)h->curl.multi_socket_action(h->multi, w->fd, mask, &running); /* w may be gone now */
	collect(h);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock)
{
	struct http *h = arg;
	struct watch *w = sock;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL)
			loop_del(&w->source);
		free_ptr(&w);
		(void)h->curl.multi_assign(h->multi, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (w != NULL) {
		loop_fd_events(w->source, events);
		return 0;
	}
	w = xcalloc(1, sizeof(*w));
	w->http = h;
	w->fd = fd;
	w->source = loop_fd(h->loop, fd, events, on_ready, w);
	if (w->source == NULL) {
		free_ptr(&w);
		return -1;
	}
	(void)h->curl.multi_assign(h->multi, fd, w);
	return 0;
}

static void
on_time(void *arg)
{
	struct http *h = arg;
	int running;

	h->timer = NULL;
	(void)h->curl.multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(h);
}

static int
on_timer(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;

	(void)multi;
	loop_del(&h->timer);
	if (ms >= 0)
		h->timer = loop_once(h->loop, (uint64_t)ms, on_time, h);
	return 0;
}

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_req *r = arg;

	(void)p;
	r->header_bytes += size * n;
	if (r->header_bytes > HEADERS_MAX) {
		r->header_overflow = true;
		return 0;
	}
	return size * n;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_req *r = arg;
	size_t room;

	n *= size;
	if (http_status(r) / 100 == 2 && r->body != NULL) {
		switch (r->body(r->arg, r, p, n)) {
		case HTTP_TAKEN_PAUSE:
			(void)r->http->curl.easy_pause(r->easy, CURLPAUSE_RECV);
			return n;
		case HTTP_TAKEN:
			return n;
		case HTTP_PAUSE:
			return CURL_WRITEFUNC_PAUSE;
		case HTTP_STOP:
			break;
		}
		r->stopped = true;
		return 0;
	}
	room = ERROR_BODY_MAX - r->error_body.len;
	(void)buf_add(&r->error_body, p, n < room ? n : room);
	if (n <= room)
		return n;
	r->stopped = true;
	return 0;
}

static size_t
on_read(char *p, size_t size, size_t n, void *arg)
{
	struct http_req *r = arg;
	ssize_t got = r->read == NULL ? 0 : r->read(r->arg, p, size * n);

	return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

static void
req_free(struct http_req **rp)
{
	struct http_req *r = *rp;

	if (r->prev != NULL)
		r->prev->next = r->next;
	else
		r->http->reqs = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	(void)r->http->curl.multi_remove_handle(r->http->multi, r->easy);
	r->http->curl.easy_cleanup(r->easy);
	r->http->curl.slist_free_all(r->headers);
	buf_free(&r->error_body);
	r->http->running--;
	free_ptr(rp);
}

static enum http_fault
fault_of(CURLcode code, const struct http_req *r)
{
	if (r->stopped)
		return http_status(r) / 100 == 2 && r->body != NULL ? HTTP_STOPPED : HTTP_OK;
	if (r->header_overflow)
		return HTTP_BAD;
	if (code == CURLE_OK)
		return HTTP_OK;
	/* A server that expects TLS answers a plain request with bytes that are no HTTP. */
	if (!r->https && r->header_bytes == 0 &&
	    (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY))
		return HTTP_PLAIN_TLS;
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return HTTP_CONNECT;
	case CURLE_SSL_CONNECT_ERROR:
		if (strstr(r->text, "wrong version number") != NULL ||
		    strstr(r->text, "packet length too long") != NULL ||
		    strstr(r->text, "http request") != NULL)
			return HTTP_TLS_PLAIN;
		return HTTP_TLS;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return HTTP_TLS;
	case CURLE_OPERATION_TIMEDOUT: {
		curl_off_t connected = 0;
		long made = 0; /* none: a connection was used again */

		(void)r->http->curl.easy_getinfo(r->easy, CURLINFO_CONNECT_TIME_T, &connected);
		(void)r->http->curl.easy_getinfo(r->easy, CURLINFO_NUM_CONNECTS, &made);
		return connected == 0 && made > 0 ? HTTP_CONNECT : HTTP_STALLED;
	}
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_SEND_FAIL_REWIND: /* an idle connection that was dead: libcurl would have sent it again */
	case CURLE_PARTIAL_FILE:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return HTTP_CUT;
	default:
		return HTTP_BAD;
	}
}

/* libcurl says that it could not connect, but not why. */
static void
connect_words(struct http_req *r)
{
	long why = 0;

	(void)r->http->curl.easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &why);
	if (why != 0)
		(void)snprintf(r->text, sizeof(r->text), "%s", strerror((int)why));
}

/* Ends the requests that libcurl is done with. */
static void
collect(struct http *h)
{
	CURLMsg *m;
	int left;

	while (h->multi != NULL && (m = h->curl.multi_info_read(h->multi, &left)) != NULL) {
		struct http_req *r = NULL;
		enum http_fault fault;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)h->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
		if (r->text[0] == '\0')
			(void)snprintf(r->text, sizeof(r->text), "%s",
			    r->header_overflow ? "too many header bytes"
					       : h->curl.easy_strerror(m->data.result));
		fault = fault_of(m->data.result, r);
		if (m->data.result == CURLE_COULDNT_CONNECT)
			connect_words(r);
		r->done(r->arg, r, fault, r->text);
		req_free(&r);
	}
}

struct http *
http_new(struct loop *l)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->loop = l;
	return h;
}

int
http_load(struct http *h, struct err *e)
{
	const char *proxy = getenv("HTTP_PROXY");
	int r = h->loaded ? 0 : curl_lib_load(&h->curl, e);

	/* libcurl leaves this one alone, for the sake of CGI programs. */
	if (!h->loaded && proxy != NULL)
		(void)setenv("http_proxy", proxy, 0);
	h->loaded = r == 0;
	return r;
}

static void
multi_close(struct http *h)
{
	if (h->multi == NULL)
		return;
	(void)h->curl.multi_cleanup(h->multi);
	h->multi = NULL;
	loop_del(&h->timer);
}

void
http_free(struct http **hp)
{
	struct http *h = *hp;

	if (h == NULL)
		return;
	while (h->reqs != NULL) {
		struct http_req *r = h->reqs;

		req_free(&r);
	}
	multi_close(h);
	free_ptr(hp);
}

void
http_rest(struct http *h)
{
	if (h->multi == NULL || h->running > 0)
		return;
	multi_close(h);
	(void)malloc_trim(0); /* certificates and buffers of a pull were most of the heap */
}

static void
multi_open(struct http *h)
{
	MUST(h->loaded);
	if (h->multi != NULL)
		return;
	h->multi = h->curl.multi_init();
	MUST(h->multi != NULL);
	(void)h->curl.multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)h->curl.multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	(void)h->curl.multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	(void)h->curl.multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
}

/* Options that libcurl knows cannot fail but for memory; one that fails would drop a safeguard. */
#define SET(option, value) MUST(r->http->curl.easy_setopt(r->easy, option, value) == CURLE_OK)

/* Loopback is never asked by way of a proxy: the proxy's loopback is another one. */
static bool
url_is_loopback(const char *url)
{
	const char *at = strstr(url, "://");
	char host[REFERENCE_NAME_MAX + 1];

	at = at == NULL ? url : at + 3;
	(void)snprintf(host, sizeof(host), "%.*s", (int)strcspn(at, "/?"), at);
	return reference_host_is_loopback(host);
}

/* libcurl takes what is not its own without const. */
static void *
pem(struct bytes b)
{
	return (void *)(uintptr_t)b.p;
}

static void
tls_set(struct http_req *r, const struct http_ask *ask)
{
	struct curl_blob ca = { .data = pem(ask->ca), .len = ask->ca.n };
	struct curl_blob cert = { .data = pem(ask->cert), .len = ask->cert.n };
	struct curl_blob key = { .data = pem(ask->key), .len = ask->key.n };

	if (ca.len > 0) /* the host's own folder of certificates stays in force beside it */
		SET(CURLOPT_CAINFO_BLOB, &ca);
	if (cert.len > 0) {
		SET(CURLOPT_SSLCERT_BLOB, &cert);
		SET(CURLOPT_SSLKEY_BLOB, &key);
	}
	if (ask->insecure) {
		SET(CURLOPT_SSL_VERIFYPEER, 0L);
		SET(CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

static void
method_set(struct http_req *r, const struct http_ask *ask)
{
	static const char *const names[] = { NULL, NULL, "POST", "PUT", "PATCH" };

	if (ask->method == HTTP_HEAD)
		SET(CURLOPT_NOBODY, 1L);
	if (ask->method < HTTP_POST)
		return;
	r->read = ask->read;
	SET(CURLOPT_UPLOAD, 1L);
	SET(CURLOPT_CUSTOMREQUEST, names[ask->method]);
	SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)ask->size);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
	SET(CURLOPT_READFUNCTION, on_read);
	SET(CURLOPT_READDATA, r);
}

static void
credentials_set(struct http_req *r, const struct http_ask *ask)
{
	if (ask->bearer != NULL) {
		SET(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
		SET(CURLOPT_XOAUTH2_BEARER, ask->bearer);
	} else if (ask->user != NULL) {
		SET(CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		SET(CURLOPT_USERNAME, ask->user);
		SET(CURLOPT_PASSWORD, ask->password);
	}
}

static void
options_set(struct http_req *r, const struct http_ask *ask)
{
	SET(CURLOPT_PRIVATE, r);
	SET(CURLOPT_ERRORBUFFER, r->text);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, ask->multiplex ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_USERAGENT, "coffer/" CF_VERSION);
	SET(CURLOPT_BUFFERSIZE, r->http->running > MANY ? 65536L : 262144L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)ask->connect_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, RATE_MIN);
	SET(CURLOPT_LOW_SPEED_TIME, (long)ask->stall_s);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, r);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, r);
	if (url_is_loopback(ask->url))
		SET(CURLOPT_PROXY, "");
	method_set(r, ask);
	tls_set(r, ask);
	credentials_set(r, ask);
}

static void
headers_set(struct http_req *r, const struct http_ask *ask)
{
	for (uint32_t i = 0; i < ask->headers.n; i++)
		r->headers = r->http->curl.slist_append(r->headers, ask->headers.v[i]);
	if (ask->accept != NULL) {
		AUTO(free_ptr) char *line = xasprintf("Accept: %s", ask->accept);

		r->headers = r->http->curl.slist_append(r->headers, line);
	}
	if (ask->method >= HTTP_POST) /* else libcurl waits a second for a 100 Continue */
		r->headers = r->http->curl.slist_append(r->headers, "Expect:");
	SET(CURLOPT_HTTPHEADER, r->headers);
}

struct http_req *
http_start(struct http *h, const struct http_ask *ask)
{
	struct http_req *r = xcalloc(1, sizeof(*r));

	multi_open(h);
	r->http = h;
	r->next = h->reqs;
	if (h->reqs != NULL)
		h->reqs->prev = r;
	h->reqs = r;
	h->running++;
	r->body = ask->body;
	r->done = ask->done;
	r->arg = ask->arg;
	r->https = strncasecmp(ask->url, "https:", 6) == 0;
	r->easy = r->http->curl.easy_init();
	MUST(r->easy != NULL);
	options_set(r, ask);
	headers_set(r, ask);
	SET(CURLOPT_URL, ask->url);
	if (ask->to > 0) {
		AUTO(free_ptr)
		char *range = xasprintf(
		    "%llu-%llu", (unsigned long long)ask->from, (unsigned long long)ask->to - 1);

		SET(CURLOPT_RANGE, range);
	} else if (ask->from > 0) {
		AUTO(free_ptr) char *range = xasprintf("%llu-", (unsigned long long)ask->from);

		SET(CURLOPT_RANGE, range);
	}
	MUST(r->http->curl.multi_add_handle(h->multi, r->easy) == CURLM_OK);
	return r;
}

void
http_resume(struct http_req *r)
{
	(void)r->http->curl.easy_pause(r->easy, CURLPAUSE_CONT);
}

void
http_cancel(struct http_req **r)
{
	if (*r != NULL)
		req_free(r);
}

bool
http_heard(const struct http_req *r)
{
	return r->header_bytes > 0;
}

long
http_status(const struct http_req *r)
{
	long status = 0;

	(void)r->http->curl.easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

const char *
http_header(struct http_req *r, const char *name, unsigned nth)
{
	struct curl_header *h;

	if (r->http->curl.easy_header(r->easy, name, nth, CURLH_HEADER, -1, &h) != CURLHE_OK)
		return NULL;
	return h->value;
}

int64_t
http_length(const struct http_req *r)
{
	curl_off_t n = -1;

	(void)r->http->curl.easy_getinfo(r->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &n);
	return n;
}

const char *
http_redirect(const struct http_req *r)
{
	char *url = NULL;

	(void)r->http->curl.easy_getinfo(r->easy, CURLINFO_REDIRECT_URL, &url);
	return url;
}

const char *
http_error_body(const struct http_req *r)
{
	return buf_str(&r->error_body);
}

char *
http_escape(const char *text)
{
	static const char plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	struct buf b = BUF_ZERO;

	for (; *text != '\0'; text++)
		if (strchr(plain, *text) != NULL)
			(void)buf_add(&b, text, 1);
		else
			(void)buf_addf(&b, "%%%02X", (unsigned char)*text);
	return buf_take(&b);
}
