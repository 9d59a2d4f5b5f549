/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch - see fetch.h. Blobs; documents are in fetch_doc.c.
 *
 *	OPENING --READY--> streams bring what is missing --all bytes--> FINISHING --DONE--> waiters told
 *	   ^                  |                  | Range not honoured: one stream, from 0
 *	   +---- restart -----+------------------+
 *
 * What is missing is asked for from the front. Much of it is asked for in pieces: the first request tells
 * whether the registry honours Range; then up to options.streams of them run at once, each taking the
 * next piece when it has brought its own. Else one stream asks for all.
 *
 * A stream that breaks leaves its piece to others. They go on, one fewer until one has brought a piece;
 * when none is left, the next attempt comes after a pause.
 */
#include "workers/content/fetch.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "workers/content/ingest.h"

#define PIECES_FROM (32ULL << 20) /* so much is worth several connections */
#define PIECE_MIN (1ULL << 20) /* pieces begin at multiples of it: behind holes of whole blocks */
#define PIECE_MAX (16ULL << 20)
#define TELL_BYTES (128U << 10) /* libcurl hands out 16 KiB at a time */
#define PROGRESS_MIN 4096	/* an attempt that brought less brought nothing */

struct fetch {
	struct fetch *next;	   /* the first is the owner */
	struct transfer *transfer; /* NULL: it is over, its callback is about to come */
	struct remote *remote;
	uint64_t size; /* what this caller was told; the owner's goes first */
	fetch_done_fn *done;
	fetch_moved_fn *moved;
	void *arg;
	uint32_t take; /* once it is over */
};

/* One request and what it is to bring. */
struct stream {
	struct transfer *t;
	struct remote_req *req; /* NULL: none runs */
	struct span want;
	uint64_t at;   /* came so far; want.from at first */
	uint64_t told; /* of them, to the waiters */
	bool whole;    /* asked without an end */
	bool begun, paused;
	bool wrong;	     /* another part came than asked for */
	struct err body_err; /* why the body callback stopped */
};

struct transfer {
	struct transfer *prev, *next;
	struct content *c;
	struct digest digest;
	char scope[IDENT_MAX + 1]; /* namespace that has it for itself; "": everybody */
	uint64_t size;
	struct fetch *waiters;
	struct ingest *in;
	bool ready;	/* the ingest takes bytes */
	bool finishing; /* all bytes came */
	struct stream streams[FETCH_STREAMS_MAX];
	unsigned most;		   /* streams at once, as things are */
	struct loop_source *timer; /* when to look what may be started */
	uint64_t piece;		   /* 0: no pieces */
	bool ranges;		   /* Range works here */
	bool no_range;		   /* it does not */
	bool single;		   /* in one go, whatever works */
	bool pieced;		   /* what is on disk was not written in one go */
	bool second_chance;	   /* one clean download after a pieced one was wrong */
	unsigned attempts;
	unsigned place; /* who answered last: see remote_distrust */
	uint64_t best, bytes;
};

static void transfer_pump(struct transfer *t);

static void
streams_stop(struct transfer *t)
{
	for (unsigned i = 0; i < COUNT(t->streams); i++)
		remote_cancel(&t->streams[i].req);
}

static unsigned
streams_running(const struct transfer *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < COUNT(t->streams); i++)
		n += t->streams[i].req != NULL;
	return n;
}

static void
transfer_free(struct transfer **tp, bool keep)
{
	struct transfer *t = *tp;

	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		t->c->transfers = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	streams_stop(t);
	loop_del(&t->timer);
	ingest_close(&t->in, keep);
	free_ptr(tp);
}

