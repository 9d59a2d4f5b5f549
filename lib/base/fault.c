/* SPDX-License-Identifier: Apache-2.0 */
/* fault - see fault.h. In a usual build only an empty fault_list is left of it. */
#include "lib/base/fault.h"

#ifndef CF_FAULT

void
fault_list(FILE *out)
{
	(void)out;
}

#else

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define TEXT_MAX 4096

/* The bounds of the section, made by the linker; weak, for a binary without a point. */
extern struct fault_point *const __start_cf_faults[] __attribute__((weak));
extern struct fault_point *const __stop_cf_faults[] __attribute__((weak));

static const struct {
	const char *name;
	int number;
} errnos[] = { { "ENOSPC", ENOSPC }, { "EIO", EIO }, { "ENOMEM", ENOMEM }, { "EMFILE", EMFILE },
	{ "EACCES", EACCES }, { "EPERM", EPERM }, { "ENOENT", ENOENT }, { "EEXIST", EEXIST },
	{ "EBUSY", EBUSY }, { "EAGAIN", EAGAIN }, { "EINTR", EINTR }, { "EPIPE", EPIPE },
	{ "EROFS", EROFS }, { "EDQUOT", EDQUOT }, { "ECONNREFUSED", ECONNREFUSED },
	{ "ECONNRESET", ECONNRESET }, { "ETIMEDOUT", ETIMEDOUT }, { "ENOSYS", ENOSYS } };

/* The settings into text (TEXT_MAX bytes); file: where they came from, NULL for the environment. */
static bool
settings(char *text, const char **file)
{
	const char *env = getenv("COFFER_FAULTS");
	ssize_t n;

	*file = NULL;
	if (env == NULL)
		return false;
	if (env[0] != '@') {
		(void)snprintf(text, TEXT_MAX, "%s", env);
		return true;
	}
	AUTO(fd_close) int fd = open(env + 1, O_RDONLY | O_CLOEXEC);

	n = fd < 0 ? -1 : read(fd, text, TEXT_MAX - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	*file = env + 1;
	return true;
}

/* The action set for a name, cut out of text; NULL when there is none. */
static char *
action_of(char *text, const char *name)
{
	size_t n = strlen(name);

	for (char *at = text, *next; *at != '\0'; at = next) {
		size_t len = strcspn(at, ";");

		next = at + len + (at[len] == ';');
		if (len > n && memcmp(at, name, n) == 0 && at[n] == '=') {
			at[len] = '\0';
			return at + n + 1;
		}
	}
	return NULL;
}

/* True for the first process that asks. Where no mark can be made the fault happens: better twice
 * than not at all. */
static bool
first_time(const char *file, const char *name)
{
	char mark[PATH_MAX];
	AUTO(fd_close) int fd = -1;

	if (file == NULL || snprintf(mark, sizeof(mark), "%s.%s", file, name) >= (int)sizeof(mark))
		return true;
	fd = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 && errno != EEXIST)
		log_warn("fault %s: cannot mark it in %s: %s", name, mark, strerror(errno));
	return fd >= 0 || errno != EEXIST;
}

static bool
act(const char *name, const char *action)
{
	log_warn("fault %s: %s", name, action);
	if (strcmp(action, "kill") == 0)
		(void)kill(getpid(), SIGKILL);
	else if (strcmp(action, "abort") == 0)
		abort();
	else if (strcmp(action, "stop") == 0)
		(void)raise(SIGSTOP);
	else if (strncmp(action, "delay:", 6) == 0) {
		long ms = strtol(action + 6, NULL, 10);
		struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

		(void)nanosleep(&ts, NULL);
	} else if (strncmp(action, "error:", 6) == 0) {
		for (size_t i = 0; i < COUNT(errnos); i++) {
			if (strcmp(action + 6, errnos[i].name) != 0)
				continue;
			errno = errnos[i].number;
			return true;
		}
		log_error("fault %s: errno %s is not known", name, action + 6);
	} else {
		log_error("fault %s: action %s is not known", name, action);
	}
	return false;
}

bool
fault_hit(struct fault_point *p)
{
	unsigned hit = __atomic_add_fetch(&p->hits, 1, __ATOMIC_RELAXED);
	char text[TEXT_MAX], *action, *at;
	const char *file;

	if (!settings(text, &file) || (action = action_of(text, p->name)) == NULL)
		return false;
	at = strchr(action, '@');
	if (at != NULL) {
		*at = '\0';
		if (strtoul(at + 1, NULL, 10) != hit)
			return false;
	}
	if (strncmp(action, "once:", 5) == 0) {
		if (!first_time(file, p->name))
			return false;
		action += 5;
	}
	return act(p->name, action);
}

void
fault_list(FILE *out)
{
	size_t n = (size_t)(__stop_cf_faults - __start_cf_faults);

	for (size_t i = 0; i < n; i++) {
		bool seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = strcmp(__start_cf_faults[i]->name, __start_cf_faults[j]->name) == 0;
		if (!seen)
			(void)fprintf(out, "%s\n", __start_cf_faults[i]->name);
	}
}

#endif
