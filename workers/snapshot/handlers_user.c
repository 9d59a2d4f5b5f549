/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handlers_user - user_resolve: names to numbers by /etc/passwd and /etc/group of a snapshot that is
 * mounted nowhere.
 *
 * The layers' folders are looked through as overlayfs would merge them: from the top down, a whiteout
 * or a file ends the search, an opaque folder hides what is below it, symbolic links are followed
 * inside the root only (an absolute one starts at the container's root; at most LINKS_MAX). Every
 * step is one component below a descriptor, never followed by the kernel, so nothing of the host can
 * be reached, whatever a layer or a running container put there. Only regular files are opened; lib/oci/passwd
 * bounds what is read from them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "lib/base/auto.h"
#include "lib/oci/passwd.h"
#include "workers/snapshot/snapshot.h"

#define HANDLERS_PROTOTYPES_ONLY
#define ACTOR snapshot
#define ACTOR_DEF "schemas/snapshot.def"
#define ACTOR_STATE struct snapshot_state
#include "bus/worker/handlers.h"

#define LINKS_MAX 40

/* One folder of the merged tree: its descriptors in the layers that have it, topmost first. */
struct merged {
	int *fds;
	unsigned n;
};

static void
merged_free(struct merged *m)
{
	for (unsigned i = 0; i < m->n; i++)
		fd_close(&m->fds[i]);
	free(m->fds);
	*m = (struct merged){ .n = 0 };
}

static bool
is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool
is_opaque(int fd)
{
	char value[2] = "";

	return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) == 1 &&
	       value[0] == 'y';
}

/*
 * Looks for name in a merged folder. Returns 1 and fills below for a folder; 0 with *at, the
 * descriptor (of dir) whose layer has it, and *st for anything else; negative: ENOENT and such, as -errno.
 */
