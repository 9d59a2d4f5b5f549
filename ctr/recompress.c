/* SPDX-License-Identifier: Apache-2.0 */
/* recompress - see recompress.h */
#include "ctr/recompress.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "ctr/blobs.h"
#include "lib/base/auto.h"

struct recompress {
	struct ctr *c;
	const struct oci_desc *layer;
	struct archive *in, *out; /* out: NULL when the result is the plain tar */
	struct archive_entry *ent;
	uint64_t at;	    /* bytes of the blob that were read */
	struct buf packed;  /* the piece of it that libarchive reads */
	struct buf ready;   /* what out has made and nobody took yet */
	size_t taken;	    /* of ready */
	struct err below;   /* what the store said */
	struct hasher *tar; /* what was unpacked */
	bool ended;
};

enum packing
packing_of(const char *media_type)
{
	size_t n = strlen(media_type);

	if (n > 5 && strcmp(media_type + n - 4, "gzip") == 0)
		return PACK_GZIP;
	return n > 5 && strcmp(media_type + n - 4, "zstd") == 0 ? PACK_ZSTD : PACK_NONE;
}

const char *
packing_type(enum packing p, bool oci)
{
	static const char *const types[][2] = {
		[PACK_NONE] = { "application/vnd.docker.image.rootfs.diff.tar",
		    "application/vnd.oci.image.layer.v1.tar" },
		[PACK_GZIP] = { "application/vnd.docker.image.rootfs.diff.tar.gzip",
		    "application/vnd.oci.image.layer.v1.tar+gzip" },
		[PACK_ZSTD] = { "application/vnd.docker.image.rootfs.diff.tar.zstd",
		    "application/vnd.oci.image.layer.v1.tar+zstd" },
	};

	return types[p][oci];
}

static int
failed(struct recompress *r, struct archive *a, struct err *e)
{
	const char *text = archive_error_string(a);

	if (r->below.code != ERR_NONE) {
		*e = r->below;
		return -(int)e->code;
	}
	return err_set(e, ERR_DATA_LOSS, "layer %s: %s", r->layer->digest.text,
	    text == NULL ? "no reason given" : text);
}

static la_ssize_t
piece_read(struct archive *a, void *arg, const void **ret)
{
	struct recompress *r = arg;

	r->packed.len = 0;
	if (blob_piece(r->c, r->layer, r->at, &r->packed, &r->below) < 0) {
		archive_set_error(a, EIO, "%s", r->below.msg);
		return -1;
	}
	r->at += r->packed.len;
	blobs_tell(r->c, r->layer->digest.text, "converting", r->at, r->layer->size);
	*ret = buf_str(&r->packed);
	return (la_ssize_t)r->packed.len;
}

static la_ssize_t
piece_made(struct archive *a, void *arg, const void *p, size_t n)
{
	struct recompress *r = arg;

	(void)a;
	(void)buf_add(&r->ready, p, n); /* has no limit: what one piece can become */
	return (la_ssize_t)n;
}

static int
in_open(struct recompress *r, struct err *e)
{
	struct archive_entry *ent;

	r->in = archive_read_new();
	if (r->in == NULL || archive_read_support_format_raw(r->in) != ARCHIVE_OK ||
	    archive_read_support_filter_gzip(r->in) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(r->in) != ARCHIVE_OK)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "no memory to read a layer");
	if (archive_read_open(r->in, r, NULL, piece_read, NULL) != ARCHIVE_OK ||
	    archive_read_next_header(r->in, &ent) != ARCHIVE_OK)
		return failed(r, r->in, e);
	return 0;
}

