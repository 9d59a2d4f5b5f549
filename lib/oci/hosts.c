/* SPDX-License-Identifier: Apache-2.0 */
/* hosts - see hosts.h */
#include "lib/oci/hosts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"
#include "lib/base/toml.h"
#include "lib/oci/reference.h"

#define HOSTS_MAX 32
#define HEADERS_MAX 64
#define CA_MAX 262144
#define PEM_MAX 65536

/* A host while its keys are read. */
struct draft {
	struct registry_host h;
	unsigned line;
	bool override_path;
	struct buf ca;
};

struct reading {
	const char *file; /* for messages */
	int dirfd;	  /* of the folder it is in */
	struct arena *a;
	struct draft drafts[HOSTS_MAX + 1]; /* the first one is the server */
	unsigned n;
};

/* --- files ------------------------------------------------------------------------------------------- */

/* Appends a file to out; links are followed, as administrators and kubelets make them. */
static int
file_read(int dirfd, const char *path, size_t max, struct buf *out, struct err *e)
{
	AUTO(fd_close) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_sys(e, errno, "%s", path);
	return fs_read_fd(fd, max, out, e) < 0 ? err_wrap(e, "%s", path) : 0;
}

static int
pem_read(int dirfd, const char *path, struct arena *a, struct bytes *ret, struct err *e)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	int r = file_read(dirfd, path, PEM_MAX, &b, e);

	if (r == 0)
		*ret = (struct bytes){ .p = arena_memdup(a, buf_str(&b), b.len), .n = b.len };
	if (b.data != NULL)
		explicit_bzero(b.data, b.len);
	return r;
}

static int
ca_add(int dirfd, const char *path, struct buf *ca, struct err *e)
{
	int r = file_read(dirfd, path, CA_MAX - ca->len, ca, e);

	if (r == 0 && buf_adds(ca, "\n") < 0)
		r = err_set(e, ERR_RESOURCE_EXHAUSTED, "%s: too many certificates", path);
	return r;
}

/* --- values ------------------------------------------------------------------------------------------- */

#define FAIL(rd, v, e, ...) toml_fail((rd)->file, (v)->line, e, __VA_ARGS__)

/* What a file said, told with the line that names it. */
static int
at_line(const struct reading *rd, const struct toml_value *v, struct err *e)
{
	return err_wrap(e, "%s:%u", rd->file, v->line);
}

static int
set_bool(
    const struct reading *rd, const struct toml_value *v, const char *key, bool *to, struct err *e)
{
	if (v->kind != TOML_BOOLEAN)
		return FAIL(rd, v, e, "%s must be true or false", key);
	*to = v->boolean;
	return 0;
}

/* A string as a list of one. */
static bool
strings_of(const struct toml_value *v, const char *const **ret, unsigned *n)
{
	*ret = v->kind == TOML_STRING ? (const char *const *)&v->string
				      : (const char *const *)v->strings;
	*n = v->kind == TOML_STRING ? 1 : v->nstrings;
	return v->kind == TOML_STRING || v->kind == TOML_STRINGS;
}

static int
set_capabilities(struct reading *rd, struct draft *d, const struct toml_value *v, struct err *e)
{
	static const char *const known[] = { "pull", "resolve", "push" };

	if (v->kind != TOML_STRINGS)
		return FAIL(rd, v, e, "capabilities must be a list of pull, resolve and push");
	d->h.capabilities.v = arena_calloc(rd->a, COUNT(known), sizeof(const char *));
	d->h.capabilities.n = 0;
	for (size_t k = 0; k < COUNT(known); k++)
		for (unsigned i = 0; i < v->nstrings; i++)
			if (strcasecmp(v->strings[i], known[k]) == 0) {
				d->h.capabilities.v[d->h.capabilities.n++] = known[k];
				break;
			}
	for (unsigned i = 0; i < v->nstrings; i++)
		if (strcasecmp(v->strings[i], "pull") != 0 &&
		    strcasecmp(v->strings[i], "resolve") != 0 &&
		    strcasecmp(v->strings[i], "push") != 0)
			return FAIL(rd, v, e,
			    "unknown capability %.60s: pull, resolve and push are known",
			    v->strings[i]);
	return 0;
}

static int
set_ca(struct reading *rd, struct draft *d, const struct toml_value *v, struct err *e)
{
	const char *const *paths;
	unsigned n;

	if (!strings_of(v, &paths, &n))
		return FAIL(rd, v, e, "ca must be a path or a list of paths");
	for (unsigned i = 0; i < n; i++)
		if (ca_add(rd->dirfd, paths[i], &d->ca, e) < 0)
			return at_line(rd, v, e);
	return 0;
}

