/* SPDX-License-Identifier: Apache-2.0 */
/* blobs - see blobs.h */
#include "workers/content/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "workers/content/content.h"
#include "workers/content/gc.h"
#include "workers/content/images.h"
#include "workers/content/ingest.h"
#include "lib/filter/labels.h"
#include "workers/content/leases.h"

int
blobs_open(struct blobs *b, int dirfd, struct work *work, struct board *board, struct err *e)
{
	int r = fs_mkdirs(
	    dirfd, "blobs", 0750, e); /* of its own: the umask cuts what lies between */

	if (r < 0)
		return r;
	*b = (struct blobs){
		.algs = { -1, -1 }, .ingest_fd = -1, .trash_fd = -1, .work = work, .board = board
	};
	if ((r = fs_open_dir(dirfd, "blobs/sha256", 0750, &b->algs[DIGEST_SHA256], e)) < 0 ||
	    (r = fs_open_dir(dirfd, "blobs/sha512", 0750, &b->algs[DIGEST_SHA512], e)) < 0 ||
	    (r = fs_open_dir(dirfd, "ingest", 0750, &b->ingest_fd, e)) < 0 ||
	    (r = fs_open_dir(dirfd, "trash", 0750, &b->trash_fd, e)) < 0)
		return r;
	blobs_empty_trash(b);
	return 0;
}

void
blobs_close(struct blobs *b)
{
	ingest_rest(b);
	fd_close(&b->algs[0]);
	fd_close(&b->algs[1]);
	fd_close(&b->ingest_fd);
	fd_close(&b->trash_fd);
}

bool
blobs_has(const struct blobs *b, const struct digest *d, uint64_t size, uint64_t *ret_size)
{
	struct stat st;

	if (fstatat(b->algs[d->alg], digest_hex(d), &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode) || (size != 0 && (uint64_t)st.st_size != size))
		return false;
	if (ret_size != NULL)
		*ret_size = (uint64_t)st.st_size;
	return true;
}

int
blobs_read(
    const struct blobs *b, const struct digest *d, size_t max, struct buf *out, struct err *e)
{
	if (fs_read(b->algs[d->alg], digest_hex(d), max, out, e) < 0)
		return err_wrap(e, "read blob %s", d->text);
	return 0;
}

