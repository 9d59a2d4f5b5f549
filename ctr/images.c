/* SPDX-License-Identifier: Apache-2.0 */
/* images - pull, list, info, remove, tag. */
#include "ctr/images.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctr/list.h"
#include "ctr/progress.h"
#include "ctr/render.h"
#include "ctr/terminal.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

#define PASSWORD_MAX 16384

/* --- pull ----------------------------------------------------------------------------------------- */

static void
on_progress(void *arg, const void *progress)
{
	progress_update(arg, progress);
}

int
images_pull_one(struct ctr *c, const struct image_pull_req *req, FILE *to, struct arena *a,
    struct image_pull_rep *rep, struct err *e)
{
	struct progress *p = NULL;
	int r = ctr_connect(c, e);

	if (r < 0)
		return r;
	if (to != NULL)
		p = progress_new(c->loop, to);
	r = ctr_call_progress(
	    c, &content_image_pull_method, req, a, rep, p == NULL ? NULL : on_progress, p, e);
	progress_end(&p, r == 0);
	return r;
}

/* --user NAME[:PASSWORD], with the password from stdin, the terminal or the option itself. */
static int
credentials(const struct opts *o, struct arena *a, struct image_pull_req *req, struct err *e)
{
	const char *user = opts_text(o, "user"), *colon;
	AUTO(buf_free) struct buf secret = BUF_ZERO;
	int r;

	if (user == NULL) {
		if (opts_flag(o, "password-stdin"))
			return err_set(
			    e, ERR_INVALID_ARGUMENT, "--password-stdin needs --user as well");
		return 0;
	}
	colon = strchr(user, ':');
	if (colon != NULL) {
		req->username = arena_memdup(a, user, (size_t)(colon - user));
		req->password = colon + 1;
		return 0;
	}
	req->username = user;
	r = opts_flag(o, "password-stdin") ? fs_read_fd(STDIN_FILENO, PASSWORD_MAX, &secret, e)
					   : terminal_ask_hidden("Password: ", &secret, e);
	if (r < 0)
		return err_wrap(e, "password");
	while (secret.len > 0 && strchr("\r\n", secret.data[secret.len - 1]) != NULL)
		secret.data[--secret.len] = '\0';
	req->password = arena_memdup(a, buf_str(&secret), secret.len);
	explicit_bzero(secret.data, secret.len);
	return 0;
}

static int
pull_request(const struct opts *o, struct arena *a, struct image_pull_req *req, struct err *e)
{
	*req = (struct image_pull_req){
		.ref = o->args.v[0],
		.platform = opts_text(o, "platform"),
		.plain_http = opts_flag(o, "plain-http"),
		.skip_verify = opts_flag(o, "skip-verify"),
		.no_unpack = opts_flag(o, "no-unpack"),
	};
	if (opts_number(o, "max-downloads", &req->max_downloads, e) < 0 ||
	    ctr_map("label", opts_list(o, "label"), a, &req->labels, e) < 0)
		return -(int)e->code;
	return credentials(o, a, req, e);
}

int
images_pull(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	bool quiet = opts_flag(o, "quiet");
	struct image_pull_req req;
	struct image_pull_rep rep = { .image = NULL };
	int r = pull_request(o, &a, &req, e);

	if (r == 0)
		r = ctr_catch(c, e);
	if (r == 0)
		r = images_pull_one(c, &req, quiet ? NULL : stdout, &a, &rep, e);
	if (r < 0)
		return r;
	if (!quiet)
		(void)printf("digest "), text_print(stdout, rep.image->target->digest);
	text_print(stdout, rep.image->name);
	return 0;
}

/* --- list ----------------------------------------------------------------------------------------- */

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "REF", "DIGEST", "SIZE", "PLATFORM", "CREATED" };
	AUTO(table_free) struct table t;
	const struct image *images = l->v;
	int64_t now = clock_real_ns();
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), 1);
	for (uint32_t i = 0; i < l->n; i++) {
		const struct image *im = &images[i];

		table_cell(&t, im->name);
		table_cell(&t, im->target->digest);
		table_cell(&t, im->size == 0 ? NULL : text_size(im->size, text));
		table_cell(&t, im->platform);
		table_cell(&t, text_age(im->updated_at, now, text));
	}
	table_show(&t);
}

int
images_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct image_list_req req = { .after = NULL };

	return list_show(c, o, &content_image_list_method, &req, list_table, e);
}

/* --- info, remove, tag ---------------------------------------------------------------------------- */

int
images_info(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct image_get_req get = { .ref = o->args.v[0] };
	struct image_resolve_req resolve = { .ref = o->args.v[0],
		.platform = opts_text(o, "platform") };
	struct image_get_rep got;
	struct image_resolve_rep rep;
	json_t *v, *more;
	int r = ctr_call(c, &content_image_get_method, &get, &a, &got, e);

	if (r == 0)
		r = ctr_call(c, &content_image_resolve_method, &resolve, &a, &rep, e);
	if (r < 0)
		return r;
	v = render_json(&image_schema, got.image);
	more = render_json(&image_resolve_rep_schema, &rep);
	(void)json_object_del(more, "name");
	MUST(json_object_update(v, more) == 0);
	json_decref(more);
	render_json_print(v, stdout, false);
	return 0;
}

static int
remove_one(struct ctr *c, const struct opts *o, const char *word, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct image_remove_req req = {
		.ref = word, .force = opts_flag(o, "force"), .sync = !opts_flag(o, "async")
	};
	struct image_remove_rep rep;
	int r = ctr_call(c, &content_image_remove_method, &req, &a, &rep, e);

	if (r == 0)
		text_print(stdout, rep.name);
	return r;
}

int
images_remove(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, remove_one, false);
}

int
images_tag(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;

	for (uint32_t i = 1; i < o->args.n; i++) {
		const struct image_tag_req req = {
			.ref = o->args.v[0], .name = o->args.v[i], .force = opts_flag(o, "force")
		};
		struct image_get_rep rep;
		int r = ctr_call(c, &content_image_tag_method, &req, &a, &rep, e);

		if (r < 0)
			return r;
		text_print(stdout, rep.image->name);
	}
	return 0;
}
