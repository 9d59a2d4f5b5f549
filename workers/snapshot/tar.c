/* SPDX-License-Identifier: Apache-2.0 */
/* tar - see tar.h */
#include "workers/snapshot/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "workers/snapshot/xattrs.h"

#define WH ".wh."
#define WH_OPAQUE ".wh..wh..opq"
#define WH_META ".wh..wh."
#define XATTR_BYTES_MAX (64 * 1024)
#define ID_MAX 0x7fffffffLL
#define SHOWN 160

struct tar {
	tar_next_fn *next;
	void *arg;
	struct err *stream; /* what next said, or ERR_NONE */
	struct sink *sink;
	const struct tar_limits *limits;
	struct archive *in;
	uint64_t bytes, entries;
	char path[PATH_MAX]; /* cleaned name of the entry in hand */
	struct layer_xattr xattrs[XATTRS_MAX];
};

static la_ssize_t
read_block(struct archive *a, void *arg, const void **ret)
{
	struct tar *t = arg;
	ssize_t n = t->next(t->arg, ret, t->stream);

	if (n < 0)
		archive_set_error(a, EIO, "%s", t->stream->msg);
	return n;
}

static void
archive_done(struct archive **a)
{
	if (*a != NULL)
		(void)archive_read_free(*a);
	*a = NULL;
}

/* What libarchive, or the stream below it, found wrong. */
static int
archive_err(struct tar *t, struct archive *a, struct err *e)
{
	const char *text = archive_error_string(a);

	if (t->stream->code != ERR_NONE) {
		*e = *t->stream;
		return -(int)e->code;
	}
	return err_set(e,
	    archive_errno(a) == ENOMEM ? ERR_RESOURCE_EXHAUSTED : ERR_INVALID_ARGUMENT,
	    "not a sound tar: %s", text == NULL ? "no reason given" : text);
}

/* --- names --------------------------------------------------------------------------------------- */

/* Makes "./a//b/../c" into "a/c" (to: PATH_MAX bytes; "" for the root itself). ".." at the root stays
 * there, as in a chroot. invalid_argument for an empty name and for one too long. */
static int
clean(const char *name, char *to, struct err *e)
{
	size_t n = 0;

	if (*name == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "empty name");
	for (const char *p = name; *p != '\0';) {
		size_t len = strcspn(p, "/");

		if (len == 2 && p[0] == '.' && p[1] == '.') {
			while (n > 0 && to[--n] != '/')
				;
		} else if (len > NAME_MAX + (strncmp(p, WH, strlen(WH)) == 0 ? strlen(WH) : 0)) {
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "a part of its name is longer than %d bytes", NAME_MAX);
		} else if (len > 0 && !(len == 1 && p[0] == '.')) {
			if (n + len + 2 > PATH_MAX)
				return err_set(e, ERR_INVALID_ARGUMENT,
				    "its name is longer than %d bytes", PATH_MAX - 1);
			if (n > 0)
				to[n++] = '/';
			memcpy(to + n, p, len);
			n += len;
		}
		p += len;
		p += strspn(p, "/");
	}
	to[n] = '\0';
	return 0;
}

/* --- attributes ---------------------------------------------------------------------------------- */

static int
take_xattrs(struct tar *t, struct archive_entry *ent, struct layer_meta *m, struct err *e)
{
	const char *name;
	const void *value;
	size_t n;

	(void)archive_entry_xattr_reset(ent);
	while (archive_entry_xattr_next(ent, &name, &value, &n) == ARCHIVE_OK) {
		if (name == NULL || !xattr_kept(name))
			continue;
		if (m->nxattrs == XATTRS_MAX)
			return err_set(e, ERR_RESOURCE_EXHAUSTED,
			    "more than %d extended attributes", XATTRS_MAX);
		if (n > XATTR_BYTES_MAX)
			return err_set(e, ERR_RESOURCE_EXHAUSTED,
			    "an extended attribute of %zu bytes; at most %d", n, XATTR_BYTES_MAX);
		t->xattrs[m->nxattrs++] =
		    (struct layer_xattr){ .name = name, .value = value, .n = n };
	}
	m->xattrs = t->xattrs;
	return 0;
}

/* Of -4.75, libarchive says -4 and .75. */
static struct timespec
time_of(int64_t s, long ns)
{
	struct timespec ts = { .tv_sec = s, .tv_nsec = ns };

	if (ns < 0 || ns >= 1000000000)
		ts.tv_nsec = 0;
	if (ts.tv_sec < 0 && ts.tv_nsec > 0) {
		ts.tv_sec--;
		ts.tv_nsec = 1000000000 - ts.tv_nsec;
	}
	return ts;
}

