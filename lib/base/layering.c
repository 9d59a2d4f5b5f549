/* SPDX-License-Identifier: Apache-2.0 */
/* layering - see layering.h */
#include "lib/base/layering.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"

#define VALUE_MAX 255 /* bytes of a string that fsconfig takes */

struct layer {
	const char *key; /* lowerdir+, upperdir or workdir */
	char *name;
	int fd;
};

struct layering {
	const char *path, *source;
	unsigned long bits;
	const char **rest; /* options that name no layer */
	size_t nrest;
	const char *lowerdir; /* as it was given */
	struct layer *v;      /* topmost lower first, then upper and work */
	size_t n, nlowers;
	unsigned lying;		   /* clones that lie at path for now */
	const struct shift *shift; /* NULL: none; else the names do not say which mount is meant */
};

/* --- options ------------------------------------------------------------------------------------- */

static void
layer_add(struct layering *l, const char *key, char *name)
{
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = (struct layer){ .key = key, .name = name, .fd = -1 };
}

/* "a:b\:c" are a and b:c. */
static void
split_lowers(struct layering *l, const char *list)
{
	AUTO(buf_free) struct buf name = BUF_ZERO;

	for (const char *at = list;; at++) {
		if (*at != ':' && *at != '\0') {
			at += *at == '\\' && at[1] != '\0';
			(void)buf_add(&name, at, 1);
			continue;
		}
		layer_add(l, "lowerdir+", buf_take(&name));
		if (*at == '\0')
			return;
	}
}

static const char *
value_of(const char *option, const char *key)
{
	size_t n = strlen(key);

	return strncmp(option, key, n) == 0 && option[n] == '=' ? option + n + 1 : NULL;
}

static void
split_options(struct layering *l, const char *const *options, size_t n)
{
	const char *upper = NULL, *work = NULL, *value;

	l->rest = xcalloc(n + 1, sizeof(*l->rest));
	for (size_t i = 0; i < n; i++)
		if ((value = value_of(options[i], "lowerdir")) != NULL)
			l->lowerdir = value;
		else if ((value = value_of(options[i], "upperdir")) != NULL)
			upper = value;
		else if ((value = value_of(options[i], "workdir")) != NULL)
			work = value;
		else
			l->rest[l->nrest++] = options[i];
	if (l->lowerdir != NULL)
		split_lowers(l, l->lowerdir);
	l->nlowers = l->n;
	if (upper != NULL)
		layer_add(l, "upperdir", xstrdup(upper));
	if (work != NULL)
		layer_add(l, "workdir", xstrdup(work));
}

/* --- layers -------------------------------------------------------------------------------------- */

static int
layers_open(struct layering *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		l->v[i].fd = open(l->v[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (l->v[i].fd < 0)
			return err_sys(e, errno, "layer %.300s", l->v[i].name);
	}
	return 0;
}

int
layering_shift(int tree, int userns, const char *what, struct err *e)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };

	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return err_sys(e, errno, "map the owners of %.300s", what);
	return err_set(e, ERR_UNIMPLEMENTED,
	    "map the owners of %.300s: its filesystem or this kernel has no idmapped mounts", what);
}

/* The folder dir, with the mount it is on, once more. */
static int
tree_clone(const char *dir, int *ret, struct err *e)
{
	int tree = open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0)
		return err_sys(e, errno, "layer %.300s", dir);
	*ret = tree;
	return 0;
}

/* A clone gets its owners, and lies at path. What is needed of it was opened before: who has no id in there cannot
 * be passed by, not even by root. */
