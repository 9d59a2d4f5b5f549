/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caps - capabilities by name and as a mask: what a container gets, plus and minus what is asked.
 */
#ifndef CF_OCI_CAPS_H
#define CF_OCI_CAPS_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/oci/image_config.h"

#define OCI_CAPS_COUNT 41 /* CAP_CHOWN .. CAP_CHECKPOINT_RESTORE */
#define OCI_CAPS_ALL ((UINT64_C(1) << OCI_CAPS_COUNT) - 1)

/* The fourteen that docker, podman and containerd give. */
uint64_t oci_caps_default(void);

/* "CAP_CHOWN" of bit i < OCI_CAPS_COUNT. */
const char *oci_cap_name(unsigned i);

/* "CAP_NET_ADMIN", "net_admin": sets *ret to its mask; "ALL" to all of them. */
int oci_cap_parse(const char *text, uint64_t *ret, struct err *e);

/* base with drop taken away, then add put in ("ALL" works for both; a capability that is named in add
 * stays whatever drop says). */
int oci_caps_change(
    uint64_t base, struct oci_list add, struct oci_list drop, uint64_t *ret, struct err *e);

#endif
