/* SPDX-License-Identifier: Apache-2.0 */
/* layer_out - see layer_out.h */
#include "workers/snapshot/layer_out.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/snapshot/xattrs.h"

#define BLOCK (256 * 1024)
#define HOLES_MIN (1 << 30) /* bytes in holes that make a map worth its while */
#define PIECES_MAX 65536    /* of a sparse file; with more it is written whole */

struct layer_out {
	int fd;
	bool dropped; /* nothing is written any more */
	struct archive *tar;
	struct archive *pack; /* NULL: the tar as it is */
	struct archive_entry *ent;
	struct hasher *tar_hash, *hash;
	uint64_t tar_bytes, bytes;
	struct err below; /* what writing to fd said */
	struct xattrs xattrs;
	char block[BLOCK];
};

/* --- from the tar to the descriptor ---------------------------------------------------------------- */

static la_ssize_t
write_packed(struct archive *a, void *arg, const void *p, size_t n)
{
	struct layer_out *o = arg;

	if (o->dropped) /* not finished, what libarchive still has to say is nobody's */
		return (la_ssize_t)n;
	if (fs_write_all(o->fd, p, n) < 0) {
		(void)err_sys(&o->below, errno, "write the layer");
		archive_set_error(a, EIO, "%s", o->below.msg);
		return -1;
	}
	hasher_add(o->hash, p, n);
	o->bytes += n;
	return (la_ssize_t)n;
}

static la_ssize_t
write_tar(struct archive *a, void *arg, const void *p, size_t n)
{
	struct layer_out *o = arg;

	hasher_add(o->tar_hash, p, n);
	o->tar_bytes += n;
	if (o->pack == NULL)
		return write_packed(a, arg, p, n);
	if (archive_write_data(o->pack, p, n) == (la_ssize_t)n)
		return (la_ssize_t)n;
	archive_set_error(a, EIO, "%s", archive_error_string(o->pack));
	return -1;
}

static int
failed(struct layer_out *o, struct archive *a, struct err *e)
{
	const char *text = archive_error_string(a);

	if (o->below.code != ERR_NONE) {
		*e = o->below;
		return -(int)e->code;
	}
	return err_set(e, archive_errno(a) == ENOMEM ? ERR_RESOURCE_EXHAUSTED : ERR_INTERNAL,
	    "write the layer's tar: %s", text == NULL ? "no reason given" : text);
}

static int
pack_open(struct layer_out *o, enum layer_packing how, struct err *e)
{
	if (how == LAYER_PLAIN)
		return 0;
	o->pack = archive_write_new();
	if (o->pack == NULL)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "no memory to pack a layer");
	archive_entry_set_filetype(o->ent, AE_IFREG);
	/* Neither a time in gzip's header nor blocks that are filled up. */
	if ((how == LAYER_GZIP ? archive_write_add_filter_gzip(o->pack)
			       : archive_write_add_filter_zstd(o->pack)) != ARCHIVE_OK ||
	    archive_write_set_format_raw(o->pack) != ARCHIVE_OK ||
	    (how == LAYER_GZIP && archive_write_set_filter_option(
				      o->pack, "gzip", "timestamp", NULL) != ARCHIVE_OK) ||
	    archive_write_set_bytes_per_block(o->pack, 0) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(o->pack, 1) != ARCHIVE_OK ||
	    archive_write_open(o->pack, o, NULL, write_packed, NULL) != ARCHIVE_OK ||
	    archive_write_header(o->pack, o->ent) != ARCHIVE_OK)
		return failed(o, o->pack, e);
	return 0;
}

static int
tar_open(struct layer_out *o, struct err *e)
{
	if (archive_write_set_format_pax(o->tar) != ARCHIVE_OK ||
	    archive_write_set_format_option(o->tar, "pax", "xattrheader", "SCHILY") != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(o->tar, BLOCK) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(o->tar, 1) != ARCHIVE_OK ||
	    archive_write_open(o->tar, o, NULL, write_tar, NULL) != ARCHIVE_OK)
		return failed(o, o->tar, e);
	return 0;
}

