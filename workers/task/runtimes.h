/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtimes - which OCI runtime a container gets: the one it names, the one the daemon's config names
 * ("runtime"), else the first of crun, runc that works on this host.
 *
 * Our shim is asked once (order RUNTIME_PROBE), at the start; who needs the answer before it is there
 * waits for it. When nothing worked the next who asks makes it be asked again.
 */
#ifndef CF_TASK_RUNTIMES_H
#define CF_TASK_RUNTIMES_H

#include "workers/task/task.h"

struct runtimes *runtimes_new(struct taskd *t);
void runtimes_free(struct runtimes **r);

/* Asks, unless that is under way. */
void runtimes_probe(struct runtimes *r);

/* Something is about to be started: lets the kernel make ready for that (order MAKE_READY), unless that is
 * under way. Worth milliseconds, and nothing else: its failure is nobody's. */
void runtimes_make_ready(struct runtimes *r);

/* name is valid during the call; e is NULL or says what is wrong with which runtime. */
typedef void runtime_fn(void *arg, const char *name, const struct err *e);

/* Calls fn once, maybe from within. wanted: NULL or "" for no wish. */
void runtime_choose(struct runtimes *r, const char *wanted, runtime_fn *fn, void *arg);

/* What a request names as a runtime: an OCI runtime for our shim, or another shim. ret_* are
 * borrowed from wanted or literals; *ret_oci is "" when the daemon chooses. */
int runtime_parse(const char *wanted, const char **ret_shim, const char **ret_oci, struct err *e);

/* Reads an answer of the probe: lines "NAME ok" or "NAME failed: words". For tests too. true when a
 * line for name was there; words (size bytes) is "" when it works. */
bool runtime_words(const char *answer, const char *name, char *words, size_t size);

#endif
