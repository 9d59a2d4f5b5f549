/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - what cofferd was told: command line, else config file, else built in.
 */
#ifndef CF_SUPERVISOR_CONFIG_H
#define CF_SUPERVISOR_CONFIG_H

#include <limits.h>
#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "schemas/schema.h"

#define CONFIG_DEFAULT "/etc/coffer/config.toml"
#define STATE_MAX 50	/* bytes of the state folder's path: socket paths below it must fit 108 */
#define OPTIONS_MAX 64	/* lines of one worker's section */
#define OPTION_MAX 4096 /* bytes of one of them */

struct config {
	char root[PATH_MAX], state[PATH_MAX];
	const char *log_level, *log_format; /* literals */
	unsigned hang_s, start_s, stop_s, backoff_s, healthy_s;
	struct {
		char *line[OPTIONS_MAX]; /* KEY=VALUE */
		unsigned n;
	} options[PROC_COUNT];
	struct arena arena;
};

/* Built-in values; release with config_free. */
void config_init(struct config *c);
void config_free(struct config *c);

/* Reads the file over what is in c. A file that is not there is fine unless must_exist. Errors name
 * file and line. */
int config_read(struct config *c, const char *path, bool must_exist, struct err *e);

/* A folder, absolute or from the working folder. */
int config_folder(char *to, const char *path, struct err *e);
/* The level and format by name; invalid_argument otherwise. */
int config_log_level(struct config *c, const char *text, struct err *e);
int config_log_format(struct config *c, const char *text, struct err *e);

#endif
