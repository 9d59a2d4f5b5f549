/* SPDX-License-Identifier: Apache-2.0 */
/* sources - see sources.h */
#include "workers/content/sources.h"

#include <string.h>

#include "lib/base/auto.h"
#include "lib/filter/labels.h"

#define SOURCE_LABEL "containerd.io/distribution.source."

/* Is repo one of the comma-separated list? */
static bool
listed(const char *list, const char *repo)
{
	size_t n = strlen(repo);

	while (list != NULL) {
		if (strncmp(list, repo, n) == 0 && (list[n] == '\0' || list[n] == ','))
			return true;
		list = strchr(list, ',');
		list = list == NULL ? NULL : list + 1;
	}
	return false;
}

int
source_add(struct content *c, struct txn *t, const char *ns, const struct digest *d,
    const char *host, const char *repo, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const char *key = arena_printf(&a, SOURCE_LABEL "%s", host), *have;
	struct err ignored = ERR_ZERO;
	struct blob row;
	int r = blob_row_get(t, ns, d, &a, &row, e);

	if (r < 0)
		return r;
	have = labels_get(&row.labels, key);
	if (listed(have, repo))
		return 0;
	labels_set(
	    &row.labels, key, have == NULL ? repo : arena_printf(&a, "%s,%s", have, repo), &a);
	if (labels_check(&row.labels, &ignored) < 0)
		return 0; /* known from enough places */
	return blob_row_put(c, t, ns, &row, e);
}

const char *
source_find(struct txn *t, const char *ns, const struct digest *d, const char *host,
    const char *repo, struct arena *a)
{
	struct err ignored = ERR_ZERO;
	struct blob row;
	char *list, *one;
	const char *have;

	if (blob_row_get(t, ns, d, a, &row, &ignored) < 0)
		return NULL;
	have = labels_get(&row.labels, arena_printf(a, SOURCE_LABEL "%s", host));
	list = arena_strdup(a, have == NULL ? "" : have);
	while ((one = strsep(&list, ",")) != NULL)
		if (one[0] != '\0' && strcmp(one, repo) != 0)
			return one;
	return NULL;
}
