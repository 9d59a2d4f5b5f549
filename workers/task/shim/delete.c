/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delete - what is left of a container whose shim is no more: ended, unmounted, removed.
 *
 * Works from the bundle alone and from any state of it, and may be run again: a shim of the bundle that lives
 * on is killed first (it would hold on to names that a newer one needs), then comes the OCI runtime's forced
 * delete, then control groups, mounts and sockets by our own hand, each whether or not the one before
 * worked.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/ttrpc/proto/task.pb-c.h"
#include "workers/task/shim/cgroup.h"
#include "workers/task/shim/command.h"
#include "workers/task/shim/living.h"
#include "workers/task/shim/point.h"
#include "workers/task/shim/rootfs.h"
#include "workers/task/shim/runtime.h"

/* For the runtime. Whoever calls us gives all of it half a minute, and the rest matters more: it frees what
 * the container holds even when its runtime does not answer. */
#define RUNTIME_MS 15000

struct deleting {
	struct loop *loop;
	struct err why;
};

static void
on_deleted(void *arg, const struct err *e)
{
	struct deleting *d = arg;

	d->why = *e;
	loop_stop(d->loop, 0);
}

static int
runtime_delete(const struct place *p, struct err *e)
{
	struct deleting d = { .loop = loop_new() };
	struct reaper *r = d.loop == NULL ? NULL : reaper_new(d.loop);
	struct runtime rt;
	const char *verb[] = { "delete", "--force", p->id, NULL };

	if (r == NULL)
		(void)err_sys(e, errno, "make the event loop");
	else if (runtime_load(&rt, r, p, e) == 0) {
		if (rt.timeout_ms > RUNTIME_MS)
			rt.timeout_ms = RUNTIME_MS;
		if (runtime_call(&rt, verb, NULL, on_deleted, &d, e) == 0) {
			(void)loop_run(d.loop);
			*e = d.why;
		}
	}
	reaper_free(&r);
	loop_free(&d.loop);
	return -(int)e->code;
}

static int
print_response(struct err *e)
{
	Containerd__Task__V2__DeleteResponse rep;
	Google__Protobuf__Timestamp at;
	int64_t now = clock_real_ns();
	uint8_t out[64];
	size_t n;

	containerd__task__v2__delete_response__init(&rep);
	google__protobuf__timestamp__init(&at);
	rep.exit_status = 128 + SIGKILL;
	at.seconds = now / 1000000000;
	at.nanos = (int32_t)(now % 1000000000);
	rep.exited_at = &at;
	n = containerd__task__v2__delete_response__pack(&rep, out);
	return fs_write_all(STDOUT_FILENO, out, n) < 0 ? err_sys(e, errno, "answer") : 0;
}

int
command_delete(const struct place *p, struct err *e)
{
	struct err why = ERR_ZERO;

	if (living_end(p, e) < 0)
		return -(int)e->code;
	/* not_found: never chosen a runtime, or the runtime does not know it (any more) */
	if (runtime_delete(p, &why) < 0 && why.code != ERR_NOT_FOUND)
		log_warn("delete %s: %s", p->id, why.msg);
	SHIM_POINT("late.runtime");
	if (cgroup_clean(p->id, e) < 0 || rootfs_unmount("rootfs", e) < 0)
		return -(int)e->code;
	SHIM_POINT("late.unmounted");
	place_remove_sockets(p);
	return print_response(e);
}
