/* SPDX-License-Identifier: Apache-2.0 */
/* content - the content store by hand: list, get, ingest, active, abort, delete, label, verify. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "ctr/blobs.h"
#include "ctr/ctr.h"
#include "ctr/labels.h"
#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "DIGEST", "SIZE", "CREATED", "LABELS" };
	AUTO(table_free) struct table t;
	const struct blob *blobs = l->v;
	int64_t now = clock_real_ns();
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), -1);
	for (uint32_t i = 0; i < l->n; i++) {
		table_cell(&t, blobs[i].digest);
		table_cell(&t, text_size(blobs[i].size, text));
		table_cell(&t, text_age(blobs[i].created_at, now, text));
		table_map(&t, &blobs[i].labels);
	}
	table_show(&t);
}

int
content_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct blob_list_req req = { .after = NULL };

	return list_show(c, o, &content_blob_list_method, &req, list_table, e);
}

static void
active_table(const struct list *l)
{
	static const char *const heads[] = { "REF", "SIZE", "TOTAL", "STARTED", "LAST BYTE" };
	AUTO(table_free) struct table t;
	const struct ingest_info *in = l->v;
	int64_t now = clock_real_ns();
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), -1);
	for (uint32_t i = 0; i < l->n; i++) {
		table_cell(&t, in[i].ref);
		table_cell(&t, text_size(in[i].offset, text));
		table_cell(&t, in[i].total > 0 ? text_size(in[i].total, text) : NULL);
		table_cell(&t, text_age(in[i].started_at, now, text));
		table_cell(&t, text_age(in[i].updated_at, now, text));
	}
	table_show(&t);
}

int
content_active(struct ctr *c, const struct opts *o, struct err *e)
{
	struct ingest_list_req req = { .after = NULL };

	return list_show(c, o, &content_ingest_list_method, &req, active_table, e);
}

/* --- get ------------------------------------------------------------------------------------------- */

/* Where bytes go: stdout, or a file that takes its name when it is whole. */
struct output {
	int fd;
	const char *path;
	char *partial; /* NULL: stdout */
};

static void
output_free(struct output *out)
{
	if (out->partial == NULL)
		return;
	fd_close(&out->fd);
	(void)unlink(out->partial); /* not there any more when it was taken */
	free_ptr(&out->partial);
}

static int
output_open(struct output *out, const char *path, struct err *e)
{
	*out = (struct output){ .fd = STDOUT_FILENO, .path = path };
	if (path == NULL || strcmp(path, "-") == 0)
		return 0;
	out->partial = xasprintf("%s.partial", path);
	out->fd = open(out->partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return out->fd < 0 ? err_sys(e, errno, "create %s", out->partial) : 0;
}

static int
output_take(struct output *out, struct err *e)
{
	if (out->partial != NULL && rename(out->partial, out->path) < 0)
		return err_sys(e, errno, "write %s", out->path);
	return 0;
}

static int
get_all(struct ctr *c, const char *digest, uint64_t at, uint64_t left, const struct output *out,
    struct err *e)
{
	bool more = true;

	while (more && left > 0) {
		AUTO(arena_free) struct arena a = ARENA_ZERO;
		const struct blob_read_req req = { .digest = digest, .offset = at, .size = left };
		struct blob_read_rep rep;
		int r = ctr_call(c, &content_blob_read_method, &req, &a, &rep, e);

		if (r < 0)
			return r;
		if (fs_write_all(out->fd, rep.data.p, rep.data.n) < 0)
			return err_sys(e, errno, "write %s",
			    out->partial != NULL ? out->partial : "to stdout");
		at += rep.data.n;
		left -= rep.data.n;
		more = rep.data.n > 0 && at < rep.total;
	}
	return 0;
}

int
content_get(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(output_free) struct output out = { .fd = -1 };
	uint64_t offset = 0, size = UINT64_MAX;
	int r;

	if ((r = opts_bytes(o, "offset", &offset, e)) < 0 ||
	    (r = opts_bytes(o, "size", &size, e)) < 0 ||
	    (r = output_open(&out, opts_text(o, "output"), e)) < 0 ||
	    (out.partial != NULL && (r = ctr_catch(c, e)) < 0) ||
	    (r = get_all(c, o->args.v[0], offset, size, &out, e)) < 0)
		return r;
	return output_take(&out, e);
}

/* --- ingest ---------------------------------------------------------------------------------------- */

/* Fills buf from stdin; *ret_n is less than size at its end only. */
static int
stdin_read(char *buf, size_t size, size_t *ret_n, struct err *e)
{
	ssize_t n = 1;

	for (*ret_n = 0; *ret_n < size && n != 0; *ret_n += n > 0 ? (size_t)n : 0) {
		n = read(STDIN_FILENO, buf + *ret_n, size - *ret_n);
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "read stdin");
	}
	return 0;
}

static int
ingest_write(struct ctr *c, const struct ingest_write_req *req, uint64_t *ret_offset, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct ingest_info now;
	int r = ctr_call(c, &content_ingest_write_method, req, &a, &now, e);

	if (r == 0)
		*ret_offset = now.offset;
	return r;
}

