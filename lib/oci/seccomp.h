/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp - the default system call filter, in the OCI spec's form.
 *
 * The same calls as docker and containerd let through, so that an image that runs there runs here:
 * everything a program needs, and for each capability it holds what that capability is about.
 * What is not named fails with EPERM; clone3 with ENOSYS, so that libc falls back to clone, whose
 * flags a filter can see. Internal to lib/oci (jansson).
 */
#ifndef CF_OCI_SECCOMP_H
#define CF_OCI_SECCOMP_H

#include <jansson.h>
#include <stdint.h>

/* The caller owns the result. caps: mask of the bounding set. */
json_t *oci_seccomp_default(uint64_t caps);

#endif
