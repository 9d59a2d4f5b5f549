/* SPDX-License-Identifier: Apache-2.0 */
/* archive_in - reading image archives and folders, see archive.h */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>

#include "ctr/archive.h"
#include "lib/base/auto.h"
#include "lib/base/ident.h"

#define BLOCK (128 * 1024)
/* Images pack 3 to 1. Past the free part, what is packed so much tighter is taken for a bomb; who knows
 * better can unpack it first. */
#define BOMB_RATIO 200
#define BOMB_FREE (256ULL << 20)

struct archive_in {
	struct archive *tar; /* NULL: a folder */
	int fd;
	archive_wait_fn *wait;
	void *arg;
	struct err below;  /* what reading fd or wait said */
	uint64_t raw, out; /* bytes that came, bytes that were read of files */
	bool packed;
	char block[BLOCK];

	FTS *walk;
	size_t root_len; /* of the folder's name in front of each path */
	int file;	 /* the file in hand, of a folder */

	char path[ARCHIVE_PATH_MAX], link[ARCHIVE_PATH_MAX], show[160];
};

/* --- names ---------------------------------------------------------------------------------------- */

/* Adds the parts of name to path, which is clean; ".." takes one away where up is allowed. */
static int
path_add(char *path, const char *name, bool up, struct err *e)
{
	size_t len = strlen(path);

	while (*name != '\0') {
		size_t n = strcspn(name, "/");

		if (n == 2 && memcmp(name, "..", 2) == 0) {
			char *slash = strrchr(path, '/');

			if (!up || len == 0)
				return err_set(e, ERR_INVALID_ARGUMENT,
				    up ? "leads out of the archive" : "has \"..\" in its name");
			len = slash == NULL ? 0 : (size_t)(slash - path);
			path[len] = '\0';
		} else if (n > 0 && !(n == 1 && *name == '.')) {
			if (len + n + 2 > ARCHIVE_PATH_MAX)
				return err_set(e, ERR_INVALID_ARGUMENT, "has too long a name");
			if (len > 0)
				path[len++] = '/';
			memcpy(path + len, name, n);
			len += n;
			path[len] = '\0';
		}
		name += n + (name[n] == '/');
	}
	return 0;
}

static int
path_clean(char *path, const char *name, struct err *e)
{
	path[0] = '\0';
	if (*name == '/')
		return err_set(e, ERR_INVALID_ARGUMENT, "has an absolute name");
	return path_add(path, name, false, e);
}

/* Where a symbolic link at path leads, by names alone. */
static int
link_clean(char *link, const char *path, const char *to, struct err *e)
{
	const char *slash = strrchr(path, '/');

	if (*to == '/')
		return err_set(e, ERR_INVALID_ARGUMENT, "is a link out of the archive");
	(void)snprintf(
	    link, ARCHIVE_PATH_MAX, "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
	return path_add(link, to, true, e);
}

/* --- the stream ----------------------------------------------------------------------------------- */

static la_ssize_t
read_block(struct archive *tar, void *arg, const void **ret)
{
	struct archive_in *a = arg;
	ssize_t n = -1;

	do {
		if (a->wait != NULL && a->wait(a->arg, a->fd, &a->below) < 0)
			break;
		n = read(a->fd, a->block, sizeof(a->block));
	} while (n < 0 && errno == EINTR);
	if (n < 0 && a->below.code == ERR_NONE)
		(void)err_sys(&a->below, errno, "read");
	if (n < 0)
		archive_set_error(tar, EIO, "%s", a->below.msg);
	else
		a->raw += (size_t)n;
	*ret = a->block;
	return n;
}

/* What libarchive, or the stream below it, found wrong. */
static int
tar_err(struct archive_in *a, struct err *e)
{
	const char *text = archive_error_string(a->tar);

	if (a->below.code != ERR_NONE) {
		*e = a->below;
		return -(int)e->code;
	}
	return err_set(e,
	    archive_errno(a->tar) == ENOMEM ? ERR_RESOURCE_EXHAUSTED : ERR_INVALID_ARGUMENT,
	    "not a sound tar archive: %s", text == NULL ? "no reason given" : text);
}

static struct archive_in *
archive_in_new(void)
{
	struct archive_in *a = xcalloc(1, sizeof(*a));

	a->fd = a->file = -1;
	return a;
}

static int
tar_new(struct archive_in *a, struct err *e)
{
	a->tar = archive_read_new();
	if (a->tar == NULL || archive_read_support_format_tar(a->tar) != ARCHIVE_OK ||
	    archive_read_support_filter_gzip(a->tar) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(a->tar) != ARCHIVE_OK ||
	    archive_read_support_filter_bzip2(a->tar) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(a->tar) != ARCHIVE_OK)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "no memory to read an archive");
	return 0;
}

