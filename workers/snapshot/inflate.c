/* SPDX-License-Identifier: Apache-2.0 */
/* inflate - see inflate.h */
#include "workers/snapshot/inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "lib/base/auto.h"
#include "workers/snapshot/follow.h"

#define INPUT_BYTES (256 * 1024)

enum form { FORM_PLAIN, FORM_GZIP, FORM_ZSTD };

struct inflate {
	int fd;
	struct follow *follow;
	uint64_t read; /* bytes read so far */
	enum form form;
	bool eof;	/* the blob has no more bytes behind those in input */
	bool between;	/* gzip: before a member; zstd: before a frame */
	bool any;	/* a member or frame was finished */
	size_t at, end; /* what of input is not taken yet */
	uint64_t offset;
	struct inflate_state *gzip;
	ZSTD_DStream *zstd;
	unsigned char input[INPUT_BYTES];
};

/* Fills the empty input buffer. */
static int
refill(struct inflate *in, struct err *e)
{
	size_t want = sizeof(in->input);
	ssize_t n;

	if (in->eof)
		return 0;
	if (in->follow != NULL) {
		if (follow_wait(in->follow, in->read, e) < 0)
			return -(int)e->code;
		if (in->follow->safe - in->read < want)
			want = (size_t)(in->follow->safe - in->read);
	}
	do
		n = read(in->fd, in->input, want);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		(void)err_sys(e, errno, "read the blob");
		e->code = ERR_DATA_LOSS;
		return -(int)e->code;
	}
	in->at = 0;
	in->end = (size_t)n;
	in->read += (uint64_t)n;
	in->eof = n == 0;
	return 0;
}

