/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch: blobs from a registry that breaks in every way. The registry is a thread with a socket; the
 * first component of the repository's path says how it behaves:
 *	whole     as it should
 *	half      every answer breaks off half way of what was asked for; Range is honoured
 *	norange   the first answer breaks off; Range is ignored afterwards
 *	otherpart the first answer breaks off; Range is answered with another part
 *	parts     every answer is another part, asked for or not
 *	no416     the first answer breaks off; Range is answered with 416
 *	flip      other bytes of the same length
 *	short     half, and Content-Length says so
 *	chunked   half, as a complete chunked answer
 *	busy      503 twice, then as it should
 *	gone      404
 *	hang      nothing
 */
#include "workers/content/fetch.h"
#include "workers/content/http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"

#define BLOB 900000

static char blob[BLOB];

struct server {
	int fd, port;
	pthread_t thread;
	atomic_uint requests, ranges;
	atomic_bool end;
};

static void
say(int fd, const void *p, size_t n)
{
	while (n > 0) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			return;
		p = (const char *)p + w;
		n -= (size_t)w;
	}
}

static void
answer(struct server *s, int fd, const char *mode, unsigned long from)
{
	unsigned nth = atomic_fetch_add(&s->requests, 1);
	const char *data = blob;
	static char flipped[BLOB];
	char head[512];
	size_t n = BLOB - from, told = n;
	int status = from > 0 || strcmp(mode, "parts") == 0 ? 206 : 200;

	if (from > 0)
		atomic_fetch_add(&s->ranges, 1);
	if (strcmp(mode, "gone") == 0 || (strcmp(mode, "busy") == 0 && nth < 2) ||
	    (strcmp(mode, "no416") == 0 && from > 0)) {
		(void)snprintf(head, sizeof(head),
		    "HTTP/1.1 %s x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		    mode[0] == 'g'   ? "404"
		    : mode[0] == 'b' ? "503"
				     : "416");
		say(fd, head, strlen(head));
		return;
	}
	if (strcmp(mode, "norange") == 0 && from > 0) {
		from = 0;
		n = told = BLOB;
		status = 200;
	} else if (strcmp(mode, "half") == 0 ||
		   (nth == 0 && (mode[0] == 'n' || strcmp(mode, "otherpart") == 0))) {
		n /= 2;
	} else if (strcmp(mode, "short") == 0 || strcmp(mode, "chunked") == 0) {
		n = told = n / 2;
	}
	if (strcmp(mode, "flip") == 0) {
		memcpy(flipped, blob, BLOB);
		flipped[BLOB / 3] ^= 1;
		data = flipped;
	}
	if (strcmp(mode, "chunked") == 0) {
		(void)snprintf(head, sizeof(head),
		    "HTTP/1.1 %d x\r\nTransfer-Encoding: chunked\r\nConnection: "
		    "close\r\n\r\n%zx\r\n",
		    status, n);
		say(fd, head, strlen(head));
		say(fd, data + from, n);
		say(fd, "\r\n0\r\n\r\n", 7);
		return;
	}
	(void)snprintf(head, sizeof(head),
	    "HTTP/1.1 %d x\r\nContent-Length: %zu\r\nContent-Range: bytes %lu-%d/%d\r\n"
	    "Connection: close\r\n\r\n",
	    status, told,
	    strcmp(mode, "otherpart") == 0 ? from / 2
	    : strcmp(mode, "parts") == 0   ? from + 1
					   : from,
	    BLOB - 1, BLOB);
	say(fd, head, strlen(head));
	say(fd, data + from, n);
}

