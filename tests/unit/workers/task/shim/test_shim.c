/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shim - whole lives of containers under the real shim and runc (RIG_RUNTIME names another).
 * Needs root and busybox-static. RIG_TEST=PATTERN runs some of them only.
 */
#include "tests/unit/workers/task/shim/rig.h"

static void
test_output_and_exit_status(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO, err = BUF_ZERO;
	AUTO(free_ptr) char *log = NULL;
	struct answer a;
	struct rig r;
	int fd;

	(void)state;
	rig_up(&r, "\"sh\",\"-c\",\"echo to out; echo to err >&2; exit 7\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_true(rig_cgroups(&r) > 0);
	assert_int_equal(rig_attach(&r, "", &fd), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(rig_exit(&r, ""), 7);
	assert_int_equal(rig_exit(&r, ""), 7); /* kept */
	assert_int_equal(rig_drain(fd, &out, &err, 10), 3);
	assert_string_equal(buf_str(&out), "to out\n");
	assert_string_equal(buf_str(&err), "to err\n");
	(void)close(fd);
	assert_int_equal(rig_attach(&r, "", &fd), 0); /* too late: just the end */
	assert_int_equal(rig_drain(fd, &out, &err, 10), 3);
	(void)close(fd);
	log = xasprintf("%s/log", r.logs);
	assert_true(rig_file_has(log, "Z stdout F to out\n"));
	assert_true(rig_file_has(log, "Z stderr F to err\n"));
	assert_int_equal(rig_start(&r, &a, ""), ERR_FAILED_PRECONDITION);
	assert_int_equal(rig_kill(&r, &a, "", SIGTERM, false), ERR_NOT_FOUND);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	assert_int_equal(rig_delete(&r, &a, ""), ERR_NOT_FOUND);
	rig_down(&r);
}

static void
test_ends_before_start_returns(void **state)
{
	struct answer a, w;
	struct rig r;

	(void)state;
	rig_up(&r, "\"true\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	rig_wait_begin(&r, &w, "");
	assert_int_equal(rig_start(&r, &a, ""), 0);
	RIG_UNTIL(&r, w.done);
	assert_int_equal(rig_status(&w), 0);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_missing_command(void **state)
{
	struct answer a;
	struct rig r;

	(void)state;
	rig_up(&r, "\"no-such-command\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), ERR_NOT_FOUND);
	assert_non_null(strstr(a.e.msg, "no-such-command"));
	assert_true(strstr(a.e.msg, "executable file not found") != NULL ||
		    strstr(a.e.msg, "o such file or directory") != NULL);
	assert_int_equal(rig_mounts(&r), 0);
	assert_int_equal(rig_cgroups(&r), 0);
	assert_int_equal(rig_exit(&r, ""), 1000 + ERR_NOT_FOUND);
	rig_down(&r);
}

static void
test_delete_without_start(void **state)
{
	struct answer a, w;
	struct rig r;

	(void)state;
	rig_up(&r, "\"sleep\",\"100\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), ERR_ALREADY_EXISTS);
	rig_wait_begin(&r, &w, "");
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	RIG_UNTIL(&r, w.done);
	assert_int_equal(rig_status(&w), 137);
	rig_down(&r);
}

static void
test_kill_and_many_waiters(void **state)
{
	struct answer a, w[5];
	Containerd__Task__V2__StateResponse *st;
	struct rig r;

	(void)state;
	rig_up(&r, "\"sleep\",\"100\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	for (size_t i = 0; i < COUNT(w); i++)
		rig_wait_begin(&r, &w[i], "");
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(rig_delete(&r, &a, ""), ERR_FAILED_PRECONDITION);
	st = rig_state(&r, "");
	assert_int_equal(st->status, CONTAINERD__V1__TYPES__STATUS__RUNNING);
	containerd__task__v2__state_response__free_unpacked(st, NULL);
	assert_int_equal(rig_kill(&r, &a, "", 99, false), ERR_INVALID_ARGUMENT);
	assert_int_equal(rig_kill(&r, &a, "", SIGKILL, false), 0);
	for (size_t i = 0; i < COUNT(w); i++) {
		RIG_UNTIL(&r, w[i].done);
		assert_int_equal(rig_status(&w[i]), 137);
	}
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

/* As a task actor does that was killed while the first one ran. */
static void
test_delete_asked_for_twice(void **state)
{
	Containerd__Task__V2__DeleteRequest req;
	struct answer a, twice[2];
	struct rig r;

	(void)state;
	rig_up(&r, "\"true\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(rig_exit(&r, ""), 0);
	containerd__task__v2__delete_request__init(&req);
	req.id = r.id;
	for (size_t i = 0; i < COUNT(twice); i++)
		rig_call(&r, &twice[i], "Delete", &req.base,
		    &containerd__task__v2__delete_response__descriptor);
	RIG_UNTIL(&r, twice[0].done && twice[1].done);
	for (size_t i = 0; i < COUNT(twice); i++)
		assert_int_equal(twice[i].e.code, ERR_NONE);
	rig_down(&r);
}

static void
test_pause_and_kill_all(void **state)
{
	Containerd__Task__V2__PauseRequest pause;
	Containerd__Task__V2__ResumeRequest resume;
	Containerd__Task__V2__StateResponse *st;
	struct answer a;
	struct rig r;

	(void)state;
	rig_up(&r, "\"sh\",\"-c\",\"sleep 100 & sleep 100\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	containerd__task__v2__pause_request__init(&pause);
	pause.id = r.id;
	assert_int_equal(rig_do(&r, &a, "Pause", &pause.base, EMPTY), 0);
	st = rig_state(&r, "");
	assert_int_equal(st->status, CONTAINERD__V1__TYPES__STATUS__PAUSED);
	containerd__task__v2__state_response__free_unpacked(st, NULL);
	containerd__task__v2__resume_request__init(&resume);
	resume.id = r.id;
	assert_int_equal(rig_do(&r, &a, "Resume", &resume.base, EMPTY), 0);
	assert_int_equal(rig_kill(&r, &a, "", SIGKILL, true), 0);
	assert_int_equal(rig_exit(&r, ""), 137);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
gone(struct rig *r, pid_t pid)
{
	for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
		loop_turn(r->loop, 10);
	assert_int_equal(kill(pid, 0), -1);
}

static void
update_begin(struct rig *r, struct answer *a, const char *resources)
{
	Containerd__Task__V2__UpdateTaskRequest req;
	Google__Protobuf__Any any;

	containerd__task__v2__update_task_request__init(&req);
	google__protobuf__any__init(&any);
	any.type_url = str("types.containerd.io/opencontainers/runtime-spec/1/LinuxResources");
	any.value = (ProtobufCBinaryData){ .len = strlen(resources),
		.data = (uint8_t *)str(resources) };
	req.id = r->id;
	req.resources = &any;
	rig_call(r, a, "Update", &req.base, EMPTY);
}

static int
update(struct rig *r, struct answer *a, const char *resources)
{
	update_begin(r, a, resources);
	RIG_UNTIL(r, a->done);
	return (int)a->e.code;
}

/* What the kernel says of the container; both versions of control groups. */
static void
assert_limit(
    const struct rig *r, const char *ctrl, const char *v1, const char *v2, const char *want)
{
	AUTO(free_ptr) char *old = xasprintf("/sys/fs/cgroup/%s/rig/%s/%s", ctrl, r->id, v1);
	AUTO(free_ptr) char *new = xasprintf("/sys/fs/cgroup/rig/%s/%s", r->id, v2);
	AUTO(buf_free) struct buf text = BUF_ZERO;
	struct err e = ERR_ZERO;

	if (fs_read(AT_FDCWD, access(old, F_OK) == 0 ? old : new, 64, &text, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(buf_str(&text), want);
}

static void
test_update(void **state)
{
	struct answer a, b, c;
	struct rig r;

	(void)state;
	rig_up(&r, "\"sleep\",\"100\"", false, false);
	assert_int_equal(update(&r, &a, "{}"), ERR_NOT_FOUND);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(update(&r, &a, "{\"pids\":{\"limit\":50}}"), 0); /* before the start */
	assert_limit(&r, "pids", "pids.max", "pids.max", "50\n");
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(
	    update(&r, &a, "{\"pids\":{\"limit\":33},\"memory\":{\"limit\":67108864}}"), 0);
	assert_limit(&r, "pids", "pids.max", "pids.max", "33\n");
	assert_limit(&r, "memory", "memory.limit_in_bytes", "memory.max", "67108864\n");
	/* At once: each of them counts. */
	update_begin(&r, &a, "{\"pids\":{\"limit\":44}}");
	update_begin(&r, &b, "{\"memory\":{\"limit\":134217728}}");
	update_begin(&r, &c, "{\"cpu\":{\"shares\":512}}");
	RIG_UNTIL(&r, a.done && b.done && c.done);
	assert_int_equal(a.e.code, 0);
	assert_int_equal(b.e.code, 0);
	assert_int_equal(c.e.code, 0);
	assert_limit(&r, "pids", "pids.max", "pids.max", "44\n");
	assert_limit(&r, "memory", "memory.limit_in_bytes", "memory.max", "134217728\n");
	assert_limit(&r, "cpu", "cpu.shares", "cpu.weight", "512\n");
	/* Refused, with the runtime's words; nothing has changed. */
	assert_int_not_equal(update(&r, &a, "{\"pids\":{\"limit\":\"many\"}}"), 0);
	assert_non_null(strstr(a.e.msg, "update"));
	print_message("refused: %s\n", a.e.msg);
	assert_int_equal(update(&r, &a, ""), ERR_INVALID_ARGUMENT);
	assert_limit(&r, "pids", "pids.max", "pids.max", "44\n");
	assert_int_equal(rig_kill(&r, &a, "", SIGKILL, false), 0);
	assert_int_equal(rig_exit(&r, ""), 137);
	assert_int_equal(update(&r, &a, "{\"pids\":{\"limit\":33}}"), ERR_FAILED_PRECONDITION);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

/* --- a runtime that hangs at verbs of the test's choice --------------------------------------------- */

static void
hang_at(const struct rig *r, const char *verbs)
{
	rig_write(r->dir, "hang", verbs);
}

/* The rig's runtime is then a script before the real one. The limit is that of the shim. */
static void
hanging_up(struct rig *r, const char *args)
{
	const char *runtime = getenv("RIG_RUNTIME");
	AUTO(free_ptr) char *text = NULL, *path = NULL;

	assert_return_code(setenv("COFFER_RUNTIME_TIMEOUT_MS", "1500", 1), errno);
	rig_up(r, args, false, false);
	assert_return_code(unsetenv("COFFER_RUNTIME_TIMEOUT_MS"), errno);
	text = xasprintf("#!/bin/sh\nfor a; do case \" $(cat %s/hang) \" in\n"
			 "*\" $a \"*) sleep 300 & echo $! >>%s/sleepers; wait;; esac; done\n"
			 "exec %s \"$@\"\n",
	    r->dir, r->dir, runtime == NULL ? "runc" : runtime);
	rig_write(r->dir, "slow-runtime", text);
	hang_at(r, "");
	path = xasprintf("%s/slow-runtime", r->dir);
	assert_return_code(chmod(path, 0755), errno);
	(void)snprintf(r->runtime, sizeof(r->runtime), "%s", path);
}

/* What the script started is gone, too. Returns how many it were. */
static size_t
sleepers_gone(struct rig *r)
{
	AUTO(free_ptr) char *path = xasprintf("%s/sleepers", r->dir);
	AUTO(file_close) FILE *f = fopen(path, "re");
	size_t n = 0;
	int pid;

	for (; f != NULL && fscanf(f, "%d", &pid) == 1; n++)
		gone(r, pid);
	return n;
}

static void
test_runtime_hangs_at_create(void **state)
{
	struct answer a;
	struct rig r;

	(void)state;
	hanging_up(&r, "\"sleep\",\"100\"");
	hang_at(&r, "create");
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), ERR_DEADLINE_EXCEEDED);
	assert_non_null(strstr(a.e.msg, "create: killed after 1500 ms"));
	assert_int_equal(sleepers_gone(&r), 1);
	hang_at(&r, "create delete"); /* the undo hangs, too */
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), ERR_DEADLINE_EXCEEDED);
	assert_int_equal(sleepers_gone(&r), 3);
	assert_int_equal(rig_mounts(&r), 0);
	hang_at(&r, ""); /* it has recovered: nothing was left in the way */
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_runtime_hangs_later(void **state)
{
	struct answer a, b;
	struct rig r;

	(void)state;
	hanging_up(&r, "\"sleep\",\"100\"");
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	hang_at(&r, "start");
	assert_int_equal(rig_start(&r, &a, ""), ERR_DEADLINE_EXCEEDED);
	hang_at(&r, "");
	assert_int_equal(rig_start(&r, &a, ""), 0);
	/* Ending a runtime with its process group must not end containers. */
	assert_int_equal(getpgid(rig_pid(&r, "")), rig_pid(&r, ""));
	hang_at(&r, "update exec pause");
	update_begin(&r, &a, "{\"pids\":{\"limit\":33}}");
	update_begin(&r, &b, "{\"pids\":{\"limit\":34}}");
	RIG_UNTIL(&r, a.done && b.done);
	assert_int_equal(a.e.code, ERR_DEADLINE_EXCEEDED);
	assert_int_equal(b.e.code, ERR_DEADLINE_EXCEEDED);
	assert_int_equal(rig_exec(&r, &a, "one", "\"true\"", false, ""), 0);
	assert_int_equal(rig_start(&r, &a, "one"), ERR_DEADLINE_EXCEEDED);
	assert_int_equal(rig_exit(&r, "one"), 255);
	hang_at(&r, "delete");
	assert_int_equal(rig_kill(&r, &a, "", SIGKILL, true), 0);
	assert_int_equal(rig_exit(&r, ""), 137);
	assert_int_equal(rig_delete(&r, &a, ""), 0); /* by the shim's own hand */
	assert_int_equal(sleepers_gone(&r), 6);
	rig_down(&r);
}

static void
test_runtime_hangs_in_the_delete_call(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct answer a;
	struct rig r;
	uint64_t began;
	pid_t pid;

	(void)state;
	hanging_up(&r, "\"sleep\",\"100\"");
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	pid = rig_pid(&r, "");
	hang_at(&r, "delete");
	assert_return_code(setenv("COFFER_RUNTIME_TIMEOUT_MS", "soon", 1), errno);
	assert_int_equal(rig_program(&r, "delete", &out), 1);
	/* The supervisor gives the whole call 30 s; cleaning by our own hand must still come. */
	assert_return_code(unsetenv("COFFER_RUNTIME_TIMEOUT_MS"), errno);
	began = clock_mono_ms();
	assert_int_equal(rig_program(&r, "delete", &out), 0);
	assert_true(clock_mono_ms() - began < 25000);
	gone(&r, pid);
	assert_int_equal(sleepers_gone(&r), 1);
	rig_clear(&r);
}

static void
exec_one(struct rig *r, const char *args, unsigned want_status, const char *want_out)
{
	AUTO(buf_free) struct buf out = BUF_ZERO, err = BUF_ZERO;
	struct answer a;
	int fd;

	assert_int_equal(rig_exec(r, &a, "one", args, false, ""), 0);
	assert_int_equal(rig_exec(r, &a, "one", args, false, ""), ERR_ALREADY_EXISTS);
	assert_int_equal(rig_attach(r, "one", &fd), 0);
	assert_int_equal(rig_start(r, &a, "one"), 0);
	assert_int_equal(rig_exit(r, "one"), want_status);
	assert_int_equal(rig_drain(fd, &out, &err, 10), 3);
	assert_string_equal(buf_str(&out), want_out);
	(void)close(fd);
	assert_int_equal(rig_delete(r, &a, "one"), 0);
	assert_int_equal(rig_exit(r, "one"), 1000 + ERR_NOT_FOUND);
}

/* --- what is asked of the runtime ------------------------------------------------------------------ */

/* The rig's runtime is then a script of the name runc before the real one, which keeps every verb. */
static void
telling_up(struct rig *r, const char *args)
{
	AUTO(free_ptr) char *text = NULL;

	rig_up(r, args, false, false);
	text = xasprintf(
	    "#!/bin/sh\nfor a; do case $a in create|start|delete) echo $a >>%s/verbs;; "
	    "esac; done\nexec /usr/sbin/runc \"$@\"\n",
	    r->dir);
	rig_write(r->dir, "runc", text);
	(void)snprintf(r->runtime, sizeof(r->runtime), "%s/runc", r->dir);
	assert_return_code(chmod(r->runtime, 0755), errno);
}

static bool
was_asked(const struct rig *r, const char *verb)
{
	AUTO(free_ptr) char *path = xasprintf("%s/verbs", r->dir);

	return rig_file_has(path, verb);
}

static void
test_started_by_the_fifo_deleted_at_the_end(void **state)
{
	Containerd__Task__V2__StateResponse *st;
	AUTO(free_ptr) char *record = NULL;
	struct answer a;
	struct rig r;

	(void)state;
	telling_up(&r, "\"sleep\",\"100\"");
	record = xasprintf("%s/runtime/rig/%s", r.state, r.id);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), ERR_FAILED_PRECONDITION);
	assert_false(was_asked(&r, "start"));
	st = rig_state(&r, "");
	assert_int_equal(st->status, CONTAINERD__V1__TYPES__STATUS__RUNNING);
	containerd__task__v2__state_response__free_unpacked(st, NULL);
	exec_one(&r, "\"sh\",\"-c\",\"echo hello\"", 0, "hello\n"); /* runc takes it for running */
	assert_int_equal(rig_kill(&r, &a, "", SIGKILL, false), 0);
	assert_int_equal(rig_exit(&r, ""), 137);
	RIG_UNTIL(&r, access(record, F_OK) < 0); /* before anybody asks for it */
	assert_true(was_asked(&r, "delete"));
	assert_int_equal(rig_kill(&r, &a, "", SIGKILL, true), ERR_NOT_FOUND);
	assert_int_equal(rig_exit(&r, ""), 137);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_hooks_are_left_to_the_runtime(void **state)
{
	AUTO(free_ptr) char *path = NULL;
	AUTO(buf_free) struct buf config = BUF_ZERO;
	struct answer a;
	struct err e = ERR_ZERO;
	struct rig r;

	(void)state;
	telling_up(&r, "\"true\"");
	path = xasprintf("%s/config.json", r.bundle);
	assert_int_equal(fs_read(AT_FDCWD, path, 65536, &config, &e), 0);
	config.data[config.len - 1] = '\0';
	{
		AUTO(free_ptr)
		char *hooked = xasprintf(
		    "%s,\"hooks\":{\"poststart\":[{\"path\":\"/bin/true\"}]}}", config.data);

		rig_write(r.bundle, "config.json", hooked);
	}
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_true(was_asked(&r, "start"));
	assert_int_equal(rig_exit(&r, ""), 0);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_ends_without_the_word(void **state)
{
	Containerd__Task__V2__StartRequest req;
	AUTO(free_ptr) char *fifo = NULL;
	struct answer a, s;
	struct rig r;
	pid_t pid;

	(void)state;
	telling_up(&r, "\"sleep\",\"100\"");
	fifo = xasprintf("%s/runtime/rig/%s/exec.fifo", r.state, r.id);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	pid = rig_pid(&r, "");
	assert_return_code(kill(pid, SIGSTOP), errno);
	containerd__task__v2__start_request__init(&req);
	req.id = r.id;
	rig_call(&r, &s, "Start", &req.base, &containerd__task__v2__start_response__descriptor);
	assert_int_equal(
	    rig_kill(&r, &a, "", SIGKILL, false), 0); /* answered behind the start's begin */
	RIG_UNTIL(&r, s.done);
	assert_int_equal(s.e.code, ERR_FAILED_PRECONDITION);
	assert_int_equal(rig_exit(&r, ""), 137);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	assert_int_equal(access(fifo, F_OK), -1);
	rig_down(&r);
}

static void
test_execs(void **state)
{
	Containerd__Task__V2__PidsRequest pids;
	Containerd__Task__V2__PidsResponse *rep;
	struct answer a, w;
	struct rig r;
	int fd;

	(void)state;
	rig_up(&r, "\"sleep\",\"100\"", false, false);
	assert_int_equal(rig_exec(&r, &a, "early", "\"true\"", false, ""), ERR_NOT_FOUND);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	exec_one(&r, "\"sh\",\"-c\",\"echo hello; exit 3\"", 3, "hello\n");
	exec_one(&r, "\"sh\",\"-c\",\"kill -9 $$\"", 137, "");
	exec_one(&r, "\"true\"", 0, "");
	exec_one(
	    &r, "\"sh\",\"-c\",\"echo hi; sleep 50 &\"", 0, "hi\n"); /* a child holds the pipe */
	/* not there */
	assert_int_equal(rig_exec(&r, &a, "gone", "\"no-such\"", false, ""), 0);
	rig_wait_begin(&r, &w, "gone");
	assert_int_equal(rig_start(&r, &a, "gone"), ERR_NOT_FOUND);
	assert_non_null(strstr(a.e.msg, "no-such"));
	RIG_UNTIL(&r, w.done);
	assert_int_equal(rig_status(&w), 127);
	assert_int_equal(rig_delete(&r, &a, "gone"), 0);
	assert_int_equal(rig_exec(&r, &a, "../x", "\"true\"", false, ""), ERR_INVALID_ARGUMENT);
	assert_int_equal(rig_attach(&r, "nobody", &fd), -1);
	(void)close(fd);
	/* ends with the container */
	assert_int_equal(rig_exec(&r, &a, "long", "\"sleep\",\"100\"", false, ""), 0);
	assert_int_equal(rig_start(&r, &a, "long"), 0);
	containerd__task__v2__pids_request__init(&pids);
	pids.id = r.id;
	assert_int_equal(
	    rig_do(&r, &a, "Pids", &pids.base, &containerd__task__v2__pids_response__descriptor),
	    0);
	rep = containerd__task__v2__pids_response__unpack(NULL, a.len, a.packed);
	assert_int_equal(rep->n_processes, 3); /* the sleep of above, too */
	containerd__task__v2__pids_response__free_unpacked(rep, NULL);
	assert_int_equal(rig_kill(&r, &a, "", SIGKILL, false), 0);
	assert_int_equal(rig_exit(&r, "long"), 137);
	assert_int_equal(rig_exit(&r, ""), 137);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_stdin(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO, err = BUF_ZERO;
	struct answer a;
	struct rig r;
	int fd;

	(void)state;
	rig_up(&r, "\"cat\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, SHIM_STDIO_ATTACH, "", ""), 0);
	assert_int_equal(rig_attach(&r, "", &fd), 0);
	rig_send(fd, 0, "before ");
	assert_int_equal(rig_start(&r, &a, ""), 0);
	rig_send(fd, 0, "and after\n");
	assert_true(rig_expect(fd, &out, "before and after\n"));
	rig_send(fd, 1, "");
	assert_int_equal(rig_exit(&r, ""), 0);
	assert_int_equal(rig_drain(fd, &out, &err, 10), 3);
	(void)close(fd);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_stdin_absent_is_null(void **state)
{
	struct answer a;
	struct rig r;

	(void)state;
	rig_up(&r, "\"cat\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(rig_exit(&r, ""), 0);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
resize(struct rig *r, const char *exec_id, unsigned width, unsigned height)
{
	Containerd__Task__V2__ResizePtyRequest req;
	struct answer a;

	containerd__task__v2__resize_pty_request__init(&req);
	req.id = r->id;
	req.exec_id = str(exec_id);
	req.width = width;
	req.height = height;
	assert_int_equal(rig_do(r, &a, "ResizePty", &req.base, EMPTY), 0);
}

static void
test_terminal(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO, err = BUF_ZERO;
	struct answer a;
	struct rig r;
	int fd;

	(void)state;
	rig_up(&r, "\"sh\"", true, false);
	assert_int_equal(rig_create(&r, &a, true, SHIM_STDIO_ATTACH, "", ""), 0);
	assert_int_equal(rig_attach(&r, "", &fd), 1);
	resize(&r, "", 123, 45);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	rig_send(fd, 0, "stty size\n");
	assert_true(rig_expect(fd, &out, "45 123"));
	rig_send(fd, 0, "exit 5\n");
	assert_int_equal(rig_exit(&r, ""), 5);
	assert_int_equal(rig_drain(fd, &out, &err, 10), 3);
	(void)close(fd);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_terminal_of_an_exec(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO, err = BUF_ZERO;
	struct answer a;
	struct rig r;
	int fd;

	(void)state;
	rig_up(&r, "\"sleep\",\"100\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(rig_exec(&r, &a, "t", "\"sh\"", true, SHIM_STDIO_ATTACH), 0);
	assert_int_equal(rig_attach(&r, "t", &fd), 1);
	assert_int_equal(rig_start(&r, &a, "t"), 0);
	resize(&r, "t", 77, 33);
	rig_send(fd, 0, "stty size\n");
	assert_true(rig_expect(fd, &out, "33 77\r\n/ # ")); /* it listens again */
	rig_send(fd, 1, "");				    /* end of file */
	assert_int_equal(rig_exit(&r, "t"), 0);
	assert_int_equal(rig_drain(fd, &out, &err, 10), 3);
	(void)close(fd);
	assert_int_equal(rig_delete(&r, &a, "t"), 0);
	assert_int_equal(rig_kill(&r, &a, "", SIGTERM, false), 0);
	assert_int_equal(rig_kill(&r, &a, "", SIGKILL, false), 0);
	assert_int_equal(rig_exit(&r, ""), 137);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_foreground_client_holds_the_process(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO, err = BUF_ZERO;
	struct answer a, w;
	struct rig r;
	int fd;

	(void)state;
	rig_up(&r, "\"sh\",\"-c\",\"yes | head -c 3000000\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_attach(&r, "", &fd), 0);
	rig_wait_begin(&r, &w, "");
	assert_int_equal(rig_start(&r, &a, ""), 0);
	for (int i = 0; i < 100; i++)
		loop_turn(r.loop, 10);
	assert_false(w.done); /* nobody reads */
	assert_int_equal(rig_drain(fd, &out, &err, 10), 3);
	assert_int_equal(out.len, 3000000);
	RIG_UNTIL(&r, w.done);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	(void)close(fd);
	rig_down(&r);
}

static void
test_late_client_that_does_not_read_is_dropped(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO, err = BUF_ZERO;
	struct answer a;
	struct rig r;
	int fd;

	(void)state;
	rig_up(&r, "\"sh\",\"-c\",\"cat; yes | head -c 3000000\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, SHIM_STDIO_ATTACH, "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(rig_attach(&r, "", &fd), 0);
	rig_send(fd, 1, "");
	assert_int_equal(rig_exit(&r, ""), 0);
	assert_int_equal(rig_drain(fd, &out, &err, 10), 4);
	assert_true(out.len < 3000000);
	assert_non_null(strstr(buf_str(&err), "1 MiB"));
	(void)close(fd);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_shim_killed(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	Containerd__Task__V2__DeleteResponse *rep;
	struct answer a, w;
	struct rig r;
	pid_t pid;

	(void)state;
	rig_up(&r, "\"sleep\",\"100\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	pid = rig_pid(&r, "");
	rig_wait_begin(&r, &w, "");
	loop_turn(r.loop, 50);
	assert_return_code(kill(r.shim, SIGKILL), errno);
	RIG_UNTIL(&r, w.done);
	assert_int_equal(w.e.code, ERR_UNAVAILABLE);
	assert_return_code(kill(pid, 0), errno); /* lives on */
	assert_int_equal(rig_program(&r, "delete", &out), 0);
	rep = containerd__task__v2__delete_response__unpack(NULL, out.len, (uint8_t *)out.data);
	assert_non_null(rep);
	assert_int_equal(rep->exit_status, 137);
	containerd__task__v2__delete_response__free_unpacked(rep, NULL);
	assert_int_equal(rig_program(&r, "delete", &out), 0); /* again */
	rig_clear(&r);
}

static void
test_shim_killed_and_runtime_state_lost(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	AUTO(free_ptr) char *runtime = NULL;
	struct err e = ERR_ZERO;
	struct answer a;
	struct rig r;

	(void)state;
	rig_up(&r, "\"sh\",\"-c\",\"sleep 100 & sleep 100\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_return_code(kill(r.shim, SIGKILL), errno);
	runtime = xasprintf("%s/runtime", r.state);
	assert_int_equal(fs_remove_tree(AT_FDCWD, runtime, &e), 0);
	assert_int_equal(rig_program(&r, "delete", &out), 0);
	rig_clear(&r);
}

static void
test_second_start_is_refused(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct answer a;
	struct rig r;
	int lock;

	(void)state;
	rig_up(&r, "\"true\"", false, false);
	assert_int_not_equal(rig_program(&r, "start", &out), 0);
	lock = open(r.bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(flock(lock, LOCK_EX), errno); /* as a start call that is under way */
	assert_int_not_equal(rig_program(&r, "start", &out), 0);
	(void)close(lock);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0); /* the first one still serves */
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

/* As whoever cleans up by names alone would. */
static void
remove_sockets(const struct rig *r)
{
	assert_return_code(unlink(r->address), errno);
	assert_return_code(unlink(r->attach), errno);
}

static void
test_end_leaves_the_sockets_of_a_newer_shim(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct answer a;
	struct rig r;
	pid_t first;
	int fd;

	(void)state;
	rig_up(&r, "\"true\"", false, false);
	first = r.shim;
	remove_sockets(&r);
	ttrpc_client_free(&r.client);
	assert_int_equal(rig_program(&r, "start", &out), 0);
	rig_connect(&r);
	assert_int_not_equal(r.shim, first);
	assert_return_code(kill(first, SIGTERM), errno);
	gone(&r, first);
	ttrpc_client_free(&r.client);
	rig_connect(&r); /* anew, by the path */
	assert_int_equal(rig_attach(&r, "", &fd), -1);
	(void)close(fd);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_start_that_fails_leaves_the_sockets_of_others(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct rig r;

	(void)state;
	rig_up(&r, "\"true\"", false, false);
	assert_return_code(unlink(r.address), errno);
	assert_int_not_equal(rig_program(&r, "start", &out), 0); /* the other one answers */
	assert_int_equal(rig_sockets(&r), 1);
	assert_return_code(access(r.attach, F_OK), errno);
	assert_return_code(kill(r.shim, SIGTERM), errno);
	gone(&r, r.shim);
	rig_clear(&r);
}

static void
test_delete_call_ends_a_living_shim(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct rig r, other;
	struct answer a;
	pid_t pid;

	(void)state;
	rig_up(&other, "\"true\"", false, false);
	for (int lost = 0; lost < 3; lost++) {
		rig_up(&r, "\"sleep\",\"100\"", false, false);
		assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
		assert_int_equal(rig_start(&r, &a, ""), 0);
		pid = rig_pid(&r, "");
		if (lost == 1)
			remove_sockets(&r); /* nobody can find it by name */
		if (lost == 2)
			assert_return_code(kill(r.shim, SIGSTOP), errno);
		assert_int_equal(rig_program(&r, "delete", &out), 0);
		gone(&r, r.shim);
		gone(&r, pid);
		rig_clear(&r);
	}
	ttrpc_client_free(&other.client);
	rig_connect(&other); /* somebody else's lives */
	rig_down(&other);
}

static void
test_fifos(void **state)
{
	AUTO(free_ptr) char *in = NULL, *out = NULL;
	struct answer a;
	struct rig r;
	char text[64] = "";
	int from, to;
	Containerd__Task__V2__CloseIORequest close_io;

	(void)state;
	rig_up(&r, "\"cat\"", false, true);
	in = xasprintf("%s/in", r.dir);
	out = xasprintf("fifo://%s/out", r.dir);
	assert_return_code(mkfifo(in, 0600), errno);
	assert_return_code(mkfifo(out + 7, 0600), errno);
	from = open(out + 7, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(
	    rig_create(&r, &a, false, SHIM_STDIO_ATTACH, "", ""), ERR_INVALID_ARGUMENT);
	assert_int_equal(rig_create(&r, &a, false, in, out, ""), 0);
	to = open(in, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(write(to, "through\n", 8), 8);
	for (int i = 0; i < 500 && read(from, text, sizeof(text) - 1) <= 0; i++)
		loop_turn(r.loop, 10);
	assert_string_equal(text, "through\n");
	(void)close(to);
	containerd__task__v2__close_iorequest__init(&close_io);
	close_io.id = r.id;
	close_io.stdin = true;
	assert_int_equal(rig_do(&r, &a, "CloseIO", &close_io.base, EMPTY), 0);
	assert_int_equal(rig_exit(&r, ""), 0);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	(void)close(from);
	rig_down(&r);
}

/* A reader that goes away holds nobody up. */
static void
test_fifo_without_reader(void **state)
{
	AUTO(free_ptr) char *out = NULL;
	struct answer a;
	struct rig r;
	int from;
	char byte;

	(void)state;
	rig_up(&r, "\"sh\",\"-c\",\"echo x; sleep 12; yes | head -c 300000; exit 4\"", false, true);
	out = xasprintf("%s/out", r.dir);
	assert_return_code(mkfifo(out, 0600), errno);
	from = open(out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(rig_create(&r, &a, false, "", out, ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	for (int i = 0; i < 500 && read(from, &byte, 1) <= 0; i++)
		loop_turn(r.loop, 10);
	(void)close(from);
	for (int i = 0; i < 130; i++)
		loop_turn(r.loop, 100);
	assert_int_equal(rig_exit(&r, ""), 4);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

static void
test_log_rotates(void **state)
{
	AUTO(free_ptr) char *uri = NULL, *path = NULL;
	struct answer a;
	struct stat st;
	struct rig r;

	(void)state;
	rig_up(&r, "\"sh\",\"-c\",\"seq 1 20000; echo -n tail; exit 0\"", false, false);
	uri = xasprintf("cri-log://%s/own?max-size=100000&max-files=3", r.dir);
	assert_int_equal(rig_create(&r, &a, false, "", uri, ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_int_equal(rig_exit(&r, ""), 0);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	path = xasprintf("%s/own.2", r.dir);
	assert_return_code(stat(path, &st), errno);
	assert_true(st.st_size <= 100000 && st.st_size > 90000);
	path[strlen(path) - 1] = '3';
	assert_int_equal(stat(path, &st), -1);
	path[strlen(path) - 2] = '\0';
	assert_true(rig_file_has(path, "stdout F 20000\n"));
	assert_true(rig_file_has(path, "stdout F tail\n"));
	rig_down(&r);
}

static void
assert_owner(const char *path, mode_t mode)
{
	struct stat st;

	assert_return_code(lstat(path, &st), errno);
	assert_int_equal(st.st_mode & 07777, mode);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, RIG_GID);
}

/* What errno says to somebody with this group alone who opens a file or connects to a socket of this type. */
static int
errno_for(gid_t gid, const char *path, int socket_type)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int status, fd;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
		    setresuid(65534, 65534, 65534) < 0)
			_exit(255);
		(void)snprintf(at.sun_path, sizeof(at.sun_path), "%.100s", path);
		fd = socket_type == 0 ? open(path, O_RDONLY | O_CLOEXEC)
				      : socket(AF_UNIX, socket_type | SOCK_CLOEXEC, 0);
		if (fd < 0 ||
		    (socket_type != 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0))
			_exit(errno);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256;
}

static void
run_with_log(const char *uri_options, struct rig *r)
{
	AUTO(free_ptr) char *uri = NULL;
	struct answer a;

	rig_up(r, "\"sh\",\"-c\",\"seq 1 20000; umask\"", false, false);
	uri = xasprintf("cri-log://%s/log%s", r->logs, uri_options);
	assert_int_equal(rig_create(r, &a, false, "", uri_options[0] == '\0' ? "" : uri, ""), 0);
	assert_owner(r->attach, 0660);
	assert_int_equal(rig_start(r, &a, ""), 0);
	assert_int_equal(rig_exit(r, ""), 0);
	assert_int_equal(rig_delete(r, &a, ""), 0);
}

static void
test_group_may_read_logs_and_attach(void **state)
{
	static const char *const options[] = { "", "?max-size=100000&max-files=2" };

	(void)state;
	for (size_t i = 0; i < COUNT(options); i++) {
		AUTO(free_ptr) char *log = NULL, *old = NULL, *ns = NULL;
		struct stat st;
		struct rig r;

		run_with_log(options[i], &r);
		log = xasprintf("%s/log", r.logs);
		old = xasprintf("%s/log.1", r.logs);
		ns = xasprintf("%s/logs/rig", r.dir);
		assert_owner(ns, 0750);
		assert_owner(r.logs, 0750);
		assert_owner(log, 0640);
		assert_int_equal(errno_for(RIG_GID, log, 0), 0);
		assert_int_equal(errno_for(65534, log, 0), EACCES);
		if (i == 1)
			assert_owner(old, 0640);
		else
			assert_int_equal(lstat(old, &st), -1);
		assert_true(rig_file_has(log, "stdout F 0022\n")); /* the container's own */
		assert_int_equal(errno_for(RIG_GID, r.attach, SOCK_SEQPACKET), 0);
		assert_int_equal(errno_for(65534, r.attach, SOCK_SEQPACKET), EACCES);
		/* Who may attach may not command. */
		assert_return_code(lstat(r.address, &st), errno);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(errno_for(RIG_GID, r.address, SOCK_STREAM), EACCES);
		rig_down(&r);
	}
}

static size_t
private_kib(pid_t pid)
{
	AUTO(free_ptr) char *path = xasprintf("/proc/%d/smaps_rollup", (int)pid);
	AUTO(file_close) FILE *f = fopen(path, "re");
	char line[256];
	size_t sum = 0, n;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Private_%*[^:]: %zu kB", &n) == 1)
			sum += n;
	return sum;
}

static void
test_memory_at_rest(void **state)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct answer a;
	struct rig r;
	size_t kib;

	(void)state;
	rig_up(&r, "\"sleep\",\"100\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	exec_one(&r, "\"sh\",\"-c\",\"echo hello\"", 0, "hello\n");
	kib = private_kib(r.shim);
	print_message("private memory of the shim: %zu KiB\n", kib);
	assert_true(kib > 0);
#if !defined(__SANITIZE_ADDRESS__)
	assert_true(kib < 1024);
#endif
	assert_int_equal(rig_kill(&r, &a, "", SIGKILL, false), 0);
	assert_int_equal(rig_exit(&r, ""), 137);
	assert_int_equal(rig_delete(&r, &a, ""), 0);
	rig_down(&r);
}

#ifdef CF_FAULT
/* A whole life, as far as it gets. */
static void
live(struct rig *r)
{
	struct answer a;

	if (rig_create(r, &a, false, "", "", "") != 0 || rig_start(r, &a, "") != 0 ||
	    rig_exec(r, &a, "one", "\"true\"", false, "") != 0 || rig_start(r, &a, "one") != 0 ||
	    rig_kill(r, &a, "", SIGKILL, false) != 0 || rig_exit(r, "") != 137)
		return;
	(void)rig_delete(r, &a, "");
}

static void
killed_at(const char *point)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	AUTO(free_ptr) char *fault = xasprintf("%s=kill", point);
	struct rig r;

	print_message("  killed at %s\n", point);
	assert_return_code(setenv("COFFER_FAULTS", fault, 1), errno);
	rig_up(&r, strcmp(point, "shim.undo.called") == 0 ? "\"no-such\"" : "\"sleep\",\"100\"",
	    false, false);
	live(&r);
	for (int i = 0; i < 500 && kill(r.shim, 0) == 0; i++)
		loop_turn(r.loop, 10);
	assert_int_equal(kill(r.shim, 0), -1); /* the point was reached */
	assert_return_code(unsetenv("COFFER_FAULTS"), errno);
	assert_int_equal(rig_program(&r, "delete", &out), 0);
	rig_clear(&r);
}

static void
test_killed_at_every_point(void **state)
{
	static const char *const points[] = { "shim.create.mounted", "shim.create.called",
		"shim.create.made", "shim.undo.called", "shim.start.done", "shim.exec.called",
		"shim.delete.done", "shim.delete.cleaned" };

	(void)state;
	for (size_t i = 0; i < COUNT(points); i++)
		killed_at(points[i]);
}

static void
test_delete_call_killed(void **state)
{
	static const char *const points[] = { "shim.late.runtime=kill",
		"shim.late.unmounted=kill" };
	AUTO(buf_free) struct buf out = BUF_ZERO;
	struct answer a;
	struct rig r;

	(void)state;
	rig_up(&r, "\"sleep\",\"100\"", false, false);
	assert_int_equal(rig_create(&r, &a, false, "", "", ""), 0);
	assert_int_equal(rig_start(&r, &a, ""), 0);
	assert_return_code(kill(r.shim, SIGKILL), errno);
	for (size_t i = 0; i < COUNT(points); i++) {
		assert_return_code(setenv("COFFER_FAULTS", points[i], 1), errno);
		assert_int_equal(rig_program(&r, "delete", &out), 128);
	}
	assert_return_code(unsetenv("COFFER_FAULTS"), errno);
	assert_int_equal(rig_program(&r, "delete", &out), 0);
	rig_clear(&r);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_exit_status),
		cmocka_unit_test(test_ends_before_start_returns),
		cmocka_unit_test(test_missing_command),
		cmocka_unit_test(test_delete_without_start),
		cmocka_unit_test(test_kill_and_many_waiters),
		cmocka_unit_test(test_delete_asked_for_twice),
		cmocka_unit_test(test_pause_and_kill_all),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_started_by_the_fifo_deleted_at_the_end),
		cmocka_unit_test(test_hooks_are_left_to_the_runtime),
		cmocka_unit_test(test_ends_without_the_word),
		cmocka_unit_test(test_runtime_hangs_at_create),
		cmocka_unit_test(test_runtime_hangs_later),
		cmocka_unit_test(test_runtime_hangs_in_the_delete_call),
		cmocka_unit_test(test_execs),
		cmocka_unit_test(test_stdin),
		cmocka_unit_test(test_stdin_absent_is_null),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_terminal_of_an_exec),
		cmocka_unit_test(test_foreground_client_holds_the_process),
		cmocka_unit_test(test_late_client_that_does_not_read_is_dropped),
		cmocka_unit_test(test_shim_killed),
		cmocka_unit_test(test_shim_killed_and_runtime_state_lost),
		cmocka_unit_test(test_second_start_is_refused),
		cmocka_unit_test(test_end_leaves_the_sockets_of_a_newer_shim),
		cmocka_unit_test(test_start_that_fails_leaves_the_sockets_of_others),
		cmocka_unit_test(test_delete_call_ends_a_living_shim),
		cmocka_unit_test(test_fifos),
		cmocka_unit_test(test_fifo_without_reader),
		cmocka_unit_test(test_log_rotates),
		cmocka_unit_test(test_group_may_read_logs_and_attach),
		cmocka_unit_test(test_memory_at_rest),
#ifdef CF_FAULT
		cmocka_unit_test(test_killed_at_every_point),
		cmocka_unit_test(test_delete_call_killed),
#endif
	};

	if (geteuid() != 0 || access("/bin/busybox", X_OK) != 0) {
		print_message("needs root and busybox-static\n");
		return 77;
	}
	cmocka_set_test_filter(getenv("RIG_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
