/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_image - see erofs_image.h: the entries of a layer, and inodes of all but folders. */
#include "workers/snapshot/erofs_image.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/erofs_impl.h"

#define LINK_MAX_BYTES (PATH_MAX - 1)
#define CHUNKS_MAX 4096u
#define HOLE_MIN (64u << 10) /* shorter ones are zeros */
#define INLINE_MAX 2048	     /* a longer rest of a file gets a block: two never share one anyway */

static const struct sink_ops ops;

static struct erofs_image *
image_of(struct sink *s)
{
	return (struct erofs_image *)s; /* its first member */
}

struct sink *
erofs_image_sink(struct erofs_image *im)
{
	return &im->sink;
}

int
erofs_image_new(int dir, size_t held_max, struct erofs_image **ret, struct err *e)
{
	int fd = openat(dir, EROFS_IMAGE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, errno, "make %s", EROFS_IMAGE_NAME);
	return erofs_image_on(dir, fd, held_max, ret, e);
}

int
erofs_image_on(int dir, int take_fd, size_t held_max, struct erofs_image **ret, struct err *e)
{
	AUTO(erofs_image_free) struct erofs_image *im = xcalloc(1, sizeof(*im));

	*im = (struct erofs_image){
		.sink = { .ops = &ops }, .dir = dir, .fd = take_fd, .held_max = held_max
	};
	im->out = (struct erofs_out){ .fd = im->fd,
		.buf = xcalloc(1, EROFS_OUT),
		.at = EROFS_ROOT_AT / EROFS_BLOCK * EROFS_BLOCK + EROFS_BLOCK };
	im->segment = xcalloc(1, EROFS_OUT);
	if (erofs_folder_new(im, NULL, NULL, &im->root, e) < 0)
		return -(int)e->code;
	*ret = TAKE(im);
	return 0;
}

static void
keep(void *name)
{
	(void)name; /* the arena's */
}

void
erofs_image_free(struct erofs_image **im)
{
	if (*im == NULL)
		return;
	for (struct erofs_folder *f = (*im)->folders; f != NULL; f = f->all)
		tdestroy(f->names, keep);
	arena_free(&(*im)->arena);
	fd_close(&(*im)->fd);
	free((*im)->out.buf);
	free((*im)->segment);
	free((*im)->segments);
	free((*im)->file.chunks);
	buf_free(&(*im)->xattrs);
	free(*im);
	*im = NULL;
}

/* --- inodes -------------------------------------------------------------------------------------- */

uint64_t
erofs_nid(const struct erofs_image *im, const struct erofs_node *n)
{
	if (n->type == EROFS_FOLDER || n->placed)
		return n->at / EROFS_SLOT;
	return (im->segments[n->at / EROFS_OUT] + n->at % EROFS_OUT) / EROFS_SLOT;
}

/* Writes the segment in hand. */
static int
segment_end(struct erofs_image *im, struct err *e)
{
	int r = erofs_out_align(&im->out, e);

	if (r < 0 || im->nsegment == 0)
		return r;
	im->segments = xrealloc(im->segments, (im->nsegments + 1) * sizeof(*im->segments));
	im->segments[im->nsegments++] = erofs_out_at(&im->out);
	r = erofs_out_put(&im->out, im->segment, im->nsegment, e);
	im->nsegment = 0;
	return r < 0 ? r : erofs_out_align(&im->out, e);
}

/* Puts an inode with its attributes (im->xattrs) and what stands behind them into the segment; tail: it
 * may not cross a block's end. */
static int
inode_put(struct erofs_image *im, struct erofs_node *node, struct erofs_inode *in, const void *more,
    size_t nmore, bool tail, struct err *e)
{
	size_t at = (im->nsegment + EROFS_SLOT - 1) / EROFS_SLOT * EROFS_SLOT;
	size_t n = sizeof(*in) + im->xattrs.len + nmore;

	if (tail && !erofs_fits(at, im->xattrs.len, nmore))
		at = (at + EROFS_BLOCK - 1) / EROFS_BLOCK * EROFS_BLOCK;
	if (at + n > EROFS_OUT) {
		if (segment_end(im, e) < 0)
			return -(int)e->code;
		at = 0;
	}
	memset(im->segment + im->nsegment, 0, at - im->nsegment);
	node->at = (uint64_t)im->nsegments * EROFS_OUT + at;
	in->ino = htole32((uint32_t)(node->at / EROFS_SLOT + 1));
	memcpy(im->segment + at, in, sizeof(*in));
	memcpy(im->segment + at + sizeof(*in), buf_str(&im->xattrs), im->xattrs.len);
	if (nmore > 0)
		memcpy(im->segment + at + sizeof(*in) + im->xattrs.len, more, nmore);
	im->nsegment = at + n;
	return 0;
}