int
blobs_open_one(const struct blobs *b, const struct digest *d, int *ret_fd, struct err *e)
{
	int fd = openat(b->algs[d->alg], digest_hex(d), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_sys(e, errno, "open blob %s", d->text);
	*ret_fd = fd;
	return 0;
}

int
blobs_write(
    const struct blobs *b, const struct digest *d, const void *data, size_t n, struct err *e)
{
	if (fs_write(b->algs[d->alg], digest_hex(d), data, n, 0440, true, e) < 0)
		return err_wrap(e, "store blob %s", d->text);
	return 0;
}

int
blobs_remove(const struct blobs *b, const struct digest *d, struct err *e)
{
	if (unlinkat(b->algs[d->alg], digest_hex(d), 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove blob %s", d->text);
	return 0;
}

int
blobs_discard(const struct blobs *b, const struct digest *d, struct err *e)
{
	if (renameat(b->algs[d->alg], digest_hex(d), b->trash_fd, digest_hex(d)) < 0 &&
	    errno != ENOENT)
		return err_sys(e, errno, "remove blob %s", d->text);
	return 0;
}

void
blobs_empty_trash(const struct blobs *b)
{
	int fd = openat(b->trash_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir_close) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	while (dir != NULL && (ent = readdir(dir)) != NULL)
		if (ent->d_name[0] != '.')
			(void)unlinkat(b->trash_fd, ent->d_name, 0); /* again at the next start */
}

int
blobs_each(const struct blobs *b, blobs_each_fn *fn, void *arg, struct err *e)
{
	for (int alg = 0; alg < 2; alg++) {
		int fd = openat(b->algs[alg], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		AUTO(dir_close) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
		struct dirent *ent;

		if (dir == NULL)
			return err_sys(e, errno, "list blobs");
		while ((ent = readdir(dir)) != NULL) {
			struct err ignored = ERR_ZERO;
			char text[sizeof(ent->d_name) + 8];
			struct digest d;

			if (ent->d_name[0] == '.')
				continue;
			(void)snprintf(text, sizeof(text), "%s:%s",
			    alg == DIGEST_SHA256 ? "sha256" : "sha512", ent->d_name);
			if (digest_parse(text, &d, &ignored) == 0)
				fn(arg, &d);
			else if (unlinkat(b->algs[alg], ent->d_name, 0) == 0)
				log_info("removed a half-written file: blobs/%s", ent->d_name);
		}
	}
	return 0;
}

void
blob_key(struct key *k, const char *ns, const struct digest *d)
{
	store_key(k, ns, d->text);
}

int
blob_row_get(struct txn *t, const char *ns, const struct digest *d, struct arena *a,
    struct blob *ret, struct err *e)
{
	struct key k;

	blob_key(&k, ns, d);
	if (!store_has(t, TABLE_BLOBS, &k))
		return err_set(e, ERR_NOT_FOUND, "blob %s is not in namespace %s", d->text, ns);
	return store_get(t, TABLE_BLOBS, &k, &blob_schema, a, ret, e);
}

int
blob_row_put(
    struct content *c, struct txn *t, const char *ns, const struct blob *row, struct err *e)
{
	struct key k;

	gc_touch(c, NODE_BLOB, ns, row->digest);
	gc_touch_labels(c, ns, &row->labels);
	store_key(&k, ns, row->digest);
	return store_put(t, TABLE_BLOBS, &k, &blob_schema, row, e);
}

int
blob_row_add(struct content *c, struct txn *t, const char *ns, const char *lease,
    const struct digest *d, uint64_t size, const struct kvs *labels, int64_t held_until,
    struct err *e)
{
	struct blob row = { .digest = d->text, .size = size, .created_at = clock_real_ns() };
	struct ev_blob ev = { .digest = d->text, .size = size };
	struct key k;
	int r = lease_hold(c, t, ns, lease, LEASE_CONTENT, d->text, e);

	blob_key(&k, ns, d);
	if (r < 0 || store_has(t, TABLE_BLOBS, &k))
		return r;
	if (labels != NULL)
		row.labels = *labels;
	row.held_until = held_until;
	if ((r = namespace_ensure(t, ns, e)) < 0 || (r = blob_row_put(c, t, ns, &row, e)) < 0)
		return r;
	return store_event(t, ns, "/content/create", &ev, e);
}

struct anywhere {
	const struct digest *d;
	struct txn *t;
	bool shareable, found;
};

static int
has_row(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct anywhere *n = arg;
	const struct namespace *ns = rec;
	const char *shares = labels_get(&ns->labels, "containerd.io/namespace.shareable");
	struct key row;

	(void)k;
	(void)e;
	if (n->shareable && (shares == NULL || strcmp(shares, "true") != 0))
		return 0;
	blob_key(&row, ns->name, n->d);
	n->found = store_has(n->t, TABLE_BLOBS, &row);
	return n->found ? 1 : 0;
}

/* Every namespace that has rows has a record of its own. */
int
blob_row_anywhere(struct txn *t, const struct digest *d, bool shareable, bool *ret, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct anywhere n = { .d = d, .t = t, .shareable = shareable };
	int r = store_each(t, TABLE_NAMESPACES, NULL, NULL, &namespace_schema, &a, has_row, &n, e);

	*ret = n.found;
	return r;
}

bool
blob_usable(struct content *c, struct txn *t, const char *ns, const struct digest *d, uint64_t size,
    uint64_t *ret_size)
{
	struct err ignored = ERR_ZERO; /* then it is not */
	bool shared = false;
	struct key k;

	if (!blobs_has(&c->blobs, d, size, ret_size))
		return false;
	blob_key(&k, ns, d);
	return store_has(t, TABLE_BLOBS, &k) ||
	       (blob_row_anywhere(t, d, c->options.isolated, &shared, &ignored) == 0 && shared);
}

int
blob_row_hold(struct content *c, struct txn *t, const char *ns, const char *digest, int64_t until,
    struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct blob row;
	struct key k;
	int r;

	store_key(&k, ns, digest);
	if (!store_has(t, TABLE_BLOBS, &k))
		return 0;
	r = store_get(t, TABLE_BLOBS, &k, &blob_schema, &a, &row, e);
	if (r < 0 || row.held_until == until)
		return r;
	row.held_until = until;
	return blob_row_put(c, t, ns, &row, e);
}

int
blob_row_drop(struct txn *t, const char *ns, const struct digest *d, struct err *e)
{
	struct ev_blob ev = { .digest = d->text };
	struct key k;
	int r;

	blob_key(&k, ns, d);
	if (!store_has(t, TABLE_BLOBS, &k))
		return 0;
	r = store_del(t, TABLE_BLOBS, &k, e);
	return r < 0 ? r : store_event(t, ns, "/content/delete", &ev, e);
}