static int
tree_lay(struct layering *l, int tree, const char *dir, struct err *e)
{
	int r = layering_shift(tree, l->shift->userns, dir, e);

	if (r == 0 && move_mount(tree, "", AT_FDCWD, l->path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, errno, "mount layer %.300s", dir);
	l->lying += r == 0;
	return r;
}

static int
reopen(struct layer *y, int tree, const char *name, struct err *e)
{
	fd_close(&y->fd);
	y->fd = openat(tree, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return y->fd < 0 ? err_sys(e, errno, "layer %.300s", y->name) : 0;
}

static int
shift_lower(struct layering *l, struct layer *lower, struct err *e)
{
	AUTO(fd_close) int tree = -1;
	int r;

	if ((r = tree_clone(lower->name, &tree, e)) < 0 || (r = reopen(lower, tree, ".", e)) < 0)
		return r;
	return tree_lay(l, tree, lower->name, e);
}

/* upperdir and workdir must be of one mount: their common folder is cloned. */
static int
shift_upper(struct layering *l, struct layer *upper, struct layer *work, struct err *e)
{
	AUTO(fd_close) int tree = -1;
	const char *u = strrchr(upper->name, '/'), *w = strrchr(work->name, '/');
	AUTO(free_ptr) char *dir = NULL;
	int r;

	if (u == NULL || w == NULL || u - upper->name != w - work->name ||
	    strncmp(upper->name, work->name, (size_t)(u - upper->name)) != 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "upperdir %.200s and workdir %.200s: not side by side", upper->name,
		    work->name);
	dir = xasprintf("%.*s/", (int)(u - upper->name), upper->name);
	if ((r = tree_clone(dir, &tree, e)) < 0 || (r = reopen(upper, tree, u + 1, e)) < 0 ||
	    (r = reopen(work, tree, w + 1, e)) < 0)
		return r;
	return tree_lay(l, tree, dir, e);
}

static int
layers_shift(struct layering *l, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < l->nlowers && r == 0; i++)
		r = shift_lower(l, &l->v[i], e);
	if (r == 0 && l->n - l->nlowers == 2)
		r = shift_upper(l, &l->v[l->nlowers], &l->v[l->nlowers + 1], e);
	return r;
}

/* --- who makes it -------------------------------------------------------------------------------- */

/* Overlay keeps the rights of who mounts it, and makes its own files with them. */
struct guise {
	bool worn;
	uid_t uid;
	gid_t gid;
};

static struct guise
guise_take(const struct shift *s)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	struct guise g = { .worn = s != NULL && syscall(SYS_capget, &head, caps) == 0 };

	if (!g.worn)
		return g;
	g.gid = (gid_t)setfsgid(s->gid);
	g.uid = (uid_t)setfsuid(s->uid);
	(void)syscall(SYS_capset, &head, caps); /* the kernel takes some away with the uid */
	return g;
}

static void
guise_leave(const struct guise *g)
{
	int errnum = errno;

	if (g->worn) {
		(void)setfsuid(g->uid);
		(void)setfsgid(g->gid);
	}
	errno = errnum;
}

/* --- the new calls ------------------------------------------------------------------------------- */

/* With what the kernel had to say about it. */
static int
fs_failed(int fs, struct err *e, const char *what)
{
	int errnum = errno;
	char words[200];
	ssize_t n = read(fs, words, sizeof(words) - 1);

	while (n > 0 && words[n - 1] == '\n')
		n--;
	if (n <= 2)
		return err_sys(e, errnum, "%s", what);
	words[n] = '\0';
	return err_sys(e, errnum, "%s: the kernel says \"%s\"", what, words + 2);
}

/* Until Linux 6.5 overlay takes anything here, and looks at it later. */
static bool
is_legacy(int fs)
{
	return fsconfig(fs, FSCONFIG_SET_STRING, "coffer", "layers", 0) == 0;
}

static int
give_option(int fs, const char *option, struct err *e)
{
	const char *value = strchr(option, '=');
	AUTO(free_ptr) char *key = xasprintf("%.*s", (int)strcspn(option, "="), option);
	int r = value == NULL ? fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL, 0)
			      : fsconfig(fs, FSCONFIG_SET_STRING, key, value + 1, 0);

	return r < 0 ? fs_failed(fs, e, option) : 0;
}

