/* SPDX-License-Identifier: Apache-2.0 */
/* mount_arg - see mount_arg.h */
#include "lib/oci/mount_arg.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/ident.h"

#define OPTIONS_MAX 32

const char *
oci_path_clean(const char *path, struct arena *a)
{
	char *out;
	size_t n = 0;

	if (path[0] != '/')
		return NULL;
	out = arena_calloc(a, strlen(path) + 2, 1);
	while (*path != '\0') {
		size_t len = strcspn(path, "/");

		if (len == 2 && path[0] == '.' && path[1] == '.') {
			while (n > 0 && out[--n] != '/')
				;
		} else if (len > 0 && !(len == 1 && path[0] == '.')) {
			out[n++] = '/';
			memcpy(out + n, path, len);
			n += len;
		}
		path += len;
		path += *path == '/';
	}
	if (n == 0)
		out[n++] = '/';
	out[n] = '\0';
	return out;
}

struct parse {
	struct arena *a;
	const char *whole;
	const char *type, *source, *target;
	const char *options[OPTIONS_MAX];
	size_t noptions;
};

static int
bad(struct parse *p, struct err *e, const char *what, const char *word)
{
	char whole[160], shown[80];

	return err_set(e, ERR_INVALID_ARGUMENT, "mount \"%s\": %s%s%s",
	    ident_show(p->whole, whole, sizeof(whole)), what, word == NULL ? "" : ": ",
	    word == NULL ? "" : ident_show(word, shown, sizeof(shown)));
}

static int
add_option(struct parse *p, const char *option, struct err *e)
{
	if (option[0] == '\0')
		return bad(p, e, "an empty option", NULL);
	for (size_t i = 0; i < p->noptions; i++)
		if (strcmp(p->options[i], option) == 0)
			return 0;
	if (p->noptions == OPTIONS_MAX)
		return bad(p, e, "too many options", NULL);
	p->options[p->noptions++] = option;
	return 0;
}

static int
add_options(struct parse *p, char *list, struct err *e)
{
	for (char *next; list != NULL; list = next) {
		int r;

		next = strchr(list, ':');
		if (next != NULL)
			*next++ = '\0';
		if ((r = add_option(p, list, e)) < 0)
			return r;
	}
	return 0;
}

static int
set_once(struct parse *p, const char **to, const char *key, const char *value, struct err *e)
{
	if (*to != NULL)
		return bad(p, e, "given twice", key);
	if (value == NULL || value[0] == '\0')
		return bad(p, e, "needs a value", key);
	*to = value;
	return 0;
}

static bool
is_word(const char *key, const char *a, const char *b, const char *c)
{
	return strcmp(key, a) == 0 || (b != NULL && strcmp(key, b) == 0) ||
	       (c != NULL && strcmp(key, c) == 0);
}

static int
take_field(struct parse *p, char *field, struct err *e)
{
	char *value = strchr(field, '=');

	if (value != NULL)
		*value++ = '\0';
	if (is_word(field, "type", NULL, NULL))
		return set_once(p, &p->type, field, value, e);
	if (is_word(field, "src", "source", NULL))
		return set_once(p, &p->source, field, value, e);
	if (is_word(field, "dst", "destination", "target"))
		return set_once(p, &p->target, field, value, e);
	if (is_word(field, "options", NULL, NULL)) {
		if (value == NULL)
			return bad(p, e, "needs a value", field);
		return add_options(p, value, e);
	}
	if (is_word(field, "readonly", "ro", NULL)) {
		if (value != NULL && is_word(value, "false", "0", NULL))
			return 0;
		if (value != NULL && !is_word(value, "true", "1", NULL))
			return bad(p, e, "true or false, not", value);
		return add_option(p, "ro", e);
	}
	if (value != NULL && is_word(field, "bind-propagation", NULL, NULL))
		return add_option(p, value, e);
	if (value != NULL && is_word(field, "tmpfs-size", NULL, NULL))
		return add_option(p, arena_printf(p->a, "size=%s", value), e);
	if (value != NULL && is_word(field, "tmpfs-mode", NULL, NULL))
		return add_option(p, arena_printf(p->a, "mode=%s", value), e);
	return bad(p, e, "unknown word", field);
}

