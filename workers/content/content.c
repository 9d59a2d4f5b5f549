/* SPDX-License-Identifier: Apache-2.0 */
/* content - coming up, recovering, going down. See content.h and README.md. */
#include "workers/content/content.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "workers/content/drafts.h"
#include "workers/content/gc.h"
#include "workers/content/http.h"
#include "workers/content/images.h"
#include "workers/content/ingest.h"
#include "workers/content/tree.h"

#define THREADS 3
#define INGEST_AGE_S (24 * 3600)

const char *const content_tables[TABLE_COUNT] = { "images", "blobs", "namespaces", "leases", "held",
	"drafts", "state" };

/* --- recovery -------------------------------------------------------------------------------------- */

struct recovery {
	struct content *c;
	struct txn *t;
	struct set with_row, without_file;
	unsigned removed;
};

/* Rows whose file is gone. Keys of rows are remembered to know the files that have one. */
static int
row_check(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct recovery *rc = arg;
	const struct blob *b = rec;
	struct digest d;

	set_add(&rc->with_row, b->digest);
	if (digest_parse(b->digest, &d, e) == 0 && blobs_has(&rc->c->blobs, &d, b->size, NULL))
		return 0;
	log_error(
	    "blob %s is gone or damaged although it was stored: pull its image again", b->digest);
	return store_del(rc->t, TABLE_BLOBS, k, e);
}

static void
file_check(void *arg, const struct digest *d)
{
	struct recovery *rc = arg;
	struct err e = ERR_ZERO;

	if (set_has(&rc->with_row, d->text))
		return;
	if (blobs_remove(&rc->c->blobs, d, &e) < 0)
		log_warn("%s", e.msg);
	else
		rc->removed++;
}

/* Makes rows and files agree, as blobs.h says; drops rests of downloads of yesterday. */
static int
recover(struct content *c, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct recovery rc = { .c = c };
	int r;

	r = store_write(c->store, &t, e);
	rc.t = t;
	if (r == 0)
		r = store_each(t, TABLE_BLOBS, NULL, NULL, &blob_schema, &a, row_check, &rc, e);
	if (r == 0)
		r = store_commit(&t, e);
	if (r == 0)
		r = blobs_each(&c->blobs, file_check, &rc, e);
	if (rc.removed > 0)
		log_info("removed %u blobs of unfinished work", rc.removed);
	set_free(&rc.with_row);
	return r < 0 ? r : ingest_expire(&c->blobs, INGEST_AGE_S, e);
}

struct labelling {
	struct content *c;
	struct txn *t;
};

static int
label_one(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct labelling *l = arg;
	const struct image *im = rec;
	AUTO(free_ptr) char *ns = xcalloc(1, k->n + 1);

	memcpy(ns, k->p, k->n); /* ends with the NUL behind the namespace */
	return tree_label(l->c, l->t, ns, im->target, e);
}

/* A store from before garbage collection went by labels, or from before one of these snapshotters, gets
 * them, once. */
static int
label_all(struct content *c, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct labelling l = { .c = c };
	struct content_state state = { .labelled = true };
	struct key k;
	int r = store_write(c->store, &t, e);

	if (r < 0)
		return r;
	l.t = t;
	store_key_text(&k, "content"
#define SNAPSHOTTER(NAME, name, doc) " " #name
#include "schemas/snapshotters.def"
	);
	if (store_has(t, TABLE_STATE, &k))
		return 0;
	if ((r = store_each(t, TABLE_IMAGES, NULL, NULL, &image_schema, &a, label_one, &l, e)) <
		0 ||
	    (r = store_put(t, TABLE_STATE, &k, &content_state_schema, &state, e)) < 0)
		return r;
	return store_commit(&t, e);
}

int
content_up(struct content *c, const char *path, struct board *board, struct err *e)
{
	AUTO(free_ptr) char *db = xasprintf("%s/db", path);
	int r;

	c->dirfd = c->drafts_fd = -1;
	r = fs_open_dir(AT_FDCWD, path, 0750, &c->dirfd, e);
	if (r < 0)
		return r;
	c->http = http_new(c->loop);
	c->gc = gc_new(c);
	if ((r = work_new(c->loop, THREADS, &c->work, e)) < 0 ||
	    (r = blobs_open(&c->blobs, c->dirfd, c->work, board, e)) < 0 ||
	    (r = store_open(db, content_tables, TABLE_COUNT, true, &c->store, e)) < 0 ||
	    (r = recover(c, e)) < 0 || (r = label_all(c, e)) < 0 || (r = drafts_up(c, e)) < 0)
		return err_wrap(e, "content store %s", path);
	for (unsigned i = 0; board != NULL && i < BOARD_INGESTS; i++)
		board->self.ingest[i].used = 0; /* what an earlier life left */
	return 0;
}

void
content_down(struct content *c)
{
	http_free(&c->http);
	work_free(&c->work);
	gc_free(&c->gc);
	drafts_down(c);
	blobs_close(&c->blobs);
	store_close(&c->store);
	fd_close(&c->dirfd);
}
