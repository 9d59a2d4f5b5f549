/* SPDX-License-Identifier: Apache-2.0 */
/* labels - see labels.h */
#include "lib/filter/labels.h"

#include <string.h>

#include "lib/base/ident.h"

#define LABEL_MAX 4096 /* bytes of key and value, as containerd has it */

const char *
labels_get(const struct kvs *l, const char *key)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].k, key) == 0)
			return l->v[i].v;
	return NULL;
}

int
labels_check(const struct kvs *l, struct err *e)
{
	char show[80];

	for (uint32_t i = 0; i < l->n; i++) {
		const struct kv *kv = &l->v[i];

		if (kv->k[0] == '\0')
			return err_set(e, ERR_INVALID_ARGUMENT, "a label has no name");
		if (strlen(kv->k) + strlen(kv->v) > LABEL_MAX)
			return err_set(e, ERR_INVALID_ARGUMENT,
			    "label %s: name and value may have %d bytes together",
			    ident_show(kv->k, show, sizeof(show)), LABEL_MAX);
	}
	return 0;
}

void
labels_set(struct kvs *have, const char *key, const char *value, struct arena *a)
{
	struct kvs next = { .v = arena_calloc(a, have->n + 1, sizeof(struct kv)) };
	bool drop = value == NULL || value[0] == '\0';

	for (uint32_t i = 0; i < have->n; i++)
		if (strcmp(have->v[i].k, key) != 0)
			next.v[next.n++] = have->v[i];
	if (!drop)
		next.v[next.n++] = (struct kv){ .k = key, .v = value };
	*have = next;
}

void
labels_merge(struct kvs *have, const struct kvs *more, struct arena *a)
{
	struct kvs next = { .v = arena_calloc(a, have->n + more->n + 1, sizeof(struct kv)) };

	for (uint32_t i = 0; i < have->n; i++)
		if (labels_get(more, have->v[i].k) == NULL)
			next.v[next.n++] = have->v[i];
	for (uint32_t i = 0; i < more->n; i++)
		if (more->v[i].v[0] != '\0')
			next.v[next.n++] = more->v[i];
	*have = next;
}

int
labels_update(struct kvs *have, const struct kvs *want, const struct strs *fields,
    const char *other, bool *ret_other, struct arena *a, struct err *e)
{
	bool all = fields->n == 0, named = false;
	struct kvs next = *have;
	char show[80];
	int r = labels_check(want, e);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < fields->n; i++) {
		const char *path = fields->v[i];

		if (strcmp(path, "labels") == 0)
			all = true;
		else if (strncmp(path, "labels.", 7) == 0 && path[7] != '\0')
			labels_set(&next, path + 7, labels_get(want, path + 7), a);
		else if (other != NULL && strcmp(path, other) == 0)
			named = true;
		else
			return err_set(e, ERR_INVALID_ARGUMENT, "\"%s\" is no field to change",
			    ident_show(path, show, sizeof(show)));
	}
	if (all) {
		next.n = 0;
		labels_merge(&next, want, a);
	}
	*have = next;
	if (ret_other != NULL)
		*ret_other = named || fields->n == 0;
	return 0;
}
