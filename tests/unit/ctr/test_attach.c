/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of the attach socket, in a child process with pipes for stdin, stdout and stderr; the test
 * is the shim at the other end.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctr/attach.h"
#include "lib/base/auto.h"
#include "lib/base/fs.h"

#define WAIT_MS 10000

struct rig {
	char dir[40], path[64];
	int listen, sock; /* the shim's */
	int in, out, err; /* the far ends of the child's 0, 1, 2 */
	pid_t pid;
	unsigned flags;
	const char *exec_id;
};

/* --- the child: exits with 100 + the event that ended it ----------------------------------------- */

struct ending {
	struct loop *loop;
};

static void
on_event(void *arg, enum attach_event event, const char *text)
{
	const struct ending *end = arg;

	(void)text;
	if (event != ATTACH_BROKEN || getenv("STOP_WHEN_BROKEN") != NULL)
		loop_stop(end->loop, 100 + (int)event);
}

static int
child(const struct rig *r)
{
	struct ending end = { .loop = loop_new() };
	struct attach *a = NULL;
	struct err e = ERR_ZERO;
	int stop = 0, status;

	if (attach_open(end.loop, r->path, r->exec_id, &stop, &a, &e) < 0)
		return 1;
	attach_copy(a, r->flags, on_event, &end);
	status = loop_run(end.loop);
	attach_free(&a);
	loop_free(&end.loop);
	return status;
}

static void
pipes(int p[2])
{
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
}

