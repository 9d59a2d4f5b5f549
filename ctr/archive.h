/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive - image archives as bytes: a tar (plain or compressed) from a file or a pipe, or a folder, read
 * one file after the other; and a tar written.
 *
 * What is read is hostile. A name that is absolute or has "..", a link that leads out of the archive, a
 * tar that is damaged, cut off or lies, and compression piled up into a bomb are errors that name the
 * entry. No file is made or opened by a name from an archive; below a folder no link is followed.
 * Memory does not grow with what comes. Nothing here knows what the files mean (see import.c).
 */
#ifndef CF_CTR_ARCHIVE_H
#define CF_CTR_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define ARCHIVE_PATH_MAX 1024

struct archive_in;

/* A file, or a link to one. Texts are valid until the next one is asked for. */
struct archive_file {
	const char *path; /* clean: no "/" in front, no "." or ".." in it */
	const char *link; /* the path it leads to, as clean; NULL: a file */
	uint64_t size;	  /* what its header says */
};

/* Called before a read that may have to wait; negative ends the reading with what it put in e. */
typedef int archive_wait_fn(void *arg, int fd, struct err *e);

/* from: a file, a folder, or "-" for stdin; errors do not name it. wait may be NULL. */
int archive_in_open(
    const char *from, archive_wait_fn *wait, void *arg, struct archive_in **ret, struct err *e);
/* A tar in memory, which must outlive it. */
int archive_in_memory(const void *p, size_t n, struct archive_in **ret, struct err *e);
/* 1: the next one is in *ret; 0: that was all. Folders are passed over. */
int archive_in_next(struct archive_in *a, struct archive_file *ret, struct err *e);
/* Up to n bytes of the file in hand; *ret_n is 0 at its end only. */
int archive_in_read(struct archive_in *a, void *to, size_t n, size_t *ret_n, struct err *e);
void archive_in_close(struct archive_in **a);

/* --- writing -------------------------------------------------------------------------------------- */

struct archive_out;

/* to: a file, which appears (or replaces one) whole at archive_out_done, or "-" for stdout. The same
 * files in the same order give the same bytes, always. */
int archive_out_open(const char *to, struct archive_out **ret, struct err *e);
int archive_out_folder(struct archive_out *a, const char *path, struct err *e);
/* Begins a file of exactly size bytes. */
int archive_out_file(struct archive_out *a, const char *path, uint64_t size, struct err *e);
int archive_out_write(struct archive_out *a, const void *p, size_t n, struct err *e);
int archive_out_done(struct archive_out *a, struct err *e);
/* Without archive_out_done before it nothing is left. */
void archive_out_close(struct archive_out **a);

#endif