/* Signals are not caught: reading stdin could not be interrupted, and what is here may stay for another
 * try.
 *
 * What an earlier try stored of it comes first on stdin, and is passed over. */
static int
ingest_send(struct ctr *c, struct ingest_write_req *req, struct err *e)
{
	AUTO(free_ptr) char *piece = xcalloc(1, BLOB_PIECE);
	uint64_t skip;
	size_t n;
	int r = ingest_write(c, req, &skip, e);

	for (; r == 0 && skip > 0; skip -= n) {
		r = stdin_read(piece, skip < BLOB_PIECE ? (size_t)skip : BLOB_PIECE, &n, e);
		if (r == 0 && n == 0)
			return err_set(e, ERR_OUT_OF_RANGE,
			    "ingest %s has more bytes than stdin: abort it first", req->ref);
		req->offset += n;
	}
	for (n = BLOB_PIECE; r == 0 && n == BLOB_PIECE;) {
		r = stdin_read(piece, BLOB_PIECE, &n, e);
		req->data = (struct bytes){ .p = piece, .n = n };
		if (r == 0 && n > 0)
			r = ingest_write(c, req, &req->offset, e);
	}
	return r;
}

int
content_ingest(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(free_ptr) char *lease = NULL;
	struct ingest_write_req req = { .ref = o->args.v[0],
		.expected = opts_text(o, "expected-digest") };
	struct ingest_commit_req commit = { .ref = req.ref, .expected = req.expected };
	struct blob rep;
	int r;

	if (opts_text(o, "lease") != NULL)
		c->lease = lease = xstrdup(opts_text(o, "lease"));
	if ((r = opts_bytes(o, "expected-size", &req.total, e)) < 0 ||
	    (r = ctr_map("label", opts_list(o, "label"), &a, &commit.labels, e)) < 0)
		goto out;
	commit.size = req.total;
	r = ingest_send(c, &req, e);
	if (r == -ERR_ALREADY_EXISTS) {
		*e = ERR_ZERO;
		r = 0;
		text_print(stdout, req.expected);
	} else if (r == 0) {
		r = ctr_call(c, &content_ingest_commit_method, &commit, &a, &rep, e);
		if (r == 0)
			text_print(stdout, rep.digest);
	}
out:
	c->lease = NULL;
	return r;
}

/* --- abort, delete, label --------------------------------------------------------------------------- */

static int
abort_one(struct ctr *c, const struct opts *o, const char *ref, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct ingest_ref req = { .ref = ref };
	struct nothing rep;

	(void)o;
	return ctr_call(c, &content_ingest_abort_method, &req, &a, &rep, e);
}

int
content_abort(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, abort_one, true);
}

static int
delete_one(struct ctr *c, const struct opts *o, const char *digest, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct blob_ref req = { .digest = digest };
	struct nothing rep;

	(void)o;
	return ctr_call(c, &content_blob_remove_method, &req, &a, &rep, e);
}

int
content_delete(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, delete_one, true);
}

int
content_label(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct blob_update_req req = { .digest = o->args.v[0] };
	struct strs words = { o->args.v + 1, o->args.n - 1 };
	struct blob rep;
	int r = labels_read(&words, false, &a, &req.labels, &req.fields, e);

	if (r == 0)
		r = ctr_call(c, &content_blob_update_method, &req, &a, &rep, e);
	if (r == 0)
		labels_print(&rep.labels);
	return r;
}

/* --- verify ---------------------------------------------------------------------------------------- */

static void
on_verified(void *arg, const void *progress)
{
	const struct blob_verify_progress *p = progress;
	char done[TEXT_NUMBER_MAX], all[TEXT_NUMBER_MAX];

	(void)arg;
	if (isatty(STDERR_FILENO) == 1)
		(void)fprintf(stderr, "\r\033[K%" PRIu64 " of %" PRIu64 " blobs, %s of %s",
		    p->checked, p->blobs, text_size(p->bytes, done), text_size(p->total, all));
}

int
content_verify(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct blob_verify_req req = { .digests = o->args };
	struct blob_verify_rep rep;
	char text[TEXT_NUMBER_MAX];
	bool json = false;
	int r;

	if ((r = ctr_format(o, &json, e)) < 0 || (r = ctr_catch(c, e)) < 0)
		return r;
	r = ctr_call_progress(c, &content_blob_verify_method, &req, &a, &rep, on_verified, NULL, e);
	if (isatty(STDERR_FILENO) == 1)
		(void)fputs("\r\033[K", stderr);
	if (r < 0)
		return r;
	if (json)
		render_json_print(render_json(&blob_verify_rep_schema, &rep), stdout, false);
	else
		(void)printf("%" PRIu64 " blobs, %s: %" PRIu32 " damaged\n", rep.checked,
		    text_size(rep.bytes, text), rep.damaged.n);
	for (uint32_t i = 0; i < rep.damaged.n; i++) {
		struct err one = ERR_ZERO;

		(void)err_set(&one, ERR_DATA_LOSS,
		    "blob %s is damaged and was set aside, pull its image again: %s",
		    rep.damaged.v[i].digest, rep.damaged.v[i].why);
		(void)ctr_complain(c, &one);
	}
	return rep.damaged.n > 0 ? 1 : 0;
}
