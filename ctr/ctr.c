/* SPDX-License-Identifier: Apache-2.0 */
/* ctr - see ctr.h: finding the verb, calling the daemon, saying what was wrong. */
#include "ctr/ctr.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bus/board/board.h"
#include "bus/wire/wire.h"
#include "ctr/help.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/ident.h"

/* A worker lets go of what was given up at once; one that was killed is back within a second. */
#define GIVE_UP_MS 5000
/* Answers come in microseconds. */
#define READ_TIMEOUT_MS 30000

const struct opt global_opts[] = {
	{ "address", 'a', OPT_TEXT, "DIR",
	    "State folder of the daemon to talk to. Default: $COFFER_ADDRESS, else " CTR_ADDRESS
	    ".",
	    NULL },
	{ "namespace", 'n', OPT_TEXT, "NAME",
	    "Namespace to work in. Default: $COFFER_NAMESPACE, else " CTR_NAMESPACE ".", NULL },
	{ "timeout", 0, OPT_TEXT, "TIME",
	    "Give up when a request is not answered in this time: 10, 500ms, 2m. Default: 30 s for "
	    "questions, no limit for work.",
	    NULL },
	{ "debug", 0, OPT_FLAG, NULL,
	    "Say on stderr which requests are made and how long they take.", NULL },
	{ "help", 'h', OPT_FLAG, NULL, "Show this text.", NULL },
	{ "version", 'v', OPT_FLAG, NULL, "Show the version of ctr.", NULL },
	{ .name = NULL },
};

static const char *
verb_title(const struct verb *v, char *to, size_t size)
{
	if (v == NULL)
		to[0] = '\0';
	else
		(void)snprintf(to, size, "%s%s%s: ", v->group == NULL ? "" : v->group,
		    v->group == NULL ? "" : " ", v->name);
	return to;
}

int
ctr_complain(struct ctr *c, const struct err *e)
{
	AUTO(buf_free) struct buf clean = BUF_ZERO;
	char title[64];

	text_clean(&clean, e->msg);
	(void)fflush(stdout); /* what was said before stands before */
	(void)fprintf(stderr, "ctr: %s%s\n",
	    c->no_daemon ? "" : verb_title(c->verb, title, sizeof(title)), buf_str(&clean));
	if (e->code == ERR_CANCELLED)
		return EXIT_INTERRUPT;
	return c->verb != NULL && c->verb->exit != 0 ? c->verb->exit : err_exit(e->code);
}

