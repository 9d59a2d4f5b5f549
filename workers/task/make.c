/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make - container_create.
 *
 *	image_resolve -> check the request against the image's config -> layer_unpack, all at once ->
 *	user_resolve -> snapshot_prepare -> one transaction: container, spec, event, reply
 *
 * Most images are unpacked and most users are numbers: then snapshot_prepare is tried at once, and only when
 * the layers are not there the way goes by layer_unpack.
 *
 * The only thing made outside the transaction is the snapshot: it is removed when a later step fails,
 * and it says whose it is (label). A death between the two leaves a snapshot of that label without a
 * container: the next create of the name takes it away and makes it anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/oci/signo.h"
#include "lib/oci/spec.h"
#include "workers/task/step.h"

#define LABEL_OWNER "coffer.container"
#define LABELS_MAX 128

struct make {
	const struct container_create_req *req;
	const struct image_resolve_rep *image;
	struct oci_image_config config;
	struct oci_user user;
	const char *shim, *oci, *snapshotter;
	char stop_signal[32];
	struct client_call **unpacks; /* NULL where done */
	unsigned left;		      /* unpacks that are not done */
	bool hopeful;		      /* the layers may be there */
	bool cleared;		      /* an orphaned snapshot was taken away */
	bool prepared;
	struct err failure;
};

static void prepare(struct op *op);
static void unpack_all(struct op *op);

static struct oci_list
list_of(struct strs s)
{
	return (struct oci_list){ .v = s.v, .n = s.n };
}

/* --- the end that fails --------------------------------------------------------------------------- */

static void
on_undone(void *arg, const void *rep, const struct err *e)
{
	struct op *op = arg;
	struct make *m = op->state;

	(void)rep;
	if (e != NULL && e->code != ERR_NOT_FOUND)
		log_warn("%s/%s: remove the snapshot of a create that failed: %s", op->box->ns,
		    op->box->id, e->msg);
	op_fail(op, &m->failure);
}

static void
undo(struct op *op, const struct err *why)
{
	struct make *m = op->state;
	struct snapshot_key_req req = { .key = op->box->id, .snapshotter = m->req->snapshotter };

	m->failure = *why;
	if (!m->prepared) {
		op_fail(op, &m->failure);
		return;
	}
	(void)step_bus(op, &snapshot_snapshot_remove_method, &req, on_undone);
}

/* --- the last step -------------------------------------------------------------------------------- */

/* Whoever starts the shim passes its score on; less than that cannot be had without a capability. */
static int
host_oom_score(void)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err e = ERR_ZERO;
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/%ld/oom_score_adj", (long)getppid());
	if (fs_read(AT_FDCWD, path, 64, &text, &e) < 0)
		return 0;
	return (int)strtol(buf_str(&text), NULL, 10);
}

/* What the supervisor could not give, its shims cannot either; 0 when that cannot be read. */
static uint64_t
host_caps(void)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err e = ERR_ZERO;
	char path[40];
	const char *at;

	(void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)getppid());
	if (fs_read(AT_FDCWD, path, 65536, &text, &e) < 0)
		return 0;
	at = strstr(buf_str(&text), "\nCapPrm:");
	return at == NULL ? 0 : strtoull(at + 8, NULL, 16);
}

static struct strs
one_for_both(struct strs own, struct strs other)
{
	return own.n > 0 ? own : other;
}

static int
make_spec(struct op *op, struct buf *out, struct err *e)
{
	struct make *m = op->state;
	const struct container_create_req *q = m->req;
	struct oci_label *notes = arena_calloc(&op->arena, q->annotations.n + 1, sizeof(*notes));
	char host[HOST_NAME_MAX + 1] = "";
	struct oci_spec_opts o = { .ns = op->box->ns,
		.id = op->box->id,
		.entrypoint = list_of(q->entrypoint),
		.args = list_of(q->args),
		.env = list_of(q->env),
		.mounts = list_of(q->mounts),
		.cap_add = list_of(q->cap_add),
		.cap_drop = list_of(q->cap_drop),
		.uidmap = list_of(one_for_both(q->uidmap, q->gidmap)),
		.gidmap = list_of(one_for_both(q->gidmap, q->uidmap)),
		.cwd = q->cwd,
		.hostname = q->hostname,
		.user = m->user,
		.net_host = q->net_host,
		.privileged = q->privileged,
		.read_only = q->read_only,
		.tty = q->tty,
		.memory = q->memory,
		.cpu_quota = q->cpu_quota,
		.cpu_period = q->cpu_period,
		.pids_limit = q->pids_limit,
		.caps_host = host_caps(),
		.annotations = notes,
		.nannotations = q->annotations.n,
		.host_name = host,
		.cgroup_root = worker_option(op->t->w, "cgroup-root"),
		.oom_score_adj = host_oom_score() };

	for (uint32_t i = 0; i < q->annotations.n; i++)
		notes[i] = (struct oci_label){ q->annotations.v[i].k, q->annotations.v[i].v };
	(void)gethostname(host, sizeof(host) - 1);
	if (q->net_host) {
		o.host_hosts = access("/etc/hosts", R_OK) == 0;
		o.host_resolv = access("/etc/resolv.conf", R_OK) == 0;
	}
	return oci_spec_make(&m->config, &o, out, e);
}

