/* SPDX-License-Identifier: Apache-2.0 */
/* shim - see shim.h */
#include "supervisor/shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "supervisor/bundle.h"
#include "supervisor/control.h"
#include "supervisor/spawn.h"

#define SHIM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SHIM_PREFIX "containerd-shim-"
#define ENV_MAX 40
#define LEAKED_MS 200 /* for a killed shim to be gone */
#define FOREIGN_SOCKETS "/run/containerd/s"

/* 1: runs, and only root can change it; 0: not there; negative: there, and not to be trusted. */
static int
program_trusted(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return 0;
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "runtime %s is not a program", path);
	if (st.st_uid != 0 || (st.st_mode & 022) != 0)
		return err_set(e, ERR_PERMISSION_DENIED,
		    "runtime %s can be changed by others than root: not executed", path);
	return 1;
}

static int
program_search(const char *name, char *path, struct err *e)
{
	const char *dir = SHIM_PATH;

	while (*dir != '\0') {
		size_t n = strcspn(dir, ":");
		int r;

		(void)snprintf(path, PATH_MAX, "%.*s/%s", (int)n, dir, name);
		r = program_trusted(path, e);
		if (r != 0)
			return r < 0 ? r : 0;
		dir += n + (dir[n] == ':');
	}
	return err_set(
	    e, ERR_NOT_FOUND, "runtime: no program %s beside cofferd or in %s", name, SHIM_PATH);
}

/* The last two words of a.b.NAME.vN; false when it is not of that form. */
static bool
runtime_words(const char *runtime, char *name, size_t size)
{
	const char *version = strrchr(runtime, '.'), *word = version;
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (version == NULL || runtime[strspn(runtime, allowed)] != '\0')
		return false;
	while (word > runtime && word[-1] != '.')
		word--;
	if (word == runtime || word == version || version[1] != 'v' || version[2] == '\0')
		return false;
	return snprintf(name, size, SHIM_PREFIX "%.*s-%s", (int)(version - word), word,
		   version + 1) < (int)size;
}

int
shim_program(const char *runtime, const char *self_dir, char *path, struct err *e)
{
	char name[ORDER_RUNTIME_MAX + 32];
	int r;

	if (runtime[0] == '/') {
		AUTO(free_ptr) char *real = realpath(runtime, NULL);

		if (real == NULL)
			return err_sys(e, errno, "runtime %s", runtime);
		r = program_trusted(real, e);
		if (r < 0)
			return r;
		(void)snprintf(path, PATH_MAX, "%s", real);
		return 0;
	}
	if (!runtime_words(runtime, name, sizeof(name)))
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "runtime \"%s\" is neither of the form io.containerd.NAME.vN nor an absolute "
		    "path",
		    runtime);
	(void)snprintf(path, PATH_MAX, "%s/%s", self_dir, name);
	if (access(path, X_OK) == 0) /* as trusted as cofferd itself */
		return 0;
	return program_search(name, path, e);
}

/* --- environment of shims: what the protocol asks for, and nothing of ours but COFFER_* ------------- */

struct env {
	char text[8192];
	size_t used;
	char *v[ENV_MAX + 1];
	unsigned n;
};

static void
env_add(struct env *env, const char *name, const char *value)
{
	int n;

	if (env->n == ENV_MAX)
		return;
	n = snprintf(env->text + env->used, sizeof(env->text) - env->used, "%s%s%s", name,
	    value != NULL ? "=" : "", value != NULL ? value : "");
	if (n < 0 || (size_t)n >= sizeof(env->text) - env->used)
		return;
	env->v[env->n++] = env->text + env->used;
	env->v[env->n] = NULL;
	env->used += (size_t)n + 1;
}

static void
env_make(
    struct env *env, const struct folders *f, const char *address, const struct shim_call *call)
{
	char text[PATH_MAX + 200];

