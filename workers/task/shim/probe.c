/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe - does an OCI runtime work on this host? Asked by doing: a container is created and deleted.
 *
 * Its root is the host's, bound read-only; its process is never started. What the probe makes (a
 * folder below /run or /tmp, a mount, a control group) is gone when it ends; it does not end with the daemon
 * that asked, but in order, a moment later. When it is killed, the mount
 * goes with its mount namespace; folder and control group are found and removed by the next probe: the
 * folder is locked by a living one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
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

#define PREFIX "coffer-probe-"

static const char *const homes[] = { "/run", "/tmp" };

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

/* Our mounts are seen by nobody else and end with us, however that happens: one of them is the host's
 * root, which must never be left below a folder that somebody tidies up. */
static int
mounts_of_our_own(struct err *e)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, errno, "make a mount namespace");
	return 0;
}

/* The folder of a probe, locked for as long as the descriptor is open. -1: there is none, or it lives. */
static int
folder_lock(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		fd_close(&fd);
	return fd;
}

/* What a probe left that was killed. */
static void
sweep(const char *home)
{
	AUTO(dir_close) DIR *d = opendir(home);
	struct dirent *ent;

	while (d != NULL && (ent = readdir(d)) != NULL) {
		AUTO(fd_close) int fd = -1;
		struct err e = ERR_ZERO;
		struct stat st;
		char path[PATH_MAX];

		if (strncmp(ent->d_name, PREFIX, strlen(PREFIX)) != 0 ||
		    snprintf(path, sizeof(path), "%s/%s", home, ent->d_name) >= (int)sizeof(path))
			continue;
		fd = folder_lock(path);
		if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != 0 || fchdir(fd) < 0)
			continue;
		if (cgroup_clean(ent->d_name, &e) < 0 || rootfs_unmount("rootfs", &e) < 0 ||
		    fs_remove_tree(AT_FDCWD, path, &e) < 0)
			log_warn("%s", e.msg);
	}
	(void)!chdir("/");
}

/* Makes the folder; ret_lock holds it. Another probe may sweep it away before it is locked: then again. */
static int
folder_make(struct place *p, int *ret_lock, struct err *e)
{
	char hex[17];

	for (size_t i = 0; i < 4 * COUNT(homes); i++) {
		AUTO(fd_close) int fd = -1;

		ident_random(hex, 8);
		(void)snprintf(p->id, sizeof(p->id), PREFIX "%s", hex);
		(void)snprintf(p->bundle, sizeof(p->bundle), "%s/%s", homes[i / 4], p->id);
		if (mkdir(p->bundle, 0700) < 0)
			continue;
		fd = folder_lock(p->bundle);
		if (fd >= 0 && access(p->bundle, F_OK) == 0) {
			*ret_lock = fd_take(&fd);
			return 0;
		}
	}
	(void)err_sys(e, errno, "make folder %s", p->bundle);
	p->bundle[0] = '\0';
	return -(int)e->code;
}

static int
set_up(struct place *p, int *ret_lock, struct err *e)
{
	AUTO(free_ptr) char *text = NULL;

	if (folder_make(p, ret_lock, e) < 0)
		return -(int)e->code;
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

	if (p->bundle[0] == '\0')
		return;
	if (rootfs_unmount("rootfs", &e) < 0 || chdir("/") < 0 ||
	    fs_remove_tree(AT_FDCWD, p->bundle, &e) < 0)
		log_warn("%s", e.msg);
}

/* Tries a runtime: a line on stdout. */
static int
probe_one(const char *name, struct probing *pr, struct reaper *r, struct err *e)
{
	AUTO(free_ptr) char *line = NULL;
	AUTO(fd_close) int lock = -1;
	struct place p = { .ns = "probe" };
	struct err why = ERR_ZERO;

	if (set_up(&p, &lock, &why) == 0)
		(void)try_in(name, &p, pr, r, &why);
	clean_up(&p);
	line = why.code == ERR_NONE ? xasprintf("%s ok\n", name)
				    : xasprintf("%s failed: %s\n", name, why.msg);
	if (fs_write_all(STDOUT_FILENO, line, strlen(line)) < 0)
		return err_sys(e, errno, "answer");
	return 0;
}

int
command_probe(struct err *e)
{
	static const char *const names[] = { "crun", "runc" };
	struct probing pr = { .loop = loop_new() };
	struct reaper *r = pr.loop == NULL ? NULL : reaper_new(pr.loop);
	char path[PATH_MAX];

	(void)prctl(PR_SET_PDEATHSIG, 0);
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	if (r == NULL)
		(void)err_sys(e, errno, "make the event loop");
	else if (mounts_of_our_own(e) == 0)
		for (size_t i = 0; i < COUNT(homes); i++)
			sweep(homes[i]);
	for (size_t i = 0; e->code == ERR_NONE && i < COUNT(names); i++) {
		struct err none = ERR_ZERO;

		if (run_find(names[i], path, sizeof(path), &none) == 0)
			(void)probe_one(names[i], &pr, r, e);
	}
	reaper_free(&r);
	loop_free(&pr.loop);
	return -(int)e->code;
}
