/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nursery - a process of one thread that forks a confined child for every piece of work on trees that
 * came from outside: unpacking, settling, counting, removing.
 *
 * The worker itself has libzmq's threads and may not exec, so it can't fork: it forks the nursery once,
 * at its start, and sends it orders with descriptors over a SOCK_SEQPACKET pair. A child has the folder
 * of its work as its root, an empty network, the capabilities that making any kind of file needs and no
 * others, limits on memory, descriptors and file size, and a pipe on which it reports with fixed
 * structs that the worker reads as untrusted. It can do nothing to anything else.
 *
 * Crash story: the nursery dies with the worker and its children with the nursery (PDEATHSIG, and the
 * end of the socket). When the nursery alone dies the worker is told, and exits to be started again.
 *
 * The worker's side is not thread safe: the loop's thread only.
 */
#ifndef CF_SNAPSHOT_NURSERY_H
#define CF_SNAPSHOT_NURSERY_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "workers/snapshot/unpack.h"

#define NURSERY_VERSION 1
#define NURSERY_LOWERS_MAX 500
#define NURSERY_CHILDREN_MAX 64 /* killed ones that are not reaped yet count, too */
#define NURSERY_IMPLIED_BYTES_MAX (4u << 20)

/* What a layer becomes. */
enum nursery_form {
	NURSERY_FOLDER, /* a folder with overlayfs' marks */
	NURSERY_IMAGE	/* an EROFS image with these marks, beside an empty folder */
};

enum nursery_op {
	/* Fills folder from file; list (a memfd) gets the implied folders. With form NURSERY_IMAGE folder is
	 * new/<name>, else its fs/. With take != 0 the file is
	 * being written by content, whose board says how far it is. */
	NURSERY_UNPACK = 1,
	/* Gives the implied folders of list in folder (as above) what the layers below say of them; file is the
	 * folder that holds all layers, lowers the numbers of those below, nearest first. */
	NURSERY_SETTLE,
	/* folder is new/<name>, its fs/ a layer with overlayfs' marks: settled as above, then applied to a
	 * copy of the layer below (none without lowers), which takes the place of fs/. */
	NURSERY_APPLY,
	NURSERY_COPY,  /* fills folder with what the folder behind file holds */
	NURSERY_COUNT, /* bytes and inodes of folder */
	NURSERY_SEAL,  /* the same, when all of it is on disk */
	NURSERY_EMPTY, /* removes what is in folder */
	/* Writes to file, a pipe, the tar of what changed between two stacks of layers in folder, which holds
	 * all: of lowers, the first nuppers are the one, the others the other. */
	NURSERY_DIFF,
	NURSERY_CANCEL /* of the order with this id: kills its child */
};

/* On the socket; one build at both ends. */
struct nursery_order {
	uint32_t version, size, op, nlowers;
	uint32_t seal; /* of NURSERY_SETTLE: the image is sealed behind that (erofs_verity.h) */
	uint32_t form; /* of NURSERY_UNPACK: enum nursery_form */
	uint32_t nuppers, packing; /* of NURSERY_DIFF; enum layer_packing */
	uint64_t id;
	struct unpack_limits limits;
	uint32_t slot, take; /* see follow.h */
	uint64_t blob_size;
	uint64_t lowers[NURSERY_LOWERS_MAX];
};

enum nursery_kind { NURSERY_PROGRESS = 1, NURSERY_DONE, NURSERY_FAILED };

/* On the pipe of a child: one atomic write each. */
struct nursery_report {
	uint32_t size, kind;
	uint32_t code; /* of a failure: enum err_code */
	uint32_t implied, xattrs_skipped, opaque_root;
	uint64_t sockets; /* left out */
	uint64_t offset, bytes, inodes;
	char diff_id[DIGEST_TEXT_MAX];
	char digest[DIGEST_TEXT_MAX]; /* of what was written to the pipe, offset bytes */
	char message[ERR_MSG_MAX];
};

struct nursery;
struct nursery_job;

/* Forks the nursery: before any thread is started and before any store is opened. died is called when
 * it ends by itself. Free with nursery_free, which ends it and all its children. */
int
nursery_new(struct loop *l, loop_timer_fn *died, void *arg, struct nursery **ret, struct err *e);
void nursery_free(struct nursery **n);

struct nursery_fds {
	int folder;
	int file, list; /* -1 where the operation has none */
	int board;	/* with take != 0 only */
};

/* PROGRESS any number of times, then DONE or FAILED once, when the child is gone: then the job is gone
 * too. Strings in the report end inside their arrays. */
typedef void nursery_fn(void *arg, const struct nursery_report *r);

/* version, size and id of o are set here, the rest is the caller's. Descriptors are borrowed. */
int nursery_run(struct nursery *n, struct nursery_order *o, const struct nursery_fds *fds,
    nursery_fn *fn, void *arg, struct nursery_job **ret, struct err *e);
/* Kills the child; no report comes any more. NULL is fine. */
void nursery_cancel(struct nursery_job **j);

/* The nursery's own main loop (nursery_child.c): never returns. */
_Noreturn void nursery_main(int sock);

#endif
