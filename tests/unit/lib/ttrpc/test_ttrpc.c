/* SPDX-License-Identifier: Apache-2.0 */
/* test_ttrpc - both ends over a real socket, and a server under bytes that no client would send. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/ttrpc/proto/task.pb-c.h"
#include "lib/ttrpc/ttrpc.h"

#define SERVICE "test.Service"

struct rig {
	struct loop *loop;
	struct ttrpc_server *server;
	struct ttrpc_client *client;
	char path[64];
	struct ttrpc_request *held[4];
	unsigned nheld, closed;
};

struct answer {
	bool done;
	struct err e;
	unsigned pid;
};

static void
on_connect(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__ConnectRequest *req = (const void *)m;
	Containerd__Task__V2__ConnectResponse rep;

	(void)arg;
	containerd__task__v2__connect_response__init(&rep);
	rep.task_pid = (uint32_t)strlen(req->id);
	ttrpc_reply(rq, &rep.base);
}

static void
on_hold(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	struct rig *r = arg;

	(void)m;
	r->held[r->nheld++] = rq;
}

static void
on_fail(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	struct err e = ERR_ZERO;

	(void)arg;
	(void)m;
	(void)err_set(&e, ERR_NOT_FOUND, "no such \xff thing");
	ttrpc_fail(rq, &e);
}

static const struct ttrpc_method methods[] = {
	{ "Connect", &containerd__task__v2__connect_request__descriptor, on_connect },
	{ "Hold", &containerd__task__v2__connect_request__descriptor, on_hold },
	{ "Fail", &containerd__task__v2__connect_request__descriptor, on_fail },
};

static void
on_closed(void *arg, const struct err *e)
{
	assert_int_equal(e->code, ERR_UNAVAILABLE);
	((struct rig *)arg)->closed++;
}

static int
dial(const struct rig *r)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", r->path);
	assert_return_code(connect(fd, (struct sockaddr *)&at, sizeof(at)), errno);
	return fd;
}

static int
set_up(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(r->path, sizeof(r->path), "/tmp/coffer-ttrpc-%d.sock", (int)getpid());
	(void)strcpy(at.sun_path, r->path);
	assert_return_code(bind(fd, (struct sockaddr *)&at, sizeof(at)), errno);
	assert_return_code(listen(fd, 8), errno);
	r->loop = loop_new();
	r->server = ttrpc_server_new(r->loop, fd, SERVICE, methods, COUNT(methods), r);
	r->client = ttrpc_client_new(r->loop, dial(r), on_closed, r);
	assert_non_null(r->client);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;
	struct err e = ERR_ZERO;

	(void)err_set(&e, ERR_CANCELLED, "over");
	ttrpc_client_free(&r->client);
	ttrpc_server_free(&r->server);
	while (r->nheld > 0)
		ttrpc_fail(r->held[--r->nheld], &e); /* into the void */
	loop_free(&r->loop);
	(void)unlink(r->path);
	free(r);
	return 0;
}

static void
on_done(void *arg, const ProtobufCMessage *m, const struct err *e)
{
	const Containerd__Task__V2__ConnectResponse *rep = (const void *)m;
	struct answer *a = arg;

	assert_false(a->done);
	a->done = true;
	a->e = *e;
	a->pid = rep == NULL ? 0 : rep->task_pid;
}

static uint32_t
call(struct rig *r, struct answer *a, const char *method, uint64_t timeout_ms, size_t id_len)
{
	Containerd__Task__V2__ConnectRequest req;
	AUTO(free_ptr) char *id = xcalloc(1, id_len + 1);

	memset(id, 'x', id_len);
	memset(a, 0, sizeof(*a));
	containerd__task__v2__connect_request__init(&req);
	req.id = id;
	return ttrpc_call(r->client, SERVICE, method, timeout_ms, &req.base,
	    &containerd__task__v2__connect_response__descriptor, on_done, a);
}

static void
turn_until(struct rig *r, const bool *done)
{
	for (int i = 0; !*done && i < 500; i++)
		loop_turn(r->loop, 10);
	assert_true(*done);
}

static void
test_answers(void **state)
{
	struct rig *r = *state;
	struct answer a;

	(void)call(r, &a, "Connect", 5000, 3);
	assert_false(a.done); /* never from inside */
	turn_until(r, &a.done);
	assert_int_equal(a.e.code, ERR_NONE);
	assert_int_equal(a.pid, 3);
	(void)call(r, &a, "Connect", 5000, 3000000); /* many reads and writes */
	turn_until(r, &a.done);
	assert_int_equal(a.pid, 3000000);
}