int
layer_out_new(int fd, enum layer_packing how, struct layer_out **ret, struct err *e)
{
	AUTO(layer_out_free) struct layer_out *o = xcalloc(1, sizeof(*o));
	int r;

	o->fd = fd;
	o->tar_hash = hasher_new(DIGEST_SHA256);
	o->hash = hasher_new(DIGEST_SHA256);
	o->tar = archive_write_new();
	o->ent = archive_entry_new();
	if (o->tar == NULL || o->ent == NULL)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "no memory to write a layer");
	if ((r = pack_open(o, how, e)) < 0 || (r = tar_open(o, e)) < 0)
		return r;
	*ret = TAKE(o);
	return 0;
}

void
layer_out_free(struct layer_out **op)
{
	struct layer_out *o = *op;

	if (o == NULL)
		return;
	o->dropped = true;
	if (o->tar != NULL)
		(void)archive_write_free(o->tar);
	if (o->pack != NULL)
		(void)archive_write_free(o->pack);
	archive_entry_free(o->ent);
	hasher_free(&o->tar_hash);
	hasher_free(&o->hash);
	xattrs_free(&o->xattrs);
	free_ptr(op);
}

int
layer_out_finish(struct layer_out *o, struct layer_out_result *ret, struct err *e)
{
	if (archive_write_close(o->tar) != ARCHIVE_OK)
		return failed(o, o->tar, e);
	if (o->pack != NULL && archive_write_close(o->pack) != ARCHIVE_OK)
		return failed(o, o->pack, e);
	hasher_digest(o->tar_hash, &ret->diff_id);
	hasher_digest(o->hash, &ret->digest);
	ret->tar_bytes = o->tar_bytes;
	ret->bytes = o->bytes;
	return 0;
}

/* --- headers --------------------------------------------------------------------------------------- */

/* libarchive writes sign, seconds and fraction one after the other: for -4.75 it has to be told -4 and
 * .75, where the kernel says -5 and .25. */
static void
set_mtime(struct archive_entry *ent, const struct timespec *t)
{
	time_t s = t->tv_sec;
	long ns = t->tv_nsec;

	if (s < -1 && ns > 0) {
		s++;
		ns = 1000000000 - ns;
	} else if (s == -1) {
		ns = 0;
	}
	archive_entry_set_mtime(ent, s, ns);
}

static int
add_xattrs(struct layer_out *o, int dir, const char *name, struct err *e)
{
	int r = xattrs_read(&o->xattrs, dir, name, e);

	/* libarchive turns their order round. */
	for (unsigned i = o->xattrs.n; r == 0 && i > 0; i--) {
		const struct layer_xattr *x = &o->xattrs.v[i - 1];

		archive_entry_xattr_add_entry(o->ent, x->name, x->value, x->n);
	}
	return r;
}

static int
write_header(struct layer_out *o, struct err *e)
{
	int r = archive_write_header(o->tar, o->ent);

	/* A warning is of names that are no UTF-8: they are written as they are. */
	return r != ARCHIVE_OK && r != ARCHIVE_WARN ? failed(o, o->tar, e) : 0;
}

/* --- bytes ----------------------------------------------------------------------------------------- */

