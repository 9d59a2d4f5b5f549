/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main - containerd-shim-coffer-v1: a shim of generation 2 for containerd or Coffer.
 *
 *	containerd-shim-coffer-v1 -namespace NS -id ID -address A [-publish-binary B] [-bundle DIR] [-debug]
 *	    start | delete
 *	containerd-shim-coffer-v1 probe | ready | -v
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "workers/task/shim/cgroup.h"
#include "workers/task/shim/command.h"

static int
act(const struct shim_args *a, struct err *e)
{
	struct place p;

	if (strcmp(a->action, "probe") == 0)
		return command_probe(e);
	if (strcmp(a->action, "ready") == 0) {
		cgroup_make_ready();
		return 0;
	}
	if (place_make(&p, a, e) < 0)
		return -(int)e->code;
	if (strcmp(a->action, "start") == 0)
		return command_start(&p, a, e);
	if (strcmp(a->action, "delete") == 0)
		return command_delete(&p, e);
	if (a->action[0] == '\0')
		return command_serve(&p, e);
	return err_set(e, ERR_INVALID_ARGUMENT, "unknown command %.60s", a->action);
}

static void
say(int fd, const char *text)
{
	(void)fs_write_all(fd, text, strlen(text)); /* nobody to tell when this fails */
}

int
main(int argc, char **argv)
{
	struct err e = ERR_ZERO;
	struct shim_args a;

	(void)umask(022); /* modes are as the code says, whatever starts us */
	log_init("shim", LOG_INFO, false);
	if (shim_args_parse(argc, argv, &a, &e) == 0 && a.version) {
		say(STDOUT_FILENO, "containerd-shim-coffer-v1:\n  Version:  " CF_VERSION
				   "\n  Revision: " CF_REVISION "\n");
		return 0;
	}
	if (a.debug)
		log_init("shim", LOG_DEBUG, false);
	if (e.code == ERR_NONE)
		(void)act(&a, &e);
	if (e.code == ERR_NONE)
		return 0;
	say(STDERR_FILENO, "containerd-shim-coffer-v1: ");
	say(STDERR_FILENO, e.msg);
	say(STDERR_FILENO, "\n");
	return 1;
}
