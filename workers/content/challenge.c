/* SPDX-License-Identifier: Apache-2.0 */
/* challenge - what a registry's 401 asks for, and whether its token service may be trusted with a
 * password. See remote.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/base/ident.h"
#include "workers/content/remote.h"

#define RETRY_AFTER_MAX 30 /* seconds: who asks for more is asked again earlier */

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
realm_check(const char *host, bool plain, const char *what, const char *url, struct err *e)
{
	bool https = strncasecmp(url, "https://", 8) == 0;
	bool http = strncasecmp(url, "http://", 7) == 0;
	char show[160], at[REFERENCE_NAME_MAX + 1];
	size_t n;

	(void)ident_show(url, show, sizeof(show));
	for (const char *p = url; *p != '\0'; p++)
		if (*p <= ' ' || *p == 0x7f || strchr("\"<>\\^`{|}#", *p) != NULL)
			return err_set(e, ERR_PERMISSION_DENIED,
			    "registry %s %s %s: refused, that is no URL", host, what, show);
	if (!https && !(http && plain))
		return err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s %s %s: refused, it is not https", host, what, show);
	url += https ? 8 : 7;
	n = strcspn(url, "/?");
	if (n == 0 || n >= sizeof(at) || memchr(url, '@', n) != NULL)
		return err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s %s %s: refused, that is no URL", host, what, show);
	(void)snprintf(at, sizeof(at), "%.*s", (int)n, url);
	if (link_local(at) || (reference_host_is_loopback(at) && !reference_host_is_loopback(host)))
		return err_set(e, ERR_PERMISSION_DENIED,
		    "registry %s %s %s: refused, it is an address of this host or link", host, what,
		    show);
	return 0;
}

/* "Wed, 21 Oct 2026 07:28:00 GMT" as seconds from now. */
static unsigned
seconds_until(const char *date)
{
	struct tm tm = { .tm_year = 0 };
	const char *end = strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	time_t then = end == NULL || *end != '\0' ? 0 : timegm(&tm), now = time(NULL);

	return then <= now		      ? 0
	       : then - now > RETRY_AFTER_MAX ? RETRY_AFTER_MAX
					      : (unsigned)(then - now);
}

unsigned
remote_retry_after(const char *header)
{
	size_t digits = header == NULL ? 0 : strspn(header, "0123456789");
	unsigned long s;

	if (header == NULL || header[digits] != '\0')
		return header == NULL ? 0 : seconds_until(header);
	s = digits > 9 ? RETRY_AFTER_MAX : strtoul(header, NULL, 10);
	return s > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : (unsigned)s;
}
