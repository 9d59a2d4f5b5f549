/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_inflate - blobs in whatever form: what comes out does not depend on how it is asked for, gzip and zlib
 * agree, and damage is an error.
 *
 * First byte 0: the rest is a blob. 1: it is packed by zlib, 2: by zstd; 3: gzip, its trailer made right
 * when zlib can read what is before that. For 1 and 2: two bytes say where which bits are turned.
 */
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "tests/fuzz/fuzz.h"
#include "workers/snapshot/inflate.h"

#define OUT_MAX (1 << 20)
#define GZIP 31 /* window bits, and gzip's frame */

/* All that comes of the blob, asked for in pieces. Returns what it ended with. */
static int
read_all(int fd, size_t piece, struct buf *out)
{
	AUTO(inflate_close) struct inflate *in = NULL;
	struct err e = ERR_ZERO;
	size_t got = 1;
	int r;

	MUST(lseek(fd, 0, SEEK_SET) == 0);
	r = inflate_open(fd, NULL, &in, &e);
	while (r == 0 && got > 0 && out->len < OUT_MAX) {
		got = 0;
		r = inflate_read(in, buf_room(out, piece), piece, &got, &e);
		MUST(got <= piece);
		out->len += got;
	}
	MUST(r == 0 || (e.code != ERR_NONE && e.msg[0] != '\0'));
	return r;
}

/* What zlib makes of one member that is all of the blob; false when it is not that. */
static bool
zlib_read(const void *p, size_t n, struct buf *out)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)n };
	int r = inflateInit2(&z, GZIP);

	MUST(r == Z_OK);
	while (r == Z_OK && out->len < OUT_MAX) {
		z.next_out = buf_room(out, 65536);
		z.avail_out = 65536;
		r = inflate(&z, Z_NO_FLUSH);
		out->len += 65536 - z.avail_out;
	}
	(void)inflateEnd(&z);
	return r == Z_STREAM_END && z.avail_in == 0 && out->len < OUT_MAX;
}

static void
try(const void *p, size_t n)
{
	AUTO(fd_close) int fd = memfd_create("blob", MFD_CLOEXEC);
	AUTO(buf_free) struct buf a = BUF_ZERO;
	AUTO(buf_free) struct buf b = BUF_ZERO;
	AUTO(buf_free) struct buf z = BUF_ZERO;
	int one, two;

	MUST(fd >= 0 && fs_write_all(fd, p, n) == 0);
	one = read_all(fd, 65536, &a);
	two = read_all(fd, 37 + n % 4000, &b);
	if (a.len >= OUT_MAX || b.len >= OUT_MAX)
		return;
	MUST(one == two);
	if (one == 0)
		MUST(a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0));
	if (n > 2 && memcmp(p, "\x1f\x8b\x08", 3) == 0 && zlib_read(p, n, &z))
		MUST(one == 0 && a.len == z.len &&
		     (a.len == 0 || memcmp(a.data, z.data, a.len) == 0));
}

static void
pack_gzip(const void *p, size_t n, struct buf *out)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)n };
	size_t room;

	MUST(deflateInit2(&z, (int)(n % 10), Z_DEFLATED, GZIP, 8, (int)(n % 5)) == Z_OK);
	room = deflateBound(&z, n) + 32;
	z.next_out = buf_room(out, room);
	z.avail_out = (uInt)room;
	MUST(deflate(&z, Z_FINISH) == Z_STREAM_END);
	out->len += room - z.avail_out;
	(void)deflateEnd(&z);
}

static void
pack_zstd(const void *p, size_t n, struct buf *out)
{
	size_t room = ZSTD_compressBound(n), r;

	r = ZSTD_compress(buf_room(out, room), room, p, n, (int)(n % 4) + 1);
	MUST(!ZSTD_isError(r));
	out->len += r;
}

/* Packed once or, to have several members, twice; a byte of it is changed where the first two say. */
static void
packed(const uint8_t *p, size_t n)
{
	void (*pack)(const void *, size_t, struct buf *) = p[0] == 1 ? pack_gzip : pack_zstd;
	AUTO(buf_free) struct buf out = BUF_ZERO;

	pack(p + 3, n - 3, &out);
	if (n % 3 == 0)
		pack(p + 3, n / 3, &out);
	out.data[(size_t)p[1] * 7 % out.len] ^= (char)p[2];
	try(out.data, out.len);
}

static void
put32(uint8_t *p, unsigned long v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* gzip's ten bytes, then the input as a raw stream, then the trailer that it ought to have. */
static void
raw(const uint8_t *p, size_t n)
{
	AUTO(buf_free) struct buf blob = BUF_ZERO;
	AUTO(buf_free) struct buf out = BUF_ZERO;
	uint8_t trailer[8];
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)n };

	MUST(inflateInit2(&z, -15) == Z_OK);
	z.next_out = buf_room(&out, OUT_MAX);
	z.avail_out = OUT_MAX;
	(void)inflate(&z, Z_FINISH); /* whatever it is */
	out.len = OUT_MAX - z.avail_out;
	put32(trailer, crc32(0, (const Bytef *)out.data, (uInt)out.len));
	put32(trailer + 4, out.len);
	(void)buf_add(&blob, "\x1f\x8b\x08\0\0\0\0\0\0\3", 10); /* no limit */
	(void)buf_add(&blob, p, n - z.avail_in);
	(void)buf_add(&blob, trailer, sizeof(trailer));
	(void)inflateEnd(&z);
	try(blob.data, blob.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 4 || n > 65536)
		return 0;
	if (data[0] == 1 || data[0] == 2)
		packed(data, n);
	else if (data[0] == 3)
		raw(data + 1, n - 1);
	else
		try(data + 1, n - 1);
	return 0;
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	static const char text[] = "a layer is a layer is a layer, and 0123456789 are digits";
	static const char skippable[] = "\0\x50\x2a\x4d\x18\3\0\0\0abc";
	AUTO(buf_free) struct buf gzip = BUF_ZERO;
	AUTO(buf_free) struct buf zstd = BUF_ZERO;
	AUTO(buf_free) struct buf plain = BUF_ZERO;

	(void)buf_add(&gzip, "", 1); /* no limit, here and below */
	pack_gzip(text, sizeof(text), &gzip);
	seed(arg, gzip.data, gzip.len);
	pack_gzip(text, 9, &gzip);
	seed(arg, gzip.data, gzip.len);
	(void)buf_add(&gzip, "\0\0\0", 3);
	seed(arg, gzip.data, gzip.len);
	(void)buf_add(&zstd, skippable, sizeof(skippable) - 1);
	pack_zstd(text, sizeof(text), &zstd);
	seed(arg, zstd.data, zstd.len);
	for (char how = 1; how <= 3; how++) {
		plain.len = 0;
		(void)buf_add(&plain, &how, 1);
		(void)buf_add(&plain, "\0\0", 2);
		(void)buf_add(&plain, text, sizeof(text));
		seed(arg, plain.data, plain.len);
	}
}