static int
give_flags(int fs, unsigned long bits, struct err *e)
{
	static const struct {
		unsigned long bit;
		const char *name;
	} flags[] = { { MS_RDONLY, "ro" }, { MS_SYNCHRONOUS, "sync" }, { MS_DIRSYNC, "dirsync" },
		{ MS_MANDLOCK, "mand" } };

	for (size_t i = 0; i < COUNT(flags); i++)
		if ((bits & flags[i].bit) != 0 &&
		    fsconfig(fs, FSCONFIG_SET_FLAG, flags[i].name, NULL, 0) < 0)
			return fs_failed(fs, e, flags[i].name);
	return 0;
}

static int
give_layer(const struct layering *l, const struct layer *y, int fs, struct err *e)
{
	AUTO(free_ptr) char *number = xasprintf("/proc/self/fd/%d", y->fd);
	const char *name = l->shift != NULL || strlen(y->name) > VALUE_MAX ? number : y->name;

	if (fsconfig(fs, FSCONFIG_SET_FD, y->key, NULL, y->fd) == 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, y->key, name, 0) == 0)
		return 0;
	if (errno == EINVAL && y->key[0] == 'l')
		return err_set(e, ERR_UNIMPLEMENTED, "lowerdir+");
	return fs_failed(fs, e, y->name);
}

static unsigned
attributes(unsigned long bits)
{
	unsigned a = 0;

	a |= (bits & MS_RDONLY) != 0 ? MOUNT_ATTR_RDONLY : 0;
	a |= (bits & MS_NOSUID) != 0 ? MOUNT_ATTR_NOSUID : 0;
	a |= (bits & MS_NODEV) != 0 ? MOUNT_ATTR_NODEV : 0;
	a |= (bits & MS_NOEXEC) != 0 ? MOUNT_ATTR_NOEXEC : 0;
	a |= (bits & MS_NODIRATIME) != 0 ? MOUNT_ATTR_NODIRATIME : 0;
	a |= (bits & MS_NOATIME) != 0	    ? MOUNT_ATTR_NOATIME
	     : (bits & MS_STRICTATIME) != 0 ? MOUNT_ATTR_STRICTATIME
					    : 0;
	return a;
}

static int
create(const struct layering *l, int fs, struct err *e)
{
	struct guise g = guise_take(l->shift);
	int r = fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);

	guise_leave(&g);
	return r < 0 ? fs_failed(fs, e, "make the overlay") : 0;
}

/* A filesystem that is mounted nowhere yet; unimplemented for a kernel that needs mount(2). */
static int
new_way(const struct layering *l, int *ret, struct err *e)
{
	AUTO(fd_close) int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	int r = 0;

	if (fs < 0 && errno != ENOSYS)
		return err_sys(e, errno, "filesystem overlay");
	if (fs < 0 || is_legacy(fs))
		return err_set(e, ERR_UNIMPLEMENTED, "overlay by the new mount calls");
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", l->source, 0) < 0)
		r = fs_failed(fs, e, "source");
	if (r == 0)
		r = give_flags(fs, l->bits, e);
	for (size_t i = 0; i < l->nrest && r == 0; i++)
		r = give_option(fs, l->rest[i], e);
	for (size_t i = 0; i < l->n && r == 0; i++)
		r = give_layer(l, &l->v[i], fs, e);
	if (r == 0)
		r = create(l, fs, e);
	if (r < 0)
		return r;
	*ret = fsmount(fs, FSMOUNT_CLOEXEC, attributes(l->bits));
	return *ret < 0 ? fs_failed(fs, e, "make the mount") : 0;
}

/* --- mount(2) ------------------------------------------------------------------------------------ */

static const char *
comma(const struct buf *data)
{
	return data->len == 0 ? "" : ",";
}