/* The request's labels, then those of the image that it does not name. */
static struct kvs
make_labels(struct op *op)
{
	struct make *m = op->state;
	struct kv *v = arena_calloc(&op->arena, LABELS_MAX, sizeof(*v));
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->req->labels.n && n < LABELS_MAX; i++)
		v[n++] = m->req->labels.v[i];
	for (size_t i = 0; i < m->config.nlabels && n < LABELS_MAX; i++) {
		uint32_t j = 0;

		while (j < n && strcmp(v[j].k, m->config.labels[i].key) != 0)
			j++;
		if (j == n)
			v[n++] = (struct kv){ m->config.labels[i].key, m->config.labels[i].value };
	}
	return (struct kvs){ .v = v, .n = n };
}

static int
store_it(struct op *op, struct bytes spec, struct container *c, struct err *e)
{
	AUTO(store_abort) struct txn *txn = NULL;
	struct make *m = op->state;
	struct taskd *t = op->t;
	struct container_row row = { .container = c, .stdin_open = m->req->stdin_open };
	struct container_rep rep = { .container = c };
	int r;

	*c = (struct container){ .id = op->box->id,
		.image = m->image->name,
		.runtime = m->shim,
		.oci_runtime = m->oci[0] == '\0' ? NULL : m->oci,
		.snapshotter = m->snapshotter,
		.snapshot_key = op->box->id,
		.labels = make_labels(op),
		.created_at = clock_real_ns(),
		.stop_signal = m->stop_signal[0] == '\0' ? NULL : m->stop_signal,
		.uidmap = one_for_both(m->req->uidmap, m->req->gidmap),
		.gidmap = one_for_both(m->req->gidmap, m->req->uidmap),
		.tty = m->req->tty };
	c->updated_at = c->created_at;
	if ((r = store_write(t->containers, &txn, e)) < 0 ||
	    (r = container_add(t, txn, op->box->ns, &row, spec, e)) < 0 ||
	    (r = op_commit(op, &txn, &rep, e)) < 0)
		return r;
	FAULT_POINT("task.make.stored");
	tells_written(t);
	worker_outbox_wake(t->w);
	return 0;
}

static void
finish(struct op *op)
{
	AUTO(buf_free) struct buf spec = BUF_ZERO;
	struct container *c = arena_calloc(&op->arena, 1, sizeof(*c));
	struct container_rep rep = { .container = c };
	struct err e = ERR_ZERO;

	if (make_spec(op, &spec, &e) < 0 ||
	    store_it(op, (struct bytes){ spec.data, spec.len }, c, &e) < 0) {
		undo(op, &e);
		return;
	}
	op_reply(op, &rep);
}

/* --- the snapshot --------------------------------------------------------------------------------- */

static void
on_cleared(void *arg, const void *rep, const struct err *e)
{
	struct op *op = arg;

	(void)rep;
	if (e != NULL && e->code != ERR_NOT_FOUND) {
		op_fail(op, e);
		return;
	}
	prepare(op);
}

static bool
owned_by(const struct snapshot *s, const char *id)
{
	for (uint32_t i = 0; i < s->labels.n; i++)
		if (strcmp(s->labels.v[i].k, LABEL_OWNER) == 0)
			return strcmp(s->labels.v[i].v, id) == 0;
	return false;
}

