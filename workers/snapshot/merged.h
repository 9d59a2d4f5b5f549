/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merged - what a name is in a stack of layers, by overlayfs' rules, without a mount.
 *
 * Trees come from outside: every step is relative to a descriptor and follows no link of the host's;
 * links found in the layers are resolved inside of the stack.
 */
#ifndef CF_SNAPSHOT_MERGED_H
#define CF_SNAPSHOT_MERGED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

/* What one layer says of a folder. */
enum merged_look {
	MERGED_HERE,   /* it is here: *ret_fd */
	MERGED_DEEPER, /* nothing: ask the layer below */
	MERGED_HIDDEN  /* what is below does not show; *ret_fd, too, when it is here all the same */
};

/* Looks for the folder path (no links in it; "" is the root) in the layer behind top (borrowed). *ret_fd
 * is the caller's when it becomes >= 0; start with -1. */
enum merged_look merged_look(int top, const char *path, int *ret_fd);

/* Whether the folder behind fd hides what is below it. */
bool merged_opaque(int fd);

/* Opens layers' "<number>/fs" for reading; -1 with errno. */
int merged_layer(int layers, uint64_t number);

/* Opens the regular file path ("etc/passwd") in the stack of numbers (nearest first) below the folder
 * behind layers. *ret_fd = -1 and success when there is no such file; failed_precondition when it is
 * something else than a regular file or its links lead nowhere. */
int merged_open(
    int layers, const uint64_t *numbers, unsigned n, const char *path, int *ret_fd, struct err *e);

/* The topmost entry path (no links in its folder part). Returns the descriptor of the folder it is in, the
 * caller's; -1 when there is none. */
struct stat;
int
merged_find(int layers, const uint64_t *numbers, unsigned n, const char *path, struct stat *ret);
bool
merged_stat(int layers, const uint64_t *numbers, unsigned n, const char *path, struct stat *ret);

/* Where path leads when its links are followed inside of the stack, into to (PATH_MAX bytes), whether
 * there is something or not. */
int merged_real(
    int layers, const uint64_t *numbers, unsigned n, const char *path, char *to, struct err *e);

#endif
