/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig - a scratch bundle, a real shim and a real OCI runtime, driven over ttrpc and the attach socket.
 *
 * Everything lives below one folder in /tmp and is gone after rig_down, which checks that the shim left
 * no process, mount, socket or control group. One program includes this: the functions are static.
 */
#ifndef CF_TEST_RIG_H
#define CF_TEST_RIG_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"
#include "lib/base/loop.h"
#include "lib/ttrpc/proto/runc.pb-c.h"
#include "lib/ttrpc/proto/task.pb-c.h"
#include "lib/ttrpc/shim.h"
#include "lib/ttrpc/ttrpc.h"

/* Whose members may attach and read logs; no group of the host. */
#define RIG_GID 64740

#define RIG_FN static __attribute__((unused))

struct rig {
	char dir[64], bundle[128], image[128], state[128], logs[128];
	char address[100], attach[108], program[512];
	char id[40], runtime[128]; /* runtime: "" takes RIG_RUNTIME, else runc */
	pid_t shim;
	struct loop *loop;
	struct ttrpc_client *client;
	bool contained; /* started as containerd does: no COFFER_STATE */
};

struct answer {
	bool done;
	struct err e;
	uint8_t packed[65536]; /* the reply, packed again */
	size_t len;
};

/* Turns the loop until the condition holds; fails the test after ten seconds. */
#define RIG_UNTIL(r, cond)                                   \
	do {                                                 \
		for (int i_ = 0; !(cond) && i_ < 1000; i_++) \
			loop_turn((r)->loop, 10);            \
		assert_true(cond);                           \
	} while (0)

#define str(s) ((char *)(uintptr_t)(s))

/* --- calls --------------------------------------------------------------------------------------- */

RIG_FN void
rig_done(void *arg, const ProtobufCMessage *rep, const struct err *e)
{
	struct answer *a = arg;

	a->done = true;
	a->e = *e;
	if (rep != NULL && protobuf_c_message_get_packed_size(rep) <= sizeof(a->packed))
		a->len = protobuf_c_message_pack(rep, a->packed);
}

RIG_FN void
rig_call(struct rig *r, struct answer *a, const char *method, const ProtobufCMessage *req,
    const ProtobufCMessageDescriptor *rep_type)
{
	a->done = false;
	a->len = 0;
	(void)ttrpc_call(r->client, SHIM_SERVICE, method, 30000, req, rep_type, rig_done, a);
}

/* A whole call. Returns its class; the error's text is in a->e. */
RIG_FN int
rig_do(struct rig *r, struct answer *a, const char *method, const ProtobufCMessage *req,
    const ProtobufCMessageDescriptor *rep_type)
{
	rig_call(r, a, method, req, rep_type);
	RIG_UNTIL(r, a->done);
	return (int)a->e.code;
}

#define EMPTY &google__protobuf__empty__descriptor

RIG_FN int
rig_create(struct rig *r, struct answer *a, bool terminal, const char *in, const char *out,
    const char *err)
{
	Containerd__Task__V2__CreateTaskRequest req;
	Containerd__Types__Mount m, *ms[] = { &m };
	Containerd__Runc__V1__Options o;
	Google__Protobuf__Any any;
	uint8_t packed[256];
	char *opts[] = { str("rbind"), str("rw") };
	const char *runtime = r->runtime[0] != '\0' ? r->runtime : getenv("RIG_RUNTIME");

	containerd__task__v2__create_task_request__init(&req);
	containerd__types__mount__init(&m);
	containerd__runc__v1__options__init(&o);
	google__protobuf__any__init(&any);
	m.type = str("bind");
	m.source = r->image;
	m.n_options = COUNT(opts);
	m.options = opts;
	o.binary_name = str(runtime == NULL ? "runc" : runtime);
	any.type_url = str(SHIM_OPTIONS_TYPE);
	any.value.len = containerd__runc__v1__options__pack(&o, packed);
	any.value.data = packed;
	req.id = r->id;
	req.bundle = r->bundle;
	req.n_rootfs = 1;
	req.rootfs = ms;
	req.terminal = terminal;
	req.stdin = str(in);
	req.stdout = str(out);
	req.stderr = str(err);
	req.options = &any;
	return rig_do(
	    r, a, "Create", &req.base, &containerd__task__v2__create_task_response__descriptor);
}

