/* SPDX-License-Identifier: Apache-2.0 */
/* runtime - see runtime.h */
#include "workers/task/shim/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/task/shim/words.h"

#define RECORD_NAME "coffer.runtime"
#define LOG_MAX (256u << 10)

struct rt_call {
	uint64_t timeout_ms;
	char log[32]; /* in the bundle */
	char verb[16];
	int words_fd; /* what the container's stderr would be: the runtime's words when it logged none */
	runtime_done_fn *done;
	void *arg;
};

/* crun refuses hosts where both versions have controllers. */
static bool
hybrid_cgroups(void)
{
	struct statfs fs;

	return statfs("/sys/fs/cgroup/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

int
runtime_choose(struct runtime *rt, struct reaper *r, const struct place *p, const char *wanted,
    const char *root, struct err *e)
{
	const char *name = wanted[0] != '\0' ? wanted : p->runtime;

	memset(rt, 0, sizeof(*rt));
	rt->reaper = r;
	rt->timeout_ms = p->runtime_timeout_ms != 0 ? p->runtime_timeout_ms : RUNTIME_TIMEOUT_MS;
	(void)snprintf(rt->id, sizeof(rt->id), "%s", p->id);
	(void)snprintf(rt->bundle, sizeof(rt->bundle), "%s", p->bundle);
	if (root[0] != '\0' && (root[0] != '/' || strlen(root) >= sizeof(rt->root)))
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "state folder of the OCI runtime must be an absolute path");
	(void)snprintf(rt->root, sizeof(rt->root), "%s", root[0] != '\0' ? root : p->runtime_root);
	if (name[0] == '\0' &&
	    (hybrid_cgroups() || run_find("crun", rt->binary, sizeof(rt->binary), e) < 0)) {
		*e = ERR_ZERO;
		name = "runc";
	}
	if (name[0] != '\0' && run_find(name, rt->binary, sizeof(rt->binary), e) < 0)
		return -(int)e->code;
	return fs_mkdirs(AT_FDCWD, rt->root, 0711, e);
}

int
runtime_save(const struct runtime *rt, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;

	if (strchr(rt->binary, '\n') != NULL || strchr(rt->root, '\n') != NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "a runtime's path can't have line breaks");
	(void)buf_addf(&text, "%s\n%s\n%d\n", rt->binary, rt->root, rt->systemd_cgroup);
	return fs_write(AT_FDCWD, RECORD_NAME, text.data, text.len, 0600, false, e);
}

int
runtime_load(struct runtime *rt, struct reaper *r, const struct place *p, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(free_ptr) char *binary = NULL, *root = NULL;
	int systemd = 0;

	if (fs_read(AT_FDCWD, RECORD_NAME, 3 * PATH_MAX, &text, e) < 0)
		return -(int)e->code;
	if (sscanf(buf_str(&text), "%m[^\n]\n%m[^\n]\n%d", &binary, &root, &systemd) != 3)
		return err_set(e, ERR_DATA_LOSS, "%s: not as we wrote it", RECORD_NAME);
	if (runtime_choose(rt, r, p, binary, root, e) < 0)
		return -(int)e->code;
	rt->systemd_cgroup = systemd != 0;
	return 0;
}

bool
runtime_is_native(const struct runtime *rt)
{
	const char *slash = strrchr(rt->binary, '/');

	slash = slash == NULL ? rt->binary : slash + 1;
	return strcmp(slash, "runc") == 0 || strcmp(slash, "crun") == 0;
}

/* The class by which callers tell failures apart; the runtimes only have words. */
static enum err_code
class_of(const char *words)
{
	static const struct {
		const char *part;
		enum err_code code;
	} known[] = {
		{ "executable file not found", ERR_NOT_FOUND },
		{ "does not exist", ERR_NOT_FOUND },
		{ "already finished", ERR_NOT_FOUND },
		{ "No such process", ERR_NOT_FOUND },
		{ "ermission denied", ERR_PERMISSION_DENIED },
		{ "o such file or directory", ERR_NOT_FOUND },
		{ "already exists", ERR_ALREADY_EXISTS },
		{ "not running", ERR_FAILED_PRECONDITION },
		{ "paused", ERR_FAILED_PRECONDITION },
	};

	for (size_t i = 0; i < COUNT(known); i++)
		if (strstr(words, known[i].part) != NULL)
			return known[i].code;
	return ERR_INTERNAL;
}

/* Where the runtime's own words are, best first: its log, its output, the container's stderr. */
static void
find_words(const struct rt_call *c, const struct run_end *end, char *words, size_t size)
{
	AUTO(buf_free) struct buf log = BUF_ZERO;
	struct err ignored = ERR_ZERO;
	char text[1024];
	ssize_t n;

	(void)fs_read(AT_FDCWD, c->log, LOG_MAX, &log, &ignored);
	if (words_last(buf_str(&log), words, size) || words_last_line(end->output, words, size))
		return;
	n = c->words_fd < 0 ? -1 : read(c->words_fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	if (!words_last_line(text, words, size))
		(void)snprintf(words, size, "it gave no reason");
}

static void
on_end(void *arg, const struct run_end *end)
{
	struct rt_call *c = arg;
	struct err e = ERR_ZERO;
	char words[400];

	if (end->timed_out) {
		(void)err_set(&e, ERR_DEADLINE_EXCEEDED,
		    "OCI runtime %s: killed after %" PRIu64 " ms without an end", c->verb,
		    c->timeout_ms);
	} else if (WIFSIGNALED(end->status)) {
		(void)err_set(&e, ERR_INTERNAL, "OCI runtime %s: ended by signal %d", c->verb,
		    WTERMSIG(end->status));
	} else if (WEXITSTATUS(end->status) != 0) {
		find_words(c, end, words, sizeof(words));
		(void)err_set(&e, class_of(words), "OCI runtime %s: %s", c->verb, words);
	}
	(void)unlink(c->log);
	fd_close(&c->words_fd);
	c->done(c->arg, &e);
	free(c);
}

int
runtime_call(struct runtime *rt, const char *const *verb, const struct runtime_io *io,
    runtime_done_fn *done, void *arg, struct err *e)
{
	struct rt_call *c = xcalloc(1, sizeof(*c));
	AUTO(free_ptr) char *log = NULL;
	struct run_spec spec = { .fd = { -1, RUN_OUTPUT, RUN_OUTPUT },
		.timeout_ms = rt->timeout_ms };
	unsigned n = 0;

	*c = (struct rt_call){
		.timeout_ms = rt->timeout_ms, .words_fd = -1, .done = done, .arg = arg
	};
	(void)snprintf(c->verb, sizeof(c->verb), "%s", verb[0]);
	(void)snprintf(c->log, sizeof(c->log), "log.%u.json", ++rt->calls);
	log = xasprintf("%s/%s", rt->bundle, c->log);
	spec.argv[n++] = rt->binary;
	spec.argv[n++] = "--root";
	spec.argv[n++] = rt->root;
	spec.argv[n++] = "--log";
	spec.argv[n++] = log;
	spec.argv[n++] = "--log-format";
	spec.argv[n++] = "json";
	if (rt->systemd_cgroup)
		spec.argv[n++] = "--systemd-cgroup";
	for (; *verb != NULL; verb++) {
		MUST(n + 1 < RUN_ARGS_MAX);
		spec.argv[n++] = *verb;
	}
	if (io != NULL) {
		memcpy(spec.fd, io->fd, sizeof(spec.fd));
		c->words_fd = io->words < 0 ? -1 : fcntl(io->words, F_DUPFD_CLOEXEC, 3);
	}
	if (run_start(rt->reaper, &spec, on_end, c, e) < 0) {
		fd_close(&c->words_fd);
		free(c);
		return -(int)e->code;
	}
	return 0;
}
