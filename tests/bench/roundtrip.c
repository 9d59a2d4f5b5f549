/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roundtrip - how long one question over the bus takes: calls `version` of an actor again and again,
 * one call at a time, and prints the median and two tails in microseconds.
 *
 *	roundtrip STATE [ACTOR [CALLS]]
 *
 * Owns nothing; a daemon must run on STATE.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/peer/client.h"
#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/loop.h"
#include "schemas/schema.h"

#define CALLS 20000
#define WARM_UP 500

static const struct method *
method_of(const char *actor)
{
	static const struct method *const all[] = { &content_version_method,
		&snapshot_version_method, &task_version_method, &events_version_method };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i]->actor, actor) == 0)
			return all[i];
	return NULL;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* One call; its time in nanoseconds. */
static int
ask(struct client *c, const struct method *m, uint64_t *ret_ns, struct err *e)
{
	struct version rep;
	struct arena a = ARENA_ZERO;
	uint64_t start = clock_mono_ns();
	int r = client_call_sync(c, m, NULL, &(struct nothing){}, &a, &rep, e);

	*ret_ns = clock_mono_ns() - start;
	arena_free(&a);
	return r;
}

static int
measure(const char *state, const struct method *m, unsigned calls, struct err *e)
{
	struct loop *loop = loop_new();
	struct client *client = NULL;
	uint64_t *ns = calloc(calls, sizeof(*ns)), unused;
	int r = client_new(loop, state, &client, e);

	for (unsigned i = 0; r == 0 && i < WARM_UP; i++)
		r = ask(client, m, &unused, e);
	for (unsigned i = 0; r == 0 && i < calls; i++)
		r = ask(client, m, &ns[i], e);
	if (r == 0) {
		qsort(ns, calls, sizeof(*ns), by_value);
		(void)printf("%.1f %.1f %.1f\n", (double)ns[calls / 2] / 1e3,
		    (double)ns[calls - calls / 10] / 1e3, (double)ns[calls - calls / 100] / 1e3);
	}
	free(ns);
	client_free(&client);
	loop_free(&loop);
	return r;
}

int
main(int argc, char **argv)
{
	struct err e = { 0 };
	const struct method *m = method_of(argc > 2 ? argv[2] : "content");
	unsigned long calls = argc > 3 ? strtoul(argv[3], NULL, 10) : CALLS;

	if (argc < 2 || m == NULL || calls < 100 || calls > 10000000) {
		(void)fprintf(stderr, "usage: roundtrip STATE [ACTOR [CALLS]]\n");
		return 2;
	}
	if (measure(argv[1], m, (unsigned)calls, &e) < 0) {
		(void)fprintf(stderr, "roundtrip: %s\n", e.msg);
		return 1;
	}
	return 0;
}