	env->used = env->n = 0;
	env_add(env, "PATH", SHIM_PATH);
	env_add(env, "COFFER_STATE", f->state);
	env_add(env, "COFFER_ROOT", f->root);
	if (call->id != NULL) {
		(void)snprintf(text, sizeof(text), "%s/logs/%s/%s", f->root, call->ns, call->id);
		env_add(env, "COFFER_LOG_DIR", text);
		env_add(env, "NAMESPACE", call->ns);
	}
	env_add(env, "GRPC_ADDRESS", address);
	(void)snprintf(text, sizeof(text), "%s.ttrpc", address);
	env_add(env, "TTRPC_ADDRESS", text);
	env_add(env, "MAX_SHIM_VERSION", "2");
	env_add(env, "GOMAXPROCS", "2"); /* for shims written in Go */
	for (char **v = environ; *v != NULL; v++)
		if (strncmp(*v, "COFFER_", 7) == 0 && strncmp(*v, "COFFER_STATE=", 13) != 0 &&
		    strncmp(*v, "COFFER_ROOT=", 12) != 0 && strncmp(*v, "COFFER_LOG_DIR=", 15) != 0)
			env_add(env, *v, NULL);
}

int
shim_run(const struct folders *f, const char *self_dir, const struct shim_call *call,
    pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	char path[PATH_MAX], bundle[PATH_MAX], address[STATE_MAX + 32], self[PATH_MAX + 16];
	char ns[80], id[80], verb[16];
	char *argv[] = { path, (char[]){ "-namespace" }, ns, (char[]){ "-id" }, id,
		(char[]){ "-address" }, address, (char[]){ "-publish-binary" }, self,
		(char[]){ "-bundle" }, bundle, verb, NULL };
	char *probe[] = { path, verb, NULL };
	struct env env;
	int r = shim_program(call->runtime, self_dir, path, e);

	if (r < 0)
		return r;
	(void)snprintf(verb, sizeof(verb), "%s", call->verb);
	(void)snprintf(address, sizeof(address), "%s/containerd.sock", f->state);
	(void)snprintf(self, sizeof(self), "%s/cofferd", self_dir);
	(void)snprintf(bundle, sizeof(bundle), "/");
	if (call->id != NULL) {
		(void)snprintf(ns, sizeof(ns), "%s", call->ns);
		(void)snprintf(id, sizeof(id), "%s", call->id);
		(void)bundle_path(f, ns, id, bundle);
	}
	if (strcmp(verb, "start") == 0) { /* it has no -bundle: the working folder says it */
		argv[9] = verb;
		argv[10] = NULL;
	}
	env_make(&env, f, address, call);
	return spawn(&(struct spawn){ .path = path,
			 .argv = call->id != NULL ? argv : probe,
			 .envp = env.v,
			 .fds = { call->in, call->out, call->err },
			 .nfds = 3,
			 .cwd = bundle,
			 .tied = true },
	    ret_pid, ret_pidfd, e);
}

/* --- connections and signals ------------------------------------------------------------------------ */

