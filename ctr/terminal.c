/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal - see terminal.h.
 *
 * The settings to go back to are the one global state of ctr: a handler of a deadly signal has
 * nowhere else to look. They are written before the signal handlers are set.
 */
#include "ctr/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"

#define PASSWORD_MAX 16384

static struct {
	volatile sig_atomic_t raw;
	int fd;
	struct termios was;
	bool hooked;
} saved = { .fd = -1 };

bool
terminal_size(int fd, unsigned *ret_width, unsigned *ret_height)
{
	struct winsize w;

	if (ioctl(fd, TIOCGWINSZ, &w) < 0)
		return false;
	*ret_width = w.ws_col == 0 ? 80 : w.ws_col;
	*ret_height = w.ws_row == 0 ? 24 : w.ws_row;
	return true;
}

/* Safe in a signal handler. From the background, setting a terminal would stop us: not with TTOU
 * blocked. */
void
terminal_restore(void)
{
	sigset_t ttou, old;
	int keep = errno;

	if (!saved.raw)
		return;
	saved.raw = 0;
	(void)sigemptyset(&ttou);
	(void)sigaddset(&ttou, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &ttou, &old);
	/* Not DRAIN, which waits for a terminal that nobody reads; it may be gone altogether. */
	(void)tcsetattr(saved.fd, TCSANOW, &saved.was);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	errno = keep;
}

static void
on_deadly(int signo)
{
	terminal_restore();
	(void)raise(signo); /* the handler was reset: this time it kills */
}

static void
hook_exits(void)
{
	static const int deadly[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
	struct sigaction act = { .sa_handler = on_deadly, .sa_flags = (int)SA_RESETHAND };

	if (saved.hooked)
		return;
	saved.hooked = true;
	(void)atexit(terminal_restore);
	for (size_t i = 0; i < COUNT(deadly); i++)
		(void)sigaction(deadly[i], &act, NULL);
}

int
terminal_raw(int fd, struct err *e)
{
	struct termios raw;

	if (saved.raw)
		return 0;
	if (tcgetattr(fd, &saved.was) < 0)
		return err_sys(e, errno, "read the settings of the terminal");
	saved.fd = fd;
	hook_exits();
	raw = saved.was;
	cfmakeraw(&raw);
	saved.raw = 1;
	if (tcsetattr(fd, TCSADRAIN, &raw) < 0) {
		saved.raw = 0;
		return err_sys(e, errno, "set the terminal to raw mode");
	}
	return 0;
}

static int
read_line(int fd, struct buf *out, struct err *e)
{
	char byte;
	ssize_t n;

	while ((n = read(fd, &byte, 1)) == 1 && byte != '\n')
		if (buf_add(out, &byte, 1) < 0)
			return err_set(e, ERR_INVALID_ARGUMENT, "the answer is too long");
	if (n < 0)
		return err_sys(e, errno, "read from the terminal");
	return 0;
}

/* While echo is off the keys that end a program must put it back first. */
static void
keys_hook(void (*handler)(int))
{
	static const int keys[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction act = { .sa_handler = handler, .sa_flags = (int)SA_RESETHAND };

	for (size_t i = 0; i < COUNT(keys); i++)
		(void)sigaction(keys[i], &act, NULL);
}

int
terminal_ask_hidden(const char *prompt, struct buf *out, struct err *e)
{
	AUTO(fd_close) int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	struct termios was, hidden;
	int r;

	if (fd < 0 || tcgetattr(fd, &was) < 0)
		return err_sys(e, errno, "ask on the terminal");
	out->limit = PASSWORD_MAX;
	hidden = was;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	(void)fs_write_all(fd, prompt, strlen(prompt)); /* the question is only politeness */
	if (tcsetattr(fd, TCSAFLUSH, &hidden) < 0)
		return err_sys(e, errno, "hide the input on the terminal");
	saved.was = was;
	saved.fd = fd;
	hook_exits();
	saved.raw = 1;
	keys_hook(on_deadly);
	r = read_line(fd, out, e);
	keys_hook(SIG_DFL);
	terminal_restore();
	(void)fs_write_all(fd, "\n", 1);
	return r;
}
