/* SPDX-License-Identifier: Apache-2.0 */
/* stack - see stack.h */
#include "workers/snapshot/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"

/* Makes an overlay out of three folders below path, that is mounted nowhere. */
static int
overlay_try(const char *path, struct err *e)
{
	static const char *const keys[] = { "lowerdir", "upperdir", "workdir" };
	static const char *const folders[] = { "fs", "up", "work" };
	AUTO(fd_close) int fs = fsopen("overlay", FSOPEN_CLOEXEC);

	if (fs < 0)
		return err_sys(e, errno, "the kernel has no overlayfs");
	for (unsigned i = 0; i < COUNT(keys); i++) {
		AUTO(free_ptr) char *folder = xasprintf("%s/%s", path, folders[i]);
		AUTO(fd_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		AUTO(free_ptr) char *name = xasprintf("/proc/self/fd/%d", fd);

		/* by number: a name given here has at most 255 bytes */
		if (fd < 0 || fsconfig(fs, FSCONFIG_SET_STRING, keys[i], name, 0) < 0)
			return err_sys(e, errno, "overlayfs does not take %s %s", keys[i], folder);
	}
	/* Else its end waits until all that any program has written is on disk. Linux 5.10 and later. */
	(void)fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(e, errno, "overlayfs can't be mounted over folders of %s", path);
	return 0;
}

int
stack_probe(struct shelf *s, bool fsverity, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(fd_close) int fs = -1;
	AUTO(fd_close) int dir = -1;
	char name[SHELF_NAME_MAX];
	struct err ignored = ERR_ZERO; /* what is left goes at the next start */
	int r = shelf_make(s, name, &fs, e);

	(void)fsverity; /* of images alone */
	if (r < 0)
		return r;
	dir = shelf_made_fd(s, name);
	if (dir < 0 || mkdirat(dir, "up", 0700) < 0 || mkdirat(dir, "work", 0700) < 0)
		r = err_sys(e, errno, "make folders below new/%s", name);
	else
		r = overlay_try(shelf_made_path(s, name, &a), e);
	(void)shelf_drop_new(s, name, &ignored);
	if (r < 0)
		e->code = ERR_FAILED_PRECONDITION;
	return r < 0 ? -ERR_FAILED_PRECONDITION : 0;
}

/* The root of the stack has the mode and owner of the topmost layer's. */
static int
like(int dir, int top, struct err *e)
{
	AUTO(fd_close) int to = openat(dir, "fs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fstat(top, &st) < 0 || to < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
	    fchmod(to, st.st_mode & 07777) < 0)
		return err_sys(e, errno, "give a snapshot the mode of the layer below");
	return 0;
}

int
stack_furnish(int dir, int top, struct err *e)
{
	if (mkdirat(dir, "work", 0711) < 0 || fchownat(dir, "work", 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "make folder work");
	return top < 0 ? 0 : like(dir, top, e);
}

int
stack_mounts(const struct snapshotter *sn, const struct shelf *s, const struct snapshot_view *v,
    struct arena *a, struct snapshot_mounts_rep *ret, struct err *e)
{
	AUTO(buf_free) struct buf lower = BUF_ZERO;
	const char *path = shelf_path(s, sn->id, a), **options;
	struct mount *m;
	unsigned n = 0;

	(void)e;
	if (v->nlowers == 0 || (v->nlowers == 1 && !v->writable)) {
		snapshotter_bind(sn, s, v->nlowers == 0 ? v->number : v->lowers[0],
		    v->writable && v->nlowers == 0, a, ret);
		return 0;
	}
	(void)buf_adds(&lower, "lowerdir="); /* without a limit it can't fail */
	for (unsigned i = 0; i < v->nlowers; i++)
		(void)buf_addf(&lower, "%s%s/%llu/fs", i == 0 ? "" : ":", path,
		    (unsigned long long)v->lowers[i]);
	m = arena_calloc(a, 1, sizeof(*m));
	options = arena_calloc(a, 4, sizeof(*options));
	if (access("/sys/module/overlay/parameters/index", F_OK) == 0)
		options[n++] = "index=off";
	options[n++] = arena_strdup(a, buf_str(&lower));
	if (v->writable) {
		options[n++] = arena_printf(
		    a, "upperdir=%s/%llu/fs", path, (unsigned long long)v->number);
		options[n++] = arena_printf(
		    a, "workdir=%s/%llu/work", path, (unsigned long long)v->number);
	}
	*m = (struct mount){ .type = arena_strdup(a, "overlay"),
		.source = arena_strdup(a, "overlay"),
		.options = { .v = options, .n = n } };
	ret->mounts = (struct mount_list){ .v = m, .n = 1 };
	return 0;
}
