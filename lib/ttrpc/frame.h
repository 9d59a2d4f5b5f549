/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame - ttrpc frames on a non-blocking stream socket: what client and server share.
 *
 * A frames reads whole frames from its socket and hands them to its owner, and queues frames to be
 * sent. It watches the socket on the loop by itself. Any error (end, reset, oversize, bad header) is
 * told once through on_end; after that nothing is called any more.
 * Memory: a frame in the making is held in one buffer that is let go when it is done, so that an idle
 * connection holds none.
 */
#ifndef CF_TTRPC_FRAME_H
#define CF_TTRPC_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "lib/base/err.h"
#include "lib/base/loop.h"

#define FRAME_HEADER 10

enum frame_type { FRAME_REQUEST = 1, FRAME_RESPONSE = 2, FRAME_DATA = 3 };

struct frame {
	uint32_t stream;
	uint8_t type, flags;
	const uint8_t *data; /* dies when the callback returns */
	size_t len;
};

struct frames;

/* Both may free the frames. */
typedef void frame_fn(void *arg, const struct frame *f);
typedef void frame_end_fn(void *arg, const struct err *e);

/* Takes fd. NULL with errno when it can't be watched (fd is closed then). */
struct frames *
frames_new(struct loop *l, int take_fd, frame_fn *on_frame, frame_end_fn *on_end, void *arg);
void frames_free(struct frames **fs);

/* Queues one frame with this message. A message that is too long is resource_exhausted and nothing is
 * sent. Errors of the socket come through on_end, later. */
int frames_send(struct frames *fs, uint32_t stream, enum frame_type type, const ProtobufCMessage *m,
    struct err *e);

/* Bytes queued. */
size_t frames_unsent(const struct frames *fs);

#endif
