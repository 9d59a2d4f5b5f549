/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folders - everything on disk that the supervisor makes before a worker runs: folders with their
 * owners, locks, mailbox sockets; and who the owners are.
 *
 * After a crash all of it is found again and put right; nothing here is removed but stale sockets.
 */
#ifndef CF_SUPERVISOR_FOLDERS_H
#define CF_SUPERVISOR_FOLDERS_H

#include <sys/types.h>

#include "lib/base/err.h"
#include "schemas/schema.h"
#include "supervisor/config.h"

#define USER_GROUPS_MAX 4
#define COFFER_GID 64740 /* of group coffer where the host has none */

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX];
	unsigned ngroups;
};

struct folders {
	char root[PATH_MAX], state[STATE_MAX + 1]; /* absolute, without links */
	gid_t coffer;
	struct user users[PROC_COUNT];
	int root_lock, state_lock;	  /* held for life */
	int bundles, logs, shims, boards; /* folder descriptors */
	int mailboxes[PROC_COUNT];	  /* listening */
};

/* "content" and so on. */
const char *proc_name(unsigned proc);

/* Nothing open: folders_close is fine from here on. */
void folders_init(struct folders *f);

/* Resolves users, takes both locks, makes the folders and the sockets. failed_precondition when
 * another cofferd uses one of the folders. f was
 * through folders_init; folders_close after a failure too. */
int folders_open(struct folders *f, const struct config *c, struct err *e);
void folders_close(struct folders *f);

/* dirfd/name as a folder of this owner and mode; ret_fd may be NULL. A folder that belongs to
 * somebody else than root and the owner is failed_precondition. */
int folder_make(
    int dirfd, const char *name, uid_t uid, gid_t gid, mode_t mode, int *ret_fd, struct err *e);

#endif