static void
test_errors(void **state)
{
	struct rig *r = *state;
	struct answer a;

	(void)call(r, &a, "Fail", 5000, 1);
	turn_until(r, &a.done);
	assert_int_equal(a.e.code, ERR_NOT_FOUND);
	assert_string_equal(a.e.msg, "no such ? thing"); /* UTF-8 only */
	(void)call(r, &a, "Nothing", 5000, 1);
	turn_until(r, &a.done);
	assert_int_equal(a.e.code, ERR_UNIMPLEMENTED);
	(void)call(r, &a, "Connect", 5000, TTRPC_MESSAGE_MAX);
	turn_until(r, &a.done);
	assert_int_equal(a.e.code, ERR_RESOURCE_EXHAUSTED);
	(void)call(r, &a, "Connect", 5000, 1); /* the connection is still good */
	turn_until(r, &a.done);
	assert_int_equal(a.e.code, ERR_NONE);
}

static void
test_deadline_and_out_of_order(void **state)
{
	struct rig *r = *state;
	struct answer late, held, quick;
	struct err e = ERR_ZERO;

	(void)call(r, &late, "Hold", 50, 1);
	(void)call(r, &held, "Hold", 0, 1);
	(void)call(r, &quick, "Connect", 5000, 2);
	turn_until(r, &quick.done);
	assert_false(held.done);
	turn_until(r, &late.done);
	assert_int_equal(late.e.code, ERR_DEADLINE_EXCEEDED);
	(void)err_set(&e, ERR_CANCELLED, "answered late");
	ttrpc_fail(r->held[0], &e); /* belongs to nobody now */
	ttrpc_fail(r->held[1], &e);
	r->nheld = 0;
	turn_until(r, &held.done);
	assert_string_equal(held.e.msg, "answered late");
}

static void
test_forgotten_call(void **state)
{
	struct rig *r = *state;
	struct answer a, b;

	ttrpc_forget(r->client, call(r, &a, "Connect", 0, 1));
	(void)call(r, &b, "Connect", 0, 1);
	turn_until(r, &b.done);
	assert_false(a.done);
}

static void
test_server_goes_away(void **state)
{
	struct rig *r = *state;
	struct answer a, b;
	bool closed = false;

	(void)call(r, &a, "Hold", 0, 1);
	for (int i = 0; r->nheld == 0 && i < 100; i++)
		loop_turn(r->loop, 10);
	ttrpc_server_free(&r->server);
	turn_until(r, &a.done);
	assert_int_equal(a.e.code, ERR_UNAVAILABLE);
	for (int i = 0; !closed && i < 100; i++) {
		loop_turn(r->loop, 10);
		closed = r->closed > 0;
	}
	assert_int_equal(r->closed, 1);
	(void)call(r, &b, "Connect", 0, 1);
	turn_until(r, &b.done);
	assert_int_equal(b.e.code, ERR_UNAVAILABLE);
}

static void
test_client_goes_away(void **state)
{
	struct rig *r = *state;
	struct answer a;
	struct err e = ERR_ZERO;

	(void)call(r, &a, "Hold", 0, 1);
	for (int i = 0; r->nheld == 0 && i < 100; i++)
		loop_turn(r->loop, 10);
	ttrpc_client_free(&r->client);
	for (int i = 0; ttrpc_server_clients(r->server) > 0 && i < 100; i++)
		loop_turn(r->loop, 10);
	assert_int_equal(ttrpc_server_clients(r->server), 0);
	(void)err_set(&e, ERR_CANCELLED, "nobody hears");
	ttrpc_fail(r->held[0], &e);
	r->nheld = 0;
	assert_false(a.done);
}

/* Sends bytes to the server and expects it to hang up, and to serve others as before. */
static void
refuses(struct rig *r, const void *bytes, size_t n)
{
	int fd = dial(r);
	struct answer a;
	char byte;
	ssize_t got = -1;

	assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
	for (int i = 0; i < 200 && got < 0; i++) {
		loop_turn(r->loop, 10);
		got = recv(fd, &byte, 1, MSG_DONTWAIT);
	}
	assert_int_equal(got, 0);
	(void)close(fd);
	(void)call(r, &a, "Connect", 5000, 1);
	turn_until(r, &a.done);
	assert_int_equal(a.e.code, ERR_NONE);
}

static void
test_malformed_frames(void **state)
{
	struct rig *r = *state;

	refuses(r, "\xff\xff\xff\xff\0\0\0\1\1\0", 10);	    /* 4 GiB announced */
	refuses(r, "\0\x40\0\1\0\0\0\1\1\0", 10);	    /* one byte too many */
	refuses(r, "\0\0\0\0\0\0\0\1\7\0", 10);		    /* no such type */
	refuses(r, "\0\0\0\0\0\0\0\0\1\0", 10);		    /* no stream */
	refuses(r, "\0\0\0\0\0\0\0\2\1\0", 10);		    /* a server's stream */
	refuses(r, "\0\0\0\0\0\0\0\1\2\0", 10);		    /* a response */
	refuses(r, "\0\0\0\3\0\0\0\1\1\0\x0a\x7f\x01", 13); /* not protobuf */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_deadline_and_out_of_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forgotten_call, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_server_goes_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_client_goes_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_malformed_frames, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
