/* SPDX-License-Identifier: Apache-2.0 */
/* platform - see platform.h */
#include "lib/oci/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "lib/base/ident.h"

/* Machine and architecture names on the left are the same as the OCI names on the right. */
static const struct {
	const char *name, *arch, *variant;
} aliases[] = {
	{ "x86_64", "amd64", "" },
	{ "x86-64", "amd64", "" },
	{ "aarch64", "arm64", "" },
	{ "aarch64_be", "arm64be", "" },
	{ "armv8l", "arm", "v8" },
	{ "armv7l", "arm", "v7" },
	{ "armv6l", "arm", "v6" },
	{ "armv5tel", "arm", "v5" },
	{ "armhf", "arm", "v7" },
	{ "armel", "arm", "v6" },
	{ "i386", "386", "" },
	{ "i486", "386", "" },
	{ "i586", "386", "" },
	{ "i686", "386", "" },
	{ "loongarch64", "loong64", "" },
};

static void
normalise(struct platform *p)
{
	for (size_t i = 0; i < COUNT(aliases); i++) {
		if (strcmp(p->arch, aliases[i].name) != 0)
			continue;
		(void)snprintf(p->arch, sizeof(p->arch), "%s", aliases[i].arch);
		if (p->variant[0] == '\0')
			(void)snprintf(p->variant, sizeof(p->variant), "%s", aliases[i].variant);
	}
	if (p->variant[0] >= '5' && p->variant[0] <= '8' && p->variant[1] == '\0' &&
	    strncmp(p->arch, "arm", 3) == 0) {
		p->variant[1] = p->variant[0];
		p->variant[0] = 'v';
		p->variant[2] = '\0';
	}
	if (strcmp(p->arch, "arm") == 0 && p->variant[0] == '\0')
		(void)snprintf(p->variant, sizeof(p->variant), "v7");
	if ((strcmp(p->arch, "arm64") == 0 && strcmp(p->variant, "v8") == 0) ||
	    (strcmp(p->arch, "amd64") == 0 && strcmp(p->variant, "v1") == 0))
		p->variant[0] = '\0';
}

void
platform_host(struct platform *ret)
{
	struct utsname u;

	*ret = (struct platform){ .os = "linux" };
	MUST(uname(&u) == 0);
	(void)snprintf(ret->arch, sizeof(ret->arch), "%.31s", u.machine);
	normalise(ret);
}

static int
part(const char *what, const char *text, char *to, struct err *e)
{
	char show[64];
	size_t n = strspn(
	    text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (text[n] != '\0' || n >= PLATFORM_PART_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s \"%s\" of a platform is not valid",
		    what, ident_show(text, show, sizeof(show)));
	for (size_t i = 0; i <= n; i++)
		to[i] = (char)tolower((unsigned char)text[i]);
	return 0;
}

int
platform_make(
    const char *os, const char *arch, const char *variant, struct platform *ret, struct err *e)
{
	struct platform p = { .os = "" };
	int r;

	if ((r = part("os", os, p.os, e)) < 0 || (r = part("architecture", arch, p.arch, e)) < 0 ||
	    (r = part("variant", variant == NULL ? "" : variant, p.variant, e)) < 0)
		return r;
	normalise(&p);
	*ret = p;
	return 0;
}

int
platform_parse(const char *text, struct platform *ret, struct err *e)
{
	char copy[PLATFORM_TEXT_MAX], show[96];
	char *arch, *variant = NULL;

	if (strlen(text) < sizeof(copy) && text[0] != '\0') {
		(void)snprintf(copy, sizeof(copy), "%s", text);
		arch = strchr(copy, '/');
		if (arch == NULL)
			return platform_make("linux", copy, NULL, ret, e);
		*arch++ = '\0';
		variant = strchr(arch, '/');
		if (variant != NULL)
			*variant++ = '\0';
		if (copy[0] != '\0' && arch[0] != '\0' && (variant == NULL || variant[0] != '\0'))
			return platform_make(copy, arch, variant, ret, e);
	}
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "platform \"%s\" is not valid: it is os/architecture or os/architecture/variant",
	    ident_show(text, show, sizeof(show)));
}

const char *
platform_text(const struct platform *p, char *text)
{
	(void)snprintf(text, PLATFORM_TEXT_MAX, "%s/%s%s%s", p->os, p->arch,
	    p->variant[0] != '\0' ? "/" : "", p->variant);
	return text;
}

/* "v7" as 700, "v8.2" as 802; what an absent variant stands for; 0 for what is not a number. */
static unsigned
variant_level(const struct platform *p)
{
	unsigned major = 0, minor = 0;
	char end = '\0';

	if (p->variant[0] == '\0')
		return strcmp(p->arch, "arm64") == 0 ? 800 : 100;
	if (strlen(p->variant) > 5 ||
	    strspn(p->variant + 1, "0123456789.") != strlen(p->variant) - 1 ||
	    sscanf(p->variant, "v%2u.%2u%c", &major, &minor, &end) < 1 || end != '\0')
		return 0;
	return major * 100 + minor;
}

/* The architecture that this one runs as well: 386 on amd64, arm on arm64. */
static bool
runs_older(const struct platform *want, const struct platform *have)
{
	if (strcmp(want->arch, "amd64") == 0)
		return strcmp(have->arch, "386") == 0;
	return strcmp(want->arch, "arm64") == 0 && strcmp(have->arch, "arm") == 0 &&
	       variant_level(have) > 0 && variant_level(have) <= 800;
}

unsigned
platform_rank(const struct platform *want, const struct platform *have)
{
	unsigned w, h;

	if (strcmp(want->os, have->os) != 0)
		return 0;
	if (runs_older(want, have))
		return 1 + variant_level(have);
	if (strcmp(want->arch, have->arch) != 0)
		return 0;
	if (strcmp(want->variant, have->variant) == 0)
		return 100000;
	w = variant_level(want);
	h = variant_level(have);
	if (w == 0 || h == 0 || h > w)
		return 0;
	return 10000 + h;
}
