/* SPDX-License-Identifier: Apache-2.0 */
/* settle - see settle.h */
#include "workers/snapshot/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/nursery.h"

#define XATTR_NAMES_MAX (64 * 1024)
#define XATTR_VALUE_MAX (64 * 1024)

static int
open_plain(int dir, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static int
copy_xattrs(int from, int to, struct err *e)
{
	AUTO(free_ptr) char *names = xcalloc(1, XATTR_NAMES_MAX);
	AUTO(free_ptr) char *value = xcalloc(1, XATTR_VALUE_MAX);
	ssize_t n = flistxattr(from, names, XATTR_NAMES_MAX);

	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		const char *name = names + at;
		ssize_t len;

		if (strncmp(name, "trusted.", 8) == 0 || strncmp(name, "user.overlay.", 13) == 0)
			continue;
		len = fgetxattr(from, name, value, XATTR_VALUE_MAX);
		if (len >= 0 && fsetxattr(to, name, value, (size_t)len, 0) < 0 &&
		    errno != ENOTSUP &&
		    strncmp(name, "security.", 9) != 0) /* labels are the host's affair */
			return err_sys(e, errno, "set attribute %s", name);
	}
	return 0;
}

static int
copy_meta(int from, int to, struct err *e)
{
	struct timespec times[2];
	struct stat st;

	if (fstat(from, &st) < 0)
		return err_sys(e, errno, "look at it below");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	if (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0)
		return err_sys(e, errno, "set owner and mode");
	if (copy_xattrs(from, to, e) < 0)
		return -(int)e->code;
	return futimens(to, times) < 0 ? err_sys(e, errno, "set times") : 0;
}

/* A folder above it in its own layer is opaque: nothing below shows. */
static bool
hidden(int folder, const char *path)
{
	AUTO(fd_close) int fd = -1;
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
	return merged_look(folder, dir, &fd) != MERGED_HERE;
}

static int
settle_one(int folder, int layers, const char *path, const uint64_t *lowers, unsigned nlowers,
    struct err *e)
{
	AUTO(fd_close) int to = open_plain(folder, path, O_RDONLY | O_DIRECTORY);

	if (to < 0 || hidden(folder, path))
		return 0; /* not there: replaced later in the same archive */
	for (unsigned i = 0; i < nlowers; i++) {
		AUTO(fd_close) int top = merged_layer(layers, lowers[i]);
		AUTO(fd_close) int from = -1;
		enum merged_look look;

		if (top < 0)
			return err_sys(e, errno, "open layer %llu", (unsigned long long)lowers[i]);
		look = merged_look(top, path, &from);
		if (from >= 0)
			return copy_meta(from, to, e);
		if (look == MERGED_HIDDEN)
			return 0;
	}
	return 0;
}

int
settle_run(
    int folder, int layers, int list, const uint64_t *lowers, unsigned nlowers, struct err *e)
{
	struct buf paths = BUF_LIMIT(NURSERY_IMPLIED_BYTES_MAX);
	int r;

	if (lseek(list, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "read the list of implied folders");
	r = fs_read_fd(list, NURSERY_IMPLIED_BYTES_MAX - 65536, &paths, e);
	for (size_t at = 0; r == 0 && at < paths.len; at += strlen(paths.data + at) + 1)
		r = settle_one(folder, layers, paths.data + at, lowers, nlowers, e);
	buf_free(&paths);
	if (r == 0 && syncfs(folder) < 0)
		r = err_sys(e, errno, "bring the layer to disk");
	return r;
}
