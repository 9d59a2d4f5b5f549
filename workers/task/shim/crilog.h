/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crilog - a container's log in the format of Kubernetes' CRI: `TIME stream P|F text`, one line each.
 *
 * Lines longer than 16 KiB are cut into parts tagged P. The file is rotated by size: log, log.1, ..
 * A write that fails loses its lines and is counted, nothing else: the file is cut back to its last whole
 * line and the next write is tried as usual, so a disk that was full does not end the log.
 */
#ifndef CF_SHIM_CRILOG_H
#define CF_SHIM_CRILOG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"

#define CRILOG_SIZE (16u << 20)
#define CRILOG_FILES 4
#define CRILOG_PART 16384

struct crilog;

struct crilog_spec {
	const char *path;
	gid_t gid;
	uint64_t max_size; /* 0 = never rotate */
	unsigned max_files;
};

/* Opens the log for appending; makes the last two folders of its path where they are missing. */
int crilog_open(const struct crilog_spec *spec, struct crilog **ret_log, struct err *e);
/* Writes what is held of unfinished lines. */
void crilog_close(struct crilog **log);

/* stream is 1 or 2. */
void crilog_write(struct crilog *log, int stream, const char *data, size_t n);
/* Ends an unfinished line. */
void crilog_flush(struct crilog *log, int stream);

/* Reads "cri-log:///path?max-size=BYTES&max-files=N" into spec; path points into uri, which is changed. */
int crilog_uri(char *uri, struct crilog_spec *spec, struct err *e);

#endif