/* A link's target stands behind its inode, or in blocks of its own when its attributes are in the way. */
static int
link_inode(struct erofs_image *im, struct erofs_link *l, const struct layer_meta *m, struct err *e)
{
	size_t n = strlen(l->target);
	struct erofs_inode in;
	bool tail;

	if (erofs_xattrs(im, S_IFLNK, m, e) < 0)
		return -(int)e->code;
	in = erofs_inode(S_IFLNK | 0777, m, im->xattrs.len);
	in.mode = htole16(S_IFLNK | 0777);
	in.size = htole64(n);
	tail = erofs_fits(0, im->xattrs.len, n);
	if (tail) {
		in.format = htole16(EROFS_EXTENDED | EROFS_INLINE << 1);
	} else {
		in.where = htole32((uint32_t)(erofs_out_at(&im->out) / EROFS_BLOCK));
		if (erofs_out_put(&im->out, l->target, n, e) < 0 ||
		    erofs_out_align(&im->out, e) < 0)
			return -(int)e->code;
	}
	return inode_put(im, &l->node, &in, l->target, tail ? n : 0, true, e);
}

/* --- entries ------------------------------------------------------------------------------------- */

/* Finds the place for a new entry; the root can't be replaced. */
static int
place(struct erofs_image *im, const char *path, struct erofs_at *at, struct err *e)
{
	if (*path == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "would replace the root folder");
	return erofs_at(im, path, at, e);
}

static int
root_or_folder(struct erofs_image *im, const char *path, struct erofs_folder **ret, struct err *e)
{
	struct erofs_node *n;
	struct erofs_at at;
	bool opaque;

	*ret = im->root;
	if (*path == '\0')
		return 0;
	if (erofs_at(im, path, &at, e) < 0)
		return -(int)e->code;
	n = erofs_lookup(&at);
	*ret = (struct erofs_folder *)n;
	if (n != NULL && n->type == EROFS_FOLDER)
		return 0;
	opaque = n != NULL && n->whiteout;
	if (erofs_folder_new(im, at.folder, at.name, ret, e) < 0)
		return -(int)e->code;
	(*ret)->opaque = opaque;
	return 0;
}

int
erofs_folder_like(
    struct erofs_image *im, struct erofs_folder *f, const struct layer_meta *m, struct err *e)
{
	if (erofs_xattrs(im, S_IFDIR, m, e) < 0)
		return -(int)e->code;
	f->meta = *m;
	f->nxattrs = im->xattrs.len;
	f->xattrs = arena_memdup(&im->arena, im->xattrs.data, im->xattrs.len);
	return erofs_held(im, e);
}

static int
put_folder(struct sink *s, const char *path, const struct layer_meta *m, struct err *e)
{
	struct erofs_image *im = image_of(s);
	struct erofs_folder *f;

	if (root_or_folder(im, path, &f, e) < 0)
		return -(int)e->code;
	im->nimplied -= f->implied;
	f->implied = false;
	return erofs_folder_like(im, f, m, e);
}

static int
put_symlink(
    struct sink *s, const char *path, const char *target, const struct layer_meta *m, struct err *e)
{
	struct erofs_image *im = image_of(s);
	size_t n = strlen(target);
	struct erofs_link *l;
	struct erofs_at at;

	if (place(im, path, &at, e) < 0)
		return -(int)e->code;
	if (n == 0 || n > LINK_MAX_BYTES)
		return err_set(e, ERR_INVALID_ARGUMENT, "a link to %s",
		    n == 0 ? "nothing" : "a name that is too long");
	l = arena_calloc(&im->arena, 1, sizeof(*l) + n + 1);
	l->node.type = EROFS_LINK;
	memcpy(l->target, target, n);
	if (erofs_name_set(im, &at, &l->node, e) < 0)
		return -(int)e->code;
	return link_inode(im, l, m, e);
}