static int
take_meta(struct tar *t, struct archive_entry *ent, struct layer_meta *m, struct err *e)
{
	int64_t uid = archive_entry_uid(ent), gid = archive_entry_gid(ent);

	if (uid < 0 || uid > ID_MAX || gid < 0 || gid > ID_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "owner %lld:%lld: at most %lld",
		    (long long)uid, (long long)gid, ID_MAX);
	*m = (struct layer_meta){ .uid = (uid_t)uid,
		.gid = (gid_t)gid,
		.mode = archive_entry_perm(ent) & 07777,
		.mtime = time_of(archive_entry_mtime(ent), archive_entry_mtime_nsec(ent)) };
	m->atime = archive_entry_atime_is_set(ent)
		       ? time_of(archive_entry_atime(ent), archive_entry_atime_nsec(ent))
		       : m->mtime;
	return take_xattrs(t, ent, m, e);
}

/* --- contents ------------------------------------------------------------------------------------ */

/* Hands the body of the entry in hand to the sink. */
static int
copy_body(struct tar *t, int64_t size, struct err *e)
{
	int64_t end = 0, at;
	const void *p;
	size_t n;
	int r;

	while ((r = archive_read_data_block(t->in, &p, &n, &at)) == ARCHIVE_OK) {
		if (n == 0)
			continue;
		if (at < 0 || at > size || (uint64_t)n > (uint64_t)(size - at))
			return err_set(e, ERR_INVALID_ARGUMENT, "a piece outside of the file");
		if (at < end)
			return err_set(e, ERR_INVALID_ARGUMENT, "a piece on top of another");
		if (t->sink->ops->data(t->sink, p, n, (uint64_t)at, e) < 0)
			return -(int)e->code;
		end = at + (int64_t)n;
	}
	return r == ARCHIVE_EOF ? 0 : archive_err(t, t->in, e);
}

static int
make_file(struct tar *t, struct archive_entry *ent, const struct layer_meta *m, struct err *e)
{
	int64_t size = archive_entry_size(ent);
	int r;

	if (size < 0 || (uint64_t)size > t->limits->bytes - t->bytes)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "more than %llu bytes in this layer's files",
		    (unsigned long long)t->limits->bytes);
	t->bytes += (uint64_t)size;
	r = t->sink->ops->file(t->sink, t->path, (uint64_t)size, e);
	if (r == 0)
		r = copy_body(t, size, e);
	return r < 0 ? r : t->sink->ops->file_done(t->sink, m, e);
}

static int
make_link(struct tar *t, struct archive_entry *ent, const struct layer_meta *m, struct err *e)
{
	const char *raw = archive_entry_hardlink(ent);
	bool body = archive_entry_size_is_set(ent) && archive_entry_size(ent) > 0;
	char target[PATH_MAX], shown[SHOWN];
	int r = clean(raw, target, e);

	if (r == 0)
		r = t->sink->ops->link(t->sink, t->path, target, e);
	if (r < 0 && e->code == ERR_NOT_FOUND && body)
		return make_file(t, ent, m, e);
	if (r < 0) {
		e->code = e->code == ERR_NOT_FOUND ? ERR_INVALID_ARGUMENT : e->code;
		return err_wrap(e, "to \"%s\"", ident_show(raw, shown, sizeof(shown)));
	}
	return 0; /* a body is the target's own again */
}

static int
make_node(struct tar *t, struct archive_entry *ent, mode_t type, const struct layer_meta *m,
    struct err *e)
{
	uint64_t major = 0, minor = 0;

	if (type != S_IFIFO) {
		major = (uint64_t)archive_entry_rdevmajor(ent);
		minor = (uint64_t)archive_entry_rdevminor(ent);
	}
	if (major > 0xfff || minor > 0xfffff)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "device %llu:%llu: Linux has no such numbers", (unsigned long long)major,
		    (unsigned long long)minor);
	if (type == S_IFCHR && major == 0 && minor == 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "character device 0:0 is overlayfs' mark for a removed file; layers use "
		    "\".wh.\" names");
	return t->sink->ops->node(t->sink, t->path, type, makedev(major, minor), m, e);
}

/* --- entries ------------------------------------------------------------------------------------- */

/* Puts the folder part of a cleaned path into to. */
static void
folder_of(const char *path, char *to, size_t size)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - path);

	MUST(n < size);
	memcpy(to, path, n);
	to[n] = '\0';
}

/* What AUFS left behind, folders too. */
static bool
is_aufs(const char *path)
{
	return strncmp(path, WH_META, strlen(WH_META)) == 0 && strcmp(path, WH_OPAQUE) != 0;
}

