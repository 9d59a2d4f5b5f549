/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay - a fuzz target without libFuzzer:
 *
 *	replay_X FILE...	runs these inputs (a folder: all files in it)
 *	replay_X -smoke N	runs the seeds, then N mutations of them, for SMOKE_MS at most: always the same
 *				ones, unless REPLAY_SEED says otherwise; the input in hand is kept in the file
 *				named by REPLAY_KEEP, if that is set
 *	replay_X -seeds DIR	writes the seeds into DIR
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/fs.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (8u << 20)
#define SMOKE_MS 5000

struct seeds {
	struct {
		char *p;
		size_t n;
	} v[1024];
	unsigned n;
};

static void
keep_seed(void *arg, const void *data, size_t n)
{
	struct seeds *s = arg;

	if (s->n == COUNT(s->v))
		return;
	s->v[s->n].p = xcalloc(1, n + 1);
	if (n > 0)
		memcpy(s->v[s->n].p, data, n);
	s->v[s->n++].n = n;
}

/* Runs an input from a block of exactly its size, so that ASan sees a read behind its end. */
static void
run(const void *data, size_t n)
{
	AUTO(free_ptr) uint8_t *copy = xcalloc(1, n == 0 ? 1 : n);

	if (n > 0)
		memcpy(copy, data, n);
	(void)LLVMFuzzerTestOneInput(copy, n);
}

static int
run_path(const char *path)
{
	AUTO(dir_close) DIR *d = opendir(path);
	AUTO(buf_free) struct buf b = BUF_ZERO;
	struct err e = ERR_ZERO;
	struct dirent *ent;

	if (d == NULL) {
		if (fs_read(AT_FDCWD, path, INPUT_MAX, &b, &e) < 0) {
			(void)fprintf(stderr, "%s\n", e.msg);
			return 1;
		}
		(void)fprintf(stderr, "%s\n", path);
		run(b.data, b.len);
		return 0;
	}
	while ((ent = readdir(d)) != NULL) {
		AUTO(free_ptr) char *file = xasprintf("%s/%s", path, ent->d_name);

		if (ent->d_name[0] != '.' && run_path(file) != 0)
			return 1;
	}
	return 0;
}

static void
mutate(struct buf *b, const struct seeds *s)
{
	size_t at = b->len == 0 ? 0 : (size_t)random() % b->len, n;
	unsigned other = (unsigned)random() % s->n;

	switch (random() % 6) {
	case 0:
		if (b->len > 0)
			b->data[at] ^= (char)(1 << random() % 8);
		break;
	case 1:
		if (b->len > 0)
			b->data[at] = (char)random();
		break;
	case 2:
		b->len = at;
		break;
	case 3: /* a piece goes */
		n = b->len - at < 16 ? b->len - at : (size_t)random() % 16;
		memmove(b->data + at, b->data + at + n, b->len - at - n);
		b->len -= n;
		break;
	case 4: /* a piece comes again */
		n = b->len - at < 64 ? b->len - at : (size_t)random() % 64;
		(void)buf_room(b, n);
		memmove(b->data + b->len, b->data + at, n);
		b->len += n;
		break;
	default: /* the end of another one */
		n = s->v[other].n == 0 ? 0 : (size_t)random() % s->v[other].n;
		(void)buf_add(b, s->v[other].p + n, s->v[other].n - n);
	}
}

static int
smoke(const struct seeds *s, uint64_t most)
{
	const char *keep = getenv("REPLAY_KEEP");
	uint64_t end = clock_mono_ms() + SMOKE_MS, runs = 0;
	struct err e = ERR_ZERO;

	for (unsigned i = 0; i < s->n; i++, runs++)
		run(s->v[i].p, s->v[i].n);
	for (most += runs; runs < most && clock_mono_ms() < end; runs++) {
		AUTO(buf_free) struct buf b = BUF_ZERO;
		unsigned from = (unsigned)random() % s->n;

		(void)buf_room(&b, s->v[from].n + 64);
		(void)buf_add(&b, s->v[from].p, s->v[from].n);
		for (long k = random() % 5; k >= 0 && b.len < INPUT_MAX; k--)
			mutate(&b, s);
		if (keep != NULL)
			(void)fs_write(AT_FDCWD, keep, b.data, b.len, 0600, false, &e);
		run(b.data, b.len);
	}
	(void)printf("%llu inputs\n", (unsigned long long)runs);
	return 0;
}

static int
write_seeds(const struct seeds *s, const char *dir)
{
	struct err e = ERR_ZERO;

	for (unsigned i = 0; i < s->n; i++) {
		AUTO(free_ptr) char *path = xasprintf("%s/seed-%03u", dir, i);

		if (fs_write(AT_FDCWD, path, s->v[i].p, s->v[i].n, 0644, false, &e) < 0) {
			(void)fprintf(stderr, "%s\n", e.msg);
			return 1;
		}
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct seeds *s = xcalloc(1, sizeof(*s));
	const char *from = getenv("REPLAY_SEED");
	int r = 0;

	srandom(from == NULL ? 1 : (unsigned)strtoul(from, NULL, 10));
	fuzz_seeds(keep_seed, s);
	MUST(s->n > 0);
	if (argc == 3 && strcmp(argv[1], "-smoke") == 0)
		r = smoke(s, strtoul(argv[2], NULL, 10));
	else if (argc == 3 && strcmp(argv[1], "-seeds") == 0)
		r = write_seeds(s, argv[2]);
	else
		for (int i = 1; i < argc && r == 0; i++)
			r = run_path(argv[i]);
	for (unsigned i = 0; i < s->n; i++)
		free(s->v[i].p);
	free(s);
	return r;
}
