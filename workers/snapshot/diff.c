/* SPDX-License-Identifier: Apache-2.0 */
/* diff - see diff.h */
#include "workers/snapshot/diff.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "workers/snapshot/inodes.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/nursery.h"
#include "workers/snapshot/xattrs.h"

#define STACK_MAX NURSERY_LOWERS_MAX
#define COMPARE_BLOCK (128 * 1024)
#define SHOWN 200

/* A folder on the way to the one in hand that may have to be written yet. */
struct frame {
	struct frame *up;
	size_t len; /* of its path */
	bool written;
};

struct diff {
	int layers;
	struct layer_out *out;
	struct diff_stack upper, lower;
	unsigned common; /* folders at the end of both */
	char path[PATH_MAX];
	size_t len;
	struct frame *frame;
	struct inodes links;
	uint64_t sockets;
	struct xattrs xa, xb;
	char *block; /* two of COMPARE_BLOCK */
};

/* --- a folder in a stack ----------------------------------------------------------------------------- */

/* The folders that have d->path, nearest first. */
struct pile {
	unsigned n;
	bool cut; /* nothing below these shows */
	int fd[STACK_MAX];
};

/* The folder in hand, on both sides. */
struct level {
	struct pile upper, lower, common; /* each side's own; what both stand on */
	bool upper_common, lower_common;  /* it shows */
};

struct found {
	bool there;
	int dir; /* the folder it is in */
	struct stat st;
};

static void
pile_close(struct pile *p)
{
	while (p->n > 0)
		fd_close(&p->fd[--p->n]);
}

static void
level_close(struct level **l)
{
	if (*l == NULL)
		return;
	pile_close(&(*l)->upper);
	pile_close(&(*l)->lower);
	pile_close(&(*l)->common);
	free_ptr(l);
}

static int
pile_open(struct diff *d, const uint64_t *numbers, unsigned n, struct pile *p, struct err *e)
{
	for (unsigned i = 0; i < n && !p->cut; i++) {
		AUTO(fd_close) int top = merged_layer(d->layers, numbers[i]);

		if (top < 0)
			return err_sys(e, errno, "open layer %llu", (unsigned long long)numbers[i]);
		p->fd[p->n] = -1;
		p->cut = merged_look(top, d->path, &p->fd[p->n]) == MERGED_HIDDEN;
		if (p->fd[p->n] < 0)
			continue;
		if (fgetxattr(p->fd[p->n++], "trusted.overlay.redirect", NULL, 0) >= 0)
			return err_set(e, ERR_FAILED_PRECONDITION,
			    "it was mounted with redirect_dir and can't be read without: mount it "
			    "without that option");
	}
	return 0;
}

/* fresh: below, there is nothing to compare with. */
static int
level_open(struct diff *d, bool fresh, struct level *l, struct err *e)
{
	const struct diff_stack *up = &d->upper, *low = &d->lower;
	int r = pile_open(d, up->numbers, up->n - d->common, &l->upper, e);

	if (r == 0 && !fresh)
		r = pile_open(d, low->numbers, low->n - d->common, &l->lower, e);
	l->upper_common = !l->upper.cut;
	l->lower_common = !fresh && !l->lower.cut;
	if (r == 0 && (l->upper_common || l->lower_common))
		r = pile_open(d, up->numbers + up->n - d->common, d->common, &l->common, e);
	return r;
}

/* Returns whether the pile says anything of name. */
static bool
pile_find(const struct pile *p, const char *name, struct found *f)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (fstatat(p->fd[i], name, &f->st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		f->dir = p->fd[i];
		f->there = !S_ISCHR(f->st.st_mode) || f->st.st_rdev != makedev(0, 0);
		return true;
	}
	return false;
}

static struct found
level_find(const struct level *l, bool upper, const char *name)
{
	struct found f = { .there = false };

	if (!pile_find(upper ? &l->upper : &l->lower, name, &f) &&
	    (upper ? l->upper_common : l->lower_common))
		(void)pile_find(&l->common, name, &f);
	return f;
}

/* --- names ------------------------------------------------------------------------------------------- */

/* What is to be done with a name. */
enum deed { DEED_NONE, DEED_GONE, DEED_FILE, DEED_SAME_FOLDER, DEED_FOLDER, DEED_NEW_FOLDER };

struct name {
	char *text;
	enum deed deed;
};

struct names {
	size_t n, room;
	struct name *v;
};

static void
names_free(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].text);
	free(l->v);
}

