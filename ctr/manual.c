/* SPDX-License-Identifier: Apache-2.0 */
/* manual - ctr.1 and the completion for bash from the tables; see help.h. */
#include <string.h>

#include "ctr/help.h"

/* --- roff ----------------------------------------------------------------------------------------- */

/* Text that roff prints as it is: dashes stay dashes, a line never starts a request. */
static void
roff_n(FILE *to, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool start = i == 0 || text[i - 1] == '\n';

		if (start && (text[i] == '.' || text[i] == '\''))
			(void)fputs("\\&", to);
		if (text[i] == '\\')
			(void)fputs("\\e", to);
		else if (text[i] == '-')
			(void)fputs("\\-", to);
		else
			(void)fputc(text[i], to);
	}
}

static void
roff(FILE *to, const char *text)
{
	roff_n(to, text, strlen(text));
}

static void
roff_paragraphs(FILE *to, const char *text)
{
	for (;;) {
		const char *end = strstr(text, "\n\n");

		roff_n(to, text, end == NULL ? strlen(text) : (size_t)(end - text));
		(void)fputc('\n', to);
		if (end == NULL)
			return;
		(void)fputs(".PP\n", to);
		text = end + 2;
	}
}

static void
roff_options(FILE *to, const struct opt *table)
{
	for (const struct opt *o = table; o->name != NULL; o++) {
		(void)fputs(".TP\n", to);
		if (o->letter != 0)
			(void)fprintf(to, "\\fB\\-%c\\fR, ", o->letter);
		(void)fputs("\\fB\\-\\-", to);
		roff(to, o->name);
		(void)fputs("\\fR", to);
		if (o->arg != NULL) {
			(void)fputs(" \\fI", to);
			roff(to, o->arg);
			(void)fputs("\\fR", to);
		}
		(void)fputc('\n', to);
		roff(to, o->help);
		(void)fputc('\n', to);
	}
}

static void
roff_verb(FILE *to, const struct verb *v)
{
	(void)fprintf(to, ".SS ctr %s%s%s ", v->group == NULL ? "" : v->group,
	    v->group == NULL ? "" : " ", v->name);
	roff(to, v->args);
	(void)fputc('\n', to);
	roff_paragraphs(to, v->text);
	for (size_t i = 0; i < COUNT(v->opts) && v->opts[i] != NULL; i++)
		roff_options(to, v->opts[i]);
	if (v->exits != NULL) {
		(void)fputs(".PP\nExit status: ", to);
		roff_paragraphs(to, v->exits);
	}
	if (v->examples != NULL) {
		(void)fputs(".PP\n.RS 4\n.nf\n", to);
		roff(to, v->examples);
		(void)fputs("\n.fi\n.RE\n", to);
	}
}

static void
roff_verbs(FILE *to, const char *group)
{
	for (unsigned i = 0; i < verbs_count; i++) {
		const struct verb *v = &verbs[i];

		if (!v->hidden && (group == NULL) == (v->group == NULL) &&
		    (group == NULL || strcmp(group, v->group) == 0))
			roff_verb(to, v);
	}
}