static void
start(struct rig *r)
{
	int in[2], out[2], err[2];
	char hello[80];
	ssize_t n;

	pipes(in);
	pipes(out);
	pipes(err);
	r->pid = fork();
	if (r->pid == 0) {
		(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
		(void)dup2(in[0], 0);
		(void)dup2(out[1], 1);
		(void)dup2(err[1], 2);
		/* Else the child itself would hold the far ends open. */
		(void)close(in[1]);
		(void)close(out[0]);
		(void)close(err[0]);
		_exit(child(r));
	}
	(void)close(in[0]);
	(void)close(out[1]);
	(void)close(err[1]);
	r->in = in[1];
	r->out = out[0];
	r->err = err[0];
	r->sock = accept4(r->listen, NULL, NULL, SOCK_CLOEXEC);
	assert_true(r->sock >= 0);
	n = recv(r->sock, hello, sizeof(hello), 0);
	if (r->exec_id == NULL) {
		assert_int_equal(n, 1);
		assert_int_equal(hello[0], 0);
	} else {
		assert_int_equal(n, strlen(r->exec_id));
		assert_memory_equal(hello, r->exec_id, (size_t)n);
	}
	assert_int_equal(send(r->sock, "\0\0", 2, 0), 2);
}

static int
rig_make(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	(void)strcpy(r->dir, "/tmp/coffer-attach-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->path, sizeof(r->path), "%s/a", r->dir);
	(void)strcpy(at.sun_path, r->path);
	r->listen = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->listen, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(r->listen, 4), 0);
	r->sock = r->in = r->out = r->err = -1;
	r->flags = ATTACH_INPUT | ATTACH_EOF;
	*state = r;
	return 0;
}

static int
rig_free(void **state)
{
	struct rig *r = *state;
	struct err e = ERR_ZERO;

	if (r->pid > 0) {
		(void)kill(r->pid, SIGKILL);
		(void)waitpid(r->pid, NULL, 0);
	}
	fd_close(&r->listen);
	fd_close(&r->sock);
	fd_close(&r->in);
	fd_close(&r->out);
	fd_close(&r->err);
	assert_int_equal(fs_remove_tree(AT_FDCWD, r->dir, &e), 0);
	free(r);
	return 0;
}

static int
ending(struct rig *r)
{
	int status = 0;

	for (int i = 0; i < WAIT_MS / 10; i++) {
		if (waitpid(r->pid, &status, WNOHANG) == r->pid) {
			r->pid = 0;
			assert_true(WIFEXITED(status));
			return WEXITSTATUS(status);
		}
		(void)poll(NULL, 0, 10);
	}
	fail_msg("it does not end");
	return -1;
}

static void
give(struct rig *r, char kind, const char *data, size_t n)
{
	char packet[32769];

	packet[0] = kind;
	memcpy(packet + 1, data, n);
	assert_int_equal(send(r->sock, packet, n + 1, 0), n + 1);
}

/* A packet for the shim; its kind and its bytes. */
static size_t
taken(struct rig *r, char *ret_kind, char *to, size_t size)
{
	struct pollfd p = { .fd = r->sock, .events = POLLIN };
	char packet[40000];
	ssize_t n;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	n = recv(r->sock, packet, sizeof(packet), 0);
	assert_true(n > 0 && (size_t)n <= size);
	*ret_kind = packet[0];
	memcpy(to, packet + 1, (size_t)n - 1);
	return (size_t)n - 1;
}

static void
reads(int fd, const char *want)
{
	char got[256];
	size_t n = 0;

	while (n < strlen(want)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t more;

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		more = read(fd, got + n, sizeof(got) - n);
		assert_true(more > 0);
		n += (size_t)more;
	}
	assert_int_equal(n, strlen(want));
	assert_memory_equal(got, want, n);
}

/* --- tests ---------------------------------------------------------------------------------------- */

static void
test_streams_and_end(void **state)
{
	struct rig *r = *state;

	start(r);
	give(r, 1, "out", 3);
	give(r, 2, "err", 3);
	give(r, 1, "more", 4);
	give(r, 9, "of a later shim", 15);
	give(r, 3, "", 0);
	assert_int_equal(ending(r), 100 + ATTACH_END);
	reads(r->out, "outmore");
	reads(r->err, "err");
}

static void
test_input_and_its_end(void **state)
{
	struct rig *r = *state;
	char kind, data[40000];
	size_t n;

	r->exec_id = "my-exec";
	start(r);
	assert_int_equal(write(r->in, "hello", 5), 5);
	n = taken(r, &kind, data, sizeof(data));
	assert_int_equal(kind, 0);
	assert_int_equal(n, 5);
	assert_memory_equal(data, "hello", 5);
	fd_close(&r->in);
	n = taken(r, &kind, data, sizeof(data));
	assert_int_equal(kind, 1);
	assert_int_equal(n, 0);
	/* The end of input is not the end: output goes on. */
	give(r, 1, "x", 1);
	reads(r->out, "x");
	give(r, 3, "", 0);
	assert_int_equal(ending(r), 100 + ATTACH_END);
}

static void
test_end_of_input_may_stay_here(void **state)
{
	struct rig *r = *state;
	struct pollfd p;

	r->flags = ATTACH_INPUT;
	start(r);
	fd_close(&r->in);
	give(r, 1, "x", 1);
	reads(r->out, "x");
	p = (struct pollfd){ .fd = r->sock, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 100), 0);
	give(r, 3, "", 0);
	assert_int_equal(ending(r), 100 + ATTACH_END);
}

static void
test_detach_keys(void **state)
{
	struct rig *r = *state;
	char kind, data[40000];
	size_t n;

	r->flags |= ATTACH_KEYS;
	start(r);
	assert_int_equal(write(r->in,
			     "a\x10"
			     "b\x10",
			     4),
	    4); /* ctrl-p alone is a key */
	n = taken(r, &kind, data, sizeof(data));
	assert_int_equal(n, 3);
	assert_memory_equal(data,
	    "a\x10"
	    "b",
	    3);
	assert_int_equal(write(r->in, "\x10", 1), 1); /* two of them: the first is sent */
	n = taken(r, &kind, data, sizeof(data));
	assert_int_equal(n, 1);
	assert_int_equal(data[0], 0x10);
	assert_int_equal(write(r->in, "\x11", 1), 1);
	assert_int_equal(ending(r), 100 + ATTACH_DETACHED);
}