static int
names_read(struct names *l, int dir, struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir_close) DIR *handle = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (handle == NULL) {
		int err = errno;

		fd_close(&fd);
		return err_sys(e, err, "list folder");
	}
	while ((void)(errno = 0), (entry = readdir(handle)) != NULL) {
		const char *s = entry->d_name;

		if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
			continue;
		if (l->n == l->room) {
			l->room = l->room == 0 ? 64 : l->room * 2;
			l->v = xrealloc(l->v, l->room * sizeof(*l->v));
		}
		l->v[l->n++] = (struct name){ .text = xstrdup(s) };
	}
	return errno != 0 ? err_sys(e, errno, "list folder") : 0;
}

static int
by_text(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return strcmp(x->text, y->text);
}

static void
names_order(struct names *l)
{
	size_t n = 0;

	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), by_text);
	for (size_t i = 0; i < l->n; i++) {
		if (n > 0 && strcmp(l->v[n - 1].text, l->v[i].text) == 0)
			free(l->v[i].text);
		else
			l->v[n++] = l->v[i];
	}
	l->n = n;
}

/* All names that can differ: those of the folders that are not common, and of the common ones where they
 * show on one side only. */
static int
names_of(const struct level *l, struct names *names, struct err *e)
{
	const struct pile *piles[3] = { &l->upper, &l->lower, &l->common };
	unsigned n = l->upper_common != l->lower_common ? 3 : 2;
	int r = 0;

	for (unsigned p = 0; p < n; p++)
		for (unsigned i = 0; r == 0 && i < piles[p]->n; i++)
			r = names_read(names, piles[p]->fd[i], e);
	names_order(names);
	return r;
}

/* --- comparing ----------------------------------------------------------------------------------------- */

