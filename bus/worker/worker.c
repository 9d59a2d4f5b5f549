/* SPDX-License-Identifier: Apache-2.0 */
/* worker - the skeleton's main and what it gives to handlers; see worker.h. */
#include "bus/worker/worker.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/wire/wire.h"
#include "bus/worker/impl.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fdpass.h"
#include "lib/base/log.h"
#include "supervisor/control.h"

#define BEAT_MS 1000
#define GATHER_MS 10 /* events that come close together reach the journal in one transaction */
#define REPLY_AGE_MS (10 * 60 * 1000)
#define EXPIRE_EVERY 60 /* beats */

static struct board
    *words_board; /* where a failed MUST leaves its words: there is no argument to carry it */

static void
keep_words(const char *text)
{
	(void)snprintf(
	    words_board->self.last_words, sizeof(words_board->self.last_words), "%s", text);
}

/* Hands freed memory back once a busy spell is over: a pull's buffers would stay for ever. */
static void
trim(struct worker *w)
{
	const struct board_self *s = &w->board->self;
	uint64_t answers = s->served + s->failed;

	if (answers == w->trimmed_at)
		return;
	w->trimmed_at = answers;
	(void)malloc_trim(0);
}

static void
on_beat(void *arg)
{
	struct worker *w = arg;
	struct err e = ERR_ZERO;

	__atomic_store_n(&w->board->self.beat_mono_ms, clock_mono_ms(), __ATOMIC_RELAXED);
	trim(w);
	if (w->spec->tick != NULL)
		w->spec->tick(w, w->state);
	if (clock_mono_ms() / BEAT_MS % EXPIRE_EVERY != 0)
		return;
	for (unsigned i = 0; i < w->nstores; i++)
		if (store_replies_expire(w->stores[i], REPLY_AGE_MS, &e) < 0)
			log_warn("expire stored replies: %s", e.msg);
}

static void
on_signal(void *arg, int signo)
{
	(void)signo;
	worker_stop(arg, 0);
}

/* Without an actor that reads orders, the control socket only tells that the supervisor is gone. */
static void
on_control(void *arg, uint32_t events)
{
	struct worker *w = arg;
	char byte;

	(void)events;
	if (read(CONTROL_FD, &byte, 1) == 0 || (errno != EAGAIN && errno != EINTR))
		worker_stop(w, 0);
}

static int
say_ready(struct err *e)
{
	struct order ready = {
		.version = CONTROL_VERSION, .size = sizeof(ready), .op = CONTROL_READY
	};

	if (fdpass_send(CONTROL_FD, &ready, sizeof(ready), NULL, 0) < 0)
		return err_sys(e, errno, "tell the supervisor that we are ready");
	return 0;
}

static int
worker_open(struct worker *w, struct err *e)
{
	int r = board_map(BOARD_FD, 1, &w->board, e);

	if (r < 0)
		return r;
	words_board = w->board;
	must_hook = keep_words;
	w->board->self.in_hand_set = 0;
	w->board->self.in_flight = 0;
	__atomic_store_n(&w->board->self.beat_mono_ms, clock_mono_ms(), __ATOMIC_RELAXED);
	w->loop = loop_new();
	if (w->loop == NULL)
		return err_sys(e, errno, "make an event loop");
	if (loop_signal(w->loop, SIGTERM, on_signal, w) == NULL ||
	    loop_signal(w->loop, SIGINT, on_signal, w) == NULL)
		return err_sys(e, errno, "listen to signals");
	return w->spec->open == NULL ? 0 : w->spec->open(w, &w->state, e);
}

static int
worker_take_mailbox(struct worker *w, struct err *e)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/bus/%s.sock", w->args.state, w->name);
	return mailbox_open(client_hub(w->client), MAILBOX_FD, path, dispatch_mail, dispatch_gone,
	    w, &w->mailbox, e);
}

