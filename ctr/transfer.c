/* SPDX-License-Identifier: Apache-2.0 */
/* transfer - images pull and push. */
#include <string.h>

#include "ctr/images.h"
#include "ctr/progress.h"
#include "ctr/registry.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"

/* How what goes on is told. */
struct telling {
	FILE *to; /* NULL: not at all */
	bool json;
};

static int
transfer(struct ctr *c, const struct method *m, client_progress_fn *on_progress, const void *req,
    struct telling t, struct arena *a, void *rep, struct err *e)
{
	struct progress *p = NULL;
	int r = ctr_connect(c, e);

	if (r < 0)
		return r;
	if (t.to != NULL)
		p = progress_new(c->loop, t.to, t.json);
	r = ctr_call_progress(c, m, req, a, rep, p == NULL ? NULL : on_progress, p, e);
	progress_end(&p, r == 0);
	return r;
}

/* --- pull ----------------------------------------------------------------------------------------- */

static void
on_pull_progress(void *arg, const void *progress)
{
	progress_update(arg, &((const struct image_pull_progress *)progress)->items);
}

static void
pull_from(struct image_pull_req *req, const struct registry *r)
{
	req->plain_http = r->plain_http;
	req->skip_verify = r->skip_verify;
	req->username = r->username;
	req->password = r->password;
	req->auths = r->auths;
	req->hosts = r->hosts;
}

int
images_pull_one(struct ctr *c, const struct image_pull_req *req, FILE *to, struct arena *a,
    struct image_pull_rep *rep, struct err *e)
{
	struct image_pull_req own = *req;
	struct registry r;

	if (registry_find(NULL, req->ref, a, &r, e) < 0)
		return -(int)e->code;
	pull_from(&own, &r);
	return transfer(c, &content_image_pull_method, on_pull_progress, &own,
	    (struct telling){ .to = to }, a, rep, e);
}

static int
pull_request(const struct opts *o, struct arena *a, struct image_pull_req *req, struct err *e)
{
	struct registry r;

	*req = (struct image_pull_req){
		.ref = o->args.v[0],
		.platforms = opts_list(o, "platform"),
		.all_platforms = opts_flag(o, "all-platforms"),
		.verify_only = opts_flag(o, "verify-only"),
		.no_unpack = opts_flag(o, "no-unpack"),
		.snapshotter = opts_text(o, "snapshotter"),
	};
	if (req->all_platforms && req->platforms.n > 0)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "--all-platforms and --platform exclude each other");
	if (opts_number(o, "max-downloads", &req->max_downloads, e) < 0 ||
	    ctr_map("label", opts_list(o, "label"), a, &req->labels, e) < 0 ||
	    registry_find(o, req->ref, a, &r, e) < 0)
		return -(int)e->code;
	pull_from(req, &r);
	return 0;
}

int
images_pull(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct telling t = { .to = opts_flag(o, "quiet") ? NULL : stdout };
	struct image_pull_req req;
	struct image_pull_rep rep = { .image = NULL };
	int r = ctr_format(o, &t.json, e);

	if (r == 0)
		r = pull_request(o, &a, &req, e);
	if (r == 0)
		r = ctr_catch(c, e);
	if (r == 0)
		r = transfer(c, &content_image_pull_method, on_pull_progress, &req, t, &a, &rep, e);
	if (r < 0)
		return r;
	if (t.json) {
		render_json_print(render_json(&image_pull_rep_schema, &rep), stdout, true);
		return 0;
	}
	if (t.to != NULL)
		(void)printf("digest "), text_print(stdout, rep.image->target->digest);
	text_print(stdout, rep.image->name);
	return 0;
}

/* --- push ----------------------------------------------------------------------------------------- */

static void
on_push_progress(void *arg, const void *progress)
{
	progress_update(arg, &((const struct image_push_progress *)progress)->items);
}

static int
push_request(const struct opts *o, struct arena *a, struct image_push_req *req, struct err *e)
{
	struct registry r;

	*req = (struct image_push_req){
		.ref = o->args.v[0],
		.image = o->args.n > 1 ? o->args.v[1] : NULL,
		.platform = opts_text(o, "platform"),
	};
	if (opts_flag(o, "all-platforms") && req->platform != NULL)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "--all-platforms and --platform exclude each other");
	if (opts_number(o, "max-uploads", &req->max_uploads, e) < 0 ||
	    opts_bytes(o, "chunk-size", &req->chunk, e) < 0 ||
	    registry_find(o, req->ref, a, &r, e) < 0)
		return -(int)e->code;
	req->plain_http = r.plain_http;
	req->skip_verify = r.skip_verify;
	req->username = r.username;
	req->password = r.password;
	req->auths = r.auths;
	req->hosts = r.hosts;
	return 0;
}

int
images_push(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct telling t = { .to = opts_flag(o, "quiet") ? NULL : stdout };
	struct image_push_req req;
	struct image_push_rep rep = { .target = NULL };
	int r = ctr_format(o, &t.json, e);

	if (r == 0)
		r = push_request(o, &a, &req, e);
	if (r == 0)
		r = ctr_catch(c, e);
	if (r == 0)
		r = transfer(c, &content_image_push_method, on_push_progress, &req, t, &a, &rep, e);
	if (r < 0)
		return r;
	if (t.json) {
		render_json_print(render_json(&image_push_rep_schema, &rep), stdout, true);
		return 0;
	}
	if (t.to != NULL)
		(void)printf("digest "), text_print(stdout, rep.target->digest);
	text_print(stdout, rep.name);
	return 0;
}
