/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auto - cleanup said where the resource is declared.
 *
 *	AUTO(fd_close) int fd = -1;
 *	AUTO(free_ptr) char *text = NULL;
 *
 * Every destructor of the project takes T ** (int * for descriptors), accepts NULL and half-built
 * objects and resets what it was given, so it serves AUTO and plain calls alike. To hand a resource
 * over: `*ret_fd = fd_take(&fd);`
 */
#ifndef CF_BASE_AUTO_H
#define CF_BASE_AUTO_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(destroy) __attribute__((cleanup(destroy)))

/* Closes *fd when it is >= 0 and sets it to -1; keeps errno. */
void fd_close(int *fd);
int fd_take(int *fd);

/* For any pointer from malloc: frees *(void **)p. */
void free_ptr(void *p);

/* Hands a pointer over: returns it, leaves NULL behind. */
#define TAKE(ptr)                             \
	({                                    \
		__typeof__(ptr) taken_ = ptr; \
		(ptr) = NULL;                 \
		taken_;                       \
	})

void dir_close(DIR **d);
void file_close(FILE **f);

/* malloc/calloc/strdup that abort when memory is gone: fine in workers, shim start and ctr, where a
 * supervisor or a shell makes the abort affordable; never in the supervisor's loop. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