/* After the first bytes: is it packed, and once only? */
static int
tar_opened(struct archive_in *a, struct err *e)
{
	/* The stream itself counts as the last one. */
	int filters = archive_filter_count(a->tar) - 1;

	if (filters > 1)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "it is compressed %d times over: refused", filters);
	a->packed = filters > 0;
	return 0;
}

static int
stream_open(struct archive_in *a, struct err *e)
{
	int r = tar_new(a, e);

	if (r < 0)
		return r;
	if (archive_read_open(a->tar, a, NULL, read_block, NULL) != ARCHIVE_OK)
		return tar_err(a, e);
	return tar_opened(a, e);
}

static int
tar_next(struct archive_in *a, struct archive_entry **ret, struct err *e)
{
	int r = archive_read_next_header(a->tar, ret);

	if (r == ARCHIVE_EOF)
		return 0;
	/* A warning is about what we do not look at, such as an owner's name. */
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return tar_err(a, e);
	return 1;
}

/* A name as it is in the tar: in our locale, or UTF-8 as pax has it; NULL when there is none. */
static const char *
either(const char *local, const char *utf8)
{
	return local != NULL ? local : utf8;
}

/* Fills ret from an entry; 0: it is nothing to us. */
static int
tar_entry(struct archive_in *a, struct archive_entry *ent, struct archive_file *ret, struct err *e)
{
	const char *name = either(archive_entry_pathname(ent), archive_entry_pathname_utf8(ent));
	const char *hard = either(archive_entry_hardlink(ent), archive_entry_hardlink_utf8(ent));
	const char *soft = either(archive_entry_symlink(ent), archive_entry_symlink_utf8(ent));
	int r;

	if (name == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "an entry without a readable name");
	(void)ident_show(name, a->show, sizeof(a->show));
	if ((r = path_clean(a->path, name, e)) < 0)
		return r;
	if (hard != NULL)
		r = path_clean(a->link, hard, e);
	else if (soft != NULL)
		r = link_clean(a->link, a->path, soft, e);
	else if (archive_entry_filetype(ent) != AE_IFREG)
		return 0;
	if (r < 0)
		return r;
	if (archive_entry_size(ent) < 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "has an impossible size");
	*ret = (struct archive_file){ .path = a->path, .size = (uint64_t)archive_entry_size(ent) };
	if (hard != NULL || soft != NULL)
		ret->link = a->link;
	return 1;
}

/* --- a folder ------------------------------------------------------------------------------------- */

static int
walk_open(struct archive_in *a, const char *from, struct err *e)
{
	AUTO(free_ptr) char *root = xstrdup(from);
	char *roots[] = { root, NULL };

	a->root_len = strlen(from);
	a->walk = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
	return a->walk == NULL ? err_sys(e, errno, "read folder") : 0;
}

static int
walk_link(struct archive_in *a, const FTSENT *ent, struct archive_file *ret, struct err *e)
{
	char to[ARCHIVE_PATH_MAX];
	ssize_t n = readlink(ent->fts_accpath, to, sizeof(to) - 1);
	int r;

	if (n < 0)
		return err_sys(e, errno, "read link");
	to[n] = '\0';
	if ((r = link_clean(a->link, a->path, to, e)) < 0)
		return r;
	ret->link = a->link;
	return 1;
}

