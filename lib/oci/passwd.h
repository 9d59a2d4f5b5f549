/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passwd - "user[:group]" made into numbers by a container's own /etc/passwd and /etc/group.
 *
 * Both files belong to the image: they are read from descriptors that the caller opened below the
 * container's root, only when they are regular files, at most OCI_PASSWD_BYTES_MAX of each, and lines
 * that do not parse are skipped. Numbers are 0..2^31-1, no more: larger ones wrap around somewhere down
 * the road (CVE-2024-40635). A word that starts like a number is a number or an error, never a name.
 */
#ifndef CF_OCI_PASSWD_H
#define CF_OCI_PASSWD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

#define OCI_PASSWD_BYTES_MAX (10u << 20)
#define OCI_PASSWD_LINE_MAX 65536u
#define OCI_ID_MAX INT32_MAX
#define OCI_GIDS_MAX 256 /* further groups beyond these are an error */

struct oci_user {
	uint32_t uid, gid;
	uint32_t gids[OCI_GIDS_MAX]; /* supplementary, gid among them unless there are none */
	unsigned ngids;
};

/* The two halves of "user[:group]": a name or a number each. */
struct oci_user_ref {
	char user[256], group[256]; /* names; "" when a number (or, for group, when absent) */
	uint32_t uid, gid;
	bool uid_given, gid_given, group_given;
};

/* "" is root. invalid_argument: "user "-1": ...". */
int oci_user_parse(const char *text, struct oci_user_ref *ret, struct err *e);

/* true when the files have nothing to add: uid:gid in numbers. ret is filled then. */
bool oci_user_numeric(const struct oci_user_ref *ref, struct oci_user *ret);

/* passwd_fd and group_fd may be -1: no such file. Borrowed; read from their current offsets. not_found
 * when a name is in neither; failed_precondition for a file that is not a regular file or too big. */
int oci_user_resolve(const struct oci_user_ref *ref, int passwd_fd, int group_fd,
    struct oci_user *ret, struct err *e);

#endif
