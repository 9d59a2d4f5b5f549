/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshotter - one way to lay out layers and the roots of containers; a file for each, named in
 * schemas/snapshotters.def.
 *
 * Whatever it is, a committed snapshot has a folder <number>/fs that shows its tree once it was opened;
 * a snapshot to be written to has one that holds what was written. Records, folders and their
 * durability are not the snapshotter's: snapshots.h, shelf.h.
 */
#ifndef CF_SNAPSHOT_SNAPSHOTTER_H
#define CF_SNAPSHOT_SNAPSHOTTER_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"
#include "workers/snapshot/nursery.h"
#include "workers/snapshot/shelf.h"

#define LOWERS_MAX NURSERY_LOWERS_MAX

/* A snapshot to be mounted: its own folder, and the layers below it that show, nearest first. */
struct snapshot_view {
	uint64_t number;
	const uint64_t *lowers;
	unsigned nlowers;
	bool writable;
};

struct snapshotter {
	const char *name;
	enum snapshotter_id id;
	enum nursery_form form; /* what a child makes of a layer */
	bool whole; /* each fs/ is a whole tree, a copy of the one below to begin with */

	/* Whether it works on this host: failed_precondition says what is missing. 1: it does, but is not the
	 * one to take when nobody asks for it. */
	int (*probe)(struct shelf *s, bool fsverity, struct err *e);
	/* NULL: nothing. Puts into the folder behind dir, that of a snapshot to be written to, what it needs beside fs/.
	 * top: fs/ of the layer below, or -1. */
	int (*furnish)(int dir, int top, struct err *e);
	/* Makes fs/ of a layer readable, and undoes that before its folder goes. NULL: it always is. */
	int (*open)(const struct shelf *s, uint64_t number, struct err *e);
	int (*close)(const struct shelf *s, uint64_t number, struct err *e);
	/* How to mount it; what it names is in a. */
	int (*mounts)(const struct snapshotter *sn, const struct shelf *s,
	    const struct snapshot_view *v, struct arena *a, struct snapshot_mounts_rep *ret,
	    struct err *e);
};

#define SNAPSHOTTER(NAME, name, doc) extern const struct snapshotter snapshotter_##name;
#include "schemas/snapshotters.def"

const struct snapshotter *snapshotter_of(enum snapshotter_id id);
/* NULL when there is none of that name. */
const struct snapshotter *snapshotter_named(const char *name);

/* Opens layers that are needed. */
int snapshotter_open(const struct snapshotter *sn, const struct shelf *s, const uint64_t *numbers,
    unsigned n, struct err *e);

/* Closes every layer there is. */
void snapshotter_close_all(const struct snapshotter *sn, const struct shelf *s);

/* The answer of a snapshot that is a folder as it is. */
void snapshotter_bind(const struct snapshotter *sn, const struct shelf *s, uint64_t number,
    bool writable, struct arena *a, struct snapshot_mounts_rep *ret);

#endif
