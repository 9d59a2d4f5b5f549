/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack - layers unpacked as the snapshot worker has it done, and nothing else.
 *
 *	unpack overlay|erofs FOLDER BLOB...
 *
 * Each blob into FOLDER/<n> by a child of the nursery in its cell, as many at once as there are
 * processors. Prints the time in microseconds, and the most memory that a child had, in kB.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "workers/snapshot/nursery.h"

struct bench {
	struct loop *loop;
	struct nursery *nursery;
	const char *folder;
	char **blobs;
	bool image;
	unsigned nblobs, next, running;
};

static void
fine(int r, const struct err *e)
{
	if (r == 0)
		return;
	(void)fprintf(stderr, "unpack: %s\n", e->msg);
	exit(1);
}

static void start(struct bench *b);

static void
on_report(void *arg, const struct nursery_report *r)
{
	struct bench *b = arg;
	struct err e = ERR_ZERO;

	if (r->kind == NURSERY_PROGRESS)
		return;
	if (r->kind == NURSERY_FAILED)
		fine(err_set(&e, ERR_INTERNAL, "%s", r->message), &e);
	b->running--;
	start(b);
}

static void
start(struct bench *b)
{
	struct nursery_order o = { .op = NURSERY_UNPACK,
		.form = b->image ? NURSERY_IMAGE : NURSERY_FOLDER,
		.limits = { .bytes = 1ULL << 36, .entries = 1000000, .held = 128 << 20 } };
	struct nursery_fds fds = { .list = memfd_create("implied", MFD_CLOEXEC) };
	struct nursery_job *job;
	struct err e = ERR_ZERO;
	char path[PATH_MAX];

	if (b->next == b->nblobs)
		return;
	(void)snprintf(path, sizeof(path), "%s/%u/fs", b->folder, b->next);
	fine(fs_mkdirs(AT_FDCWD, path, 0755, &e), &e);
	if (b->image)
		*strrchr(path, '/') = '\0';
	fine(fs_open_dir(AT_FDCWD, path, 0755, &fds.folder, &e), &e);
	fds.file = open(b->blobs[b->next], O_RDONLY | O_CLOEXEC);
	fine(nursery_run(b->nursery, &o, &fds, on_report, b, &job, &e), &e);
	fd_close(&fds.folder);
	fd_close(&fds.file);
	fd_close(&fds.list);
	b->next++;
	b->running++;
}

static void
on_death(void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "unpack: the nursery died\n");
	exit(1);
}

int
main(int argc, char **argv)
{
	struct bench b = { .folder = argv[2], .blobs = argv + 3 };
	struct err e = ERR_ZERO;
	struct rusage used;
	cpu_set_t cpus;
	uint64_t since;

	if (argc < 4)
		return 2;
	b.image = strcmp(argv[1], "erofs") == 0;
	b.nblobs = (unsigned)argc - 3;
	b.loop = loop_new();
	fine(nursery_new(b.loop, on_death, &b, &b.nursery, &e), &e);
	since = clock_mono_ns();
	(void)sched_getaffinity(0, sizeof(cpus), &cpus);
	for (int i = 0; i < CPU_COUNT(&cpus); i++)
		start(&b);
	while (b.running > 0)
		loop_turn(b.loop, 1000);
	since = clock_mono_ns() - since;
	nursery_free(&b.nursery);
	loop_free(&b.loop);
	(void)getrusage(RUSAGE_CHILDREN, &used);
	(void)printf("%llu %ld\n", (unsigned long long)since / 1000, used.ru_maxrss);
	return 0;
}
