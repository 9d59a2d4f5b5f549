/* SPDX-License-Identifier: Apache-2.0 */
/* passwd - see passwd.h */
#include "lib/oci/passwd.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/ident.h"

static bool
looks_numeric(const char *text)
{
	return (text[0] >= '0' && text[0] <= '9') || text[0] == '-' || text[0] == '+';
}

/* All of n bytes of text as 0..OCI_ID_MAX. */
static bool
parse_id(const char *text, size_t n, uint32_t *ret)
{
	uint64_t v = 0;

	if (n == 0 || n > 10)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	if (v > OCI_ID_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* One half of "user:group" into a number or a name. */
static int
parse_half(const char *whole, const char *half, size_t n, char *name, size_t size, uint32_t *id,
    bool *given, struct err *e)
{
	char shown[96];

	if (n == 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "user \"%s\": a half of it is empty",
		    ident_show(whole, shown, sizeof(shown)));
	if (n >= size)
		return err_set(e, ERR_INVALID_ARGUMENT, "user \"%s\": too long: at most %zu bytes",
		    ident_show(whole, shown, sizeof(shown)), size - 1);
	if (!looks_numeric(half)) {
		memcpy(name, half, n);
		name[n] = '\0';
		return 0;
	}
	if (!parse_id(half, n, id))
		return err_set(e, ERR_INVALID_ARGUMENT, "user \"%s\": numbers are 0 to %d",
		    ident_show(whole, shown, sizeof(shown)), OCI_ID_MAX);
	*given = true;
	return 0;
}

int
oci_user_parse(const char *text, struct oci_user_ref *ret, struct err *e)
{
	struct oci_user_ref ref = { .uid = 0 };
	const char *colon = strchr(text, ':');
	size_t n = colon == NULL ? strlen(text) : (size_t)(colon - text);
	int r;

	if (text[0] == '\0') {
		(void)snprintf(ref.user, sizeof(ref.user), "root");
		*ret = ref;
		return 0;
	}
	r = parse_half(text, text, n, ref.user, sizeof(ref.user), &ref.uid, &ref.uid_given, e);
	if (r == 0 && colon != NULL) {
		ref.group_given = true;
		r = parse_half(text, colon + 1, strlen(colon + 1), ref.group, sizeof(ref.group),
		    &ref.gid, &ref.gid_given, e);
	}
	if (r < 0)
		return r;
	*ret = ref;
	return 0;
}

bool
oci_user_numeric(const struct oci_user_ref *ref, struct oci_user *ret)
{
	if (!ref->uid_given || !ref->gid_given)
		return false;
	*ret = (struct oci_user){ .uid = ref->uid, .gid = ref->gid };
	return true;
}

static int
read_db(int fd, const char *what, struct buf *out, struct err *e)
{
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat %s of the container", what);
	if (!S_ISREG(st.st_mode))
		return err_set(
		    e, ERR_FAILED_PRECONDITION, "%s of the container is not a regular file", what);
	if (st.st_size > (off_t)OCI_PASSWD_BYTES_MAX)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "%s of the container is larger than %u bytes", what, OCI_PASSWD_BYTES_MAX);
	out->limit = OCI_PASSWD_BYTES_MAX;
	for (;;) {
		void *to = buf_room(out, 65536);
		ssize_t n;

		if (to == NULL)
			return err_set(e, ERR_FAILED_PRECONDITION,
			    "%s of the container is larger than %u bytes", what,
			    OCI_PASSWD_BYTES_MAX - 65536);
		n = read(fd, to, 65536);
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "read %s of the container", what);
		if (n == 0)
			return 0;
		if (n > 0)
			out->len += (size_t)n;
	}
}

/* A field of a line: bytes up to the next ':' or the line's end. */
struct text {
	const char *p;
	size_t n;
};

#define FIELDS_MAX 4

/* Splits the next line of what is left into its first fields; false at the end. Lines over the limit
 * come with no fields. */
static bool
next_line(struct text *left, struct text fields[FIELDS_MAX], unsigned *nfields)
{
	const char *end;
	struct text line;

	if (left->n == 0)
		return false;
	end = memchr(left->p, '\n', left->n);
	line.p = left->p;
	line.n = end == NULL ? left->n : (size_t)(end - left->p);
	left->n -= line.n + (end != NULL);
	left->p += line.n + (end != NULL);
	*nfields = 0;
	if (line.n > OCI_PASSWD_LINE_MAX || (line.n > 0 && line.p[0] == '#'))
		return true;
	while (*nfields < FIELDS_MAX) {
		const char *colon = memchr(line.p, ':', line.n);
		size_t n = colon == NULL ? line.n : (size_t)(colon - line.p);

		fields[(*nfields)++] = (struct text){ line.p, n };
		if (colon == NULL)
			return true;
		line.p += n + 1;
		line.n -= n + 1;
	}
	return true;
}

