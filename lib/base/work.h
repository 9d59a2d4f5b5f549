/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work - a small pool of threads for what would block the loop: hashing, fsync, big reads.
 *
 * A job is a function run on some thread and a second one run afterwards on the loop's thread. Jobs
 * start in the order they were added; several run at once, so jobs that need an order wait for each
 * other's done function. Threads are started when there is work and end when there was none for a
 * while: a pool at rest costs nothing but an eventfd.
 *
 * run may touch only what the job was given: nothing of the loop, the bus or the store.
 */
#ifndef CF_BASE_WORK_H
#define CF_BASE_WORK_H

#include "lib/base/err.h"
#include "lib/base/loop.h"

struct work;

typedef void work_fn(void *arg);

/* threads: most at once. Borrows l. The eventfd is made here, threads later: may be called before a
 * jail whose rules bind a thread, since threads inherit them. */
int work_new(struct loop *l, unsigned threads, struct work **ret, struct err *e);

/* Waits for the jobs that run, drops those that did not start and all done functions. */
void work_free(struct work **w);

/* run(arg) on a thread, then done(arg) on the loop. What arg points at belongs to the job until done:
 * there is no way to take a job back. */
void work_add(struct work *w, work_fn *run, work_fn *done, void *arg);

/* Jobs added whose done function was not called yet. */
unsigned work_pending(const struct work *w);

#endif
