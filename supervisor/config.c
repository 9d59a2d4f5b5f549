/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - see config.h.
 *
 * Keys of the supervisor's own are all known here; those of a worker's section are the worker's to
 * judge, and go to it as they are.
 */
#include "supervisor/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/toml.h"
#include "supervisor/folders.h"

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
		.healthy_s = 1 };
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

/* --- the file ----------------------------------------------------------------------------------------- */

static const struct limit {
	const char *key;
	size_t at; /* in struct config */
	unsigned min, max;
} limits[] = {
	{ "hang-limit", offsetof(struct config, hang_s), 1, 3600 },
	{ "start-limit", offsetof(struct config, start_s), 1, 3600 },
	{ "stop-limit", offsetof(struct config, stop_s), 1, 3600 },
	{ "backoff-limit", offsetof(struct config, backoff_s), 0, 3600 }, /* 0: at once, always */
	{ "healthy-after", offsetof(struct config, healthy_s), 1, 3600 },
};

static int
set_limit(struct config *c, const struct limit *l, const struct toml_value *v, const char *file,
    struct err *e)
{
	if (v->kind != TOML_INTEGER || v->integer < l->min || v->integer > l->max)
		return toml_fail(file, v->line, e, "%s must be a number of seconds, %u to %u",
		    l->key, l->min, l->max);
	*(unsigned *)((char *)c + l->at) = (unsigned)v->integer;
	return 0;
}

/* KEY=VALUE for the command line of a worker. */
static int
set_option(
    struct config *c, unsigned proc, const struct toml_value *v, const char *file, struct err *e)
{
	AUTO(buf_free) struct buf b = BUF_LIMIT(OPTION_MAX);
	int over = buf_addf(&b, "%s=", v->key);

	if (c->options[proc].n == OPTIONS_MAX)
		return toml_fail(
		    file, v->line, e, "more than %d lines in section %s", OPTIONS_MAX, v->table);
	if (strchr(v->key, '=') != NULL)
		return toml_fail(file, v->line, e, "the key %s must have no =", v->key);
	switch (v->kind) {
	case TOML_STRING:
		over |= buf_adds(&b, v->string);
		break;
	case TOML_INTEGER:
		over |= buf_addf(&b, "%lld", (long long)v->integer);
		break;
	case TOML_BOOLEAN:
		over |= buf_adds(&b, v->boolean ? "true" : "false");
		break;
	case TOML_STRINGS:
		for (unsigned i = 0; i < v->nstrings; i++) {
			if (strchr(v->strings[i], ',') != NULL)
				return toml_fail(
				    file, v->line, e, "an entry of %s must have no comma", v->key);
			over |= buf_addf(&b, "%s%s", i == 0 ? "" : ",", v->strings[i]);
		}
		break;
	case TOML_ARRAY:
		return toml_fail(file, v->line, e, "%s may not have arrays in its array", v->key);
	}
	if (over != 0)
		return toml_fail(file, v->line, e, "the value of %s is longer than %d bytes",
		    v->key, OPTION_MAX);
	c->options[proc].line[c->options[proc].n++] = arena_strdup(&c->arena, buf_str(&b));
	return 0;
}

static int
set_text(struct config *c, const struct toml_value *v, const char *file, struct err *e)
{
	char name[TOML_KEY_MAX * 2];
	int r;

	(void)snprintf(
	    name, sizeof(name), "%s%s%s", v->table, v->table[0] == '\0' ? "" : ".", v->key);
	if (strcmp(name, "root") != 0 && strcmp(name, "state") != 0 &&
	    strcmp(name, "log.level") != 0 && strcmp(name, "log.format") != 0)
		return toml_fail(file, v->line, e, "unknown key %s", name);
	if (v->kind != TOML_STRING)
		return toml_fail(file, v->line, e, "%s must be a string, in quotes", name);
	if (strcmp(name, "log.level") == 0)
		r = config_log_level(c, v->string, e);
	else if (strcmp(name, "log.format") == 0)
		r = config_log_format(c, v->string, e);
	else if (v->string[0] != '/')
		r = err_set(e, ERR_INVALID_ARGUMENT, "%s must be an absolute path", name);
	else
		r = config_folder(name[0] == 'r' ? c->root : c->state, v->string, e);
	return r < 0 ? err_wrap(e, "%s:%u", file, v->line) : 0;
}

static int
set(struct config *c, const struct toml_value *v, const char *file, struct err *e)
{
	for (unsigned proc = 0; proc < PROC_COUNT; proc++)
		if (strcmp(v->table, proc_name(proc)) == 0)
			return set_option(c, proc, v, file, e);
	for (size_t i = 0; strcmp(v->table, "supervisor") == 0 && i < COUNT(limits); i++)
		if (strcmp(v->key, limits[i].key) == 0)
			return set_limit(c, &limits[i], v, file, e);
	return set_text(c, v, file, e);
}

int
config_read(struct config *c, const char *path, bool must_exist, struct err *e)
{
	/* Links are followed: it is the administrator's own file. */
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct toml doc;
	int r;

	if (fd < 0 && errno == ENOENT && !must_exist)
		return 0;
	if (fd < 0)
		return err_sys(e, errno, "configuration %s", path);
	r = fs_read_fd(fd, TOML_MAX, &text, e);
	if (r < 0)
		return err_wrap(e, "configuration %s", path);
	r = toml_parse(buf_str(&text), text.len, path, &c->arena, &doc, e);
	for (unsigned i = 0; r == 0 && i < doc.nvalues; i++)
		r = set(c, &doc.values[i], path, e);
	return r;
}
