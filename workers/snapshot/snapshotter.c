/* SPDX-License-Identifier: Apache-2.0 */
/* snapshotter - see snapshotter.h */
#include "workers/snapshot/snapshotter.h"

#include <string.h>

#include "lib/base/log.h"

static const struct snapshotter *const all[SNAPSHOTTER_COUNT] = {
#define SNAPSHOTTER(NAME, name, doc) &snapshotter_##name,
#include "schemas/snapshotters.def"
};

const struct snapshotter *
snapshotter_of(enum snapshotter_id id)
{
	return all[id];
}

const struct snapshotter *
snapshotter_named(const char *name)
{
	for (unsigned i = 0; i < SNAPSHOTTER_COUNT; i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

int
snapshotter_open(const struct snapshotter *sn, const struct shelf *s, const uint64_t *numbers,
    unsigned n, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; sn->open != NULL && r == 0 && i < n; i++)
		r = sn->open(s, numbers[i], e);
	return r;
}

struct closing {
	const struct snapshotter *sn;
	const struct shelf *shelf;
};

static void
close_one(void *arg, uint64_t number)
{
	const struct closing *c = arg;
	struct err e = ERR_ZERO;

	if (c->sn->close(c->shelf, number, &e) < 0)
		log_warn("%s", e.msg);
}

void
snapshotter_close_all(const struct snapshotter *sn, const struct shelf *s)
{
	struct closing c = { .sn = sn, .shelf = s };

	if (sn->close != NULL)
		shelf_each(s, sn->id, close_one, &c);
}

void
snapshotter_bind(const struct snapshotter *sn, const struct shelf *s, uint64_t number,
    bool writable, struct arena *a, struct snapshot_mounts_rep *ret)
{
	struct mount *m = arena_calloc(a, 1, sizeof(*m));
	const char **options = arena_calloc(a, 2, sizeof(*options));

	options[0] = writable ? "rw" : "ro";
	options[1] = "rbind";
	*m = (struct mount){ .type = arena_strdup(a, "bind"),
		.source = arena_printf(
		    a, "%s/%llu/fs", shelf_path(s, sn->id, a), (unsigned long long)number),
		.options = { .v = options, .n = 2 } };
	ret->mounts = (struct mount_list){ .v = m, .n = 1 };
}