/* "both.pem", ["both.pem"], [["cert.pem"]], [["cert.pem", "key.pem"]] */
static int
set_client(struct reading *rd, struct draft *d, const struct toml_value *v, struct err *e)
{
	const struct toml_value *pair = v->kind == TOML_ARRAY ? &v->elements[0] : v;
	const char *const *paths;
	unsigned n, pairs = v->kind == TOML_ARRAY     ? v->nelements
			    : v->kind == TOML_STRINGS ? v->nstrings
						      : 1;

	if (!strings_of(pair, &paths, &n) || n == 0 || (v->kind == TOML_ARRAY && n > 2))
		return FAIL(rd, v, e, "client must be a path, or [[\"certificate\", \"key\"]]");
	if (pairs != 1)
		return FAIL(
		    rd, v, e, "client: one certificate per host is supported, not %u", pairs);
	if (pem_read(rd->dirfd, paths[0], rd->a, &d->h.cert, e) < 0)
		return at_line(rd, v, e);
	d->h.key = d->h.cert;
	if (v->kind == TOML_ARRAY && n == 2 && paths[1][0] != '\0' &&
	    pem_read(rd->dirfd, paths[1], rd->a, &d->h.key, e) < 0)
		return at_line(rd, v, e);
	return 0;
}

/* Characters of a header's name (RFC 9110's token). */
static bool
header_name_ok(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				"!#$%&'*+-.^_`|~");

	return n > 0 && n < 128 && name[n] == '\0';
}

static int
set_header(struct reading *rd, struct draft *d, const char *name, const struct toml_value *v,
    struct err *e)
{
	struct strs *to = &d->h.headers;
	const char *const *values;
	unsigned n;

	if (!header_name_ok(name) || !strings_of(v, &values, &n))
		return FAIL(rd, v, e, "a header is a name with a string or a list of strings");
	if (to->v == NULL)
		to->v = arena_calloc(rd->a, HEADERS_MAX, sizeof(*to->v));
	for (unsigned i = 0; i < n; i++) {
		if (to->n == HEADERS_MAX)
			return FAIL(rd, v, e, "more than %d headers", HEADERS_MAX);
		if (strpbrk(values[i], "\r\n") != NULL)
			return FAIL(rd, v, e, "a header of several lines");
		to->v[to->n++] = arena_printf(rd->a, "%s: %s", name, values[i]);
	}
	return 0;
}

/* Go's durations: "1s", "1m30s", "500ms". */
static int
set_timeout(struct reading *rd, struct draft *d, const struct toml_value *v, struct err *e)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = { { "ms", 1 }, { "us", 0.001 }, { "ns", 0.000001 }, { "s", 1000 },
		{ "m", 60000 }, { "h", 3600000 } };
	const char *p = v->kind == TOML_STRING ? v->string : "";
	double sum = 0;

	for (bool first = true; first || *p != '\0'; first = false) {
		size_t digits = strspn(p, "0123456789."), u;
		double number = digits > 0 && digits < 16 ? strtod(p, NULL) : -1;

		p += digits;
		for (u = 0; u < COUNT(units); u++)
			if (strncmp(p, units[u].name, strlen(units[u].name)) == 0)
				break;
		if (number < 0 || u == COUNT(units))
			return FAIL(rd, v, e, "dial_timeout must be a duration, like \"10s\"");
		p += strlen(units[u].name);
		sum += number * units[u].ms;
	}
	if (sum < 1 || sum > 3600000)
		return FAIL(rd, v, e, "dial_timeout must be from 1ms to 1h");
	d->h.connect_ms = (uint64_t)sum;
	return 0;
}

/* words: the key without the table it stands in. */
static int
set(struct reading *rd, struct draft *d, char *const *words, unsigned n, const struct toml_value *v,
    struct err *e)
{
	const char *key = words[0];