static void *
serve(void *arg)
{
	struct server *s = arg;
	int hung[64];
	unsigned nhung = 0;

	while (!atomic_load(&s->end)) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
		char text[4096], mode[32] = "";
		unsigned long from = 0;
		size_t n = 0;
		const char *range;

		if (fd < 0)
			break;
		while (n < sizeof(text) - 1) {
			ssize_t r = recv(fd, text + n, sizeof(text) - 1 - n, 0);

			if (r <= 0)
				break;
			n += (size_t)r;
			text[n] = '\0';
			if (strstr(text, "\r\n\r\n") != NULL)
				break;
		}
		text[n] = '\0';
		(void)sscanf(text, "GET /v2/%31[a-z0-9]/", mode);
		range = strstr(text, "Range: bytes=");
		if (range != NULL)
			from = strtoul(range + 13, NULL, 10);
		if (strcmp(mode, "hang") == 0 && nhung < COUNT(hung)) {
			hung[nhung++] = fd;
			atomic_fetch_add(&s->requests, 1);
			continue;
		}
		answer(s, fd, mode, from);
		(void)shutdown(fd, SHUT_WR);
		(void)recv(fd, text, sizeof(text), 0); /* until the other side has all */
		(void)close(fd);
	}
	while (nhung > 0)
		(void)close(hung[--nhung]);
	return NULL;
}

