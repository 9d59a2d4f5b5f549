/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skeleton and the client against each other: a real worker process, killed and started again as
 * the supervisor would, with the mailbox socket held by the test.
 *
 * The worker serves three methods of content: namespace_create counts how often it ran and commits
 * (name "die": it then dies before answering; "abort": it aborts), image_list parks (limit 1; limit 3:
 * until the end, when it answers with an error, and answers well in the next life) or answers, version
 * is the skeleton's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "bus/wire/wire.h"
#include "bus/worker/worker.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fdpass.h"
#include "lib/base/fs.h"
#include "supervisor/control.h"

/* --- the worker ------------------------------------------------------------------------------- */

enum { TABLE_COUNTS };

struct counting {
	struct store *store;
	struct call *parked;
	char lived[200]; /* a file that says that there was a life before */
};

static int
on_create(void *state, struct call *c, const void *req, void *rep, struct err *e)
{
	const struct namespace_create_req *q = req;
	struct namespace *n = rep;
	struct counting *s = state;
	AUTO(store_abort) struct txn *t = NULL;
	struct version count = { .version = "x", .worker = "x" };
	struct key k;
	struct err ignored = ERR_ZERO;

	if (strcmp(q->name, "abort") == 0)
		abort();
	n->name = q->name;
	store_key_text(&k, q->name);
	if (store_write(s->store, &t, e) < 0)
		return -(int)e->code;
	(void)store_get(t, TABLE_COUNTS, &k, &version_schema, call_arena(c), &count, &ignored);
	count.version = count.worker = "x";
	count.pid++;
	if (store_put(t, TABLE_COUNTS, &k, &version_schema, &count, e) < 0 ||
	    call_commit(c, &t, n, e) < 0)
		return -(int)e->code;
	if (strcmp(q->name, "die") == 0 && count.pid == 1)
		(void)kill(getpid(), SIGKILL);
	return 0;
}

static int
on_list(void *state, struct call *c, const void *req, void *rep, struct err *e)
{
	const struct image_list_req *q = req;
	struct image_list_rep *p = rep;
	struct counting *s = state;
	AUTO(store_abort) struct txn *t = NULL;
	struct version count = { .pid = 0 };
	struct key k;

	if (q->limit == 1)
		return CALL_LATER;
	if (q->limit == 3) {
		if (access(s->lived, F_OK) == 0)
			return 0;
		s->parked = c;
		return CALL_LATER;
	}
	if (q->limit == 2) {
		struct image_pull_progress none = { .items = { NULL, 0 } };

		call_progress(c, &none);
		p->more = true;
		return 0;
	}
	store_key_text(&k, q->after);
	if (store_read(s->store, &t, e) < 0 ||
	    store_get(t, TABLE_COUNTS, &k, &version_schema, call_arena(c), &count, e) < 0)
		return -(int)e->code;
	return err_set(e, ERR_DATA_LOSS, "%d", (int)count.pid);
}

static int
worker_start(struct worker *w, void *state, struct err *e)
{
	static const char *const tables[] = { "counts" };
	struct counting *s = state;
	char path[200];
	int r;

	(void)snprintf(s->lived, sizeof(s->lived), "%s/lived", worker_root(w));
	(void)snprintf(path, sizeof(path), "%s/db", worker_root(w));
	r = store_open(path, tables, 1, false, &s->store, e);
	if (r == 0)
		worker_store(w, s->store);
	return r;
}

static int
worker_open_state(struct worker *w, void **ret, struct err *e)
{
	(void)w;
	(void)e;
	*ret = xcalloc(1, sizeof(struct counting));
	return 0;
}

