/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop - sources, timers and signals of the loop; packets with descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/fdpass.h"
#include "lib/base/loop.h"

static int
setup(void **state)
{
	struct loop *l = loop_new();

	assert_non_null(l);
	*state = l;
	return 0;
}

static int
teardown(void **state)
{
	struct loop *l = *state;

	loop_free(&l);
	assert_null(l);
	loop_free(&l);
	return 0;
}

/* --- timers ----------------------------------------------------------------------------------- */

struct trace {
	struct loop *l;
	char text[64];
	struct loop_source *victim, *self;
	int n, signo;
};

static void
add_a(void *arg)
{
	(void)strcat(((struct trace *)arg)->text, "a");
}

static void
add_b(void *arg)
{
	(void)strcat(((struct trace *)arg)->text, "b");
}

static void
stop(void *arg)
{
	struct trace *t = arg;

	(void)strcat(t->text, "s");
	loop_stop(t->l, 42);
}

static void
test_timers_in_order(void **state)
{
	struct trace t = { .l = *state };
	uint64_t before = clock_mono_ms();

	assert_non_null(loop_once(t.l, 60, stop, &t));
	assert_non_null(loop_once(t.l, 30, add_b, &t));
	assert_non_null(loop_once(t.l, 10, add_a, &t));
	assert_non_null(loop_once(t.l, 30, add_a, &t)); /* same time: as they were made */
	assert_int_equal(loop_run(t.l), 42);
	assert_string_equal(t.text, "abas");
	assert_true(clock_mono_ms() - before >= 60);
}

static void
count(void *arg)
{
	struct trace *t = arg;

	if (++t->n == 3)
		loop_del(&t->self);
}

static void
test_every(void **state)
{
	struct trace t = { .l = *state };

	t.self = loop_every(t.l, 5, count, &t);
	assert_non_null(loop_once(t.l, 80, stop, &t));
	assert_int_equal(loop_run(t.l), 42);
	assert_int_equal(t.n, 3);
	assert_null(t.self);
}

static void
kill_victim(void *arg)
{
	struct trace *t = arg;

	loop_del(&t->victim);
	(void)strcat(t->text, "k");
}

static void
test_timer_deleted_by_another_of_the_same_turn(void **state)
{
	struct trace t = { .l = *state };

	assert_non_null(loop_once(t.l, 0, kill_victim, &t));
	t.victim = loop_once(t.l, 0, add_a, &t);
	assert_non_null(loop_once(t.l, 20, stop, &t));
	assert_int_equal(loop_run(t.l), 42);
	assert_string_equal(t.text, "ks");
}

static void
again(void *arg)
{
	struct trace *t = arg;

	t->n++;
	assert_non_null(loop_once(t->l, 0, again, t));
}

/* Work that asks for its next turn at once leaves room for the others. */
static void
test_zero_timers_do_not_starve(void **state)
{
	struct trace t = { .l = *state };

	assert_non_null(loop_once(t.l, 0, again, &t));
	assert_non_null(loop_once(t.l, 30, stop, &t));
	assert_int_equal(loop_run(t.l), 42);
	assert_true(t.n > 2);
}

/* --- descriptors ------------------------------------------------------------------------------ */

struct peer {
	struct loop *l;
	int fd[2];
	struct loop_source *s, *other;
	unsigned calls;
	uint32_t events;
};

static void
on_readable(void *arg, uint32_t events)
{
	struct peer *p = arg;
	char byte;

	p->calls++;
	p->events = events;
	(void)!read(p->fd[0], &byte, 1);
}

static void
test_fd(void **state)
{
	struct peer p = { .l = *state };

	assert_int_equal(pipe2(p.fd, O_CLOEXEC | O_NONBLOCK), 0);
	p.s = loop_fd(p.l, p.fd[0], EPOLLIN, on_readable, &p);
	loop_turn(p.l, 0);
	assert_int_equal(p.calls, 0);
	assert_int_equal(write(p.fd[1], "xy", 2), 2);
	loop_turn(p.l, 100);
	loop_turn(p.l, 100);
	assert_int_equal(p.calls, 2);
	assert_true(p.events & EPOLLIN);
	loop_fd_events(p.s, 0);
	assert_int_equal(write(p.fd[1], "x", 1), 1);
	loop_turn(p.l, 10);
	assert_int_equal(p.calls, 2);
	loop_fd_events(p.s, EPOLLIN);
	loop_turn(p.l, 100);
	assert_int_equal(p.calls, 3);
	(void)close(p.fd[1]);
	loop_turn(p.l, 100);
	assert_true(p.events & EPOLLHUP);
	loop_del(&p.s);
	assert_null(p.s);
	loop_del(&p.s);
	loop_turn(p.l, 0);
	assert_int_equal(p.calls, 4);
	(void)close(p.fd[0]);
}

static void
kill_other(void *arg, uint32_t events)
{
	struct peer *p = arg;

	(void)events;
	p->calls++;
	loop_del(&p->other);
	loop_del(&p->s);
}

/* Two are ready in the same batch; whichever comes first removes both. */
static void
test_fd_removed_within_the_batch(void **state)
{
	struct peer a = { .l = *state }, b = a;

	assert_int_equal(pipe2(a.fd, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b.fd, O_CLOEXEC), 0);
	a.s = b.other = loop_fd(a.l, a.fd[0], EPOLLIN, kill_other, &a);
	b.s = a.other = loop_fd(b.l, b.fd[0], EPOLLIN, kill_other, &b);
	assert_int_equal(write(a.fd[1], "x", 1), 1);
	assert_int_equal(write(b.fd[1], "x", 1), 1);
	loop_turn(a.l, 100);
	assert_int_equal(a.calls + b.calls, 1);
	loop_turn(a.l, 0);
	assert_int_equal(a.calls + b.calls, 1);
	for (int i = 0; i < 2; i++) {
		(void)close(a.fd[i]);
		(void)close(b.fd[i]);
	}
}