void
help_manual(FILE *to)
{
	(void)fputs(
	    ".\\\" Made from the tables of ctr by `ctr manual`: change those, not this.\n"
	    ".TH CTR 1 \"\" \"coffer " CF_VERSION "\" \"Coffer\"\n"
	    ".SH NAME\nctr \\- run and manage containers with Coffer\n"
	    ".SH SYNOPSIS\n\\fBctr\\fR [\\fIglobal options\\fR] \\fIcommand\\fR [\\fIoptions\\fR] "
	    "[\\fIarguments\\fR]\n"
	    ".SH DESCRIPTION\n"
	    "ctr talks to\n.BR cofferd (8)\n"
	    "over the sockets in its state folder. Root may use them, and the members of the "
	    "group\n"
	    ".BR coffer ,\nwho thereby are as good as root on this host.\n"
	    ".PP\nThe worker processes of the daemon may be killed and the daemon itself replaced "
	    "at any time: requests\nthat were not answered are sent again, and nothing is seen of "
	    "it here.\n"
	    ".PP\nGroups of commands can be written short, as in containerd's ctr: image or i, "
	    "container or c,\ntask or t, snapshot, ns, event; list as ls, delete as rm.\n"
	    ".SH GLOBAL OPTIONS\nThey may stand before the command or among its options.\n",
	    to);
	roff_options(to, global_opts);
	(void)fputs(".SH COMMANDS\n", to);
	roff_verbs(to, NULL);
	for (unsigned i = 0; i < groups_count; i++)
		roff_verbs(to, groups[i].name);
	(void)fputs(
	    ".SH EXIT STATUS\n.TP\n0\nDone.\n.TP\n1\nNot done; one line on stderr says why.\n"
	    ".TP\n2\nThe command line is wrong, or a value in it is not allowed.\n"
	    ".TP\n125, 126, 127\nrun and exec: it did not come to running; the command cannot be "
	    "executed; there is no such command.\n"
	    ".TP\n130\nInterrupted.\n"
	    ".SH ENVIRONMENT\n.TP\nCOFFER_ADDRESS\nState folder of the daemon.\n"
	    ".TP\nCOFFER_NAMESPACE\nNamespace to work in.\n"
	    ".SH FILES\n.TP\n/run/coffer\nState folder: sockets in bus/, one page about each "
	    "worker "
	    "in board/.\n"
	    ".SH SEE ALSO\n.BR cofferd (8),\n.BR runc (8),\n.BR crun (1)\n",
	    to);
}

int
manual_show(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)c;
	(void)o;
	(void)e;
	help_manual(stdout);
	return 0;
}

/* --- bash ----------------------------------------------------------------------------------------- */

/* name|also|also) */
static void
bash_names(FILE *to, const char *name, const char *also, const char *more)
{
	(void)fprintf(
	    to, "%s%s%s%s", name, also == NULL ? "" : "|", also == NULL ? "" : also, more);
}

static void
bash_options(FILE *to, const struct opt *const *tables, size_t n, bool with_value)
{
	bool first = true;

	for (size_t i = 0; i < n && tables[i] != NULL; i++)
		for (const struct opt *o = tables[i]; o->name != NULL; o++) {
			if (with_value && o->kind == OPT_FLAG)
				continue;
			(void)fprintf(to, "%s--%s", first ? "" : " ", o->name);
			first = false;
			if (with_value && o->letter != 0)
				(void)fprintf(to, " -%c", o->letter);
		}
}

/* What completes a word of args: names of a group, files, or "-", nothing. */
static const char *
bash_kind(const char *word)
{
	static const struct {
		const char *word, *kind;
	} kinds[] = { { "CONTAINER", "containers" }, { "IMAGE", "images" }, { "DIGEST", "content" },
		{ "NAMESPACE", "namespaces" }, { "LEASE", "leases" }, { "DIR", "files" },
		{ "FILE", "files" } };
	size_t n = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");

	for (size_t i = 0; i < COUNT(kinds); i++)
		if (strlen(kinds[i].word) == n && strncmp(word, kinds[i].word, n) == 0)
			return kinds[i].kind;
	return "-";
}

/* One for each word of args; the last one counts for those behind it when it ends with "...". */
static void
bash_kinds(FILE *to, const char *args)
{
	bool again = strstr(args, "...") != NULL;

	while (*args != '\0') {
		args += *args == '[';
		(void)fprintf(to, "%s ", bash_kind(args));
		args += strcspn(args, " ");
		args += *args == ' ';
	}
	(void)fputs(again ? "" : "-", to);
}

static void
bash_verb(FILE *to, const struct verb *v)
{
	(void)fprintf(to, "\t\"%s%s%s\") opts=\"", v->group == NULL ? "" : v->group,
	    v->group == NULL ? "" : " ", v->name);
	bash_options(to, v->opts, COUNT(v->opts), false);
	(void)fputs("\" values=\"", to);
	bash_options(to, v->opts, COUNT(v->opts), true);
	(void)fputs("\" kinds=(", to);
	bash_kinds(to, v->args);
	(void)fputs(") ;;\n", to);
}