/* In the way: an orphan of a create that died, or somebody's. */
static void
on_in_the_way(void *arg, const void *rep, const struct err *e)
{
	const struct snapshot_rep *s = rep;
	struct snapshot_key_req req;
	struct op *op = arg;
	struct make *m = op->state;
	struct err busy = ERR_ZERO;

	req.key = op->box->id;
	req.snapshotter = m->req->snapshotter;
	if (e != NULL && e->code != ERR_NOT_FOUND) {
		op_fail(op, e);
		return;
	}
	if (e == NULL && (m->cleared || container_kept(op->t, op->box->ns, op->box->id) ||
			     !owned_by(s->snapshot, op->box->id))) {
		(void)err_set(&busy, ERR_ALREADY_EXISTS,
		    "snapshot \"%s\" is there already: remove it (ctr snapshots delete %s) or "
		    "choose another name",
		    op->box->id, op->box->id);
		op_fail(op, &busy);
		return;
	}
	m->cleared = true;
	(void)step_bus(op, &snapshot_snapshot_remove_method, &req, on_cleared);
}

static void
on_prepared(void *arg, const void *rep, const struct err *e)
{
	struct op *op = arg;
	struct make *m = op->state;
	const struct snapshot_mounts_rep *made = rep;
	struct snapshot_key_req req = { .key = op->box->id, .snapshotter = m->req->snapshotter };
	struct err gone = ERR_ZERO;

	if (e != NULL && e->code == ERR_ALREADY_EXISTS) {
		(void)step_bus(op, &snapshot_snapshot_get_method, &req, on_in_the_way);
		return;
	}
	if (e != NULL && e->code == ERR_NOT_FOUND && m->hopeful) {
		m->hopeful = false;
		unpack_all(op);
		return;
	}
	if (e != NULL) {
		op_fail(op, e);
		return;
	}
	FAULT_POINT("task.make.prepared");
	m->prepared = true;
	m->snapshotter = arena_strdup(&op->arena, made->snapshotter);
	if (op->asked && op->call == NULL) {
		(void)err_set(&gone, ERR_CANCELLED, "cancelled");
		undo(op, &gone);
		return;
	}
	finish(op);
}

static void
prepare(struct op *op)
{
	struct make *m = op->state;
	struct kv owner = { LABEL_OWNER, op->box->id };
	struct snapshot_prepare_req req = { .key = op->box->id,
		.parent = m->image->chain_id,
		.labels = { .v = &owner, .n = 1 },
		.snapshotter = m->req->snapshotter };

	(void)step_bus(op, &snapshot_snapshot_prepare_method, &req, on_prepared);
}

/* --- the user ------------------------------------------------------------------------------------- */

static void
on_user(void *arg, const void *rep, const struct err *e)
{
	struct op *op = arg;
	struct make *m = op->state;
	struct err bad = ERR_ZERO;

	if (e != NULL)
		op_fail(op, e);
	else if (step_take_user(rep, &m->user, &bad) < 0)
		op_fail(op, &bad);
	else
		prepare(op);
}

static void
resolve_user(struct op *op)
{
	struct make *m = op->state;
	const char *wanted = oci_user_wanted(m->req->user, &m->config);
	struct user_resolve_req req = {
		.key = m->image->chain_id, .user = wanted, .snapshotter = m->req->snapshotter
	};
	struct oci_user_ref ref;
	struct err e = ERR_ZERO;

	if (oci_user_parse(wanted, &ref, &e) < 0) {
		op_fail(op, &e);
	} else if (oci_user_numeric(&ref, &m->user)) {
		prepare(op);
	} else if (req.key == NULL || req.key[0] == '\0') {
		/* An image without layers has no files either. */
		if (oci_user_resolve(&ref, -1, -1, &m->user, &e) < 0)
			op_fail(op, &e);
		else
			prepare(op);
	} else {
		(void)step_bus(op, &snapshot_user_resolve_method, &req, on_user);
	}
}

/* --- layers --------------------------------------------------------------------------------------- */

struct unpack {
	struct op *op;
	unsigned i;
};

static void
cancel_unpacks(struct make *m)
{
	for (uint32_t i = 0; m->unpacks != NULL && i < m->image->layers.n; i++)
		client_cancel(&m->unpacks[i]);
}

static void
on_unpacked(void *arg, const void *rep, const struct err *e)
{
	struct unpack *u = arg;
	struct op *op = u->op;
	struct make *m = op->state;
	struct err why = ERR_ZERO;

	(void)rep;
	m->unpacks[u->i] = NULL;
	if (e != NULL) {
		why = *e;
		cancel_unpacks(m);
		(void)err_wrap(&why, "layer %.24s", m->image->layers.v[u->i].digest);
		op_fail(op, &why);
		return;
	}
	FAULT_POINT("task.make.unpacked");
	if (--m->left == 0)
		resolve_user(op);
}

