/* SPDX-License-Identifier: Apache-2.0 */
/* xattrs - see xattrs.h */
#include "workers/snapshot/xattrs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LIST_MAX (64 * 1024) /* the kernel's limits */
#define VALUE_MAX (64 * 1024)

bool
xattr_kept(const char *name)
{
	if (strncmp(name, "user.", 5) == 0)
		return strncmp(name, "user.overlay.", 13) != 0;
	return strcmp(name, "security.capability") == 0 ||
	       strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

static bool
is_mount_own(const char *name)
{
	return strcmp(name, "trusted.overlay.redirect") == 0 ||
	       strcmp(name, "trusted.overlay.metacopy") == 0;
}

static int
by_name(const void *a, const void *b)
{
	const struct layer_xattr *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int
add_name(struct xattrs *x, const char *name, struct err *e)
{
	if (is_mount_own(name))
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "it was mounted with redirect_dir or metacopy and can't be read without: "
		    "mount it without these options");
	if (!xattr_kept(name))
		return 0;
	if (x->n == XATTRS_MAX)
		return err_set(
		    e, ERR_RESOURCE_EXHAUSTED, "more than %d extended attributes", XATTRS_MAX);
	x->v[x->n++] = (struct layer_xattr){ .name = name };
	return 0;
}

static int
add_value(struct xattrs *x, struct layer_xattr *v, const char *of, struct err *e)
{
	void *room = buf_room(&x->values, VALUE_MAX);
	ssize_t n = lgetxattr(of, v->name, room, VALUE_MAX);

	if (n < 0)
		return err_sys(e, errno, "read attribute %s", v->name);
	x->values.len += (size_t)n;
	v->n = (size_t)n;
	return 0;
}

int
xattrs_read(struct xattrs *x, int dir, const char *name, struct err *e)
{
	size_t at = 0;
	ssize_t len;
	int r = 0;

	x->n = 0;
	x->names.len = x->values.len = 0;
	if (fchdir(dir) < 0)
		return err_sys(e, errno, "enter its folder");
	len = llistxattr(name, buf_room(&x->names, LIST_MAX), LIST_MAX);
	if (len < 0)
		return errno == ENOTSUP ? 0 : err_sys(e, errno, "list attributes");
	for (const char *p = x->names.data; r == 0 && p < x->names.data + len; p += strlen(p) + 1)
		r = add_name(x, p, e);
	if (r == 0 && x->n > 1)
		qsort(x->v, x->n, sizeof(x->v[0]), by_name);
	for (unsigned i = 0; r == 0 && i < x->n; i++)
		r = add_value(x, &x->v[i], name, e);
	for (unsigned i = 0; r == 0 && i < x->n; at += x->v[i++].n) /* they do not move any more */
		x->v[i].value = x->values.data + at;
	return r;
}

bool
xattrs_equal(const struct xattrs *a, const struct xattrs *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->v[i].name, b->v[i].name) != 0 || a->v[i].n != b->v[i].n ||
		    memcmp(a->v[i].value, b->v[i].value, a->v[i].n) != 0)
			return false;
	return true;
}

void
xattrs_free(struct xattrs *x)
{
	buf_free(&x->names);
	buf_free(&x->values);
}
