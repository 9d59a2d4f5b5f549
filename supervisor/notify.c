/* SPDX-License-Identifier: Apache-2.0 */
/* notify - see notify.h */
#include "supervisor/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/auto.h"

static struct {
	struct sockaddr_un to;
	socklen_t len; /* 0 = nobody listens */
} manager;

void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path == NULL ? 0 : strlen(path);

	manager.len = 0;
	if (n >= 2 && n < sizeof(manager.to.sun_path) && (path[0] == '/' || path[0] == '@')) {
		manager.to.sun_family = AF_UNIX;
		memcpy(manager.to.sun_path, path, n);
		if (path[0] == '@') /* the abstract namespace */
			manager.to.sun_path[0] = '\0';
		manager.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	}
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_PID");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_PID");
}

int
notify_send(const char *lines, struct err *e)
{
	AUTO(fd_close) int fd = -1;

	if (manager.len == 0)
		return 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sendto(fd, lines, strlen(lines), MSG_NOSIGNAL,
			  (const struct sockaddr *)&manager.to, manager.len) < 0)
		return err_sys(e, errno, "tell the service manager");
	return 0;
}
