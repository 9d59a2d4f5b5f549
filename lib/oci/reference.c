/* SPDX-License-Identifier: Apache-2.0 */
/* reference - see reference.h */
#include "lib/oci/reference.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/ident.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* What is wrong with text; the reason is a literal. */
static int
bad(const char *text, const char *why, struct err *e)
{
	char show[160];

	return err_set(e, ERR_INVALID_ARGUMENT, "image reference \"%s\" is not valid: %s",
	    ident_show(text, show, sizeof(show)), why);
}

/* [a-z0-9]+ ( ( '.' | '_' | "__" | '-'+ ) [a-z0-9]+ )* */
static bool
component_ok(const char *p, size_t n)
{
	size_t i = 0;

	for (;;) {
		size_t run = i, sep;

		while (i < n && strchr(LOWER DIGITS, p[i]) != NULL)
			i++;
		if (i == run)
			return false;
		if (i == n)
			return true;
		sep = i;
		while (i < n && p[i] == '-')
			i++;
		if (i > sep)
			continue;
		if (p[i] == '.')
			i++;
		else if (p[i] == '_')
			i += i + 1 < n && p[i + 1] == '_' ? 2 : 1;
		else
			return false;
	}
}

static bool
path_ok(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (!component_ok(path, n))
			return false;
		if (path[n] == '\0')
			return true;
		path += n + 1;
	}
}

static bool
port_ok(const char *port)
{
	size_t n = strspn(port, DIGITS);
	unsigned value = 0;

	if (n == 0 || n > 5 || port[n] != '\0')
		return false;
	for (size_t i = 0; i < n; i++)
		value = value * 10 + (unsigned)(port[i] - '0');
	return value >= 1 && value <= 65535;
}

bool
reference_host_ok(const char *host)
{
	const char *label = host;

	if (*host == '[') {
		const char *end = strchr(host, ']');
		char addr[INET6_ADDRSTRLEN];
		struct in6_addr in6;

		if (end == NULL || (size_t)(end - host) > sizeof(addr))
			return false;
		(void)snprintf(addr, sizeof(addr), "%.*s", (int)(end - host - 1), host + 1);
		if (inet_pton(AF_INET6, addr, &in6) != 1)
			return false;
		return end[1] == '\0' || (end[1] == ':' && port_ok(end + 2));
	}
	for (;;) {
		size_t n = strspn(label, LOWER UPPER DIGITS "-");

		if (n == 0 || n > 63 || label[0] == '-' || label[n - 1] == '-')
			return false;
		if (label[n] == '\0')
			return true;
		if (label[n] == ':')
			return port_ok(label + n + 1);
		if (label[n] != '.')
			return false;
		label += n + 1;
	}
}

static bool
tag_ok(const char *tag)
{
	size_t n = strspn(tag, LOWER UPPER DIGITS "_.-");

	return n > 0 && n <= REFERENCE_TAG_MAX && tag[n] == '\0' && tag[0] != '.' && tag[0] != '-';
}

/* Is the first component (n bytes) a host? Docker's rule: it has a dot, a colon or a capital, or is
 * localhost. */
static bool
is_host(const char *first, size_t n)
{
	if (n == 9 && strncmp(first, "localhost", 9) == 0)
		return true;
	for (size_t i = 0; i < n; i++)
		if (strchr(".:[" UPPER, first[i]) != NULL)
			return true;
	return false;
}

/* Splits "name[:tag]" (modified) into host and path of r, with docker's defaults. */
static int
split_name(const char *text, char *name, struct reference *r, struct err *e)
{
	char *slash = strchr(name, '/');
	const char *host = "docker.io", *path = name, *lib = "";

	if (slash != NULL && is_host(name, (size_t)(slash - name))) {
		*slash = '\0';
		host = strcmp(name, "index.docker.io") == 0 ? "docker.io" : name;
		path = slash + 1;
	}
	if (strcmp(host, "docker.io") == 0 && strchr(path, '/') == NULL)
		lib = "library/";
	if (strlen(host) + 1 + strlen(lib) + strlen(path) > REFERENCE_NAME_MAX)
		return bad(text, "host and path together may have 255 characters", e);
	if (!reference_host_ok(host))
		return bad(text, "the part before the first '/' is not a host[:port]", e);
	if (path[0] == '\0')
		return bad(text, "the name is empty", e);
	if (!path_ok(path))
		return bad(text,
		    strpbrk(path, UPPER) != NULL
			? "the name must be in lower case"
			: "names are made of a-z and 0-9, with single '.', '_', \"__\" or '-' "
			  "between, and '/' between components",
		    e);
	if (strlen(path) == 64 && strspn(path, DIGITS "abcdef") == 64)
		return bad(text, "64 hex digits would be taken for a digest", e);
	(void)snprintf(r->host, sizeof(r->host), "%s", host);
	(void)snprintf(r->path, sizeof(r->path), "%s%.*s", lib, REFERENCE_NAME_MAX - 8, path);
	return 0;
}

int
reference_parse(const char *text, struct reference *ret, struct err *e)
{
	struct reference r = { .has_digest = false };
	char name[REFERENCE_TEXT_MAX];
	char *at, *colon;
	int rc;

	if (text[0] == '\0')
		return bad(text, "it is empty", e);
	if (strlen(text) >= sizeof(name))
		return bad(text, "it is too long", e);
	(void)snprintf(name, sizeof(name), "%s", text);
	at = strchr(name, '@');
	if (at != NULL) {
		*at = '\0';
		rc = digest_parse(at + 1, &r.digest, e);
		if (rc < 0)
			return err_wrap(e, "image reference");
		r.has_digest = true;
	}
	colon = strrchr(name, ':');
	if (colon != NULL && strchr(colon, '/') == NULL) {
		*colon = '\0';
		if (!tag_ok(colon + 1))
			return bad(text,
			    "a tag has 1 to 128 letters, digits, '_', '.' or '-', and does not "
			    "start with '.' or '-'",
			    e);
		(void)snprintf(r.tag, sizeof(r.tag), "%.*s", REFERENCE_TAG_MAX, colon + 1);
	} else if (!r.has_digest) {
		(void)snprintf(r.tag, sizeof(r.tag), "latest");
	}
	rc = split_name(text, name, &r, e);
	if (rc < 0)
		return rc;
	*ret = r;
	return 0;
}

const char *
reference_text(const struct reference *r, char *text)
{
	(void)snprintf(text, REFERENCE_TEXT_MAX, "%.255s/%.255s%s%s%s%s", r->host, r->path,
	    r->tag[0] != '\0' ? ":" : "", r->tag, r->has_digest ? "@" : "",
	    r->has_digest ? r->digest.text : "");
	return text;
}

const char *
reference_registry(const struct reference *r)
{
	return strcmp(r->host, "docker.io") == 0 ? "registry-1.docker.io" : r->host;
}

bool
reference_host_is_loopback(const char *host)
{
	char name[REFERENCE_NAME_MAX + 1];
	struct in_addr in;
	size_t n;

	if (strncmp(host, "[::1]", 5) == 0)
		return host[5] == '\0' || host[5] == ':';
	n = strcspn(host, ":");
	(void)snprintf(name, sizeof(name), "%.*s", (int)(n > REFERENCE_NAME_MAX ? 0 : n), host);
	n = strlen(name);
	if (strcmp(name, "localhost") == 0 || (n > 10 && strcmp(name + n - 10, ".localhost") == 0))
		return true;
	return inet_pton(AF_INET, name, &in) == 1 && (ntohl(in.s_addr) >> 24) == 127;
}
