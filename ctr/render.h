/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render - what the daemon answered, as a table for people or as JSON for programs.
 *
 * Tables: columns as wide as their content; on a terminal that is too narrow, digests give way, in a
 * pipe never. JSON: any record by its declaration; times as RFC 3339, documents (OCI spec, image
 * config) as objects, the body of an event by its topic.
 */
#ifndef CF_CTR_RENDER_H
#define CF_CTR_RENDER_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "schemas/schema.h"

struct table {
	const char *const *heads;
	unsigned columns;
	int digest; /* column that may be cut to a short digest, -1 = none */
	char **cells;
	size_t n, room;
};

/* heads: borrowed, columns of them. Free with table_free. */
void table_init(struct table *t, const char *const *heads, unsigned columns, int digest);
/* The next cell, rows from left to right; cleaned. NULL or "" prints as "-". */
void table_cell(struct table *t, const char *text);
void table_cellf(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "k=v,k=v" */
void table_map(struct table *t, const struct kvs *map);
/* width: columns of the terminal, 0 = not one. */
void table_print(const struct table *t, FILE *to, unsigned width);
/* To stdout, as wide as it is. */
void table_show(const struct table *t);
void table_free(struct table *t);

/* A new reference; never NULL. */
json_t *render_json(const struct schema *s, const void *rec);
/* A string whatever its bytes are: what is not UTF-8 is replaced. */
json_t *render_json_text(const char *text);
/* A document (JSON text); a string when it is none. */
json_t *render_json_document(const void *p, size_t n);
/* The body of an event; an object {"undecoded": "..."} for a topic that is not known. */
json_t *render_json_event(const char *topic, const struct bytes *body);

/* Prints it indented (or on one line) with a line feed, fit for a terminal, and drops the reference. */
void render_json_print(json_t *take_value, FILE *to, bool one_line);
/* An array of n records at v, size apart. */
void render_json_list(const struct schema *s, const void *v, uint32_t n);

#endif
