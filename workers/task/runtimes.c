/* SPDX-License-Identifier: Apache-2.0 */
/* runtimes - see runtimes.h */
#include "workers/task/runtimes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"

#define PROBE_MS 60000

static const char *const known[] = { "crun", "runc" }; /* in this order */

enum probe_state { PROBE_NONE, PROBE_ASKED, PROBE_KNOWN };

struct want {
	struct want *next;
	char *name;
	runtime_fn *fn;
	void *arg;
};

struct runtimes {
	struct taskd *t;
	enum probe_state state;
	uint64_t order;
	char *answer; /* of the last probe; NULL when it failed */
	char failure[ERR_MSG_MAX];
	struct want *wants;
	bool readying;
};

struct runtimes *
runtimes_new(struct taskd *t)
{
	struct runtimes *r = xcalloc(1, sizeof(*r));

	r->t = t;
	return r;
}

void
runtimes_free(struct runtimes **ret)
{
	struct runtimes *r = *ret;

	if (r == NULL)
		return;
	while (r->wants != NULL) {
		struct want *w = r->wants;

		r->wants = w->next;
		free(w->name);
		free(w);
	}
	free(r->answer);
	free(r);
	*ret = NULL;
}

bool
runtime_words(const char *answer, const char *name, char *words, size_t size)
{
	size_t n = strlen(name);

	for (const char *line = answer; line != NULL && *line != '\0';) {
		const char *end = strchr(line, '\n');
		size_t len = end == NULL ? strlen(line) : (size_t)(end - line);
		const char *rest = line + n + 1;

		if (len > n + 1 && strncmp(line, name, n) == 0 && line[n] == ' ') {
			size_t left = len - n - 1;

			words[0] = '\0';
			if (left >= 2 && strncmp(rest, "ok", 2) == 0 &&
			    (left == 2 || rest[2] == ' '))
				return true;
			if (left > 8 && strncmp(rest, "failed: ", 8) == 0) {
				rest += 8;
				left -= 8;
			}
			(void)snprintf(words, size, "%.*s", (int)left, rest);
			return true;
		}
		line = end == NULL ? NULL : end + 1;
	}
	return false;
}

static void
choose_auto(struct runtimes *r, runtime_fn *fn, void *arg)
{
	struct err e = ERR_ZERO;
	char words[2][200];

	for (size_t i = 0; i < COUNT(known); i++) {
		(void)snprintf(words[i], sizeof(words[i]), "not asked");
		if (runtime_words(r->answer, known[i], words[i], sizeof(words[i])) &&
		    words[i][0] == '\0') {
			fn(arg, known[i], NULL);
			return;
		}
	}
	(void)err_set(&e, ERR_FAILED_PRECONDITION, "no OCI runtime works here: %s: %s; %s: %s",
	    known[0], words[0], known[1], words[1]);
	r->state = PROBE_NONE; /* one may be installed by then */
	fn(arg, NULL, &e);
}

static void
choose_named(struct runtimes *r, const char *name, runtime_fn *fn, void *arg)
{
	struct err e = ERR_ZERO;
	char words[300];

	/* Paths and names the probe does not know: who runs them finds out. */
	if (!runtime_words(r->answer, name, words, sizeof(words)) || words[0] == '\0') {
		fn(arg, name, NULL);
		return;
	}
	(void)err_set(
	    &e, ERR_FAILED_PRECONDITION, "OCI runtime %s does not work here: %s", name, words);
	r->state = PROBE_NONE;
	fn(arg, NULL, &e);
}

static void
choose(struct runtimes *r, const char *name, runtime_fn *fn, void *arg)
{
	struct err e = ERR_ZERO;

	if (r->answer == NULL) {
		(void)err_set(&e, ERR_UNAVAILABLE, "which OCI runtimes work here: %s", r->failure);
		fn(arg, NULL, &e);
	} else if (name == NULL || name[0] == '\0' || strcmp(name, "auto") == 0) {
		choose_auto(r, fn, arg);
	} else {
		choose_named(r, name, fn, arg);
	}
}

static void
on_probe(void *arg, const struct order_result *res)
{
	struct runtimes *r = arg;
	struct want *list = r->wants;

	r->order = 0;
	free(r->answer);
	r->answer = NULL;
	r->state = PROBE_KNOWN;
	r->wants = NULL;
	if (res->e->code == ERR_NONE) {
		r->answer = xstrdup(res->data);
		log_debug("OCI runtimes: %s", r->answer);
	} else {
		(void)snprintf(r->failure, sizeof(r->failure), "%s", res->e->msg);
		log_warn("which OCI runtimes work here: %s", res->e->msg);
		r->state = PROBE_NONE;
	}
	while (list != NULL) {
		struct want *w = list;

		list = w->next;
		choose(r, w->name, w->fn, w->arg);
		free(w->name);
		free(w);
	}
}

void
runtimes_probe(struct runtimes *r)
{
	struct order o;

	if (r->state == PROBE_ASKED)
		return;
	r->state = PROBE_ASKED;
	order_init(&o, ORDER_RUNTIME_PROBE, "", "");
	(void)snprintf(o.runtime, sizeof(o.runtime), "%s", SHIM_DEFAULT);
	o.timeout_ms = PROBE_MS;
	r->order = orders_send(r->t->orders, &o, NULL, 0, on_probe, r);
}

static void
on_ready(void *arg, const struct order_result *res)
{
	struct runtimes *r = arg;

	r->readying = false;
	if (res->e->code != ERR_NONE)
		log_debug("make ready: %s", res->e->msg);
}

void
runtimes_make_ready(struct runtimes *r)
{
	struct order o;

	if (r->readying)
		return;
	r->readying = true;
	order_init(&o, ORDER_MAKE_READY, "", "");
	(void)snprintf(o.runtime, sizeof(o.runtime), "%s", SHIM_DEFAULT);
	(void)orders_send(r->t->orders, &o, NULL, 0, on_ready, r);
}

void
runtime_choose(struct runtimes *r, const char *wanted, runtime_fn *fn, void *arg)
{
	const char *config = r->t->w == NULL ? NULL : worker_option(r->t->w, "runtime");
	struct want *w, **at = &r->wants;

	if (wanted == NULL || wanted[0] == '\0')
		wanted = config == NULL ? "auto" : config;
	if (r->state == PROBE_KNOWN) {
		choose(r, wanted, fn, arg);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->name = xstrdup(wanted);
	w->fn = fn;
	w->arg = arg;
	while (*at != NULL)
		at = &(*at)->next;
	*at = w;
	runtimes_probe(r);
}

int
runtime_parse(const char *wanted, const char **ret_shim, const char **ret_oci, struct err *e)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+";
	const char *base;
	char shown[96];

	*ret_shim = SHIM_DEFAULT;
	*ret_oci = "";
	if (wanted == NULL || wanted[0] == '\0' || strcmp(wanted, "auto") == 0)
		return 0;
	base = strrchr(wanted, '/');
	base = base == NULL ? wanted : base + 1;
	if (strncmp(wanted, "io.containerd.", 14) == 0 ||
	    strncmp(base, "containerd-shim-", 16) == 0) {
		*ret_shim = wanted;
		return 0;
	}
	if (wanted[0] != '/' &&
	    (wanted[strspn(wanted, allowed)] != '\0' || wanted[0] == '-' || wanted[0] == '.'))
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "runtime \"%s\": give runc, crun, an absolute path, or a shim as "
		    "io.containerd.NAME.vN",
		    ident_show(wanted, shown, sizeof(shown)));
	*ret_oci = wanted;
	return 0;
}
