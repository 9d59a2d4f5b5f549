/* SPDX-License-Identifier: Apache-2.0 */
/* console - see console.h */
#include "workers/task/shim/console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fdpass.h"

struct console {
	struct loop *loop;
	struct loop_source *watch;
	int fd; /* listens, then the connection */
	bool connected;
	console_got_fn *got;
	void *arg;
	struct sockaddr_un at;
};

const char *
console_path(const struct console *c)
{
	return c->at.sun_path;
}

static void
receive(struct console *c)
{
	char name[4096];
	int fds[1];
	unsigned n = 1;
	ssize_t r = fdpass_recv(c->fd, name, sizeof(name), fds, &n);

	if (r < 0 && errno == EAGAIN)
		return;
	loop_del(&c->watch);
	if (n == 1)
		c->got(c->arg, fds[0]);
}

static void
on_socket(void *arg, uint32_t events)
{
	struct console *c = arg;
	int fd;

	(void)events;
	if (c->connected) {
		receive(c);
		return;
	}
	fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	loop_del(&c->watch);
	fd_close(&c->fd);
	c->fd = fd;
	c->connected = true;
	c->watch = loop_fd(c->loop, fd, EPOLLIN, on_socket, c);
}

int
console_new(struct loop *l, const char *path, console_got_fn *got, void *arg,
    struct console **ret_c, struct err *e)
{
	struct console *c = xcalloc(1, sizeof(*c));
	mode_t mask;
	int r;

	*c = (struct console){ .loop = l, .fd = -1, .got = got, .arg = arg };
	c->at.sun_family = AF_UNIX;
	MUST(strlen(path) < sizeof(c->at.sun_path));
	(void)snprintf(c->at.sun_path, sizeof(c->at.sun_path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)unlink(path);
	mask = umask(0177);
	r = c->fd < 0 ? -1 : bind(c->fd, (struct sockaddr *)&c->at, sizeof(c->at));
	(void)umask(mask);
	if (r == 0 && listen(c->fd, 1) == 0)
		c->watch = loop_fd(l, c->fd, EPOLLIN, on_socket, c);
	if (c->watch == NULL) {
		(void)err_sys(e, errno, "console socket %s", path);
		console_free(&c);
		return -(int)e->code;
	}
	*ret_c = c;
	return 0;
}

void
console_free(struct console **pc)
{
	struct console *c = *pc;

	if (c == NULL)
		return;
	*pc = NULL;
	loop_del(&c->watch);
	fd_close(&c->fd);
	(void)unlink(c->at.sun_path);
	free(c);
}
