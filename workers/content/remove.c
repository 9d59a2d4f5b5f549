/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remove - the handler of image_remove.
 *
 *	find -> ask task for containers made from it -> one transaction: record, rows, events, reply
 *	     -> blob files -> layers at the snapshot worker -> answer
 *
 * Crash points: before the commit nothing happened and the request, sent again, starts over; behind it
 * the stored reply is given, files without rows are removed at the next start, and layers by the sweep.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "workers/content/gc.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"

struct untag {
	struct content_note note;
	struct content *c;
	struct call *call;
	const char *name;   /* full name, in the call's arena */
	const char *target; /* the same: the digest it must point at; NULL = any */
	struct client_call *asked;
	struct gc_wait *wait;
	bool sync;
};

static void
untag_free(struct untag **up)
{
	struct untag *u = *up;

	client_cancel(&u->asked);
	gc_detach(&u->wait);
	free_ptr(up);
}

static void
untag_cancelled(struct content_note *note)
{
	struct untag *u = (struct untag *)note;

	untag_free(&u);
}

static void
untag_fail(struct untag *u, const struct err *e)
{
	struct call *call = u->call;

	untag_free(&u);
	call_fail(call, e);
}

static void
on_collected(void *arg, const struct gc_totals *sum, const struct err *e)
{
	struct untag *u = arg;
	struct call *call = u->call;
	struct image_remove_rep rep = { .name = u->name, .blobs = sum->blobs, .bytes = sum->bytes };

	(void)e; /* the name is gone; the rest is tried again, by and by */
	u->wait = NULL;
	untag_free(&u);
	call_reply(call, &rep);
}

/* The transaction, and what follows it. */
static int
untag_commit(struct untag *u, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	const char *ns = call_ns(u->call);
	struct image_remove_rep rep = { .name = u->name };
	struct image im;
	int r;

	if ((r = store_write(u->c->store, &t, e)) < 0 ||
	    (r = image_find(t, ns, u->name, call_arena(u->call), &im, NULL, e)) < 0)
		return r;
	if (u->target != NULL && strcmp(u->target, im.target->digest) != 0)
		return err_set(
		    e, ERR_NOT_FOUND, "image %.200s points at %s", u->name, im.target->digest);
	if ((r = image_row_drop(t, ns, u->name, e)) < 0 ||
	    (r = call_commit(u->call, &t, &rep, e)) < 0)
		return r;
	FAULT_POINT("content.remove.committed");
	log_info("removed image %s", u->name);
	gc_deleted(u->c);
	return 0;
}

/* Commits and answers, at once or behind a collection. */
static void
untag_end(struct untag *u)
{
	struct call *call = u->call;
	struct image_remove_rep rep = { .name = u->name };
	struct err e = ERR_ZERO;

	if (untag_commit(u, &e) < 0) {
		untag_fail(u, &e);
	} else if (u->sync) {
		u->wait = gc_run(u->c, on_collected, u);
	} else {
		untag_free(&u);
		call_reply(call, &rep);
	}
}

static void
on_containers(void *arg, const void *rep, const struct err *e)
{
	struct untag *u = arg;
	const struct container_list_rep *list = rep;
	struct err own = ERR_ZERO;
	char names[300];
	size_t n = 0;

	u->asked = NULL;
	if (e != NULL) {
		untag_fail(u, e);
		return;
	}
	for (uint32_t i = 0; i < list->containers.n && n < sizeof(names) - 90; i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i > 0 ? ", " : "",
		    list->containers.v[i].container->id);
	if (list->containers.n > 0)
		(void)err_set(&own, ERR_FAILED_PRECONDITION,
		    "image %.160s is used by container %s: delete it first, or use --force",
		    u->name, names);
	if (own.code != ERR_NONE)
		untag_fail(u, &own);
	else
		untag_end(u);
}

/* The one image that ref means. */
static int
untag_find(struct content *c, struct call *call, const char *ref, struct image *im, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	unsigned names = 0;
	char show[96];
	int r;

	if ((r = store_read(c->store, &t, e)) < 0 ||
	    (r = image_find(t, call_ns(call), ref, call_arena(call), im, &names, e)) < 0)
		return r == -ERR_NOT_FOUND ? err_set(e, ERR_NOT_FOUND, "image \"%s\" is not here",
						 ident_show(ref, show, sizeof(show)))
					   : r;
	if (names > 1)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "image %s has %u names: say which one to remove",
		    ident_show(ref, show, sizeof(show)), names);
	return 0;
}

int
content_on_image_remove(struct content *c, struct call *call, const struct image_remove_req *req,
    struct image_remove_rep *rep, struct err *e)
{
	struct container_list_req ask = { .limit = 500 };
	struct client_opts opts = { .ns = call_ns(call) };
	struct untag *u;
	struct image im;
	int r = untag_find(c, call, req->ref, &im, e);

	(void)rep;
	if (r < 0)
		return r;
	u = xcalloc(1, sizeof(*u));
	u->note.cancelled = untag_cancelled;
	u->c = c;
	u->call = call;
	u->name = ask.image = im.name;
	u->target = req->target;
	u->sync = req->sync;
	call_note_set(call, &u->note);
	if (req->force) {
		untag_end(u);
		return CALL_LATER;
	}
	r = client_call(
	    c->client, &task_container_list_method, &opts, &ask, on_containers, u, &u->asked, e);
	if (r < 0) {
		untag_free(&u);
		call_note_set(call, NULL);
		return r;
	}
	return CALL_LATER;
}
