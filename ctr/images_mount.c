/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images_mount - an image as a folder: mount, unmount.
 *
 * A snapshot whose key is the folder's path stands behind each mount, with the label gc.root: a view, or
 * with --rw one to write to. Views go with their mount; what was written stays until unmount --rm, and
 * is there again when the same image is mounted at the same folder. The mount is made here, in the mount
 * namespace of who asks, and needs nobody once it is made.
 *
 * Killed between snapshot and mount: the next mount takes the snapshot over. Killed between unmount and
 * removal: unmount, once more, removes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "ctr/ctr.h"
#include "ctr/list.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/ident.h"
#include "lib/base/mounting.h"

#define LABEL_ROOT "containerd.io/gc.root"
#define LABEL_IMAGE "coffer.image"
#define KEY_MAX 255

/* The folder's full path. One that is gone is taken as it was written. */
static int
folder_path(const char *word, bool must_exist, char *path, struct err *e)
{
	char show[128];

	if (realpath(word, path) == NULL) {
		if (must_exist || errno != ENOENT || word[0] != '/' || strlen(word) >= PATH_MAX)
			return err_sys(e, errno, "folder %s", ident_show(word, show, sizeof(show)));
		(void)strcpy(path, word);
	}
	if (strlen(path) > KEY_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "the folder's path has %zu bytes: at most %d are taken", strlen(path), KEY_MAX);
	return 0;
}

static bool
is_mounted(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) == 0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

static int
folder_check(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, errno, "folder %.200s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID_ARGUMENT, "%.200s is no folder", path);
	if (is_mounted(path))
		return err_set(e, ERR_ALREADY_EXISTS, "%.200s: something is mounted there", path);
	return 0;
}

/* The image's layers, unpacked. */
static int
image_ready(struct ctr *c, const struct opts *o, struct arena *a, struct image_resolve_rep *ret,
    struct err *e)
{
	const struct image_resolve_req resolve = { .ref = o->args.v[0],
		.platform = opts_text(o, "platform") };
	struct image_unpack_req unpack = { .platform = resolve.platform,
		.snapshotter = opts_text(o, "snapshotter") };
	struct nothing nothing;
	int r = ctr_call(c, &content_image_resolve_method, &resolve, a, ret, e);

	unpack.target = ret->manifest;
	return r < 0 ? r : ctr_call(c, &content_image_unpack_method, &unpack, a, &nothing, e);
}

/* The snapshot that stands behind the folder already, when it is of this image and kind. */
static int
snapshot_again(struct ctr *c, const struct snapshot_prepare_req *req, struct arena *a,
    struct snapshot_mounts_rep *ret, struct err *e)
{
	const struct snapshot_key_req key = { .key = req->key, .snapshotter = req->snapshotter };
	struct snapshot_rep rep;
	int r = ctr_call(c, &snapshot_snapshot_get_method, &key, a, &rep, e);

	if (r < 0)
		return r;
	if (strcmp(rep.snapshot->kind, req->view ? "view" : "active") != 0 ||
	    strcmp(rep.snapshot->parent == NULL ? "" : rep.snapshot->parent,
		req->parent == NULL ? "" : req->parent) != 0)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "%s has a snapshot of another image or kind: ctr images unmount --rm %s",
		    req->key, req->key);
	return ctr_call(c, &snapshot_snapshot_mounts_method, &key, a, ret, e);
}

static int
snapshot_make(struct ctr *c, const struct snapshot_prepare_req *req, struct arena *a,
    struct snapshot_mounts_rep *ret, bool *ret_new, struct err *e)
{
	int r = ctr_call(c, &snapshot_snapshot_prepare_method, req, a, ret, e);

	*ret_new = r == 0;
	if (r != -ERR_ALREADY_EXISTS)
		return r;
	*e = ERR_ZERO;
	return snapshot_again(c, req, a, ret, e);
}

static int
snapshot_drop(struct ctr *c, const char *key, const char *snapshotter, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct snapshot_key_req req = { .key = key, .snapshotter = snapshotter };
	struct nothing nothing;

	return ctr_call(c, &snapshot_snapshot_remove_method, &req, &a, &nothing, e);
}

