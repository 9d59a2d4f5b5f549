/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settle_image - see settle.h: a layer that is an EROFS image. Its folders are taken into memory, changed,
 * and written anew behind all that is there; files stay where they are.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "workers/snapshot/erofs_impl.h"
#include "workers/snapshot/settle.h"
#include "workers/snapshot/xattrs.h"

#define HELD_MAX (640u << 20)
#define DEPTH_MAX (PATH_MAX / 2)

struct settled_image {
	struct settled settled; /* first */
	struct erofs_image *im;
	struct xattrs xattrs;
};

static struct settled_image *
image_of(struct settled *l)
{
	return (struct settled_image *)l;
}

/* Where path is, and its last part in name (NAME_MAX + 1 bytes); folder NULL when its folder is not there or a
 * part of it is longer than names are. hidden: one on the way is opaque. */
static struct erofs_at
look(struct settled *l, const char *path, char *name, bool *hidden)
{
	struct erofs_at at = { .folder = image_of(l)->im->root, .name = name };

	*hidden = false;
	for (;;) {
		size_t n = strcspn(path, "/");
		struct erofs_node *node;

		if (n > NAME_MAX) {
			at.folder = NULL;
			return at;
		}
		memcpy(name, path, n);
		name[n] = '\0';
		if (path[n] == '\0')
			return at;
		path += n + 1;
		node = erofs_lookup(&at);
		if (node == NULL || node->type != EROFS_FOLDER) {
			at.folder = NULL;
			return at;
		}
		at.folder = (struct erofs_folder *)node;
		*hidden |= at.folder->opaque;
	}
}

/* NULL when there is no such folder. */
static struct erofs_folder *
folder_at(struct settled *l, const char *path, bool *hidden)
{
	char name[NAME_MAX + 1];
	struct erofs_at at = look(l, path, name, hidden);
	struct erofs_node *n = at.folder == NULL ? NULL : erofs_lookup(&at);

	if (path[0] == '\0')
		return image_of(l)->im->root;
	return n != NULL && n->type == EROFS_FOLDER ? (struct erofs_folder *)n : NULL;
}

static bool
shows(struct settled *l, const char *path)
{
	bool hidden;

	return folder_at(l, path, &hidden) != NULL && !hidden;
}

static int
like(struct settled *l, const char *path, int from, struct err *e)
{
	struct settled_image *x = image_of(l);
	struct layer_meta m = { .nxattrs = 0 };
	bool hidden;
	struct erofs_folder *f = folder_at(l, path, &hidden);
	struct stat st;

	if (f == NULL)
		return err_sys(e, ENOENT, "open /%s", path);
	if (fstat(from, &st) < 0)
		return err_sys(e, errno, "look at /%s below", path);
	if (xattrs_read(&x->xattrs, from, ".", e) < 0)
		return err_wrap(e, "/%s below", path);
	m.uid = st.st_uid;
	m.gid = st.st_gid;
	m.mode = st.st_mode & 07777;
	m.mtime = st.st_mtim;
	m.xattrs = x->xattrs.v;
	m.nxattrs = x->xattrs.n;
	return erofs_folder_like(x->im, f, &m, e);
}

static int
make(struct settled *l, const char *path, struct err *e)
{
	char name[NAME_MAX + 1];
	struct erofs_folder *unused;
	bool hidden;
	struct erofs_at at = look(l, path, name, &hidden);

	if (at.folder == NULL)
		return err_sys(e, ENOTDIR, "open the folder of %s", path);
	if (erofs_lookup(&at) != NULL)
		return 1;
	return erofs_folder_new(image_of(l)->im, at.folder, name, &unused, e);
}

struct moving {
	struct settled_image *x;
	struct erofs_folder *to;
	unsigned depth;
	struct err *e;
};

static void move_all(struct settled_image *x, struct erofs_folder *from, struct erofs_folder *to,
    unsigned depth, struct err *e);

/* The file loses a name. */
static int
nlink_drop(const struct erofs_image *im, const struct erofs_node *n, struct err *e)
{
	uint64_t at = erofs_nid(im, n) * EROFS_SLOT + offsetof(struct erofs_inode, nlink);
	uint32_t now;

	if (pread(im->fd, &now, sizeof(now), (off_t)at) != (ssize_t)sizeof(now))
		return err_set(e, ERR_INTERNAL, "the image of the layer is not as it was written");
	now = htole32(le32toh(now) > 1 ? le32toh(now) - 1 : 1);
	return erofs_write_at(im->fd, &now, sizeof(now), at, e);
}

static void
move_name(void *arg, const struct erofs_name *name)
{
	struct moving *m = arg;
	struct erofs_at at = { .folder = m->to, .name = name->text };
	struct erofs_node *there = erofs_lookup(&at);
	bool folder = name->node->type == EROFS_FOLDER;

	if (m->e->code != ERR_NONE || strcmp(name->text, ".") == 0 || strcmp(name->text, "..") == 0)
		return;
	if (there == NULL) /* else kept in m->e, as below */
		(void)erofs_name_move(m->x->im, &at, name->node, m->e);
	else if (folder && there->type == EROFS_FOLDER)
		move_all(m->x, (struct erofs_folder *)name->node, (struct erofs_folder *)there,
		    m->depth - 1, m->e);
	else if (folder)
		(void)err_set(m->e, ERR_INVALID_ARGUMENT,
		    "%s is a folder and something else under two names of its folder", name->text);
	else
		(void)nlink_drop(m->x->im, name->node, m->e);
}

static void
move_all(struct settled_image *x, struct erofs_folder *from, struct erofs_folder *to,
    unsigned depth, struct err *e)
{
	struct moving m = { .x = x, .to = to, .depth = depth, .e = e };

	if (depth == 0)
		(void)err_sys(e, ENAMETOOLONG, "move %s", from->name);
	else
		erofs_names_each(from, move_name, &m);
}

static int
move(struct settled *l, const char *path, const char *real, struct err *e)
{
	struct settled_image *x = image_of(l);
	char name[NAME_MAX + 1];
	bool hidden;
	struct erofs_folder *from = folder_at(l, path, &hidden), *to = folder_at(l, real, &hidden);
	struct erofs_at at = look(l, path, name, &hidden);

	if (from == NULL || to == NULL)
		return err_sys(e, ENOTDIR, "open /%s, where /%s leads below", real, path);
	for (const struct erofs_folder *f = to; f != x->im->root; f = f->parent)
		if (f == from)
			return err_set(e, ERR_INVALID_ARGUMENT, "/%s would move into itself", path);
	move_all(x, from, to, DEPTH_MAX, e);
	if (e->code != ERR_NONE)
		return -(int)e->code;
	erofs_name_drop(x->im, &at);
	return 0;
}

static int
finish(struct settled *l, struct err *e)
{
	struct erofs_image *im = image_of(l)->im;

	if (erofs_folders_write(im, e) < 0)
		return -(int)e->code;
	return erofs_image_sync(im, e);
}

static const struct settled_ops ops = {
	.shows = shows, .like = like, .make = make, .move = move, .finish = finish
};

int
settle_image(int dir, int layers, int list, const uint64_t *lowers, unsigned nlowers, struct err *e)
{
	AUTO(free_ptr) struct settled_image *x = xcalloc(1, sizeof(*x));
	int r = erofs_image_open(dir, HELD_MAX, &x->im, e);

	x->settled.ops = &ops;
	if (r == 0)
		r = settle_run(&x->settled, layers, list, lowers, nlowers, e);
	xattrs_free(&x->xattrs);
	erofs_image_free(&x->im);
	return r;
}
