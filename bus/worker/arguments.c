/* SPDX-License-Identifier: Apache-2.0 */
/* arguments - the command line a worker gets from the supervisor; see supervisor/control.h. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/worker/impl.h"
#include "lib/base/log.h"

static bool
number(const char *text, long *ret)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < 0)
		return false;
	*ret = n;
	return true;
}

static bool
groups(char *text, struct arguments *a)
{
	char *rest = text, *one;
	long gid;

	while ((one = strsep(&rest, ",")) != NULL) {
		if (*one == '\0')
			continue;
		if (a->ngroups == COUNT(a->groups) || !number(one, &gid))
			return false;
		a->groups[a->ngroups++] = (gid_t)gid;
	}
	return true;
}

static bool
crew(char *text, struct arguments *a)
{
	char *rest = text, *one;
	long uid;

	for (unsigned i = 0; i < PROC_COUNT; i++) {
		one = strsep(&rest, ",");
		if (one == NULL || !number(one, &uid))
			return false;
		a->crew[i] = (uid_t)uid;
	}
	return rest == NULL;
}

static bool
option(char *text, struct arguments *a)
{
	char *eq = strchr(text, '=');

	if (eq == NULL || a->noptions == OPTIONS_MAX)
		return false;
	*eq = '\0';
	a->keys[a->noptions] = text;
	a->values[a->noptions++] = eq + 1;
	return true;
}

static bool
take(int opt, char *value, struct arguments *a, int *level, bool *json)
{
	switch (opt) {
	case 'r':
		a->root = value;
		return true;
	case 's':
		a->state = value;
		return true;
	case 'l':
		*level = log_level_parse(value);
		return *level >= 0;
	case 'f':
		*json = strcmp(value, "json") == 0;
		return *json || strcmp(value, "text") == 0;
	case 'u':
		return number(value, &a->uid);
	case 'g':
		return number(value, &a->gid);
	case 'G':
		return groups(value, a);
	case 'c':
		return crew(value, a);
	case 'o':
		return option(value, a);
	default:
		return false;
	}
}

int
arguments_parse(int argc, char **argv, struct arguments *a)
{
	static const struct option longs[] = { { "root", 1, NULL, 'r' }, { "state", 1, NULL, 's' },
		{ "log-level", 1, NULL, 'l' }, { "log-format", 1, NULL, 'f' },
		{ "uid", 1, NULL, 'u' }, { "gid", 1, NULL, 'g' }, { "groups", 1, NULL, 'G' },
		{ "crew", 1, NULL, 'c' }, { NULL, 0, NULL, 0 } };
	const char *base = strrchr(argv[0], '/');
	int opt, level = LOG_INFO;
	bool json = false;

	*a = (struct arguments){ .uid = -1,
		.gid = -1,
		.crew = {
#define PROC(NAME, name, uid, caps, doc) [PROC_##NAME] = (uid),
#include "schemas/procs.def"
		} };
	while ((opt = getopt_long(argc, argv, "o:", longs, NULL)) != -1)
		if (!take(opt, optarg, a, &level, &json))
			goto usage;
	if (a->root == NULL || a->state == NULL || optind != argc)
		goto usage;
	base = base == NULL ? argv[0] : base + 1;
	if (strncmp(base, "coffer-", 7) == 0)
		base += 7;
	log_init(base, (enum log_level)level, json);
	return 0;
usage:
	(void)fprintf(
	    stderr, "%s: a worker of Coffer: it is started by cofferd, not by hand\n", argv[0]);
	return -1;
}
