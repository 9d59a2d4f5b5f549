/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_load - an image that was written, taken up again to change its folders (erofs_image_open).
 *
 * What it says was made by a process that had read a hostile archive: every place and length is checked
 * against the file, and the memory that names may take bounds how much there can be of anything.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/erofs_impl.h"

struct loader {
	struct erofs_image *im;
	uint64_t size; /* of the file */
	struct erofs_folder *f;
};

static int
broken(struct err *e)
{
	return err_set(e, ERR_INTERNAL, "the image of the layer is not as it was written");
}

static int
read_at(const struct loader *l, void *to, size_t n, uint64_t at, struct err *e)
{
	ssize_t got;

	if (at > l->size || n > l->size - at)
		return broken(e);
	got = pread(l->im->fd, to, n, (off_t)at);
	if (got < 0)
		return err_sys(e, errno, "read the image");
	return (size_t)got == n ? 0 : broken(e);
}

/* One entry: a folder is put aside to be loaded, of anything else its place is all that is needed. */
static int
load_name(struct loader *l, const struct erofs_dirent *d, const char *text, struct err *e)
{
	struct erofs_at at = { .folder = l->f, .name = text };
	uint64_t place = le64toh(d->nid) * EROFS_SLOT;
	struct erofs_folder *f;
	struct erofs_node *n;

	if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return 0;
	if (le64toh(d->nid) > UINT64_MAX / EROFS_SLOT || text[0] == '\0' ||
	    strchr(text, '/') != NULL || erofs_lookup(&at) != NULL)
		return broken(e);
	if (d->type == EROFS_FOLDER) {
		if (erofs_folder_new(l->im, l->f, text, &f, e) < 0)
			return -(int)e->code;
		f->node.at = place;
		f->next = l->f->next;
		l->f->next = f;
		return 0;
	}
	n = erofs_node_new(l->im, (enum erofs_type)d->type);
	n->placed = true;
	n->at = place;
	return erofs_name_set(l->im, &at, n, e);
}

static int
load_block(struct loader *l, const char *block, size_t size, struct err *e)
{
	struct erofs_dirent d, next;
	char text[NAME_MAX + 1];
	size_t n;

	memcpy(&d, block, sizeof(d));
	n = le16toh(d.name_at) / sizeof(d);
	if (size < sizeof(d) || n == 0 || n * sizeof(d) > size)
		return broken(e);
	for (size_t i = 0; i < n; i++) {
		size_t from, to = size;

		memcpy(&d, block + i * sizeof(d), sizeof(d));
		from = le16toh(d.name_at);
		if (i + 1 < n) {
			memcpy(&next, block + (i + 1) * sizeof(d), sizeof(d));
			to = le16toh(next.name_at);
		}
		if (from > to || to > size || to - from > NAME_MAX)
			return broken(e);
		to = from + strnlen(block + from, to - from); /* zeros follow the last one */
		memcpy(text, block + from, to - from);
		text[to - from] = '\0';
		if (load_name(l, &d, text, e) < 0)
			return -(int)e->code;
	}
	return 0;
}

/* behind: where the inode and its attributes end. */
static int
load_names(struct loader *l, const struct erofs_inode *in, uint64_t behind, struct err *e)
{
	uint64_t size = le64toh(in->size), at = (uint64_t)le32toh(in->where) * EROFS_BLOCK;
	bool tail = (le16toh(in->format) >> 1) == EROFS_INLINE;
	char block[EROFS_BLOCK];

	if (size > l->size)
		return broken(e);
	for (uint64_t done = 0; done < size; done += EROFS_BLOCK) {
		size_t n = size - done < EROFS_BLOCK ? (size_t)(size - done) : EROFS_BLOCK;

		memset(block, 0, sizeof(block));
		if (read_at(l, block, n, tail && n < EROFS_BLOCK ? behind : at + done, e) < 0 ||
		    load_block(l, block, n, e) < 0)
			return -(int)e->code;
	}
	return 0;
}

static int
load_folder(struct loader *l, struct err *e)
{
	struct erofs_folder *f = l->f;
	struct erofs_inode in;
	size_t nxattrs = 0;
	char *xattrs;

	if (read_at(l, &in, sizeof(in), f->node.at, e) < 0)
		return -(int)e->code;
	if (in.xattr_count != 0)
		nxattrs = sizeof(struct erofs_xattrs) + 4 * (le16toh(in.xattr_count) - (size_t)1);
	xattrs = arena_calloc(&l->im->arena, 1, nxattrs);
	if (!S_ISDIR(le16toh(in.mode)) || (le16toh(in.format) & EROFS_EXTENDED) != EROFS_EXTENDED)
		return broken(e);
	if (read_at(l, xattrs, nxattrs, f->node.at + sizeof(in), e) < 0)
		return -(int)e->code;
	f->meta = (struct layer_meta){ .uid = le32toh(in.uid),
		.gid = le32toh(in.gid),
		.mode = le16toh(in.mode) & 07777,
		.mtime = { .tv_sec = (time_t)le64toh(in.mtime), .tv_nsec = le32toh(in.mtime_ns) } };
	f->xattrs = xattrs;
	f->nxattrs = nxattrs;
	erofs_opaque_split(f);
	return load_names(l, &in, f->node.at + sizeof(in) + nxattrs, e);
}

static int
load(struct loader *l, struct err *e)
{
	struct erofs_image *im = l->im;
	struct erofs_super s;
	uint64_t folders = 0;

	if (read_at(l, &s, sizeof(s), EROFS_SUPER_AT, e) < 0)
		return -(int)e->code;
	if (le32toh(s.magic) != EROFS_MAGIC || s.block_bits != EROFS_BLOCK_BITS)
		return broken(e);
	memcpy(im->uuid, s.uuid, sizeof(im->uuid));
	im->chunked = (le32toh(s.incompat) & EROFS_INCOMPAT_CHUNKED) != 0;
	im->root->node.at = EROFS_ROOT_AT;
	for (l->f = im->root; l->f != NULL; l->f = l->f->next, folders++)
		if (load_folder(l, e) < 0)
			return -(int)e->code;
	im->loaded = le64toh(s.inodes) - folders;
	return 0;
}

int
erofs_image_open(int dir, size_t held_max, struct erofs_image **ret, struct err *e)
{
	AUTO(erofs_image_free) struct erofs_image *im = NULL;
	int fd = openat(dir, EROFS_IMAGE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct loader l = { .size = 0 };
	struct stat st;

	if (fd < 0)
		return err_sys(e, errno, "open %s", EROFS_IMAGE_NAME);
	if (erofs_image_on(dir, fd, held_max, &im, e) < 0)
		return -(int)e->code;
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "look at %s", EROFS_IMAGE_NAME);
	l.im = im;
	l.size = im->out.at = (uint64_t)st.st_size;
	if (load(&l, e) < 0)
		return -(int)e->code;
	*ret = TAKE(im);
	return 0;
}