static void
server_start(struct server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
	s->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

struct bench {
	char dir[40];
	struct content c;
	struct server server;
	struct digest digest;
};

/* One who waits for a blob. */
struct waiter {
	unsigned done;
	uint64_t bytes, moved;
	struct err err;
	struct fetch *fetch;
	struct remote *remote;
};

static int
up(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	struct err e = ERR_ZERO;

	for (size_t i = 0; i < BLOB; i++)
		blob[i] = (char)(i * 2654435761U >> 11);
	digest_of(DIGEST_SHA256, blob, BLOB, &b->digest);
	(void)strcpy(b->dir, "/tmp/coffer-fetch-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->c.loop = loop_new();
	b->c.options = CONTENT_OPTIONS_DEFAULT;
	b->c.options.stall_s = 1;
	b->c.options.retries = 3;
	if (content_up(&b->c, b->dir, NULL, &e) < 0)
		fail_msg("%s", e.msg);
	server_start(&b->server);
	*state = b;
	return 0;
}

static int
down(void **state)
{
	struct bench *b = *state;
	struct err e = ERR_ZERO;

	while (work_pending(b->c.work) > 0)
		loop_turn(b->c.loop, 100);
	atomic_store(&b->server.end, true);
	(void)shutdown(b->server.fd, SHUT_RDWR);
	(void)pthread_join(b->server.thread, NULL);
	(void)close(b->server.fd);
	assert_null(b->c.transfers);
	content_down(&b->c);
	loop_free(&b->c.loop);
	assert_int_equal(fs_remove_tree(AT_FDCWD, b->dir, &e), 0);
	free(b);
	return 0;
}

static void
on_done(void *arg, uint64_t bytes, const struct err *e)
{
	struct waiter *w = arg;

	w->done++;
	w->bytes = bytes;
	w->fetch = NULL;
	w->err = e != NULL ? *e : ERR_ZERO;
}

static void
on_moved(void *arg, uint64_t written)
{
	struct waiter *w = arg;

	w->moved = written;
}

static void
begin(struct bench *b, const char *mode, uint64_t size, struct waiter *w)
{
	struct remote_opts o = { .stall_s = b->c.options.stall_s, .connect_s = 5 };
	AUTO(free_ptr) char *name = xasprintf("127.0.0.1:%d/%s/x", b->server.port, mode);
	struct reference ref;
	struct err e = ERR_ZERO;

	*w = (struct waiter){ .done = 0 };
	assert_int_equal(reference_parse(name, &ref, &e), 0);
	assert_int_equal(http_load(b->c.http, &e), 0);
	assert_int_equal(remote_new(b->c.http, &ref, &o, &w->remote, &e), 0);
	w->fetch = fetch_start(&b->c, &(struct fetch_ask){ .ns = "default",
					  .remote = w->remote,
					  .digest = &b->digest,
					  .size = size,
					  .done = on_done,
					  .moved = on_moved,
					  .arg = w });
	assert_int_equal(w->done, 0);
}

static void
wait_for(struct bench *b, struct waiter *w)
{
	for (unsigned i = 0; i < 3000 && w->done == 0; i++)
		loop_turn(b->c.loop, 10);
	assert_int_equal(w->done, 1);
	remote_free(&w->remote);
}

static void
fetch(struct bench *b, const char *mode, struct waiter *w)
{
	begin(b, mode, BLOB, w);
	wait_for(b, w);
}

static void
got_it(struct bench *b, const struct waiter *w)
{
	AUTO(buf_free) struct buf back = BUF_ZERO;
	struct err e = ERR_ZERO;

	if (w->err.code != ERR_NONE)
		fail_msg("%s", w->err.msg);
	assert_int_equal(blobs_read(&b->c.blobs, &b->digest, BLOB, &back, &e), 0);
	assert_int_equal(back.len, BLOB);
	assert_memory_equal(back.data, blob, BLOB);
}

static bool
left(struct bench *b)
{
	return faccessat(b->c.blobs.ingest_fd, digest_hex(&b->digest), F_OK, 0) == 0;
}

static void
got_nothing(struct bench *b, const struct waiter *w, enum err_code code, bool kept)
{
	assert_int_equal(w->err.code, code);
	assert_false(blobs_has(&b->c.blobs, &b->digest, 0, NULL));
	assert_int_equal(left(b), kept);
}

static void
the_whole(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	fetch(b, "whole", &w);
	got_it(b, &w);
	assert_int_equal(w.bytes, BLOB);
	assert_int_equal(atomic_load(&b->server.requests), 1);
}

static void
in_halves(void **state)
{
	struct bench *b = *state;
	struct waiter w;
	uint64_t came;

	/* Whoever brings something is not given up; the last bytes come too few at a time. */
	b->c.options.retries = 1;
	fetch(b, "half", &w);
	assert_int_equal(w.err.code, ERR_UNAVAILABLE);
	assert_true(atomic_load(&b->server.ranges) > 5);
	assert_in_range(w.moved, BLOB - 8192, BLOB - 1);
	assert_true(left(b));
	came = w.moved;
	fetch(b, "whole", &w);
	got_it(b, &w);
	assert_int_equal(w.bytes, BLOB - came);
}

static void
range_is_ignored(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	fetch(b, "norange", &w);
	got_it(b, &w);
	assert_int_equal(atomic_load(&b->server.ranges), 1);
}

static void
another_part_comes(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	fetch(b, "otherpart", &w);
	got_it(b, &w);
	assert_int_equal(atomic_load(&b->server.ranges), 1);
}

static void
nothing_but_other_parts(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	fetch(b, "parts", &w);
	got_nothing(b, &w, ERR_DATA_LOSS, false);
	assert_true(atomic_load(&b->server.requests) < 5);
}

static void
range_is_refused(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	fetch(b, "no416", &w);
	got_it(b, &w);
}

static void
wrong_bytes(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	fetch(b, "flip", &w);
	got_nothing(b, &w, ERR_DATA_LOSS, false);
	assert_int_equal(atomic_load(&b->server.requests), 1);
}

/* What an earlier download left is wrong: noticed at the end, and fetched anew. */
static void
wrong_rest(void **state)
{
	struct bench *b = *state;
	struct err e = ERR_ZERO;
	struct waiter w;

	assert_int_equal(
	    fs_write(b->c.blobs.ingest_fd, digest_hex(&b->digest), "rubbish", 7, 0600, false, &e),
	    0);
	fetch(b, "whole", &w);
	got_it(b, &w);
	assert_int_equal(atomic_load(&b->server.ranges), 1);
	assert_int_equal(atomic_load(&b->server.requests), 2);
}

static void
another_length_is_offered(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	fetch(b, "short", &w);
	got_nothing(b, &w, ERR_DATA_LOSS, false);
	begin(b, "whole", BLOB - 1, &w);
	wait_for(b, &w);
	got_nothing(b, &w, ERR_DATA_LOSS, false);
}

static void
cut_without_a_length(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	/* Each answer is half of what is left and claims to be all. */
	fetch(b, "chunked", &w);
	assert_int_equal(w.err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(w.err.msg, "cut short"));
}

static void
busy_at_first(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	fetch(b, "busy", &w);
	got_it(b, &w);
	assert_int_equal(atomic_load(&b->server.requests), 3);
}

static void
not_there(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	fetch(b, "gone", &w);
	got_nothing(b, &w, ERR_NOT_FOUND, false);
	assert_int_equal(atomic_load(&b->server.requests), 1);
}

static void
a_stall_ends(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	b->c.options.retries = 1;
	fetch(b, "hang", &w);
	got_nothing(b, &w, ERR_UNAVAILABLE, false);
	assert_int_equal(atomic_load(&b->server.requests), 2);
}

static void
two_share_one_download(void **state)
{
	struct bench *b = *state;
	struct waiter one, two;

	begin(b, "whole", BLOB, &one);
	begin(b, "whole", BLOB, &two);
	wait_for(b, &one);
	wait_for(b, &two);
	got_it(b, &one);
	got_it(b, &two);
	assert_int_equal(one.bytes + two.bytes, BLOB);
	assert_int_equal(atomic_load(&b->server.requests), 1);
}

static void
the_second_takes_over(void **state)
{
	struct bench *b = *state;
	struct waiter one, two, three;

	/* The first is refused, the second given up: the third brings it home. */
	begin(b, "gone", BLOB, &one);
	begin(b, "hang", BLOB, &two);
	begin(b, "whole", BLOB, &three);
	wait_for(b, &one);
	assert_int_equal(one.err.code, ERR_NOT_FOUND);
	while (atomic_load(&b->server.requests) < 2)
		loop_turn(b->c.loop, 10);
	fetch_cancel(&two.fetch, true);
	remote_free(&two.remote);
	wait_for(b, &three);
	got_it(b, &three);
	assert_int_equal(two.done, 0);
}

static void
who_was_told_another_size_is_refused(void **state)
{
	struct bench *b = *state;
	struct waiter one, two;

	begin(b, "whole", BLOB, &one);
	begin(b, "whole", BLOB + 5, &two);
	wait_for(b, &one);
	wait_for(b, &two);
	got_it(b, &one);
	assert_int_equal(two.err.code, ERR_DATA_LOSS);
}

static void
given_up_at_any_moment(void **state)
{
	struct bench *b = *state;
	struct waiter w;

	for (int turns = 0; turns < 40; turns++) {
		begin(b, turns % 2 ? "whole" : "half", BLOB, &w);
		for (int i = 0; i < turns && w.done == 0; i++)
			loop_turn(b->c.loop, 1);
		fetch_cancel(&w.fetch, turns % 3 == 0);
		remote_free(&w.remote);
	}
	fetch(b, "whole", &w);
	got_it(b, &w);
}

static void
pauses(void **state)
{
	(void)state;
	for (unsigned i = 1; i < 100; i++) {
		uint64_t ms = fetch_pause_ms(i, 0);

		assert_true(ms >= 200 && ms <= 12500);
	}
	assert_int_equal(fetch_pause_ms(1, 30), 30000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_whole),
		TEST(in_halves),
		TEST(range_is_ignored),
		TEST(another_part_comes),
		TEST(nothing_but_other_parts),
		TEST(range_is_refused),
		TEST(wrong_bytes),
		TEST(wrong_rest),
		TEST(another_length_is_offered),
		TEST(cut_without_a_length),
		TEST(busy_at_first),
		TEST(not_there),
		TEST(a_stall_ends),
		TEST(two_share_one_download),
		TEST(the_second_takes_over),
		TEST(who_was_told_another_size_is_refused),
		TEST(given_up_at_any_moment),
		cmocka_unit_test(pauses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
