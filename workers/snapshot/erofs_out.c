/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_out - see erofs_impl.h: pieces of any size, written as few large ones. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "workers/snapshot/erofs_impl.h"

int
erofs_write_at(int fd, const void *p, size_t n, uint64_t at, struct err *e)
{
	return fs_write_all_at(fd, p, n, at) < 0 ? err_sys(e, errno, "write") : 0;
}

int
erofs_out_flush(struct erofs_out *o, struct err *e)
{
	int r = erofs_write_at(o->fd, o->buf, o->n, o->at, e);

	if (r < 0)
		return r;
	/* The disk starts now: there is less to wait for at the end. */
	(void)sync_file_range(o->fd, (off_t)o->at, (off_t)o->n, SYNC_FILE_RANGE_WRITE);
	o->at += o->n;
	o->n = 0;
	return 0;
}

int
erofs_out_put(struct erofs_out *o, const void *p, size_t n, struct err *e)
{
	const char *from = p;

	o->total += n;
	while (n > 0) {
		size_t part = EROFS_OUT - o->n < n ? EROFS_OUT - o->n : n;

		memcpy(o->buf + o->n, from, part);
		o->n += part;
		from += part;
		n -= part;
		if (o->n == EROFS_OUT && erofs_out_flush(o, e) < 0)
			return -(int)e->code;
	}
	return 0;
}

int
erofs_out_zeros(struct erofs_out *o, size_t n, struct err *e)
{
	static const char zeros[EROFS_BLOCK];
	int r = 0;

	for (; r == 0 && n > sizeof(zeros); n -= sizeof(zeros))
		r = erofs_out_put(o, zeros, sizeof(zeros), e);
	return r < 0 ? r : erofs_out_put(o, zeros, n, e);
}

int
erofs_out_align(struct erofs_out *o, struct err *e)
{
	return erofs_out_zeros(o, (size_t)(-erofs_out_at(o) % EROFS_BLOCK), e);
}

int
erofs_out_seek(struct erofs_out *o, uint64_t at, struct err *e)
{
	int r = at == erofs_out_at(o) ? 0 : erofs_out_flush(o, e);

	if (r == 0 && at != erofs_out_at(o))
		o->at = at;
	return r;
}
