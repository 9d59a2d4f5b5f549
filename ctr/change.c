/* SPDX-License-Identifier: Apache-2.0 */
/* change - see change.h */
#include "ctr/change.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctr/options.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/ident.h"
#include "lib/oci/json.h"

#define SPACE " \t"

static json_t *
member(json_t *o, const char *name, json_t *(*make)(void))
{
	json_t *v = json_object_get(o, name);
	json_t *made = make();

	if (v == NULL || json_typeof(v) != json_typeof(made)) {
		(void)json_object_set(o, name, made);
		v = made;
	}
	json_decref(made);
	return v;
}

/* The next word, quotes taken off; 0 at the end. */
static int
word_next(const char **at, struct buf *word, struct err *e)
{
	const char *p = *at + strspn(*at, SPACE);
	char quote = '\0';

	word->len = 0;
	if (*p == '\0')
		return 0;
	for (; *p != '\0' && (quote != '\0' || strchr(SPACE, *p) == NULL); p++) {
		if (quote == '\0' && (*p == '"' || *p == '\''))
			quote = *p;
		else if (*p == quote)
			quote = '\0';
		else if (*p == '\\' && quote != '\'' && p[1] != '\0')
			(void)buf_add(word, ++p, 1);
		else
			(void)buf_add(word, p, 1);
	}
	*at = p;
	return quote == '\0' ? 1 : err_set(e, ERR_INVALID_ARGUMENT, "a quote without its end");
}

static int
array_read(const char *text, json_t **ret, struct err *e)
{
	AUTO(json_free_ptr) json_t *v = NULL;
	const json_t *one;
	size_t i;
	int r = oci_json_parse(text, strlen(text), &v, e);

	if (r < 0)
		return r;
	if (!json_is_array(v))
		return err_set(e, ERR_INVALID_ARGUMENT, "not an array");
	json_array_foreach (v, i, one)
		if (!json_is_string(one))
			return err_set(e, ERR_INVALID_ARGUMENT, "not an array of strings");
	*ret = TAKE(v);
	return 0;
}

/* A command: as an array, or for the shell. */
static int
set_command(json_t *config, const char *name, const char *text, struct err *e)
{
	json_t *v = NULL;
	int r = 0;

	if (*text == '[')
		r = array_read(text, &v, e);
	else
		v = json_pack("[s,s,s]", "/bin/sh", "-c", text);
	if (r == 0)
		(void)json_object_set_new(config, name, v);
	return r;
}

static int
set_entrypoint(json_t *config, const char *text, struct err *e)
{
	return set_command(config, "Entrypoint", text, e);
}

static int
set_cmd(json_t *config, const char *text, struct err *e)
{
	return set_command(config, "Cmd", text, e);
}

/* Calls put for each KEY=VALUE, or for the one KEY VALUE. */
typedef void put_fn(json_t *config, const char *key, const char *value);

static int
pairs(json_t *config, const char *text, put_fn *put, struct err *e)
{
	AUTO(buf_free) struct buf word = BUF_ZERO;
	size_t first = strcspn(text, SPACE);
	int r;

	if (memchr(text, '=', first) == NULL && text[first] != '\0') {
		AUTO(free_ptr) char *key = xasprintf("%.*s", (int)first, text);

		put(config, key, text + first + strspn(text + first, SPACE));
		return 0;
	}
	while ((r = word_next(&text, &word, e)) > 0) {
		char *eq = strchr(word.data, '=');

		if (eq == NULL || eq == word.data)
			return err_set(e, ERR_INVALID_ARGUMENT, "%s is not KEY=VALUE", word.data);
		*eq = '\0';
		put(config, word.data, eq + 1);
	}
	return r;
}

static void
put_env(json_t *config, const char *key, const char *value)
{
	json_t *env = member(config, "Env", json_array);
	AUTO(free_ptr) char *text = xasprintf("%s=%s", key, value);
	size_t n = strlen(key) + 1;

	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *had = json_string_value(json_array_get(env, i));

		if (had != NULL && strncmp(had, text, n) == 0) {
			(void)json_array_set_new(env, i, json_string(text));
			return;
		}
	}
	(void)json_array_append_new(env, json_string(text));
}

static int
set_env(json_t *config, const char *text, struct err *e)
{
	return pairs(config, text, put_env, e);
}

