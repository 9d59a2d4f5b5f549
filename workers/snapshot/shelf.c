/* SPDX-License-Identifier: Apache-2.0 */
/* shelf - see shelf.h */
#include "workers/snapshot/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"

struct shelf {
	char *path;	       /* ROOT/snapshot */
	int base, made, trash; /* descriptors */
	int kinds[SNAPSHOTTER_COUNT];
	/* The same folders as they are given to children. Layers hold device nodes, and who unpacks may
	 * make any: here none can be opened. Nothing can be renamed between these and those above. */
	int cage_made, cage_kinds[SNAPSHOTTER_COUNT];
	uint64_t next;
};

static const char *const kind_names[SNAPSHOTTER_COUNT] = {
#define SNAPSHOTTER(NAME, name, doc) #name,
#include "schemas/snapshotters.def"
};

void
shelf_close(struct shelf **s)
{
	if (*s == NULL)
		return;
	free((*s)->path);
	fd_close(&(*s)->base);
	fd_close(&(*s)->made);
	fd_close(&(*s)->trash);
	fd_close(&(*s)->cage_made);
	for (unsigned i = 0; i < SNAPSHOTTER_COUNT; i++) {
		fd_close(&(*s)->kinds[i]);
		fd_close(&(*s)->cage_kinds[i]);
	}
	free(*s);
	*s = NULL;
}

/* A folder's number from its name; false for anything else. */
static bool
number_of(const char *name, uint64_t *ret)
{
	char again[SHELF_NAME_MAX], *end;

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
	struct shelf *s = arg;
	uint64_t n;

	(void)e;
	if (number_of(name, &n) && n >= s->next)
		s->next = n + 1;
	return 0;
}

/* ROOT/snapshot as a mount of its own, attached nowhere, where no device can be opened and nothing executed;
 * the folder itself without the right to make one. */
static int
cage_make(const struct shelf *s, int *ret_fd, struct err *e)
{
	const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
					       MOUNT_ATTR_NOSUID };
	AUTO(fd_close) int fd = open_tree(s->base, "", flags);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
		log_warn("layers are unpacked where devices can be opened: %s", strerror(errno));
		fd_close(&fd);
		fd = fcntl(s->base, F_DUPFD_CLOEXEC, 0);
	}
	if (fd < 0)
		return err_sys(e, errno, "open folder %s", s->path);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* What is mounted below a snapshotter's folder is seen through that folder only. */
static bool
mounts_inside(unsigned kind)
{
	return strcmp(kind_names[kind], "erofs") == 0;
}

static int
cage_open(struct shelf *s, struct err *e)
{
	AUTO(fd_close) int cage = -1;
	int r = cage_make(s, &cage, e);

	if (r == 0)
		r = fs_open_dir(cage, "new", 0700, &s->cage_made, e);
	for (unsigned i = 0; r == 0 && i < SNAPSHOTTER_COUNT; i++)
		r = fs_open_dir(
		    mounts_inside(i) ? s->base : cage, kind_names[i], 0700, &s->cage_kinds[i], e);
	return r;
}

int
shelf_open(const char *root, struct shelf **ret, struct err *e)
{
	AUTO(shelf_close) struct shelf *s = xcalloc(1, sizeof(*s));
	int r;

	*s = (struct shelf){ .base = -1, .made = -1, .trash = -1, .cage_made = -1, .next = 1 };
	for (unsigned i = 0; i < SNAPSHOTTER_COUNT; i++)
		s->kinds[i] = s->cage_kinds[i] = -1;
	s->path = xasprintf("%s/snapshot", root);
	if (root[0] != '/' || strpbrk(root, ",:\\\"") != NULL)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "root folder %s: must be absolute and without any of , : \\ \" (mount options)",
		    root);
	r = fs_open_dir(AT_FDCWD, s->path, 0700, &s->base, e);
	if (r == 0)
		r = fs_open_dir(s->base, "new", 0700, &s->made, e);
	if (r == 0)
		r = fs_open_dir(s->base, "trash", 0700, &s->trash, e);
	for (unsigned i = 0; r == 0 && i < SNAPSHOTTER_COUNT; i++) {
		r = fs_open_dir(s->base, kind_names[i], 0700, &s->kinds[i], e);
		if (r == 0)
			r = each_name(s->kinds[i], see_number, s, e);
	}
	if (r == 0)
		r = cage_open(s, e);
	if (r < 0)
		return r;
	*ret = TAKE(s);
	return 0;
}

int
shelf_kind_fd(const struct shelf *s, enum snapshotter_id kind)
{
	return s->cage_kinds[kind];
}

int
shelf_trash_fd(const struct shelf *s)
{
	return s->trash;
}

char *
shelf_path(const struct shelf *s, enum snapshotter_id kind, struct arena *a)
{
	return arena_printf(a, "%s/%s", s->path, kind_names[kind]);
}

/* --- making -------------------------------------------------------------------------------------- */

int
shelf_make(struct shelf *s, char *name, int *ret_fd, struct err *e)
{
	AUTO(fd_close) int fd = -1;
	char path[SHELF_NAME_MAX + 8];

	ident_random(name, 8);
	(void)snprintf(path, sizeof(path), "%s/fs", name);
	if (mkdirat(s->made, name, 0700) < 0 || mkdirat(s->made, path, 0755) < 0)
		return err_sys(e, errno, "make folder new/%s", path);
	fd = openat(s->cage_made, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, 0, 0) < 0 || fchmod(fd, 0755) < 0)
		return err_sys(e, errno, "make folder new/%s", path);
	*ret_fd = fd_take(&fd);
	return 0;
}