static void
worker_close_state(void *state)
{
	struct counting *s = state;
	struct err e = ERR_ZERO;

	if (s->parked != NULL) {
		(void)err_set(&e, ERR_NOT_FOUND, "everything is being taken down");
		call_fail(s->parked, &e);
		(void)poll(NULL, 0, 100); /* time for the answer to leave, if it did */
		(void)close(open(s->lived, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	}
	store_close(&s->store);
	free(s);
}

int worker_on_version(void *state, struct call *c, const void *req, void *rep, struct err *e);

static int
run_worker(int argc, char **argv)
{
	static const struct method *const methods[] = { &content_namespace_create_method,
		&content_image_list_method, &content_version_method, &content_outbox_read_method };
	static worker_thunk *const thunks[] = { on_create, on_list, worker_on_version,
		worker_on_version };
	static const struct worker_spec spec = { .proc = PROC_CONTENT,
		.methods = methods,
		.thunks = thunks,
		.nmethods = 4,
		.open = worker_open_state,
		.start = worker_start,
		.close = worker_close_state };

	return worker_main(argc, argv, &spec);
}

/* --- the test's side: what a supervisor does ---------------------------------------------------- */

struct fixture {
	char dir[64];
	int listen_fd, board_fd, control_fd;
	pid_t pid;
	struct loop *loop;
	struct client *client;
};

static void
launch(struct fixture *f)
{
	int pair[2], fds[3];
	struct order ready;
	unsigned nfds = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->pid = fork();
	if (f->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		fds[0] = fcntl(pair[1], F_DUPFD, 10);
		fds[1] = fcntl(f->listen_fd, F_DUPFD, 10);
		fds[2] = fcntl(f->board_fd, F_DUPFD, 10);
		(void)dup2(fds[0], CONTROL_FD);
		(void)dup2(fds[1], MAILBOX_FD);
		(void)dup2(fds[2], BOARD_FD);
		(void)execl(
		    "/proc/self/exe", "coffer-content", "--root", f->dir, "--state", f->dir, NULL);
		_exit(99);
	}
	(void)close(pair[1]);
	f->control_fd = pair[0];
	assert_int_equal(
	    fdpass_recv(f->control_fd, &ready, sizeof(ready), NULL, &nfds), sizeof(ready));
	assert_int_equal(ready.op, CONTROL_READY);
}

static void
bury(struct fixture *f, int signo)
{
	int status;

	if (signo != 0)
		(void)kill(f->pid, signo);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	(void)close(f->control_fd);
}

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct err e = ERR_ZERO;

	(void)strcpy(f->dir, "/tmp/coffer-bus-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/bus", f->dir);
	assert_int_equal(mkdir(at.sun_path, 0700), 0);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/bus/content.sock", f->dir);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(f->listen_fd, 64), 0);
	assert_int_equal(
	    board_create(AT_FDCWD, strcat(f->dir, "/board"), getuid(), getgid(), &f->board_fd, &e),
	    0);
	*strrchr(f->dir, '/') = '\0';
	f->loop = loop_new();
	assert_int_equal(client_new(f->loop, f->dir, &f->client, &e), 0);
	launch(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_ZERO;

	client_free(&f->client);
	loop_free(&f->loop);
	bury(f, SIGTERM);
	(void)close(f->listen_fd);
	(void)close(f->board_fd);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &e), 0);
	free(f);
	return 0;
}

/* A call on its way, watched. */
struct watch {
	bool done;
	int code, progress;
	char msg[ERR_MSG_MAX];
};

static void
on_done(void *arg, const void *rep, const struct err *e)
{
	struct watch *w = arg;

	w->done = true;
	w->code = rep == NULL ? (int)e->code : 0;
	if (rep == NULL)
		(void)snprintf(w->msg, sizeof(w->msg), "%s", e->msg);
}

static void
wait_for(struct fixture *f, const struct watch *w)
{
	uint64_t until = clock_mono_ms() + 20000;

	while (!w->done && clock_mono_ms() < until)
		loop_turn(f->loop, 1000);
	assert_true(w->done);
}

static int
times_run(struct fixture *f, const char *name)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct image_list_req q = { .after = name };
	struct image_list_rep p;
	struct err e = ERR_ZERO;

	assert_true(
	    client_call_sync(f->client, &content_image_list_method, NULL, &q, &a, &p, &e) < 0);
	assert_int_equal(e.code, ERR_DATA_LOSS);
	return (int)strtol(e.msg, NULL, 10);
}

static void
create(struct fixture *f, const char *name, struct watch *w)
{
	struct namespace_create_req q = { .name = name };
	struct err e = ERR_ZERO;

	assert_int_equal(client_call(f->client, &content_namespace_create_method, NULL, &q, on_done,
			     w, NULL, &e),
	    0);
}

static void
test_answers(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct nothing none;
	struct version v;
	struct err e = ERR_ZERO;

	assert_int_equal(
	    client_call_sync(f->client, &content_version_method, NULL, &none, &a, &v, &e), 0);
	assert_int_equal(v.pid, f->pid);
	assert_string_equal(v.worker, "content");
}

