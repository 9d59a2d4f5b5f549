/* SPDX-License-Identifier: Apache-2.0 */
/* settle - see settle.h */
#include "workers/snapshot/settle.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/nursery.h"
#include "workers/snapshot/tree.h"

struct settle {
	struct settled *layer;
	int layers;
	const uint64_t *lowers;
	unsigned nlowers;
	struct buf moves; /* from NUL to NUL, again and again, in order */
};

/* Gives the folder path the attributes of the one below, when there is one. */
static int
settle_meta(const struct settle *s, const char *path, struct err *e)
{
	for (unsigned i = 0; i < s->nlowers; i++) {
		AUTO(fd_close) int top = merged_layer(s->layers, s->lowers[i]);
		AUTO(fd_close) int from = -1;
		enum merged_look look;

		if (top < 0)
			return err_sys(
			    e, errno, "open layer %llu", (unsigned long long)s->lowers[i]);
		look = merged_look(top, path, &from);
		if (from >= 0)
			return s->layer->ops->like(s->layer, path, from, e);
		if (look == MERGED_HIDDEN)
			return 0;
	}
	return 0;
}

/* --- folders that are links below ---------------------------------------------------------------- */

/* Makes the folder path and those on the way, as they are below. */
static int
make_like_below(const struct settle *s, const char *path, struct err *e)
{
	char part[PATH_MAX];

	for (const char *p = path; *p != '\0';) {
		int r;

		p += strcspn(p, "/");
		(void)snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		p += *p == '/';
		r = s->layer->ops->make(s->layer, part, e);
		if (r == 0)
			r = settle_meta(s, part, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What is in the implied folder path belongs where the link below leads to. */
static int
move_behind_link(struct settle *s, const char *path, struct err *e)
{
	char real[PATH_MAX];
	int r = merged_real(s->layers, s->lowers, s->nlowers, path, real, e);

	if (r == 0)
		r = make_like_below(s, real, e);
	if (r == 0)
		r = s->layer->ops->move(s->layer, path, real, e);
	(void)buf_add(&s->moves, path, strlen(path) + 1);
	(void)buf_add(&s->moves, real, strlen(real) + 1);
	return r;
}

/* Where path is after the moves so far; "" when that has become too long a name. */
static void
moved_path(const struct settle *s, const char *path, char *to)
{
	char rest[PATH_MAX];

	(void)snprintf(to, PATH_MAX, "%s", path);
	for (size_t at = 0; at < s->moves.len;) {
		const char *from = s->moves.data + at, *real = from + strlen(from) + 1;
		size_t n = strlen(from), len = strlen(real), more;

		at += n + 1 + len + 1;
		if (strncmp(to, from, n) != 0 || (to[n] != '/' && to[n] != '\0'))
			continue;
		(void)strcpy(rest, to + n + (len == 0 && to[n] == '/'));
		more = strlen(rest);
		if (len + more >= PATH_MAX) {
			to[0] = '\0';
			return;
		}
		memcpy(to, real, len);
		memcpy(to + len, rest, more + 1);
	}
}

static int
settle_one(struct settle *s, const char *listed, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;

	moved_path(s, listed, path);
	if (path[0] == '\0' || !s->layer->ops->shows(s->layer, path))
		return 0; /* not there: replaced later in the same archive, or moved */
	if (merged_stat(s->layers, s->lowers, s->nlowers, path, &st) && S_ISLNK(st.st_mode))
		return move_behind_link(s, path, e);
	return settle_meta(s, path, e);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int
settle_run(struct settled *layer, int layers, int list, const uint64_t *lowers, unsigned nlowers,
    struct err *e)
{
	struct settle s = {
		.layer = layer, .layers = layers, .lowers = lowers, .nlowers = nlowers
	};
	struct buf text = BUF_LIMIT(NURSERY_IMPLIED_BYTES_MAX + 65536);
	AUTO(free_ptr) const char **paths = xcalloc(TREE_IMPLIED_MAX, sizeof(*paths));
	unsigned n = 0;
	int r;

	if (lseek(list, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "read the list of implied folders");
	r = fs_read_fd(list, NURSERY_IMPLIED_BYTES_MAX, &text, e);
	for (size_t at = 0; at < text.len && n < TREE_IMPLIED_MAX; at += strlen(text.data + at) + 1)
		paths[n++] = text.data + at;
	qsort(paths, n, sizeof(*paths), compare); /* a folder before those in it */
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = settle_one(&s, paths[i], e);
	buf_free(&text);
	buf_free(&s.moves);
	return r < 0 ? r : layer->ops->finish(layer, e);
}
