/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe - does an OCI runtime work on this host? Asked by doing: a container is created and deleted.
 *
 * Its root is the host's, bound read-only; its process is never started. What the probe makes (a
 * folder below /run or /tmp, a mount, a control group) is gone when it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"
#include "lib/base/log.h"
#include "workers/task/shim/cgroup.h"
#include "workers/task/shim/command.h"
#include "workers/task/shim/rootfs.h"
#include "workers/task/shim/runtime.h"

static const char config[] =
    "{\"ociVersion\":\"1.0.2\",\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"sh\"],"
    "\"env\":[\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"],\"cwd\":\"/\",\"noNewPrivileges\":true},"
    "\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"hostname\":\"probe\",\"mounts\":["
    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
    "\"options\":[\"nosuid\",\"mode=755\",\"size=65536k\"]}],\"linux\":{\"cgroupsPath\":\"/%s\","
    "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}],"
    "\"pids\":{\"limit\":16}},\"namespaces\":["
    "{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"},"
    "{\"type\":\"network\"}]}}";

struct probing {
	struct loop *loop;
	struct err end;
};

static void
on_end(void *arg, const struct err *e)
{
	struct probing *pr = arg;

	pr->end = *e;
	loop_stop(pr->loop, 0);
}

/* A runtime call, waited for. */
static int
call(struct probing *pr, struct runtime *rt, const char *const *verb, bool io, struct err *e)
{
	static const struct runtime_io none = { .fd = { -1, -1, -1 }, .words = -1 };

	if (runtime_call(rt, verb, io ? &none : NULL, on_end, pr, e) < 0)
		return -(int)e->code;
	(void)loop_run(pr->loop);
	*e = pr->end;
	return -(int)e->code;
}

static int
try_in(const char *name, const struct place *p, struct probing *pr, struct reaper *r, struct err *e)
{
	const char *create[] = { "create", "--bundle", p->bundle, p->id, NULL };
	const char *delete[] = { "delete", "--force", p->id, NULL };
	struct err left = ERR_ZERO;
	struct runtime rt;
	int made;

	if (runtime_choose(&rt, r, p, name, "", e) < 0)
		return -(int)e->code;
	/* its output is not kept: the process it leaves would hold the pipe */
	made = call(pr, &rt, create, true, e);
	if (call(pr, &rt, delete, false, &left) < 0 && made == 0)
		*e = left;
	if (cgroup_clean(p->id, &left) < 0)
		log_warn("%s", left.msg);
	return -(int)e->code;
}

static int
set_up(struct place *p, struct err *e)
{
	AUTO(free_ptr) char *text = NULL;
	char hex[17];

	ident_random(hex, 8);
	(void)snprintf(p->id, sizeof(p->id), "coffer-probe-%s", hex);
	(void)snprintf(p->bundle, sizeof(p->bundle), "/run/%s", p->id);
	if (mkdir(p->bundle, 0700) < 0) {
		(void)snprintf(p->bundle, sizeof(p->bundle), "/tmp/%s", p->id);
		if (mkdir(p->bundle, 0700) < 0)
			return err_sys(e, errno, "make folder %s", p->bundle);
	}
	(void)snprintf(p->runtime_root, sizeof(p->runtime_root), "%.200s/state", p->bundle);
	text = xasprintf(config, p->id);
	if (chdir(p->bundle) < 0 || mkdir("rootfs", 0700) < 0 ||
	    mount("/", "rootfs", "none", MS_BIND, NULL) < 0)
		return err_sys(e, errno, "set up a container's root");
	return fs_write(AT_FDCWD, "config.json", text, strlen(text), 0600, false, e);
}

static void
clean_up(const struct place *p)
{
	struct err e = ERR_ZERO;

	if (rootfs_unmount("rootfs", &e) < 0 || chdir("/") < 0 ||
	    fs_remove_tree(AT_FDCWD, p->bundle, &e) < 0)
		log_warn("%s", e.msg);
}

int
command_probe(struct err *e)
{
	static const char *const names[] = { "crun", "runc" };
	struct probing pr = { .loop = loop_new() };
	struct reaper *r = pr.loop == NULL ? NULL : reaper_new(pr.loop);
	char path[PATH_MAX];

	if (r == NULL)
		(void)err_sys(e, errno, "make the event loop");
	for (size_t i = 0; r != NULL && i < COUNT(names); i++) {
		struct err why = ERR_ZERO;
		AUTO(free_ptr) char *line = NULL;
		struct place p = { .ns = "probe" };

		if (run_find(names[i], path, sizeof(path), &why) < 0)
			continue;
		if (set_up(&p, &why) == 0)
			(void)try_in(names[i], &p, &pr, r, &why);
		clean_up(&p);
		line = why.code == ERR_NONE ? xasprintf("%s ok\n", names[i])
					    : xasprintf("%s failed: %s\n", names[i], why.msg);
		if (fs_write_all(STDOUT_FILENO, line, strlen(line)) < 0)
			(void)err_sys(e, errno, "answer");
	}
	reaper_free(&r);
	loop_free(&pr.loop);
	return -(int)e->code;
}
