/* SPDX-License-Identifier: Apache-2.0 */
/* help - see help.h: --help of ctr, of a group and of a verb. */
#include "ctr/help.h"

#include <string.h>
#include <unistd.h>

#include "ctr/terminal.h"
#include "lib/base/auto.h"
#include "lib/base/buf.h"

#define INDENT 4
#define WIDTH_MAX 92
#define WIDTH_MIN 40

static unsigned
help_width(FILE *to)
{
	unsigned width = 80, height;

	(void)terminal_size(fileno(to), &width, &height);
	return width > WIDTH_MAX ? WIDTH_MAX : width < WIDTH_MIN ? WIDTH_MIN : width;
}

/* Prints text in lines of at most width columns, each indented; at: the column where we stand. */
static void
wrap(FILE *to, const char *text, unsigned indent, unsigned at, unsigned width)
{
	bool first = true;

	for (;;) {
		size_t n;

		if (strncmp(text, "\n\n", 2) == 0) {
			(void)fprintf(to, "\n\n");
			text += 2;
			at = 0;
			first = true;
		}
		text += strspn(text, " ");
		n = strcspn(text, " \n");
		if (n == 0)
			break;
		if (!first && at + 1 + n > width) {
			(void)fputc('\n', to);
			at = 0;
			first = true;
		}
		if (at < indent) {
			(void)fprintf(to, "%*s", (int)(indent - at), "");
			at = indent;
		}
		if (!first)
			(void)fputc(' ', to);
		(void)fprintf(to, "%.*s", (int)n, text);
		at += (unsigned)n + !first;
		first = false;
		text += n;
		if (*text == '\n' && text[1] != '\n')
			text++;
	}
	(void)fputc('\n', to);
}

/* Lines as they are, indented. */
static void
verbatim(FILE *to, const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");

		(void)fprintf(to, "%*s%.*s\n", INDENT, "", (int)n, text);
		text += n;
		text += *text == '\n';
	}
}

static void
brief_line(FILE *to, const char *name, const char *brief)
{
	(void)fprintf(to, "%*s%-24s %s\n", INDENT, "", name, brief);
}

static void
options_print(FILE *to, const struct opt *table, unsigned width)
{
	for (const struct opt *o = table; o->name != NULL; o++) {
		char left[64];
		int n;

		n = o->letter != 0 ? snprintf(left, sizeof(left), "-%c, --%s", o->letter, o->name)
				   : snprintf(left, sizeof(left), "    --%s", o->name);
		if (o->arg != NULL)
			(void)snprintf(left + n, sizeof(left) - (size_t)n, " %s", o->arg);
		n = fprintf(to, "%*s%s", INDENT, "", left);
		if (n > 27) {
			(void)fputc('\n', to);
			n = 0;
		}
		wrap(to, o->help, 28, n < 0 ? 0 : (unsigned)n, width);
	}
}

/* "list, ls" */
static void
names_print(FILE *to, const char *name, const char *also)
{
	(void)fputs(name, to);
	while (also != NULL && *also != '\0') {
		size_t n = strcspn(also, "|");

		(void)fprintf(to, ", %.*s", (int)n, also);
		also += n;
		also += *also == '|';
	}
}

static void
group_verbs(FILE *to, const char *group)
{
	for (unsigned i = 0; i < verbs_count; i++) {
		char name[64];

		if (verbs[i].hidden || (group == NULL) != (verbs[i].group == NULL) ||
		    (group != NULL && strcmp(verbs[i].group, group) != 0))
			continue;
		(void)snprintf(name, sizeof(name), "%s%s%s", group == NULL ? "" : group,
		    group == NULL ? "" : " ", verbs[i].name);
		brief_line(to, name, verbs[i].brief);
	}
}

void
help_all(FILE *to)
{
	unsigned width = help_width(to);

	(void)fprintf(to, "NAME\n    ctr - run and manage containers with Coffer\n\n"
			  "SYNOPSIS\n    ctr [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n\n"
			  "COMMANDS\n");
	group_verbs(to, NULL);
	for (unsigned i = 0; i < groups_count; i++) {
		(void)fputc('\n', to);
		group_verbs(to, groups[i].name);
	}
	(void)fprintf(to, "\nGLOBAL OPTIONS\n");
	options_print(to, global_opts, width);
	(void)fprintf(to, "\n");
	wrap(to,
	    "Global options may also stand behind the command. ctr COMMAND --help explains a "
	    "command; groups can be written short: image or i, container or c, task or t, ns, "
	    "event, and list as ls, delete as rm.",
	    INDENT, 0, width);
	(void)fprintf(to,
	    "\nENVIRONMENT\n"
	    "    COFFER_ADDRESS      what --address is when it is not given\n"
	    "    COFFER_NAMESPACE    what --namespace is when it is not given\n"
	    "\nEXIT STATUS\n"
	    "    0 done, 1 failed, 2 wrong usage or a value that is not allowed;\n"
	    "    run and exec give the exit status of their process, else 125, 126, 127:\n"
	    "    see their help.\n");
}

void
help_group(FILE *to, const struct group *g)
{
	(void)fprintf(to, "NAME\n    ctr ");
	names_print(to, g->name, g->also);
	(void)fprintf(to, " - %s\n\nCOMMANDS\n", g->brief);
	group_verbs(to, g->name);
	(void)fprintf(to, "\n    ctr %s COMMAND --help explains a command.\n", g->name);
}

void
help_verb(FILE *to, const struct verb *v)
{
	const char *space = v->group == NULL ? "" : " ", *group = v->group == NULL ? "" : v->group;
	unsigned width = help_width(to);

	(void)fprintf(to, "NAME\n    ctr %s%s", group, space);
	names_print(to, v->name, v->also);
	(void)fprintf(to, " - %s\n\nSYNOPSIS\n    ctr %s%s%s%s%s%s\n\nDESCRIPTION\n", v->brief,
	    group, space, v->name, v->opts[0] == NULL ? "" : " [OPTIONS]",
	    v->args[0] == '\0' ? "" : " ", v->args);
	wrap(to, v->text, INDENT, 0, width);
	if (v->opts[0] != NULL) {
		(void)fprintf(to, "\nOPTIONS\n");
		for (size_t i = 0; i < COUNT(v->opts) && v->opts[i] != NULL; i++)
			options_print(to, v->opts[i], width);
	}
	if (v->examples != NULL) {
		(void)fprintf(to, "\nEXAMPLES\n");
		verbatim(to, v->examples);
	}
	(void)fprintf(to, "\nEXIT STATUS\n");
	wrap(to,
	    v->exits != NULL ? v->exits
			     : "0 when it was done, 1 when not, 2 when the command line or a value "
			       "in it is wrong.",
	    INDENT, 0, width);
}
