/* SPDX-License-Identifier: Apache-2.0 */
/* config - see config.h */
#include "supervisor/config.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"

static const char *const levels[] = { "debug", "info", "warn", "error" };
static const char *const formats[] = { "text", "json" };

void
config_init(struct config *c)
{
	*c = (struct config){ .root = "/var/lib/coffer",
		.state = "/run/coffer",
		.log_level = "info",
		.log_format = "text",
		.hang_s = 10,
		.start_s = 60,
		.stop_s = 5,
		.backoff_s = 10,
		.healthy_s = 10 };
}

void
config_free(struct config *c)
{
	arena_free(&c->arena);
}

int
config_folder(char *to, const char *path, struct err *e)
{
	if (path[0] == '\0' || strlen(path) >= PATH_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "a folder's path must have 1 to %d bytes",
		    PATH_MAX - 1);
	(void)strcpy(to, path);
	return 0;
}

int
config_log_level(struct config *c, const char *text, struct err *e)
{
	for (size_t i = 0; i < COUNT(levels); i++)
		if (strcmp(levels[i], text) == 0) {
			c->log_level = levels[i];
			return 0;
		}
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "log level \"%s\" is not one of debug, info, warn and error", text);
}

int
config_log_format(struct config *c, const char *text, struct err *e)
{
	for (size_t i = 0; i < COUNT(formats); i++)
		if (strcmp(formats[i], text) == 0) {
			c->log_format = formats[i];
			return 0;
		}
	return err_set(e, ERR_INVALID_ARGUMENT, "log format \"%s\" is neither text nor json", text);
}