int
shelf_place(struct shelf *s, enum snapshotter_id kind, const char *name, uint64_t *ret_number,
    struct err *e)
{
	char to[SHELF_NAME_MAX];

	(void)snprintf(to, sizeof(to), "%llu", (unsigned long long)s->next);
	if (renameat2(s->made, name, s->kinds[kind], to, RENAME_NOREPLACE) < 0)
		return err_sys(e, errno, "move new/%s to %s/%s", name, kind_names[kind], to);
	if (fsync(s->kinds[kind]) < 0)
		return err_sys(e, errno, "sync folder %s", kind_names[kind]);
	*ret_number = s->next++;
	return 0;
}

int
shelf_made_fd(const struct shelf *s, const char *name)
{
	return openat(s->cage_made, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

char *
shelf_made_path(const struct shelf *s, const char *name, struct arena *a)
{
	return arena_printf(a, "%s/new/%s", s->path, name);
}

/* --- removing ------------------------------------------------------------------------------------ */

static int
to_trash(struct shelf *s, int dir, const char *name, struct err *e)
{
	char to[SHELF_NAME_MAX];

	ident_random(to, 8);
	if (renameat(dir, name, s->trash, to) < 0 && errno != ENOENT)
		return err_sys(e, errno, "move folder %s to the trash", name);
	return 0;
}

int
shelf_drop_new(struct shelf *s, const char *name, struct err *e)
{
	return to_trash(s, s->made, name, e);
}

int
shelf_drop(struct shelf *s, enum snapshotter_id kind, uint64_t number, struct err *e)
{
	char name[SHELF_NAME_MAX];

	(void)snprintf(name, sizeof(name), "%llu", (unsigned long long)number);
	return to_trash(s, s->kinds[kind], name, e);
}

static int
drop_new_name(void *arg, const char *name, struct err *e)
{
	return shelf_drop_new(arg, name, e);
}

int
shelf_drop_all_new(struct shelf *s, struct err *e)
{
	return each_name(s->made, drop_new_name, s, e);
}

struct sweep {
	struct shelf *shelf;
	enum snapshotter_id kind;
	const struct shelf_sweep *how;
	unsigned n;
};

static int
sweep_name(void *arg, const char *name, struct err *e)
{
	struct sweep *w = arg;
	uint64_t n;

	bool ours = number_of(name, &n);

	if (ours && w->how->wanted(w->how->arg, w->kind, n))
		return 0;
	w->n++;
	if (ours && w->how->leaving(w->how->arg, w->kind, n, e) < 0)
		return -(int)e->code;
	return to_trash(w->shelf, w->shelf->kinds[w->kind], name, e);
}

int
shelf_sweep(struct shelf *s, const struct shelf_sweep *how, unsigned *ret_n, struct err *e)
{
	int r = 0;

	*ret_n = 0;
	for (unsigned kind = 0; r == 0 && kind < SNAPSHOTTER_COUNT; kind++) {
		struct sweep w = { .shelf = s, .kind = (enum snapshotter_id)kind, .how = how };

		r = each_name(s->kinds[kind], sweep_name, &w, e);
		*ret_n += w.n;
	}
	return r;
}

struct each {
	shelf_fn *fn;
	void *arg;
};

static int
each_number(void *arg, const char *name, struct err *e)
{
	const struct each *x = arg;
	uint64_t n;

	(void)e;
	if (number_of(name, &n))
		x->fn(x->arg, n);
	return 0;
}

void
shelf_each(const struct shelf *s, enum snapshotter_id kind, shelf_fn *fn, void *arg)
{
	struct each x = { .fn = fn, .arg = arg };
	struct err ignored = ERR_ZERO; /* of what can't be read there is nothing */

	(void)each_name(s->kinds[kind], each_number, &x, &ignored);
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
shelf_trash_empty(struct shelf *s)
{
	struct err e = ERR_ZERO;

	return each_name(s->trash, any_name, NULL, &e) == 0;
}

int
shelf_check_owners(const struct shelf *s, enum snapshotter_id kind, uint64_t number, struct err *e)
{
	char path[SHELF_NAME_MAX + 8];

	(void)snprintf(path, sizeof(path), "%llu/owners", (unsigned long long)number);
	if (faccessat(s->kinds[kind], path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return err_set(e, ERR_FAILED_PRECONDITION,
	    "its files were given to the users of a user namespace, as its filesystem has no "
	    "idmapped "
	    "mounts: no layer can be made of them");
}

int
shelf_fs(const struct shelf *s, enum snapshotter_id kind, uint64_t number)
{
	char path[SHELF_NAME_MAX + 8];

	(void)snprintf(path, sizeof(path), "%llu/fs", (unsigned long long)number);
	return openat(s->cage_kinds[kind], path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool
shelf_has(const struct shelf *s, enum snapshotter_id kind, uint64_t number)
{
	char path[SHELF_NAME_MAX + 8];

	(void)snprintf(path, sizeof(path), "%llu/fs", (unsigned long long)number);
	return faccessat(s->kinds[kind], path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
