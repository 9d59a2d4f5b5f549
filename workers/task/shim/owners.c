/* SPDX-License-Identifier: Apache-2.0 */
/* owners - see owners.h */
#include "workers/task/shim/owners.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/capability.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/idmap.h"
#include "lib/base/log.h"

#define RECORD_MAX 65536
#define CAPABILITY "security.capability"

struct maps {
	struct idmap uids, gids;
};

/* --- one file ------------------------------------------------------------------------------------- */

/* An inode with several names, and whose it was made. */
struct linked {
	dev_t dev;
	ino_t ino;
	uid_t uid;
	gid_t gid;
};

static int
linked_order(const void *x, const void *y)
{
	const struct linked *a = x, *b = y;

	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	return a->dev < b->dev ? -1 : a->dev > b->dev;
}

/* Changed by another of its names. Overlay parts the names when it copies one up and still shows one inode: then this
 * name is as it was. */
static bool
was_changed(void **seen, const struct stat *st, uid_t uid, gid_t gid)
{
	struct linked *l = xcalloc(1, sizeof(*l)), **found;

	*l = (struct linked){ st->st_dev, st->st_ino, uid, gid };
	found = tsearch(l, seen, linked_order);
	if (found == NULL || *found == l)
		return false;
	free(l);
	return (*found)->uid == st->st_uid && (*found)->gid == st->st_gid;
}

/* File capabilities name the root that they are for; without that, it is the host's. */
static int
capability_put(const char *path, const struct vfs_ns_cap_data *old, uint32_t root)
{
	struct vfs_ns_cap_data cap = *old;
	uint32_t flags = le32toh(old->magic_etc) & VFS_CAP_FLAGS_MASK;

	cap.magic_etc = htole32(VFS_CAP_REVISION_3 | flags);
	cap.rootid = htole32(root);
	return lsetxattr(path, CAPABILITY, &cap, sizeof(cap), 0);
}

/* A change of owner takes capabilities and set-id bits away. */
static int
change_one(const char *path, const struct stat *st, uid_t uid, gid_t gid, uint32_t root)
{
	struct vfs_ns_cap_data cap = { .magic_etc = 0 };
	bool file = S_ISREG(st->st_mode);
	ssize_t n = file ? lgetxattr(path, CAPABILITY, &cap, sizeof(cap)) : -1;

	if (fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (file && (st->st_mode & (S_ISUID | S_ISGID)) != 0 &&
	    fchmodat(AT_FDCWD, path, st->st_mode & 07777, 0) < 0)
		return -1;
	return n > 0 ? capability_put(path, &cap, root) : 0;
}

static int
change(const FTSENT *f, const struct maps *m, void **seen)
{
	const struct stat *st = f->fts_statp;
	uint32_t uid = st->st_uid, gid = st->st_gid, root = 0;

	/* who has no id inside stays who he is, and is nobody there */
	(void)idmap_outside(&m->uids, st->st_uid, &uid);
	(void)idmap_outside(&m->gids, st->st_gid, &gid);
	(void)idmap_outside(&m->uids, 0, &root);
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1 && was_changed(seen, st, uid, gid))
		return 0;
	return change_one(f->fts_accpath, st, uid, gid, root);
}

/* --- the tree ------------------------------------------------------------------------------------- */

static int
walk(const char *dir, const struct maps *m, struct err *e)
{
	union {
		const char *in[2];
		char *out[2];
	} roots = { .in = { dir, NULL } };
	FTS *t = fts_open(roots.out, FTS_PHYSICAL | FTS_XDEV, NULL);
	void *seen = NULL;
	FTSENT *f;
	int r = 0;

	if (t == NULL)
		return err_sys(e, errno, "list %s", dir);
	while (r == 0 && (f = fts_read(t)) != NULL)
		if (f->fts_info == FTS_ERR || f->fts_info == FTS_DNR || f->fts_info == FTS_NS)
			r = err_sys(e, f->fts_errno, "read %.200s", f->fts_path);
		else if (f->fts_info != FTS_DP && change(f, m, &seen) < 0)
			r = err_sys(e, errno, "change the owner of %.200s", f->fts_path);
	if (r == 0 && errno != 0)
		r = err_sys(e, errno, "list %s", dir);
	(void)fts_close(t);
	tdestroy(seen, free);
	return r;
}

/* In a child: the walk changes the working folder, so that no path is too long for it. */
static int
walk_apart(const char *dir, const struct maps *m, struct err *e)
{
	int fd[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	pid = fork();
	if (pid == 0) {
		(void)walk(dir, m, e);
		_exit(fs_write_all(fd[1], e, sizeof(*e)) < 0);
	}
	fd_close(&fd[1]);
	if (pid < 0)
		(void)err_sys(e, errno, "fork");
	else if ((n = read(fd[0], e, sizeof(*e))) != (ssize_t)sizeof(*e))
		(void)err_set(e, ERR_INTERNAL, "the child that changes owners died");
	fd_close(&fd[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return -(int)e->code;
}

/* --- once ----------------------------------------------------------------------------------------- */

static int
record_read(const char *path, struct buf *text, struct err *e)
{
	int r = fs_read(AT_FDCWD, path, RECORD_MAX, text, e);

	if (r != -ERR_NOT_FOUND)
		return r;
	*e = ERR_ZERO;
	return 0;
}

static int
change_all(
    const char *dir, const char *record, const char *maps_text, const struct maps *m, struct err *e)
{
	AUTO(free_ptr) char *done = xasprintf("%sdone\n", maps_text);
	int r;

	log_warn("%s: no idmapped mounts here, the owners of all files are changed instead", dir);
	if ((r = fs_write(AT_FDCWD, record, maps_text, strlen(maps_text), 0600, true, e)) < 0 ||
	    (r = walk_apart(dir, m, e)) < 0)
		return r;
	return fs_write(AT_FDCWD, record, done, strlen(done), 0600, true, e);
}

int
owners_change(
    const char *dir, const char *record, const char *uidmap, const char *gidmap, struct err *e)
{
	AUTO(free_ptr) struct maps *m = xcalloc(1, sizeof(*m));
	AUTO(free_ptr) char *text = xasprintf("%s\n%s\n", uidmap, gidmap);
	AUTO(buf_free) struct buf have = BUF_ZERO;
	size_t n = strlen(text);
	int r;

	if ((r = idmap_add(&m->uids, uidmap, e)) < 0 || (r = idmap_add(&m->gids, gidmap, e)) < 0 ||
	    (r = record_read(record, &have, e)) < 0)
		return r;
	if (have.len == 0)
		return change_all(dir, record, text, m, e);
	if (strncmp(buf_str(&have), text, n) == 0 && strcmp(buf_str(&have) + n, "done\n") == 0)
		return 0;
	return err_set(e, ERR_FAILED_PRECONDITION,
	    "the owners of its files were changed in part, or for others: delete the container and "
	    "create it again");
}