/* Everybody is told the same; t is gone. */
static void
transfer_end(struct transfer *t, bool keep, const struct err *e)
{
	struct fetch *f = t->waiters;
	uint64_t bytes = t->bytes, size = t->size;
	struct digest digest = t->digest;
	struct ingest_place place;

	ingest_place(t->in, &place);
	transfer_free(&t, keep);
	for (struct fetch *w = f; w != NULL; w = w->next) {
		w->transfer = NULL;
		w->take = place.take;
	}
	while (f != NULL) {
		struct fetch *next;
		struct err other = ERR_ZERO;

		if (e == NULL && f->size != size)
			(void)err_set(&other, ERR_DATA_LOSS,
			    "blob %s is %llu bytes long, not the %llu that were announced",
			    digest.text, (unsigned long long)size, (unsigned long long)f->size);
		if (f->done != NULL)
			f->done(f->arg, bytes, other.code != ERR_NONE ? &other : e);
		bytes = 0;
		next = f->next;
		free_ptr(&f);
		f = next;
	}
}

/* From the first byte again, once the ingest is READY. */
static void
restart(struct transfer *t)
{
	streams_stop(t);
	t->ready = t->finishing = t->pieced = false;
	ingest_restart(t->in);
}

/* The first waiter is the owner now, and its word about the size counts. */
static void
owner_new(struct transfer *t)
{
	t->attempts = 0;
	t->best = t->bytes = t->piece = 0;
	t->ranges = t->no_range = t->single = t->second_chance = false;
	t->most = t->c->options.streams;
	t->size = t->waiters->size;
	ingest_expect(t->in, t->size);
	streams_stop(t);
	loop_del(&t->timer);
	transfer_pump(t);
}

/* The owner gives up with e; the next one goes on where it stopped. */
static void
owner_fail(struct transfer *t, const struct err *e)
{
	struct fetch *owner = t->waiters;
	struct err kept = *e;
	bool keep = e->code == ERR_UNAVAILABLE;

	if (owner->next == NULL) {
		transfer_end(t, keep, &kept);
		return;
	}
	t->waiters = owner->next;
	if (e->code == ERR_DATA_LOSS)
		restart(t);
	owner_new(t);
	owner->done(owner->arg, 0, &kept);
	free_ptr(&owner);
}

uint64_t
fetch_pause_ms(unsigned attempt, unsigned after_s)
{
	uint64_t ms = 200ULL << (attempt > 6 ? 6 : attempt - 1);
	uint16_t chance = 0;

	if (ms > 10000)
		ms = 10000;
	(void)!getrandom(&chance, sizeof(chance), GRND_NONBLOCK);
	ms += ms * chance / (4 * 65536);
	return after_s * 1000ULL > ms ? after_s * 1000ULL : ms;
}

static void
on_pause_over(void *arg)
{
	struct transfer *t = arg;

	t->timer = NULL;
	transfer_pump(t);
}

static void
moved_tell(struct transfer *t)
{
	uint64_t came = spans_sum(ingest_spans(t->in));

	for (struct fetch *f = t->waiters; f != NULL; f = f->next)
		if (f->moved != NULL)
			f->moved(f->arg, came);
}

/* An attempt broke: another one, unless too many brought nothing. While other streams bring something
 * they are the attempt; they need not be as many. */
static void
attempt_failed(struct transfer *t, const struct err *e, unsigned after_s)
{
	uint64_t came = spans_sum(ingest_spans(t->in));
	unsigned running = streams_running(t);

	ingest_flush(t->in);
	moved_tell(t);
	if (running > 0) {
		t->most = running;
		return;
	}
	if (came >= t->best + PROGRESS_MIN) {
		t->best = came;
		t->attempts = 0;
	}
	if (++t->attempts > t->c->options.retries) {
		owner_fail(t, e);
		return;
	}
	log_debug("blob %s at %llu of %llu: attempt %u: %s", t->digest.text,
	    (unsigned long long)came, (unsigned long long)t->size, t->attempts, e->msg);
	loop_del(&t->timer);
	t->timer = loop_once(t->c->loop, fetch_pause_ms(t->attempts, after_s), on_pause_over, t);
}

/* --- the body ------------------------------------------------------------------------------------ */