static int
put_bytes(struct layer_out *o, size_t n, struct err *e)
{
	const char *p = o->block;

	while (n > 0) {
		la_ssize_t w = archive_write_data(o->tar, p, n);

		if (w <= 0)
			return failed(o, o->tar, e);
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

/* A file that got shorter meanwhile goes on with zeros: its header is written. */
static int
put_range(struct layer_out *o, int fd, off_t from, off_t to, struct err *e)
{
	int r = 0;

	while (r == 0 && from < to) {
		size_t want = to - from < BLOCK ? (size_t)(to - from) : BLOCK;
		ssize_t n = pread(fd, o->block, want, from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read");
		if (n == 0)
			memset(o->block, 0, (size_t)(n = (ssize_t)want));
		r = put_bytes(o, (size_t)n, e);
		from += n;
	}
	return r;
}

/* libarchive wants the bytes of holes, too, and looks at how many there are only. */
static int
put_hole(struct layer_out *o, off_t n, struct err *e)
{
	int r = 0;

	memset(o->block, 0, BLOCK);
	for (; r == 0 && n > 0; n -= BLOCK)
		r = put_bytes(o, n < BLOCK ? (size_t)n : BLOCK, e);
	return r;
}

/* The next piece of data at or behind *from, which becomes its start; its end, or size when there is none. */
static off_t
next_data(int fd, off_t *from, off_t size)
{
	off_t end;

	*from = lseek(fd, *from, SEEK_DATA);
	if (*from < 0 || *from >= size) {
		*from = size;
		return size;
	}
	end = lseek(fd, *from, SEEK_HOLE);
	return end < 0 || end > size ? size : end;
}

/* Gives the entry a map of the file's data, if that is worth its while. */
static void
map_add(struct layer_out *o, int fd, off_t size)
{
	off_t from = 0, end = 0, data = 0;
	unsigned pieces = 0;

	for (; from < size; from = end) {
		end = next_data(fd, &from, size);
		if (from == size)
			break;
		archive_entry_sparse_add_entry(o->ent, from, end - from);
		data += end - from;
		if (++pieces > PIECES_MAX)
			break;
	}
	if (size - data >= HOLES_MIN && pieces <= PIECES_MAX) {
		if (pieces == 0) /* nothing but a hole: its end has to be said */
			archive_entry_sparse_add_entry(o->ent, size, 0);
		return;
	}
	archive_entry_sparse_clear(o->ent);
}

/* Holes are not read. Should the file change meanwhile, what the entry's map says stays right: libarchive goes
 * by places. */
static int
put_data(struct layer_out *o, int fd, off_t size, struct err *e)
{
	off_t at = 0, from = 0, end;
	int r = 0;

	for (; r == 0 && at < size; at = from = end) {
		end = next_data(fd, &from, size);
		r = put_hole(o, from - at, e);
		if (r == 0)
			r = put_range(o, fd, from, end, e);
	}
	return r;
}

static int
put_file(struct layer_out *o, int dir, const char *name, struct err *e)
{
	AUTO(fd_close) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_FAILED_PRECONDITION, "changed while it was read");
	archive_entry_set_size(o->ent, st.st_size);
	if (st.st_size - st.st_blocks * 512 >= HOLES_MIN)
		map_add(o, fd, st.st_size);
	r = write_header(o, e);
	return r < 0 ? r : put_data(o, fd, st.st_size, e);
}

/* --- entries --------------------------------------------------------------------------------------- */

static int
set_target(struct layer_out *o, int dir, const char *name, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return err_sys(e, errno, "read link");
	target[n] = '\0';
	archive_entry_set_symlink(o->ent, target);
	return 0;
}

int
layer_out_put(struct layer_out *o, const char *path, int dir, const char *name,
    const struct stat *st, const char *link, struct err *e)
{
	int r = 0;

	archive_entry_clear(o->ent);
	archive_entry_set_pathname(o->ent, *path == '\0' ? "." : path);
	archive_entry_set_filetype(o->ent, st->st_mode & S_IFMT);
	archive_entry_set_perm(o->ent, st->st_mode & 07777);
	archive_entry_set_uid(o->ent, st->st_uid);
	archive_entry_set_gid(o->ent, st->st_gid);
	set_mtime(o->ent, &st->st_mtim);
	if (link != NULL) {
		archive_entry_set_hardlink(o->ent, link);
		return write_header(o, e);
	}
	archive_entry_set_size(o->ent, 0);
	if (S_ISLNK(st->st_mode))
		r = set_target(o, dir, name, e);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		archive_entry_set_rdevmajor(o->ent, major(st->st_rdev));
		archive_entry_set_rdevminor(o->ent, minor(st->st_rdev));
	}
	if (r == 0)
		r = add_xattrs(o, dir, name, e);
	if (r < 0)
		return r;
	return S_ISREG(st->st_mode) ? put_file(o, dir, name, e) : write_header(o, e);
}

int
layer_out_mark(struct layer_out *o, const char *path, struct err *e)
{
	archive_entry_clear(o->ent);
	archive_entry_set_pathname(o->ent, path);
	archive_entry_set_filetype(o->ent, AE_IFREG);
	archive_entry_set_perm(o->ent, 0);
	archive_entry_set_mtime(o->ent, 0, 0);
	archive_entry_set_size(o->ent, 0);
	return write_header(o, e);
}