static int
out_open(struct recompress *r, enum packing to, struct err *e)
{
	if (to == PACK_NONE)
		return 0;
	r->out = archive_write_new();
	r->ent = archive_entry_new();
	if (r->out == NULL || r->ent == NULL)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "no memory to pack a layer");
	archive_entry_set_filetype(r->ent, AE_IFREG);
	/* Neither a time in gzip's header nor blocks that are filled up. */
	if ((to == PACK_GZIP ? archive_write_add_filter_gzip(r->out)
			     : archive_write_add_filter_zstd(r->out)) != ARCHIVE_OK ||
	    archive_write_set_format_raw(r->out) != ARCHIVE_OK ||
	    (to == PACK_GZIP &&
		archive_write_set_filter_option(r->out, "gzip", "timestamp", NULL) != ARCHIVE_OK) ||
	    archive_write_set_bytes_per_block(r->out, 0) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(r->out, 1) != ARCHIVE_OK ||
	    archive_write_open(r->out, r, NULL, piece_made, NULL) != ARCHIVE_OK ||
	    archive_write_header(r->out, r->ent) != ARCHIVE_OK)
		return failed(r, r->out, e);
	return 0;
}

int
recompress_new(struct ctr *c, const struct oci_desc *layer, enum packing to,
    struct recompress **ret, struct err *e)
{
	AUTO(recompress_free) struct recompress *r = xcalloc(1, sizeof(*r));
	int s;

	r->c = c;
	r->layer = layer;
	r->tar = hasher_new(DIGEST_SHA256);
	if ((s = in_open(r, e)) < 0 || (s = out_open(r, to, e)) < 0)
		return s;
	*ret = TAKE(r);
	return 0;
}

/* The next bytes of the tar, none at its end. */
static int
tar_read(struct recompress *r, void *to, size_t n, size_t *ret_n, struct err *e)
{
	la_ssize_t got = archive_read_data(r->in, to, n);

	if (got < 0)
		return failed(r, r->in, e);
	hasher_add(r->tar, to, (size_t)got);
	*ret_n = (size_t)got;
	return 0;
}

/* Puts more into ready, or ends. */
static int
pack_more(struct recompress *r, struct err *e)
{
	AUTO(free_ptr) char *piece = xcalloc(1, BLOB_PIECE);
	size_t n = 0;
	int s = tar_read(r, piece, BLOB_PIECE, &n, e);

	if (s < 0)
		return s;
	r->ended = n == 0;
	if (n > 0 ? archive_write_data(r->out, piece, n) != (la_ssize_t)n
		  : archive_write_close(r->out) != ARCHIVE_OK)
		return failed(r, r->out, e);
	return 0;
}

int
recompress_read(void *arg, void *to, size_t n, size_t *ret_n, struct err *e)
{
	struct recompress *r = arg;
	size_t left;
	int s = 0;

	if (r->out == NULL)
		return tar_read(r, to, n, ret_n, e);
	if (r->taken == r->ready.len)
		r->taken = r->ready.len = 0;
	while (s == 0 && r->ready.len == 0 && !r->ended)
		s = pack_more(r, e);
	if (s < 0)
		return s;
	left = r->ready.len - r->taken;
	*ret_n = n < left ? n : left;
	memcpy(to, buf_str(&r->ready) + r->taken, *ret_n);
	r->taken += *ret_n;
	return 0;
}

int
recompress_check(const struct recompress *r, const struct digest *diff_id, struct err *e)
{
	struct digest got;

	hasher_digest(r->tar, &got);
	if (digest_equal(&got, diff_id))
		return 0;
	return err_set(e, ERR_DATA_LOSS,
	    "layer %s is not what its image says: its diff id is %s, not %s", r->layer->digest.text,
	    got.text, diff_id->text);
}

void
recompress_free(struct recompress **rp)
{
	struct recompress *r = *rp;

	if (r == NULL)
		return;
	if (r->in != NULL)
		(void)archive_read_free(r->in);
	if (r->out != NULL)
		(void)archive_write_free(r->out);
	if (r->ent != NULL)
		archive_entry_free(r->ent);
	buf_free(&r->packed);
	buf_free(&r->ready);
	hasher_free(&r->tar);
	free_ptr(rp);
}
