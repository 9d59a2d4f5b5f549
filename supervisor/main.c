/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferd - the supervisor: holds the mailboxes, keeps the crew alive, carries out task's orders.
 *
 * One thread, libc alone. It holds no state that a restart could lose: killed at any instruction, the
 * next one finds shims by task's records, replaces sockets and boards' owners, and goes on.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/log.h"
#include "supervisor/cgroups.h"
#include "supervisor/config.h"
#include "supervisor/crew.h"
#include "supervisor/folders.h"
#include "supervisor/notify.h"
#include "supervisor/orders.h"
#include "supervisor/spawn.h"

#define EXIT_USAGE 2

struct daemon {
	struct config config;
	struct folders folders;
	struct loop *loop;
	struct crew crew;
	struct orders orders;
	char dir[PATH_MAX]; /* where this program is */
};

static const char help_text[] =
    "Usage: cofferd [OPTION]...\n"
    "Run containers: start Coffer's workers, keep them alive, start shims for them.\n"
    "\n"
    "  --root DIR          what must survive a reboot (default /var/lib/coffer)\n"
    "  --state DIR         sockets, mounts and tasks (default /run/coffer; at most 50 bytes long)\n"
    "  --config FILE       configuration (default " CONFIG_DEFAULT ", which may be missing)\n"
    "  --log-level LEVEL   debug, info, warn or error (default info)\n"
    "  --log-format FORM   text or json (default text)\n"
    "  --version           print the version\n"
    "  --help              print this\n"
    "\n"
    "SIGTERM and SIGINT stop the daemon; containers go on running and are found again by the next "
    "one.\n"
    "Options on the command line win over the configuration.\n";

/* What the command line said; applied after the file was read. */
struct cli {
	const char *root, *state, *config, *level, *format;
};

enum { CLI_RUN = -1 };

