/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_impl - what the files erofs_*.c that make an image share. */
#ifndef CF_SNAPSHOT_EROFS_IMPL_H
#define CF_SNAPSHOT_EROFS_IMPL_H

#include <limits.h>
#include <search.h>

#include "lib/base/arena.h"
#include "workers/snapshot/erofs_format.h"
#include "workers/snapshot/erofs_image.h"

/* --- bytes to the file (erofs_out.c) ------------------------------------------------------------- */

#define EROFS_OUT (1u << 20)

/* A place in the file where one piece is written behind the other. */
struct erofs_out {
	int fd;
	char *buf; /* EROFS_OUT bytes */
	size_t n;
	uint64_t at; /* where buf goes */
	uint64_t total;
};

static inline uint64_t
erofs_out_at(const struct erofs_out *o)
{
	return o->at + o->n;
}

int erofs_out_put(struct erofs_out *o, const void *p, size_t n, struct err *e);
int erofs_out_zeros(struct erofs_out *o, size_t n, struct err *e);
/* Zeros up to the next block. */
int erofs_out_align(struct erofs_out *o, struct err *e);
/* Goes on elsewhere; what is left out is a hole. */
int erofs_out_seek(struct erofs_out *o, uint64_t at, struct err *e);
int erofs_out_flush(struct erofs_out *o, struct err *e);
int erofs_write_at(int fd, const void *p, size_t n, uint64_t at, struct err *e);

/* --- names (erofs_names.c) ----------------------------------------------------------------------- */

/* What names lead to. at: of a folder the place of its inode, once that is known; of anything else the
 * same counted through the segments (erofs_nid). */
struct erofs_node {
	uint8_t type; /* enum erofs_type */
	bool whiteout;
	bool placed;	/* of an image that was opened: at is a place in the file */
	uint32_t nlink; /* counted at the end */
	uint64_t at;
};

struct erofs_name {
	struct erofs_node *node;
	char text[];
};

struct erofs_link {
	struct erofs_node node; /* first, as in a folder */
	char target[];
};

struct erofs_folder {
	struct erofs_node node;
	struct erofs_folder *parent; /* the root's is itself */
	struct erofs_folder *all;    /* a list of every folder that ever was */
	struct erofs_folder *next; /* those that are there at the end, each before what is in it */
	const char *name;
	void *names; /* struct erofs_name by tsearch; "." and ".." too */
	struct layer_meta meta;
	const char *xattrs; /* as behind an inode; the mark of an opaque folder is not among them */
	size_t nxattrs;
	bool opaque, implied;
	uint64_t block,
	    blocks; /* erofs_folders.c: the whole blocks of its data, and the bytes behind */
	uint32_t rest;
	bool rest_inline;
};

#define EROFS_PATH_LINKS_MAX 40

/* An empty folder without a name: the root. */
int erofs_folder_new(struct erofs_image *im, struct erofs_folder *parent, const char *name,
    struct erofs_folder **ret, struct err *e);
/* The folder path, links followed inside of the image; makes what is missing when make is set, else
 * *ret is NULL when there is none. */
int erofs_resolve(
    struct erofs_image *im, const char *path, bool make, struct erofs_folder **ret, struct err *e);
/* Does the image hold something else where the folder, or one on the way to it, would be? */
bool erofs_blocked(struct erofs_image *im, const char *path);

/* Where an entry is: a folder and a name in it. */
struct erofs_at {
	struct erofs_folder *folder;
	const char *name;
};
int erofs_at(struct erofs_image *im, const char *path, struct erofs_at *ret, struct err *e);
/* NULL when there is no such name. */
struct erofs_node *erofs_lookup(const struct erofs_at *at);
/* Gives node this name, also in place of another. */
int erofs_name_set(
    struct erofs_image *im, const struct erofs_at *at, struct erofs_node *node, struct err *e);
/* Gives node, of another folder, this name that is free. */
int erofs_name_move(
    struct erofs_image *im, const struct erofs_at *at, struct erofs_node *node, struct err *e);
/* Takes the name away, and with a folder's all below it. */
void erofs_name_drop(struct erofs_image *im, const struct erofs_at *at);
struct erofs_node *erofs_node_new(struct erofs_image *im, enum erofs_type type);
/* Fails when more memory is held than may be. */
int erofs_held(const struct erofs_image *im, struct err *e);

/* Calls fn for all names of f in the order of their bytes. */
typedef void erofs_name_fn(void *arg, const struct erofs_name *name);
void erofs_names_each(const struct erofs_folder *f, erofs_name_fn *fn, void *arg);

/* --- an image being made (erofs_image.c) --------------------------------------------------------- */

/* The regular file in hand. */
struct erofs_file {
	struct erofs_node *node;
	uint64_t size, end; /* of all; of what came */
	uint64_t at;	    /* of its first whole block */
	char rest[EROFS_BLOCK];
	uint32_t nrest; /* bytes of its last block that go behind the inode */
	/* A file with holes: */
	unsigned chunk_bits; /* 0: none so far */
	uint32_t *chunks;    /* their blocks, as on disk */
	uint32_t nchunks;
	uint64_t next; /* place of the next chunk that is not a hole */
};

struct erofs_image {
	struct sink sink; /* first */
	int dir, fd;
	struct erofs_out out;
	char *segment; /* EROFS_OUT bytes: inodes, not yet written */
	size_t nsegment;
	uint64_t *segments; /* places of those that are */
	uint32_t nsegments;
	struct erofs_file file;
	struct buf xattrs; /* of the entry in hand */

	struct arena arena; /* nodes and names */
	size_t held_max, nnames;
	struct erofs_folder *root, *folders;
	char at_path[PATH_MAX]; /* the folder that erofs_at gave last, NULL = none */
	struct erofs_folder *at;
	unsigned nimplied;
	bool chunked; /* there are files with holes */

	struct layer_usage usage;
	uint8_t uuid[16];
	uint64_t loaded; /* inodes of an image that was opened, but its folders */
};

/* An empty one over a file. */
int erofs_image_on(int dir, int take_fd, size_t held_max, struct erofs_image **ret, struct err *e);
/* Takes up again the one that is there, to change its folders (erofs_load.c). */
int erofs_image_open(int dir, size_t held_max, struct erofs_image **ret, struct err *e);
int erofs_image_sync(struct erofs_image *im, struct err *e);
/* Gives f these attributes. */
int erofs_folder_like(
    struct erofs_image *im, struct erofs_folder *f, const struct layer_meta *m, struct err *e);
/* Takes the mark of an opaque folder, always the last, from its attributes. */
void erofs_opaque_split(struct erofs_folder *f);

uint64_t erofs_nid(const struct erofs_image *im, const struct erofs_node *n);
/* im->xattrs becomes the attributes of m as they stand behind an inode. */
int erofs_xattrs(struct erofs_image *im, mode_t type, const struct layer_meta *m, struct err *e);
/* The fields of an inode that come from its entry. */
struct erofs_inode erofs_inode(mode_t type, const struct layer_meta *m, size_t nxattrs);
/* Whether n bytes may stand behind an inode at that place in a block and its attributes. */
bool erofs_fits(uint64_t at, size_t nxattrs, size_t n);

/* Writes all folders behind what is there, then the superblock (erofs_folders.c). */
int erofs_folders_write(struct erofs_image *im, struct err *e);

#endif