/* Whiteouts. Returns 1 when the entry was none. */
static int
mark(struct tar *t, struct err *e)
{
	char *slash = strrchr(t->path, '/'), *base = slash == NULL ? t->path : slash + 1;
	char path[PATH_MAX];
	size_t dir;

	if (strncmp(base, WH, strlen(WH)) != 0)
		return 1;
	folder_of(t->path, path, sizeof(path));
	if (strcmp(base, WH_OPAQUE) == 0)
		return t->sink->ops->opaque(t->sink, path, e);
	if (strncmp(base, WH_META, strlen(WH_META)) == 0 && base[strlen(WH_META)] != '\0')
		return 0;
	base += strlen(WH);
	if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "a whiteout of \"%s\" would remove %s",
		    base, *base == '\0' ? "nothing" : "its own folder");
	dir = strlen(path);
	if (dir > 0)
		path[dir++] = '/';
	memcpy(path + dir, base, strlen(base) + 1);
	return t->sink->ops->whiteout(t->sink, path, e);
}

static int
make(struct tar *t, struct archive_entry *ent, struct err *e)
{
	mode_t type = archive_entry_filetype(ent);
	const char *target;
	struct layer_meta m;
	int r;

	if (is_aufs(t->path))
		return 0;
	if (type != S_IFDIR) {
		r = mark(t, e);
		if (r <= 0)
			return r;
	}
	r = take_meta(t, ent, &m, e);
	if (r < 0)
		return r;
	if (archive_entry_hardlink(ent) != NULL)
		return make_link(t, ent, &m, e);
	switch (type) {
	case S_IFREG:
		return make_file(t, ent, &m, e);
	case S_IFDIR:
		return t->sink->ops->folder(t->sink, t->path, &m, e);
	case S_IFLNK:
		target = archive_entry_symlink(ent);
		return t->sink->ops->symlink(t->sink, t->path, target == NULL ? "" : target, &m, e);
	case S_IFIFO:
	case S_IFCHR:
	case S_IFBLK:
		return make_node(t, ent, type, &m, e);
	default:
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "type %o is nothing a layer may hold", type);
	}
}

static int
one(struct tar *t, struct archive_entry *ent, struct err *e)
{
	const char *raw = archive_entry_pathname(ent);
	char shown[SHOWN];
	int r;

	if (++t->entries > t->limits->entries)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "more than %llu entries",
		    (unsigned long long)t->limits->entries);
	if (raw == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "archive entry %llu has no readable name",
		    (unsigned long long)t->entries);
	r = clean(raw, t->path, e);
	if (r == 0)
		r = make(t, ent, e);
	if (r < 0 && t->stream->code == ERR_NONE)
		return err_wrap(e, "archive entry \"%s\"", ident_show(raw, shown, sizeof(shown)));
	return r;
}

static int
all(struct tar *t, struct err *e)
{
	struct archive_entry *ent;
	int r;

	for (;;) {
		r = archive_read_next_header(t->in, &ent);
		if (r == ARCHIVE_EOF)
			return t->stream->code != ERR_NONE ? archive_err(t, t->in, e) : 0;
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return archive_err(t, t->in, e);
		r = one(t, ent, e);
		if (r < 0)
			return r;
	}
}

/* Behind the end mark: to the end of the stream, so that all of it is hashed. */
static int
drain(struct tar *t, struct err *e)
{
	const void *block;
	ssize_t n;

	while ((n = t->next(t->arg, &block, t->stream)) > 0)
		;
	if (n == 0)
		return 0;
	*e = *t->stream;
	return -(int)e->code;
}

int
tar_unpack(
    tar_next_fn *next, void *arg, struct sink *to, const struct tar_limits *limits, struct err *e)
{
	AUTO(archive_done) struct archive *in = archive_read_new();
	AUTO(free_ptr) struct tar *t = xcalloc(1, sizeof(*t));
	struct err stream = ERR_ZERO;
	int r;

	*t = (struct tar){
		.next = next, .arg = arg, .stream = &stream, .sink = to, .limits = limits, .in = in
	};
	if (in == NULL || archive_read_support_format_tar(in) != ARCHIVE_OK ||
	    archive_read_support_format_empty(in) != ARCHIVE_OK)
		return err_set(e, ERR_INTERNAL, "libarchive does not read tar");
	if (archive_read_open(in, t, NULL, read_block, NULL) != ARCHIVE_OK)
		return archive_err(t, in, e);
	r = all(t, e);
	return r < 0 ? r : drain(t, e);
}
