/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place - who this shim is (its command line and environment) and where its files are.
 *
 * All paths follow from namespace, id, address and COFFER_STATE alone, so the delete call finds what a
 * dead shim has left without asking anybody. See lib/ttrpc/shim.h for the contract.
 */
#ifndef CF_SHIM_PLACE_H
#define CF_SHIM_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "lib/base/err.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path))
#define PLACE_STATE_MAX 64 /* of COFFER_STATE: leaves room in socket paths */

/* The command line; the strings are argv's. */
struct shim_args {
	const char *ns, *id, *address, *publish, *bundle;
	const char *action; /* start, delete, probe, or "" for the serving shim itself */
	const char
	    *sockets; /* for the serving shim: the files of its sockets, as place_own_text has it */
	bool debug, version;
};

/* The file of a socket that we bound. Nobody else's has its number as long as our socket is open. */
struct own_file {
	dev_t dev;
	ino_t ino; /* 0: none */
};

struct place {
	char ns[80], id[80];
	char bundle[PATH_MAX];		 /* absolute; the working folder */
	char base[SOCKET_PATH_MAX - 16]; /* sockets' path without what follows the dot */
	char sock[SOCKET_PATH_MAX], attach[SOCKET_PATH_MAX]; /* attach "" when there is none */
	char runtime_root[PATH_MAX];
	char runtime[PATH_MAX];	     /* COFFER_RUNTIME, "" when not set */
	uint64_t runtime_timeout_ms; /* COFFER_RUNTIME_TIMEOUT_MS, 0 when not set */
	char log_dir[PATH_MAX];	     /* COFFER_LOG_DIR, "" when not set */
	gid_t gid;		     /* owns log and attach socket */
	struct own_file own_sock, own_attach;
};

/* Fills a from the command line. invalid_argument for what we do not know. */
int shim_args_parse(int argc, char **argv, struct shim_args *a, struct err *e);

/* Works out the places; checks the names. Uses the working folder unless -bundle names another one
 * (then changes to it). */
int place_make(struct place *p, const struct shim_args *a, struct err *e);

/* Notes which file a socket has, right after it was bound to path. */
int place_own(struct own_file *own, const char *path, struct err *e);

/* What start tells the serving shim of them ("-sockets"). */
#define PLACE_OWN_TEXT_MAX 128
void place_own_text(const struct place *p, char text[PLACE_OWN_TEXT_MAX]);

/* Removes our own sockets: what has their names now and is not ours belongs to a newer shim. Before they
 * are closed. */
void place_remove_own(const struct place *p);

/* Removes the sockets, whosever they are, and what console sockets a dead shim left. */
void place_remove_sockets(const struct place *p);

#endif