RIG_FN int
rig_start(struct rig *r, struct answer *a, const char *exec_id)
{
	Containerd__Task__V2__StartRequest req;

	containerd__task__v2__start_request__init(&req);
	req.id = r->id;
	req.exec_id = str(exec_id);
	return rig_do(r, a, "Start", &req.base, &containerd__task__v2__start_response__descriptor);
}

RIG_FN void
rig_wait_begin(struct rig *r, struct answer *a, const char *exec_id)
{
	Containerd__Task__V2__WaitRequest req;

	containerd__task__v2__wait_request__init(&req);
	req.id = r->id;
	req.exec_id = str(exec_id);
	rig_call(r, a, "Wait", &req.base, &containerd__task__v2__wait_response__descriptor);
}

/* Exit status from a Wait's answer; 1000 + class for an error. */
RIG_FN unsigned
rig_status(const struct answer *a)
{
	Containerd__Task__V2__WaitResponse *rep;
	unsigned status;

	if (a->e.code != ERR_NONE)
		return 1000 + (unsigned)a->e.code;
	rep = containerd__task__v2__wait_response__unpack(NULL, a->len, a->packed);
	assert_non_null(rep);
	assert_non_null(rep->exited_at);
	assert_true(rep->exited_at->seconds > 1600000000);
	status = rep->exit_status;
	containerd__task__v2__wait_response__free_unpacked(rep, NULL);
	return status;
}

RIG_FN unsigned
rig_exit(struct rig *r, const char *exec_id)
{
	struct answer a;

	rig_wait_begin(r, &a, exec_id);
	RIG_UNTIL(r, a.done);
	return rig_status(&a);
}

RIG_FN int
rig_exec(struct rig *r, struct answer *a, const char *exec_id, const char *args, bool terminal,
    const char *in)
{
	Containerd__Task__V2__ExecProcessRequest req;
	Google__Protobuf__Any any;
	AUTO(free_ptr)
	char *spec = xasprintf("{\"terminal\":%s,\"user\":{\"uid\":0,\"gid\":0},"
			       "\"args\":[%s],\"env\":[\"PATH=/bin\",\"TERM=xterm\"],"
			       "\"cwd\":\"/\"}",
	    terminal ? "true" : "false", args);

	containerd__task__v2__exec_process_request__init(&req);
	google__protobuf__any__init(&any);
	any.type_url = str(SHIM_PROCESS_TYPE);
	any.value = (ProtobufCBinaryData){ .len = strlen(spec), .data = (uint8_t *)spec };
	req.id = r->id;
	req.exec_id = str(exec_id);
	req.terminal = terminal;
	req.stdin = str(in);
	req.spec = &any;
	return rig_do(r, a, "Exec", &req.base, EMPTY);
}

RIG_FN int
rig_kill(struct rig *r, struct answer *a, const char *exec_id, unsigned signo, bool all)
{
	Containerd__Task__V2__KillRequest req;

	containerd__task__v2__kill_request__init(&req);
	req.id = r->id;
	req.exec_id = str(exec_id);
	req.signal = signo;
	req.all = all;
	return rig_do(r, a, "Kill", &req.base, EMPTY);
}

RIG_FN int
rig_delete(struct rig *r, struct answer *a, const char *exec_id)
{
	Containerd__Task__V2__DeleteRequest req;

	containerd__task__v2__delete_request__init(&req);
	req.id = r->id;
	req.exec_id = str(exec_id);
	return rig_do(
	    r, a, "Delete", &req.base, &containerd__task__v2__delete_response__descriptor);
}

RIG_FN Containerd__Task__V2__StateResponse *
rig_state(struct rig *r, const char *exec_id)
{
	Containerd__Task__V2__StateRequest req;
	struct answer a;

	containerd__task__v2__state_request__init(&req);
	req.id = r->id;
	req.exec_id = str(exec_id);
	if (rig_do(r, &a, "State", &req.base, &containerd__task__v2__state_response__descriptor) !=
	    0)
		return NULL;
	return containerd__task__v2__state_response__unpack(NULL, a.len, a.packed);
}

