/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_folders - see erofs_impl.h: what is written when the last entry is known.
 *
 * First every folder that is there gets its place (an entry needs the nid of what it names): whole
 * blocks of entries one folder behind the other, then the inodes with what is left of the entries. Then
 * both rows are written, each from its beginning to its end.
 */
#include <endian.h>
#include <errno.h>
#include <isa-l/crc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/erofs_impl.h"

#define OPAQUE_NAME "overlay.opaque"
#define PREFIX_TRUSTED 4
#define SUPER_SUM (EROFS_BLOCK > EROFS_SUPER_AT ? EROFS_BLOCK - EROFS_SUPER_AT : EROFS_BLOCK)
#define NAMES_MAX (EROFS_BLOCK / (sizeof(struct erofs_dirent) + 1))

/* --- what folders there are ---------------------------------------------------------------------- */

struct listing {
	struct erofs_image *im;
	struct erofs_folder *last; /* new ones go behind it */
};

static bool
is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void
list_name(void *arg, const struct erofs_name *name)
{
	struct listing *l = arg;
	struct erofs_folder *f = (struct erofs_folder *)name->node;

	if (name->node->nlink++ == 0 && !name->node->placed)
		l->im->usage.inodes++;
	if (name->node->type != EROFS_FOLDER || is_dots(name->text))
		return;
	f->next = l->last->next;
	l->last->next = f;
	l->last = f;
}

/* Makes the list im->root->next..., and counts names. */
static void
list_folders(struct erofs_image *im)
{
	im->usage.inodes = im->loaded;
	for (struct erofs_folder *f = im->folders; f != NULL; f = f->all)
		f->next = NULL;
	for (struct erofs_folder *f = im->root; f != NULL; f = f->next) {
		struct listing l = { .im = im, .last = f };

		erofs_names_each(f, list_name, &l);
	}
}

/* --- blocks of entries --------------------------------------------------------------------------- */

/* The block in hand. */
struct packer {
	const struct erofs_name *names[NAMES_MAX];
	unsigned n;
	uint32_t bytes; /* that it takes */
	uint64_t full;	/* blocks before it */
	/* When it is to be written: */
	struct erofs_image *im;
	struct erofs_out *to; /* NULL: only counted */
	struct err *e;
};

static void
block_encode(const struct packer *p, char *block)
{
	uint32_t at = (uint32_t)(p->n * sizeof(struct erofs_dirent));

	for (unsigned i = 0; i < p->n; i++) {
		size_t n = strlen(p->names[i]->text);
		struct erofs_dirent d = { .nid = htole64(erofs_nid(p->im, p->names[i]->node)),
			.name_at = htole16((uint16_t)at),
			.type = p->names[i]->node->type };

		memcpy(block + i * sizeof(d), &d, sizeof(d));
		memcpy(block + at, p->names[i]->text, n);
		at += (uint32_t)n;
	}
}

static void
block_full(struct packer *p)
{
	char block[EROFS_BLOCK] = { 0 };

	p->full++;
	if (p->to != NULL && p->e->code == ERR_NONE) {
		block_encode(p, block);
		(void)erofs_out_put(p->to, block, sizeof(block), p->e); /* kept in p->e */
	}
	p->n = 0;
	p->bytes = 0;
}

static void
pack(void *arg, const struct erofs_name *name)
{
	uint32_t n = (uint32_t)(sizeof(struct erofs_dirent) + strlen(name->text));
	struct packer *p = arg;

	if (p->bytes + n > EROFS_BLOCK)
		block_full(p);
	p->names[p->n++] = name;
	p->bytes += n;
}

/* --- places -------------------------------------------------------------------------------------- */

static size_t
xattrs_bytes(const struct erofs_folder *f)
{
	size_t n = f->nxattrs;

	if (!f->opaque)
		return n;
	if (n == 0)
		n = sizeof(struct erofs_xattrs);
	return n + (sizeof(struct erofs_xattr) + strlen(OPAQUE_NAME) + 1 + 3) / 4 * 4;
}

