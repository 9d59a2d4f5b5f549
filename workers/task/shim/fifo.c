/* SPDX-License-Identifier: Apache-2.0 */
/* fifo - see fifo.h */
#include "workers/task/shim/fifo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"

#define CONFIG_MAX (8u << 20)

struct fifo {
	char path[PATH_MAX];
	int fd;
	struct loop_source *watch;
	runtime_done_fn *done;
	void *arg;
};

static bool
nothing_else_to_do(const struct runtime *rt)
{
	AUTO(buf_free) struct buf config = BUF_ZERO;
	const char *slash = strrchr(rt->binary, '/');
	struct err ignored = ERR_ZERO; /* then we do not know */

	return strcmp(slash == NULL ? rt->binary : slash + 1, "runc") == 0 &&
	       fs_read(AT_FDCWD, "config.json", CONFIG_MAX, &config, &ignored) == 0 &&
	       strstr(buf_str(&config), "\"poststart\"") == NULL;
}

static void
fifo_end(struct fifo *f, const struct err *e)
{
	runtime_done_fn *done = f->done;
	void *arg = f->arg;

	loop_del(&f->watch);
	fd_close(&f->fd);
	free(f);
	done(arg, e);
}

/* false: no word has come. */
static bool
take_word(struct fifo *f)
{
	struct err e = ERR_ZERO;
	char word[8];

	if (read(f->fd, word, sizeof(word)) <= 0)
		return false;
	/* As long as it is there, runc takes the container for one that was not started. */
	if (unlink(f->path) < 0 && errno != ENOENT)
		(void)err_sys(&e, errno, "remove %s", f->path);
	fifo_end(f, &e);
	return true;
}

static void
on_word(void *arg, uint32_t events)
{
	(void)events;
	(void)take_word(arg);
}

void
fifo_ended(struct fifo *f)
{
	struct err e = ERR_ZERO;

	if (f == NULL || take_word(f)) /* the word and the end may be heard of in one go */
		return;
	(void)err_set(&e, ERR_FAILED_PRECONDITION, "the container's process has ended");
	fifo_end(f, &e);
}

struct fifo *
fifo_start(const struct runtime *rt, struct loop *l, runtime_done_fn *done, void *arg)
{
	struct fifo *f = xcalloc(1, sizeof(*f));
	struct stat st;

	f->done = done;
	f->arg = arg;
	f->fd = -1;
	if (nothing_else_to_do(rt) &&
	    snprintf(f->path, sizeof(f->path), "%s/%s/exec.fifo", rt->root, rt->id) <
		(int)sizeof(f->path) &&
	    lstat(f->path, &st) == 0 && S_ISFIFO(st.st_mode))
		f->fd = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd >= 0)
		f->watch = loop_fd(l, f->fd, EPOLLIN, on_word, f);
	if (f->watch == NULL) {
		fd_close(&f->fd);
		free_ptr(&f);
	}
	return f;
}