RIG_FN pid_t
rig_pid(struct rig *r, const char *exec_id)
{
	Containerd__Task__V2__StateResponse *st = rig_state(r, exec_id);
	pid_t pid;

	assert_non_null(st);
	pid = (pid_t)st->pid;
	containerd__task__v2__state_response__free_unpacked(st, NULL);
	return pid;
}

/* --- the attach socket --------------------------------------------------------------------------- */

/* 1 with a terminal, 0 without, -1 when refused (fd is open anyway). */
RIG_FN int
rig_attach(struct rig *r, const char *exec_id, int *ret_fd)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char hello[512];
	ssize_t n;

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", r->attach);
	assert_return_code(connect(fd, (struct sockaddr *)&at, sizeof(at)), errno);
	assert_true(send(fd, exec_id, exec_id[0] == '\0' ? 1 : strlen(exec_id), 0) > 0);
	n = recv(fd, hello, sizeof(hello), 0);
	*ret_fd = fd;
	if (n == 2 && hello[0] == 0)
		return hello[1];
	assert_true(n > 1 && hello[0] == 4);
	return -1;
}

RIG_FN void
rig_send(int fd, char type, const char *text)
{
	AUTO(free_ptr) char *packet = xasprintf("%c%s", 'x', text);

	packet[0] = type;
	assert_int_equal(send(fd, packet, strlen(text) + 1, 0), strlen(text) + 1);
}

/* Reads packets until the end, an error packet (its text goes to err) or seconds without one. Returns
 * the type of the last packet; -1 when time was up, -2 at a closed connection. */
RIG_FN int
rig_drain(int fd, struct buf *out, struct buf *err, int seconds)
{
	static char packet[40000];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, seconds * 1000) <= 0)
			return -1;
		n = recv(fd, packet, sizeof(packet), 0);
		if (n <= 0)
			return -2;
		if (packet[0] == 1)
			(void)buf_add(out, packet + 1, (size_t)n - 1);
		if (packet[0] == 2 || packet[0] == 4)
			(void)buf_add(err, packet + 1, (size_t)n - 1);
		if (packet[0] == 3 || packet[0] == 4)
			return packet[0];
	}
}

/* Reads output until it holds text, at most ten seconds. */
RIG_FN bool
rig_expect(int fd, struct buf *out, const char *text)
{
	static char packet[40000];

	while (strstr(buf_str(out), text) == NULL) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, 10000) <= 0 || (n = recv(fd, packet, sizeof(packet), 0)) <= 0)
			return false;
		if (packet[0] == 1 || packet[0] == 2)
			(void)buf_add(out, packet + 1, (size_t)n - 1);
	}
	return true;
}

/* --- setting up and taking down ------------------------------------------------------------------ */

RIG_FN void
rig_write(const char *dir, const char *name, const char *text)
{
	AUTO(free_ptr) char *path = xasprintf("%s/%s", dir, name);
	struct err e = ERR_ZERO;

	if (fs_write(AT_FDCWD, path, text, strlen(text), 0644, false, &e) < 0)
		fail_msg("%s", e.msg);
}

RIG_FN bool
rig_file_has(const char *path, const char *text)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	struct err e = ERR_ZERO;

	return fs_read(AT_FDCWD, path, 64u << 20, &b, &e) == 0 && strstr(buf_str(&b), text) != NULL;
}