void
erofs_opaque_split(struct erofs_folder *f)
{
	struct erofs_xattr x = { .name_len = (uint8_t)strlen(OPAQUE_NAME),
		.prefix = PREFIX_TRUSTED,
		.value_len = htole16(1) };
	struct erofs_folder marked = { .opaque = true };
	size_t n = xattrs_bytes(&marked) - sizeof(struct erofs_xattrs);

	f->opaque = f->nxattrs >= sizeof(struct erofs_xattrs) + n &&
		    memcmp(f->xattrs + f->nxattrs - n, &x, sizeof(x)) == 0 &&
		    memcmp(f->xattrs + f->nxattrs - n + sizeof(x), OPAQUE_NAME "y",
			strlen(OPAQUE_NAME) + 1) == 0;
	if (f->opaque)
		f->nxattrs -= n;
	if (f->nxattrs == sizeof(struct erofs_xattrs))
		f->nxattrs = 0;
}

/* How much f's entries take. */
static void
measure(struct erofs_folder *f)
{
	struct packer p = { .to = NULL };

	erofs_names_each(f, pack, &p);
	f->blocks = p.full;
	f->rest = p.bytes;
}

/* Gives f a place for its inode at *at or behind, and lets *at behind it. Entries that don't fit behind
 * the inode become one more block. */
static void
place(struct erofs_folder *f, uint64_t *at)
{
	size_t nxattrs = xattrs_bytes(f);

	f->node.at = *at;
	f->rest_inline = erofs_fits(f->node.at, nxattrs, f->rest);
	if (!f->rest_inline && erofs_fits(0, nxattrs, f->rest) && f->name != NULL) {
		f->node.at = (*at + EROFS_BLOCK - 1) / EROFS_BLOCK * EROFS_BLOCK;
		f->rest_inline = true;
	}
	f->blocks += !f->rest_inline;
	*at = f->node.at + sizeof(struct erofs_inode) + nxattrs + (f->rest_inline ? f->rest : 0);
	*at = (*at + EROFS_SLOT - 1) / EROFS_SLOT * EROFS_SLOT;
}

/* start: of the whole blocks. Returns where the inodes begin, *ret_end where all ends. */
static uint64_t
place_all(struct erofs_image *im, uint64_t start, uint64_t *ret_end)
{
	uint64_t block = start / EROFS_BLOCK, at = EROFS_ROOT_AT, inodes;

	for (struct erofs_folder *f = im->root; f != NULL; f = f->next) {
		measure(f);
		place(f, &at);
		if (f == im->root)
			at = 0;
		f->block = block;
		block += f->blocks;
	}
	inodes = block * EROFS_BLOCK;
	for (struct erofs_folder *f = im->root->next; f != NULL; f = f->next)
		f->node.at += inodes;
	*ret_end = inodes + at;
	return inodes;
}

/* --- writing ------------------------------------------------------------------------------------- */

static int
put_xattrs(const struct erofs_folder *f, struct erofs_out *o, struct err *e)
{
	static const struct erofs_xattrs head;
	struct erofs_xattr x = { .name_len = (uint8_t)strlen(OPAQUE_NAME),
		.prefix = PREFIX_TRUSTED,
		.value_len = htole16(1) };
	size_t n = xattrs_bytes(f) - f->nxattrs;
	int r = erofs_out_put(o, f->xattrs, f->nxattrs, e);

	if (r < 0 || !f->opaque)
		return r;
	if (f->nxattrs == 0) {
		r = erofs_out_put(o, &head, sizeof(head), e);
		n -= sizeof(head);
	}
	if (r == 0)
		r = erofs_out_put(o, &x, sizeof(x), e);
	if (r == 0)
		r = erofs_out_put(o, OPAQUE_NAME "y", strlen(OPAQUE_NAME) + 1, e);
	return r < 0 ? r : erofs_out_zeros(o, n - sizeof(x) - strlen(OPAQUE_NAME) - 1, e);
}

static int
put_inode(const struct erofs_folder *f, struct erofs_out *o, struct err *e)
{
	struct erofs_inode in = erofs_inode(S_IFDIR, &f->meta, xattrs_bytes(f));
	uint64_t whole = f->blocks - !f->rest_inline;
	int r;

	if (f->rest_inline)
		in.format = htole16(EROFS_EXTENDED | EROFS_INLINE << 1);
	in.size = htole64(whole * EROFS_BLOCK + f->rest);
	in.where = htole32((uint32_t)f->block);
	in.ino = htole32((uint32_t)(f->node.at / EROFS_SLOT));
	in.nlink = htole32(f->node.nlink);
	r = erofs_out_zeros(o, (size_t)(f->node.at - erofs_out_at(o)), e);
	if (r == 0)
		r = erofs_out_put(o, &in, sizeof(in), e);
	return r < 0 ? r : put_xattrs(f, o, e);
}

