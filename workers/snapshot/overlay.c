/* SPDX-License-Identifier: Apache-2.0 */
/* overlay - see overlay.h */
#include "workers/snapshot/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"

#define OPTIONS_BYTES_MAX 4095 /* mount(2) copies one page */

struct overlay {
	char *layers_path;	       /* ROOT/snapshot/overlay */
	int base, layers, made, trash; /* descriptors */
	uint64_t next;
	bool has_index;
};

void
overlay_close(struct overlay **o)
{
	if (*o == NULL)
		return;
	free((*o)->layers_path);
	fd_close(&(*o)->base);
	fd_close(&(*o)->layers);
	fd_close(&(*o)->made);
	fd_close(&(*o)->trash);
	free(*o);
	*o = NULL;
}

/* A folder's number from its name; false for anything else. */
static bool
number_of(const char *name, uint64_t *ret)
{
	char again[OVERLAY_NAME_MAX], *end;

	errno = 0;
	*ret = strtoull(name, &end, 10);
	(void)snprintf(again, sizeof(again), "%llu", (unsigned long long)*ret);
	return errno == 0 && *end == '\0' && strcmp(again, name) == 0;
}

typedef int name_fn(void *arg, const char *name, struct err *e);

/* Calls fn for each name in the folder behind fd (borrowed). */
static int
each_name(int fd, name_fn *fn, void *arg, struct err *e)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	AUTO(dir_close) DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *ent;

	if (d == NULL) {
		r = err_sys(e, errno, "list folder");
		fd_close(&again);
		return r;
	}
	while (r == 0 && (ent = readdir(d)) != NULL)
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			r = fn(arg, ent->d_name, e);
	return r;
}

static int
see_number(void *arg, const char *name, struct err *e)
{
	struct overlay *o = arg;
	uint64_t n;

	(void)e;
	if (number_of(name, &n) && n >= o->next)
		o->next = n + 1;
	return 0;
}

int
overlay_open(const char *root, struct overlay **ret, struct err *e)
{
	AUTO(overlay_close) struct overlay *o = xcalloc(1, sizeof(*o));
	AUTO(free_ptr) char *base = xasprintf("%s/snapshot", root);
	int r;

	*o = (struct overlay){ .base = -1, .layers = -1, .made = -1, .trash = -1, .next = 1 };
	o->layers_path = xasprintf("%s/overlay", base);
	if (root[0] != '/' || strpbrk(root, ",:\\\"") != NULL)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "root folder %s: must be absolute and without any of , : \\ \" (mount options)",
		    root);
	r = fs_open_dir(AT_FDCWD, base, 0700, &o->base, e);
	if (r == 0)
		r = fs_open_dir(o->base, "overlay", 0700, &o->layers, e);
	if (r == 0)
		r = fs_open_dir(o->base, "new", 0700, &o->made, e);
	if (r == 0)
		r = fs_open_dir(o->base, "trash", 0700, &o->trash, e);
	if (r == 0)
		r = each_name(o->layers, see_number, o, e);
	if (r < 0)
		return r;
	o->has_index = access("/sys/module/overlay/parameters/index", F_OK) == 0;
	*ret = TAKE(o);
	return 0;
}

int
overlay_layers_fd(const struct overlay *o)
{
	return o->layers;
}

int
overlay_trash_fd(const struct overlay *o)
{
	return o->trash;
}

/* --- making -------------------------------------------------------------------------------------- */

int
overlay_make(struct overlay *o, char *name, int *ret_fd, struct err *e)
{
	AUTO(fd_close) int fd = -1;
	char path[OVERLAY_NAME_MAX + 8];

	ident_random(name, 8);
	(void)snprintf(path, sizeof(path), "%s/fs", name);
	if (mkdirat(o->made, name, 0700) < 0 || mkdirat(o->made, path, 0755) < 0)
		return err_sys(e, errno, "make folder new/%s", path);
	fd = openat(o->made, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, 0, 0) < 0 || fchmod(fd, 0755) < 0)
		return err_sys(e, errno, "make folder new/%s", path);
	*ret_fd = fd_take(&fd);
	return 0;
}

