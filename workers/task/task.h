/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task - the state of the task actor, and what its files share.
 *
 *	containers.*	stored containers (ROOT/task/db, durable)
 *	tasks.*		processes: in memory, each written through to STATE/task/db (tmpfs)
 *	tells.*		events of processes, each given to the outbox once
 *	ops.*		operations on a container: one at a time
 *	orders.*	what the supervisor does for us
 *	shims.*		connections to shims, exits, shims that die
 *	runtimes.*	which OCI runtime to use
 *	make.c drop.c run.c execs.c recover.c	the step machines
 *	handlers_*.c	the methods
 *
 * One thread, one loop; nothing here blocks but the two stores.
 */
#ifndef CF_TASK_TASK_H
#define CF_TASK_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/peer/client.h"
#include "bus/worker/worker.h"
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/ident.h"
#include "lib/base/loop.h"
#include "lib/store/store.h"
#include "schemas/schema.h"
#include "workers/task/orders.h"

#define SHIM_DEFAULT "io.containerd.coffer.v1"
#define BOX_BUCKETS 1024

struct box;
struct runtimes;
struct tell;
struct told_gone;

struct taskd {
	struct worker *w; /* NULL in unit tests of the stores */
	struct loop *loop;
	struct client *bus;
	struct orders *orders;
	struct store *containers, *tasks;
	struct runtimes *runtimes;
	const char *root, *state; /* folders */
	struct box *boxes[BOX_BUCKETS];
	struct tell *tells, **tells_end; /* oldest first */
	struct told_gone *gone;		 /* told rows that the next flush may drop */
	struct loop_source *tell_timer;
};

/* Stores and tables only: for the worker and for tests. root and state are borrowed. */
int taskd_open_stores(struct taskd *t, const char *root, const char *state, struct err *e);
void taskd_close_stores(struct taskd *t);

/* Takes up again what was going on when an earlier incarnation ended. Orders and connections start
 * here, so the supervisor must have heard READY. recover.c */
void recover_begin(struct taskd *t);
/* Loads the rows into memory and queues events that were not given out. */
int recover_load(struct taskd *t, struct err *e);

#endif