static bool
text_is(struct text t, const char *s)
{
	return t.n == strlen(s) && memcmp(t.p, s, t.n) == 0;
}

/* Finds the user's line: fills uid, gid and the name it is known by in group lists. */
static bool
find_user(
    const struct buf *db, const struct oci_user_ref *ref, struct oci_user *u, struct text *name)
{
	struct text left = { db->data, db->len }, f[FIELDS_MAX];
	uint32_t uid, gid;
	unsigned n;

	while (next_line(&left, f, &n)) {
		if (n < 4 || f[0].n == 0 || !parse_id(f[2].p, f[2].n, &uid) ||
		    !parse_id(f[3].p, f[3].n, &gid))
			continue;
		if (ref->uid_given ? uid != ref->uid : !text_is(f[0], ref->user))
			continue;
		u->uid = uid;
		u->gid = gid;
		*name = f[0];
		return true;
	}
	return false;
}

static bool
list_has(struct text list, struct text name)
{
	while (list.n > 0) {
		const char *comma = memchr(list.p, ',', list.n);
		size_t n = comma == NULL ? list.n : (size_t)(comma - list.p);

		if (n == name.n && memcmp(list.p, name.p, n) == 0)
			return true;
		list.p += n + (comma != NULL);
		list.n -= n + (comma != NULL);
	}
	return false;
}

static bool
find_group(const struct buf *db, const char *name, uint32_t *ret)
{
	struct text left = { db->data, db->len }, f[FIELDS_MAX];
	unsigned n;

	while (next_line(&left, f, &n))
		if (n >= 3 && text_is(f[0], name) && parse_id(f[2].p, f[2].n, ret))
			return true;
	return false;
}

static int
add_gid(struct oci_user *u, uint32_t gid, struct err *e)
{
	for (unsigned i = 0; i < u->ngids; i++)
		if (u->gids[i] == gid)
			return 0;
	if (u->ngids == OCI_GIDS_MAX)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "/etc/group of the container: the user is in more than %d groups",
		    OCI_GIDS_MAX);
	u->gids[u->ngids++] = gid;
	return 0;
}

/* The groups that list the user, with its own one first (CVE-2023-25173). */
static int
add_groups(const struct buf *db, struct text name, struct oci_user *u, struct err *e)
{
	struct text left = { db->data, db->len }, f[FIELDS_MAX];
	uint32_t gid;
	unsigned n;
	int r;

	if ((r = add_gid(u, u->gid, e)) < 0)
		return r;
	while (next_line(&left, f, &n)) {
		if (n < 4 || !parse_id(f[2].p, f[2].n, &gid) || !list_has(f[3], name))
			continue;
		if ((r = add_gid(u, gid, e)) < 0)
			return r;
	}
	return 0;
}

static int
resolve_group(
    const struct oci_user_ref *ref, const struct buf *groups, struct oci_user *u, struct err *e)
{
	char shown[80];

	if (ref->gid_given) {
		u->gid = ref->gid;
		return 0;
	}
	if (find_group(groups, ref->group, &u->gid))
		return 0;
	return err_set(e, ERR_NOT_FOUND, "group \"%s\": not in /etc/group of the container",
	    ident_show(ref->group, shown, sizeof(shown)));
}

int
oci_user_resolve(const struct oci_user_ref *ref, int passwd_fd, int group_fd, struct oci_user *ret,
    struct err *e)
{
	AUTO(buf_free) struct buf users = BUF_ZERO, groups = BUF_ZERO;
	struct oci_user u = { .uid = ref->uid };
	struct text name = { "", 0 };
	char shown[80];
	bool found;
	int r;

	if ((r = read_db(passwd_fd, "/etc/passwd", &users, e)) < 0 ||
	    (r = read_db(group_fd, "/etc/group", &groups, e)) < 0)
		return r;
	found = find_user(&users, ref, &u, &name);
	/* Root needs no file, and a number needs none either: its group is then root's, as docker has it. */
	if (!found && !ref->uid_given && strcmp(ref->user, "root") != 0)
		return err_set(e, ERR_NOT_FOUND, "user \"%s\": not in /etc/passwd of the container",
		    ident_show(ref->user, shown, sizeof(shown)));
	if (ref->group_given)
		r = resolve_group(ref, &groups, &u, e);
	else if (found)
		r = add_groups(&groups, name, &u, e);
	if (r < 0)
		return r;
	*ret = u;
	return 0;
}
