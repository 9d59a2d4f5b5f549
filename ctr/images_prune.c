/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images_prune - removes the images that nobody needs.
 *
 * Nobody needs an image that no container was made from, and that has no tag (it was pulled or imported
 * by its digest alone) or whose target is not here; with --all any that no container was made from.
 * Each goes by a request of its own which looks at the containers again: one that is made meanwhile
 * keeps its image. What they alone needed is collected once, behind the last one.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctr/ctr.h"
#include "ctr/list.h"
#include "ctr/terminal.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/oci/reference.h"

struct prune {
	struct arena a;
	const char **used; /* images of containers, sorted */
	uint32_t nused;
	struct image **v; /* to be removed */
	uint32_t n;
	uint64_t removed;
};

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
used_read(struct ctr *c, struct prune *p, struct err *e)
{
	struct container_list_req req = { .after = NULL };
	const struct container_rep *v;
	struct list l;
	int r = list_fetch(c, &task_container_list_method, &req, &p->a, &l, e);

	if (r < 0)
		return r;
	v = l.v;
	p->used = arena_calloc(&p->a, l.n + 1, sizeof(*p->used));
	for (uint32_t i = 0; i < l.n; i++)
		if (v[i].container->image != NULL)
			p->used[p->nused++] = v[i].container->image;
	qsort(p->used, p->nused, sizeof(*p->used), by_text);
	return 0;
}

/* 1: nothing says what it is any more. */
static int
is_dangling(struct ctr *c, struct prune *p, const struct image *im, struct err *e)
{
	const struct blob_ref stat = { .digest = im->target->digest };
	struct err ignored = ERR_ZERO; /* a name that is no reference is a name all the same */
	struct reference ref;
	struct blob blob;
	int r;

	if (reference_parse(im->name, &ref, &ignored) == 0 && ref.tag[0] == '\0')
		return 1;
	r = ctr_call(c, &content_blob_stat_method, &stat, &p->a, &blob, e);
	if (r != -ERR_NOT_FOUND)
		return r;
	*e = ERR_ZERO;
	return 1;
}

static int
choose(struct ctr *c, const struct opts *o, struct prune *p, struct err *e)
{
	struct image_list_req req = { .filters = o->args };
	struct image *v;
	struct list l;
	int r = list_fetch(c, &content_image_list_method, &req, &p->a, &l, e);

	if (r < 0)
		return r;
	v = l.v;
	p->v = arena_calloc(&p->a, l.n + 1, sizeof(struct image *));
	for (uint32_t i = 0; i < l.n; i++) {
		if (bsearch(&v[i].name, p->used, p->nused, sizeof(*p->used), by_text) != NULL)
			continue;
		r = opts_flag(o, "all") ? 1 : is_dangling(c, p, &v[i], e);
		if (r < 0)
			return r;
		if (r > 0)
			p->v[p->n++] = &v[i];
	}
	return 0;
}

/* Asks only who can answer. */
static bool
is_wanted(const struct opts *o, const struct prune *p)
{
	char answer[8];

	if (p->n == 0 || opts_flag(o, "force") || !isatty(STDIN_FILENO))
		return true;
	for (uint32_t i = 0; i < p->n; i++)
		text_print(stderr, p->v[i]->name);
	(void)fprintf(stderr, "Remove %s %u image%s? [y/N] ", p->n == 1 ? "this" : "these", p->n,
	    p->n == 1 ? "" : "s");
	return fgets(answer, sizeof(answer), stdin) != NULL &&
	       (answer[0] == 'y' || answer[0] == 'Y');
}

static int
remove_one(struct ctr *c, struct prune *p, const struct image *im, struct err *e)
{
	const struct image_remove_req req = { .ref = im->name, .target = im->target->digest };
	struct image_remove_rep rep;
	int r = ctr_call(c, &content_image_remove_method, &req, &p->a, &rep, e);

	if (r < 0)
		return r;
	text_print(stdout, rep.name);
	p->removed++;
	return 0;
}

/* What somebody else removed, changed or began to use meanwhile is none of ours. */
static int
remove_all(struct ctr *c, struct prune *p, struct err *e)
{
	int status = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		struct err one = ERR_ZERO;
		int r = remove_one(c, p, p->v[i], &one);

		if (r == -ERR_CANCELLED) {
			*e = one;
			return r;
		}
		if (r < 0 && r != -ERR_NOT_FOUND && r != -ERR_FAILED_PRECONDITION)
			status = ctr_complain(c, &one);
		if (c->no_daemon)
			break;
	}
	return status;
}

static int
collect(struct ctr *c, struct prune *p, struct err *e)
{
	const struct nothing req = {};
	struct gc_run_rep rep = { .blobs = 0 };
	char text[TEXT_NUMBER_MAX];
	int r = p->removed == 0 ? 0 : ctr_call(c, &content_gc_run_method, &req, &p->a, &rep, e);

	if (r == 0)
		(void)printf("%" PRIu64 " image%s and %" PRIu64 " blob%s removed, %s\n", p->removed,
		    p->removed == 1 ? "" : "s", rep.blobs, rep.blobs == 1 ? "" : "s",
		    text_size(rep.bytes, text));
	return r;
}

int
images_prune(struct ctr *c, const struct opts *o, struct err *e)
{
	struct prune p = { .used = NULL };
	int r = used_read(c, &p, e);

	if (r == 0)
		r = choose(c, o, &p, e);
	if (r == 0 && !is_wanted(o, &p))
		p.n = 0;
	if (r == 0)
		r = ctr_catch(c, e);
	if (r == 0)
		r = remove_all(c, &p, e);
	if (r >= 0 && collect(c, &p, e) < 0)
		r = -(int)e->code;
	arena_free(&p.a);
	return r;
}