static enum form
form_of(const unsigned char *p, size_t n)
{
	static const unsigned char gzip[3] = { 0x1f, 0x8b, 0x08 };
	static const unsigned char zstd[4] = { 0x28, 0xb5, 0x2f, 0xfd };

	if (n >= sizeof(gzip) && memcmp(p, gzip, sizeof(gzip)) == 0)
		return FORM_GZIP;
	if (n >= sizeof(zstd) && memcmp(p, zstd, sizeof(zstd)) == 0)
		return FORM_ZSTD;
	if (n >= 4 && (p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18)
		return FORM_ZSTD; /* a skippable frame in front */
	return FORM_PLAIN;
}

int
inflate_open(int fd, struct follow *f, struct inflate **ret, struct err *e)
{
	AUTO(inflate_close) struct inflate *in = xcalloc(1, sizeof(*in));
	int r;

	in->fd = fd;
	in->follow = f;
	in->between = true;
	r = refill(in, e);
	if (r < 0)
		return r;
	in->form = form_of(in->input, in->end);
	if (in->form == FORM_GZIP) {
		in->gzip = xcalloc(1, sizeof(*in->gzip));
		isal_inflate_init(in->gzip);
	} else if (in->form == FORM_ZSTD) {
		in->zstd = ZSTD_createDStream();
		if (in->zstd == NULL)
			return err_set(e, ERR_RESOURCE_EXHAUSTED, "zstd: no memory");
		(void)ZSTD_DCtx_setParameter(in->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG);
	}
	*ret = TAKE(in);
	return 0;
}

void
inflate_close(struct inflate **in)
{
	if (*in == NULL)
		return;
	free((*in)->gzip);
	(void)ZSTD_freeDStream((*in)->zstd);
	free(*in);
	*in = NULL;
}

/* Behind the last member: zeros are padding (tape habits), anything else is not ours to ignore. */
static int
only_zeros(struct inflate *in, struct err *e)
{
	while (!in->eof) {
		for (; in->at < in->end; in->at++, in->offset++)
			if (in->input[in->at] != 0)
				return err_set(e, ERR_DATA_LOSS,
				    "gzip: bytes behind the end of the stream at offset %llu",
				    (unsigned long long)in->offset);
		if (refill(in, e) < 0)
			return -(int)e->code;
	}
	return 0;
}

/* At a member's start. Returns 1 when one begins here, 0 at the end. */
static int
gzip_member(struct inflate *in, struct err *e)
{
	if (in->at == in->end && refill(in, e) < 0)
		return -(int)e->code;
	if (in->eof)
		return 0;
	if (in->input[in->at] != 0x1f && in->any)
		return only_zeros(in, e);
	isal_inflate_reset(in->gzip);
	in->gzip->crc_flag = ISAL_GZIP;
	in->between = false;
	return 1;
}

static int
gzip_read(struct inflate *in, void *to, size_t size, size_t *ret_n, struct err *e)
{
	struct inflate_state *st = in->gzip;

	st->next_out = to;
	st->avail_out = (uint32_t)size;
	while (st->avail_out > 0) {
		uint32_t was_out = st->avail_out, was_in;
		int r;

		if (in->between) {
			r = gzip_member(in, e);
			if (r < 0)
				return r;
			if (r == 0)
				break;
		}
		if (in->at == in->end && refill(in, e) < 0)
			return -(int)e->code;
		st->next_in = in->input + in->at;
		st->avail_in = was_in = (uint32_t)(in->end - in->at);
		r = isal_inflate(st);
		in->at = in->end - st->avail_in;
		in->offset += was_in - st->avail_in;
		if (r < 0)
			return err_set(e, ERR_DATA_LOSS,
			    "gzip: damaged near offset %llu (igzip error %d)",
			    (unsigned long long)in->offset, r);
		if (st->block_state == ISAL_BLOCK_FINISH) {
			in->between = in->any = true;
			continue;
		}
		if (in->eof && st->avail_out == was_out)
			return err_set(e, ERR_DATA_LOSS, "gzip: cut short at offset %llu",
			    (unsigned long long)in->offset);
	}
	*ret_n = size - st->avail_out;
	return 0;
}

static int
zstd_read(struct inflate *in, void *to, size_t size, size_t *ret_n, struct err *e)
{
	ZSTD_outBuffer out = { .dst = to, .size = size };

	while (out.pos < out.size) {
		ZSTD_inBuffer src;
		size_t was = out.pos, r;

		if (in->at == in->end && refill(in, e) < 0)
			return -(int)e->code;
		if (in->eof && in->between)
			break;
		src = (ZSTD_inBuffer){ .src = in->input + in->at, .size = in->end - in->at };
		r = ZSTD_decompressStream(in->zstd, &out, &src);
		in->at += src.pos;
		in->offset += src.pos;
		if (ZSTD_isError(r)) {
			bool big = ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge;

			return err_set(e, big ? ERR_RESOURCE_EXHAUSTED : ERR_DATA_LOSS,
			    "zstd: %s near offset %llu", ZSTD_getErrorName(r),
			    (unsigned long long)in->offset);
		}
		in->between = r == 0;
		if (in->eof && !in->between && out.pos == was)
			return err_set(e, ERR_DATA_LOSS, "zstd: cut short at offset %llu",
			    (unsigned long long)in->offset);
	}
	*ret_n = out.pos;
	return 0;
}

static int
plain_read(struct inflate *in, void *to, size_t size, size_t *ret_n, struct err *e)
{
	size_t n;

	if (in->at == in->end && refill(in, e) < 0)
		return -(int)e->code;
	n = in->end - in->at < size ? in->end - in->at : size;
	memcpy(to, in->input + in->at, n);
	in->at += n;
	in->offset += n;
	*ret_n = n;
	return 0;
}

int
inflate_read(struct inflate *in, void *to, size_t size, size_t *ret_n, struct err *e)
{
	switch (in->form) {
	case FORM_GZIP:
		return gzip_read(in, to, size, ret_n, e);
	case FORM_ZSTD:
		return zstd_read(in, to, size, ret_n, e);
	case FORM_PLAIN:
		break;
	}
	return plain_read(in, to, size, ret_n, e);
}

uint64_t
inflate_offset(const struct inflate *in)
{
	return in->offset;
}

const char *
inflate_form(const struct inflate *in)
{
	static const char *const names[] = {
		[FORM_PLAIN] = "tar", [FORM_GZIP] = "gzip", [FORM_ZSTD] = "zstd"
	};

	return names[in->form];
}
