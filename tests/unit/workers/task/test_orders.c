/* SPDX-License-Identifier: Apache-2.0 */
/* test_orders - the client of the supervisor's orders, over a real socketpair. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fdpass.h"
#include "workers/task/orders.h"
#include "workers/task/runtimes.h"

struct fix {
	struct loop *loop;
	struct orders *orders;
	int ours, theirs;
	unsigned closed;
	/* the last answer */
	unsigned done;
	enum err_code code;
	char msg[ERR_MSG_MAX], data[64];
	size_t len;
	int fd;
};

static void
on_closed(void *arg)
{
	((struct fix *)arg)->closed++;
}

static void
on_done(void *arg, const struct order_result *r)
{
	struct fix *f = arg;

	f->done++;
	f->code = r->e->code;
	f->len = r->len;
	f->fd = r->fd;
	(void)snprintf(f->msg, sizeof(f->msg), "%s", r->e->msg);
	(void)snprintf(f->data, sizeof(f->data), "%s", r->data);
}

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->ours = pair[0];
	f->theirs = pair[1];
	f->fd = -1;
	f->loop = loop_new();
	f->orders = orders_new(f->loop, f->ours, on_closed, f);
	assert_non_null(f->orders);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	orders_free(&f->orders);
	loop_free(&f->loop);
	fd_close(&f->ours);
	fd_close(&f->theirs);
	fd_close(&f->fd);
	free(f);
	return 0;
}

static uint64_t
ask(struct fix *f, enum order_op op)
{
	struct order o;

	order_init(&o, op, "default", "web");
	return orders_send(f->orders, &o, NULL, 0, on_done, f);
}

static void
answer(struct fix *f, uint64_t seq, uint32_t code, const char *data, int fd)
{
	union {
		struct order_reply r;
		char bytes[sizeof(struct order_reply) + 64];
	} p = { .r = { .version = CONTROL_VERSION, .seq = seq, .code = code } };

	p.r.data_len = (uint32_t)strlen(data);
	p.r.size = (uint32_t)sizeof(p.r) + p.r.data_len;
	memcpy(p.r.data, data, p.r.data_len);
	(void)snprintf(p.r.message, sizeof(p.r.message), "%s", code == 0 ? "" : "its words");
	assert_int_equal(fdpass_send(f->theirs, &p, p.r.size, &fd, fd >= 0 ? 1 : 0), 0);
	loop_turn(f->loop, 100);
}

static void
test_sent_as_declared(void **state)
{
	struct fix *f = *state;
	struct order o, got;
	struct err e = ERR_ZERO;
	int fds[2] = { -1, -1 }, in[FDPASS_FDS_MAX];
	unsigned n = COUNT(in);
	char text[8] = "";

	assert_int_equal(orders_memfd("a", "config", 6, &fds[0], &e), 0);
	assert_int_equal(orders_memfd("b", "", 0, &fds[1], &e), 0);
	order_init(&o, ORDER_SHIM_START, "default", "web");
	(void)orders_send(f->orders, &o, fds, 2, on_done, f);
	assert_int_equal(fds[0], -1); /* taken */
	assert_int_equal(fdpass_recv(f->theirs, &got, sizeof(got), in, &n), sizeof(got));
	assert_int_equal(got.version, CONTROL_VERSION);
	assert_int_equal(got.size, sizeof(got));
	assert_int_equal(got.op, ORDER_SHIM_START);
	assert_string_equal(got.ns, "default");
	assert_string_equal(got.id, "web");
	assert_int_equal(n, 2);
	assert_int_equal(read(in[0], text, sizeof(text)), 6);
	assert_string_equal(text, "config");
	/* sealed: what was checked is what is used */
	assert_int_equal(write(in[0], "x", 1), -1);
	assert_int_equal(ftruncate(in[0], 0), -1);
	fd_close(&in[0]);
	fd_close(&in[1]);
}

static void
test_answers_in_any_order(void **state)
{
	struct fix *f = *state;
	uint64_t a = ask(f, ORDER_SHIM_DELETE), b = ask(f, ORDER_BUNDLE_REMOVE);

	assert_int_not_equal(a, b);
	answer(f, b, 0, "second", -1);
	assert_int_equal(f->done, 1);
	assert_string_equal(f->data, "second");
	answer(f, a, ERR_NOT_FOUND, "", -1);
	assert_int_equal(f->done, 2);
	assert_int_equal(f->code, ERR_NOT_FOUND);
	assert_string_equal(f->msg, "its words");
	answer(f, a, 0, "again", -1); /* belongs to nobody now */
	assert_int_equal(f->done, 2);
}

