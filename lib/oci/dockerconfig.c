/* SPDX-License-Identifier: Apache-2.0 */
/* dockerconfig - see dockerconfig.h */
#include "lib/oci/dockerconfig.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "lib/base/auto.h"
#include "lib/oci/json.h"

#define DOCKER_SERVER "https://index.docker.io/v1/"
#define AUTH_MAX 32768

const char *
dockerconfig_server(const char *host)
{
	return strcmp(host, "docker.io") == 0 ? DOCKER_SERVER : host;
}

/* "https://host/v1/" -> "host" (n bytes of the result). */
static const char *
host_of(const char *key, size_t *n)
{
	const char *at = strstr(key, "://");

	at = at == NULL ? key : at + 3;
	*n = strcspn(at, "/");
	return at;
}

static bool
is_docker(const char *host, size_t n)
{
	static const char *const names[] = { "docker.io", "index.docker.io",
		"registry-1.docker.io" };

	for (size_t i = 0; i < COUNT(names); i++)
		if (n == strlen(names[i]) && strncasecmp(host, names[i], n) == 0)
			return true;
	return false;
}

/* The member of o whose key means host, NULL when there is none. */
static json_t *
member_for(json_t *o, const char *host)
{
	const char *key;
	json_t *value;

	json_object_foreach (o, key, value) {
		size_t n;
		const char *name = host_of(key, &n);

		if ((n == strlen(host) && strncasecmp(name, host, n) == 0) ||
		    (is_docker(name, n) && is_docker(host, strlen(host))))
			return value;
	}
	return NULL;
}

static bool
helper_name_ok(const char *name)
{
	size_t n = strspn(
	    name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n < 128 && name[n] == '\0';
}

/* "auth": base64 of user:password. */
static int
auth_decode(const char *auth, struct arena *a, struct registry_auth *ret)
{
	size_t n = strlen(auth), pad = 0;
	unsigned char *text = arena_calloc(a, 1, n + 4);
	char *colon;

	while (pad < n && pad < 2 && auth[n - 1 - pad] == '=')
		pad++;
	if (n == 0 || n % 4 != 0 || n > AUTH_MAX ||
	    EVP_DecodeBlock(text, (const unsigned char *)auth, (int)n) < 0)
		return -1;
	text[n / 4 * 3 - pad] = '\0';
	colon = strchr((char *)text, ':');
	if (colon == NULL)
		return -1;
	*colon = '\0';
	ret->username = (char *)text;
	ret->password = colon + 1;
	return 0;
}

/* An entry of auths. 0: it says nothing (docker leaves such ones when a helper has the secret). */
static int
entry_read(json_t *entry, const char *file, const char *host, struct arena *a,
    struct registry_auth *ret, struct err *e)
{
	const char *auth = json_string_value(json_object_get(entry, "auth"));
	const char *user = json_string_value(json_object_get(entry, "username"));
	const char *password = json_string_value(json_object_get(entry, "password"));
	const char *identity = json_string_value(json_object_get(entry, "identitytoken"));

	if (identity != NULL && identity[0] != '\0') {
		ret->identity_token = arena_strdup(a, identity);
		return 1;
	}
	if (auth != NULL && auth[0] != '\0') {
		if (auth_decode(auth, a, ret) < 0)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "%s: auth of %s is not the base64 of user:password", file, host);
		return 1;
	}
	if (user == NULL || user[0] == '\0' || password == NULL)
		return 0;
	ret->username = arena_strdup(a, user);
	ret->password = arena_strdup(a, password);
	return 1;
}

int
dockerconfig_find(const void *text, size_t n, const char *file, const char *host, struct arena *a,
    struct registry_auth *ret, const char **ret_helper, struct err *e)
{
	AUTO(json_free_ptr) json_t *root = NULL;
	const char *helper;

	if (oci_json_parse(text, n, &root, e) < 0)
		return err_wrap(e, "%s", file);
	*ret = (struct registry_auth){ .host = host };
	*ret_helper = NULL;
	helper = json_string_value(member_for(json_object_get(root, "credHelpers"), host));
	if (helper == NULL)
		helper = json_string_value(json_object_get(root, "credsStore"));
	if (helper == NULL || helper[0] == '\0')
		return entry_read(
		    member_for(json_object_get(root, "auths"), host), file, host, a, ret, e);
	if (!helper_name_ok(helper))
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "%s: \"%.60s\" is no name of a helper", file, helper);
	*ret_helper = arena_strdup(a, helper);
	return 1;
}

int
dockerconfig_answer(const void *text, size_t n, const char *helper, struct arena *a,
    struct registry_auth *ret, struct err *e)
{
	AUTO(json_free_ptr) json_t *root = NULL;
	const char *user, *secret;

	if (oci_json_parse(text, n, &root, e) < 0)
		return err_wrap(e, "answer of docker-credential-%s", helper);
	user = json_string_value(json_object_get(root, "Username"));
	secret = json_string_value(json_object_get(root, "Secret"));
	if (user == NULL || secret == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "docker-credential-%s answers without Username and Secret", helper);
	if (strcmp(user, "<token>") == 0) {
		ret->identity_token = arena_strdup(a, secret);
		return 0;
	}
	ret->username = arena_strdup(a, user);
	ret->password = arena_strdup(a, secret);
	return 0;
}