static int
put_folder(
    struct erofs_image *im, const struct erofs_folder *f, struct erofs_out *inodes, struct err *e)
{
	struct packer p = { .im = im, .to = &im->out, .e = e };
	char block[EROFS_BLOCK] = { 0 };

	erofs_names_each(f, pack, &p);
	if (e->code != ERR_NONE || put_inode(f, inodes, e) < 0)
		return -(int)e->code;
	block_encode(&p, block);
	return f->rest_inline ? erofs_out_put(inodes, block, f->rest, e)
			      : erofs_out_put(&im->out, block, sizeof(block), e);
}

/* Inodes were written when they had one name. */
struct linked {
	struct erofs_image *im;
	struct err *e;
};

static void
fix_nlink(void *arg, const struct erofs_name *name)
{
	const struct linked *l = arg;
	uint64_t at;
	uint32_t n;

	if (name->node->type == EROFS_FOLDER || name->node->placed || name->node->nlink < 2 ||
	    l->e->code != ERR_NONE)
		return;
	at = erofs_nid(l->im, name->node) * EROFS_SLOT + offsetof(struct erofs_inode, nlink);
	n = htole32(name->node->nlink);
	name->node->nlink = 0;					  /* done */
	(void)erofs_write_at(l->im->fd, &n, sizeof(n), at, l->e); /* kept in l->e */
}

/* Names the image: until now it was none. */
static int
put_super(struct erofs_image *im, uint64_t blocks, struct err *e)
{
	unsigned char head[EROFS_SUPER_AT + SUPER_SUM] = { 0 };
	struct erofs_super s = { .magic = htole32(EROFS_MAGIC),
		.compat = htole32(EROFS_COMPAT_CHECKSUM | EROFS_COMPAT_MTIME),
		.block_bits = EROFS_BLOCK_BITS,
		.root_nid = htole16(EROFS_ROOT_AT / EROFS_SLOT),
		.inodes = htole64(im->usage.inodes),
		.blocks = htole32((uint32_t)blocks),
		.incompat = htole32(im->chunked ? EROFS_INCOMPAT_CHUNKED : 0) };

	memcpy(s.uuid, im->uuid, sizeof(s.uuid));
	if (pread(im->fd, head, sizeof(head), 0) < 0) /* the root is in it */
		return err_sys(e, errno, "read");
	memcpy(head + EROFS_SUPER_AT, &s, sizeof(s));
	s.checksum = htole32(crc32_iscsi(head + EROFS_SUPER_AT, SUPER_SUM, ~0u));
	memcpy(head + EROFS_SUPER_AT, &s, sizeof(s));
	if (ftruncate(im->fd, (off_t)(blocks * EROFS_BLOCK)) < 0)
		return err_sys(e, errno, "set size");
	return erofs_write_at(im->fd, head, sizeof(head), 0, e);
}

int
erofs_folders_write(struct erofs_image *im, struct err *e)
{
	struct erofs_out inodes = { .fd = im->fd, .buf = im->segment, .at = EROFS_ROOT_AT };
	struct linked l = { .im = im, .e = e };
	uint64_t start, end;
	int r = 0;

	list_folders(im);
	start = place_all(im, erofs_out_at(&im->out), &end);
	end = (end + EROFS_BLOCK - 1) / EROFS_BLOCK;
	if (!erofs_fits(EROFS_ROOT_AT, 0, xattrs_bytes(im->root)))
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "%zu bytes of attributes of the root folder: too many for an EROFS image",
		    xattrs_bytes(im->root));
	if (end >= EROFS_HOLE)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "an EROFS image has at most 2^32 blocks");
	for (struct erofs_folder *f = im->root; r == 0 && f != NULL; f = f->next) {
		r = put_folder(im, f, &inodes, e);
		if (r == 0 && f == im->root)
			r = erofs_out_seek(&inodes, start, e);
	}
	if (r < 0 || erofs_out_flush(&inodes, e) < 0 || erofs_out_flush(&im->out, e) < 0)
		return -(int)e->code;
	im->usage.bytes = (inodes.total + im->out.total + EROFS_BLOCK - 1) / EROFS_BLOCK *
			  EROFS_BLOCK;
	for (struct erofs_folder *f = im->root; f != NULL; f = f->next)
		erofs_names_each(f, fix_nlink, &l);
	return e->code != ERR_NONE ? -(int)e->code : put_super(im, end, e);
}
