/* SPDX-License-Identifier: Apache-2.0 */
/* bundle - see bundle.h */
#include "supervisor/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"

#define MOUNTS_MAX 1024 /* below one bundle */

const char *
bundle_path(const struct folders *f, const char *ns, const char *id, char *path)
{
	(void)snprintf(path, PATH_MAX, "%s/bundles/%s/%s", f->state, ns, id);
	return path;
}

bool
bundle_exists(const struct folders *f, const char *ns, const char *id)
{
	char path[PATH_MAX];
	struct stat st;

	return lstat(bundle_path(f, ns, id, path), &st) == 0;
}

int
memfd_check(int fd, const char *what, struct err *e)
{
	struct stat st;

	/* Only files of shared memory have seals; a file of FUSE or a pipe could make us wait. */
	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is not a memfd", what);
	return 0;
}

/* Copies the memfd, once: what its owner does to it later changes nothing. */
static int
config_copy(int dirfd, int from, struct err *e)
{
	AUTO(fd_close) int to = -1;
	struct stat st;
	off_t at = 0;
	int r = memfd_check(from, "config.json", e);

	if (r < 0)
		return r;
	if (fstat(from, &st) < 0 || st.st_size == 0 || st.st_size > BUNDLE_CONFIG_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "config.json is %lld bytes long: 1 to %u are allowed", (long long)st.st_size,
		    BUNDLE_CONFIG_MAX);
	to = openat(dirfd, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return err_sys(e, errno, "create config.json");
	while (at < st.st_size) {
		ssize_t n = sendfile(to, from, &at, (size_t)(st.st_size - at));

		if (n <= 0)
			return err_sys(e, n < 0 ? errno : ENODATA, "write config.json");
	}
	return 0;
}

static int
bundle_fill(const struct folders *f, int parent, const char *ns, const char *id, int config_fd,
    struct err *e)
{
	AUTO(fd_close) int dir = -1;
	AUTO(fd_close) int logs = -1;
	int r;

	r = folder_make(parent, id, 0, 0, 0700, &dir, e);
	if (r < 0 || (r = config_copy(dir, config_fd, e)) < 0 ||
	    (r = folder_make(dir, "rootfs", 0, 0, 0755, NULL, e)) < 0 ||
	    (r = folder_make(f->logs, ns, 0, f->coffer, 0750, &logs, e)) < 0)
		return r;
	return folder_make(logs, id, 0, f->coffer, 0750, NULL, e);
}

int
bundle_make(const struct folders *f, const char *ns, const char *id, int config_fd, struct err *e)
{
	AUTO(fd_close) int parent = -1;
	struct err ignored = ERR_ZERO;
	int r;

	if (bundle_exists(f, ns, id))
		return err_set(e, ERR_ALREADY_EXISTS, "bundle %s/%s is there already", ns, id);
	r = folder_make(f->bundles, ns, 0, 0, 0711, &parent, e);
	if (r == 0)
		r = bundle_fill(f, parent, ns, id, config_fd, e);
	if (r == 0)
		return 0;
	(void)bundle_remove(f, ns, id, &ignored); /* the first error is the one to tell */
	return err_wrap(e, "make bundle %s/%s", ns, id);
}

/* The kernel writes space, tab, newline and backslash as \ooo. */
static void
unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at != '\0'; to++) {
		if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' &&
		    at[3] >= '0' && at[3] <= '7') {
			*to = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
			at += 4;
		} else {
			*to = *at++;
		}
	}
	*to = '\0';
}

/* The fifth word of a line of mountinfo, NULL when it has none. */
static char *
mount_point(char *line)
{
	char *word = line;

	for (int i = 0; i < 4 && word != NULL; i++) {
		word = strchr(word, ' ');
		if (word != NULL)
			word++;
	}
	if (word == NULL)
		return NULL;
	word[strcspn(word, " \n")] = '\0';
	unescape(word);
	return word;
}

int
mount_find(FILE *file, const char *path, char *found, struct err *e)
{
	AUTO(free_ptr) char *line = NULL;
	size_t size = 0, n = strlen(path), best = PATH_MAX;

	while (getline(&line, &size, file) >= 0) {
		const char *at = mount_point(line);

		if (at == NULL || strncmp(at, path, n) != 0 || (at[n] != '\0' && at[n] != '/') ||
		    strlen(at) >= best)
			continue;
		best = strlen(at);
		memcpy(found, at, best + 1);
	}
	if (ferror(file))
		return err_sys(e, errno, "read mountinfo");
	return best < PATH_MAX;
}

/*
 * Shortest first: what is mounted deeper goes with it (MNT_DETACH), and no path is ever walked through
 * a container's own files, where a link could lead elsewhere.
 */
static int
mounts_detach(const char *path, struct err *e)
{
	char found[PATH_MAX];

	for (int i = 0; i < MOUNTS_MAX; i++) {
		AUTO(file_close) FILE *file = fopen("/proc/self/mountinfo", "re");
		int r;

		if (file == NULL)
			return err_sys(e, errno, "open mountinfo");
		r = mount_find(file, path, found, e);
		if (r <= 0)
			return r;
		if (umount2(found, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return err_sys(e, errno, "unmount %s", found);
	}
	return err_set(e, ERR_INTERNAL, "more than %d mounts below %s", MOUNTS_MAX, path);
}

/* Removes NS/ID below dirfd, and NS when it was the last. */
static int
tree_remove(int dirfd, const char *ns, const char *id, struct err *e)
{
	char rel[2 * 80 + 2];
	int r;

	(void)snprintf(rel, sizeof(rel), "%s/%s", ns, id);
	r = fs_remove_tree(dirfd, rel, e);
	if (r == 0)
		(void)unlinkat(dirfd, ns, AT_REMOVEDIR); /* others are in it: it stays */
	return r;
}

int
bundle_remove(const struct folders *f, const char *ns, const char *id, struct err *e)
{
	char path[PATH_MAX];
	int r;

	if (!bundle_exists(f, ns, id))
		return 0;
	r = mounts_detach(bundle_path(f, ns, id, path), e);
	FAULT_POINT("supervisor.bundle.detached");
	return r < 0 ? r : tree_remove(f->bundles, ns, id, e);
}

int
bundle_remove_logs(const struct folders *f, const char *ns, const char *id, struct err *e)
{
	return tree_remove(f->logs, ns, id, e);
}
