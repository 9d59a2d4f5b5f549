/* SPDX-License-Identifier: Apache-2.0 */
/* service - see service.h */
#include "workers/task/shim/service.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/ttrpc/proto/runc.pb-c.h"
#include "lib/ttrpc/proto/task.pb-c.h"
#include "lib/ttrpc/shim.h"
#include "workers/task/shim/cgroup.h"
#include "workers/task/shim/container.h"

static void
reply_empty(struct ttrpc_request *rq)
{
	Google__Protobuf__Empty rep;

	google__protobuf__empty__init(&rep);
	ttrpc_reply(rq, &rep.base);
}

/* The process of a call, or NULL when rq was refused. */
static struct proc *
find(struct task *t, struct ttrpc_request *rq, const char *id, const char *exec_id)
{
	struct proc *p = strcmp(id, t->place->id) == 0 ? task_find(t, exec_id) : NULL;
	struct err e = ERR_ZERO;

	if (p != NULL)
		return p;
	(void)err_set(&e, ERR_NOT_FOUND, "%s %.100s: not found",
	    exec_id[0] == '\0' ? "container" : "exec", exec_id[0] == '\0' ? id : exec_id);
	ttrpc_fail(rq, &e);
	return NULL;
}

static struct task *
task_of(void *arg)
{
	return ((struct service *)arg)->task;
}

static Containerd__V1__Types__Status
status_of(const struct proc *p)
{
	switch (p->state) {
	case PROC_CREATING:
	case PROC_CREATED:
		return CONTAINERD__V1__TYPES__STATUS__CREATED;
	case PROC_STARTING:
	case PROC_RUNNING:
		return p->task->paused ? CONTAINERD__V1__TYPES__STATUS__PAUSED
				       : CONTAINERD__V1__TYPES__STATUS__RUNNING;
	case PROC_DELETING:
	case PROC_STOPPED:
		return CONTAINERD__V1__TYPES__STATUS__STOPPED;
	}
	return CONTAINERD__V1__TYPES__STATUS__UNKNOWN;
}

static void
on_state(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__StateRequest *req = (const void *)m;
	struct task *t = task_of(arg);
	struct proc *p = find(t, rq, req->id, req->exec_id);
	Containerd__Task__V2__StateResponse rep;
	Google__Protobuf__Timestamp at;

	if (p == NULL)
		return;
	containerd__task__v2__state_response__init(&rep);
	google__protobuf__timestamp__init(&at);
	rep.id = req->id;
	rep.bundle = (char *)(uintptr_t)t->place->bundle;
	rep.pid = (uint32_t)p->pid;
	rep.status = status_of(p);
	rep.stdin = p->in;
	rep.stdout = p->out;
	rep.stderr = p->err;
	rep.terminal = p->terminal;
	rep.exec_id = p->exec_id;
	if (rep.status == CONTAINERD__V1__TYPES__STATUS__STOPPED) {
		rep.exit_status = p->exit_status;
		at.seconds = p->exited_at / 1000000000;
		at.nanos = (int32_t)(p->exited_at % 1000000000);
		rep.exited_at = &at;
	}
	ttrpc_reply(rq, &rep.base);
}

static void
on_create(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	container_create(task_of(arg), rq, (const void *)m);
}

static void
on_start(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__StartRequest *req = (const void *)m;
	struct proc *p = find(task_of(arg), rq, req->id, req->exec_id);

	if (p != NULL)
		container_start(p, rq);
}

static void
on_delete(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__DeleteRequest *req = (const void *)m;
	struct proc *p = find(task_of(arg), rq, req->id, req->exec_id);

	if (p != NULL)
		container_delete(p, rq);
}

static const struct proc *
proc_of_pid(const struct task *t, pid_t pid)
{
	for (const struct proc *p = t->procs; p != NULL; p = p->next)
		if (p->pid == pid && !p->ended)
			return p;
	return NULL;
}

/* One entry of Pids: the process, and the exec that it belongs to. */
struct pid_entry {
	Containerd__V1__Types__ProcessInfo info;
	Google__Protobuf__Any any;
	uint8_t details[128];
};

static void
pid_entry(const struct task *t, struct pid_entry *en, pid_t pid)
{
	const struct proc *p = proc_of_pid(t, pid);
	Containerd__Runc__V1__ProcessDetails details;

	containerd__v1__types__process_info__init(&en->info);
	en->info.pid = (uint32_t)pid;
	if (p == NULL || p->exec_id[0] == '\0')
		return;
	containerd__runc__v1__process_details__init(&details);
	google__protobuf__any__init(&en->any);
	details.exec_id = (char *)(uintptr_t)p->exec_id;
	en->any.type_url = (char *)(uintptr_t)SHIM_DETAILS_TYPE;
	en->any.value.len = containerd__runc__v1__process_details__pack(&details, en->details);
	en->any.value.data = en->details;
	en->info.info = &en->any;
}

static void
on_pids(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__PidsRequest *req = (const void *)m;
	struct task *t = task_of(arg);
	const struct proc *p = find(t, rq, req->id, "");
	Containerd__Task__V2__PidsResponse rep;
	AUTO(free_ptr) pid_t *pids = NULL;
	AUTO(free_ptr) struct pid_entry *entries = NULL;
	AUTO(free_ptr) Containerd__V1__Types__ProcessInfo **list = NULL;
	struct err e = ERR_ZERO;
	size_t n = 0;

	if (p == NULL)
		return;
	if (p->pid != 0 && !p->ended && cgroup_pids(p->pid, &pids, &n, &e) < 0) {
		ttrpc_fail(rq, &e);
		return;
	}
	containerd__task__v2__pids_response__init(&rep);
	entries = xcalloc(n + 1, sizeof(*entries));
	list = xcalloc(n + 1, sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		pid_entry(t, &entries[i], pids[i]);
		list[i] = &entries[i].info;
	}
	rep.n_processes = n;
	rep.processes = list;
	ttrpc_reply(rq, &rep.base);
}

