/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start - makes the sockets and leaves the serving shim behind.
 *
 * The sockets listen before the address is printed, so whoever reads it can connect at once. The serving
 * shim is this program again (fork and exec: nothing of ours is in its memory), in a session of its
 * own, with the sockets as 3 and 4 and nothing else. When it cannot be started our sockets are removed, and
 * only ours. Start calls of one bundle exclude each other by a lock on its folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/task/shim/command.h"
#include "workers/task/shim/point.h"

#define LOG_NAME "shim.log"
#define ADDRESS_NAME "address"

static int
connects(const struct sockaddr_un *at, int type)
{
	AUTO(fd_close) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0;
}

static int
listen_at(const char *path, int type, mode_t mode, gid_t gid, struct own_file *own, int *ret_fd,
    struct err *e)
{
	AUTO(fd_close) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	mode_t mask;
	int r;

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (fd < 0)
		return err_sys(e, errno, "make socket %s", path);
	if (connects(&at, type))
		return err_set(e, ERR_ALREADY_EXISTS,
		    "a shim of this container is running: it answers at %s", path);
	(void)unlink(path); /* a dead one's */
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&at, sizeof(at));
	(void)umask(mask); /* the serving shim inherits it, and what it makes */
	if (r < 0)
		return err_sys(e, errno, "bind socket %s", path);
	if (place_own(own, path, e) < 0)
		return -(int)e->code;
	if (listen(fd, 128) < 0)
		return err_sys(e, errno, "listen at %s", path);
	if (mode != 0600 && (chown(path, (uid_t)-1, gid) < 0 || chmod(path, mode) < 0))
		return err_sys(e, errno, "set owner of %s", path);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Where the serving shim's own words go: the fifo that containerd reads, else a file in the bundle. */
static int
open_log(void)
{
	struct stat st;

	if (stat("log", &st) == 0 && S_ISFIFO(st.st_mode))
		return open("log", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return open(LOG_NAME, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* One step more likely to be chosen by the kernel's OOM killer than who started us; harmless when refused. */
static void
adjust_oom(void)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(fd_close) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	struct err ignored = ERR_ZERO;
	char score[24];
	long v;

	if (fd < 0 || fs_read(AT_FDCWD, "/proc/self/oom_score_adj", 16, &text, &ignored) < 0)
		return;
	v = strtol(buf_str(&text), NULL, 10);
	(void)snprintf(score, sizeof(score), "%ld", v < 999 ? v + 1 : v);
	(void)!write(fd, score, strlen(score));
}

/* In the child: becomes the serving shim, or writes errno into told. */
static _Noreturn void
become_server(const struct shim_args *a, const char *own, int sock, int attach, int told)
{
	const char *argv[12] = { "containerd-shim-coffer-v1", "-namespace", a->ns, "-id", a->id,
		"-address", a->address, "-sockets", own };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = open_log();
	int from[] = { null, null, log < 0 ? null : log, sock, attach < 0 ? null : attach, told };
	int keep;

	if (a->debug)
		argv[9] = "-debug";
	(void)setsid();
	adjust_oom();
	/* Up first, then down to their places, the last one with close-on-exec. */
	for (size_t i = 0; i < COUNT(from); i++)
		from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 16);
	for (size_t i = 0; i < COUNT(from); i++)
		if (from[i] < 0 || dup3(from[i], (int)i, i == 5 ? O_CLOEXEC : 0) < 0)
			goto failed;
	(void)close_range(6, ~0U, 0);
	(void)execv("/proc/self/exe", (char **)(uintptr_t)argv);
failed:
	keep = errno;
	(void)!write(from[5] < 0 ? told : 5, &keep, sizeof(keep));
	_exit(1);
}

/* Waits until the exec has succeeded. */
static int
spawn_server(const struct place *p, const struct shim_args *a, int sock, int attach, struct err *e)
{
	char own[PLACE_OWN_TEXT_MAX];
	AUTO(fd_close) int hear = -1;
	int pipefd[2], failed = 0;
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "start the shim");
	hear = pipefd[0];
	place_own_text(p, own);
	pid = fork();
	if (pid == 0)
		become_server(a, own, sock, attach, pipefd[1]);
	fd_close(&pipefd[1]);
	if (pid < 0)
		return err_sys(e, errno, "start the shim");
	if (read(hear, &failed, sizeof(failed)) == 0)
		return 0;
	(void)waitpid(pid, NULL, 0);
	return err_sys(e, failed, "start the shim");
}

/* Held until start ends; the serving shim does not inherit it. */
static int
lock_bundle(int *ret_fd, struct err *e)
{
	AUTO(fd_close) int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "open the bundle");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? err_set(e, ERR_ALREADY_EXISTS,
						  "a shim of this container is being started")
					    : err_sys(e, errno, "lock the bundle");
	*ret_fd = fd_take(&fd);
	return 0;
}

static int
start(struct place *p, const struct shim_args *a, int *ret_sock, int *ret_attach, struct err *e)
{
	AUTO(free_ptr) char *address = xasprintf("unix://%s", p->sock);
	char dir[SOCKET_PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(p->base, '/') - p->base), p->base);
	if (p->attach[0] == '\0' && fs_mkdirs(AT_FDCWD, dir, 0711, e) < 0)
		return -(int)e->code;
	if (listen_at(p->sock, SOCK_STREAM, 0600, 0, &p->own_sock, ret_sock, e) < 0)
		return -(int)e->code;
	if (p->attach[0] != '\0' &&
	    listen_at(p->attach, SOCK_SEQPACKET, 0660, p->gid, &p->own_attach, ret_attach, e) < 0)
		return -(int)e->code;
	SHIM_POINT("start.listening");
	/* containerd looks here when it comes back */
	if (fs_write(AT_FDCWD, ADDRESS_NAME, address, strlen(address), 0600, false, e) < 0 ||
	    spawn_server(p, a, *ret_sock, *ret_attach, e) < 0)
		return -(int)e->code;
	SHIM_POINT("start.left");
	if (fs_write_all(STDOUT_FILENO, address, strlen(address)) < 0)
		return err_sys(
		    e, errno, "tell the address"); /* nobody will find it: it goes by itself */
	return 0;
}

int
command_start(struct place *p, const struct shim_args *a, struct err *e)
{
	AUTO(fd_close) int lock = -1, sock = -1, attach = -1;
	int r = lock_bundle(&lock, e);

	if (r == 0)
		r = start(p, a, &sock, &attach, e);
	if (r < 0)
		place_remove_own(p); /* still open */
	return r;
}
