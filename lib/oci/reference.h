/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference - names of images, completed the way docker does it.
 *
 *	nginx                       docker.io/library/nginx:latest
 *	me/app:1.0                  docker.io/me/app:1.0
 *	127.0.0.1:5000/x            127.0.0.1:5000/x:latest
 *	quay.io/a/b@sha256:..       quay.io/a/b@sha256:..
 *	quay.io/a/b:1@sha256:..     quay.io/a/b:1@sha256:..
 *
 * host: DNS labels or an address, with a port; path: lower-case components; tag: 128 characters;
 * host and path together: 255. What passes is safe in a URL path without escaping.
 */
#ifndef CF_OCI_REFERENCE_H
#define CF_OCI_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/oci/digest.h"

#define REFERENCE_NAME_MAX 255
#define REFERENCE_TAG_MAX 128
#define REFERENCE_TEXT_MAX 784 /* more than any full name: 520 and a NUL */

struct reference {
	char host[REFERENCE_NAME_MAX + 1]; /* docker.io, 127.0.0.1:5000 */
	char path[REFERENCE_NAME_MAX + 1]; /* library/nginx */
	char tag[REFERENCE_TAG_MAX + 1];   /* "" when it has only a digest */
	bool has_digest;
	struct digest digest;
};

/* invalid_argument says what is wrong; control characters are shown escaped. */
int reference_parse(const char *text, struct reference *ret, struct err *e);

/* The full name into text (REFERENCE_TEXT_MAX bytes); returns text. */
const char *reference_text(const struct reference *r, char *text);

/* Host and port of the registry to ask: docker.io is served by registry-1.docker.io. */
const char *reference_registry(const struct reference *r);

/* DNS labels, an IPv4 address or [IPv6], with or without a port. */
bool reference_host_ok(const char *host);

/* true for localhost, *.localhost, 127.0.0.0/8 and [::1], with or without a port. */
bool reference_host_is_loopback(const char *host);

#endif
