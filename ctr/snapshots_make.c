/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshots_make - to work with: prepare, view, commit, mounts, diff, label, unpack, delete.
 *
 * What is prepared by hand is nobody else's: it gets containerd's label gc.root and stays until it is deleted.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ctr/blobs.h"
#include "ctr/ctr.h"
#include "ctr/labels.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

#define LABEL_ROOT "containerd.io/gc.root"

static struct kvs
root_label(struct arena *a)
{
	char *now = arena_calloc(a, 1, CLOCK_TEXT_MAX);
	struct kv *l = arena_calloc(a, 1, sizeof(*l));

	*l = (struct kv){ .k = LABEL_ROOT, .v = clock_text_s(clock_real_ns(), now) };
	return (struct kvs){ l, 1 };
}

/* --- mounts ---------------------------------------------------------------------------------------- */

/* A word as a shell takes it. */
static void
shell_word(struct buf *line, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "%+,-./:=@_";

	if (*word != '\0' && word[strspn(word, plain)] == '\0') {
		(void)buf_adds(line, word);
		return;
	}
	(void)buf_adds(line, "'");
	for (; *word != '\0'; word++)
		(void)(*word == '\'' ? buf_adds(line, "'\\''") : buf_add(line, word, 1));
	(void)buf_adds(line, "'");
}

/* Commands for a shell. */
static void
mounts_print(const char *target, const struct mount_list *mounts)
{
	for (uint32_t i = 0; i < mounts->n; i++) {
		const struct mount *m = &mounts->v[i];
		AUTO(buf_free) struct buf line = BUF_ZERO;
		AUTO(buf_free) struct buf options = BUF_ZERO;

		for (uint32_t k = 0; k < m->options.n; k++)
			(void)buf_addf(&options, "%s%s", k > 0 ? "," : "", m->options.v[k]);
		(void)buf_addf(&line, "mount -t %s ", m->type);
		shell_word(&line, m->source);
		(void)buf_adds(&line, " ");
		shell_word(&line, target);
		if (options.len > 0) {
			(void)buf_adds(&line, " -o ");
			shell_word(&line, buf_str(&options));
		}
		text_print(stdout, buf_str(&line));
	}
}

/* The names that containerd's ctr gives the fields. */
static void
mounts_json(const struct mount_list *mounts)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < mounts->n; i++) {
		const struct mount *m = &mounts->v[i];
		json_t *options = json_array();

		for (uint32_t k = 0; k < m->options.n; k++)
			(void)json_array_append_new(options, render_json_text(m->options.v[k]));
		(void)json_array_append_new(all,
		    json_pack("{s:o,s:o,s:o,s:o}", "Type", render_json_text(m->type), "Source",
			render_json_text(m->source), "Target",
			render_json_text(m->target == NULL ? "" : m->target), "Options", options));
	}
	render_json_print(all, stdout, false);
}

int
snapshots_mounts(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct snapshot_key_req req = { .key = o->args.v[1],
		.snapshotter = opts_text(o, "snapshotter") };
	struct snapshot_mounts_rep rep;
	int r = ctr_call(c, &snapshot_snapshot_mounts_method, &req, &a, &rep, e);

	if (r == 0)
		mounts_print(o->args.v[0], &rep.mounts);
	return r;
}

/* --- prepare, view, commit --------------------------------------------------------------------------- */

static int
make(struct ctr *c, const struct opts *o, bool view, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct snapshot_prepare_req req = { .key = o->args.v[0],
		.parent = o->args.n > 1 && o->args.v[1][0] != '\0' ? o->args.v[1] : NULL,
		.view = view,
		.labels = root_label(&a),
		.snapshotter = opts_text(o, "snapshotter") };
	const char *target = opts_text(o, "target");
	struct snapshot_mounts_rep rep;
	int r = ctr_call(c, &snapshot_snapshot_prepare_method, &req, &a, &rep, e);

	if (r < 0)
		return r;
	if (target != NULL)
		mounts_print(target, &rep.mounts);
	if (opts_flag(o, "mounts"))
		mounts_json(&rep.mounts);
	if (target == NULL && !opts_flag(o, "mounts"))
		text_print(stdout, req.key);
	return 0;
}

int
snapshots_prepare(struct ctr *c, const struct opts *o, struct err *e)
{
	return make(c, o, false, e);
}

int
snapshots_view(struct ctr *c, const struct opts *o, struct err *e)
{
	return make(c, o, true, e);
}

