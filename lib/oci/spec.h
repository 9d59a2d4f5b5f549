/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec - the OCI runtime spec (config.json) of a container, from its image's config and what was
 * asked for; and the process document of an exec, from that spec.
 *
 * Docker's rules: an entrypoint that is given replaces the image's and drops its cmd, arguments
 * replace cmd; environment merges by name, later wins, a name without '=' takes it away. Defaults as
 * containerd's ctr gives them: fourteen capabilities, masked and read-only paths, the default filter of
 * system calls, no_new_privs, RLIMIT_NOFILE 1024. The score for the kernel's OOM killer is set, and never
 * below 0: a container must not inherit the protection of the daemon that starts it.
 *
 * Only forms are checked here; files are opened by no function of this header. All input is data.
 */
#ifndef CF_OCI_SPEC_H
#define CF_OCI_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/oci/image_config.h"
#include "lib/oci/passwd.h"

#define OCI_SPEC_BYTES_MAX (4u << 20) /* container.spec of schemas/task.def */

struct oci_spec_opts {
	const char *ns, *id; /* idents */
	struct oci_list entrypoint, args, env, mounts, cap_add, cap_drop;
	struct oci_list uidmap, gidmap; /* idmap.h; none: no user namespace, both or none */
	const char *cwd;		/* NULL or "" = the image's */
	const char *hostname;		/* NULL or "" = id, the host's with net_host */
	struct oci_user user;		/* resolved */
	bool net_host, privileged, read_only, tty;
	bool host_hosts, host_resolv; /* net_host: the host has these files */
	uint64_t memory;	      /* bytes, 0 = no limit; so for the others */
	int64_t cpu_quota;
	uint64_t cpu_period;
	int64_t pids_limit;
	uint64_t caps_host; /* mask of what the host lets us give; 0 = all */
	const struct oci_label *annotations;
	size_t nannotations;
	const char *host_name;	 /* of the machine; for net_host */
	const char *cgroup_root; /* NULL = \"/coffer\"; the container's is ROOT/NS/ID */
	int oom_score_adj;	 /* what the container gets; 0 when it is less */
};

/* Appends the JSON to out. invalid_argument says what is wrong with which field. */
int oci_spec_make(const struct oci_image_config *image, const struct oci_spec_opts *o,
    struct buf *out, struct err *e);

struct oci_exec_opts {
	struct oci_list args, env;
	const char *cwd;	     /* NULL or "" = the container's */
	const struct oci_user *user; /* NULL = the container's */
	bool tty;
};

/* The process document of an exec in the container with this spec. */
int oci_exec_make(
    const void *spec, size_t n, const struct oci_exec_opts *o, struct buf *out, struct err *e);

/* What is asked for as a user: the request's, else the image's, else "" (root). */
const char *oci_user_wanted(const char *request, const struct oci_image_config *image);

#endif
