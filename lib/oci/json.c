/* SPDX-License-Identifier: Apache-2.0 */
/* json - see json.h */
#include "lib/oci/json.h"

#include <stdbool.h>

/* Depth and number of values, counted by brackets and separators outside strings. */
static int
limits_check(const char *p, size_t n, struct err *e)
{
	unsigned depth = 0, values = 0;
	bool text = false;

	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (text) {
			if (c == '\\')
				i++;
			else if (c == '"')
				text = false;
			continue;
		}
		if (c == '"')
			text = true;
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth > 0)
			depth--;
		if (c == '{' || c == '[' || c == ',')
			values++;
		if (depth > OCI_JSON_DEPTH)
			return err_set(
			    e, ERR_INVALID_ARGUMENT, "nested deeper than %d", OCI_JSON_DEPTH);
		if (values > OCI_JSON_VALUES)
			return err_set(
			    e, ERR_RESOURCE_EXHAUSTED, "more than %d values", OCI_JSON_VALUES);
	}
	return 0;
}

int
oci_json_parse(const void *data, size_t n, json_t **ret, struct err *e)
{
	json_error_t why;
	json_t *j;
	int r;

	if (n > OCI_JSON_MAX)
		return err_set(e, ERR_RESOURCE_EXHAUSTED, "larger than %u bytes", OCI_JSON_MAX);
	r = limits_check(data, n, e);
	if (r < 0)
		return r;
	j = json_loadb(data, n, JSON_REJECT_DUPLICATES, &why);
	if (j == NULL)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "not JSON: line %d: %s", why.line, why.text);
	*ret = j;
	return 0;
}

void
json_free_ptr(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}
