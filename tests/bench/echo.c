/* SPDX-License-Identifier: Apache-2.0 */
/*
 * echo - what a round trip costs on this machine without us: two processes, libzmq's own DEALER and
 * ROUTER on a Unix socket, blocking calls, a message of the size of ours.
 *
 *	echo PATH        prints median, 90 % and 99 % in microseconds, as roundtrip does
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/clock.h"

#define CALLS 20000
#define WARM_UP 500
#define BYTES 90

static void
serve(const char *address)
{
	void *ctx = zmq_ctx_new(), *s = zmq_socket(ctx, ZMQ_ROUTER);
	zmq_msg_t who, what;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (zmq_bind(s, address) != 0)
		_exit(1);
	for (;;) {
		(void)zmq_msg_init(&who);
		(void)zmq_msg_init(&what);
		if (zmq_msg_recv(&who, s, 0) < 0 || zmq_msg_recv(&what, s, 0) < 0 ||
		    zmq_msg_send(&who, s, ZMQ_SNDMORE) < 0 || zmq_msg_send(&what, s, 0) < 0)
			_exit(1);
	}
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	static uint64_t ns[CALLS];
	char address[200], bytes[BYTES] = { 0 };
	void *ctx, *s;
	pid_t pid;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: echo PATH\n");
		return 2;
	}
	(void)snprintf(address, sizeof(address), "ipc://%s", argv[1]);
	pid = fork();
	if (pid == 0)
		serve(address);
	ctx = zmq_ctx_new();
	s = zmq_socket(ctx, ZMQ_DEALER);
	if (zmq_connect(s, address) != 0)
		return 1;
	for (int i = -WARM_UP; i < CALLS; i++) {
		uint64_t start = clock_mono_ns();

		if (zmq_send(s, bytes, sizeof(bytes), 0) < 0 ||
		    zmq_recv(s, bytes, sizeof(bytes), 0) < 0)
			return 1;
		if (i >= 0)
			ns[i] = clock_mono_ns() - start;
	}
	qsort(ns, CALLS, sizeof(*ns), by_value);
	(void)printf("%.1f %.1f %.1f\n", (double)ns[CALLS / 2] / 1e3,
	    (double)ns[CALLS - CALLS / 10] / 1e3, (double)ns[CALLS - CALLS / 100] / 1e3);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)unlink(argv[1]);
	return 0;
}
