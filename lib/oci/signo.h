/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signo - signals by name or number, as images and people write them.
 */
#ifndef CF_OCI_SIGNO_H
#define CF_OCI_SIGNO_H

#include "lib/base/err.h"

/* "SIGTERM", "term", "15", "RTMIN+3", "SIGRTMAX-1"; 1..64. */
int oci_signal_parse(const char *text, int *ret, struct err *e);

#endif