static void
on_pause(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__PauseRequest *req = (const void *)m;

	if (find(task_of(arg), rq, req->id, "") != NULL)
		container_pause(task_of(arg), rq, true);
}

static void
on_resume(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__ResumeRequest *req = (const void *)m;

	if (find(task_of(arg), rq, req->id, "") != NULL)
		container_pause(task_of(arg), rq, false);
}

static void
on_kill(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__KillRequest *req = (const void *)m;
	struct proc *p = find(task_of(arg), rq, req->id, req->exec_id);

	if (p != NULL)
		container_kill(p, rq, req->signal, req->all);
}

static void
on_exec(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__ExecProcessRequest *req = (const void *)m;

	if (find(task_of(arg), rq, req->id, "") != NULL)
		container_exec(task_of(arg), rq, req);
}

static void
on_resize(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__ResizePtyRequest *req = (const void *)m;
	struct proc *p = find(task_of(arg), rq, req->id, req->exec_id);
	struct err e = ERR_ZERO;

	if (p == NULL)
		return;
	if (p->io == NULL)
		(void)err_set(&e, ERR_FAILED_PRECONDITION, "the process has ended");
	else
		(void)stdio_resize(p->io, req->width, req->height, &e);
	if (e.code != ERR_NONE)
		ttrpc_fail(rq, &e);
	else
		reply_empty(rq);
}

static void
on_close_io(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__CloseIORequest *req = (const void *)m;
	struct proc *p = find(task_of(arg), rq, req->id, req->exec_id);

	if (p == NULL)
		return;
	if (req->stdin && p->io != NULL)
		stdio_close_stdin(p->io);
	reply_empty(rq);
}

static void
on_update(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__UpdateTaskRequest *req = (const void *)m;
	struct err e = ERR_ZERO;

	if (find(task_of(arg), rq, req->id, "") == NULL)
		return;
	if (req->resources == NULL || req->resources->value.len == 0) {
		(void)err_set(&e, ERR_INVALID_ARGUMENT, "no resources given");
		ttrpc_fail(rq, &e);
		return;
	}
	container_update(task_of(arg), rq, req->resources->value.data, req->resources->value.len);
}

static void
on_wait(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const Containerd__Task__V2__WaitRequest *req = (const void *)m;
	struct proc *p = find(task_of(arg), rq, req->id, req->exec_id);

	if (p != NULL)
		proc_wait(p, rq);
}

static void
on_connect(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	const struct proc *p = task_find(task_of(arg), "");
	Containerd__Task__V2__ConnectResponse rep;
	char version[] = CF_VERSION;

	(void)m;
	containerd__task__v2__connect_response__init(&rep);
	rep.shim_pid = (uint32_t)getpid();
	rep.task_pid = p == NULL ? 0 : (uint32_t)p->pid;
	rep.version = version;
	ttrpc_reply(rq, &rep.base);
}

static void
on_shutdown(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	struct service *s = arg;

	(void)m;
	reply_empty(rq);
	if (s->task->procs == NULL) /* else there is someone to look after, "now" or not */
		s->shutdown(s->arg);
}

static void
on_unimplemented(void *arg, struct ttrpc_request *rq, const ProtobufCMessage *m)
{
	struct err e = ERR_ZERO;

	(void)arg;
	(void)m;
	(void)err_set(&e, ERR_UNIMPLEMENTED, "not implemented by this shim");
	ttrpc_fail(rq, &e);
}

const struct ttrpc_method service_methods[] = {
	{ "State", &containerd__task__v2__state_request__descriptor, on_state },
	{ "Create", &containerd__task__v2__create_task_request__descriptor, on_create },
	{ "Start", &containerd__task__v2__start_request__descriptor, on_start },
	{ "Delete", &containerd__task__v2__delete_request__descriptor, on_delete },
	{ "Pids", &containerd__task__v2__pids_request__descriptor, on_pids },
	{ "Pause", &containerd__task__v2__pause_request__descriptor, on_pause },
	{ "Resume", &containerd__task__v2__resume_request__descriptor, on_resume },
	{ "Checkpoint", &containerd__task__v2__checkpoint_task_request__descriptor,
	    on_unimplemented },
	{ "Kill", &containerd__task__v2__kill_request__descriptor, on_kill },
	{ "Exec", &containerd__task__v2__exec_process_request__descriptor, on_exec },
	{ "ResizePty", &containerd__task__v2__resize_pty_request__descriptor, on_resize },
	{ "CloseIO", &containerd__task__v2__close_iorequest__descriptor, on_close_io },
	{ "Update", &containerd__task__v2__update_task_request__descriptor, on_update },
	{ "Wait", &containerd__task__v2__wait_request__descriptor, on_wait },
	{ "Stats", &containerd__task__v2__stats_request__descriptor, on_unimplemented },
	{ "Connect", &containerd__task__v2__connect_request__descriptor, on_connect },
	{ "Shutdown", &containerd__task__v2__shutdown_request__descriptor, on_shutdown },
};
const size_t service_nmethods = COUNT(service_methods);