int
overlay_make_work(struct overlay *o, const char *name, struct err *e)
{
	char path[OVERLAY_NAME_MAX + 8];

	(void)snprintf(path, sizeof(path), "%s/work", name);
	if (mkdirat(o->made, path, 0711) < 0 ||
	    fchownat(o->made, path, 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "make folder new/%s", path);
	return 0;
}

int
overlay_like(struct overlay *o, const char *name, uint64_t layer, struct err *e)
{
	AUTO(fd_close) int from = overlay_fs(o, layer);
	AUTO(fd_close) int to = -1;
	char path[OVERLAY_NAME_MAX + 8];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/fs", name);
	to = openat(o->made, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0 || fstat(from, &st) < 0)
		return err_sys(e, errno, "open layer %llu", (unsigned long long)layer);
	if (to < 0 || fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0)
		return err_sys(e, errno, "set mode of new/%s", path);
	return 0;
}

int
overlay_place(struct overlay *o, const char *name, uint64_t *ret_number, struct err *e)
{
	char to[OVERLAY_NAME_MAX];

	(void)snprintf(to, sizeof(to), "%llu", (unsigned long long)o->next);
	if (renameat2(o->made, name, o->layers, to, RENAME_NOREPLACE) < 0)
		return err_sys(e, errno, "move new/%s to overlay/%s", name, to);
	if (fsync(o->layers) < 0)
		return err_sys(e, errno, "sync folder overlay");
	*ret_number = o->next++;
	return 0;
}

/* --- removing ------------------------------------------------------------------------------------ */

static int
to_trash(struct overlay *o, int dir, const char *name, struct err *e)
{
	char to[OVERLAY_NAME_MAX];

	ident_random(to, 8);
	if (renameat(dir, name, o->trash, to) < 0 && errno != ENOENT)
		return err_sys(e, errno, "move folder %s to the trash", name);
	return 0;
}

int
overlay_drop_new(struct overlay *o, const char *name, struct err *e)
{
	return to_trash(o, o->made, name, e);
}

int
overlay_drop(struct overlay *o, uint64_t number, struct err *e)
{
	char name[OVERLAY_NAME_MAX];

	(void)snprintf(name, sizeof(name), "%llu", (unsigned long long)number);
	return to_trash(o, o->layers, name, e);
}

static int
drop_new_name(void *arg, const char *name, struct err *e)
{
	return overlay_drop_new(arg, name, e);
}

int
overlay_drop_all_new(struct overlay *o, struct err *e)
{
	return each_name(o->made, drop_new_name, o, e);
}

struct sweep {
	struct overlay *overlay;
	overlay_wanted_fn *wanted;
	void *arg;
	unsigned n;
};

static int
sweep_name(void *arg, const char *name, struct err *e)
{
	struct sweep *s = arg;
	uint64_t n;

	if (number_of(name, &n) && s->wanted(s->arg, n))
		return 0;
	s->n++;
	return to_trash(s->overlay, s->overlay->layers, name, e);
}

int
overlay_sweep(
    struct overlay *o, overlay_wanted_fn *wanted, void *arg, unsigned *ret_n, struct err *e)
{
	struct sweep s = { .overlay = o, .wanted = wanted, .arg = arg };
	int r = each_name(o->layers, sweep_name, &s, e);

	*ret_n = s.n;
	return r;
}

static int
any_name(void *arg, const char *name, struct err *e)
{
	(void)arg;
	(void)name;
	(void)e;
	return 1;
}

bool
overlay_trash_empty(struct overlay *o)
{
	struct err e = ERR_ZERO;

	return each_name(o->trash, any_name, NULL, &e) == 0;
}

int
overlay_fs(struct overlay *o, uint64_t number)
{
	char path[OVERLAY_NAME_MAX + 8];

	(void)snprintf(path, sizeof(path), "%llu/fs", (unsigned long long)number);
	return openat(o->layers, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool
overlay_has(struct overlay *o, uint64_t number)
{
	char path[OVERLAY_NAME_MAX + 8];

	(void)snprintf(path, sizeof(path), "%llu/fs", (unsigned long long)number);
	return faccessat(o->layers, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* --- mounts -------------------------------------------------------------------------------------- */

static int
bind_mount(const struct overlay *o, uint64_t number, bool writable, struct arena *a,
    struct snapshot_mounts_rep *ret)
{
	struct mount *m = arena_calloc(a, 1, sizeof(*m));
	const char **options = arena_calloc(a, 2, sizeof(*options));

	options[0] = writable ? "rw" : "ro";
	options[1] = "rbind";
	*m = (struct mount){ .type = arena_strdup(a, "bind"),
		.source = arena_printf(a, "%s/%llu/fs", o->layers_path, (unsigned long long)number),
		.options = { .v = options, .n = 2 } };
	ret->mounts = (struct mount_list){ .v = m, .n = 1 };
	return 0;
}

static int
lowerdir(const struct overlay *o, const struct overlay_view *v, struct buf *text)
{
	int r = buf_adds(text, "lowerdir=");

	for (unsigned i = 0; i < v->nlowers; i++)
		r |= buf_addf(text, "%s%s/%llu/fs", i == 0 ? "" : ":", o->layers_path,
		    (unsigned long long)v->lowers[i]);
	return r;
}

int
overlay_mounts(const struct overlay *o, const struct overlay_view *v, struct arena *a,
    struct snapshot_mounts_rep *ret, struct err *e)
{
	AUTO(buf_free) struct buf lower = BUF_ZERO;
	struct mount *m;
	const char **options;
	unsigned n = 0;
	size_t bytes = 0;

	if (v->nlowers == 0)
		return bind_mount(o, v->number, v->writable, a, ret);
	if (v->nlowers == 1 && !v->writable)
		return bind_mount(o, v->lowers[0], false, a, ret);
	(void)lowerdir(o, v, &lower); /* without a limit it can't fail */
	m = arena_calloc(a, 1, sizeof(*m));
	options = arena_calloc(a, 4, sizeof(*options));
	if (o->has_index)
		options[n++] = "index=off";
	options[n++] = arena_strdup(a, buf_str(&lower));
	if (v->writable) {
		options[n++] = arena_printf(
		    a, "upperdir=%s/%llu/fs", o->layers_path, (unsigned long long)v->number);
		options[n++] = arena_printf(
		    a, "workdir=%s/%llu/work", o->layers_path, (unsigned long long)v->number);
	}
	for (unsigned i = 0; i < n; i++)
		bytes += strlen(options[i]) + 1;
	if (bytes > OPTIONS_BYTES_MAX)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "%u layers below %s need %zu bytes of mount options; the kernel takes %d: use "
		    "a shorter root folder",
		    v->nlowers, o->layers_path, bytes, OPTIONS_BYTES_MAX);
	*m = (struct mount){ .type = arena_strdup(a, "overlay"),
		.source = arena_strdup(a, "overlay"),
		.options = { .v = options, .n = n } };
	ret->mounts = (struct mount_list){ .v = m, .n = 1 };
	return 0;
}
