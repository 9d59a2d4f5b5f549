/* SPDX-License-Identifier: Apache-2.0 */
/* registry - see registry.h */
#include "ctr/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctr/terminal.h"
#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/oci/dockerconfig.h"
#include "lib/oci/hosts.h"
#include "lib/oci/reference.h"

#define PASSWORD_MAX 16384
#define CONFIG_MAX 1048576
#define PEM_MAX 65536

const struct opt registry_opts[] = {
	{ "user", 'u', OPT_TEXT, "USER[:PASSWORD]",
	    "Log in to the registry. Without a password it is asked for on the terminal. Without "
	    "this option docker's config.json ($DOCKER_CONFIG, ~/.docker) is looked at, and its "
	    "helpers are asked.",
	    NULL },
	{ "password-stdin", 0, OPT_FLAG, NULL, "Read the password from stdin.", NULL },
	{ "plain-http", 0, OPT_FLAG, NULL,
	    "Speak HTTP instead of HTTPS; implied for registries on loopback addresses.", NULL },
	{ "skip-verify", 'k', OPT_FLAG, NULL, "Accept any TLS certificate.", NULL },
	{ "hosts-dir", 0, OPT_TEXT, "DIR",
	    "Mirrors, certificates and headers of registries: DIR/HOST/hosts.toml as containerd "
	    "has them. Default: what the daemon is configured with.",
	    NULL },
	{ "tlscacert", 0, OPT_TEXT, "FILE", "Trust this CA as well (PEM).", NULL },
	{ "tlscert", 0, OPT_TEXT, "FILE", "Show this certificate (PEM); needs --tlskey.", NULL },
	{ "tlskey", 0, OPT_TEXT, "FILE", "The key of --tlscert (PEM).", NULL },
	{ .name = NULL },
};

/* --- --user ------------------------------------------------------------------------------------------- */

/* NAME[:PASSWORD], with the password from stdin, the terminal or the option itself. */
static int
user_read(const struct opts *o, struct arena *a, struct registry *r, struct err *e)
{
	const char *user = opts_text(o, "user"), *colon;
	AUTO(buf_free) struct buf secret = BUF_ZERO;
	int rc;

	if (user == NULL && opts_flag(o, "password-stdin"))
		return err_set(e, ERR_INVALID_ARGUMENT, "--password-stdin needs --user as well");
	if (user == NULL)
		return 0;
	colon = strchr(user, ':');
	if (colon != NULL) {
		r->username = arena_memdup(a, user, (size_t)(colon - user));
		r->password = colon + 1;
		return 0;
	}
	r->username = user;
	rc = opts_flag(o, "password-stdin") ? fs_read_fd(STDIN_FILENO, PASSWORD_MAX, &secret, e)
					    : terminal_ask_hidden("Password: ", &secret, e);
	if (rc < 0)
		return err_wrap(e, "password");
	while (secret.len > 0 && strchr("\r\n", secret.data[secret.len - 1]) != NULL)
		secret.data[--secret.len] = '\0';
	r->password = arena_memdup(a, buf_str(&secret), secret.len);
	if (secret.len > 0)
		explicit_bzero(secret.data, secret.len);
	return 0;
}

/* --- docker's config.json and its helpers -------------------------------------------------------------- */

/* Starts docker-credential-NAME get; our ends of two pipes in to[1] and from[0]. No signal is blocked
 * there, whatever we watch ourselves: ctrl-c reaches it. */
static int
helper_start(const char *program, int to[2], int from[2], pid_t *ret_pid, struct err *e)
{
	char *const argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t) "get", NULL };
	posix_spawn_file_actions_t acts;
	posix_spawnattr_t attr;
	sigset_t none;
	int rc;

	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe to %s", program);
	(void)sigemptyset(&none);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawn_file_actions_init(&acts);
	(void)posix_spawn_file_actions_adddup2(&acts, to[0], STDIN_FILENO);
	(void)posix_spawn_file_actions_adddup2(&acts, from[1], STDOUT_FILENO);
	rc = posix_spawnp(ret_pid, program, &acts, &attr, argv, environ);
	(void)posix_spawn_file_actions_destroy(&acts);
	(void)posix_spawnattr_destroy(&attr);
	fd_close(&to[0]);
	fd_close(&from[1]);
	return rc == 0 ? 0 : err_sys(e, rc, "execute %s, which config.json asks for", program);
}

/* The helper may end without having read it: that is no reason to end too. */
static void
helper_tell(int fd, const char *server)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction before;

	(void)sigaction(SIGPIPE, &ignore, &before); /* cannot fail for this signal */
	(void)fs_write_all(fd, server, strlen(server));
	(void)sigaction(SIGPIPE, &before, NULL);
}

