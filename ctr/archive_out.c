/* SPDX-License-Identifier: Apache-2.0 */
/* archive_out - writing an image archive, see archive.h */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "ctr/archive.h"
#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"

#define BLOCK (128 * 1024)

struct archive_out {
	struct archive *tar;
	struct archive_entry *ent;
	int fd;
	bool dropped;  /* given up: nothing is written any more */
	uint64_t left; /* bytes that the file in hand still wants */
	char *path;    /* where it is to be */
	char *part;    /* where it is until then; NULL: written in place */
};

static int
tar_err(struct archive_out *a, struct err *e)
{
	const char *text = archive_error_string(a->tar);
	int sys = archive_errno(a->tar);

	if (sys == EPIPE)
		return err_set(e, ERR_UNAVAILABLE, "nobody reads the archive any more");
	if (sys > 0)
		return err_sys(e, sys, "write the archive");
	return err_set(e, ERR_INTERNAL, "write the archive: %s", text == NULL ? "?" : text);
}

/* Not finished, what libarchive still has to say must not look like an end. */
static la_ssize_t
write_block(struct archive *tar, void *arg, const void *p, size_t n)
{
	struct archive_out *a = arg;

	if (!a->dropped && fs_write_all(a->fd, p, n) < 0) {
		archive_set_error(tar, errno, "write");
		return -1;
	}
	return (la_ssize_t)n;
}

/* A name of its own beside the file, so that the rename stays in one folder. */
static int
part_open(struct archive_out *a, const char *to, struct err *e)
{
	char random[2 * 8 + 1];
	const char *slash = strrchr(to, '/');
	int folder = slash == NULL ? 0 : (int)(slash - to + 1);

	ident_random(random, 8);
	a->part = xasprintf("%.*s.%s.%s", folder, to, to + folder, random);
	a->fd = open(a->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (a->fd < 0) {
		free_ptr(&a->part);
		return err_sys(e, errno, "make");
	}
	a->path = xstrdup(to);
	return 0;
}

static int
open_named(struct archive_out *a, const char *to, struct err *e)
{
	struct stat st;

	if (strcmp(to, "-") == 0) {
		if (isatty(STDOUT_FILENO))
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "stdout is a terminal: send it to a file or a pipe");
		a->fd = dup(STDOUT_FILENO);
		return a->fd < 0 ? err_sys(e, errno, "open stdout") : 0;
	}
	if (stat(to, &st) < 0 || S_ISREG(st.st_mode))
		return part_open(a, to, e);
	a->fd = open(to, O_WRONLY | O_CLOEXEC);
	return a->fd < 0 ? err_sys(e, errno, "open") : 0;
}

int
archive_out_open(const char *to, struct archive_out **ret, struct err *e)
{
	AUTO(archive_out_close) struct archive_out *a = xcalloc(1, sizeof(*a));
	char show[160];

	a->fd = -1;
	if (open_named(a, to, e) < 0)
		return err_wrap(e, "%s", ident_show(to, show, sizeof(show)));
	a->tar = archive_write_new();
	a->ent = archive_entry_new();
	if (a->tar == NULL || a->ent == NULL)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "no memory to write an archive");
	/* ustar as long as its fields are large enough for a file, so that everybody reads it. */
	if (archive_write_set_format_pax_restricted(a->tar) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(a->tar, BLOCK) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(a->tar, 1) != ARCHIVE_OK ||
	    archive_write_open(a->tar, a, NULL, write_block, NULL) != ARCHIVE_OK)
		return tar_err(a, e);
	*ret = TAKE(a);
	return 0;
}

static int
entry_put(struct archive_out *a, const char *path, unsigned type, mode_t mode, uint64_t size,
    struct err *e)
{
	MUST(a->left == 0);
	archive_entry_clear(a->ent);
	archive_entry_set_pathname(a->ent, path);
	archive_entry_set_filetype(a->ent, type);
	archive_entry_set_perm(a->ent, mode);
	archive_entry_set_size(a->ent, (la_int64_t)size);
	archive_entry_set_mtime(a->ent, 0, 0);
	if (archive_write_header(a->tar, a->ent) != ARCHIVE_OK)
		return tar_err(a, e);
	a->left = size;
	return 0;
}

int
archive_out_folder(struct archive_out *a, const char *path, struct err *e)
{
	return entry_put(a, path, AE_IFDIR, 0755, 0, e);
}

int
archive_out_file(struct archive_out *a, const char *path, uint64_t size, struct err *e)
{
	return entry_put(a, path, AE_IFREG, 0444, size, e);
}

int
archive_out_write(struct archive_out *a, const void *p, size_t n, struct err *e)
{
	const char *at = p;

	MUST(n <= a->left);
	a->left -= n;
	while (n > 0) {
		la_ssize_t w = archive_write_data(a->tar, at, n);

		if (w <= 0)
			return tar_err(a, e);
		at += w;
		n -= (size_t)w;
	}
	return 0;
}

int
archive_out_done(struct archive_out *a, struct err *e)
{
	MUST(a->left == 0);
	if (archive_write_close(a->tar) != ARCHIVE_OK)
		return tar_err(a, e);
	if (a->path == NULL)
		return 0;
	if (fsync(a->fd) < 0)
		return err_sys(e, errno, "write %s to disk", a->path);
	if (rename(a->part, a->path) < 0)
		return err_sys(e, errno, "name %s", a->path);
	free_ptr(&a->part);
	return 0;
}

void
archive_out_close(struct archive_out **a)
{
	if (*a == NULL)
		return;
	if ((*a)->part != NULL)
		(void)unlink((*a)->part); /* whoever failed has said so */
	if ((*a)->ent != NULL)
		archive_entry_free((*a)->ent);
	(*a)->dropped = true;
	if ((*a)->tar != NULL)
		(void)archive_write_free((*a)->tar);
	fd_close(&(*a)->fd);
	free_ptr(&(*a)->part);
	free_ptr(&(*a)->path);
	free_ptr(a);
}
