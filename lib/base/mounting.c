/* SPDX-License-Identifier: Apache-2.0 */
/* mounting - see mounting.h */
#include "lib/base/mounting.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"

struct flag {
	const char *name;
	unsigned long set, clear;
};

static const struct flag flags[] = {
	{ "async", 0, MS_SYNCHRONOUS },
	{ "atime", 0, MS_NOATIME },
	{ "bind", MS_BIND, 0 },
	{ "defaults", 0, 0 },
	{ "dev", 0, MS_NODEV },
	{ "diratime", 0, MS_NODIRATIME },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "mand", MS_MANDLOCK, 0 },
	{ "noatime", MS_NOATIME, 0 },
	{ "nodev", MS_NODEV, 0 },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "noexec", MS_NOEXEC, 0 },
	{ "nomand", 0, MS_MANDLOCK },
	{ "norelatime", 0, MS_RELATIME },
	{ "nostrictatime", 0, MS_STRICTATIME },
	{ "nosuid", MS_NOSUID, 0 },
	{ "rbind", MS_BIND | MS_REC, 0 },
	{ "relatime", MS_RELATIME, 0 },
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "suid", 0, MS_NOSUID },
	{ "sync", MS_SYNCHRONOUS, 0 },
};

static bool
flag_take(const char *option, unsigned long *bits)
{
	for (size_t i = 0; i < COUNT(flags); i++)
		if (strcmp(option, flags[i].name) == 0) {
			*bits = (*bits & ~flags[i].clear) | flags[i].set;
			return true;
		}
	return false;
}

static int
options_split(
    const char *const *options, size_t n, unsigned long *bits, struct buf *data, struct err *e)
{
	*bits = 0;
	for (size_t i = 0; i < n; i++) {
		const char *o = options[i];

		if (flag_take(o, bits))
			continue;
		if (strcmp(o, "loop") == 0)
			return err_set(e, ERR_UNIMPLEMENTED, "loop devices are not made here");
		if (data->len > 0)
			(void)buf_adds(data, ",");
		(void)buf_adds(data, o);
	}
	/* mount(2) takes one page and would cut the rest off in silence. */
	if (data->len >= (size_t)sysconf(_SC_PAGESIZE))
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "options of %zu bytes, the kernel takes a page: too many layers", data->len);
	return 0;
}

int
mounting_make(const char *path, const char *type, const char *source, const char *const *options,
    size_t n, struct err *e)
{
	AUTO(buf_free) struct buf data = BUF_ZERO;
	unsigned long bits;

	if (options_split(options, n, &bits, &data, e) < 0)
		return err_wrap(e, "mount %.60s %.200s", type, source);
	if (strcmp(type, "bind") == 0 || strcmp(type, "rbind") == 0) {
		bits |= MS_BIND | (type[0] == 'r' ? MS_REC : 0);
		type = "none";
	}
	if (mount(source, path, type, bits, data.len > 0 ? data.data : NULL) < 0)
		return err_sys(
		    e, errno, "mount %.60s %.200s", (bits & MS_BIND) != 0 ? "bind" : type, source);
	/* A bind takes the flags of what it binds; they are set by mounting again. */
	if ((bits & MS_BIND) && (bits & ~(unsigned long)(MS_BIND | MS_REC)) != 0 &&
	    mount("none", path, NULL, bits | MS_REMOUNT, NULL) < 0)
		return err_sys(e, errno, "set flags of the mount of %.200s", source);
	return 0;
}