static void
bash_canonical(FILE *to)
{
	(void)fputs("\tcase \"$1\" in\n", to);
	for (unsigned i = 0; i < groups_count; i++) {
		(void)fputs("\t", to);
		bash_names(to, groups[i].name, groups[i].also, ")");
		(void)fprintf(to, " echo %s ;;\n", groups[i].name);
	}
	(void)fputs("\t*) echo \"$1\" ;;\n\tesac\n", to);
}

static void
bash_group_verbs(FILE *to)
{
	(void)fputs("\tcase \"$1\" in\n", to);
	for (unsigned g = 0; g < groups_count; g++) {
		(void)fprintf(to, "\t%s) echo \"", groups[g].name);
		for (unsigned i = 0, n = 0; i < verbs_count; i++)
			if (verbs[i].group != NULL && !verbs[i].hidden &&
			    strcmp(verbs[i].group, groups[g].name) == 0)
				(void)fprintf(to, "%s%s", n++ == 0 ? "" : " ", verbs[i].name);
		(void)fputs("\" ;;\n", to);
	}
	(void)fputs("\tesac\n", to);
}

static void
bash_verb_canonical(FILE *to)
{
	(void)fputs("\tcase \"$1 $2\" in\n", to);
	for (unsigned i = 0; i < verbs_count; i++) {
		const char *also = verbs[i].also;

		while (verbs[i].group != NULL && also != NULL && *also != '\0') {
			size_t n = strcspn(also, "|");

			(void)fprintf(to, "\t\"%s %.*s\") echo %s ;;\n", verbs[i].group, (int)n,
			    also, verbs[i].name);
			also += n;
			also += *also == '|';
		}
	}
	(void)fputs("\t*) echo \"$2\" ;;\n\tesac\n", to);
}

