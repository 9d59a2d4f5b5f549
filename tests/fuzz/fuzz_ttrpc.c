/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_ttrpc - bytes from a shim (or whoever holds its socket) as our client reads them: frames, and the
 * messages in them. The input is what the peer sends, whole and then in pieces.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/loop.h"
#include "lib/ttrpc/frame.h"
#include "lib/ttrpc/shim.h"
#include "lib/ttrpc/ttrpc.h"
#include "tests/fuzz/fuzz.h"

#include "lib/ttrpc/proto/task.pb-c.h"

struct peer {
	unsigned answers;
	bool closed;
};

static void
on_answer(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct peer *p = arg;

	MUST((rep == NULL) == (e->code != ERR_NONE));
	p->answers++;
}

static void
on_closed(void *arg, const struct err *e)
{
	struct peer *p = arg;

	(void)e;
	MUST(!p->closed);
	p->closed = true;
}

static void
talk(const uint8_t *data, size_t n, size_t piece)
{
	struct loop *l = loop_new();
	struct ttrpc_client *c = NULL;
	struct peer p = { .answers = 0 };
	Containerd__Task__V2__StateRequest req;
	int fd[2];

	MUST(l != NULL &&
	     socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) == 0);
	c = ttrpc_client_new(l, fd[0], on_closed, &p);
	MUST(c != NULL);
	containerd__task__v2__state_request__init(&req);
	(void)ttrpc_call(c, SHIM_SERVICE, "State", 0, (ProtobufCMessage *)&req,
	    &containerd__task__v2__state_response__descriptor, on_answer, &p);
	for (size_t at = 0; at < n; at += piece) {
		size_t part = n - at < piece ? n - at : piece;

		(void)!send(fd[1], data + at, part, MSG_NOSIGNAL);
		loop_turn(l, 0);
	}
	loop_turn(l, 0);
	(void)close(fd[1]);
	for (int i = 0; i < 5 && !p.closed; i++)
		loop_turn(l, 0);
	MUST(p.answers <= 1);
	ttrpc_client_free(&c);
	loop_free(&l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 65536)
		return 0;
	talk(data, n, n == 0 ? 1 : n);
	talk(data, n, n / 7 + 1);
	return 0;
}

/* A whole answer to the first call: header, then a Response with a status or a payload. */
static void
answer(fuzz_seed_fn *seed, void *arg, const char *body, size_t n, uint8_t stream, uint8_t type)
{
	char frame[256] = { 0, 0, (char)(n >> 8), (char)n, 0, 0, 0, (char)stream, (char)type, 0 };

	MUST(n + FRAME_HEADER <= sizeof(frame));
	memcpy(frame + FRAME_HEADER, body, n);
	seed(arg, frame, n + FRAME_HEADER);
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	/* Response { status { code: 5, message: "no task" } }; Response { payload: State{id, pid, status} } */
	static const char status[] = "\x0a\x0b\x08\x05\x12\x07no task";
	static const char payload[] = "\x12\x0a\x0a\x04task\x18\x07\x20\x02";

	answer(seed, arg, status, sizeof(status) - 1, 1, FRAME_RESPONSE);
	answer(seed, arg, payload, sizeof(payload) - 1, 1, FRAME_RESPONSE);
	answer(seed, arg, payload, sizeof(payload) - 1, 3, FRAME_RESPONSE);
	answer(seed, arg, "", 0, 1, FRAME_DATA);
	answer(seed, arg, status, sizeof(status) - 1, 1, FRAME_REQUEST);
	seed(arg, "\xff\xff\xff\xff\0\0\0\1\2\0", 10);
}