static int
put_node(struct sink *s, const char *path, mode_t type, dev_t dev, const struct layer_meta *m,
    struct err *e)
{
	struct erofs_image *im = image_of(s);
	struct erofs_node *n = erofs_node_new(im, S_ISCHR(type)	  ? EROFS_CHAR
						  : S_ISBLK(type) ? EROFS_BLOCKDEV
								  : EROFS_FIFO);
	struct erofs_inode in;
	struct erofs_at at;

	if (place(im, path, &at, e) < 0 || erofs_name_set(im, &at, n, e) < 0 ||
	    erofs_xattrs(im, type, m, e) < 0)
		return -(int)e->code;
	in = erofs_inode(type, m, im->xattrs.len);
	in.where = htole32((minor(dev) & 0xff) | major(dev) << 8 | (minor(dev) & ~0xffu) << 12);
	return inode_put(im, n, &in, NULL, 0, false, e);
}

static int
put_link(struct sink *s, const char *path, const char *target, struct err *e)
{
	struct erofs_image *im = image_of(s);
	const char *slash = strrchr(target, '/');
	struct erofs_node *n = NULL;
	struct erofs_at at = { .name = slash == NULL ? target : slash + 1 };
	char dir[PATH_MAX];

	if (*path == '\0' || *target == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "a hard link from or to the root folder");
	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 0 : (int)(slash - target), target);
	if (erofs_resolve(im, dir, false, &at.folder, e) < 0)
		return -(int)e->code;
	n = at.folder == NULL ? NULL : erofs_lookup(&at);
	if (n == NULL || n->whiteout)
		return err_set(e, ERR_NOT_FOUND, "hard link to a file that is not in this layer");
	if (n->type == EROFS_FOLDER)
		return err_set(e, ERR_INVALID_ARGUMENT, "hard link to a folder");
	if (erofs_at(im, path, &at, e) < 0)
		return -(int)e->code;
	return erofs_name_set(im, &at, n, e);
}

/* What the same layer holds stays: only what is below goes. */
static int
put_whiteout(struct sink *s, const char *path, struct err *e)
{
	static const struct layer_meta nothing;
	struct erofs_image *im = image_of(s);
	struct erofs_node *n;
	struct erofs_inode in = erofs_inode(S_IFCHR, &nothing, 0); /* device 0:0 */
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	struct erofs_at at;

	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
	if (erofs_blocked(im, dir))
		return 0;
	if (place(im, path, &at, e) < 0)
		return -(int)e->code;
	n = erofs_lookup(&at);
	if (n != NULL && n->type == EROFS_FOLDER)
		((struct erofs_folder *)n)->opaque = true;
	if (n != NULL)
		return 0;
	n = erofs_node_new(im, EROFS_CHAR);
	n->whiteout = true;
	im->xattrs.len = 0;
	if (erofs_name_set(im, &at, n, e) < 0)
		return -(int)e->code;
	return inode_put(im, n, &in, NULL, 0, false, e);
}

static int
put_opaque(struct sink *s, const char *path, struct err *e)
{
	struct erofs_image *im = image_of(s);
	struct erofs_folder *f;

	if (*path == '\0') {
		im->usage.opaque_root = true; /* overlayfs has no such mark for a root */
		return 0;
	}
	if (erofs_blocked(im, path))
		return 0;
	if (erofs_resolve(im, path, true, &f, e) < 0)
		return -(int)e->code;
	f->opaque = true;
	return 0;
}

/* --- files --------------------------------------------------------------------------------------- */

static int
put_file(struct sink *s, const char *path, uint64_t size, struct err *e)
{
	struct erofs_image *im = image_of(s);
	struct erofs_file *f = &im->file;
	uint32_t rest = (uint32_t)(size % EROFS_BLOCK);
	struct erofs_at at;

	if (place(im, path, &at, e) < 0)
		return -(int)e->code;
	f->node = erofs_node_new(im, EROFS_FILE);
	f->size = size;
	f->end = 0;
	f->at = erofs_out_at(&im->out);
	f->nrest = rest <= INLINE_MAX ? rest : 0;
	memset(f->rest, 0, f->nrest);
	f->chunk_bits = 0;
	return erofs_name_set(im, &at, f->node, e);
}

