/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - JSON that came from outside, parsed by jansson within limits.
 *
 * Before jansson may allocate, the bytes are walked once for size, depth and number of values. Duplicate
 * keys, bytes behind the end, a NUL inside a string and invalid UTF-8 are refused.
 */
#ifndef CF_OCI_JSON_H
#define CF_OCI_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"

#define OCI_JSON_MAX (4U << 20)
#define OCI_JSON_DEPTH 32
#define OCI_JSON_VALUES 200000

/* Parses n bytes. invalid_argument "not JSON: .." or resource_exhausted for a passed limit, without
 * saying what it was the JSON of: wrap it. Free with json_free_ptr or json_decref. */
int oci_json_parse(const void *data, size_t n, json_t **ret, struct err *e);

/* For AUTO. */
void json_free_ptr(json_t **j);

#endif
