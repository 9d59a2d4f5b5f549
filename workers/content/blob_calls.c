/* SPDX-License-Identifier: Apache-2.0 */
/* blob_calls - the handlers of blob_*: the content store as clients see it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/filter/page.h"
#include "workers/content/gc.h"
#include "workers/content/handlers.h"
#include "workers/content/images.h"
#include "lib/filter/labels.h"

#define READ_MAX (1U << 20)

int
content_on_blob_list(struct content *c, struct call *call, const struct blob_list_req *req,
    struct blob_list_rep *rep, struct err *e)
{
	const struct rows_ask l = { TABLE_BLOBS, &blob_schema, req->after, &req->filters,
		req->limit };
	struct page p;
	int r = rows_page(c, call, &l, &p, e);

	if (r < 0)
		return r;
	page_end(&p, &rep->blobs, &rep->more, &rep->next);
	return 0;
}

int
content_on_blob_stat(struct content *c, struct call *call, const struct blob_ref *req,
    struct blob *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct digest d;
	int r;

	if ((r = digest_parse(req->digest, &d, e)) < 0 || (r = store_read(c->store, &t, e)) < 0)
		return r;
	return blob_row_get(t, call_ns(call), &d, call_arena(call), rep, e);
}

int
content_on_blob_update(struct content *c, struct call *call, const struct blob_update_req *req,
    struct blob *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct arena *a = call_arena(call);
	struct ev_blob ev = { .digest = req->digest };
	struct digest d;
	int r;

	if ((r = digest_parse(req->digest, &d, e)) < 0 || (r = store_write(c->store, &t, e)) < 0 ||
	    (r = blob_row_get(t, call_ns(call), &d, a, rep, e)) < 0 ||
	    (r = labels_update(&rep->labels, &req->labels, &req->fields, NULL, NULL, a, e)) < 0)
		return r;
	rep->updated_at = clock_real_ns();
	ev.size = rep->size;
	if ((r = blob_row_put(c, t, call_ns(call), rep, e)) < 0 ||
	    (r = store_event(t, call_ns(call), "/content/update", &ev, e)) < 0)
		return r;
	r = call_commit(call, &t, rep, e);
	if (r == 0)
		gc_deleted(c); /* it may have let go of something */
	return r;
}

int
content_on_blob_remove(struct content *c, struct call *call, const struct blob_ref *req,
    struct nothing *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct digest d;
	struct blob row;
	int r;

	if ((r = digest_parse(req->digest, &d, e)) < 0 || (r = store_write(c->store, &t, e)) < 0 ||
	    (r = blob_row_get(t, call_ns(call), &d, call_arena(call), &row, e)) < 0 ||
	    (r = blob_row_drop(t, call_ns(call), &d, e)) < 0 ||
	    (r = call_commit(call, &t, rep, e)) < 0)
		return r;
	gc_forget(c, &d);
	gc_deleted(c); /* what it referred to */
	return 0;
}

/* --- read ------------------------------------------------------------------------------------------ */

struct reading {
	struct content_note note;
	struct call *call; /* NULL: its caller gave up */
	int fd;
	uint64_t offset;
	size_t want, got;
	char *data;
	struct blob_read_rep rep;
	struct err err;
};

static void
read_run(void *arg)
{
	struct reading *rd = arg;
	ssize_t n = 1;

	while (rd->got < rd->want && n != 0) {
		n = pread(
		    rd->fd, rd->data + rd->got, rd->want - rd->got, (off_t)(rd->offset + rd->got));
		if (n < 0 && errno != EINTR) {
			(void)err_sys(&rd->err, errno, "read blob");
			return;
		}
		if (n > 0)
			rd->got += (size_t)n;
	}
}

static void
read_done(void *arg)
{
	struct reading *rd = arg;

	rd->rep.data = (struct bytes){ .p = rd->data, .n = rd->got };
	if (rd->call != NULL && rd->err.code != ERR_NONE)
		call_fail(rd->call, &rd->err);
	else if (rd->call != NULL)
		call_reply(rd->call, &rd->rep);
	fd_close(&rd->fd);
	free_ptr(&rd->data);
	free_ptr(&rd);
}

static void
read_cancelled(struct content_note *note)
{
	((struct reading *)note)->call = NULL;
}

static void
read_start(struct content *c, struct call *call, int *take_fd, const struct blob_read_req *req,
    uint64_t total)
{
	struct reading *rd = xcalloc(1, sizeof(*rd));

	rd->note.cancelled = read_cancelled;
	rd->call = call;
	rd->fd = fd_take(take_fd);
	rd->offset = req->offset;
	rd->want = req->size > 0 && req->size < READ_MAX ? (size_t)req->size : READ_MAX;
	if (rd->want > total - rd->offset)
		rd->want = (size_t)(total - rd->offset);
	rd->data = xcalloc(1, rd->want + 1);
	rd->rep.total = total;
	call_note_set(call, &rd->note);
	work_add(c->work, read_run, read_done, rd);
}

int
content_on_blob_read(struct content *c, struct call *call, const struct blob_read_req *req,
    struct blob_read_rep *rep, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	AUTO(fd_close) int fd = -1;
	struct digest d;
	struct blob row;
	int r;

	(void)rep;
	if ((r = digest_parse(req->digest, &d, e)) < 0 || (r = store_read(c->store, &t, e)) < 0 ||
	    (r = blob_row_get(t, call_ns(call), &d, call_arena(call), &row, e)) < 0 ||
	    (r = blobs_open_one(&c->blobs, &d, &fd, e)) < 0)
		return r;
	if (req->offset > row.size)
		return err_set(e, ERR_OUT_OF_RANGE, "blob %s has %llu bytes, none at %llu", d.text,
		    (unsigned long long)row.size, (unsigned long long)req->offset);
	read_start(c, call, &fd, req, row.size);
	return CALL_LATER;
}
