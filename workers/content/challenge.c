/* SPDX-License-Identifier: Apache-2.0 */
/* challenge - what a registry's 401 asks for, and whether its token service may be trusted with a
 * password. See remote.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/ident.h"
#include "workers/content/remote.h"

static const char *
skip(const char *p, const char *set)
{
	return p + strspn(p, set);
}

/* One auth-param at *p: name=token or name="text"; false when there is none. */
static bool
param_read(const char **p, char *name, size_t name_size, char *value, size_t value_size)
{
	const char *at = skip(*p, " \t,");
	size_t n = strcspn(at, " \t,=\"");
	size_t v = 0;
	bool fits = true;

	if (n == 0 || n >= name_size || at[n] != '=')
		return false;
	(void)snprintf(name, name_size, "%.*s", (int)n, at);
	at += n + 1;
	if (*at == '"') {
		for (at++; *at != '\0' && *at != '"'; at++) {
			if (*at == '\\' && at[1] != '\0')
				at++;
			if (v + 1 < value_size)
				value[v++] = *at;
			else
				fits = false;
		}
		if (*at == '"')
			at++;
	} else {
		for (; *at != '\0' && strchr(" \t,", *at) == NULL; at++) {
			if (v + 1 < value_size)
				value[v++] = *at;
			else
				fits = false;
		}
	}
	value[fits ? v : 0] = '\0';
	*p = at;
	return true;
}

void
challenge_read(const char *header, struct challenge *ret)
{
	const char *p = header;

	while (*(p = skip(p, " \t,")) != '\0') {
		size_t n = strcspn(p, " \t,");
		bool bearer = n == 6 && strncasecmp(p, "Bearer", 6) == 0;
		char name[32], value[1024];

		if (n == 5 && strncasecmp(p, "Basic", 5) == 0)
			ret->basic = true;
		p += n;
		while (param_read(&p, name, sizeof(name), value, sizeof(value))) {
			if (!bearer)
				continue;
			if (strcasecmp(name, "realm") == 0)
				(void)snprintf(ret->realm, sizeof(ret->realm), "%s", value);
			else if (strcasecmp(name, "service") == 0)
				(void)snprintf(ret->service, sizeof(ret->service), "%.255s", value);
			else if (strcasecmp(name, "scope") == 0)
				(void)snprintf(ret->scope, sizeof(ret->scope), "%.511s", value);
		}
		if (bearer && ret->realm[0] != '\0')
			ret->bearer = true;
	}
}

static bool
link_local(const char *host)
{
	return strncmp(host, "169.254.", 8) == 0 || strncasecmp(host, "[fe80", 5) == 0 ||
	       strncmp(host, "0.", 2) == 0 || strcmp(host, "0") == 0;
}

int
realm_check(const char *host, bool plain, const char *realm, struct err *e)
{
	bool https = strncasecmp(realm, "https://", 8) == 0;
	bool http = strncasecmp(realm, "http://", 7) == 0;
	char show[160], at[REFERENCE_NAME_MAX + 1];
	size_t n;

	(void)ident_show(realm, show, sizeof(show));
	for (const char *p = realm; *p != '\0'; p++)
		if (*p <= ' ' || *p == 0x7f || strchr("\"<>\\^`{|}#", *p) != NULL)
			return err_set(e, ERR_PERMISSION_DENIED,
			    "registry %s names a token service that is no URL: %s", host, show);
	if (!https && !(http && plain))
		return err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s names the token service %s: refused, it is not https", host, show);
	realm += https ? 8 : 7;
	n = strcspn(realm, "/?");
	if (n == 0 || n >= sizeof(at) || memchr(realm, '@', n) != NULL)
		return err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s names a token service that is no URL: %s", host, show);
	(void)snprintf(at, sizeof(at), "%.*s", (int)n, realm);
	if (link_local(at) || (reference_host_is_loopback(at) && !reference_host_is_loopback(host)))
		return err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s names the token service %s: refused, it is an address of this "
		    "host "
		    "or link",
		    host, show);
	return 0;
}

unsigned
remote_retry_after(const char *header)
{
	unsigned s = 0;

	if (header == NULL)
		return 0;
	for (; isdigit((unsigned char)*header); header++) {
		s = s * 10 + (unsigned)(*header - '0');
		if (s > 30)
			return 30;
	}
	return *header == '\0' ? s : 0;
}
