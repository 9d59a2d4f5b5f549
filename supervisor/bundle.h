/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle - what a container has on disk outside its worker: STATE/bundles/NS/ID and ROOT/logs/NS/ID.
 *
 * Paths are made here, from names that were checked to be idents. A bundle half made by a crash is
 * removed like a whole one.
 */
#ifndef CF_SUPERVISOR_BUNDLE_H
#define CF_SUPERVISOR_BUNDLE_H

#include <stdio.h>

#include "supervisor/folders.h"

#define BUNDLE_CONFIG_MAX (8u << 20)

/* "STATE/bundles/NS/ID" into path (PATH_MAX bytes); returns path. */
const char *bundle_path(const struct folders *f, const char *ns, const char *id, char *path);
bool bundle_exists(const struct folders *f, const char *ns, const char *id);

/* The folder with config.json copied from the memfd (borrowed) and an empty rootfs/, and the folder for
 * logs. already_exists when it is there; nothing is left after a failure. */
int
bundle_make(const struct folders *f, const char *ns, const char *id, int config_fd, struct err *e);

/* Detaches every mount at or below the bundle, then removes it. Success when there is none. */
int bundle_remove(const struct folders *f, const char *ns, const char *id, struct err *e);

/* Removes the logs. Success when there are none. */
int bundle_remove_logs(const struct folders *f, const char *ns, const char *id, struct err *e);

/* ok when fd is a memfd: reading it can never wait for anybody. */
int memfd_check(int fd, const char *what, struct err *e);

/* Of the text of /proc/self/mountinfo in file: the shortest mount point at or below path, into found
 * (PATH_MAX bytes). 1 when there is one, 0 when not, negative on errors. */
int mount_find(FILE *file, const char *path, char *found, struct err *e);

#endif
