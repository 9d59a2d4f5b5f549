/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime - the OCI runtime of this container: which one, and one call per verb.
 *
 * Calls run as child processes and end in a callback. Every call has a log file of its own in the
 * bundle, from which the runtime's last words are taken when it fails, and which is removed.
 * The choice is written to the bundle ("coffer.runtime") before the first call, so that the delete call of a
 * dead shim uses the same binary and the same state folder.
 */
#ifndef CF_SHIM_RUNTIME_H
#define CF_SHIM_RUNTIME_H

#include <limits.h>
#include <stdbool.h>

#include "workers/task/shim/place.h"
#include "workers/task/shim/run.h"

#define RUNTIME_TIMEOUT_MS 60000 /* of every call, unless COFFER_RUNTIME_TIMEOUT_MS says other */

struct runtime {
	struct reaper *reaper;
	char id[80], bundle[PATH_MAX];
	char binary[PATH_MAX], root[PATH_MAX];
	uint64_t timeout_ms;
	bool systemd_cgroup, no_pivot, no_new_keyring;
	uid_t io_uid; /* whose the pipes of its processes are: root of a user namespace, outside */
	gid_t io_gid;
	unsigned calls; /* numbers log files */
};

/* What a create or exec call leaves to the container's process. */
struct runtime_io {
	int fd[3]; /* borrowed; -1: /dev/null */
	int words; /* reading end of the stderr above, for a runtime that said why only there; or -1 */
};

/* e->code ERR_NONE: it worked. */
typedef void runtime_done_fn(void *arg, const struct err *e);

/* Chooses the binary: wanted, else what the environment says, else the first of crun and runc that is
 * installed (runc alone where control groups are hybrid: crun refuses those). root "" gives the default. Makes the state folder. */
int runtime_choose(struct runtime *rt, struct reaper *r, const struct place *p, const char *wanted,
    const char *root, struct err *e);

/* Writes the choice to the bundle; reads it back (not_found when there is none). */
int runtime_save(const struct runtime *rt, struct err *e);
int runtime_load(struct runtime *rt, struct reaper *r, const struct place *p, struct err *e);

/* True for runtimes whose containers are plain processes of this host, which we may signal ourselves. */
bool runtime_is_native(const struct runtime *rt);

/*
 * Runs `binary --root .. --log .. VERB ARGS`: verb is a NULL-terminated list, the verb first.
 * io NULL: no stdin, the output is kept for the error. deadline_exceeded when it took too long: it was killed then.
 */
int runtime_call(struct runtime *rt, const char *const *verb, const struct runtime_io *io,
    runtime_done_fn *done, void *arg, struct err *e);

#endif