static void
unpack_all(struct op *op)
{
	struct make *m = op->state;
	struct layer_list layers = m->image->layers;
	struct unpack *each = arena_calloc(&op->arena, layers.n + 1, sizeof(*each));
	struct client_opts opts = { .ns = op->box->ns };
	struct err e = ERR_ZERO;

	m->unpacks = arena_calloc(&op->arena, layers.n + 1, sizeof(*m->unpacks));
	m->left = layers.n;
	for (uint32_t i = 0; i < layers.n; i++) {
		struct layer_unpack_req req = { .layer = &layers.v[i],
			.parent = i == 0 ? NULL : layers.v[i - 1].chain_id,
			.snapshotter = m->req->snapshotter };

		each[i] = (struct unpack){ op, i };
		if (client_call(op->t->bus, &snapshot_layer_unpack_method, &opts, &req, on_unpacked,
			&each[i], &m->unpacks[i], &e) < 0) {
			cancel_unpacks(m);
			op_fail(op, &e);
			return;
		}
	}
	if (layers.n == 0)
		resolve_user(op);
}

static void
cancelled(struct op *op)
{
	struct make *m = op->state;
	struct err e = ERR_ZERO;

	/* While layers unpack there is nothing of ours to undo; later steps are short and look. */
	if (m->left == 0 || m->unpacks == NULL)
		return;
	cancel_unpacks(m);
	(void)err_set(&e, ERR_CANCELLED, "cancelled");
	op_fail(op, &e);
}

/* --- the first steps ------------------------------------------------------------------------------ */

/* All that can be wrong with the request is found before anything is done. */
static int
check(struct op *op, struct err *e)
{
	AUTO(buf_free) struct buf spec = BUF_ZERO;
	struct make *m = op->state;
	const char *stop = m->req->stop_signal;
	struct oci_user_ref ref;
	int r, signo;

	r = oci_image_config_parse(
	    m->image->config.p, m->image->config.n, &op->arena, &m->config, e);
	if (r < 0)
		return err_wrap(e, "image %.200s", m->image->name);
	if (stop == NULL || stop[0] == '\0')
		stop = m->config.stop_signal;
	if (stop[0] != '\0' && (r = oci_signal_parse(stop, &signo, e)) < 0)
		return err_wrap(e, "stop signal");
	(void)snprintf(m->stop_signal, sizeof(m->stop_signal), "%s", stop);
	if ((r = oci_user_parse(oci_user_wanted(m->req->user, &m->config), &ref, e)) < 0)
		return r;
	return make_spec(op, &spec, e);
}

static void
on_resolved(void *arg, const void *rep, const struct err *e)
{
	struct op *op = arg;
	struct make *m = op->state;
	struct oci_user_ref ref;
	struct err bad = ERR_ZERO;
	int r;

	if (e != NULL) {
		op_fail(op, e);
		return;
	}
	m->image = record_copy(&image_resolve_rep_schema, rep, &op->arena);
	if (op->call != NULL)
		call_enter(
		    op->call); /* the image's config is hostile: should it kill us, be it known */
	r = check(op, &bad);
	if (op->call != NULL)
		call_leave(op->call);
	if (r < 0) {
		op_fail(op, &bad);
		return;
	}
	m->hopeful = oci_user_parse(oci_user_wanted(m->req->user, &m->config), &ref, &bad) == 0 &&
		     oci_user_numeric(&ref, &m->user);
	if (m->hopeful)
		prepare(op);
	else
		unpack_all(op);
}

static void
begin(struct op *op)
{
	struct make *m = op->state;
	struct image_resolve_req req = { .ref = m->req->image, .platform = m->req->platform };
	struct err e = ERR_ZERO;

	if (container_exists(op->t, op->box->ns, op->box->id)) {
		(void)err_set(
		    &e, ERR_ALREADY_EXISTS, "container \"%s\" exists already", op->box->id);
		op_fail(op, &e);
		return;
	}
	if (runtime_parse(m->req->runtime, &m->shim, &m->oci, &e) < 0) {
		op_fail(op, &e);
		return;
	}
	runtimes_make_ready(op->t->runtimes); /* most are started at once */
	(void)step_bus(op, &content_image_resolve_method, &req, on_resolved);
}

void
make_container(struct taskd *t, struct call *c, const struct container_create_req *req)
{
	struct op *op = op_new(
	    t, c, call_ns(c), req->id, "is being created", begin, sizeof(struct make));
	struct make *m = op->state;

	m->req = record_copy(&container_create_req_schema, req, &op->arena);
	op->cancel = cancelled;
	op_queue(op);
}