static uint64_t
file_whole(const struct erofs_file *f)
{
	return f->size - f->nrest;
}

/* Behind the last block that chunk k of the file takes. */
static uint64_t
chunk_end(const struct erofs_file *f, uint64_t k)
{
	uint64_t end = (f->size + EROFS_BLOCK - 1) / EROFS_BLOCK * EROFS_BLOCK;

	return (k + 1) << f->chunk_bits < end ? (k + 1) << f->chunk_bits : end;
}

/* From now on the file is one of chunks; what came so far becomes its first ones. */
static int
chunks_begin(struct erofs_image *im, struct err *e)
{
	struct erofs_file *f = &im->file;
	uint64_t n;

	if (f->size >> (EROFS_BLOCK_BITS + 31) != 0)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "a file with holes of %llu bytes",
		    (unsigned long long)f->size);
	f->chunk_bits = EROFS_BLOCK_BITS;
	while ((f->size - 1) >> f->chunk_bits >= CHUNKS_MAX)
		f->chunk_bits++;
	n = ((f->size - 1) >> f->chunk_bits) + 1;
	f->nrest = 0;
	f->nchunks = (uint32_t)n;
	f->chunks = xrealloc(f->chunks, CHUNKS_MAX * sizeof(*f->chunks));
	for (uint64_t k = 0; k < n; k++)
		f->chunks[k] = k << f->chunk_bits < f->end
				   ? htole32(
					 (uint32_t)((f->at + (k << f->chunk_bits)) / EROFS_BLOCK))
				   : EROFS_HOLE;
	f->next = f->end == 0 ? f->at : f->at + chunk_end(f, (f->end - 1) >> f->chunk_bits);
	return 0;
}

static int
chunks_put(struct erofs_image *im, const char *p, size_t n, uint64_t at, struct err *e)
{
	struct erofs_file *f = &im->file;

	while (n > 0) {
		uint64_t k = at >> f->chunk_bits, start = k << f->chunk_bits, end = chunk_end(f, k);
		size_t part = end - at < n ? (size_t)(end - at) : n;
		uint64_t to;

		if (f->chunks[k] == EROFS_HOLE) {
			f->chunks[k] = htole32((uint32_t)(f->next / EROFS_BLOCK));
			f->next += end - start;
		}
		to = (uint64_t)le32toh(f->chunks[k]) * EROFS_BLOCK + (at - start);
		if (erofs_out_seek(&im->out, to, e) < 0 || erofs_out_put(&im->out, p, part, e) < 0)
			return -(int)e->code;
		p += part;
		n -= part;
		at += part;
	}
	return 0;
}

/* A hole up to at. */
static int
file_gap(struct erofs_image *im, uint64_t at, struct err *e)
{
	struct erofs_file *f = &im->file;
	uint64_t whole = file_whole(f);

	if (f->chunk_bits != 0 || f->end >= whole)
		return 0; /* what lies behind the inode is zeros to begin with */
	if (at - f->end >= HOLE_MIN)
		return chunks_begin(im, e);
	return erofs_out_zeros(&im->out, (size_t)((at < whole ? at : whole) - f->end), e);
}

static int
put_data(struct sink *s, const void *p, size_t n, uint64_t at, struct err *e)
{
	struct erofs_image *im = image_of(s);
	struct erofs_file *f = &im->file;
	const char *from = p;
	uint64_t whole;
	size_t part = 0;

	if (at > f->end && file_gap(im, at, e) < 0)
		return -(int)e->code;
	f->end = at + n;
	if (f->chunk_bits != 0)
		return chunks_put(im, p, n, at, e);
	whole = file_whole(f);
	if (at < whole)
		part = whole - at < n ? (size_t)(whole - at) : n;
	if (part < n)
		memcpy(f->rest + (at + part - whole), from + part, n - part);
	return erofs_out_put(&im->out, from, part, e);
}