/* A stdout that nobody reads holds the shim up; nothing is lost. */
static void
test_slow_reader(void **state)
{
	struct rig *r = *state;
	static char block[32768];
	size_t sent = 0, got = 0;
	char *sink = xcalloc(1, 1 << 20);
	ssize_t n;

	start(r);
	memset(block, 'x', sizeof(block));
	for (;;) {
		struct pollfd p = { .fd = r->sock, .events = POLLOUT };
		char packet[32769];

		if (poll(&p, 1, 300) == 0)
			break;
		packet[0] = 1;
		memcpy(packet + 1, block, sizeof(block));
		assert_int_equal(send(r->sock, packet, sizeof(packet), 0), sizeof(packet));
		sent += sizeof(block);
		assert_true(sent < 64 << 20);
	}
	/* It still hears its input while its output is stuck. */
	assert_int_equal(write(r->in, "k", 1), 1);
	{
		char kind, data[40000];

		assert_int_equal(taken(r, &kind, data, sizeof(data)), 1);
	}
	/* The shim goes away with all this unread. */
	fd_close(&r->sock);
	while ((n = read(r->out, sink, 1 << 20)) > 0)
		got += (size_t)n;
	assert_int_equal(got, sent);
	assert_int_equal(ending(r), 100 + ATTACH_LOST);
	free(sink);
}

static void
test_reader_gone(void **state)
{
	struct rig *r = *state;

	(void)setenv("STOP_WHEN_BROKEN", "1", 1);
	start(r);
	(void)unsetenv("STOP_WHEN_BROKEN");
	fd_close(&r->out);
	give(r, 1, "x", 1);
	assert_int_equal(ending(r), 100 + ATTACH_BROKEN);
}

/* What is written to the other stream still arrives. */
static void
test_one_reader_gone(void **state)
{
	struct rig *r = *state;

	start(r);
	fd_close(&r->out);
	for (int i = 0; i < 100; i++)
		give(r, 1, "x", 1);
	give(r, 2, "err", 3);
	reads(r->err, "err");
	give(r, 3, "", 0);
	assert_int_equal(ending(r), 100 + ATTACH_END);
}

/* The kernel reports a shim that left with input unread before what the shim had sent. */
static void
test_shim_leaves_with_input_unread(void **state)
{
	struct rig *r = *state;
	struct pollfd p;

	start(r);
	assert_int_equal(write(r->in, "unread", 6), 6);
	p = (struct pollfd){ .fd = r->sock, .events = POLLIN };
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(kill(r->pid, SIGSTOP), 0);
	give(r, 1, "last words", 10);
	give(r, 3, "", 0);
	fd_close(&r->sock);
	assert_int_equal(kill(r->pid, SIGCONT), 0);
	assert_int_equal(ending(r), 100 + ATTACH_END);
	reads(r->out, "last words");
}

static void
test_error_packet(void **state)
{
	struct rig *r = *state;

	start(r);
	give(r, 4, "too slow", 8);
	assert_int_equal(ending(r), 100 + ATTACH_LOST);
}

/* stdin from a file: nothing that could be polled. */
static void
test_input_from_a_file(void **state)
{
	struct rig *r = *state;
	char path[80], kind, data[40000];
	size_t all = 0, n;
	int keep = dup(0), fd;

	(void)snprintf(path, sizeof(path), "%s/f", r->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 100000), 0);
	r->pid = fork();
	if (r->pid == 0) {
		(void)dup2(fd, 0);
		_exit(child(r));
	}
	r->sock = accept4(r->listen, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(recv(r->sock, data, sizeof(data), 0), 1);
	assert_int_equal(send(r->sock, "\0\0", 2, 0), 2);
	while ((n = taken(r, &kind, data, sizeof(data))) > 0)
		all += n;
	assert_int_equal(kind, 1);
	assert_int_equal(all, 100000);
	give(r, 3, "", 0);
	assert_int_equal(ending(r), 100 + ATTACH_END);
	(void)close(fd);
	(void)close(keep);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_make, rig_free)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_streams_and_end),
		TEST(test_input_and_its_end),
		TEST(test_end_of_input_may_stay_here),
		TEST(test_detach_keys),
		TEST(test_slow_reader),
		TEST(test_reader_gone),
		TEST(test_one_reader_gone),
		TEST(test_shim_leaves_with_input_unread),
		TEST(test_error_packet),
		TEST(test_input_from_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