static void
test_descriptor(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct stat a, b;

	answer(f, ask(f, ORDER_SHIM_CONNECT), 0, "", null);
	assert_int_equal(f->done, 1);
	assert_true(f->fd >= 0);
	assert_int_equal(fstat(f->fd, &a) | fstat(null, &b), 0);
	assert_int_equal(a.st_rdev, b.st_rdev);
}

static void
test_forgotten(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint64_t seq = ask(f, ORDER_SHIM_CONNECT);
	int before = dup(null);

	orders_forget(f->orders, seq);
	answer(f, seq, 0, "", null);
	assert_int_equal(f->done, 0);
	fd_close(&before);
	before = dup(null); /* the same number again: nothing leaked */
	assert_true(before >= 0);
	fd_close(&before);
}

static void
test_broken_answers(void **state)
{
	struct fix *f = *state;
	uint64_t seq = ask(f, ORDER_SHIM_DELETE);
	struct order_reply r = { .version = CONTROL_VERSION + 1, .size = sizeof(r), .seq = seq };

	assert_int_equal(fdpass_send(f->theirs, &r, sizeof(r), NULL, 0), 0);
	r.version = CONTROL_VERSION;
	r.data_len = 100; /* more than came */
	assert_int_equal(fdpass_send(f->theirs, &r, sizeof(r), NULL, 0), 0);
	assert_int_equal(fdpass_send(f->theirs, &r, 4, NULL, 0), 0);
	for (int i = 0; i < 3; i++)
		loop_turn(f->loop, 50);
	assert_int_equal(f->done, 0);
	answer(f, seq, 0, "ok", -1);
	assert_int_equal(f->done, 1);
}

static void
test_full_socket(void **state)
{
	struct fix *f = *state;
	struct order got;
	unsigned n = 0, got_n = 0, none = 0;

	for (; n < 500; n++)
		(void)ask(f, ORDER_BUNDLE_REMOVE); /* more than the socket takes */
	(void)fcntl(f->theirs, F_SETFL, O_NONBLOCK);
	for (int turns = 0; turns < 2000 && got_n < n; turns++) {
		none = 0;
		while (fdpass_recv(f->theirs, &got, sizeof(got), NULL, &none) == sizeof(got)) {
			assert_int_equal(got.seq, got_n + 1); /* none lost, in order */
			got_n++;
		}
		loop_turn(f->loop, 1);
	}
	assert_int_equal(got_n, n);
}

static void
test_end(void **state)
{
	struct fix *f = *state;

	(void)ask(f, ORDER_SHIM_DELETE);
	fd_close(&f->theirs);
	loop_turn(f->loop, 100);
	loop_turn(f->loop, 10);
	assert_int_equal(f->closed, 1);
	assert_int_equal(f->done, 0);
}

static void
test_runtime_words(void **state)
{
	static const char text[] =
	    "crun failed: cgroups in hybrid mode\nrunc ok\nrunsc ok (slow)\nodd";
	char words[64];

	(void)state;
	assert_true(runtime_words(text, "runc", words, sizeof(words)));
	assert_string_equal(words, "");
	assert_true(runtime_words(text, "runsc", words, sizeof(words)));
	assert_string_equal(words, "");
	assert_true(runtime_words(text, "crun", words, sizeof(words)));
	assert_string_equal(words, "cgroups in hybrid mode");
	assert_false(runtime_words(text, "run", words, sizeof(words)));
	assert_false(runtime_words(text, "odd", words, sizeof(words)));
	assert_false(runtime_words("", "runc", words, sizeof(words)));
}

static void
test_runtime_parse(void **state)
{
	struct err e = ERR_ZERO;
	const char *shim, *oci;

	(void)state;
	assert_int_equal(runtime_parse("crun", &shim, &oci, &e), 0);
	assert_string_equal(shim, SHIM_DEFAULT);
	assert_string_equal(oci, "crun");
	assert_int_equal(runtime_parse("io.containerd.kata.v2", &shim, &oci, &e), 0);
	assert_string_equal(shim, "io.containerd.kata.v2");
	assert_string_equal(oci, "");
	assert_int_equal(runtime_parse("/opt/bin/runc", &shim, &oci, &e), 0);
	assert_string_equal(oci, "/opt/bin/runc");
	assert_int_equal(runtime_parse(NULL, &shim, &oci, &e), 0);
	assert_string_equal(oci, "");
	assert_int_equal(runtime_parse("--root=/", &shim, &oci, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(runtime_parse("../runc", &shim, &oci, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(runtime_parse("a b", &shim, &oci, &e), -ERR_INVALID_ARGUMENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sent_as_declared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_in_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test(test_runtime_words),
		cmocka_unit_test(test_runtime_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
