/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch - see fetch.h. Blobs; documents are in fetch_doc.c.
 *
 *	OPENING --READY--> ASKING --body--> ingest --all bytes--> FINISHING --DONE--> waiters told
 *	   ^                  | broke            | Range not honoured: restart from 0
 *	   |                  v                  v
 *	   +---- restart   WAITING (backoff)   (paused until READY)
 */
#include "workers/content/fetch.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "workers/content/ingest.h"

struct fetch {
	struct fetch *next;	   /* the first is the owner */
	struct transfer *transfer; /* NULL: it is over, its callback is about to come */
	struct remote *remote;
	uint64_t size; /* what this caller was told; the owner's goes first */
	fetch_done_fn *done;
	fetch_moved_fn *moved;
	void *arg;
};

struct transfer {
	struct transfer *prev, *next;
	struct content *c;
	struct digest digest;
	uint64_t size;
	struct fetch *waiters;
	struct ingest *in;
	bool ready;	/* the ingest takes bytes */
	bool finishing; /* all bytes came */
	struct remote_req *req;
	struct loop_source *timer; /* until the next attempt */
	uint64_t from;		   /* what the running request asked for */
	bool begun, paused;
	bool no_range;	     /* Range does not work here */
	bool pieced;	     /* what is on disk was not written in one go */
	bool second_chance;  /* one clean download after a pieced one was wrong */
	struct err body_err; /* why the body callback stopped */
	unsigned attempts;
	uint64_t best, bytes;
};

static void transfer_ask(struct transfer *t);

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
	remote_cancel(&t->req);
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

	transfer_free(&t, keep);
	for (struct fetch *w = f; w != NULL; w = w->next)
		w->transfer = NULL;
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

/* The first waiter is the owner now, and its word about the size counts. */
static void
owner_new(struct transfer *t)
{
	t->attempts = 0;
	t->best = t->bytes = 0;
	t->no_range = t->second_chance = false;
	t->size = t->waiters->size;
	ingest_expect(t->in, t->size);
	remote_cancel(&t->req);
	loop_del(&t->timer);
	if (t->ready && !t->finishing)
		transfer_ask(t);
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
	if (e->code == ERR_DATA_LOSS) {
		t->ready = t->finishing = false;
		ingest_restart(t->in);
	}
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
	if (t->ready)
		transfer_ask(t);
}

/* An attempt broke: another one, unless too many brought nothing. */
static void
attempt_failed(struct transfer *t, const struct err *e, unsigned after_s)
{
	uint64_t offset = ingest_offset(t->in);

	ingest_flush(t->in);
	if (offset > t->best) {
		t->best = offset;
		t->attempts = 0;
	}
	if (++t->attempts > t->c->options.retries) {
		owner_fail(t, e);
		return;
	}
	log_debug("blob %s at %llu of %llu: attempt %u: %s", t->digest.text,
	    (unsigned long long)offset, (unsigned long long)t->size, t->attempts, e->msg);
	t->timer = loop_once(t->c->loop, fetch_pause_ms(t->attempts, after_s), on_pause_over, t);
}

/* --- the body ------------------------------------------------------------------------------------ */

/* "bytes FROM-.." */
static bool
range_starts_at(const char *header, uint64_t from)
{
	unsigned long long start;

	return header != NULL && strlen(header) < 128 &&
	       sscanf(header, "bytes %20llu-", &start) == 1 && start == from;
}

/* Looks at the head of the answer. False: stop, body_err says why; *wait: the ingest starts anew. */
static bool
body_begin(struct transfer *t, struct http_req *h, bool *wait)
{
	bool partial = http_status(h) == 206;
	int64_t length = http_length(h);

	*wait = false;
	if (partial &&
	    (t->from == 0 || !range_starts_at(http_header(h, "Content-Range", 0), t->from))) {
		t->no_range = true;
		(void)err_set(&t->body_err, ERR_UNAVAILABLE,
		    "registry answers with another part of blob %s than asked for", t->digest.text);
		return false;
	}
	if (!partial && t->from > 0) {
		t->from = 0;
		t->no_range = true;
		t->ready = false;
		ingest_restart(t->in);
		*wait = true;
	}
	if (length >= 0 && (uint64_t)length != t->size - t->from) {
		(void)err_set(&t->body_err, ERR_DATA_LOSS,
		    "registry offers %lld bytes of blob %s where %llu were announced",
		    (long long)length, t->digest.text, (unsigned long long)(t->size - t->from));
		return false;
	}
	t->begun = true;
	return true;
}

