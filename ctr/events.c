/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - the journal, from a number on or from now on, as it grows.
 *
 * Each read is a long poll that carries its own cursor: when a worker dies in between, the request is
 * sent again and nothing is missed or shown twice.
 */
#include "ctr/ctr.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"

#define WAIT_MS 60000

static void
event_json(const struct event *ev)
{
	json_t *v = render_json(&event_schema, ev);

	(void)json_object_del(v, "body");
	(void)json_object_set_new(v, "event", render_json_event(ev->topic, &ev->body));
	render_json_print(v, stdout, true);
}

static void
event_line(const struct event *ev)
{
	AUTO(buf_free) struct buf clean = BUF_ZERO;
	char when[CLOCK_TEXT_MAX];

	text_clean(&clean, ev->ns);
	(void)buf_adds(&clean, " ");
	text_clean(&clean, ev->topic);
	(void)printf("%s %s ", clock_text(ev->time, when), buf_str(&clean));
	render_json_print(render_json_event(ev->topic, &ev->body), stdout, true);
}

static int
events_show(struct ctr *c, const struct event_read_rep *rep, bool json, struct err *e)
{
	if (rep->lost > 0) {
		struct err lost = ERR_ZERO;

		(void)err_set(&lost, ERR_DATA_LOSS,
		    "%llu events are lost: the journal no longer holds them",
		    (unsigned long long)rep->lost);
		(void)ctr_complain(c, &lost);
	}
	for (uint32_t i = 0; i < rep->events.n; i++)
		if (json)
			event_json(&rep->events.v[i]);
		else
			event_line(&rep->events.v[i]);
	if (fflush(stdout) != 0)
		return err_set(e, ERR_INTERNAL, "write output");
	return 0;
}

int
events_follow(struct ctr *c, const struct opts *o, struct err *e)
{
	bool follow = !opts_flag(o, "no-follow"), json;
	struct event_read_req req = { .topics = opts_list(o, "topic"),
		.all = !c->ns_given || opts_flag(o, "all") };
	int r = ctr_format(o, &json, e);

	/* What is there already is asked for by number. */
	if (!follow)
		req.from = 1;
	if (r == 0)
		r = opts_number(o, "from", &req.from, e);
	req.wait_ms = follow ? WAIT_MS : 0;
	c->timeout_ms = 0; /* waiting is what this is for */
	while (r == 0) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		struct event_read_rep rep;

		r = ctr_call(c, &events_event_read_method, &req, &a, &rep, e);
		if (r == 0)
			r = events_show(c, &rep, json, e);
		if (r < 0 || (!follow && rep.events.n == 0))
			break;
		req.from = rep.next;
	}
	return r;
}