/* "bytes FROM-TO/SIZE": is it what was asked for? */
static bool
range_is_ours(const char *header, const struct stream *s)
{
	unsigned long long first, last;

	return header != NULL && strlen(header) < 128 &&
	       sscanf(header, "bytes %20llu-%20llu", &first, &last) == 2 && first == s->want.from &&
	       last == s->want.to - 1;
}

/* Stops the stream: the registry's Range is not to be relied upon. */
static bool
range_wrong(struct stream *s)
{
	s->wrong = true;
	(void)err_set(&s->body_err, ERR_DATA_LOSS,
	    "registry answers with another part of blob %s than asked for", s->t->digest.text);
	return false;
}

/* All of the blob comes, whatever was asked for: it is taken from 0. */
static void
whole_comes(struct stream *s)
{
	struct transfer *t = s->t;

	t->no_range = true;
	t->pieced = false;
	s->want = (struct span){ .from = 0, .to = t->size };
	s->at = s->told = 0;
	if (ingest_spans(t->in)->n > 0) {
		t->ready = false;
		ingest_restart(t->in);
	}
}

/* Looks at the head of the answer. False: stop, body_err says why. */
static bool
body_begin(struct stream *s, struct http_req *h)
{
	struct transfer *t = s->t;
	bool partial = http_status(h) == 206, asked = s->want.from > 0 || !s->whole;
	int64_t length = http_length(h);

	if (partial && (!asked || !range_is_ours(http_header(h, "Content-Range", 0), s)))
		return range_wrong(s);
	if (!partial && asked && streams_running(t) > 1)
		return range_wrong(s); /* nothing can be ended from here */
	if (!partial && asked)
		whole_comes(s);
	if (partial && !t->ranges && t->timer == NULL) /* nor started */
		t->timer = loop_once(t->c->loop, 0, on_pause_over, t);
	t->ranges = t->ranges || partial;
	if (length >= 0 && (uint64_t)length != s->want.to - s->want.from) {
		(void)err_set(&s->body_err, ERR_DATA_LOSS,
		    "registry offers %lld bytes of blob %s where %llu were announced",
		    (long long)length, t->digest.text,
		    (unsigned long long)(s->want.to - s->want.from));
		return false;
	}
	s->begun = true;
	return true;
}

static enum http_take
on_body(void *arg, struct http_req *h, const void *p, size_t n)
{
	struct stream *s = arg;
	struct transfer *t = s->t;

	if (!s->begun && !body_begin(s, h))
		return HTTP_STOP;
	if (s->at + n > s->want.to) {
		(void)err_set(&s->body_err, ERR_DATA_LOSS,
		    "blob %s is longer than the %llu bytes that were announced", t->digest.text,
		    (unsigned long long)t->size);
		return HTTP_STOP;
	}
	if (!t->ready || !ingest_add(t->in, s->at, p, n)) {
		s->paused = true;
		return HTTP_PAUSE;
	}
	s->at += n;
	t->bytes += n;
	if (s->at - s->told >= TELL_BYTES || s->at == s->want.to) {
		s->told = s->at;
		moved_tell(t);
	}
	if (s->paused || s->at == s->want.to || !ingest_full(t->in))
		return HTTP_TAKEN; /* what libcurl had at hand comes after a pause too */
	s->paused = true;
	return HTTP_TAKEN_PAUSE;
}

/* What is missing and nobody is bringing: where the next stream begins and ends. */
static bool
gap_next(const struct transfer *t, struct span *ret)
{
	struct spans all = *ingest_spans(t->in);
	uint64_t end;

	for (unsigned i = 0; i < COUNT(t->streams); i++)
		if (t->streams[i].req != NULL &&
		    !spans_add(&all, t->streams[i].at, t->streams[i].want.to))
			return false;
	if (!spans_gap(&all, t->size, ret))
		return false;
	end = (ret->from + t->piece) / PIECE_MIN * PIECE_MIN;
	if (t->piece > 0 && end < ret->to)
		ret->to = end;
	return true;
}