void
help_completion_bash(FILE *to)
{
	const struct opt *const globals[] = { global_opts };

	(void)fputs(
	    "# bash completion for ctr; made by `ctr completion bash`\n\n_ctr_group()\n{\n", to);
	bash_canonical(to);
	(void)fputs("}\n\n_ctr_verbs()\n{\n", to);
	bash_group_verbs(to);
	(void)fputs("}\n\n_ctr_verb()\n{\n", to);
	bash_verb_canonical(to);
	(void)fputs(
	    "}\n\n_ctr_table()\n{\n\topts=\"\" values=\"\" kinds=()\n\tcase \"$1\" in\n", to);
	for (unsigned i = 0; i < verbs_count; i++)
		if (!verbs[i].hidden)
			bash_verb(to, &verbs[i]);
	(void)fputs("\tesac\n\topts+=\" ", to);
	bash_options(to, globals, 1, false);
	(void)fputs("\"\n\tvalues+=\" ", to);
	bash_options(to, globals, 1, true);
	(void)fputs(
	    "\"\n}\n\n"
	    "# compgen -W expands its words, commands in them too, and images may have any name.\n"
	    "_ctr_names()\n{\n"
	    "\tctr \"${globals[@]}\" \"$1\" list -q 2>/dev/null |\n"
	    "\t    LC_ALL=C grep -xE '[A-Za-z0-9][A-Za-z0-9._:/@+-]*'\n"
	    "}\n\n_ctr()\n{\n\tlocal top=\"",
	    to);
	for (unsigned i = 0, n = 0; i < verbs_count; i++)
		if (!verbs[i].hidden && verbs[i].group == NULL)
			(void)fprintf(to, "%s%s", n++ == 0 ? "" : " ", verbs[i].name);
	for (unsigned i = 0; i < groups_count; i++)
		(void)fprintf(to, " %s", groups[i].name);
	(void)fputs("\"\n", to);
	(void)fputs(
	    "\tlocal cur prev words cword names=() globals=() i word opts values kinds=() kind "
	    "command at\n"
	    "\t# References have colons, where bash would take words apart.\n"
	    "\tif declare -F _get_comp_words_by_ref >/dev/null; then\n"
	    "\t\t_get_comp_words_by_ref -n : cur prev words cword\n"
	    "\telse\n"
	    "\t\twords=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD\n"
	    "\t\tcur=\"${words[cword]}\" prev=\"${words[cword-1]}\"\n"
	    "\tfi\n"
	    "\t_ctr_table \"\"\n"
	    "\t# What stands before the word under the cursor, without options and their values.\n"
	    "\tfor ((i = 1; i < cword; i++)); do\n"
	    "\t\tword=\"${words[i]}\"\n"
	    "\t\tcase \"$word\" in\n"
	    "\t\t-a|--address|-n|--namespace) globals+=(\"$word\" \"${words[i+1]}\"); i=$((i + 1)) "
	    ";;\n"
	    "\t\t-*) [[ \" $values \" == *\" $word \"* ]] && i=$((i + 1)) ;;\n"
	    "\t\t*)\n"
	    "\t\t\tnames+=(\"$word\")\n"
	    "\t\t\tcommand=$(_ctr_group \"${names[0]}\")\n"
	    "\t\t\tif [[ -n \"$(_ctr_verbs \"$command\")\" && ${#names[@]} -ge 2 ]]; then\n"
	    "\t\t\t\tcommand+=\" $(_ctr_verb \"$command\" \"${names[1]}\")\"\n"
	    "\t\t\tfi\n"
	    "\t\t\t_ctr_table \"$command\"\n"
	    "\t\t\t;;\n"
	    "\t\tesac\n"
	    "\tdone\n"
	    "\tCOMPREPLY=()\n"
	    "\tif [[ \"$prev\" == -* && \" $values \" == *\" $prev \"* ]]; then\n"
	    "\t\tcase \"$prev\" in\n"
	    "\t\t-a|--env-file|--address) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
	    "\t\t--format) mapfile -t COMPREPLY < <(compgen -W \"table json\" -- \"$cur\") ;;\n"
	    "\t\t--runtime) mapfile -t COMPREPLY < <(compgen -W \"runc crun\" -- \"$cur\") ;;\n"
	    "\t\t--pull) mapfile -t COMPREPLY < <(compgen -W \"missing always never\" -- \"$cur\") "
	    ";;\n"
	    "\t\t-n|--namespace) mapfile -t COMPREPLY < <(compgen -W \\\n"
	    "\t\t\t\"$(_ctr_names namespaces)\" -- \"$cur\") ;;\n"
	    "\t\tesac\n"
	    "\telif [[ \"$cur\" == -* ]]; then\n"
	    "\t\tmapfile -t COMPREPLY < <(compgen -W \"$opts\" -- \"$cur\")\n"
	    "\telif [[ ${#names[@]} -eq 0 ]]; then\n"
	    "\t\tmapfile -t COMPREPLY < <(compgen -W \"$top\" -- \"$cur\")\n"
	    "\telif [[ ${#names[@]} -eq 1 && -n \"$(_ctr_verbs \"$command\")\" ]]; then\n"
	    "\t\tmapfile -t COMPREPLY < <(compgen -W \"$(_ctr_verbs \"$command\")\" -- \"$cur\")\n"
	    "\telif [[ ${#kinds[@]} -gt 0 ]]; then\n"
	    "\t\tat=${#names[@]}\n"
	    "\t\t[[ \"$command\" != *\" \"* ]] || at=$((at - 1))\n"
	    "\t\tat=$((at > ${#kinds[@]} ? ${#kinds[@]} - 1 : at - 1))\n"
	    "\t\tkind=\"${kinds[at]}\"\n"
	    "\t\tcase \"$kind\" in\n"
	    "\t\t-) ;;\n"
	    "\t\tfiles) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
	    "\t\t*)\n"
	    "\t\t\tmapfile -t COMPREPLY < <(compgen -W \"$(_ctr_names \"$kind\")\" -- \"$cur\")\n"
	    "\t\t\tdeclare -F __ltrim_colon_completions >/dev/null && "
	    "__ltrim_colon_completions \"$cur\"\n"
	    "\t\t\t;;\n"
	    "\t\tesac\n"
	    "\tfi\n"
	    "}\n\n"
	    "complete -F _ctr ctr\n",
	    to);
}

int
completion_show(struct ctr *c, const struct opts *o, struct err *e)
{
	(void)e;
	if (strcmp(o->args.v[0], "bash") != 0)
		return ctr_usage(c, "there is only a completion for bash");
	help_completion_bash(stdout);
	return 0;
}
