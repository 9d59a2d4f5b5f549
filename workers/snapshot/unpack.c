/* SPDX-License-Identifier: Apache-2.0 */
/* unpack - see unpack.h */
#include "workers/snapshot/unpack.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "workers/snapshot/inflate.h"
#include "workers/snapshot/tar.h"

#define BLOCK_BYTES (256 * 1024)
#define BLOCKS 6
#define PROGRESS_MS 250

struct block {
	size_t n;
	unsigned char bytes[BLOCK_BYTES];
};

/* Blocks head .. head+count-1 are full; the reader keeps the block it was given until it asks again. */
struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned head, count;
	bool ended;   /* the writer is through; err says how */
	bool stopped; /* the reader wants no more */
	bool reading; /* block head is in the reader's hands */
	struct err err;
	struct block blocks[BLOCKS];

	struct inflate *in;
	struct hasher *hash;
	uint64_t bytes, limit;
	unpack_progress_fn *progress;
	void *arg;
};

/* A block to fill, NULL when the reader wants no more. */
static struct block *
ring_free_block(struct ring *g)
{
	struct block *b;

	(void)pthread_mutex_lock(&g->lock);
	while (g->count == BLOCKS && !g->stopped)
		(void)pthread_cond_wait(&g->changed, &g->lock);
	b = g->stopped ? NULL : &g->blocks[(g->head + g->count) % BLOCKS];
	(void)pthread_mutex_unlock(&g->lock);
	return b;
}

static void
ring_put(struct ring *g)
{
	(void)pthread_mutex_lock(&g->lock);
	g->count++;
	(void)pthread_cond_signal(&g->changed);
	(void)pthread_mutex_unlock(&g->lock);
}

static void
ring_end(struct ring *g, const struct err *e)
{
	(void)pthread_mutex_lock(&g->lock);
	g->err = *e;
	g->ended = true;
	(void)pthread_cond_signal(&g->changed);
	(void)pthread_mutex_unlock(&g->lock);
}

static void
ring_stop(struct ring *g)
{
	(void)pthread_mutex_lock(&g->lock);
	g->stopped = true;
	(void)pthread_cond_signal(&g->changed);
	(void)pthread_mutex_unlock(&g->lock);
}

static int
fill(struct ring *g, struct block *b, struct err *e)
{
	int r = inflate_read(g->in, b->bytes, sizeof(b->bytes), &b->n, e);

	if (r < 0 || b->n == 0)
		return r;
	g->bytes += b->n;
	if (g->bytes > g->limit)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "more than %llu bytes when unpacked (%llu bytes of the blob were read)",
		    (unsigned long long)g->limit, (unsigned long long)inflate_offset(g->in));
	hasher_add(g->hash, b->bytes, b->n);
	return 0;
}

static void *
writer(void *arg)
{
	struct ring *g = arg;
	struct err e = ERR_ZERO;
	uint64_t told = clock_mono_ms();
	struct block *b;

	while ((b = ring_free_block(g)) != NULL) {
		if (fill(g, b, &e) < 0 || b->n == 0)
			break;
		ring_put(g);
		if (g->progress != NULL && clock_mono_ms() - told >= PROGRESS_MS) {
			told = clock_mono_ms();
			g->progress(g->arg, inflate_offset(g->in));
		}
	}
	ring_end(g, &e);
	return NULL;
}

/* tar_next_fn: the block after the one given last. */
static ssize_t
ring_next(void *arg, const void **ret, struct err *e)
{
	struct ring *g = arg;
	ssize_t n;

	(void)pthread_mutex_lock(&g->lock);
	if (g->reading) {
		g->head = (g->head + 1) % BLOCKS;
		g->count--;
		g->reading = false;
		(void)pthread_cond_signal(&g->changed);
	}
	while (g->count == 0 && !g->ended)
		(void)pthread_cond_wait(&g->changed, &g->lock);
	if (g->count > 0) {
		*ret = g->blocks[g->head].bytes;
		n = (ssize_t)g->blocks[g->head].n;
		g->reading = true;
	} else if (g->err.code != ERR_NONE) {
		*e = g->err;
		n = -1;
	} else {
		n = 0;
	}
	(void)pthread_mutex_unlock(&g->lock);
	return n;
}

static void
ring_free(struct ring **g)
{
	if (*g == NULL)
		return;
	inflate_close(&(*g)->in);
	hasher_free(&(*g)->hash);
	(void)pthread_mutex_destroy(&(*g)->lock);
	(void)pthread_cond_destroy(&(*g)->changed);
	free(*g);
	*g = NULL;
}

static struct ring *
ring_new(uint64_t limit, unpack_progress_fn *progress, void *arg)
{
	struct ring *g = xcalloc(1, sizeof(*g));

	(void)pthread_mutex_init(&g->lock, NULL);
	(void)pthread_cond_init(&g->changed, NULL);
	g->hash = hasher_new(DIGEST_SHA256);
	g->limit = limit;
	g->progress = progress;
	g->arg = arg;
	return g;
}

/* Runs the writer on its thread beside tar_unpack here. */
static int
pump(struct ring *g, struct sink *to, const struct unpack_limits *limits, struct err *e)
{
	struct tar_limits tl = { .bytes = limits->bytes, .entries = limits->entries };
	pthread_t thread;
	int r = pthread_create(&thread, NULL, writer, g);

	if (r != 0)
		return err_sys(e, r, "start a thread");
	r = tar_unpack(ring_next, g, to, &tl, e);
	ring_stop(g);
	(void)pthread_join(thread, NULL);
	return r;
}

int
unpack_run(int blob, struct follow *f, struct sink *to, const struct unpack_limits *limits,
    bool sync, unpack_progress_fn *progress, void *arg, struct buf *implied,
    struct unpack_result *ret, struct err *e)
{
	AUTO(ring_free) struct ring *g = ring_new(limits->bytes, progress, arg);
	int r = inflate_open(blob, f, &g->in, e);

	if (r == 0)
		r = pump(g, to, limits, e);
	if (r < 0)
		return r;
	hasher_digest(g->hash, &ret->diff_id);
	r = to->ops->finish(to, &ret->diff_id, sync, e);
	if (r < 0)
		return r;
	if (to->ops->implied(to, implied) < 0)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "too many folders that the archive uses without naming them");
	to->ops->usage(to, &ret->usage);
	ret->offset = inflate_offset(g->in);
	return 0;
}