static int
worker_begin(struct worker *w, struct err *e)
{
	int r = worker_open(w, e);

	if (r < 0 || (r = jail_enter(w, e)) < 0 ||
	    (r = client_new(w->loop, w->args.state, &w->client, e)) < 0 ||
	    (r = w->spec->start(w, w->state, e)) < 0 || (r = worker_take_mailbox(w, e)) < 0)
		return r;
	if (w->control == NULL && w->spec->proc != PROC_TASK)
		w->control = loop_fd(w->loop, CONTROL_FD, EPOLLIN, on_control, w);
	if (loop_every(w->loop, BEAT_MS, on_beat, w) == NULL)
		return err_sys(e, errno, "start the beat");
	r = say_ready(e);
	if (r == 0 && w->spec->ready != NULL)
		w->spec->ready(w, w->state);
	return r;
}

int
worker_main(int argc, char **argv, const struct worker_spec *spec)
{
	static const char *const names[PROC_COUNT] = {
#define PROC(NAME, name, uid, caps, doc) #name,
#include "schemas/procs.def"
	};
	struct worker *w = xcalloc(1, sizeof(*w));
	struct err e = ERR_ZERO;
	int status;

	w->spec = spec;
	w->name = names[spec->proc];
	if (arguments_parse(argc, argv, &w->args) < 0)
		return 2;
	(void)mallopt(
	    M_ARENA_MAX, 1); /* libzmq's threads allocate little: not worth an arena each */
	(void)umask(077);
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	if (worker_begin(w, &e) < 0) {
		log_error("cannot start: %s", e.msg);
		if (w->board != NULL)
			keep_words(e.msg);
		return 1;
	}
	log_debug("ready");
	status = loop_run(w->loop);
	w->ending = true;
	if (spec->close != NULL)
		spec->close(w->state);
	/* Not by way of libzmq's threads: joining them could wait for ever when the daemon had been killed, and
	 * whoever waits for an answer asks again. */
	_exit(status);
}

struct loop *
worker_loop(struct worker *w)
{
	return w->loop;
}

struct client *
worker_client(struct worker *w)
{
	return w->client;
}

const char *
worker_root(const struct worker *w)
{
	return w->args.root;
}

const char *
worker_state(const struct worker *w)
{
	return w->args.state;
}

const char *
worker_option(const struct worker *w, const char *key)
{
	for (unsigned i = w->args.noptions; i > 0; i--) /* the last one counts */
		if (strcmp(w->args.keys[i - 1], key) == 0)
			return w->args.values[i - 1];
	return NULL;
}

struct board *
worker_board(struct worker *w)
{
	return w->board;
}

void
worker_store(struct worker *w, struct store *s)
{
	MUST(w->nstores < STORES_MAX);
	w->stores[w->nstores++] = s;
}

void
worker_outbox_wake(struct worker *w)
{
	if (w->outbox_wake == NULL)
		w->outbox_wake = loop_once(w->loop, GATHER_MS, outbox_wake, w);
}

void
worker_stop(struct worker *w, int status)
{
	loop_stop(w->loop, status);
}

struct worker *
call_worker(struct call *c)
{
	return c->worker;
}

struct arena *
call_arena(struct call *c)
{
	return &c->arena;
}

const char *
call_ns(const struct call *c)
{
	return c->ns;
}

const char *
call_lease(const struct call *c)
{
	return c->lease[0] == '\0' ? NULL : c->lease;
}

const uint8_t *
call_id(const struct call *c)
{
	return c->id;
}

const char *
call_id_text(const struct call *c)
{
	return c->id_text;
}

const struct method *
call_method(const struct call *c)
{
	return c->method;
}

uid_t
call_uid(const struct call *c)
{
	return c->uid;
}

pid_t
call_pid(const struct call *c)
{
	return c->pid;
}

unsigned
call_by(const struct call *c)
{
	return c->by;
}

void
call_note_set(struct call *c, void *note)
{
	c->note = note;
}

void *
call_note(struct call *c)
{
	return c->note;
}

int
call_commit(struct call *c, struct txn **t, const void *rep, struct err *e)
{
	AUTO(buf_free) struct buf body = BUF_LIMIT(BUS_MSG_MAX - 1024);
	int r = wire_encode(c->method->rep, rep, &body, e);

	if (r == 0)
		r = store_reply_put(*t, c->id, body.data, body.len, e);
	if (r == 0)
		r = store_commit(t, e);
	store_abort(t); /* nothing when it was committed */
	if (r == 0)
		worker_outbox_wake(c->worker);
	return r;
}
