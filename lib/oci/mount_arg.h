/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_arg - mounts as people write them on a command line.
 *
 *	type=bind,src=/data,dst=/srv,options=rbind:ro	(containerd)
 *	type=bind,source=/data,target=/srv,readonly	(docker)
 *	type=tmpfs,dst=/run,tmpfs-size=65536k,tmpfs-mode=755
 *
 * Sources and targets are checked for form only: who makes the mount says whether they are there.
 */
#ifndef CF_OCI_MOUNT_ARG_H
#define CF_OCI_MOUNT_ARG_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/oci/image_config.h"

struct oci_mount {
	const char *type, *source, *target;
	struct oci_list options;
};

/* Strings live in a; a bad word is named in the error. */
int oci_mount_parse(const char *text, struct arena *a, struct oci_mount *ret, struct err *e);

/* An absolute path without "", "." and ".." parts, in a; NULL when path is not absolute. "/.." is
 * "/", as the kernel has it. */
const char *oci_path_clean(const char *path, struct arena *a);

#endif