static void
put_label(json_t *config, const char *key, const char *value)
{
	(void)json_object_set_new(member(config, "Labels", json_object), key, json_string(value));
}

static int
set_label(json_t *config, const char *text, struct err *e)
{
	return pairs(config, text, put_label, e);
}

static void
put_text(json_t *config, const char *name, const char *text)
{
	(void)json_object_set_new(config, name, json_string(text));
}

static int
set_user(json_t *config, const char *text, struct err *e)
{
	(void)e;
	put_text(config, "User", text);
	return 0;
}

static int
set_signal(json_t *config, const char *text, struct err *e)
{
	uint64_t unused;
	int r = parse_signal(text, &unused, e);

	if (r == 0)
		put_text(config, "StopSignal", text);
	return r;
}

/* One that is relative starts where the last one led. */
static int
set_workdir(json_t *config, const char *text, struct err *e)
{
	const char *was = json_string_value(json_object_get(config, "WorkingDir"));
	AUTO(free_ptr) char *path = NULL;

	(void)e;
	if (was == NULL || *was == '\0')
		was = "/";
	path = xasprintf("%s%s%s", was, was[strlen(was) - 1] == '/' ? "" : "/", text);
	put_text(config, "WorkingDir", *text == '/' ? text : path);
	return 0;
}

static int
put_keys(json_t *config, const char *name, const char *text, const char *suffix, struct err *e)
{
	json_t *set = member(config, name, json_object);
	AUTO(buf_free) struct buf word = BUF_ZERO;
	AUTO(json_free_ptr) json_t *list = NULL;
	const json_t *one;
	size_t i;
	int r = 0;

	if (*text == '[') {
		if ((r = array_read(text, &list, e)) < 0)
			return r;
		json_array_foreach (list, i, one)
			(void)json_object_set_new(set, json_string_value(one), json_object());
		return 0;
	}
	while ((r = word_next(&text, &word, e)) > 0) {
		if (suffix != NULL && strchr(word.data, '/') == NULL)
			(void)buf_adds(&word, suffix);
		(void)json_object_set_new(set, word.data, json_object());
	}
	return r;
}

static int
set_expose(json_t *config, const char *text, struct err *e)
{
	return put_keys(config, "ExposedPorts", text, "/tcp", e);
}

static int
set_volume(json_t *config, const char *text, struct err *e)
{
	return put_keys(config, "Volumes", text, NULL, e);
}

static const struct {
	const char *name;
	int (*set)(json_t *config, const char *text, struct err *e);
} instructions[] = {
	{ "CMD", set_cmd },
	{ "ENTRYPOINT", set_entrypoint },
	{ "ENV", set_env },
	{ "EXPOSE", set_expose },
	{ "LABEL", set_label },
	{ "STOPSIGNAL", set_signal },
	{ "USER", set_user },
	{ "VOLUME", set_volume },
	{ "WORKDIR", set_workdir },
};

static bool
is_line_of(const char *line, const char *name)
{
	size_t n = strlen(name);

	line += strspn(line, SPACE);
	return strncasecmp(line, name, n) == 0 && line[n] != '\0' && strchr(SPACE, line[n]) != NULL;
}

static int
apply_one(json_t *config, const char *line, struct err *e)
{
	AUTO(json_free_ptr) json_t *sound = json_string(line);

	if (sound == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "not UTF-8");
	for (size_t i = 0; i < COUNT(instructions); i++) {
		const char *text = line + strspn(line, SPACE) + strlen(instructions[i].name);

		if (!is_line_of(line, instructions[i].name))
			continue;
		text += strspn(text, SPACE);
		if (*text == '\0')
			break;
		return instructions[i].set(config, text, e);
	}
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "not CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR with a "
	    "value");
}

int
change_apply(json_t *image_config, struct strs lines, struct err *e)
{
	json_t *config = member(image_config, "config", json_object);
	bool cmd = false, entrypoint = false;
	char shown[80];

	for (uint32_t i = 0; i < lines.n; i++) {
		cmd |= is_line_of(lines.v[i], "CMD");
		entrypoint |= is_line_of(lines.v[i], "ENTRYPOINT");
		if (apply_one(config, lines.v[i], e) < 0)
			return err_wrap(
			    e, "change \"%s\"", ident_show(lines.v[i], shown, sizeof(shown)));
	}
	if (entrypoint && !cmd)
		(void)json_object_del(config, "Cmd");
	return 0;
}