int
ctr_usage(struct ctr *c, const char *fmt, ...)
{
	AUTO(buf_free) struct buf clean = BUF_ZERO;
	char title[64], msg[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	text_clean(&clean, msg);
	(void)fprintf(stderr, "ctr: %s%s (see ctr ", verb_title(c->verb, title, sizeof(title)),
	    buf_str(&clean));
	if (c->verb != NULL)
		(void)fprintf(stderr, "%s%s%s ", c->verb->group == NULL ? "" : c->verb->group,
		    c->verb->group == NULL ? "" : " ", c->verb->name);
	(void)fprintf(stderr, "--help)\n");
	return EXIT_USAGE;
}

/* --- the daemon ----------------------------------------------------------------------------------- */

int
ctr_connect(struct ctr *c, struct err *e)
{
	if (c->client != NULL)
		return 0;
	if (c->loop == NULL && (c->loop = loop_new()) == NULL)
		return err_sys(e, errno, "make an event loop");
	return client_new(c->loop, c->address, &c->client, e);
}

/* What the board knows about a worker that does not answer. */
static void
explain_silence(const struct ctr *c, const struct method *m, struct err *e)
{
	AUTO(free_ptr) char *path = xasprintf("%s/board", c->address);
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct board b;		       /* here, for its alignment */
	struct err ignored = ERR_ZERO; /* the board only adds to an error there is */

	if (fd < 0 || board_read(fd, m->actor, &b, &ignored) < 0 || b.super.state == BOARD_RUNNING)
		return;
	(void)err_wrap(e, "worker %s is %s (%s)", m->actor, board_state_text(b.super.state),
	    b.super.death_text[0] == '\0' ? "never died" : b.super.death_text);
}

int
ctr_send(struct ctr *c, const struct method *m, const void *req, client_done_fn *done, void *arg,
    struct client_call **ret_call, struct err *e)
{
	struct client_opts opts = { .ns = c->ns, .lease = c->lease, .deadline_ms = c->timeout_ms };
	int r = ctr_connect(c, e);

	if (r < 0)
		return r;
	r = client_call(c->client, m, &opts, req, done, arg, ret_call, e);
	if (r == -ERR_UNAVAILABLE) {
		c->no_daemon = true;
		return err_set(e, ERR_UNAVAILABLE,
		    "cofferd does not answer at %s: is it running? (sudo cofferd)", c->address);
	}
	return r;
}

/* A request in hand. */
struct asked {
	const struct method *method;
	struct arena *arena;
	void *rep;
	struct err *e;
	client_progress_fn *on_progress;
	void *arg;
	bool answered;
	int result;
};

static void
on_answer(void *arg, const void *rep, const struct err *e)
{
	struct asked *q = arg;

	q->answered = true;
	if (rep == NULL) {
		*q->e = *e;
		q->result = -(int)e->code;
		return;
	}
	wire_copy(q->method->rep, rep, q->arena, q->rep);
}

static void
on_asked_progress(void *arg, const void *progress)
{
	struct asked *q = arg;

	if (q->on_progress != NULL)
		q->on_progress(q->arg, progress);
}

/* Waits until the worker has let go, so that nothing of the request is left when ctr ends; one more
 * signal ends the wait. false: the request has come to nothing. */
static bool
give_up(struct ctr *c, struct client_call *call, struct asked *q)
{
	int signo = c->caught;

	c->caught = 0;
	client_give_up(call, GIVE_UP_MS);
	while (!q->answered && c->caught == 0)
		loop_turn(c->loop, -1);
	c->caught = signo;
	return q->answered && q->result != -ERR_CANCELLED && q->result != -ERR_DEADLINE_EXCEEDED;
}

int
ctr_call_progress(struct ctr *c, const struct method *m, const void *req, struct arena *a,
    void *rep, client_progress_fn *on_progress, void *arg, struct err *e)
{
	struct asked q = {
		.method = m, .arena = a, .rep = rep, .e = e, .on_progress = on_progress, .arg = arg
	};
	struct client_opts opts = { .ns = c->ns,
		.lease = c->lease,
		.deadline_ms = c->timeout_ms,
		.on_progress = on_asked_progress };
	struct client_call *call = NULL;
	uint64_t start = clock_mono_ns();
	int r = ctr_connect(c, e);

	if (opts.deadline_ms == 0 && m->flag == RPC_READ)
		opts.deadline_ms = READ_TIMEOUT_MS;
	if (r == 0)
		r = client_call(c->client, m, &opts, req, on_answer, &q, &call, e);
	if (r == -ERR_UNAVAILABLE) {
		c->no_daemon = true;
		return err_set(e, ERR_UNAVAILABLE,
		    "cofferd does not answer at %s: is it running? (sudo cofferd)", c->address);
	}
	if (r < 0)
		return r;
	while (!q.answered && c->caught == 0)
		loop_turn(c->loop, -1);
	if (!q.answered && !give_up(c, call, &q))
		return err_set(e, ERR_CANCELLED, "interrupted");
	if (c->debug)
		(void)fprintf(stderr, "ctr: debug: %s.%s: %.3f ms%s%s\n", m->actor, m->name,
		    (double)(clock_mono_ns() - start) / 1e6, q.result < 0 ? ": " : "",
		    q.result < 0 ? err_text(e->code) : "");
	if (q.result == -ERR_DEADLINE_EXCEEDED)
		explain_silence(c, m, e);
	return q.result;
}

int
ctr_call(struct ctr *c, const struct method *m, const void *req, struct arena *a, void *rep,
    struct err *e)
{
	return ctr_call_progress(c, m, req, a, rep, NULL, NULL, e);
}

static void
on_caught(void *arg, int signo)
{
	struct ctr *c = arg;

	c->caught = signo;
}

int
ctr_catch(struct ctr *c, struct err *e)
{
	static const int watched[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

	if (c->loop == NULL && (c->loop = loop_new()) == NULL)
		return err_sys(e, errno, "make an event loop");
	for (size_t i = 0; i < COUNT(watched); i++) {
		c->signals[i] = loop_signal(c->loop, watched[i], on_caught, c);
		if (c->signals[i] == NULL)
			return err_sys(e, errno, "watch for signals");
	}
	return 0;
}

void
ctr_uncatch(struct ctr *c)
{
	for (size_t i = 0; i < COUNT(c->signals); i++)
		loop_del(&c->signals[i]);
}

/* --- what several verbs do ------------------------------------------------------------------------ */

int
ctr_each(struct ctr *c, const struct opts *o, each_fn *fn, bool print)
{
	int status = 0;

	for (uint32_t i = 0; i < o->args.n; i++) {
		struct err e = ERR_ZERO;
		int r = fn(c, o, o->args.v[i], &e);

		if (r < 0) {
			status = ctr_complain(c, &e);
			if (c->no_daemon)
				break;
		} else if (print) {
			(void)printf("%s\n", o->args.v[i]);
			(void)fflush(stdout);
		}
	}
	return status;
}

int
ctr_format(const struct opts *o, bool *ret_json, struct err *e)
{
	const char *format = opts_text(o, "format");
	char show[64];

	*ret_json = format != NULL && strcmp(format, "json") == 0;
	if (format == NULL || *ret_json || strcmp(format, "table") == 0)
		return 0;
	return err_set(e, ERR_INVALID_ARGUMENT, "--format is table or json, not \"%s\"",
	    ident_show(format, show, sizeof(show)));
}

int
ctr_map(const char *what, struct strs words, struct arena *a, struct kvs *ret, struct err *e)
{
	struct kvs map = { .v = arena_calloc(a, words.n + 1, sizeof(struct kv)), .n = words.n };
	char show[64];

	for (uint32_t i = 0; i < words.n; i++) {
		const char *eq = strchr(words.v[i], '=');

		if (eq == words.v[i])
			return err_set(e, ERR_INVALID_ARGUMENT, "%s \"%s\" has no name", what,
			    ident_show(words.v[i], show, sizeof(show)));
		map.v[i].k = eq == NULL ? words.v[i]
					: arena_memdup(a, words.v[i], (size_t)(eq - words.v[i]));
		map.v[i].v = eq == NULL ? "" : eq + 1;
	}
	*ret = map;
	return 0;
}

/* --- the program ---------------------------------------------------------------------------------- */

/* Takes what was given of the global options, before the verb or behind it. */
static int
globals_apply(struct ctr *c, const struct opts *o, struct err *e)
{
	for (const struct opt *opt = global_opts; opt->name != NULL; opt++) {
		const struct opt_slot *s = opts_slot(o, opt);

		if (s == NULL || s->values.n == 0)
			continue;
		if (strcmp(opt->name, "address") == 0) {
			c->address = s->values.v[0];
		} else if (strcmp(opt->name, "namespace") == 0) {
			c->ns = s->values.v[0];
			c->ns_given = true;
		} else if (strcmp(opt->name, "debug") == 0) {
			c->debug = true;
		} else if (strcmp(opt->name, "timeout") == 0) {
			int r = parse_duration_ms(s->values.v[0], &c->timeout_ms, e);

			if (r < 0)
				return err_wrap(e, "option --timeout");
		}
	}
	return ident_check("namespace", c->ns, e);
}

static bool
global_flag(const struct opts *o, const char *name)
{
	for (const struct opt *opt = global_opts; opt->name != NULL; opt++)
		if (strcmp(opt->name, name) == 0) {
			const struct opt_slot *s = opts_slot(o, opt);

			return s != NULL && s->values.n > 0;
		}
	return false;
}

static void
defaults_from_environment(struct ctr *c)
{
	const char *address = getenv("COFFER_ADDRESS"), *ns = getenv("COFFER_NAMESPACE");

	c->address = address == NULL || *address == '\0' ? CTR_ADDRESS : address;
	c->ns_given = ns != NULL && *ns != '\0';
	c->ns = c->ns_given ? ns : CTR_NAMESPACE;
}

/* The word of args ("IMAGE NAME [COMMAND...]") for the n-th argument. */
static void
args_word(const char *args, unsigned n, char *to, size_t size)
{
	while (n-- > 0 && strchr(args, ' ') != NULL)
		args = strchr(args, ' ') + 1;
	(void)snprintf(to, size, "%.*s", (int)strcspn(args, " ."), args);
}

static int
verb_run(struct ctr *c, char **words)
{
	const struct verb *v = c->verb;
	const struct opt *tables[COUNT(v->opts) + 2] = { NULL };
	AUTO(opts_free) struct opts o = OPTS_ZERO;
	struct err e = ERR_ZERO;
	char word[32];
	unsigned n = 0;
	int r;

	for (size_t i = 0; i < COUNT(v->opts) && v->opts[i] != NULL; i++)
		tables[n++] = v->opts[i];
	tables[n] = global_opts;
	r = opts_parse(
	    &o, tables, v->command_after == 0 ? OPTS_NO_COMMAND : v->command_after, words, &e);
	if (global_flag(&o, "help")) {
		help_verb(stdout, v);
		return 0;
	}
	if (r < 0 || globals_apply(c, &o, &e) < 0)
		return ctr_usage(c, "%s", e.msg);
	if (o.args.n < v->min_args) {
		args_word(v->args, o.args.n, word, sizeof(word));
		return ctr_usage(c, "%s is missing", word);
	}
	if (o.args.n > v->max_args)
		return ctr_usage(c, "unexpected argument \"%s\"", o.args.v[v->max_args]);
	r = v->run(c, &o, &e);
	return r < 0 ? ctr_complain(c, &e) : r;
}

/* `ctr help images pull` is `ctr images pull --help`. */
static int
help_show(struct ctr *c, const struct strs *words)
{
	const struct group *g = words->n == 0 ? NULL : group_find(words->v[0]);
	const char *name = words->n == 0 ? NULL : words->v[words->n - 1];
	const struct verb *v = NULL;

	if (words->n == 0) {
		help_all(stdout);
		return 0;
	}
	if (g != NULL && words->n == 1) {
		help_group(stdout, g);
		return 0;
	}
	if (words->n <= 2)
		v = verb_find(words->n == 2 ? words->v[0] : NULL, name);
	if (v == NULL)
		return ctr_usage(c, "there is no command \"%s\"", name);
	help_verb(stdout, v);
	return 0;
}

/* words[0] is the first that is no global option. */
static int
verb_pick(struct ctr *c, char **words)
{
	const struct group *g = group_find(words[0]);

	if (g == NULL) {
		c->verb = verb_find(NULL, words[0]);
		if (c->verb == NULL)
			return ctr_usage(c, "unknown command \"%s\"", words[0]);
		return verb_run(c, words + 1);
	}
	if (words[1] == NULL || strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0) {
		help_group(stdout, g);
		return words[1] == NULL ? EXIT_USAGE : 0;
	}
	c->verb = verb_find(g->name, words[1]);
	if (c->verb == NULL)
		return ctr_usage(c, "unknown command \"%s %s\"", g->name, words[1]);
	return verb_run(c, words + 2);
}

static int
ctr_words(struct ctr *c, char **words)
{
	const struct opt *tables[] = { global_opts, NULL };
	AUTO(opts_free) struct opts o = OPTS_ZERO;
	struct err e = ERR_ZERO;
	int r = opts_parse(&o, tables, 0, words, &e);

	defaults_from_environment(c);
	if (r < 0 || globals_apply(c, &o, &e) < 0)
		return ctr_usage(c, "%s", e.msg);
	if (global_flag(&o, "version")) {
		(void)printf("ctr (coffer) %s, revision %s\n", CF_VERSION, CF_REVISION);
		return 0;
	}
	if (global_flag(&o, "help") || o.args.n == 0) {
		help_all(stdout);
		return o.args.n == 0 && !global_flag(&o, "help") ? EXIT_USAGE : 0;
	}
	if (strcmp(o.args.v[0], "help") == 0)
		return help_show(c, &(struct strs){ o.args.v + 1, o.args.n - 1 });
	/* All words from the first that is no option on, as argv has them. */
	while (*words != o.args.v[0])
		words++;
	return verb_pick(c, words);
}

int
ctr_main(int argc, char **argv)
{
	struct ctr c = { .verb = NULL };
	int status = argc < 1 ? EXIT_USAGE : ctr_words(&c, argv + 1);

	/* The client is left to the kernel: joining libzmq's threads takes longer than all the rest. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		if (errno != EPIPE)
			(void)fprintf(stderr, "ctr: write output: %s\n", strerror(errno));
		return status == 0 ? 1 : status;
	}
	return status;
}