static void
join_lowers(const struct layering *l, bool by_number, struct buf *data)
{
	(void)buf_addf(data, "%slowerdir=%s", comma(data), by_number ? "" : l->lowerdir);
	for (size_t i = 0; by_number && i < l->nlowers; i++)
		(void)buf_addf(data, "%s/proc/self/fd/%d", i == 0 ? "" : ":", l->v[i].fd);
}

static void
join_all(const struct layering *l, bool by_number, struct buf *data)
{
	for (size_t i = 0; i < l->nrest; i++)
		(void)buf_addf(data, "%s%s", comma(data), l->rest[i]);
	if (l->lowerdir != NULL)
		join_lowers(l, by_number, data);
	for (size_t i = l->nlowers; i < l->n; i++)
		if (by_number)
			(void)buf_addf(
			    data, "%s%s=/proc/self/fd/%d", comma(data), l->v[i].key, l->v[i].fd);
		else
			(void)buf_addf(data, "%s%s=%s", comma(data), l->v[i].key, l->v[i].name);
}

static int
mount_as(const struct layering *l, const char *data, struct err *e)
{
	struct guise g = guise_take(l->shift);
	int r = mount(l->source, l->path, "overlay", l->bits, data);

	guise_leave(&g);
	if (r < 0 && l->shift != NULL && errno == EINVAL)
		return err_set(
		    e, ERR_UNIMPLEMENTED, "this kernel's overlay takes no idmapped layers");
	return r < 0 ? err_sys(e, errno, "make the overlay") : 0;
}

static int
old_way(const struct layering *l, struct err *e)
{
	AUTO(buf_free) struct buf data = BUF_ZERO;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	join_all(l, l->shift != NULL, &data);
	if (data.len >= page && l->shift == NULL) {
		buf_free(&data);
		join_all(l, true, &data);
	}
	if (data.len >= page) /* mount(2) would cut the rest off in silence */
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "%zu layers: this kernel takes fewer (Linux 6.7 and later take 500)",
		    l->nlowers);
	return mount_as(l, buf_str(&data), e);
}

/* --- the whole ----------------------------------------------------------------------------------- */

static void
clear(struct layering *l)
{
	for (; l->lying > 0; l->lying--)
		(void)umount2(l->path, UMOUNT_NOFOLLOW | MNT_DETACH);
}

static void
layering_drop(struct layering *l)
{
	clear(l);
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		fd_close(&l->v[i].fd);
	}
	free(l->v);
	free(l->rest);
}

/* What mount(2) has mounted over the clones is lifted from them. */
static int
lift(struct layering *l, int *ret, struct err *e)
{
	int tree = open_tree(AT_FDCWD, l->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	l->lying++;
	if (tree < 0)
		return err_sys(e, errno, "lift the overlay");
	*ret = tree;
	return 0;
}

static int
make(struct layering *l, struct err *e)
{
	AUTO(fd_close) int mnt = -1;
	int r = new_way(l, &mnt, e);

	if (r == -ERR_UNIMPLEMENTED) {
		*e = ERR_ZERO;
		r = old_way(l, e);
		if (r < 0 || l->lying == 0)
			return r;
		r = lift(l, &mnt, e);
	}
	clear(l);
	if (r == 0 && move_mount(mnt, "", AT_FDCWD, l->path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, errno, "mount the overlay");
	return r;
}

int
layering_make(const char *path, const char *source, unsigned long bits, const char *const *options,
    size_t n, const struct shift *shift, struct err *e)
{
	struct layering l = { .path = path, .source = source, .bits = bits, .shift = shift };
	int r;

	split_options(&l, options, n);
	r = layers_open(&l, e);
	if (r == 0 && shift != NULL)
		r = layers_shift(&l, e);
	if (r == 0)
		r = make(&l, e);
	layering_drop(&l);
	return r < 0 ? err_wrap(e, "overlay at %.100s", path) : 0;
}