/* What mount(2) has flags for, as runtimes spell it. They pass other words on as data, which a bind mount
 * ignores: a mistake nobody would hear of. */
static bool
is_flag(const char *option)
{
	static const char *const flags[] = { "bind", "rbind", "ro", "rw", "suid", "nosuid", "dev",
		"nodev", "exec", "noexec", "sync", "async", "dirsync", "atime", "noatime",
		"diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
		"mand", "nomand", "silent", "loud", "defaults", "iversion", "noiversion",
		"symfollow", "nosymfollow", "private", "rprivate", "shared", "rshared", "slave",
		"rslave", "unbindable", "runbindable", "idmap", "ridmap", "rro", "rrw", "rnosuid",
		"rnodev", "rnoexec", "rsuid", "rdev", "rexec", "rnoatime", "rrelatime" };

	for (size_t i = 0; i < COUNT(flags); i++)
		if (strcmp(option, flags[i]) == 0)
			return true;
	return false;
}

static bool
is_tmpfs_word(const char *option)
{
	static const char *const words[] = { "size=", "mode=", "uid=", "gid=", "nr_inodes=",
		"nr_blocks=", "huge=", "mpol=", "tmpcopyup" };

	for (size_t i = 0; i < COUNT(words); i++)
		if (strncmp(option, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

/* Filesystems that we know by what they take; others are between the user and the kernel. */
static int
check_options(struct parse *p, struct err *e)
{
	bool bind = strcmp(p->type, "bind") == 0, tmpfs = strcmp(p->type, "tmpfs") == 0;

	for (size_t i = 0; (bind || tmpfs) && i < p->noptions; i++)
		if (!is_flag(p->options[i]) && !(tmpfs && is_tmpfs_word(p->options[i])))
			return bad(p, e, "unknown option", p->options[i]);
	return 0;
}

static int
finish(struct parse *p, struct oci_mount *ret, struct err *e)
{
	bool bind;
	int r;

	if (p->type == NULL)
		p->type = p->source != NULL ? "bind" : NULL;
	if (p->type == NULL)
		return bad(p, e, "no type= and no src=", NULL);
	if (strcmp(p->type, "volume") == 0)
		return bad(p, e, "named volumes do not exist here; use type=bind", NULL);
	if (p->target == NULL)
		return bad(p, e, "no dst=", NULL);
	p->target = oci_path_clean(p->target, p->a);
	if (p->target == NULL || strlen(p->target) > OCI_PATH_BYTES_MAX)
		return bad(p, e, "dst must be an absolute path", NULL);
	if (strcmp(p->target, "/") == 0)
		return bad(p, e, "dst must not be the root", NULL);
	bind = strcmp(p->type, "bind") == 0;
	if (bind) {
		bool has = false;

		if (p->source == NULL)
			return bad(p, e, "no src=", NULL);
		if (p->source[0] != '/' || strlen(p->source) > OCI_PATH_BYTES_MAX)
			return bad(p, e, "src must be an absolute path", NULL);
		for (size_t i = 0; i < p->noptions; i++)
			has = has || is_word(p->options[i], "bind", "rbind", NULL);
		if (!has && (r = add_option(p, "rbind", e)) < 0)
			return r;
	}
	if ((r = check_options(p, e)) < 0)
		return r;
	ret->type = p->type;
	ret->source = p->source == NULL ? p->type : p->source;
	ret->target = p->target;
	ret->options.n = p->noptions;
	ret->options.v = memcpy(
	    arena_calloc(p->a, OPTIONS_MAX, sizeof(*p->options)), p->options, sizeof(p->options));
	return 0;
}

int
oci_mount_parse(const char *text, struct arena *a, struct oci_mount *ret, struct err *e)
{
	struct parse p = { .a = a, .whole = text };
	char *field = arena_strdup(a, text);
	int r;

	for (char *next; field != NULL; field = next) {
		next = strchr(field, ',');
		if (next != NULL)
			*next++ = '\0';
		if ((r = take_field(&p, field, e)) < 0)
			return r;
	}
	return finish(&p, ret, e);
}
