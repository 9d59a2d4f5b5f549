/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups - see cgroups.h */
#include "supervisor/cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"

#define MOUNT "/sys/fs/cgroup"
#define STATE_USUAL "/run/coffer"

const char *
cgroups_root(const char *state, char *to)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	if (strcmp(state, STATE_USUAL) == 0)
		return memcpy(to, "/coffer", sizeof("/coffer"));
	for (const char *p = state; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	(void)snprintf(to, CGROUP_ROOT_MAX, "/coffer-%08x", h);
	return to;
}

/* rmdir takes only groups without processes and without groups below: what still runs stays. */
static void
prune_hierarchy(int dirfd, const char *name)
{
	AUTO(dir_close) DIR *d = NULL;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const struct dirent *ent;

	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (d == NULL) {
		fd_close(&fd);
		return;
	}
	while ((ent = readdir(d)) != NULL)
		if (ent->d_name[0] != '.')
			(void)unlinkat(fd, ent->d_name, AT_REMOVEDIR);
	(void)unlinkat(dirfd, name, AT_REMOVEDIR);
}

void
cgroups_prune(const char *state)
{
	AUTO(dir_close) DIR *d = opendir(MOUNT);
	char root[CGROUP_ROOT_MAX];
	const struct dirent *ent;

	if (d == NULL)
		return;
	(void)cgroups_root(state, root);
	prune_hierarchy(dirfd(d), root + 1); /* version 2: one hierarchy, at the mount itself */
	while ((ent = readdir(d)) != NULL) {
		char path[sizeof(ent->d_name) + CGROUP_ROOT_MAX];

		if (ent->d_name[0] == '.' || ent->d_type == DT_LNK)
			continue;
		(void)snprintf(path, sizeof(path), "%s%s", ent->d_name, root);
		prune_hierarchy(dirfd(d), path);
	}
}