static enum http_take
on_body(void *arg, struct http_req *h, const void *p, size_t n)
{
	struct transfer *t = arg;
	bool wait = false;

	if (!t->begun && !body_begin(t, h, &wait))
		return HTTP_STOP;
	if (wait || !t->ready) {
		t->paused = true;
		return HTTP_PAUSE;
	}
	if (ingest_offset(t->in) + n > t->size) {
		(void)err_set(&t->body_err, ERR_DATA_LOSS,
		    "blob %s is longer than the %llu bytes that were announced", t->digest.text,
		    (unsigned long long)t->size);
		return HTTP_STOP;
	}
	if (!ingest_add(t->in, p, n)) {
		t->paused = true;
		return HTTP_PAUSE;
	}
	t->bytes += n;
	for (struct fetch *f = t->waiters; f != NULL; f = f->next)
		if (f->moved != NULL)
			f->moved(f->arg, ingest_offset(t->in));
	return HTTP_TAKEN;
}

static void
on_answer(void *arg, const struct remote_result *res)
{
	struct transfer *t = arg;
	struct err e = res->err;
	long status = res->http == NULL ? 0 : http_status(res->http);

	t->req = NULL;
	if (res->stopped) {
		e = t->body_err;
		if (e.code == ERR_UNAVAILABLE) { /* a wrong part: from the start, without Range */
			t->ready = false;
			ingest_restart(t->in);
			return;
		}
		owner_fail(t, &e);
		return;
	}
	if (e.code == ERR_NONE && ingest_offset(t->in) == t->size) {
		t->finishing = true;
		ingest_finish(t->in);
		return;
	}
	if (e.code == ERR_NONE) {
		(void)err_set(&e, ERR_UNAVAILABLE, "blob %s was cut short: %llu of %llu bytes came",
		    t->digest.text, (unsigned long long)ingest_offset(t->in),
		    (unsigned long long)t->size);
		attempt_failed(t, &e, 0);
		return;
	}
	if (status == 416 && t->from > 0) {
		t->no_range = true;
		t->ready = false;
		ingest_restart(t->in);
		return;
	}
	if (res->again == REMOTE_FINAL) {
		owner_fail(t, &e);
		return;
	}
	(void)err_wrap(&e, "blob %s: %llu of %llu bytes came", t->digest.text,
	    (unsigned long long)ingest_offset(t->in), (unsigned long long)t->size);
	attempt_failed(t, &e, res->after_s);
}

static void
transfer_ask(struct transfer *t)
{
	struct remote_get get = {
		.kind = "blobs",
		.what = t->digest.text,
		.body = on_body,
		.done = on_answer,
		.arg = t,
	};

	if (ingest_offset(t->in) == t->size) {
		t->finishing = true;
		ingest_finish(t->in);
		return;
	}
	if (t->no_range && ingest_offset(t->in) > 0) {
		t->ready = false;
		ingest_restart(t->in);
		return;
	}
	t->from = get.from = ingest_offset(t->in);
	if (t->from > 0)
		t->pieced = true;
	t->begun = t->paused = false;
	t->body_err = ERR_ZERO;
	t->req = remote_start(t->waiters->remote, &get);
}

static void
on_ingest_failed(struct transfer *t, const struct err *e)
{
	struct err kept = *e;

	t->finishing = false;
	if (e->code == ERR_DATA_LOSS && t->pieced && !t->second_chance) {
		t->second_chance = true;
		t->pieced = t->ready = false;
		ingest_restart(t->in);
		return;
	}
	if (e->code == ERR_DATA_LOSS) {
		owner_fail(t, &kept);
		return;
	}
	transfer_end(t, false, &kept); /* the disk: nobody else would fare better */
}

static void
on_ingest(void *arg, enum ingest_event what, const struct err *e)
{
	struct transfer *t = arg;

	switch (what) {
	case INGEST_READY:
		t->ready = true;
		if (ingest_offset(t->in) > 0)
			t->pieced = true;
		if (t->req == NULL && t->timer == NULL) {
			transfer_ask(t);
			return;
		}
		/* fallthrough */
	case INGEST_ROOM:
		if (t->paused && t->req != NULL) {
			t->paused = false;
			remote_resume(t->req);
		}
		return;
	case INGEST_DONE:
		transfer_end(t, true, NULL);
		return;
	case INGEST_FAILED:
		on_ingest_failed(t, e);
		return;
	}
}

struct fetch *
fetch_start(struct content *c, struct remote *r, const struct digest *d, uint64_t size,
    fetch_done_fn *done, fetch_moved_fn *moved, void *arg)
{
	struct fetch *f = xcalloc(1, sizeof(*f)), **end;
	struct transfer *t = c->transfers;

	f->remote = r;
	f->size = size;
	f->done = done;
	f->moved = moved;
	f->arg = arg;
	while (t != NULL && !digest_equal(&t->digest, d))
		t = t->next;
	if (t == NULL) {
		t = xcalloc(1, sizeof(*t));
		t->c = c;
		t->digest = *d;
		t->size = size;
		t->next = c->transfers;
		if (c->transfers != NULL)
			c->transfers->prev = t;
		c->transfers = t;
		t->in = ingest_open(&c->blobs, d, size, on_ingest, t);
	}
	for (end = &t->waiters; *end != NULL; end = &(*end)->next)
		;
	*end = f;
	f->transfer = t;
	return f;
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