static int
same_bytes(struct diff *d, const struct found *a, const struct found *b, const char *name,
    bool *ret, struct err *e)
{
	AUTO(fd_close) int x = openat(a->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO(fd_close) int y = openat(b->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = 1, m = 1;

	if (x < 0 || y < 0)
		return err_sys(e, errno, "open");
	for (*ret = true; *ret && n > 0;) {
		n = read(x, d->block, COMPARE_BLOCK);
		m = read(y, d->block + COMPARE_BLOCK, COMPARE_BLOCK);
		if (n < 0 || m < 0)
			return err_sys(e, errno, "read");
		*ret = n == m && memcmp(d->block, d->block + COMPARE_BLOCK, (size_t)n) == 0;
	}
	return 0;
}

static int
same_target(
    const struct found *a, const struct found *b, const char *name, bool *ret, struct err *e)
{
	char x[PATH_MAX], y[PATH_MAX];
	ssize_t n = readlinkat(a->dir, name, x, sizeof(x));
	ssize_t m = readlinkat(b->dir, name, y, sizeof(y));

	if (n < 0 || m < 0)
		return err_sys(e, errno, "read link");
	*ret = n == m && memcmp(x, y, (size_t)n) == 0;
	return 0;
}

static bool
same_stat(const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid)
		return false;
	if ((S_ISCHR(a->st_mode) || S_ISBLK(a->st_mode)) && a->st_rdev != b->st_rdev)
		return false;
	if (!S_ISDIR(a->st_mode) && (a->st_size != b->st_size || a->st_nlink != b->st_nlink))
		return false;
	return true;
}

static bool
same_time(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int
same_xattrs(struct diff *d, const struct found *a, const struct found *b, const char *name,
    bool *ret, struct err *e)
{
	int r = xattrs_read(&d->xa, a->dir, name, e);

	if (r == 0)
		r = xattrs_read(&d->xb, b->dir, name, e);
	if (r == 0)
		*ret = xattrs_equal(&d->xa, &d->xb);
	return r;
}

static int
same(struct diff *d, const struct found *a, const struct found *b, const char *name, bool *ret,
    struct err *e)
{
	int r;

	*ret = same_stat(&a->st, &b->st) && same_time(&a->st, &b->st);
	if (!*ret)
		return 0;
	r = same_xattrs(d, a, b, name, ret, e);
	if (r == 0 && *ret && S_ISREG(a->st.st_mode))
		r = same_bytes(d, a, b, name, ret, e);
	if (r == 0 && *ret && S_ISLNK(a->st.st_mode))
		r = same_target(a, b, name, ret, e);
	return r;
}

/* --- writing ------------------------------------------------------------------------------------------- */

/* Adds name to the path. Names that a layer takes for something else can't be in one. */
static int
path_add(struct diff *d, const char *name, struct err *e)
{
	size_t n = strlen(name), slash = d->len > 0;

	if (d->len + slash + n >= sizeof(d->path))
		return err_set(e, ERR_FAILED_PRECONDITION, "a name in it is longer than %d bytes",
		    PATH_MAX - 1);
	if (slash)
		d->path[d->len] = '/';
	memcpy(d->path + d->len + slash, name, n + 1);
	d->len += slash + n;
	return 0;
}

static void
path_cut(struct diff *d, size_t len)
{
	d->len = len;
	d->path[len] = '\0';
}

static int
at_path(const struct diff *d, struct err *e)
{
	char shown[SHOWN];

	return err_wrap(e, "/%s", ident_show(d->path, shown, sizeof(shown)));
}

/* Writes the folder of f. */
static int
frame_write(struct diff *d, const struct frame *f, struct err *e)
{
	AUTO(fd_close) int dir = -1;
	const char *slash;
	char path[PATH_MAX];
	struct stat st;

	memcpy(path, d->path, f->len);
	path[f->len] = '\0';
	dir = merged_find(d->layers, d->upper.numbers, d->upper.n, path, &st);
	if (dir < 0)
		return err_set(e, ERR_FAILED_PRECONDITION, "gone while it was read");
	slash = strrchr(path, '/');
	return layer_out_put(d->out, path, dir, slash == NULL ? path : slash + 1, &st, NULL, e);
}

/* Writes those folders on the way here that were not needed so far. */
static int
frames_write(struct diff *d, struct frame *f, struct err *e)
{
	int r;

	if (f == NULL || f->written)
		return 0;
	r = frames_write(d, f->up, e);
	f->written = true;
	return r < 0 || f->len == 0 ? r : frame_write(d, f, e);
}

static int
mark(struct diff *d, const char *prefix, const char *name, struct err *e)
{
	AUTO(free_ptr) char *text = xasprintf("%s%s", prefix, name);
	size_t len = d->len;
	int r = frames_write(d, d->frame, e);

	if (r == 0)
		r = path_add(d, text, e);
	if (r == 0)
		r = layer_out_mark(d->out, d->path, e);
	path_cut(d, len);
	return r;
}

/* The first name of the file that was written, NULL when this is it. */
static const char *
first_name(struct diff *d, const struct stat *st)
{
	struct inode_seen *s;
	bool first;

	if (st->st_nlink < 2)
		return NULL;
	s = inodes_meet(&d->links, st, &first);
	if (!first)
		return s->path;
	s->path = xstrdup(d->path);
	return NULL;
}

static int
file_write(struct diff *d, const struct level *l, const char *name, struct err *e)
{
	struct found f = level_find(l, true, name);
	size_t len = d->len;
	int r = frames_write(d, d->frame, e);

	if (r == 0 && !f.there)
		return 0; /* gone since: as if we had come later */
	if (r == 0)
		r = path_add(d, name, e);
	if (r == 0)
		r = layer_out_put(d->out, d->path, f.dir, name, &f.st, first_name(d, &f.st), e);
	if (r < 0)
		(void)at_path(d, e);
	path_cut(d, len);
	return r;
}

/* --- the walk ------------------------------------------------------------------------------------------ */

static int
judge_folder(
    struct diff *d, const struct found *up, const struct found *low, struct name *n, struct err *e)
{
	bool equal = false;
	int r = 0;

	if (!low->there || !S_ISDIR(low->st.st_mode)) {
		n->deed = DEED_NEW_FOLDER;
		return 0;
	}
	if (same_stat(&up->st, &low->st) && same_time(&up->st, &low->st))
		r = same_xattrs(d, up, low, n->text, &equal, e);
	n->deed = equal ? DEED_SAME_FOLDER : DEED_FOLDER;
	return r;
}

/* Finds out what to do with a name. */
static int
judge(struct diff *d, const struct level *l, struct name *n, struct err *e)
{
	struct found up = level_find(l, true, n->text), low = level_find(l, false, n->text);
	bool equal = false;
	int r = 0;

	if (up.there && S_ISSOCK(up.st.st_mode)) {
		d->sockets++;
		up.there = false;
	}
	if (!up.there) {
		n->deed = low.there ? DEED_GONE : DEED_NONE;
		return 0;
	}
	if (strncmp(n->text, ".wh.", 4) == 0)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "%.80s: in a layer, a name that begins with .wh. is a file that was removed",
		    n->text);
	if (S_ISDIR(up.st.st_mode))
		return judge_folder(d, &up, &low, n, e);
	if (low.there)
		r = same(d, &up, &low, n->text, &equal, e);
	n->deed = equal ? DEED_NONE : DEED_FILE;
	return r;
}

/* What is no folder. */
static int
write_here(struct diff *d, const struct level *l, struct names *names, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < names->n; i++) {
		r = judge(d, l, &names->v[i], e);
		if (r == 0 && names->v[i].deed == DEED_GONE)
			r = mark(d, ".wh.", names->v[i].text, e);
	}
	if (r < 0)
		return at_path(d, e);
	for (size_t i = 0; r == 0 && i < names->n; i++)
		if (names->v[i].deed == DEED_FILE)
			r = file_write(d, l, names->v[i].text, e);
	return r;
}

