/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roots - how long a container's root takes: prepare, mount, unmount, remove, again and again, one at a time.
 * Prints the median in milliseconds of the four, then of each.
 *
 *	roots STATE PARENT FOLDER [SNAPSHOTTER [TIMES [OPTION...]]]
 *
 * PARENT is the chain id of an unpacked image, FOLDER an empty folder to mount at; options are added to the mount's
 * (uidmap=0:100000:65536 gidmap=0:100000:65536). A daemon must run on STATE. What one run makes it removes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "bus/peer/client.h"
#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/loop.h"
#include "lib/base/mounting.h"
#include "schemas/schema.h"

#define TIMES 200
#define WARM_UP 10
enum step { ALL, PREPARE, MOUNT, UNMOUNT, REMOVE, STEPS };

struct bench {
	struct client *client;
	const char *parent, *folder, *snapshotter;
	const char *const *options;
	unsigned noptions, times;
	uint64_t *ns[STEPS];
};

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
mount_root(const struct bench *b, const struct mount *m, struct arena *a, struct err *e)
{
	const char **options = arena_calloc(a, m->options.n + b->noptions + 1, sizeof(*options));
	unsigned n = 0;

	for (; n < m->options.n; n++)
		options[n] = m->options.v[n];
	for (unsigned i = 0; i < b->noptions; i++)
		options[n++] = b->options[i];
	return mounting_make(b->folder, m->type, m->source, options, n, e);
}

static int
once(struct bench *b, uint64_t at[STEPS + 1], struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct snapshot_prepare_req prepare = {
		.key = "bench-root", .parent = b->parent, .snapshotter = b->snapshotter
	};
	struct snapshot_key_req key = { .key = "bench-root", .snapshotter = b->snapshotter };
	struct snapshot_mounts_rep mounts;
	struct nothing nothing;
	int r;

	at[0] = clock_mono_ns();
	r = client_call_sync(
	    b->client, &snapshot_snapshot_prepare_method, NULL, &prepare, &a, &mounts, e);
	at[PREPARE] = clock_mono_ns();
	if (r == 0)
		r = mount_root(b, &mounts.mounts.v[0], &a, e);
	at[MOUNT] = clock_mono_ns();
	if (r == 0 && umount2(b->folder, MNT_DETACH) < 0)
		r = err_set(e, ERR_INTERNAL, "unmount %s", b->folder);
	at[UNMOUNT] = clock_mono_ns();
	if (r == 0)
		r = client_call_sync(
		    b->client, &snapshot_snapshot_remove_method, NULL, &key, &a, &nothing, e);
	at[REMOVE] = clock_mono_ns();
	return r;
}

static void
print(const struct bench *b)
{
	for (unsigned s = 0; s < STEPS; s++) {
		qsort(b->ns[s], b->times, sizeof(*b->ns[s]), by_value);
		(void)printf(
		    "%.3f%s", (double)b->ns[s][b->times / 2] / 1e6, s + 1 < STEPS ? " " : "\n");
	}
}

static int
measure(struct bench *b, struct err *e)
{
	uint64_t at[STEPS + 1];

	for (unsigned i = 0; i < WARM_UP + b->times; i++) {
		if (once(b, at, e) < 0)
			return -(int)e->code;
		if (i < WARM_UP)
			continue;
		b->ns[ALL][i - WARM_UP] = at[REMOVE] - at[0];
		for (unsigned s = PREPARE; s < STEPS; s++)
			b->ns[s][i - WARM_UP] = at[s] - at[s - 1];
	}
	print(b);
	return 0;
}

int
main(int argc, char **argv)
{
	struct err e = ERR_ZERO;
	struct loop *loop = loop_new();
	struct bench b = { .times = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : TIMES };
	int r;

	if (argc < 4 || b.times < 1 || b.times > 1000000) {
		(void)fprintf(
		    stderr, "usage: roots STATE PARENT FOLDER [SNAPSHOTTER [TIMES [OPTION...]]]\n");
		return 2;
	}
	b.parent = argv[2];
	b.folder = argv[3];
	b.snapshotter = argc > 4 ? argv[4] : NULL;
	b.options = (const char *const *)argv + (argc > 6 ? 6 : argc);
	b.noptions = argc > 6 ? (unsigned)argc - 6 : 0;
	for (unsigned s = 0; s < STEPS; s++)
		b.ns[s] = xcalloc(b.times, sizeof(*b.ns[s]));
	r = client_new(loop, argv[1], &b.client, &e);
	if (r == 0)
		r = measure(&b, &e);
	client_free(&b.client);
	loop_free(&loop);
	for (unsigned s = 0; s < STEPS; s++)
		free(b.ns[s]);
	if (r < 0)
		(void)fprintf(stderr, "roots: %s\n", e.msg);
	return r < 0;
}