static int
look(const struct merged *dir, const char *name, struct merged *below, int *at, struct stat *st)
{
	AUTO(merged_free) struct merged found = { .n = 0 };

	found.fds = xcalloc(dir->n + 1, sizeof(*found.fds));
	for (unsigned i = 0; i < dir->n; i++) {
		if (fstatat(dir->fds[i], name, st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno != ENOENT && errno != ENOTDIR)
				return -errno;
			continue;
		}
		if (is_whiteout(st))
			break;
		if (!S_ISDIR(st->st_mode)) {
			if (found.n > 0)
				break;
			*at = dir->fds[i];
			return 0;
		}
		found.fds[found.n] = openat(
		    dir->fds[i], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (found.fds[found.n] < 0)
			return -errno;
		if (is_opaque(found.fds[found.n++]))
			break;
	}
	if (found.n == 0)
		return -ENOENT;
	*below = found;
	found = (struct merged){ .n = 0 };
	return 1;
}

/* A walk: done is the resolved way from the root, without links; left is what is still to go. */
struct walk {
	char done[PATH_MAX], left[PATH_MAX];
	unsigned links;
};

/* Takes the next component off left; false at the end. */
static bool
next_name(struct walk *w, char *name)
{
	const char *p = w->left + strspn(w->left, "/");
	size_t n = strcspn(p, "/");

	if (n == 0)
		return false;
	(void)snprintf(name, NAME_MAX + 1, "%.*s", (int)n, p);
	memmove(w->left, p + n, strlen(p + n) + 1);
	return n <= NAME_MAX;
}

/* The link's target takes the place of its name; the walk starts again from the root. */
static int
follow(struct walk *w, int at, const char *name)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t n = readlinkat(at, name, target, sizeof(target) - 1);
	int len;

	if (n < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	target[n] = '\0';
	(void)memcpy(rest, w->left, sizeof(rest));
	len = snprintf(
	    w->left, sizeof(w->left), "%s/%s/%s", target[0] == '/' ? "" : w->done, target, rest);
	w->done[0] = '\0';
	return len < 0 || (size_t)len >= sizeof(w->left) ? -ENAMETOOLONG : 0;
}

static int
push_done(struct walk *w, const char *name)
{
	size_t n = strlen(w->done), len = strlen(name);

	if (n + 1 + len >= sizeof(w->done))
		return -ENAMETOOLONG;
	w->done[n] = '/';
	(void)memcpy(w->done + n + 1, name, len + 1);
	return 0;
}

/* ".." : the way without its last part, to be walked again from the root. */
static int
go_up(struct walk *w)
{
	char rest[PATH_MAX], *slash = strrchr(w->done, '/');
	int len;

	if (slash != NULL)
		*slash = '\0';
	(void)memcpy(rest, w->left, sizeof(rest));
	len = snprintf(w->left, sizeof(w->left), "%s/%s", w->done, rest);
	w->done[0] = '\0';
	return len < 0 || (size_t)len >= sizeof(w->left) ? -ENAMETOOLONG : 0;
}

static int
open_regular(int at, const char *name, const struct stat *st, int *ret_fd)
{
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	*ret_fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

/* Goes on from root until a link or a ".." sends it back to the start: 1; or it ends: 0, negative. */
static int
walk_once(struct walk *w, const struct merged *root, int *ret_fd)
{
	AUTO(merged_free) struct merged dir = { .n = 0 };
	const struct merged *here = root;
	char name[NAME_MAX + 1];
	struct stat st;
	int r, at = -1;

	while (next_name(w, name)) {
		struct merged below = { .n = 0 };

		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0)
			return (r = go_up(w)) < 0 ? r : 1;
		r = look(here, name, &below, &at, &st);
		if (r < 0)
			return r;
		if (r == 0 && S_ISLNK(st.st_mode))
			return (r = follow(w, at, name)) < 0 ? r : 1;
		if (r == 0)
			return w->left[strspn(w->left, "/")] != '\0'
				   ? -ENOENT
				   : open_regular(at, name, &st, ret_fd);
		merged_free(&dir);
		dir = below;
		here = &dir;
		if ((r = push_done(w, name)) < 0)
			return r;
	}
	return -EINVAL; /* a folder */
}

/* Opens a file of the merged tree; *ret_fd stays -1 when there is none. */
static int
open_merged(const struct merged *root, const char *path, int *ret_fd, struct err *e)
{
	struct walk w = { .done = "" };
	int r;

	(void)snprintf(w.left, sizeof(w.left), "%s", path);
	do
		r = walk_once(&w, root, ret_fd);
	while (r == 1 && w.links <= LINKS_MAX);
	if (r == 0 || r == -ENOENT)
		return 0;
	if (r == -EINVAL)
		return err_set(
		    e, ERR_FAILED_PRECONDITION, "%s of the container is not a regular file", path);
	return err_sys(e, -r, "open %s of the container", path);
}

/* The folders of a snapshot, its own first. */
static int
open_root(struct snapshot_state *s, const char *ns, const char *key, struct arena *a,
    struct merged *ret, struct err *e)
{
	AUTO(store_abort) struct txn *txn = NULL;
	uint64_t *numbers = arena_calloc(a, OVERLAY_LOWERS_MAX + 1, sizeof(*numbers));
	struct snapshot_row row;
	unsigned n = 0;
	int r;

	if ((r = snapshots_key_check(key, e)) < 0 || (r = store_read(s->store, &txn, e)) < 0 ||
	    (r = snapshots_get(txn, ns, key, a, &row, e)) < 0)
		return r;
	if (strcmp(row.snapshot->kind, "committed") == 0) {
		r = layers_chain(txn, key, a, numbers, OVERLAY_LOWERS_MAX, e);
	} else {
		numbers[n++] = row.number;
		r = row.snapshot->parent == NULL ? 0
						 : layers_chain(txn, row.snapshot->parent, a,
						       numbers + n, OVERLAY_LOWERS_MAX, e);
	}
	if (r < 0)
		return r;
	n += (unsigned)r;
	ret->fds = xcalloc(n + 1, sizeof(*ret->fds));
	for (; ret->n < n; ret->n++) {
		ret->fds[ret->n] = overlay_fs(s->overlay, numbers[ret->n]);
		if (ret->fds[ret->n] < 0)
			return err_sys(e, errno, "open the folder of snapshot %s", key);
	}
	return 0;
}

static void
fill(const struct oci_user *u, struct arena *a, struct user_resolve_rep *rep)
{
	const char **gids = arena_calloc(a, u->ngids + 1, sizeof(*gids));

	for (unsigned i = 0; i < u->ngids; i++)
		gids[i] = arena_printf(a, "%u", u->gids[i]);
	rep->uid = u->uid;
	rep->gid = u->gid;
	rep->gids = (struct strs){ .v = gids, .n = u->ngids };
}

int
snapshot_on_user_resolve(struct snapshot_state *s, struct call *c,
    const struct user_resolve_req *req, struct user_resolve_rep *rep, struct err *e)
{
	AUTO(merged_free) struct merged root = { .n = 0 };
	AUTO(fd_close) int passwd = -1;
	AUTO(fd_close) int group = -1;
	struct oci_user_ref ref;
	struct oci_user user;
	int r;

	if ((r = oci_user_parse(req->user == NULL ? "" : req->user, &ref, e)) < 0 ||
	    (r = open_root(s, call_ns(c), req->key, call_arena(c), &root, e)) < 0 ||
	    (r = open_merged(&root, "/etc/passwd", &passwd, e)) < 0 ||
	    (r = open_merged(&root, "/etc/group", &group, e)) < 0 ||
	    (r = oci_user_resolve(&ref, passwd, group, &user, e)) < 0)
		return r;
	fill(&user, call_arena(c), rep);
	return 0;
}
