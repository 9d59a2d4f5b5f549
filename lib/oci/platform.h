/* SPDX-License-Identifier: Apache-2.0 */
/*
 * platform - os/architecture[/variant] as OCI images name it: this host's, parsed, and matched.
 *
 * Names are kept in one form: x86_64 is amd64, aarch64 is arm64 without variant, armhf is arm/v7,
 * arm without variant is arm/v7, amd64/v1 is amd64.
 */
#ifndef CF_OCI_PLATFORM_H
#define CF_OCI_PLATFORM_H

#include <stdbool.h>

#include "lib/base/err.h"

#define PLATFORM_PART_MAX 32
#define PLATFORM_TEXT_MAX 100

struct platform {
	char os[PLATFORM_PART_MAX], arch[PLATFORM_PART_MAX], variant[PLATFORM_PART_MAX];
};

/* From uname. */
void platform_host(struct platform *ret);

/* "os/arch[/variant]"; "arch" alone means linux. invalid_argument for anything else. */
int platform_parse(const char *text, struct platform *ret, struct err *e);

/* From the three fields of a document, variant may be NULL; invalid_argument when one is too long or
 * has characters other than letters, digits, '.', '_', '-'. */
int platform_make(
    const char *os, const char *arch, const char *variant, struct platform *ret, struct err *e);

/* "linux/arm/v7" into text (PLATFORM_TEXT_MAX bytes); returns text. */
const char *platform_text(const struct platform *p, char *text);

/* How well `have` serves someone who wants `want`: 0 not at all, larger is better. arm runs what is
 * made for its variant or an older one; so do arm64 and amd64, which also run, when there is nothing
 * better, what is made for arm and 386: containerd's rules. */
unsigned platform_rank(const struct platform *want, const struct platform *have);

#endif