/* Is this the folder that stands in the place of one below, of which nothing is to be seen? */
static bool
is_opaque(const struct level *l)
{
	return l->upper.cut && l->upper.n > 0 &&
	       (l->lower.n > 0 || (l->lower_common && l->common.n > 0));
}

/* The folder in hand, but what its folders hold; those stay in names. */
static int
walk_here(struct diff *d, bool *fresh, struct names *names, struct err *e)
{
	AUTO(level_close) struct level *l = xcalloc(1, sizeof(*l));
	int r = level_open(d, *fresh, l, e);

	if (r == 0 && is_opaque(l)) {
		r = mark(d, "", ".wh..wh..opq", e);
		pile_close(&l->lower);
		l->lower_common = false;
		*fresh = true;
	}
	if (r == 0)
		r = names_of(l, names, e);
	return r < 0 ? at_path(d, e) : write_here(d, l, names, e);
}

static int walk(struct diff *d, bool fresh, struct err *e);

static int
walk_into(struct diff *d, const struct name *n, struct err *e)
{
	struct frame frame = { .up = d->frame };
	size_t len = d->len;
	int r = path_add(d, n->text, e);

	if (r < 0)
		return r;
	frame.len = d->len;
	d->frame = &frame;
	if (n->deed != DEED_SAME_FOLDER)
		r = frames_write(d, &frame, e);
	r = r < 0 ? at_path(d, e) : walk(d, n->deed == DEED_NEW_FOLDER, e);
	d->frame = frame.up;
	path_cut(d, len);
	return r;
}

/* No deeper than a path is long. */
static int
walk(struct diff *d, bool fresh, struct err *e)
{
	AUTO(names_free) struct names names = { .n = 0 };
	int r = walk_here(d, &fresh, &names, e);

	for (size_t i = 0; r == 0 && i < names.n; i++) {
		if (names.v[i].deed < DEED_SAME_FOLDER)
			continue;
		if (fresh)
			names.v[i].deed = DEED_NEW_FOLDER;
		r = walk_into(d, &names.v[i], e);
	}
	return r;
}

/* --- all of it ----------------------------------------------------------------------------------------- */

static int
root_write(struct diff *d, struct err *e)
{
	AUTO(fd_close) int up = merged_layer(d->layers, d->upper.numbers[0]);
	AUTO(fd_close) int low = d->lower.n > 0 ? merged_layer(d->layers, d->lower.numbers[0]) : -1;
	struct found a = { .dir = up }, b = { .dir = low };
	bool equal = false;
	int r = 0;

	if (up < 0 || fstat(up, &a.st) < 0 ||
	    (d->lower.n > 0 && (low < 0 || fstat(low, &b.st) < 0)))
		return err_sys(e, errno, "open the layers");
	if (low >= 0 && same_stat(&a.st, &b.st))
		r = same_xattrs(d, &a, &b, ".", &equal, e);
	if (r == 0 && !equal)
		r = layer_out_put(d->out, "", up, ".", &a.st, NULL, e);
	return r;
}

static unsigned
common_end(const struct diff_stack *a, const struct diff_stack *b)
{
	unsigned n = 0;

	while (n < a->n && n < b->n && a->numbers[a->n - 1 - n] == b->numbers[b->n - 1 - n])
		n++;
	return n;
}

int
diff_run(int layers, const struct diff_stack *upper, const struct diff_stack *lower,
    struct layer_out *out, uint64_t *ret_sockets, struct err *e)
{
	struct diff d = { .layers = layers,
		.out = out,
		.upper = *upper,
		.lower = *lower,
		.common = common_end(upper, lower),
		.block = xcalloc(2, COMPARE_BLOCK) };
	struct frame root = { .written = true };
	int r = 0;

	MUST(upper->n <= STACK_MAX && lower->n <= STACK_MAX);
	d.frame = &root;
	if (lower->n == 0 || upper->numbers[0] != lower->numbers[0])
		r = root_write(&d, e);
	if (r == 0)
		r = walk(&d, false, e);
	inodes_free(&d.links);
	xattrs_free(&d.xa);
	xattrs_free(&d.xb);
	free(d.block);
	if (r == 0)
		*ret_sockets = d.sockets;
	return r;
}
