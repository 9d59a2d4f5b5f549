/* SPDX-License-Identifier: Apache-2.0 */
/* version - of this program, and of each worker of the daemon. */
#include "ctr/ctr.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"

static const struct method *const methods[] = { &content_version_method, &snapshot_version_method,
	&task_version_method, &events_version_method };

static json_t *
client_json(void)
{
	json_t *v = json_object();

	(void)json_object_set_new(v, "version", json_string(CF_VERSION));
	(void)json_object_set_new(v, "revision", json_string(CF_REVISION));
	return v;
}

static void
show_table(const struct version *workers)
{
	static const char *const heads[] = { "PROGRAM", "VERSION", "REVISION", "PID" };
	AUTO(table_free) struct table t;

	table_init(&t, heads, COUNT(heads), -1);
	table_cell(&t, "ctr");
	table_cell(&t, CF_VERSION);
	table_cell(&t, CF_REVISION);
	table_cell(&t, NULL);
	for (size_t i = 0; i < COUNT(methods); i++) {
		if (workers[i].worker == NULL)
			continue;
		table_cellf(&t, "coffer-%s", workers[i].worker);
		table_cell(&t, workers[i].version);
		table_cell(&t, workers[i].revision);
		table_cellf(&t, "%llu", (unsigned long long)workers[i].pid);
	}
	table_show(&t);
}

static void
show_json(const struct version *workers)
{
	json_t *v = json_object(), *list = json_array();

	for (size_t i = 0; i < COUNT(methods); i++)
		if (workers[i].worker != NULL)
			(void)json_array_append_new(
			    list, render_json(&version_schema, &workers[i]));
	(void)json_object_set_new(v, "client", client_json());
	(void)json_object_set_new(v, "workers", list);
	render_json_print(v, stdout, false);
}

/* Our own version is told even when nobody answers. */
int
version_show(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct version workers[COUNT(methods)] = { { .version = NULL } };
	const struct nothing req = {};
	bool json;
	int r = ctr_format(o, &json, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < COUNT(methods) && r == 0; i++)
		r = ctr_call(c, methods[i], &req, &a, &workers[i], e);
	if (json)
		show_json(workers);
	else
		show_table(workers);
	return r;
}
