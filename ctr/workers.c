/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workers - what the boards say: shared memory that is readable while the workers, and even the
 * daemon, are dead. No request is made.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "bus/board/board.h"
#include "ctr/ctr.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

static const char *const names[] = {
#define PROC(NAME, name, uid, caps, doc) #name,
#include "schemas/procs.def"
};

/* Is this process there, not a zombie, and of this name? (Ids are used again.) */
static bool
process_is(uint32_t pid, const char *name)
{
	AUTO(buf_free) struct buf stat = BUF_ZERO;
	struct err ignored = ERR_ZERO;
	char path[32], want[64];
	size_t n;

	(void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	if (pid == 0 || fs_read(AT_FDCWD, path, 4096, &stat, &ignored) < 0)
		return false;
	n = (size_t)snprintf(want, sizeof(want), "%u (coffer-%s) ", pid, name);
	return strncmp(buf_str(&stat), want, n) == 0 && strchr("ZX", stat.data[n]) == NULL;
}

/* A board outlives a daemon that was killed: what it says of a process is true while that is there. */
static const char *
state_text(const char *name, const struct board_super *s)
{
	bool alive = process_is(s->pid, name);

	return s->state != BOARD_DOWN && s->state != BOARD_BACKOFF && !alive
		   ? "gone"
		   : board_state_text(s->state);
}

static uint64_t
restarts(const struct board_super *s)
{
	return s->starts > 0 ? s->starts - 1 : 0;
}

static void
time_set(json_t *v, const char *name, int64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	if (ns != 0)
		(void)json_object_set_new(v, name, json_string(clock_text(ns, text)));
}

static void
number_set(json_t *v, const char *name, uint64_t n)
{
	(void)json_object_set_new(v, name, json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n));
}

static json_t *
worker_json(const char *name, const struct board *b)
{
	json_t *v = json_object();

	(void)json_object_set_new(v, "name", json_string(name));
	(void)json_object_set_new(v, "state", json_string(state_text(name, &b->super)));
	number_set(v, "pid", b->super.pid);
	number_set(v, "restarts", restarts(&b->super));
	time_set(v, "started_at", b->super.started_at);
	time_set(v, "died_at", b->super.died_at);
	if (b->super.death_text[0] != '\0')
		(void)json_object_set_new(v, "death", render_json_text(b->super.death_text));
	number_set(v, "served", b->self.served);
	number_set(v, "failed", b->self.failed);
	number_set(v, "in_flight", b->self.in_flight);
	number_set(v, "bytes_in", b->self.bytes_in);
	number_set(v, "bytes_out", b->self.bytes_out);
	number_set(v, "latency_p50_us", board_latency_us(&b->self, 0.5));
	number_set(v, "latency_p99_us", board_latency_us(&b->self, 0.99));
	return v;
}

static void
latency_cell(struct table *t, uint64_t us)
{
	if (us == 0)
		table_cell(t, NULL);
	else if (us < 1000)
		table_cellf(t, "<%llu us", (unsigned long long)us);
	else if (us < 1000000)
		table_cellf(t, "<%.1f ms", (double)us / 1e3);
	else
		table_cellf(t, "<%.1f s", (double)us / 1e6);
}

static void
worker_row(struct table *t, const char *name, const struct board *b, int64_t now)
{
	const char *state = state_text(name, &b->super);
	bool running = strcmp(state, "running") == 0;
	char text[TEXT_NUMBER_MAX];

	table_cell(t, name);
	table_cell(t, state);
	if (running)
		table_cellf(t, "%u", b->super.pid);
	else
		table_cell(t, NULL);
	table_cell(t, running ? text_span(now - b->super.started_at, text) : NULL);
	table_cellf(t, "%llu", (unsigned long long)restarts(&b->super));
	table_cellf(t, "%llu", (unsigned long long)b->self.served);
	table_cellf(t, "%llu", (unsigned long long)b->self.failed);
	latency_cell(t, board_latency_us(&b->self, 0.5));
	latency_cell(t, board_latency_us(&b->self, 0.99));
	table_cell(t, b->super.death_text);
}

static int
boards_open(struct ctr *c, int *ret_fd, struct err *e)
{
	AUTO(free_ptr) char *path = xasprintf("%s/board", c->address);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		c->no_daemon = true;
		return err_set(e, ERR_UNAVAILABLE,
		    "there is no cofferd at %s: is it running? (sudo cofferd)", c->address);
	}
	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	*ret_fd = fd;
	return 0;
}

int
workers_list(struct ctr *c, const struct opts *o, struct err *e)
{
	static const char *const heads[] = { "WORKER", "STATE", "PID", "UP", "RESTARTS", "SERVED",
		"FAILED", "P50", "P99", "LAST DEATH" };
	struct board b; /* here, for its alignment */
	AUTO(table_free) struct table t = { .cells = NULL };
	AUTO(fd_close) int dir = -1;
	json_t *all = json_array();
	int64_t now = clock_real_ns();
	bool json;
	int r = ctr_format(o, &json, e);

	if (r == 0)
		r = boards_open(c, &dir, e);
	table_init(&t, heads, COUNT(heads), -1);
	for (size_t i = 0; i < COUNT(names) && r == 0; i++) {
		r = board_read(dir, names[i], &b, e);
		if (r < 0)
			break;
		(void)json_array_append_new(all, worker_json(names[i], &b));
		worker_row(&t, names[i], &b, now);
	}
	if (r == 0 && json)
		render_json_print(json_incref(all), stdout, false);
	else if (r == 0)
		table_show(&t);
	json_decref(all);
	return r;
}