RIG_FN void
rig_image(const struct rig *r)
{
	static const char *const names[] = { "sh", "cat", "echo", "sleep", "true", "stty", "seq",
		"dd", "head", "kill", "yes", "printf" };
	static const char *const dirs[] = { "bin", "proc", "dev", "tmp", "sys" };
	AUTO(free_ptr) char *copy = xasprintf("cp /bin/busybox %s/bin/busybox", r->image);
	pid_t pid;
	int status;

	assert_return_code(mkdir(r->image, 0755), errno);
	for (size_t i = 0; i < COUNT(dirs); i++) {
		AUTO(free_ptr) char *d = xasprintf("%s/%s", r->image, dirs[i]);

		assert_return_code(mkdir(d, 0755), errno);
	}
	pid = fork();
	if (pid == 0) {
		char *to = xasprintf("%s/bin/busybox", r->image);

		(void)execl("/bin/cp", "cp", "/bin/busybox", to, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (size_t i = 0; i < COUNT(names); i++) {
		AUTO(free_ptr) char *l = xasprintf("%s/bin/%s", r->image, names[i]);

		assert_return_code(symlink("busybox", l), errno);
	}
}

RIG_FN void
rig_config(const struct rig *r, const char *args, bool terminal)
{
	AUTO(free_ptr)
	char *text = xasprintf(
	    "{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":%s,\"user\":{\"uid\":0,\"gid\":0},"
	    "\"args\":[%s],\"env\":[\"PATH=/bin\",\"TERM=xterm\"],\"cwd\":\"/\"},"
	    "\"root\":{\"path\":\"rootfs\"},\"hostname\":\"rig\",\"mounts\":["
	    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	    "\"options\":[\"nosuid\",\"mode=755\"]},{\"destination\":\"/dev/pts\","
	    "\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"newinstance\","
	    "\"ptmxmode=0666\",\"mode=0620\"]}],\"linux\":{\"cgroupsPath\":\"/rig/%s\","
	    "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
	    "{\"type\":\"mount\"},{\"type\":\"network\"}]}}",
	    terminal ? "true" : "false", args, r->id);

	rig_write(r->bundle, "config.json", text);
}

/* Runs the shim's program in the bundle; its stdout goes to out. Returns its exit status. */
RIG_FN int
rig_program(struct rig *r, const char *action, struct buf *out)
{
	int fd[2], status;
	pid_t pid;

	assert_return_code(pipe2(fd, O_CLOEXEC), errno);
	pid = fork();
	if (pid == 0) {
		if (chdir(r->bundle) < 0 || dup2(fd[1], 1) < 0)
			_exit(99);
		(void)umask(077); /* what the shim is started with must not show in what it makes */
		if (r->contained) {
			(void)unsetenv(SHIM_ENV_STATE);
			(void)unsetenv(SHIM_ENV_LOG_DIR);
		} else {
			(void)setenv(SHIM_ENV_STATE, r->state, 1);
			(void)setenv(SHIM_ENV_LOG_DIR, r->logs, 1);
		}
		(void)execl(r->program, "containerd-shim-coffer-v1", "-namespace", "rig", "-id",
		    r->id, "-address", "/none", action, (char *)NULL);
		_exit(98);
	}
	(void)close(fd[1]);
	for (;;) {
		char piece[512];
		ssize_t n = read(fd[0], piece, sizeof(piece));

		if (n <= 0)
			break;
		(void)buf_add(out, piece, (size_t)n);
	}
	(void)close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

RIG_FN void
rig_connect(struct rig *r)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	Containerd__Task__V2__ConnectRequest req;
	Containerd__Task__V2__ConnectResponse *rep;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct answer a;

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", r->address);
	assert_return_code(connect(fd, (struct sockaddr *)&at, sizeof(at)), errno);
	r->client = ttrpc_client_new(r->loop, fd, NULL, NULL);
	assert_non_null(r->client);
	containerd__task__v2__connect_request__init(&req);
	req.id = r->id;
	assert_int_equal(rig_do(r, &a, "Connect", &req.base,
			     &containerd__task__v2__connect_response__descriptor),
	    0);
	rep = containerd__task__v2__connect_response__unpack(NULL, a.len, a.packed);
	r->shim = (pid_t)rep->shim_pid;
	containerd__task__v2__connect_response__free_unpacked(rep, NULL);
}

/* The shim of the same build: build/<variant>/unit/workers/task/shim/test_x -> build/<variant>/. */
RIG_FN void
rig_find_program(struct rig *r)
{
	ssize_t n = readlink("/proc/self/exe", r->program, sizeof(r->program) - 64);
	char *unit;

	assert_true(n > 0);
	r->program[n] = '\0';
	unit = strstr(r->program, "/unit/");
	assert_non_null(unit);
	(void)strcpy(unit, "/containerd-shim-coffer-v1");
}

RIG_FN void
rig_up(struct rig *r, const char *args, bool terminal, bool contained)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;
	AUTO(free_ptr) char *sockets = NULL;
	char hex[9];

	memset(r, 0, sizeof(*r));
	rig_find_program(r);
	ident_random(hex, 4);
	(void)snprintf(r->id, sizeof(r->id), "rig-%s", hex);
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/coffer-%s", r->id);
	(void)snprintf(r->bundle, sizeof(r->bundle), "%s/bundle", r->dir);
	(void)snprintf(r->image, sizeof(r->image), "%s/image", r->dir);
	(void)snprintf(r->state, sizeof(r->state), "%s/state", r->dir);
	(void)snprintf(r->logs, sizeof(r->logs), "%s/logs/rig/%s", r->dir, r->id);
	r->contained = contained;
	r->loop = loop_new();
	sockets = xasprintf("%s/s", r->state);
	assert_return_code(mkdir(r->dir, 0755), errno);
	assert_return_code(mkdir(r->bundle, 0700), errno);
	assert_return_code(mkdir(r->state, 0711), errno);
	assert_return_code(mkdir(sockets, 0750), errno);
	assert_return_code(chown(sockets, 0, RIG_GID), errno);
	{
		AUTO(free_ptr) char *logs = xasprintf("%s/logs", r->dir);

		assert_return_code(mkdir(logs, 0750), errno);
		assert_return_code(chown(logs, 0, RIG_GID), errno);
	}
	rig_image(r);
	rig_config(r, args, terminal);
	assert_int_equal(rig_program(r, "start", &out), 0);
	assert_memory_equal(buf_str(&out), "unix://", 7);
	(void)snprintf(r->address, sizeof(r->address), "%s", out.data + 7);
	(void)snprintf(r->attach, sizeof(r->attach), "%.*s.attach",
	    (int)strcspn(r->address, ".") > 0 && !contained ? (int)strlen(r->address) - 5 : 0,
	    r->address);
	rig_connect(r);
}

RIG_FN size_t
rig_mounts(const struct rig *r)
{
	AUTO(file_close) FILE *f = fopen("/proc/self/mounts", "re");
	char line[4096];
	size_t n = 0;

	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, r->dir) != NULL;
	return n;
}

