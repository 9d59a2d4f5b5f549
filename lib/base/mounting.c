/* SPDX-License-Identifier: Apache-2.0 */
/* mounting - see mounting.h */
#include "lib/base/mounting.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/idmap.h"
#include "lib/base/layering.h"
#include "lib/base/loop_device.h"

struct flag {
	const char *name;
	unsigned long set, clear;
};

static const struct flag flags[] = {
	{ "async", 0, MS_SYNCHRONOUS },
	{ "atime", 0, MS_NOATIME },
	{ "bind", MS_BIND, 0 },
	{ "defaults", 0, 0 },
	{ "dev", 0, MS_NODEV },
	{ "diratime", 0, MS_NODIRATIME },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "mand", MS_MANDLOCK, 0 },
	{ "noatime", MS_NOATIME, 0 },
	{ "nodev", MS_NODEV, 0 },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "noexec", MS_NOEXEC, 0 },
	{ "nomand", 0, MS_MANDLOCK },
	{ "norelatime", 0, MS_RELATIME },
	{ "nostrictatime", 0, MS_STRICTATIME },
	{ "nosuid", MS_NOSUID, 0 },
	{ "rbind", MS_BIND | MS_REC, 0 },
	{ "relatime", MS_RELATIME, 0 },
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "suid", 0, MS_NOSUID },
	{ "sync", MS_SYNCHRONOUS, 0 },
};

static bool
flag_take(const char *option, unsigned long *bits)
{
	for (size_t i = 0; i < COUNT(flags); i++)
		if (strcmp(option, flags[i].name) == 0) {
			*bits = (*bits & ~flags[i].clear) | flags[i].set;
			return true;
		}
	return false;
}

struct plan {
	unsigned long bits;
	bool loop;
	const char *uidmap, *gidmap; /* NULL: owners as they are */
	const char **data;	     /* options that are the filesystem's */
	size_t ndata;
};

static void
plan_make(struct plan *p, const char *const *options, size_t n)
{
	*p = (struct plan){ .data = xcalloc(n + 1, sizeof(*p->data)) };
	for (size_t i = 0; i < n; i++)
		if (strcmp(options[i], "loop") == 0)
			p->loop = true;
		else if (strncmp(options[i], "uidmap=", 7) == 0)
			p->uidmap = options[i] + 7;
		else if (strncmp(options[i], "gidmap=", 7) == 0)
			p->gidmap = options[i] + 7;
		else if (!flag_take(options[i], &p->bits))
			p->data[p->ndata++] = options[i];
}

static void
plan_drop(struct plan *p)
{
	free(p->data);
}

/* The user namespace whose maps the mount gets; ret->userns stays -1 when there are none. */
static int
plan_shift(const struct plan *p, struct shift *ret, struct err *e)
{
	AUTO(free_ptr) struct idmap *maps = xcalloc(2, sizeof(*maps));
	int r;

	if (p->uidmap == NULL && p->gidmap == NULL)
		return 0;
	if (p->uidmap == NULL || p->gidmap == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "uidmap and gidmap need each other");
	if ((r = idmap_add(&maps[0], p->uidmap, e)) < 0 ||
	    (r = idmap_add(&maps[1], p->gidmap, e)) < 0)
		return r;
	ret->uid = maps[0].v[0].outside;
	ret->gid = maps[1].v[0].outside;
	return idmap_userns(&maps[0], &maps[1], &ret->userns, e);
}

/* --- a bind -------------------------------------------------------------------------------------- */

/* The same with other owners. */
static int
bind_shifted(const char *path, const char *source, unsigned long bits, int userns, struct err *e)
{
	unsigned deep = (bits & MS_REC) != 0 ? AT_RECURSIVE : 0;
	AUTO(fd_close)
	int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | deep);
	int r;

	if (tree < 0)
		return err_sys(e, errno, "bind");
	r = layering_shift(tree, userns, source, e);
	if (r == 0 && move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, errno, "bind");
	return r;
}

static int
bind_make(const char *path, const char *source, unsigned long bits, const struct shift *shift,
    struct err *e)
{
	int r = 0;

	if (shift != NULL)
		r = bind_shifted(path, source, bits, shift->userns, e);
	else if (mount(source, path, "none", bits, NULL) < 0)
		r = err_sys(e, errno, "bind");
	if (r < 0)
		return r;
	/* A bind takes the flags of what it binds; they are set by mounting again. */
	if ((bits & ~(unsigned long)(MS_BIND | MS_REC)) != 0 &&
	    mount("none", path, NULL, bits | MS_REMOUNT, NULL) < 0)
		return err_sys(e, errno, "set flags");
	return 0;
}

/* --- a filesystem in a file ---------------------------------------------------------------------- */

static int
loop_make(const char *source, bool read_only, char *name, int *ret, struct err *e)
{
	AUTO(fd_close) int file = open(source, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	return file < 0 ? err_sys(e, errno, "open the file")
			: loop_device(file, read_only, name, ret, e);
}

/* --- a filesystem -------------------------------------------------------------------------------- */

static int
data_join(const struct plan *p, struct buf *data, struct err *e)
{
	for (size_t i = 0; i < p->ndata; i++)
		(void)buf_addf(data, "%s%s", i == 0 ? "" : ",", p->data[i]);
	/* mount(2) takes one page and would cut the rest off in silence. */
	if (data->len >= (size_t)sysconf(_SC_PAGESIZE))
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "options of %zu bytes, the kernel takes a page", data->len);
	return 0;
}

static int
plain_make(
    const char *path, const char *type, const char *source, const struct plan *p, struct err *e)
{
	AUTO(buf_free) struct buf data = BUF_ZERO;
	AUTO(fd_close) int dev = -1;
	char name[LOOP_DEVICE_NAME_MAX];
	int r = data_join(p, &data, e);

	if (r == 0 && p->loop)
		r = loop_make(source, (p->bits & MS_RDONLY) != 0, name, &dev, e);
	if (r < 0)
		return r;
	if (mount(p->loop ? name : source, path, type, p->bits, data.len > 0 ? data.data : NULL) <
	    0)
		return err_sys(e, errno, "mount");
	return 0;
}

static int
make(const char *path, const char *type, const char *source, struct plan *p,
    const struct shift *shift, struct err *e)
{
	bool rbind = strcmp(type, "rbind") == 0;

	if (rbind || strcmp(type, "bind") == 0)
		p->bits |= MS_BIND | (rbind ? MS_REC : 0);
	if ((p->bits & MS_BIND) != 0)
		return bind_make(path, source, p->bits, shift, e);
	if (strcmp(type, "overlay") == 0)
		return layering_make(path, source, p->bits, p->data, p->ndata, shift, e);
	if (shift != NULL)
		return err_set(
		    e, ERR_UNIMPLEMENTED, "owners are mapped for overlays and binds only");
	return plain_make(path, type, source, p, e);
}

int
mounting_make(const char *path, const char *type, const char *source, const char *const *options,
    size_t n, struct err *e)
{
	struct shift shift = { .userns = -1 };
	struct plan p;
	int r;

	plan_make(&p, options, n);
	r = plan_shift(&p, &shift, e);
	if (r == 0)
		r = make(path, type, source, &p, shift.userns < 0 ? NULL : &shift, e);
	fd_close(&shift.userns);
	plan_drop(&p);
	return r < 0 ? err_wrap(e, "mount %.60s %.200s", type, source) : 0;
}