	if (n == 2 && strcmp(key, "header") == 0)
		return set_header(rd, d, words[1], v, e);
	if (n != 1)
		return FAIL(rd, v, e, "unknown key %s", v->key);
	if (strcmp(key, "capabilities") == 0)
		return set_capabilities(rd, d, v, e);
	if (strcmp(key, "ca") == 0)
		return set_ca(rd, d, v, e);
	if (strcmp(key, "client") == 0)
		return set_client(rd, d, v, e);
	if (strcmp(key, "skip_verify") == 0)
		return set_bool(rd, v, key, &d->h.skip_verify, e);
	if (strcmp(key, "override_path") == 0)
		return set_bool(rd, v, key, &d->override_path, e);
	if (strcmp(key, "dial_timeout") == 0)
		return set_timeout(rd, d, v, e);
	if (d != &rd->drafts[0] || strcmp(key, "server") != 0)
		return FAIL(rd, v, e, "unknown key %s", v->key);
	if (v->kind != TOML_STRING)
		return FAIL(rd, v, e, "server must be a string, in quotes");
	d->h.url = v->string[0] == '\0' ? NULL : v->string;
	d->line = v->line;
	return 0;
}

/* --- the whole ----------------------------------------------------------------------------------------- */

int
hosts_url(
    const char *url, bool *ret_https, char *host, size_t size, const char **ret_path, struct err *e)
{
	bool https = strncmp(url, "https://", 8) == 0;
	const char *at = url + (https ? 8 : 7), *path = at + strcspn(at, "/");
	char show[96];

	(void)ident_show(url, show, sizeof(show));
	if (!https && strncmp(url, "http://", 7) != 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is not an http or https URL", show);
	if ((size_t)(path - at) >= size)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s: the host is too long", show);
	(void)snprintf(host, size, "%.*s", (int)(path - at), at);
	if (!reference_host_ok(host))
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is not a URL with a host[:port]", show);
	for (const char *p = path; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("?#\\\"<>", *p) != NULL)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "%s: the path has characters it may not have", show);
	*ret_https = https;
	*ret_path = path;
	return 0;
}

bool
hosts_can(const struct registry_host *h, const char *what)
{
	for (uint32_t i = 0; i < h->capabilities.n; i++)
		if (strcmp(h->capabilities.v[i], what) == 0)
			return true;
	return h->capabilities.n == 0;
}

/* The URL with its scheme and, unless the file says that the path is the whole one, with /v2. */
static int
url_settle(struct reading *rd, struct draft *d, struct err *e)
{
	const char *url = d->h.url, *path;
	char host[REFERENCE_NAME_MAX + 1];
	bool https;
	size_t n;

	if (url == NULL)
		return 0;
	if (strncmp(url, "http", 4) != 0)
		url = arena_printf(rd->a, "https://%s", url);
	if (hosts_url(url, &https, host, sizeof(host), &path, e) < 0)
		return err_wrap(e, "%s:%u", rd->file, d->line);
	for (n = strlen(path); n > 0 && path[n - 1] == '/';)
		n--;
	d->h.url = arena_printf(rd->a, "http%s://%s%.*s%s", https ? "s" : "", host, (int)n, path,
	    d->override_path || (n >= 3 && strncmp(path + n - 3, "/v2", 3) == 0) ? "" : "/v2");
	return 0;
}

/* The draft for a URL, made when it is new. */
static struct draft *
draft_for(struct reading *rd, const char *url, unsigned line)
{
	for (unsigned i = 1; i < rd->n; i++)
		if (strcmp(rd->drafts[i].h.url, url) == 0)
			return &rd->drafts[i];
	if (rd->n > HOSTS_MAX - 1)
		return NULL;
	rd->drafts[rd->n] = (struct draft){ .h.url = url, .line = line };
	return &rd->drafts[rd->n++];
}

/* [host."URL"] tables and values below them, together in the order of the file. */
static int
drafts_make(struct reading *rd, const struct toml *t, struct err *e)
{
	for (unsigned v = 0, h = 0; v < t->nvalues || h < t->ntables;) {
		bool table = h < t->ntables &&
			     (v == t->nvalues || t->tables[h].line < t->values[v].line);
		char *const *words = table ? t->tables[h].words : t->values[v].words;
		unsigned n = table ? t->tables[h].nwords : t->values[v].nwords;
		unsigned line = table ? t->tables[h].line : t->values[v].line;
		struct draft *d = &rd->drafts[0];
		bool below = n >= 2 && strcmp(words[0], "host") == 0;

		if (below && (d = draft_for(rd, words[1], line)) == NULL)
			return toml_fail(rd->file, line, e, "more than %d hosts", HOSTS_MAX - 1);
		if (!table && below && n == 2)
			return toml_fail(rd->file, line, e, "a host is a table: [host.\"URL\"]");
		if (!table &&
		    set(rd, d, words + (below ? 2 : 0), n - (below ? 2 : 0), &t->values[v], e) < 0)
			return -(int)e->code;
		if (table)
			h++;
		else
			v++;
	}
	return 0;
}

