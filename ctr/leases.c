/* SPDX-License-Identifier: Apache-2.0 */
/* leases - what holds content against garbage collection, by hand. */
#include <stdio.h>
#include <string.h>

#include "ctr/ctr.h"
#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"

#define EXPIRE "containerd.io/gc.expire"
#define FLAT "containerd.io/gc.flat"

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "ID", "CREATED", "LABELS" };
	AUTO(table_free) struct table t;
	const struct lease *leases = l->v;
	int64_t now = clock_real_ns();
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), -1);
	for (uint32_t i = 0; i < l->n; i++) {
		table_cell(&t, leases[i].id);
		table_cell(&t, text_age(leases[i].created_at, now, text));
		table_map(&t, &leases[i].labels);
	}
	table_show(&t);
}

int
leases_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct lease_list_req req = { .after = NULL };

	return list_show(c, o, &content_lease_list_method, &req, list_table, e);
}

int
leases_create(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct lease_create_req req = { .id = opts_text(o, "id") };
	uint64_t expires_ms = 24ULL * 3600 * 1000;
	char now[CLOCK_TEXT_MAX], end[CLOCK_TEXT_MAX];
	struct lease rep;
	struct kv *more;
	int r;

	if ((r = opts_duration_ms(o, "expires", &expires_ms, e)) < 0 ||
	    (r = ctr_map("label", o->args, &a, &req.labels, e)) < 0)
		return r;
	more = arena_calloc(&a, req.labels.n + 2, sizeof(*more));
	for (uint32_t i = 0; i < req.labels.n; i++)
		more[i] = req.labels.v[i];
	if (expires_ms > 0)
		more[req.labels.n++] = (struct kv){ EXPIRE,
			clock_text(clock_real_ns() + (int64_t)expires_ms * 1000000, end) };
	if (opts_flag(o, "flat"))
		more[req.labels.n++] = (struct kv){ FLAT, clock_text(clock_real_ns(), now) };
	req.labels.v = more;
	r = ctr_call(c, &content_lease_create_method, &req, &a, &rep, e);
	if (r == 0)
		text_print(stdout, rep.id);
	return r;
}

static int
delete_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct lease_delete_req req = { .id = id, .sync = opts_flag(o, "sync") };
	struct nothing rep;

	return ctr_call(c, &content_lease_delete_method, &req, &a, &rep, e);
}

int
leases_delete(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, delete_one, true);
}

/* "content/sha256:..", "images/NAME", "snapshots/overlay/KEY": type and id as lease_resources gives them. */
static int
resource_parse(const char *word, struct arena *a, struct lease_resource *ret, struct err *e)
{
	const char *slash = strchr(word, '/');

	if (slash != NULL && strncmp(word, "snapshots/", 10) == 0)
		slash = strchr(slash + 1, '/');
	if (slash == NULL || slash[1] == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "\"%.100s\": content/DIGEST, images/NAME, ingests/REF or "
		    "snapshots/SNAPSHOTTER/KEY is wanted",
		    word);
	ret->type = arena_memdup(a, word, (size_t)(slash - word));
	ret->id = slash + 1;
	return 0;
}

static int
change_all(struct ctr *c, const struct opts *o, const struct method *m, struct err *e)
{
	for (uint32_t i = 1; i < o->args.n; i++) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		struct lease_resource res;
		const struct lease_resource_req req = { .id = o->args.v[0], .resource = &res };
		struct nothing rep;
		int r = resource_parse(o->args.v[i], &a, &res, e);

		if (r == 0)
			r = ctr_call(c, m, &req, &a, &rep, e);
		if (r < 0)
			return r;
	}
	text_print(stdout, o->args.v[0]);
	return 0;
}

int
leases_add(struct ctr *c, const struct opts *o, struct err *e)
{
	return change_all(c, o, &content_lease_add_method, e);
}

int
leases_remove(struct ctr *c, const struct opts *o, struct err *e)
{
	return change_all(c, o, &content_lease_remove_method, e);
}

int
leases_resources(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO; /* the last one of a page begins the next */
	struct lease_resources_req req = { .id = o->args.v[0] };
	struct lease_resources_rep rep = { .more = true };

	while (rep.more) {
		int r = ctr_call(c, &content_lease_resources_method, &req, &a, &rep, e);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < rep.resources.n; i++) {
			struct lease_resource *res = &rep.resources.v[i];

			text_print(stdout, arena_printf(&a, "%s/%s", res->type, res->id));
			req.after = res;
		}
	}
	return 0;
}
