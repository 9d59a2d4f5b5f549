/* SPDX-License-Identifier: Apache-2.0 */
/* place - see place.h */
#include "workers/task/shim/place.h"

#include <errno.h>
#include <fcntl.h>
#include <sha256.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/ttrpc/shim.h"

#define RUNTIME_TIMEOUT_MAX_MS 86400000
#define CONTAINERD_SOCKETS "/run/containerd/s"
#define CONTAINERD_RUNTIME_ROOT "/run/coffer/runtime"

struct option {
	const char *name;
	const char **value;
	bool *flag;
};

/* One option at argv[i]. Returns how many arguments it took, or < 0. */
static int
option_parse(const struct option *opts, size_t n, int argc, char **argv, int i, struct err *e)
{
	const char *name = argv[i] + 1, *eq;
	size_t len;

	if (*name == '-')
		name++;
	eq = strchr(name, '=');
	len = eq == NULL ? strlen(name) : (size_t)(eq - name);
	for (size_t o = 0; o < n; o++) {
		if (strlen(opts[o].name) != len || strncmp(opts[o].name, name, len) != 0)
			continue;
		if (opts[o].flag != NULL) {
			*opts[o].flag = true;
			return 1;
		}
		if (eq == NULL && i + 1 >= argc)
			return err_set(e, ERR_INVALID_ARGUMENT, "option -%s needs a value", name);
		*opts[o].value = eq == NULL ? argv[i + 1] : eq + 1;
		return eq == NULL ? 2 : 1;
	}
	return err_set(e, ERR_INVALID_ARGUMENT, "unknown option %.60s", argv[i]);
}

int
shim_args_parse(int argc, char **argv, struct shim_args *a, struct err *e)
{
	const struct option opts[] = { { "namespace", &a->ns, NULL }, { "id", &a->id, NULL },
		{ "address", &a->address, NULL }, { "publish-binary", &a->publish, NULL },
		{ "bundle", &a->bundle, NULL }, { "sockets", &a->sockets, NULL },
		{ "debug", NULL, &a->debug }, { "v", NULL, &a->version } };

	*a = (struct shim_args){
		.ns = "", .id = "", .address = "", .bundle = "", .action = "", .sockets = ""
	};
	for (int i = 1; i < argc;) {
		int took = 1;

		if (argv[i][0] != '-')
			a->action = argv[i];
		else if ((took = option_parse(opts, COUNT(opts), argc, argv, i, e)) < 0)
			return took;
		i += took;
	}
	return 0;
}

static void
sha256_hex(const char *text, char hex[SHA256_DIGEST_STRING_LENGTH])
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)text, strlen(text));
	SHA256Final(sum, &ctx);
	for (size_t i = 0; i < sizeof(sum); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

/* Copies an environment variable that must be an absolute path, or "". */
static int
env_path(const char *name, char *to, size_t size, struct err *e)
{
	const char *value = getenv(name);

	to[0] = '\0';
	if (value == NULL || value[0] == '\0')
		return 0;
	if (value[0] != '/' || strlen(value) >= size)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "%s must be an absolute path of less than %zu bytes", name, size);
	(void)snprintf(to, size, "%s", value);
	return 0;
}

/* The OCI runtime's limit of time: from one millisecond to a day. */
static int
env_timeout(uint64_t *ret_ms, struct err *e)
{
	const char *value = getenv(SHIM_ENV_RUNTIME_TIMEOUT);
	char *end;

	if (value == NULL || value[0] == '\0')
		return 0;
	*ret_ms = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || *ret_ms == 0 ||
	    *ret_ms > RUNTIME_TIMEOUT_MAX_MS)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s: %.40s is not from 1 to %d",
		    SHIM_ENV_RUNTIME_TIMEOUT, value, RUNTIME_TIMEOUT_MAX_MS);
	return 0;
}

/* In Coffer's own state folder. */
static int
place_state(struct place *p, const char *state, struct err *e)
{
	char hex[SHA256_DIGEST_STRING_LENGTH], dir[PLACE_STATE_MAX + 8];
	AUTO(free_ptr) char *name = xasprintf("%s/%s", p->ns, p->id);
	struct stat st;

	sha256_hex(name, hex);
	(void)snprintf(dir, sizeof(dir), "%s/s", state);
	if (stat(dir, &st) < 0)
		return err_sys(e, errno, "folder of sockets %s", dir);
	p->gid = st.st_gid;
	(void)snprintf(p->base, sizeof(p->base), "%s/%.16s", dir, hex);
	(void)snprintf(p->sock, sizeof(p->sock), "%s.sock", p->base);
	(void)snprintf(p->attach, sizeof(p->attach), "%s.attach", p->base);
	(void)snprintf(p->runtime_root, sizeof(p->runtime_root), "%s/runtime/%s", state, p->ns);
	return 0;
}