/* The drafts as they are handed out: the server behind the hosts. */
static int
drafts_settle(struct reading *rd, struct registry_host_list *ret, struct err *e)
{
	ret->v = arena_calloc(rd->a, rd->n, sizeof(*ret->v));
	ret->n = rd->n;
	for (unsigned i = 0; i < rd->n; i++) {
		struct draft *d = &rd->drafts[i];

		if (url_settle(rd, d, e) < 0)
			return -(int)e->code;
		if (d->ca.len > 0)
			d->h.ca = (struct bytes){ .p = arena_memdup(rd->a, d->ca.data, d->ca.len),
				.n = d->ca.len };
		ret->v[i == 0 ? rd->n - 1 : i - 1] = d->h;
	}
	return 0;
}

static int
toml_read(struct reading *rd, const struct buf *text, struct registry_host_list *ret, struct err *e)
{
	struct toml t;
	int r = toml_parse(buf_str(text), text->len, rd->file, rd->a, &t, e);

	if (r == 0)
		r = drafts_make(rd, &t, e);
	return r < 0 ? r : drafts_settle(rd, ret, e);
}

/* --- docker's folders --------------------------------------------------------------------------------- */

static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

static int
client_files(struct reading *rd, const char *cert, struct err *e)
{
	struct registry_host *h = &rd->drafts[0].h;
	AUTO(free_ptr) char *key = xasprintf("%.*s.key", (int)(strlen(cert) - 5), cert);

	if (h->cert.n > 0)
		return err_set(e, ERR_UNIMPLEMENTED,
		    "%s: one client certificate per host is supported", rd->file);
	if (pem_read(rd->dirfd, cert, rd->a, &h->cert, e) < 0 ||
	    pem_read(rd->dirfd, key, rd->a, &h->key, e) < 0)
		return err_wrap(e, "%s", rd->file);
	return 0;
}

static int
certificates_read(struct reading *rd, struct registry_host_list *ret, struct err *e)
{
	int fd = openat(rd->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir_close) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	if (dir == NULL)
		return err_sys(e, errno, "list %s", rd->file);
	while ((ent = readdir(dir)) != NULL) {
		if (ends_with(ent->d_name, ".crt")) {
			if (ca_add(rd->dirfd, ent->d_name, &rd->drafts[0].ca, e) < 0)
				return err_wrap(e, "%s", rd->file);
		} else if (ends_with(ent->d_name, ".cert")) {
			if (client_files(rd, ent->d_name, e) < 0)
				return -(int)e->code;
		}
	}
	return drafts_settle(rd, ret, e);
}

/* --- finding the folder ------------------------------------------------------------------------------- */

static int
folder_read(
    int dirfd, const char *path, struct arena *a, struct registry_host_list *ret, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(free_ptr) struct reading *rd = xcalloc(1, sizeof(*rd));
	AUTO(free_ptr) char *file = xasprintf("%s/hosts.toml", path);
	struct err why = ERR_ZERO;
	int r;

	rd->dirfd = dirfd;
	rd->a = a;
	rd->n = 1;
	if (file_read(dirfd, "hosts.toml", TOML_MAX, &text, &why) < 0 &&
	    why.code != ERR_NOT_FOUND) {
		*e = why;
		return err_wrap(e, "%s", path);
	}
	rd->file = text.len > 0 ? file : path;
	r = text.len > 0 ? toml_read(rd, &text, ret, e) : certificates_read(rd, ret, e);
	for (unsigned i = 0; i < rd->n; i++)
		buf_free(&rd->drafts[i].ca);
	return r < 0 ? r : 1;
}

int
hosts_find(const char *dir, const char *host, struct arena *a, struct registry_host_list *ret,
    struct err *e)
{
	const char *port = host[0] == '[' ? strstr(host, "]:") : strchr(host, ':');
	char with_port[REFERENCE_NAME_MAX + 2] = "_default";
	const char *const names[] = { with_port, host, "_default" };

	if (port != NULL)
		(void)snprintf(with_port, sizeof(with_port), "%.*s_%s_",
		    (int)(port - host) + (host[0] == '['), host, port + 1 + (host[0] == '['));
	for (size_t i = port != NULL ? 0 : 1; i < COUNT(names); i++) {
		AUTO(free_ptr) char *path = xasprintf("%s/%s", dir, names[i]);
		AUTO(fd_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			return folder_read(fd, path, a, ret, e);
		if (errno != ENOENT && errno != ENOTDIR)
			return err_sys(e, errno, "registry hosts %s", path);
	}
	return 0;
}