static int
walk_file(struct archive_in *a, const FTSENT *ent, struct archive_file *ret, struct err *e)
{
	struct stat st;

	a->file = open(ent->fts_accpath, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (a->file < 0 || fstat(a->file, &st) < 0)
		return err_sys(e, errno, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID_ARGUMENT, "is not a file any more");
	ret->size = (uint64_t)st.st_size;
	return 1;
}

static int
walk_next(struct archive_in *a, struct archive_file *ret, struct err *e)
{
	FTSENT *ent;
	int r;

	fd_close(&a->file);
	while ((ent = fts_read(a->walk)) != NULL) {
		if (ent->fts_info == FTS_ERR || ent->fts_info == FTS_DNR || ent->fts_info == FTS_NS)
			return err_sys(e, ent->fts_errno, "read folder");
		if (ent->fts_info != FTS_F && ent->fts_info != FTS_SL)
			continue;
		(void)ident_show(ent->fts_path + a->root_len, a->show, sizeof(a->show));
		a->path[0] = '\0';
		if ((r = path_add(a->path, ent->fts_path + a->root_len, false, e)) < 0)
			return r;
		*ret = (struct archive_file){ .path = a->path };
		return ent->fts_info == FTS_SL ? walk_link(a, ent, ret, e)
					       : walk_file(a, ent, ret, e);
	}
	return errno == 0 ? 0 : err_sys(e, errno, "read folder");
}

static int
walk_read(struct archive_in *a, void *to, size_t n, size_t *ret_n, struct err *e)
{
	ssize_t got;

	do
		got = read(a->file, to, n);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_sys(e, errno, "read %s", a->show);
	*ret_n = (size_t)got;
	return 0;
}

/* --- both ----------------------------------------------------------------------------------------- */

static int
open_named(struct archive_in *a, const char *from, struct err *e)
{
	struct stat st;

	a->fd = strcmp(from, "-") == 0 ? dup(STDIN_FILENO) : open(from, O_RDONLY | O_CLOEXEC);
	if (a->fd < 0 || fstat(a->fd, &st) < 0)
		return err_sys(e, errno, "open");
	if (S_ISDIR(st.st_mode))
		return walk_open(a, from, e);
	if (isatty(a->fd))
		return err_set(e, ERR_INVALID_ARGUMENT, "it is a terminal: an archive is expected");
	if (S_ISREG(st.st_mode))
		a->wait = NULL; /* never waits, and epoll would not have it */
	return stream_open(a, e);
}

int
archive_in_open(
    const char *from, archive_wait_fn *wait, void *arg, struct archive_in **ret, struct err *e)
{
	AUTO(archive_in_close) struct archive_in *a = archive_in_new();
	char show[160];
	int r;

	a->wait = wait;
	a->arg = arg;
	if ((r = open_named(a, from, e)) < 0)
		return r == -ERR_CANCELLED
			   ? r
			   : err_wrap(e, "%s", ident_show(from, show, sizeof(show)));
	*ret = TAKE(a);
	return 0;
}

int
archive_in_memory(const void *p, size_t n, struct archive_in **ret, struct err *e)
{
	AUTO(archive_in_close) struct archive_in *a = archive_in_new();
	int r = tar_new(a, e);

	if (r < 0)
		return r;
	if (archive_read_open_memory(a->tar, p, n) != ARCHIVE_OK)
		return tar_err(a, e);
	if ((r = tar_opened(a, e)) < 0)
		return r;
	*ret = TAKE(a);
	return 0;
}

int
archive_in_next(struct archive_in *a, struct archive_file *ret, struct err *e)
{
	struct archive_entry *ent;
	int r;

	a->show[0] = '\0';
	if (a->walk != NULL) {
		errno = 0;
		r = walk_next(a, ret, e);
	} else {
		do {
			r = tar_next(a, &ent, e);
			if (r <= 0)
				return r;
			r = tar_entry(a, ent, ret, e);
		} while (r == 0);
	}
	return r < 0 && a->show[0] != '\0' ? err_wrap(e, "%s", a->show) : r;
}

static int
bomb_check(const struct archive_in *a, struct err *e)
{
	if (!a->packed || a->out < BOMB_FREE || a->out / BOMB_RATIO < a->raw)
		return 0;
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "%s: the archive unpacks to more than %d times its size: refused; decompress it first "
	    "if "
	    "it is to be trusted",
	    a->show, BOMB_RATIO);
}

int
archive_in_read(struct archive_in *a, void *to, size_t n, size_t *ret_n, struct err *e)
{
	la_ssize_t got;

	if (a->walk != NULL)
		return walk_read(a, to, n, ret_n, e);
	got = archive_read_data(a->tar, to, n);
	if (got < 0) {
		int r = tar_err(a, e);

		return r == -ERR_CANCELLED ? r : err_wrap(e, "%s", a->show);
	}
	a->out += (size_t)got;
	*ret_n = (size_t)got;
	return bomb_check(a, e);
}

void
archive_in_close(struct archive_in **a)
{
	if (*a == NULL)
		return;
	if ((*a)->tar != NULL)
		(void)archive_read_free((*a)->tar);
	if ((*a)->walk != NULL)
		(void)fts_close((*a)->walk);
	fd_close(&(*a)->file);
	fd_close(&(*a)->fd);
	free_ptr(a);
}
