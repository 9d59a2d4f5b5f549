/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_names - see erofs_impl.h: what is in an image, and how it is found by name.
 *
 * What is dropped only loses its name; it is freed with the image, and the number of entries bounds it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "workers/snapshot/erofs_impl.h"
#include "workers/snapshot/tree.h"

#define TSEARCH_NODE 48 /* what libc takes for one, as malloc rounds it */

static int
compare(const void *a, const void *b)
{
	const struct erofs_name *x = a, *y = b;

	return strcmp(x->text, y->text);
}

int
erofs_held(const struct erofs_image *im, struct err *e)
{
	if (im->arena.used + im->nnames * TSEARCH_NODE <= im->held_max)
		return 0;
	return err_set(e, ERR_RESOURCE_EXHAUSTED,
	    "too many entries: their names need more than %zu bytes of memory", im->held_max);
}

static struct erofs_name *
name_new(struct erofs_image *im, const char *text, size_t n)
{
	struct erofs_name *name = arena_calloc(&im->arena, 1, sizeof(*name) + n + 1);

	memcpy(name->text, text, n);
	return name;
}

static struct erofs_name *
name_find(const struct erofs_folder *f, const char *text)
{
	struct {
		struct erofs_node *node;
		char text[NAME_MAX + 1];
	} key;
	void *found;

	(void)snprintf(key.text, sizeof(key.text), "%s", text);
	found = tfind(&key, &f->names, compare);
	return found == NULL ? NULL : *(struct erofs_name **)found;
}

static int
name_add(struct erofs_image *im, struct erofs_folder *f, struct erofs_name *name, struct err *e)
{
	if (erofs_held(im, e) < 0)
		return -(int)e->code;
	if (tsearch(name, &f->names, compare) == NULL)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "no memory for its name");
	im->nnames++;
	return 0;
}

struct erofs_node *
erofs_lookup(const struct erofs_at *at)
{
	struct erofs_name *name = name_find(at->folder, at->name);

	return name == NULL ? NULL : name->node;
}

int
erofs_name_set(
    struct erofs_image *im, const struct erofs_at *at, struct erofs_node *node, struct err *e)
{
	struct erofs_name *name = name_find(at->folder, at->name);

	if (name != NULL) {
		if (name->node->type == EROFS_FOLDER || name->node->type == EROFS_LINK)
			im->at = NULL; /* the path to it may have led through here */
		name->node = node;
		return 0;
	}
	name = name_new(im, at->name, strlen(at->name));
	name->node = node;
	return name_add(im, at->folder, name, e);
}

int
erofs_name_move(
    struct erofs_image *im, const struct erofs_at *at, struct erofs_node *node, struct err *e)
{
	struct erofs_folder *f = (struct erofs_folder *)node;

	if (erofs_name_set(im, at, node, e) < 0)
		return -(int)e->code;
	if (node->type != EROFS_FOLDER)
		return 0;
	f->parent = at->folder;
	f->name = name_find(at->folder, at->name)->text;
	name_find(f, "..")->node = &at->folder->node;
	return 0;
}

void
erofs_name_drop(struct erofs_image *im, const struct erofs_at *at)
{
	struct erofs_name *name = name_find(at->folder, at->name);

	if (name == NULL)
		return;
	(void)tdelete(name, &at->folder->names, compare);
	im->nnames--;
	im->at = NULL;
}

struct erofs_node *
erofs_node_new(struct erofs_image *im, enum erofs_type type)
{
	struct erofs_node *n = arena_calloc(&im->arena, 1, sizeof(*n));

	n->type = (uint8_t)type;
	return n;
}

int
erofs_folder_new(struct erofs_image *im, struct erofs_folder *parent, const char *name,
    struct erofs_folder **ret, struct err *e)
{
	struct erofs_folder *f = arena_calloc(&im->arena, 1, sizeof(*f));
	struct erofs_name *self = name_new(im, ".", 1), *up = name_new(im, "..", 2);
	struct erofs_at at = { .folder = parent, .name = name };
	int r;

	f->node.type = EROFS_FOLDER;
	f->parent = parent == NULL ? f : parent;
	f->meta.mode = 0755;
	f->all = im->folders;
	im->folders = f;
	self->node = &f->node;
	up->node = &f->parent->node;
	r = name_add(im, f, self, e);
	if (r == 0)
		r = name_add(im, f, up, e);
	if (r == 0 && parent != NULL) {
		r = erofs_name_set(im, &at, &f->node, e);
		f->name = r < 0 ? NULL : name_find(parent, name)->text;
	}
	if (r < 0)
		return r;
	*ret = f;
	return 0;
}

