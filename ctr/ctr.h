/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctr - one run of the command line: which verb, which daemon, which namespace.
 *
 * main finds the verb in verbs.c, reads its options and calls its function, which returns
 *	0 or more	the exit status; what is to be said was said
 *	negative	e says what was wrong; main prints "ctr: VERB: MESSAGE" and takes the exit status of
 *			the error's class, or the verb's own (125 for what runs processes)
 * Everything happens on one thread. What comes from outside is printed by way of text_clean.
 */
#ifndef CF_CTR_CTR_H
#define CF_CTR_CTR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bus/peer/client.h"
#include "ctr/options.h"
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "schemas/schema.h"

#define CTR_ADDRESS "/run/coffer"
#define CTR_NAMESPACE "default"

/* Exit statuses of what runs processes, as docker and podman have them. */
#define EXIT_USAGE 2
#define EXIT_RUN 125	   /* it did not get to running */
#define EXIT_NOT_EXEC 126  /* the command cannot be executed */
#define EXIT_NOT_FOUND 127 /* there is no such command in the image */
#define EXIT_INTERRUPT 130

struct ctr;

typedef int verb_fn(struct ctr *c, const struct opts *o, struct err *e);

/* A command. Words in args stand for what is completed: CONTAINER, IMAGE, NAMESPACE exist already,
 * NAME is new. */
struct verb {
	const char *group; /* NULL: a command of its own */
	const char *name;
	const char *also; /* "ls|l" */
	const char *args; /* "IMAGE NAME [COMMAND [ARG...]]" */
	const char *brief;
	const char *text;	   /* paragraphs, apart by an empty line */
	const char *examples;	   /* lines; "# ..." explain */
	const char *exits;	   /* NULL: as every command */
	const struct opt *opts[3]; /* tables */
	unsigned min_args, max_args;
	unsigned command_after; /* 0: takes no command */
	int exit;		/* for errors that are no usage errors; 0 = by class */
	verb_fn *run;
	bool hidden;
};

struct group {
	const char *name, *also, *brief;
};

extern const struct verb verbs[];
extern const unsigned verbs_count;
extern const struct group groups[];
extern const unsigned groups_count;
extern const struct opt global_opts[];

/* NULL when there is none. group NULL: a command of its own. */
const struct group *group_find(const char *name);
const struct verb *verb_find(const char *group, const char *name);

struct ctr {
	const struct verb *verb;
	const char *address, *ns;
	bool ns_given; /* by option or environment */
	bool debug, no_daemon;
	uint64_t timeout_ms;	   /* 0 = as each command thinks */
	struct progress *progress; /* of blobs that come and go; NULL: nobody looks. See blobs.h */
	char *lease;		   /* what requests make belongs to it; see blobs.h */
	struct loop *loop;
	struct client *client;

	int caught; /* the signal that ctr_catch saw; 0 = none */
	struct loop_source *signals[4];
};

/* The whole program; argv[argc] is NULL. Returns the exit status. */
int ctr_main(int argc, char **argv);

/* A request and its answer, decoded into a. Connects on first use. A signal that ctr_catch watches
 * ends it with cancelled: the actor is told that nobody waits. on_progress may be NULL; arg is its. */
int ctr_call(struct ctr *c, const struct method *m, const void *req, struct arena *a, void *rep,
    struct err *e);
int ctr_call_progress(struct ctr *c, const struct method *m, const void *req, struct arena *a,
    void *rep, client_progress_fn *on_progress, void *arg, struct err *e);
/* For requests whose answer comes by callback. */
int ctr_connect(struct ctr *c, struct err *e);
int ctr_send(struct ctr *c, const struct method *m, const void *req, client_done_fn *done,
    void *arg, struct client_call **ret_call, struct err *e);

/* From now on INT, TERM, HUP and QUIT set c->caught. Call it before anything starts a thread. */
int ctr_catch(struct ctr *c, struct err *e);
/* They stay blocked, but nobody looks at them: for who watches himself, and for cleaning up. */
void ctr_uncatch(struct ctr *c);

/* "ctr: VERB: MESSAGE" on stderr, one line, whatever is in e. Returns the exit status for it. */
int ctr_complain(struct ctr *c, const struct err *e);
/* The same for how it was called: "..., see ctr VERB --help". Returns EXIT_USAGE. */
int ctr_usage(struct ctr *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A verb's fn for each word, each failure said in a line of its own; the word is printed when it was
 * done (unless fn is quiet about it: print false). Returns an exit status. */
typedef int each_fn(struct ctr *c, const struct opts *o, const char *word, struct err *e);
int ctr_each(struct ctr *c, const struct opts *o, each_fn *fn, bool print);

/* --format: true for json. A word that is neither is an error. */
int ctr_format(const struct opts *o, bool *ret_json, struct err *e);

/* "k=v" words as a map, the memory in a. */
int ctr_map(const char *what, struct strs words, struct arena *a, struct kvs *ret, struct err *e);

/* The verbs. */
verb_fn images_import, images_export, images_convert;
verb_fn images_push, images_pull, images_list, images_info, images_remove, images_tag;
verb_fn images_label, images_inspect, images_check, images_usage, images_prune, images_mount,
    images_unmount;
verb_fn containers_create, containers_start, containers_list, containers_info, containers_logs,
    containers_stop, containers_kill, containers_delete, containers_commit;
verb_fn run_run, run_exec, run_attach, run_remove_after;
verb_fn tasks_list, tasks_kill, tasks_delete, tasks_ps, tasks_pause, tasks_resume, tasks_wait;
verb_fn snapshots_list, snapshots_tree, snapshots_info, snapshots_usage, snapshots_prepare,
    snapshots_view, snapshots_commit, snapshots_mounts, snapshots_diff, snapshots_label,
    snapshots_unpack, snapshots_delete;
verb_fn plugins_list;
verb_fn content_list, content_active, content_get, content_ingest, content_abort, content_delete,
    content_label, content_edit, content_verify;
verb_fn leases_list, leases_create, leases_delete, leases_add, leases_remove, leases_resources;
verb_fn namespaces_list, namespaces_create, namespaces_label, namespaces_remove;
verb_fn gc_collect;
verb_fn events_follow, workers_list, version_show;
verb_fn completion_show, manual_show;

#endif
