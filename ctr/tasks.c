/* SPDX-License-Identifier: Apache-2.0 */
/* tasks - list, kill, delete, ps, pause, resume, wait. (start, exec, attach: run.c, containers.c) */
#include <signal.h>
#include <string.h>

#include "ctr/ctr.h"
#include "ctr/list.h"
#include "ctr/render.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"

static void
list_table(const struct list *l)
{
	static const char *const heads[] = { "TASK", "PID", "STATUS", "EXIT", "STARTED" };
	AUTO(table_free) struct table t;
	const struct task *tasks = l->v;
	int64_t now = clock_real_ns();
	char text[TEXT_NUMBER_MAX];

	table_init(&t, heads, COUNT(heads), -1);
	for (uint32_t i = 0; i < l->n; i++) {
		const struct task *k = &tasks[i];

		table_cell(&t, k->id);
		if (k->pid == 0)
			table_cell(&t, NULL);
		else
			table_cellf(&t, "%llu", (unsigned long long)k->pid);
		table_cell(&t, k->status);
		if (strcmp(k->status, "stopped") == 0)
			table_cellf(&t, "%llu", (unsigned long long)k->exit_status);
		else
			table_cell(&t, NULL);
		table_cell(&t, text_age(k->started_at, now, text));
	}
	table_show(&t);
}

int
tasks_list(struct ctr *c, const struct opts *o, struct err *e)
{
	struct nothing req = {};

	return list_show(c, o, &task_task_list_method, &req, list_table, e);
}

static int
kill_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	struct task_kill_req req = { .id = id,
		.exec_id = opts_text(o, "exec-id"),
		.signal = SIGTERM,
		.all = opts_flag(o, "all") };
	struct nothing rep;
	int r = opts_text(o, "signal") == NULL
		    ? 0
		    : parse_signal(opts_text(o, "signal"), &req.signal, e);

	return r < 0 ? r : ctr_call(c, &task_task_kill_method, &req, &a, &rep, e);
}

int
tasks_kill(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, kill_one, true);
}

static int
delete_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct task_delete_req req = {
		.id = id, .exec_id = opts_text(o, "exec-id"), .force = opts_flag(o, "force")
	};
	struct task_rep rep;

	return ctr_call(c, &task_task_delete_method, &req, &a, &rep, e);
}

int
tasks_delete(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, delete_one, true);
}

static int
pause_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct container_id_req req = { .id = id };
	struct nothing rep;

	(void)o;
	return ctr_call(c, &task_task_pause_method, &req, &a, &rep, e);
}

int
tasks_pause(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, pause_one, true);
}

static int
resume_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct container_id_req req = { .id = id };
	struct nothing rep;

	(void)o;
	return ctr_call(c, &task_task_resume_method, &req, &a, &rep, e);
}

int
tasks_resume(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, resume_one, true);
}

static int
wait_one(struct ctr *c, const struct opts *o, const char *id, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct task_ref_req req = { .id = id, .exec_id = opts_text(o, "exec-id") };
	struct task_rep rep;
	int r = ctr_call(c, &task_task_wait_method, &req, &a, &rep, e);

	if (r == 0)
		(void)printf("%llu\n", (unsigned long long)rep.task->exit_status);
	return r;
}

int
tasks_wait(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	return ctr_each(c, o, wait_one, false);
}

/* --- ps ------------------------------------------------------------------------------------------- */

/* The command line of a process, blanks between its words; its name in brackets when it has none. The
 * process may be gone, or another one by now: this is only for the eye. */
static void
process_command(uint64_t pid, struct buf *out)
{
	AUTO(buf_free) struct buf raw = BUF_ZERO;
	char path[64];
	struct err ignored = ERR_ZERO;

	(void)snprintf(path, sizeof(path), "/proc/%llu/cmdline", (unsigned long long)pid);
	if (fs_read(-1, path, 64 * 1024, &raw, &ignored) < 0 || raw.len == 0)
		return;
	for (size_t i = 0; i < raw.len; i++)
		if (raw.data[i] == '\0')
			raw.data[i] = ' ';
	while (raw.len > 0 && raw.data[raw.len - 1] == ' ')
		raw.len--;
	(void)buf_add(out, raw.data, raw.len);
}

int
tasks_ps(struct ctr *c, const struct opts *o, struct err *e)
{
	static const char *const heads[] = { "PID", "EXEC", "COMMAND" };
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	const struct container_id_req req = { .id = o->args.v[0] };
	struct task_pids_rep rep;
	bool json;
	int r = ctr_format(o, &json, e);

	if (r == 0)
		r = ctr_call(c, &task_task_pids_method, &req, &a, &rep, e);
	if (r < 0)
		return r;
	if (json) {
		render_json_list(&task_process_schema, rep.processes.v, rep.processes.n);
		return 0;
	}
	AUTO(table_free) struct table t;

	table_init(&t, heads, COUNT(heads), -1);
	for (uint32_t i = 0; i < rep.processes.n; i++) {
		AUTO(buf_free) struct buf command = BUF_ZERO;

		process_command(rep.processes.v[i].pid, &command);
		table_cellf(&t, "%llu", (unsigned long long)rep.processes.v[i].pid);
		table_cell(&t, rep.processes.v[i].exec_id);
		table_cell(&t, buf_str(&command));
	}
	table_show(&t);
	return 0;
}