/* What it answers for the server; *ret_status is its exit status. */
static int
helper_run(const char *program, const char *server, struct buf *out, int *ret_status, struct err *e)
{
	int to[2] = { -1, -1 }, from[2] = { -1, -1 };
	pid_t pid = -1;
	int rc = helper_start(program, to, from, &pid, e);

	if (rc == 0) {
		helper_tell(to[1], server);
		fd_close(&to[1]);
		rc = fs_read_fd(from[0], PASSWORD_MAX * 2, out, e);
	}
	for (int i = 0; i < 2; i++) {
		fd_close(&to[i]);
		fd_close(&from[i]);
	}
	while (pid > 0 && waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	return rc < 0 ? err_wrap(e, "%s", program) : 0;
}

/* 1 with a login, 0 when the helper has none. */
static int
helper_ask(
    const char *helper, const char *host, struct arena *a, struct registry_auth *ret, struct err *e)
{
	AUTO(free_ptr) char *program = xasprintf("docker-credential-%s", helper);
	AUTO(buf_free) struct buf out = BUF_ZERO;
	int status = 0, rc = helper_run(program, dockerconfig_server(host), &out, &status, e);

	if (rc < 0)
		return rc;
	if (status != 0 && strstr(buf_str(&out), "credentials not found") != NULL)
		return 0;
	if (status != 0)
		return err_set(e, ERR_PERMISSION_DENIED, "%s: %.200s", program,
		    out.len > 0 ? buf_str(&out) : "it failed and says nothing");
	rc = dockerconfig_answer(buf_str(&out), out.len, helper, a, ret, e);
	explicit_bzero(out.data, out.len);
	return rc < 0 ? rc : 1;
}

static const char *
config_path(struct arena *a)
{
	const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");

	if (dir != NULL && dir[0] != '\0')
		return arena_printf(a, "%s/config.json", dir);
	return home == NULL ? NULL : arena_printf(a, "%s/.docker/config.json", home);
}

/* The text of config.json; empty when there is none. */
static int
config_read(const char *path, struct buf *out, struct err *e)
{
	AUTO(fd_close) int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return path == NULL || errno == ENOENT || errno == ENOTDIR
			   ? 0
			   : err_sys(e, errno, "%s", path);
	return fs_read_fd(fd, CONFIG_MAX, out, e) < 0 ? err_wrap(e, "%s", path) : 0;
}

/* Adds the login for host, if there is one. */
static int
login_add(const struct buf *config, const char *path, const char *host, struct arena *a,
    struct registry *r, struct err *e)
{
	struct registry_auth *to = &r->auths.v[r->auths.n];
	const char *helper;
	int rc = dockerconfig_find(buf_str(config), config->len, path, host, a, to, &helper, e);

	if (rc == 1 && helper != NULL)
		rc = helper_ask(helper, host, a, to, e);
	if (rc == 1)
		r->auths.n++;
	return rc;
}

static int
logins_find(const char *host, struct arena *a, struct registry *r, struct err *e)
{
	AUTO(buf_free) struct buf config = BUF_ZERO;
	const char *path = config_path(a), *at;
	int rc = config_read(path, &config, e);

	r->auths.v = arena_calloc(a, r->hosts.n + 1, sizeof(*r->auths.v));
	if (rc < 0 || config.len == 0)
		return rc;
	if (r->username == NULL)
		rc = login_add(&config, path, host, a, r, e);
	for (uint32_t i = 0; rc >= 0 && i < r->hosts.n; i++) {
		char name[REFERENCE_NAME_MAX + 1];
		bool https;

		if (r->hosts.v[i].url != NULL &&
		    hosts_url(r->hosts.v[i].url, &https, name, sizeof(name), &at, e) == 0 &&
		    strcmp(name, host) != 0)
			rc = login_add(&config, path, arena_strdup(a, name), a, r, e);
	}
	explicit_bzero(config.data, config.len);
	return rc < 0 ? rc : 0;
}

/* --- hosts ---------------------------------------------------------------------------------------------- */

static int
pem_option(
    const struct opts *o, const char *name, struct arena *a, struct bytes *ret, struct err *e)
{
	const char *path = opts_text(o, name);
	AUTO(fd_close) int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	AUTO(buf_free) struct buf text = BUF_ZERO;

	if (path == NULL)
		return 0;
	if (fd < 0)
		return err_sys(e, errno, "--%s %s", name, path);
	if (fs_read_fd(fd, PEM_MAX, &text, e) < 0)
		return err_wrap(e, "--%s %s", name, path);
	*ret = (struct bytes){ .p = arena_memdup(a, buf_str(&text), text.len), .n = text.len };
	return 0;
}

/* --hosts-dir says all; without a folder for the host it says: the registry itself. Certificates given
 * by option are for the registry itself too. */
static int
hosts_read(
    const struct opts *o, const char *host, struct arena *a, struct registry *r, struct err *e)
{
	const char *dir = opts_text(o, "hosts-dir");
	struct registry_host *own = arena_calloc(a, 1, sizeof(*own));
	int found = dir == NULL ? 0 : hosts_find(dir, host, a, &r->hosts, e);
	int rc;

	if (found < 0)
		return found;
	if (found == 1)
		own = &r->hosts.v[r->hosts.n - 1];
	if ((rc = pem_option(o, "tlscacert", a, &own->ca, e)) < 0 ||
	    (rc = pem_option(o, "tlscert", a, &own->cert, e)) < 0 ||
	    (rc = pem_option(o, "tlskey", a, &own->key, e)) < 0)
		return rc;
	if ((own->cert.n > 0) != (own->key.n > 0))
		return err_set(e, ERR_INVALID_ARGUMENT, "--tlscert and --tlskey go together");
	if (found == 0 && (dir != NULL || own->ca.n > 0 || own->cert.n > 0))
		r->hosts = (struct registry_host_list){ .v = own, .n = 1 };
	return 0;
}

int
registry_find(
    const struct opts *o, const char *ref, struct arena *a, struct registry *ret, struct err *e)
{
	struct registry r = { .plain_http = false };
	struct reference name;
	int rc = reference_parse(ref, &name, e);

	if (rc == 0 && o != NULL) {
		r.plain_http = opts_flag(o, "plain-http");
		r.skip_verify = opts_flag(o, "skip-verify");
		if ((rc = user_read(o, a, &r, e)) == 0)
			rc = hosts_read(o, name.host, a, &r, e);
	}
	if (rc == 0)
		rc = logins_find(arena_strdup(a, name.host), a, &r, e);
	if (rc == 0)
		*ret = r;
	return rc;
}