/* The registry's Range is of no use: all again, by one request. */
static void
range_given_up(struct transfer *t)
{
	t->no_range = true;
	restart(t);
}

/* What came is not the blob: another place may have it, else it is the owner's end. */
static void
wrong_bytes(struct transfer *t, const struct err *e)
{
	if (!remote_distrust(t->waiters->remote, t->place)) {
		owner_fail(t, e);
		return;
	}
	log_debug("blob %s: asked elsewhere: %s", t->digest.text, e->msg);
	restart(t);
}

/* An answer that was whole by its own account. */
static void
cut_short(struct transfer *t, struct err *e)
{
	(void)remote_distrust(t->waiters->remote, t->place);
	(void)err_set(e, ERR_UNAVAILABLE, "blob %s was cut short: %llu of %llu bytes came",
	    t->digest.text, (unsigned long long)spans_sum(ingest_spans(t->in)),
	    (unsigned long long)t->size);
}

static void
on_answer(void *arg, const struct remote_result *res)
{
	struct stream *s = arg;
	struct transfer *t = s->t;
	struct err e = res->err;
	long status = res->http == NULL ? 0 : http_status(res->http);

	s->req = NULL;
	t->place = res->place;
	if ((s->wrong && !t->no_range) || (status == 416 && s->want.from > 0)) {
		range_given_up(t);
		return;
	}
	if (res->stopped) {
		e = s->body_err;
		wrong_bytes(t, &e);
		return;
	}
	if (e.code == ERR_NONE && s->at == s->want.to) {
		if (t->most < t->c->options.streams)
			t->most++;
		ingest_flush(t->in);
		transfer_pump(t);
		return;
	}
	if (e.code == ERR_NONE)
		cut_short(t, &e);
	else if (res->again != REMOTE_FINAL)
		(void)err_wrap(&e, "blob %s: %llu of %llu bytes came", t->digest.text,
		    (unsigned long long)spans_sum(ingest_spans(t->in)),
		    (unsigned long long)t->size);
	else if (streams_running(t) == 0) {
		owner_fail(t, &e);
		return;
	}
	attempt_failed(t, &e, res->after_s);
}

static void
stream_start(struct stream *s, struct transfer *t, const struct span *want)
{
	struct remote_ask ask = {
		.kind = "blobs",
		.what = t->digest.text,
		.from = want->from,
		.body = on_body,
		.done = on_answer,
		.arg = s,
	};

	*s = (struct stream){ .t = t, .want = *want, .at = want->from, .told = want->from };
	s->whole = want->to == t->size && (t->piece == 0 || want->from > 0);
	ask.to = s->whole ? 0 : want->to;
	if (want->from > 0 || !s->whole)
		t->pieced = true;
	s->req = remote_start(t->waiters->remote, &ask);
}

/* In pieces, or not: settled when streams start and none runs. */
static void
pieces_settle(struct transfer *t)
{
	uint64_t missing = t->size - spans_sum(ingest_spans(t->in));

	t->piece = missing / (4ULL * t->c->options.streams);
	t->piece = t->piece > PIECE_MAX ? PIECE_MAX : t->piece < PIECE_MIN ? PIECE_MIN : t->piece;
	if (t->no_range || t->single || missing < PIECES_FROM || t->c->options.streams == 1)
		t->piece = 0;
}

/* Starts what may be started, or finishes. */
static void
transfer_pump(struct transfer *t)
{
	const struct spans *have = ingest_spans(t->in);
	unsigned running = streams_running(t), most;
	struct span want;

	if (!t->ready || t->finishing || t->timer != NULL)
		return;
	if (running == 0 && spans_front(have) == t->size) {
		t->finishing = true;
		ingest_finish(t->in);
		return;
	}
	if (running == 0 && have->n > 0 && (t->no_range || spans_sum(have) > t->size)) {
		restart(t);
		return;
	}
	if (running == 0)
		pieces_settle(t);
	most = t->piece > 0 && t->ranges ? t->most : 1;
	for (unsigned i = 0; i < COUNT(t->streams) && running < most; i++)
		if (t->streams[i].req == NULL && gap_next(t, &want)) {
			stream_start(&t->streams[i], t, &want);
			running++;
		}
}

