/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_xattrs - see erofs_impl.h: extended attributes and the fields of an inode. */
#include <endian.h>
#include <string.h>
#include <sys/stat.h>

#include "workers/snapshot/erofs_impl.h"

/* The format has a number for the beginning of a name. */
static const struct {
	const char *text;
	uint8_t number;
	bool whole; /* it is all of the name */
} prefixes[] = { { "user.", 1, false }, { "system.posix_acl_access", 2, true },
	{ "system.posix_acl_default", 3, true }, { "trusted.", 4, false },
	{ "security.", 6, false } };

static const char *
prefix_split(const char *name, uint8_t *ret_number)
{
	for (unsigned i = 0; i < COUNT(prefixes); i++) {
		size_t n = strlen(prefixes[i].text);

		if (strncmp(name, prefixes[i].text, n) != 0 ||
		    (prefixes[i].whole && name[n] != '\0'))
			continue;
		*ret_number = prefixes[i].number;
		return name + n;
	}
	return NULL;
}

static int
encode(const struct layer_xattr *x, struct buf *out, struct err *e)
{
	struct erofs_xattr head = { .name_len = 0 };
	const char *name = prefix_split(x->name, &head.prefix);
	size_t n = name == NULL ? 0 : strlen(name), pad;

	if (name == NULL || n > UINT8_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "an EROFS image has no place for attribute %s", x->name);
	head.name_len = (uint8_t)n;
	head.value_len = htole16((uint16_t)x->n);
	pad = -(sizeof(head) + n + x->n) % 4;
	if (x->n <= UINT16_MAX && buf_add(out, &head, sizeof(head)) == 0 &&
	    buf_add(out, name, n) == 0 && buf_add(out, x->value, x->n) == 0 &&
	    buf_add(out, "\0\0\0", pad) == 0)
		return 0;
	return err_set(e, ERR_RESOURCE_EXHAUSTED,
	    "attribute %s (%zu bytes): an EROFS image takes 65535 of one and %zu of all of a file",
	    x->name, x->n, EROFS_XATTRS_MAX);
}

/* Whether it is given again later: the last one counts. */
static bool
given_again(const struct layer_meta *m, unsigned i)
{
	for (unsigned later = i + 1; later < m->nxattrs; later++)
		if (strcmp(m->xattrs[i].name, m->xattrs[later].name) == 0)
			return true;
	return false;
}

int
erofs_xattrs(struct erofs_image *im, mode_t type, const struct layer_meta *m, struct err *e)
{
	static const struct erofs_xattrs head;
	struct buf *out = &im->xattrs;

	out->len = 0;
	out->limit = EROFS_XATTRS_MAX;
	for (unsigned i = 0; i < m->nxattrs; i++) {
		/* Linux has user attributes on files and folders only. */
		if (strncmp(m->xattrs[i].name, "user.", 5) == 0 && !S_ISREG(type) &&
		    !S_ISDIR(type)) {
			im->usage.xattrs_skipped++;
			continue;
		}
		if (given_again(m, i))
			continue;
		if (out->len == 0)
			(void)buf_add(out, &head, sizeof(head)); /* below the limit */
		if (encode(&m->xattrs[i], out, e) < 0)
			return -(int)e->code;
	}
	return 0;
}

struct erofs_inode
erofs_inode(mode_t type, const struct layer_meta *m, size_t nxattrs)
{
	uint16_t count = nxattrs == 0 ? 0
				      : (uint16_t)((nxattrs - sizeof(struct erofs_xattrs)) / 4 + 1);

	return (struct erofs_inode){ .format = htole16(EROFS_EXTENDED | EROFS_PLAIN << 1),
		.xattr_count = htole16(count),
		.mode = htole16((uint16_t)(type | m->mode)),
		.uid = htole32(m->uid),
		.gid = htole32(m->gid),
		.mtime = htole64((uint64_t)m->mtime.tv_sec),
		.mtime_ns = htole32((uint32_t)m->mtime.tv_nsec),
		.nlink = htole32(1) };
}

bool
erofs_fits(uint64_t at, size_t nxattrs, size_t n)
{
	return (at + sizeof(struct erofs_inode) + nxattrs) % EROFS_BLOCK + n <= EROFS_BLOCK;
}