static void
test_executed_once_over_death(void **state)
{
	struct fixture *f = *state;
	struct watch w = { .done = false };

	create(f, "die", &w); /* commits, then dies before it answers */
	loop_turn(f->loop, 0);
	bury(f, 0);
	launch(f);
	wait_for(f, &w);
	assert_int_equal(w.code, 0);
	assert_int_equal(times_run(f, "die"), 1);
}

static void
test_waits_while_down(void **state)
{
	struct fixture *f = *state;
	struct watch first = { .done = false }, second = { .done = false };

	create(f, "one", &first);
	wait_for(f, &first);
	bury(f, SIGKILL);
	create(f, "two", &second); /* nobody is there: it waits in the kernel */
	for (int i = 0; i < 20; i++)
		loop_turn(f->loop, 5);
	assert_false(second.done);
	launch(f);
	wait_for(f, &second);
	assert_int_equal(second.code, 0);
	assert_int_equal(times_run(f, "two"), 1);
}

/* The supervisor's part after a death by the worker's own fault. */
static void
count_poison(struct fixture *f)
{
	struct board *b = NULL;
	struct err e = ERR_ZERO;

	assert_int_equal(board_map(f->board_fd, 1, &b, &e), 0);
	assert_int_equal(b->self.in_hand_set, 1);
	assert_string_equal(b->self.in_hand_method, "namespace_create");
	memcpy(b->self.poison[0].id, b->self.in_hand, 16);
	b->self.poison[0].deaths++;
	board_unmap(&b);
}

static void
test_poison_is_refused(void **state)
{
	struct fixture *f = *state;
	struct watch bad = { .done = false }, good = { .done = false };

	create(f, "abort", &bad);
	for (int i = 0; i < 3; i++) {
		siginfo_t died = { .si_pid = 0 };

		while (died.si_pid == 0) { /* keep the client turning: it sends again */
			loop_turn(f->loop, 10);
			assert_int_equal(
			    waitid(P_PID, (id_t)f->pid, &died, WEXITED | WNOHANG | WNOWAIT), 0);
		}
		bury(f, 0);
		count_poison(f);
		launch(f);
	}
	wait_for(f, &bad);
	assert_int_equal(bad.code, ERR_INTERNAL);
	assert_non_null(strstr(bad.msg, "refused"));
	create(f, "fine", &good);
	wait_for(f, &good);
	assert_int_equal(good.code, 0);
}

static void
test_deadline_and_cancel(void **state)
{
	struct fixture *f = *state;
	struct image_list_req q = { .limit = 1 };
	struct client_opts soon = { .deadline_ms = 50 };
	struct client_call *call = NULL;
	struct watch w = { .done = false }, cancelled = { .done = false },
		     given_up = { .done = false };
	struct err e = ERR_ZERO;

	assert_int_equal(
	    client_call(f->client, &content_image_list_method, &soon, &q, on_done, &w, NULL, &e),
	    0);
	assert_int_equal(client_call(f->client, &content_image_list_method, NULL, &q, on_done,
			     &cancelled, &call, &e),
	    0);
	wait_for(f, &w);
	assert_int_equal(w.code, ERR_DEADLINE_EXCEEDED);
	client_cancel(&call);
	assert_null(call);
	assert_false(cancelled.done);
	assert_int_equal(client_call(f->client, &content_image_list_method, NULL, &q, on_done,
			     &given_up, &call, &e),
	    0);
	client_give_up(call, 20000);
	wait_for(f, &given_up);
	assert_int_equal(given_up.code, ERR_CANCELLED);
}

static void
test_end_answers_nobody(void **state)
{
	struct fixture *f = *state;
	struct image_list_req parked = { .limit = 3 }, other = { .limit = 2 };
	struct watch w = { .done = false }, v = { .done = false };
	struct err e = ERR_ZERO;

	assert_int_equal(client_call(f->client, &content_image_list_method, NULL, &parked, on_done,
			     &w, NULL, &e),
	    0);
	assert_int_equal(
	    client_call(f->client, &content_image_list_method, NULL, &other, on_done, &v, NULL, &e),
	    0);
	wait_for(f, &v);
	bury(f, SIGTERM);
	launch(f);
	wait_for(f, &w);
	assert_int_equal(w.code, 0);
}