/* Control groups of the container, in every hierarchy. */
RIG_FN size_t
rig_cgroups(const struct rig *r)
{
	AUTO(dir_close) DIR *d = opendir("/sys/fs/cgroup");
	struct dirent *ent;
	struct statfs fs;
	size_t n = 0;

	while ((ent = readdir(d)) != NULL) {
		AUTO(free_ptr) char *p = xasprintf("/sys/fs/cgroup/%s/rig/%s", ent->d_name, r->id);

		n += statfs(p, &fs) == 0 && fs.f_type != TMPFS_MAGIC;
	}
	return n;
}

RIG_FN size_t
rig_sockets(const struct rig *r)
{
	AUTO(free_ptr) char *path = xasprintf("%s/s", r->state);
	AUTO(dir_close) DIR *d = opendir(path);
	struct dirent *ent;
	size_t n = 0;

	while ((ent = readdir(d)) != NULL)
		n += ent->d_name[0] != '.';
	return n;
}

/* The folder goes; what the shim should have removed must be gone by now. */
RIG_FN void
rig_clear(struct rig *r)
{
	struct err e = ERR_ZERO;

	ttrpc_client_free(&r->client);
	loop_free(&r->loop);
	assert_int_equal(rig_mounts(r), 0);
	assert_int_equal(rig_cgroups(r), 0);
	assert_int_equal(rig_sockets(r), 0);
	if (fs_remove_tree(AT_FDCWD, r->dir, &e) < 0)
		fail_msg("%s", e.msg);
}

RIG_FN void
rig_down(struct rig *r)
{
	Containerd__Task__V2__ShutdownRequest req;
	AUTO(free_ptr) char *shim_log = xasprintf("%s/shim.log", r->bundle);
	AUTO(buf_free) struct buf words = BUF_ZERO;
	struct answer a;
	struct err e = ERR_ZERO;

	containerd__task__v2__shutdown_request__init(&req);
	req.id = r->id;
	assert_int_equal(rig_do(r, &a, "Shutdown", &req.base, EMPTY), 0);
	for (int i = 0; i < 500 && kill(r->shim, 0) == 0; i++)
		loop_turn(r->loop, 10);
	assert_int_equal(kill(r->shim, 0), -1);
	(void)fs_read(AT_FDCWD, shim_log, 1u << 20, &words, &e);
	if (words.len > 0)
		print_message("shim said: %s", words.data);
	assert_null(strstr(buf_str(&words), "Sanitizer"));
	rig_clear(r);
}

#endif
