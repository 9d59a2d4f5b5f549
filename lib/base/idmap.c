/* SPDX-License-Identifier: Apache-2.0 */
/* idmap - see idmap.h */
#include "lib/base/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/ident.h"

#define BYTES_MAX 4095	/* the kernel takes less than a page */
#define IDS 4294967295u /* the last one means "none" */

/* --- reading -------------------------------------------------------------------------------------- */

/* A number that ends at the character end; *at goes behind that. */
static bool
number(const char **at, char end, uint64_t *ret)
{
	char *stop;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*ret = strtoull(*at, &stop, 10);
	if (errno != 0 || *stop != end)
		return false;
	*at = stop + (end != '\0');
	return true;
}

static bool
overlap(uint32_t a, uint32_t b, uint32_t asize, uint32_t bsize)
{
	return (uint64_t)a < (uint64_t)b + bsize && (uint64_t)b < (uint64_t)a + asize;
}

static int
line_check(const struct idmap *m, const struct idmap_line *l, const char *shown, struct err *e)
{
	if (m->n == IDMAP_LINES_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "mapping %s: the kernel takes at most %d mappings", shown, IDMAP_LINES_MAX);
	for (unsigned i = 0; i < m->n; i++) {
		const struct idmap_line *o = &m->v[i];

		if (overlap(l->inside, o->inside, l->size, o->size) ||
		    overlap(l->outside, o->outside, l->size, o->size))
			return err_set(e, ERR_INVALID_ARGUMENT, "mapping %s: overlaps %u:%u:%u",
			    shown, o->inside, o->outside, o->size);
	}
	return 0;
}

static int
line_parse(const char *text, const char *shown, struct idmap_line *ret, struct err *e)
{
	const char *at = text;
	uint64_t in, out, size;

	if (!number(&at, ':', &in) || !number(&at, ':', &out) || !number(&at, '\0', &size))
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "mapping %s: must be CONTAINER-ID:HOST-ID:SIZE, as 0:100000:65536", shown);
	if (size == 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "mapping %s: the size is 0", shown);
	if (size > IDS || in > IDS - size || out > IDS - size)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "mapping %s: ids end at %u", shown, IDS - 1);
	*ret = (struct idmap_line){ (uint32_t)in, (uint32_t)out, (uint32_t)size };
	return 0;
}

static int
line_add(struct idmap *m, const char *text, struct err *e)
{
	struct idmap_line l;
	char shown[48];
	int r;

	(void)ident_show(text, shown, sizeof(shown));
	if ((r = line_parse(text, shown, &l, e)) < 0 || (r = line_check(m, &l, shown, e)) < 0)
		return r;
	m->bytes += (unsigned)snprintf(NULL, 0, "%u %u %u\n", l.inside, l.outside, l.size);
	if (m->bytes > BYTES_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "mapping %s: the kernel takes at most %d bytes of mappings", shown, BYTES_MAX);
	m->v[m->n++] = l;
	return 0;
}

int
idmap_add(struct idmap *m, const char *text, struct err *e)
{
	AUTO(free_ptr) char *copy = xstrdup(text);
	char *rest = copy, *one;
	int r = 0;

	while (r == 0 && (one = strsep(&rest, ",")) != NULL)
		r = line_add(m, one, e);
	return r;
}

bool
idmap_outside(const struct idmap *m, uint32_t inside, uint32_t *ret)
{
	for (unsigned i = 0; i < m->n; i++)
		if (inside >= m->v[i].inside && inside - m->v[i].inside < m->v[i].size) {
			*ret = m->v[i].outside + (inside - m->v[i].inside);
			return true;
		}
	return false;
}

/* --- a namespace ---------------------------------------------------------------------------------- */

static int
map_write(pid_t pid, const char *name, const struct idmap *m, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(free_ptr) char *path = xasprintf("/proc/%d/%s", (int)pid, name);
	AUTO(fd_close) int fd = open(path, O_WRONLY | O_CLOEXEC);

	for (unsigned i = 0; i < m->n; i++)
		(void)buf_addf(&text, "%u %u %u\n", m->v[i].inside, m->v[i].outside, m->v[i].size);
	/* all at once, or the kernel takes none */
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return err_sys(e, errno, "write %s of a user namespace", name);
	return 0;
}

static int
ns_open(pid_t pid, const struct idmap *uids, const struct idmap *gids, int *ret, struct err *e)
{
	AUTO(free_ptr) char *path = xasprintf("/proc/%d/ns/user", (int)pid);
	int r = map_write(pid, "uid_map", uids, e);

	if (r == 0)
		r = map_write(pid, "gid_map", gids, e);
	if (r < 0)
		return r;
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? err_sys(e, errno, "open %s", path) : 0;
}

int
idmap_userns(const struct idmap *uids, const struct idmap *gids, int *ret_fd, struct err *e)
{
	int hold[2], r;
	char byte;
	pid_t pid;

	if (pipe2(hold, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	/* Without an exit signal: who reaps our other children does not hear of it. */
	pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		(void)close(hold[1]);
		(void)!read(hold[0], &byte, 1); /* ends when the other end is closed */
		_exit(0);
	}
	if (pid < 0)
		r = err_sys(e, errno, "make a user namespace%s",
		    errno == ENOSPC ? " (sysctl user.max_user_namespaces)" : "");
	else
		r = ns_open(pid, uids, gids, ret_fd, e);
	fd_close(&hold[0]);
	fd_close(&hold[1]);
	if (pid > 0)
		(void)waitpid(pid, NULL, __WALL);
	return r;
}