/* dir/NAME, where NAME is one component. */
static bool
is_child(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	const char *name;

	if (strncmp(path, dir, n) != 0 || path[n] != '/')
		return false;
	name = path + n + 1;
	return *name != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

int
shim_connect(const struct folders *f, const char *address, int *ret_fd, struct err *e)
{
	AUTO(fd_close) int fd = -1;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t n = sizeof(peer);
	char ours[STATE_MAX + 3];
	struct stat st;

	if (strncmp(address, "unix://", 7) == 0)
		address += 7;
	(void)snprintf(ours, sizeof(ours), "%s/s", f->state);
	if (!is_child(address, ours) && !is_child(address, FOREIGN_SOCKETS))
		return err_set(e, ERR_PERMISSION_DENIED, "socket %s is not below %s or %s", address,
		    ours, FOREIGN_SOCKETS);
	if (lstat(address, &st) < 0)
		return err_sys(e, errno, "socket %s", address);
	if (!S_ISSOCK(st.st_mode) || st.st_uid != 0)
		return err_set(e, ERR_PERMISSION_DENIED, "%s is not a socket of root", address);
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return err_sys(e, errno, "connect to shim at %s", address);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || peer.uid != 0)
		return err_set(e, ERR_PERMISSION_DENIED, "%s is not served by root", address);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Whether the process is a shim that was called with -id ID and works in the bundle. */
static bool
is_shim_of(const char *pid, const char *id, const char *bundle)
{
	AUTO(buf_free) struct buf line = BUF_ZERO;
	char path[64], link[PATH_MAX];
	struct err ignored = ERR_ZERO;
	const char *base;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/exe", pid);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = '\0';
	base = strrchr(link, '/');
	if (base == NULL || strncmp(base + 1, SHIM_PREFIX, strlen(SHIM_PREFIX)) != 0)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%.16s/cwd", pid);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = '\0';
	(void)snprintf(path, sizeof(path), "/proc/%.16s/cmdline", pid);
	if (strcmp(link, bundle) != 0 || fs_read(AT_FDCWD, path, 65536, &line, &ignored) < 0)
		return false;
	for (size_t at = 0; at < line.len; at += strlen(line.data + at) + 1)
		if (strcmp(line.data + at, "-id") == 0 && at + 4 < line.len)
			return strcmp(line.data + at + 4, id) == 0;
	return false;
}

void
shim_end_leaked(const struct folders *f, const char *ns, const char *id)
{
	AUTO(dir_close) DIR *proc = opendir("/proc");
	char bundle[PATH_MAX];
	struct dirent *ent;

	(void)bundle_path(f, ns, id, bundle);
	while (proc != NULL && (ent = readdir(proc)) != NULL) {
		AUTO(fd_close) int fd = -1;
		struct pollfd p = { .events = POLLIN };

		if (ent->d_name[0] < '1' || ent->d_name[0] > '9' ||
		    !is_shim_of(ent->d_name, id, bundle))
			continue;
		fd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(ent->d_name, NULL, 10), 0);
		if (fd < 0 ||
		    !is_shim_of(ent->d_name, id, bundle)) /* once more: now it cannot change */
			continue;
		log_warn("%s/%s: a shim that nobody asked for again (pid %s) is killed", ns, id,
		    ent->d_name);
		(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		p.fd = fd;
		(void)poll(&p, 1, LEAKED_MS);
	}
}

/* The process of a pidfd by the kernel's word; -1 when fd is no pidfd or the process is reaped. */
static long
pidfd_pid(int fd)
{
	AUTO(file_close) FILE *file = NULL;
	char path[40], line[256];
	long pid = -1;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "Pid:", 4) == 0)
			pid = strtol(line + 4, NULL, 10);
	return pid;
}

int
shim_kill(int pidfd, int signo, struct err *e)
{
	char link[32], exe[PATH_MAX];
	const char *base;
	long pid = pidfd_pid(pidfd);
	ssize_t n;

	if (signo < 1 || signo >= NSIG)
		return err_set(e, ERR_INVALID_ARGUMENT, "%d is not a signal", signo);
	if (pid == -1)
		return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 && errno == ESRCH
			   ? 0
			   : err_set(e, ERR_INVALID_ARGUMENT, "not a pidfd");
	/* task is not to kill whom it likes with our rights: shims, nothing else. The number cannot be
	 * reused between the two looks as long as the signal still finds the process. */
	(void)snprintf(link, sizeof(link), "/proc/%ld/exe", pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	if (n < 0 && errno == ENOENT)
		return 0; /* gone, or a zombie */
	exe[n > 0 ? n : 0] = '\0';
	base = strrchr(exe, '/');
	if (base == NULL || strncmp(base + 1, SHIM_PREFIX, strlen(SHIM_PREFIX)) != 0)
		return err_set(e, ERR_PERMISSION_DENIED, "process %ld is not a shim", pid);
	if (syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 && errno != ESRCH)
		return err_sys(e, errno, "signal %d to shim %ld", signo, pid);
	return 0;
}
