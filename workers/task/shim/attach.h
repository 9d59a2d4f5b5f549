/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach - the attach socket: clients that see a process' output and write to its input
 * (docs/attach.md has the packets).
 *
 * A group is one process' clients. Clients that joined before the process was started hold it up
 * while they do not read; any other client that leaves more than 1 MiB unread is given up on.
 * When a group ends or is freed its clients still get what was queued for them: they linger in the server,
 * at most LINGER_MS.
 */
#ifndef CF_SHIM_ATTACH_H
#define CF_SHIM_ATTACH_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/loop.h"

#define ATTACH_PIECE_MAX 32768

struct attach_server;
struct attach_group;

/* What the process' side does for its clients. */
struct attach_hooks {
	void (*input)(void *arg, const char *data, size_t n);
	void (*input_end)(void *arg);
	void (*drained)(void *arg); /* nobody holds the output any more */
};

/* Finds the group of an exec ("" for the container's own process); false when there is none. */
typedef bool attach_find_fn(void *arg, const char *exec_id, struct attach_group **ret_g);

/* Takes the listening socket; NULL with errno. */
struct attach_server *
attach_server_new(struct loop *l, int take_listen_fd, attach_find_fn *find, void *arg);
void attach_server_free(struct attach_server **s);
/* True while some client still has bytes to get. */
bool attach_server_unsent(const struct attach_server *s);

struct attach_group *attach_group_new(bool terminal, const struct attach_hooks *hooks, void *arg);
void attach_group_free(struct attach_group **g);

/* stream is 1 or 2; n at most ATTACH_PIECE_MAX. */
void attach_group_output(struct attach_group *g, int stream, const char *data, size_t n);
bool attach_group_holds(const struct attach_group *g);
/* From now on who joins does not hold the process up. */
void attach_group_started(struct attach_group *g);
/* Everything was written: clients, those to come too, get the end. */
void attach_group_end(struct attach_group *g);
/* The process does not take input just now (or does again): clients are not read meanwhile. */
void attach_group_pause(struct attach_group *g, bool paused);

#endif