int
snapshots_commit(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct snapshot_commit_req req = { .name = o->args.v[0],
		.key = o->args.v[1],
		.labels = root_label(&a),
		.snapshotter = opts_text(o, "snapshotter") };
	struct snapshot_rep rep;
	int r = ctr_call(c, &snapshot_snapshot_commit_method, &req, &a, &rep, e);

	if (r == 0)
		text_print(stdout, req.name);
	return r;
}

/* --- diff ------------------------------------------------------------------------------------------ */

static int
to_stdout(void *arg, const void *p, size_t n, struct err *e)
{
	(void)arg;
	if (fs_write_all(STDOUT_FILENO, p, n) == 0)
		return 0;
	return errno == EPIPE ? err_set(e, ERR_UNAVAILABLE, "nobody reads it any more")
			      : err_sys(e, errno, "write to stdout");
}

static int
diff(struct ctr *c, const struct opts *o, struct arena *a, struct err *e)
{
	bool two = o->args.n > 1; /* from the first to the second */
	struct snapshot_diff_req req = { .key = o->args.v[two],
		.against = two ? o->args.v[0] : NULL,
		.media_type = opts_text(o, "media-type"),
		.ref = opts_text(o, "ref"),
		.snapshotter = opts_text(o, "snapshotter") };
	struct kvs root = opts_flag(o, "keep") ? root_label(a) : (struct kvs){ .n = 0 };
	struct snapshot_diff_rep rep;
	struct oci_desc d = { .size = 0 };
	struct kvs labels;
	int r;

	if ((r = ctr_map("label", opts_list(o, "label"), a, &labels, e)) < 0)
		return r;
	req.labels.v = arena_calloc(a, labels.n + 1, sizeof(*req.labels.v));
	for (uint32_t i = 0; i < labels.n; i++)
		req.labels.v[req.labels.n++] = labels.v[i];
	if (root.n > 0)
		req.labels.v[req.labels.n++] = root.v[0];
	if ((r = ctr_call(c, &snapshot_snapshot_diff_method, &req, a, &rep, e)) < 0 ||
	    (r = digest_parse(rep.digest, &d.digest, e)) < 0)
		return r;
	d.size = rep.size;
	if (rep.sockets > 0)
		(void)fprintf(stderr,
		    "ctr: snapshots diff: %llu socket%s left out: no layer holds one\n",
		    (unsigned long long)rep.sockets, rep.sockets == 1 ? "" : "s");
	return blob_copy(c, &d, to_stdout, NULL, e);
}

int
snapshots_diff(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct err end = ERR_ZERO;
	int r;

	if (isatty(STDOUT_FILENO))
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "stdout is a terminal: send the layer to a file or a pipe");
	if ((r = ctr_catch(c, e)) < 0 || (r = lease_begin(c, e)) < 0)
		return r;
	r = diff(c, o, &a, e);
	if (lease_end(c, &end) < 0 && r == 0) {
		*e = end;
		r = -(int)e->code;
	}
	return r;
}

/* --- label, unpack, delete --------------------------------------------------------------------------- */

int
snapshots_label(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct snapshot_key_req get = { .key = o->args.v[0],
		.snapshotter = opts_text(o, "snapshotter") };
	const struct strs words = { o->args.v + 1, o->args.n - 1 };
	struct snapshot_update_req req = { .key = get.key, .snapshotter = get.snapshotter };
	struct snapshot_rep rep;
	int r;

	if (words.n == 0) {
		r = ctr_call(c, &snapshot_snapshot_get_method, &get, &a, &rep, e);
	} else {
		r = labels_read(&words, false, &a, &req.labels, &req.fields, e);
		if (r == 0)
			r = ctr_call(c, &snapshot_snapshot_update_method, &req, &a, &rep, e);
	}
	if (r == 0)
		labels_print(&rep.snapshot->labels);
	return r;
}

int
snapshots_unpack(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct image_get_req get = { .ref = o->args.v[0] };
	struct image_unpack_req req = { .snapshotter = opts_text(o, "snapshotter") };
	struct image_get_rep image;
	struct nothing nothing;
	int r = ctr_call(c, &content_image_get_method, &get, &a, &image, e);

	if (r < 0)
		return r;
	req.target = image.image->target;
	r = ctr_call(c, &content_image_unpack_method, &req, &a, &nothing, e);
	if (r == 0)
		text_print(stdout, image.image->name);
	return r;
}

static int
delete_one(struct ctr *c, const struct opts *o, const char *key, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct snapshot_key_req req = { .key = key,
		.snapshotter = opts_text(o, "snapshotter") };
	struct nothing rep;

	return ctr_call(c, &snapshot_snapshot_remove_method, &req, &a, &rep, e);
}

int
snapshots_delete(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, delete_one, true);
}