static void
test_fd_refused(void **state)
{
	struct loop *l = *state;

	assert_null(loop_fd(l, -1, EPOLLIN, on_readable, NULL));
	assert_int_equal(errno, EBADF);
	loop_turn(l, 0);
}

static void
on_signal(void *arg, int signo)
{
	struct trace *t = arg;

	t->n++;
	t->signo = signo;
	if (t->self != NULL)
		loop_del(&t->self);
}

static void
test_signals(void **state)
{
	struct trace t = { .l = *state };
	struct loop_source *s = loop_signal(t.l, SIGUSR1, on_signal, &t);

	assert_non_null(s);
	assert_int_equal(raise(SIGUSR1), 0);
	loop_turn(t.l, 100);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.signo, SIGUSR1);
	loop_del(&s);
	t.self = loop_signal(t.l, SIGUSR2, on_signal, &t);
	assert_int_equal(raise(SIGUSR2), 0);
	loop_turn(t.l, 100); /* removes itself */
	assert_int_equal(t.n, 2);
	assert_null(t.self);
}

static void
test_turn_times_out(void **state)
{
	struct loop *l = *state;
	uint64_t before = clock_mono_ms();

	loop_turn(l, 30);
	assert_true(clock_mono_ms() - before >= 29);
}

/* --- fdpass ----------------------------------------------------------------------------------- */

static void
pair(int p[2])
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p), 0);
}

static unsigned
open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
test_fdpass(void **state)
{
	char text[16] = "", got[16] = "";
	int p[2], pipe_fd[2], fds[FDPASS_FDS_MAX];
	unsigned n = FDPASS_FDS_MAX;

	(void)state;
	pair(p);
	assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
	assert_int_equal(fdpass_send(p[0], "hello", 5, pipe_fd, 2), 0);
	assert_int_equal(fdpass_recv(p[1], got, sizeof(got), fds, &n), 5);
	assert_int_equal(n, 2);
	assert_string_equal(got, "hello");
	assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(fds[1], "through", 7), 7);
	assert_int_equal(read(pipe_fd[0], text, sizeof(text)), 7);
	for (int i = 0; i < 2; i++) {
		(void)close(fds[i]);
		(void)close(pipe_fd[i]);
	}
	n = FDPASS_FDS_MAX;
	assert_int_equal(fdpass_recv(p[1], got, sizeof(got), fds, &n), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(n, 0);
	(void)close(p[0]);
	n = FDPASS_FDS_MAX;
	assert_int_equal(fdpass_recv(p[1], got, sizeof(got), fds, &n), 0);
	(void)close(p[1]);
}

/* What does not fit is refused whole, and no descriptor of it is left open. */
static void
test_fdpass_too_much(void **state)
{
	char got[4];
	int p[2], four[4] = { 0, 0, 0, 0 }, fds[FDPASS_FDS_MAX];
	unsigned n = 1, before;

	(void)state;
	pair(p);
	before = open_fds();
	assert_int_equal(fdpass_send(p[0], "ab", 2, four, 4), 0);
	assert_int_equal(fdpass_recv(p[1], got, sizeof(got), fds, &n), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(n, 0);
	n = 0;
	assert_int_equal(fdpass_send(p[0], "ab", 2, four, 1), 0);
	assert_int_equal(fdpass_recv(p[1], got, sizeof(got), NULL, &n), -1);
	assert_int_equal(errno, EMSGSIZE);
	n = FDPASS_FDS_MAX;
	assert_int_equal(fdpass_send(p[0], "too long", 8, four, 1), 0);
	assert_int_equal(fdpass_recv(p[1], got, sizeof(got), fds, &n), -1);
	assert_int_equal(errno, EMSGSIZE);
	n = FDPASS_FDS_MAX;
	assert_int_equal(fdpass_send(p[0], "fits", 4, NULL, 0), 0);
	assert_int_equal(fdpass_recv(p[1], got, sizeof(got), fds, &n), 4);
	assert_int_equal(n, 0);
	assert_int_equal(open_fds(), before);
	(void)close(p[0]);
	(void)close(p[1]);
}

/* More descriptors than our own sender would send, straight from a peer: closed, not leaked. */
static void
test_fdpass_flood(void **state)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 64)] = { 0 };
	struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int p[2], fds[FDPASS_FDS_MAX];
	unsigned n = FDPASS_FDS_MAX, before;
	char got;

	(void)state;
	pair(p);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * 64); /* all of them stdin: 0 */
	before = open_fds();
	assert_int_equal(sendmsg(p[0], &msg, MSG_NOSIGNAL), 1);
	assert_int_equal(fdpass_recv(p[1], &got, 1, fds, &n), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(open_fds(), before);
	(void)close(p[1]);
	assert_int_equal(fdpass_send(p[0], "x", 1, NULL, 0), -1);
	assert_int_equal(errno, EPIPE); /* and no SIGPIPE */
	(void)close(p[0]);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_timers_in_order),
		T(test_every),
		T(test_timer_deleted_by_another_of_the_same_turn),
		T(test_zero_timers_do_not_starve),
		T(test_fd),
		T(test_fd_removed_within_the_batch),
		T(test_fd_refused),
		T(test_signals),
		T(test_turn_times_out),
		cmocka_unit_test(test_fdpass),
		cmocka_unit_test(test_fdpass_too_much),
		cmocka_unit_test(test_fdpass_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