static void
on_ingest_failed(struct transfer *t, const struct err *e)
{
	struct err kept = *e;

	if (e->code == ERR_DATA_LOSS && t->pieced && !t->second_chance) {
		t->second_chance = t->single = true;
		restart(t);
		return;
	}
	if (e->code == ERR_DATA_LOSS) {
		t->finishing = false;
		wrong_bytes(t, &kept);
		return;
	}
	transfer_end(t, false, &kept); /* the disk: nobody else would fare better */
}

static void
streams_resume(struct transfer *t)
{
	for (unsigned i = 0; i < COUNT(t->streams); i++) {
		struct stream *s = &t->streams[i];

		if (!s->paused || s->req == NULL)
			continue;
		s->paused = false;
		remote_resume(s->req);
	}
}

static void
on_ingest(void *arg, enum ingest_event what, const struct err *e)
{
	struct transfer *t = arg;

	switch (what) {
	case INGEST_READY:
		t->ready = true;
		if (ingest_spans(t->in)->n > 0)
			t->pieced = true;
		streams_resume(t);
		transfer_pump(t);
		return;
	case INGEST_ROOM:
		streams_resume(t);
		return;
	case INGEST_DONE:
		transfer_end(t, true, NULL);
		return;
	case INGEST_FAILED:
		on_ingest_failed(t, e);
		return;
	}
}

static struct transfer *
transfer_new(struct content *c, const char *scope, const struct digest *d, uint64_t size)
{
	struct transfer *t = xcalloc(1, sizeof(*t));

	t->c = c;
	t->digest = *d;
	(void)snprintf(t->scope, sizeof(t->scope), "%s", scope);
	t->size = size;
	t->most = c->options.streams;
	t->next = c->transfers;
	if (c->transfers != NULL)
		c->transfers->prev = t;
	c->transfers = t;
	t->in = ingest_open(&c->blobs, scope, d, size, on_ingest, t);
	return t;
}

struct fetch *
fetch_start(struct content *c, const struct fetch_ask *ask)
{
	const char *scope = c->options.isolated ? ask->ns : "";
	struct fetch *f = xcalloc(1, sizeof(*f)), **end;
	struct transfer *t = c->transfers;

	f->remote = ask->remote;
	f->size = ask->size;
	f->done = ask->done;
	f->moved = ask->moved;
	f->arg = ask->arg;
	while (
	    t != NULL && !(digest_equal(&t->digest, ask->digest) && strcmp(t->scope, scope) == 0))
		t = t->next;
	if (t == NULL)
		t = transfer_new(c, scope, ask->digest, ask->size);
	for (end = &t->waiters; *end != NULL; end = &(*end)->next)
		;
	*end = f;
	f->transfer = t;
	return f;
}

bool
fetch_place(const struct fetch *f, struct ingest_place *ret)
{
	if (f->transfer == NULL)
		return false;
	ingest_place(f->transfer->in, ret);
	return ret->take != 0;
}

uint32_t
fetch_take(const struct fetch *f)
{
	return f->take;
}

void
fetch_cancel(struct fetch **fp, bool keep)
{
	struct fetch *f = *fp, **at;
	struct transfer *t;
	bool owner;

	if (f == NULL)
		return;
	*fp = NULL;
	t = f->transfer;
	if (t == NULL) {
		f->done = NULL;
		return;
	}
	owner = t->waiters == f;
	for (at = &t->waiters; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	free_ptr(&f);
	if (t->waiters == NULL) {
		transfer_free(&t, keep);
	} else if (owner) {
		owner_new(t);
	}
}
