/* SPDX-License-Identifier: Apache-2.0 */
/* image_config - see image_config.h */
#include "lib/oci/image_config.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/oci/json.h"

#define LABEL_BYTES_MAX 4096

static int
read_text(const json_t *obj, const char *key, size_t max, struct arena *a, const char **ret,
    struct err *e)
{
	const json_t *v = json_object_get(obj, key);

	*ret = "";
	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return err_set(e, ERR_INVALID_ARGUMENT, "image config: %s: not a string", key);
	if (json_string_length(v) > max)
		return err_set(e, ERR_INVALID_ARGUMENT, "image config: %s: %zu bytes, at most %zu",
		    key, json_string_length(v), max);
	*ret = arena_strdup(a, json_string_value(v));
	return 0;
}

static int
read_list(const json_t *obj, const char *key, struct arena *a, struct oci_list *ret, struct err *e)
{
	const json_t *v = json_object_get(obj, key);
	const char **list;
	size_t total = 0, n;

	*ret = (struct oci_list){ .n = 0 };
	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_array(v))
		return err_set(e, ERR_INVALID_ARGUMENT, "image config: %s: not a list", key);
	n = json_array_size(v);
	if (n > OCI_ARGS_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "image config: %s: %zu entries, at most %u",
		    key, n, OCI_ARGS_MAX);
	list = arena_calloc(a, n, sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		const json_t *s = json_array_get(v, i);

		if (!json_is_string(s))
			return err_set(
			    e, ERR_INVALID_ARGUMENT, "image config: %s[%zu]: not a string", key, i);
		total += json_string_length(s) + 1;
		if (json_string_length(s) > OCI_ARG_BYTES_MAX || total > OCI_ARGS_BYTES_MAX)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "image config: %s[%zu]: too long (one entry at most %u bytes, all %u)",
			    key, i, OCI_ARG_BYTES_MAX, OCI_ARGS_BYTES_MAX);
		list[i] = arena_strdup(a, json_string_value(s));
	}
	*ret = (struct oci_list){ .v = list, .n = n };
	return 0;
}

/* Labels that would mean something to a daemon are not the image's to set (CVE-2026-53488). */
static bool
label_reserved(const char *key)
{
	static const char *const prefixes[] = { "containerd.io/", "io.containerd.",
		"io.cri-containerd", "io.kubernetes.", "nerdctl/", "coffer." };

	for (size_t i = 0; i < COUNT(prefixes); i++)
		if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static int
read_labels(const json_t *obj, struct arena *a, struct oci_image_config *c, struct err *e)
{
	json_t *v = json_object_get(obj, "Labels");
	const char *key;
	json_t *value;

	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_object(v))
		return err_set(e, ERR_INVALID_ARGUMENT, "image config: Labels: not an object");
	json_object_foreach (v, key, value) {
		if (!json_is_string(value) || c->nlabels == OCI_LABELS_MAX || label_reserved(key) ||
		    key[0] == '\0' || strlen(key) + json_string_length(value) > LABEL_BYTES_MAX)
			continue;
		c->labels[c->nlabels].key = arena_strdup(a, key);
		c->labels[c->nlabels++].value = arena_strdup(a, json_string_value(value));
	}
	return 0;
}

static int
read_config(const json_t *obj, struct arena *a, struct oci_image_config *c, struct err *e)
{
	int r;

	c->user = c->workdir = c->stop_signal = "";
	if (obj == NULL || json_is_null(obj))
		return 0;
	if (!json_is_object(obj))
		return err_set(e, ERR_INVALID_ARGUMENT, "image config: config: not an object");
	if ((r = read_text(obj, "User", OCI_USER_BYTES_MAX, a, &c->user, e)) < 0 ||
	    (r = read_text(obj, "WorkingDir", OCI_PATH_BYTES_MAX, a, &c->workdir, e)) < 0 ||
	    (r = read_text(obj, "StopSignal", 32, a, &c->stop_signal, e)) < 0 ||
	    (r = read_list(obj, "Entrypoint", a, &c->entrypoint, e)) < 0 ||
	    (r = read_list(obj, "Cmd", a, &c->cmd, e)) < 0 ||
	    (r = read_list(obj, "Env", a, &c->env, e)) < 0)
		return r;
	return read_labels(obj, a, c, e);
}

int
oci_image_config_parse(
    const void *data, size_t n, struct arena *a, struct oci_image_config *ret, struct err *e)
{
	struct oci_image_config c = { .nlabels = 0 };
	AUTO(json_free_ptr) json_t *doc = NULL;
	int r;

	if (n > OCI_CONFIG_BYTES_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "image config: %zu bytes, at most %u", n,
		    OCI_CONFIG_BYTES_MAX);
	if ((r = oci_json_parse(data, n, &doc, e)) < 0)
		return err_wrap(e, "image config");
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID_ARGUMENT, "image config: not a JSON object");
	if ((r = read_text(doc, "os", 64, a, &c.os, e)) < 0 ||
	    (r = read_text(doc, "architecture", 64, a, &c.arch, e)) < 0 ||
	    (r = read_config(json_object_get(doc, "config"), a, &c, e)) < 0)
		return r;
	*ret = c;
	return 0;
}