struct each {
	erofs_name_fn *fn;
	void *arg;
};

static void
each_name(const void *nodep, VISIT which, void *closure)
{
	const struct each *x = closure;

	if (which == postorder || which == leaf)
		x->fn(x->arg, *(const struct erofs_name *const *)nodep);
}

void
erofs_names_each(const struct erofs_folder *f, erofs_name_fn *fn, void *arg)
{
	struct each x = { .fn = fn, .arg = arg };

	twalk_r(f->names, each_name, &x);
}

/* --- paths --------------------------------------------------------------------------------------- */

struct walk {
	struct erofs_image *im;
	struct erofs_folder *f;	 /* the folder reached */
	char rest[2 * PATH_MAX]; /* what is still to be walked */
	unsigned links;
	bool make;
	bool blocked; /* not made, and something else is in the way */
};

/* Puts the target of a link in front of what is still to be walked. */
static int
walk_link(struct walk *w, const char *target, struct err *e)
{
	char rest[sizeof(w->rest)];

	if (++w->links > EROFS_PATH_LINKS_MAX)
		return err_sys(e, ELOOP, "find its folder");
	if (snprintf(rest, sizeof(rest), "%s/%s", target, w->rest) >= (int)sizeof(rest))
		return err_sys(e, ENAMETOOLONG, "find its folder");
	memcpy(w->rest, rest, sizeof(rest));
	if (target[0] == '/')
		w->f = w->im->root;
	return 0;
}

/* Makes the missing folder name and goes there; opaque: where a whiteout was. */
static int
walk_make(struct walk *w, const char *name, bool opaque, struct err *e)
{
	if (!opaque && w->im->nimplied == TREE_IMPLIED_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "more than %d folders that the archive uses without naming them",
		    TREE_IMPLIED_MAX);
	if (erofs_folder_new(w->im, w->f, name, &w->f, e) < 0)
		return -(int)e->code;
	w->f->opaque = opaque;
	w->f->implied = !opaque; /* else this layer removed the one below: nothing to take over */
	w->im->nimplied += !opaque;
	return 0;
}

static int
walk_step(struct walk *w, const char *name, struct err *e)
{
	struct erofs_at at = { .folder = w->f, .name = name };
	struct erofs_node *n;

	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		w->f = w->f->parent;
		return 0;
	}
	n = erofs_lookup(&at);
	if (n != NULL && n->type == EROFS_FOLDER) {
		w->f = (struct erofs_folder *)n;
		return 0;
	}
	if (n != NULL && n->type == EROFS_LINK)
		return walk_link(w, ((struct erofs_link *)n)->target, e);
	if (w->make) /* what is no folder goes: the archive says that it is one */
		return walk_make(w, name, n != NULL && n->whiteout, e);
	w->f = NULL;
	w->blocked = n != NULL;
	return 0;
}

static int
walk_all(struct walk *w, const char *path, struct err *e)
{
	char part[NAME_MAX + 1];
	const char *p = path;

	(void)snprintf(w->rest, sizeof(w->rest), "%s", path);
	while (w->f != NULL && *(p = w->rest + strspn(w->rest, "/")) != '\0') {
		size_t len = strcspn(p, "/");

		if (len > NAME_MAX)
			return err_sys(e, ENAMETOOLONG, "find its folder");
		memcpy(part, p, len);
		part[len] = '\0';
		memmove(w->rest, p + len, strlen(p + len) + 1);
		if (walk_step(w, part, e) < 0)
			return -(int)e->code;
	}
	return 0;
}

int
erofs_resolve(
    struct erofs_image *im, const char *path, bool make, struct erofs_folder **ret, struct err *e)
{
	struct walk w = { .im = im, .f = im->root, .make = make };
	int r = walk_all(&w, path, e);

	*ret = w.f;
	return r;
}

bool
erofs_blocked(struct erofs_image *im, const char *path)
{
	struct walk w = { .im = im, .f = im->root };
	struct err ignored = ERR_ZERO; /* what can't be walked is said when it is made */

	return walk_all(&w, path, &ignored) == 0 && w.blocked;
}

int
erofs_at(struct erofs_image *im, const char *path, struct erofs_at *ret, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
	ret->name = slash == NULL ? path : slash + 1;
	if (im->at == NULL || strcmp(dir, im->at_path) != 0) {
		struct erofs_folder *f;

		if (erofs_resolve(im, dir, true, &f, e) < 0)
			return -(int)e->code;
		im->at = f;
		memcpy(im->at_path, dir, sizeof(dir));
	}
	ret->folder = im->at;
	return 0;
}