/* Exit status, or CLI_RUN. */
static int
cli_parse(int argc, char **argv, struct cli *cli)
{
	static const struct option longs[] = { { "root", 1, NULL, 'r' }, { "state", 1, NULL, 's' },
		{ "config", 1, NULL, 'c' }, { "log-level", 1, NULL, 'l' },
		{ "log-format", 1, NULL, 'f' }, { "version", 0, NULL, 'v' },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		switch (opt) {
		case 'r':
			cli->root = optarg;
			break;
		case 's':
			cli->state = optarg;
			break;
		case 'c':
			cli->config = optarg;
			break;
		case 'l':
			cli->level = optarg;
			break;
		case 'f':
			cli->format = optarg;
			break;
		case 'v':
			(void)printf("cofferd %s (%s)\n", CF_VERSION, CF_REVISION);
			return 0;
		case 'h':
			(void)fputs(help_text, stdout);
			return 0;
		case ':':
			(void)fprintf(stderr,
			    "cofferd: option %s needs a value (see cofferd --help)\n",
			    argv[optind - 1]);
			return EXIT_USAGE;
		default:
			(void)fprintf(stderr, "cofferd: unknown option %s (see cofferd --help)\n",
			    argv[optind - 1]);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return CLI_RUN;
	(void)fprintf(
	    stderr, "cofferd: unexpected argument %s (see cofferd --help)\n", argv[optind]);
	return EXIT_USAGE;
}

static int
settle(struct config *c, const struct cli *cli, struct err *e)
{
	int r = config_read(
	    c, cli->config != NULL ? cli->config : CONFIG_DEFAULT, cli->config != NULL, e);

	if (r < 0 || (cli->root != NULL && (r = config_folder(c->root, cli->root, e)) < 0) ||
	    (cli->state != NULL && (r = config_folder(c->state, cli->state, e)) < 0) ||
	    (cli->level != NULL && (r = config_log_level(c, cli->level, e)) < 0) ||
	    (cli->format != NULL && (r = config_log_format(c, cli->format, e)) < 0))
		return r;
	log_init("cofferd", (enum log_level)log_level_parse(c->log_level),
	    strcmp(c->log_format, "json") == 0);
	return 0;
}

static void
tell(const char *lines)
{
	struct err e = ERR_ZERO;

	if (notify_send(lines, &e) < 0)
		log_warn("%s", e.msg);
}

static void
on_ready(void *arg)
{
	char lines[64];

	(void)arg;
	log_info("ready");
	(void)snprintf(lines, sizeof(lines), "READY=1\nMAINPID=%d", getpid());
	tell(lines);
}

static void
on_order(void *arg, const struct order *o, int *fds, unsigned nfds)
{
	struct daemon *d = arg;

	orders_take(&d->orders, o, fds, nfds);
}

static void
on_writable(void *arg)
{
	struct daemon *d = arg;

	orders_flush(&d->orders);
}

static void
on_task_gone(void *arg)
{
	struct daemon *d = arg;

	orders_forget(&d->orders);
}

static void
on_stopped(void *arg)
{
	struct daemon *d = arg;

	loop_stop(d->loop, 0);
}

static void
on_signal(void *arg, int signo)
{
	struct daemon *d = arg;

	if (!d->crew.stopping) {
		log_info("SIG%s: the workers end; containers go on", sigabbrev_np(signo));
		tell("STOPPING=1");
	}
	crew_stop(&d->crew);
}

static int
ignore_signals(struct err *e)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	/* PIPE: a log reader that went away. HUP: the end of a terminal is no reason to end. Children
	 * get the defaults back. */
	if (sigaction(SIGPIPE, &ignore, NULL) < 0 || sigaction(SIGHUP, &ignore, NULL) < 0)
		return err_sys(e, errno, "ignore signals");
	return 0;
}

static int
find_self(char *dir, size_t size, struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", dir, size - 1);
	char *slash;

	if (n < 0)
		return err_sys(e, errno, "read /proc/self/exe");
	dir[n] = '\0';
	slash = strrchr(dir, '/');
	MUST(slash != NULL);
	*slash = '\0';
	return 0;
}

static int
run(struct daemon *d, struct err *e)
{
	const struct crew_hooks hooks = { .arg = d,
		.ready = on_ready,
		.order = on_order,
		.writable = on_writable,
		.task_gone = on_task_gone,
		.stopped = on_stopped };
	int r;

	if (geteuid() != 0)
		return err_set(e, ERR_PERMISSION_DENIED, "must be started as root");
	(void)umask(022);
	if ((r = ignore_signals(e)) < 0 || (r = find_self(d->dir, sizeof(d->dir), e)) < 0 ||
	    (r = folders_open(&d->folders, &d->config, e)) < 0)
		return r;
	if (chdir("/") < 0)
		return err_sys(e, errno, "go to /");
	d->loop = loop_new();
	if (d->loop == NULL || loop_signal(d->loop, SIGTERM, on_signal, d) == NULL ||
	    loop_signal(d->loop, SIGINT, on_signal, d) == NULL)
		return err_sys(e, errno, "make the event loop");
	log_info("cofferd %s (%s) starts: root %s, state %s", CF_VERSION, CF_REVISION,
	    d->folders.root, d->folders.state);
	orders_open(&d->orders, d->loop, &d->folders, &d->crew, d->dir);
	r = crew_open(&d->crew, d->loop, &d->config, &d->folders, &hooks, d->dir, e);
	if (r < 0)
		return r;
	(void)loop_run(d->loop);
	cgroups_prune(d->folders.state);
	log_info("ended");
	return 0;
}

int
main(int argc, char **argv)
{
	static struct daemon d; /* preallocated: what the loop needs is here, not on the heap */
	struct cli cli = { .root = NULL };
	struct err e = ERR_ZERO;
	int status = cli_parse(argc, argv, &cli);

	if (status != CLI_RUN)
		return status;
	folders_init(&d.folders);
	config_init(&d.config);
	log_init("cofferd", LOG_INFO, false);
	notify_init();
	if (spawn_guard_stdio(&e) < 0) {
		status = 1;
	} else if (settle(&d.config, &cli, &e) < 0) {
		status = EXIT_USAGE;
	} else {
		status = run(&d, &e) < 0 ? 1 : 0;
		crew_close(&d.crew);
		orders_close(&d.orders);
		folders_close(&d.folders);
		loop_free(&d.loop);
	}
	if (status != 0)
		(void)fprintf(stderr, "cofferd: %s\n", e.msg);
	config_free(&d.config);
	return status;
}