/* Where containerd and its tools look. */
static void
place_containerd(struct place *p, const char *address)
{
	char hex[SHA256_DIGEST_STRING_LENGTH];
	AUTO(free_ptr) char *name = xasprintf("%s/%s/%s", address, p->ns, p->id);

	sha256_hex(name, hex);
	(void)snprintf(p->base, sizeof(p->base), "%s/%s", CONTAINERD_SOCKETS, hex);
	(void)snprintf(p->sock, sizeof(p->sock), "%s", p->base);
	p->attach[0] = '\0';
	(void)snprintf(
	    p->runtime_root, sizeof(p->runtime_root), "%s/%s", CONTAINERD_RUNTIME_ROOT, p->ns);
}

int
place_own(struct own_file *own, const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_sys(e, errno, "socket %s", path);
	*own = (struct own_file){ .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

void
place_own_text(const struct place *p, char text[PLACE_OWN_TEXT_MAX])
{
	(void)snprintf(text, PLACE_OWN_TEXT_MAX, "%ju:%ju,%ju:%ju", (uintmax_t)p->own_sock.dev,
	    (uintmax_t)p->own_sock.ino, (uintmax_t)p->own_attach.dev, (uintmax_t)p->own_attach.ino);
}

/* Text of place_own_text, or "" when there is none. */
static int
own_parse(struct place *p, const char *text, struct err *e)
{
	uintmax_t n[4] = { 0 };
	char end;

	if (text[0] != '\0' &&
	    sscanf(text, "%ju:%ju,%ju:%ju%c", &n[0], &n[1], &n[2], &n[3], &end) != 4)
		return err_set(e, ERR_INVALID_ARGUMENT, "option -sockets: %.60s", text);
	p->own_sock = (struct own_file){ .dev = (dev_t)n[0], .ino = (ino_t)n[1] };
	p->own_attach = (struct own_file){ .dev = (dev_t)n[2], .ino = (ino_t)n[3] };
	return 0;
}

int
place_make(struct place *p, const struct shim_args *a, struct err *e)
{
	char state[PLACE_STATE_MAX];
	const char *runtime = getenv(SHIM_ENV_RUNTIME);

	memset(p, 0, sizeof(*p));
	if (ident_check("namespace", a->ns, e) < 0 || ident_check("container", a->id, e) < 0)
		return -(int)e->code;
	(void)snprintf(p->ns, sizeof(p->ns), "%s", a->ns);
	(void)snprintf(p->id, sizeof(p->id), "%s", a->id);
	if (own_parse(p, a->sockets, e) < 0)
		return -(int)e->code;
	if (a->bundle[0] != '\0' && chdir(a->bundle) < 0)
		return err_sys(e, errno, "enter bundle %s", a->bundle);
	if (getcwd(p->bundle, sizeof(p->bundle)) == NULL)
		return err_sys(e, errno, "find the bundle");
	if (env_path(SHIM_ENV_STATE, state, sizeof(state), e) < 0 ||
	    env_path(SHIM_ENV_LOG_DIR, p->log_dir, sizeof(p->log_dir), e) < 0 ||
	    env_timeout(&p->runtime_timeout_ms, e) < 0)
		return -(int)e->code;
	if (runtime != NULL)
		(void)snprintf(p->runtime, sizeof(p->runtime), "%s", runtime);
	if (state[0] != '\0')
		return place_state(p, state, e);
	place_containerd(p, a->address);
	return 0;
}

static void
remove_own(const struct own_file *own, const char *path)
{
	struct stat st;

	if (own->ino != 0 && lstat(path, &st) == 0 && st.st_dev == own->dev &&
	    st.st_ino == own->ino)
		(void)unlink(path);
}

void
place_remove_own(const struct place *p)
{
	remove_own(&p->own_sock, p->sock);
	remove_own(&p->own_attach, p->attach);
}

void
place_remove_sockets(const struct place *p)
{
	char dir[SOCKET_PATH_MAX];
	const char *name = strrchr(p->base, '/') + 1;
	size_t len = strlen(name);
	AUTO(dir_close) DIR *d = NULL;
	struct dirent *ent;

	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(name - p->base), p->base);
	d = opendir(dir);
	while (d != NULL && (ent = readdir(d)) != NULL)
		if (strncmp(ent->d_name, name, len) == 0 &&
		    (ent->d_name[len] == '.' || ent->d_name[len] == '\0'))
			(void)unlinkat(dirfd(d), ent->d_name, 0);
}