/* Whoever made the image is a stranger: its setuid programs and devices mean nothing on this host. */
static int
mount_all(const char *path, const struct mount_list *mounts, struct arena *a, struct err *e)
{
	for (uint32_t i = 0; i < mounts->n; i++) {
		const struct mount *m = &mounts->v[i];
		const char **options = arena_calloc(a, m->options.n + 2, sizeof(*options));

		if (m->options.n > 0)
			memcpy(options, m->options.v, m->options.n * sizeof(*options));
		options[m->options.n] = "nosuid";
		options[m->options.n + 1] = "nodev";
		if (mounting_make(path, m->type, m->source, options, m->options.n + 2, e) < 0) {
			while (is_mounted(path) && umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) == 0)
				continue;
			return e->sys == EPERM ? err_wrap(e, "only root may mount") : -(int)e->code;
		}
	}
	return 0;
}

int
images_mount(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct snapshot_prepare_req req = { .view = !opts_flag(o, "rw"),
		.snapshotter = opts_text(o, "snapshotter") };
	struct snapshot_mounts_rep rep;
	struct image_resolve_rep image;
	struct kv labels[2] = { { .k = LABEL_ROOT }, { .k = LABEL_IMAGE } };
	struct err ignored = ERR_ZERO;
	char path[PATH_MAX], now[CLOCK_TEXT_MAX];
	bool is_new;
	int r;

	if ((r = folder_path(o->args.v[1], true, path, e)) < 0 || (r = folder_check(path, e)) < 0 ||
	    (r = image_ready(c, o, &a, &image, e)) < 0)
		return r;
	labels[0].v = clock_text(clock_real_ns(), now);
	labels[1].v = image.name;
	req.key = path;
	req.parent = image.chain_id;
	req.labels = (struct kvs){ labels, COUNT(labels) };
	r = snapshot_make(c, &req, &a, &rep, &is_new, e);
	if (r < 0)
		return r;
	r = mount_all(path, &rep.mounts, &a, e);
	if (r < 0 && is_new)
		(void)snapshot_drop(
		    c, path, rep.snapshotter, &ignored); /* the mount's error is the one to tell */
	if (r == 0)
		text_print(stdout, path);
	return r;
}

/* --- unmount -------------------------------------------------------------------------------------- */

/* "key==path", as the filter language quotes. */
static const char *
key_filter(const char *path, struct arena *a)
{
	char *text = arena_calloc(a, 1, 2 * strlen(path) + sizeof("key==\"\"")), *to = text;

	to = stpcpy(to, "key==\"");
	for (; *path != '\0'; path++) {
		if (*path == '"' || *path == '\\')
			*to++ = '\\';
		*to++ = *path;
	}
	(void)strcpy(to, "\"");
	return text;
}

/* The snapshot behind path, of whatever snapshotter. */
static int
snapshot_find(
    struct ctr *c, const char *path, struct arena *a, const struct snapshot **ret, struct err *e)
{
	const char *filter = key_filter(path, a);
	struct snapshot_list_req req = { .filters = { &filter, 1 } };
	struct list all;
	char show[128];
	int r = list_fetch(c, &snapshot_snapshot_list_method, &req, a, &all, e);

	if (r < 0)
		return r;
	if (all.n == 0)
		return err_set(e, ERR_NOT_FOUND, "no image is mounted at %s",
		    ident_show(path, show, sizeof(show)));
	*ret = all.v;
	return 0;
}

static int
unmount_one(struct ctr *c, const struct opts *o, const char *word, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct snapshot *snap = NULL;
	char path[PATH_MAX];
	bool was = false;
	int r = folder_path(word, false, path, e);

	if (r == 0)
		r = snapshot_find(c, path, &a, &snap, e);
	if (r < 0)
		return r;
	was = umount2(path, UMOUNT_NOFOLLOW) == 0;
	if (!was && errno != EINVAL && errno != ENOENT)
		return err_sys(e, errno, "unmount %.200s", path);
	if (opts_flag(o, "rm") || strcmp(snap->kind, "view") == 0)
		r = snapshot_drop(c, path, snap->snapshotter, e);
	else if (!was)
		r = err_set(e, ERR_NOT_FOUND,
		    "%.200s is not mounted; --rm removes what was written there", path);
	if (r == 0)
		text_print(stdout, path);
	return r;
}

int
images_unmount(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, unmount_one, false);
}
