/* SPDX-License-Identifier: Apache-2.0 */
/* pull_verify - `images pull --verify-only`: is what the registry names here and whole? See pull.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bus/worker/worker.h"
#include "lib/base/auto.h"
#include "workers/content/images.h"
#include "workers/content/pull_private.h"

#define PROBLEMS_TOLD 3
#define STEP (256U << 10)

/* A blob being read on a thread. */
struct pull_check {
	struct pull_part *part; /* NULL: the pull ended meanwhile */
	struct blobs *blobs;
	struct digest digest;
	uint64_t size;
	bool whole;
};

void
verify_problem(struct pull *p, const char *kind, const struct oci_desc *d, const char *what)
{
	if (p->nproblems++ < PROBLEMS_TOLD)
		(void)buf_addf(&p->problems, "%s%s %s is %s", p->nproblems > 1 ? ", " : "", kind,
		    d->digest.text, what);
}

static void
check_run(void *arg)
{
	struct pull_check *k = arg;
	AUTO(fd_close) int fd = -1;
	AUTO(free_ptr) char *chunk = xcalloc(1, STEP);
	struct hasher *hash = hasher_new(k->digest.alg);
	struct err ignored = ERR_ZERO;
	struct digest got;
	uint64_t sum = 0;
	ssize_t n = -1;

	if (blobs_open_one(k->blobs, &k->digest, &fd, &ignored) == 0)
		while ((n = read(fd, chunk, STEP)) > 0 || (n < 0 && errno == EINTR)) {
			if (n < 0)
				continue;
			hasher_add(hash, chunk, (size_t)n);
			sum += (uint64_t)n;
		}
	hasher_digest(hash, &got);
	hasher_free(&hash);
	k->whole = n == 0 && sum == k->size && digest_equal(&got, &k->digest);
}

static void
check_done(void *arg)
{
	AUTO(free_ptr) struct pull_check *k = arg;
	struct pull_part *part = k->part;

	if (part == NULL)
		return;
	part->check = NULL;
	part->pull->downloading--;
	if (!k->whole)
		verify_problem(part->pull, part->kind, &part->desc, "damaged");
	part_set(part, ITEM_EXISTS);
	parts_pump(part->pull);
}

void
verify_start(struct pull_part *part)
{
	struct pull *p = part->pull;
	struct pull_check *k;

	if (!blobs_has(&p->c->blobs, &part->desc.digest, 0, NULL)) {
		verify_problem(p, part->kind, &part->desc, "missing");
		part_set(part, ITEM_MISSING);
		return;
	}
	k = xcalloc(1, sizeof(*k));
	k->part = part;
	k->blobs = &p->c->blobs;
	k->digest = part->desc.digest;
	k->size = part->desc.size;
	part->check = k;
	p->downloading++;
	part_set(part, ITEM_VERIFYING);
	work_add(p->c->work, check_run, check_done, k);
}

void
verify_stop(struct pull_part *part)
{
	if (part->check != NULL)
		part->check->part = NULL;
	part->check = NULL;
}

/* Does the name mean what the registry means by it? */
static int
record_check(struct pull *p, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct image im;
	struct key k;
	int r = store_read(p->c->store, &t, e);

	if (r < 0)
		return r;
	store_key(&k, p->ns, p->name);
	if (!store_has(t, TABLE_IMAGES, &k))
		return err_set(
		    e, ERR_NOT_FOUND, "image %s is not here: its name is not known", p->name);
	if ((r = store_get(t, TABLE_IMAGES, &k, &image_schema, &a, &im, e)) < 0)
		return r;
	if (strcmp(im.target->digest, p->target.digest.text) != 0)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "image %s is another one at its registry by now: here it is %s, there %s",
		    p->name, im.target->digest, p->target.digest.text);
	return 0;
}

void
verify_finish(struct pull *p)
{
	char platform[PLATFORM_TEXT_MAX];
	struct descriptor target;
	struct image im;
	const struct image_pull_rep rep = { .image = &im };
	struct err e = ERR_ZERO;

	if (record_check(p, &e) == 0 && p->nproblems > 0) {
		if (p->nproblems > PROBLEMS_TOLD)
			(void)buf_addf(&p->problems, " and %u more", p->nproblems - PROBLEMS_TOLD);
		(void)err_set(&e, ERR_FAILED_PRECONDITION, "image %.100s is not whole here: %.380s",
		    p->name, buf_str(&p->problems));
	}
	if (e.code != ERR_NONE) {
		pull_fail(p, &e);
		return;
	}
	pull_image(p, &im, &target, platform);
	pull_reply(p, &rep);
}