static void
test_bad_requests(void **state)
{
	struct fixture *f = *state;
	struct client_opts opts = { .ns = "../etc" };
	struct namespace_create_req q = { .name = NULL };
	struct blob_list_req blobs = { .limit = 1 };
	struct nothing none;
	struct watch w = { .done = false }, v = { .done = false };
	struct err e = ERR_ZERO;

	assert_int_equal(client_call(f->client, &content_namespace_create_method, NULL, &q, on_done,
			     &w, NULL, &e),
	    -ERR_INTERNAL); /* we do not send what breaks the declaration */
	assert_int_equal(
	    client_call(f->client, &content_version_method, &opts, &none, on_done, &w, NULL, &e),
	    0);
	wait_for(f, &w);
	assert_int_equal(w.code, ERR_INVALID_ARGUMENT);
	assert_int_equal(
	    client_call(f->client, &content_blob_list_method, NULL, &blobs, on_done, &v, NULL, &e),
	    0);
	wait_for(f, &v);
	assert_int_equal(v.code, ERR_UNIMPLEMENTED);
}

/* Sends frames as they are and reads one answer's two frames. */
static int
raw(struct fixture *f, const void *envelope, size_t n, const void *body, size_t m,
    struct failure *ret, struct arena *a)
{
	void *ctx = zmq_ctx_new(), *s = zmq_socket(ctx, ZMQ_DEALER);
	int limit = 3000, linger = 0, r = -1;
	char address[128];
	zmq_msg_t in;
	struct err e = ERR_ZERO;

	(void)snprintf(address, sizeof(address), "ipc://%s/bus/content.sock", f->dir);
	(void)zmq_setsockopt(s, ZMQ_RCVTIMEO, &limit, sizeof(limit));
	(void)zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof(linger));
	assert_int_equal(zmq_connect(s, address), 0);
	(void)zmq_send(s, envelope, n, ZMQ_SNDMORE);
	(void)zmq_send(s, body, m, 0);
	(void)zmq_msg_init(&in);
	if (zmq_msg_recv(&in, s, 0) >= 0 && zmq_msg_recv(&in, s, 0) >= 0)
		r = wire_decode(&failure_schema,
		    arena_memdup(a, zmq_msg_data(&in), zmq_msg_size(&in)), zmq_msg_size(&in), a,
		    ret, &e);
	(void)zmq_msg_close(&in);
	(void)zmq_close(s);
	(void)zmq_ctx_term(ctx);
	return r;
}

static void
test_hostile_frames(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	uint8_t id[16] = { 1 };
	struct envelope env = {
		.v = 1, .kind = "request", .id = { id, 16 }, .method = "namespace_create"
	};
	AUTO(buf_free) struct buf head = BUF_ZERO;
	struct failure why;
	struct err e = ERR_ZERO;

	assert_int_equal(raw(f, "\xdd\xff\0\0\0", 5, "", 0, &why, &a), 0);
	assert_int_equal(why.code, ERR_INVALID_ARGUMENT);
	assert_int_equal(wire_encode(&envelope_schema, &env, &head, &e), 0);
	assert_int_equal(raw(f, head.data, head.len, "\xdd\xff\0\0\0", 5, &why, &a), 0);
	assert_int_equal(why.code, ERR_INVALID_ARGUMENT);
	id[0]++;
	head.len = 0;
	assert_int_equal(wire_encode(&envelope_schema, &env, &head, &e), 0);
	assert_int_equal(raw(f, head.data, head.len, "\x81\xa4name\x07", 7, &why, &a), 0);
	assert_non_null(strstr(why.message, "name: must be a string"));
	test_answers(state); /* the same process is still there */
}

static void
test_no_daemon(void **state)
{
	struct loop *l = loop_new();
	struct client *c = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct nothing none;
	struct version v;
	struct err e = ERR_ZERO;

	(void)state;
	assert_int_equal(client_new(l, "/nonexistent", &c, &e), 0);
	assert_int_equal(client_call_sync(c, &content_version_method, NULL, &none, &a, &v, &e),
	    -ERR_UNAVAILABLE);
	assert_non_null(strstr(e.msg, "is it running"));
	client_free(&c);
	loop_free(&l);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_executed_once_over_death, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits_while_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_poison_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline_and_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_answers_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_frames, setup, teardown),
		cmocka_unit_test(test_no_daemon),
	};

	if (argc > 1)
		return run_worker(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