/* What does not stand behind the inode ends at a block's end. */
static int
file_end(struct erofs_image *im, struct err *e)
{
	struct erofs_file *f = &im->file;
	int r = f->end < f->size ? file_gap(im, f->size, e) : 0;

	if (r < 0)
		return r;
	if (f->chunk_bits != 0)
		return erofs_out_seek(&im->out, f->next, e);
	if (!erofs_fits(0, im->xattrs.len, f->nrest)) {
		if (erofs_out_put(&im->out, f->rest, f->nrest, e) < 0)
			return -(int)e->code;
		f->nrest = 0;
	}
	return erofs_out_align(&im->out, e);
}

static int
put_file_done(struct sink *s, const struct layer_meta *m, struct err *e)
{
	struct erofs_image *im = image_of(s);
	struct erofs_file *f = &im->file;
	enum erofs_layout layout = EROFS_PLAIN;
	struct erofs_inode in;

	if (erofs_xattrs(im, S_IFREG, m, e) < 0 || file_end(im, e) < 0)
		return -(int)e->code;
	if (erofs_out_at(&im->out) / EROFS_BLOCK >= EROFS_HOLE)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "an EROFS image has at most 2^32 blocks");
	in = erofs_inode(S_IFREG, m, im->xattrs.len);
	in.size = htole64(f->size);
	in.where = htole32((uint32_t)(f->at / EROFS_BLOCK));
	if (f->chunk_bits != 0) {
		layout = EROFS_CHUNKED;
		in.where = htole32(f->chunk_bits - EROFS_BLOCK_BITS);
		im->chunked = true;
	} else if (f->nrest > 0) {
		layout = EROFS_INLINE;
	}
	in.format = htole16((uint16_t)(EROFS_EXTENDED | layout << 1));
	if (layout == EROFS_CHUNKED)
		return inode_put(
		    im, f->node, &in, f->chunks, f->nchunks * sizeof(*f->chunks), false, e);
	return inode_put(im, f->node, &in, f->rest, f->nrest, true, e);
}

/* --- the end ------------------------------------------------------------------------------------- */

int
erofs_image_sync(struct erofs_image *im, struct err *e)
{
	if (fdatasync(im->fd) < 0 || fsync(im->dir) < 0)
		return err_sys(e, errno, "bring the layer to disk");
	return 0;
}

static int
finish(struct sink *s, const struct digest *diff_id, bool sync, struct err *e)
{
	struct erofs_image *im = image_of(s);

	for (unsigned i = 0; i < sizeof(im->uuid); i++) {
		const char *hex = digest_hex(diff_id) + 2 * (size_t)i;

		im->uuid[i] = (uint8_t)strtoul((char[]){ hex[0], hex[1], '\0' }, NULL, 16);
	}
	if (segment_end(im, e) < 0 || erofs_folders_write(im, e) < 0)
		return -(int)e->code;
	return sync ? erofs_image_sync(im, e) : 0;
}

static void
usage(const struct sink *s, struct layer_usage *ret)
{
	*ret = ((const struct erofs_image *)s)->usage;
}

/* The path of f, at the end of to (PATH_MAX bytes); NULL when links led deeper than paths go. */
static const char *
folder_path(const struct erofs_image *im, const struct erofs_folder *f, char *to)
{
	char *at = to + PATH_MAX - 1;

	*at = '\0';
	for (; f != im->root; f = f->parent) {
		size_t n = strlen(f->name), slash = *at != '\0';

		if ((size_t)(at - to) < n + slash)
			return NULL;
		at -= n + slash;
		memcpy(at, f->name, n);
		if (slash)
			at[n] = '/';
	}
	return at;
}

static int
implied(const struct sink *s, struct buf *out)
{
	const struct erofs_image *im = (const struct erofs_image *)s;
	char path[PATH_MAX];

	for (const struct erofs_folder *f = im->root->next; f != NULL; f = f->next) {
		const char *p = f->implied ? folder_path(im, f, path) : NULL;

		if (p != NULL && buf_add(out, p, strlen(p) + 1) < 0)
			return -1;
	}
	return 0;
}

static const struct sink_ops ops = { .folder = put_folder,
	.symlink = put_symlink,
	.node = put_node,
	.file = put_file,
	.data = put_data,
	.file_done = put_file_done,
	.link = put_link,
	.whiteout = put_whiteout,
	.opaque = put_opaque,
	.finish = finish,
	.usage = usage,
	.implied = implied };
