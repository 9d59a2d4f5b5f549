/* SPDX-License-Identifier: Apache-2.0 */
/* create - see create.h */
#include "ctr/create.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/base/ident.h"

#define ENV_FILE_MAX (4 * 1024 * 1024)
#define CPU_PERIOD_US 100000

const struct opt create_opts[] = {
	{ "tty", 't', OPT_FLAG, NULL, "Give its process a terminal (and keep its input open).",
	    NULL },
	{ "interactive", 'i', OPT_FLAG, NULL, "Keep its input open for attached clients.",
	    "stdin" },
	{ "env", 'e', OPT_LIST, "KEY=VALUE",
	    "Set a variable; KEY alone takes its value from ctr's own environment.", NULL },
	{ "env-file", 0, OPT_LIST, "FILE",
	    "Set variables from a file of KEY=VALUE lines; # starts a comment.", NULL },
	{ "mount", 0, OPT_LIST, "SPEC",
	    "Mount: type=bind,src=/from,dst=/to,options=rbind:ro, or "
	    "type=tmpfs,dst=/to,options=size=64m.",
	    NULL },
	{ "net-host", 0, OPT_FLAG, NULL, "Use the host's network instead of an empty one.", NULL },
	{ "user", 'u', OPT_TEXT, "USER[:GROUP]", "Run as this user, by names or numbers.", NULL },
	{ "cwd", 'w', OPT_TEXT, "DIR", "Start in this folder.", "workdir" },
	{ "hostname", 0, OPT_TEXT, "NAME", "Host name. Default: the container's name.", NULL },
	{ "entrypoint", 0, OPT_TEXT, "PROGRAM",
	    "Use this instead of the image's entrypoint: one word, or a JSON list of words.",
	    NULL },
	{ "label", 'l', OPT_LIST, "KEY=VALUE", "Put a label on the container.", NULL },
	{ "annotation", 0, OPT_LIST, "KEY=VALUE", "Put an annotation into its OCI spec.", NULL },
	{ "runtime", 0, OPT_TEXT, "NAME",
	    "Run it with this: runc, crun, an absolute path, or a shim as io.containerd.NAME.v2. "
	    "Default: the first that works here.",
	    NULL },
	{ "uidmap", 0, OPT_LIST, "CONTAINER:HOST:SIZE",
	    "Run it in a user namespace, where ids from CONTAINER on are those from HOST on "
	    "outside; 0:100000:65536.",
	    NULL },
	{ "gidmap", 0, OPT_LIST, "CONTAINER:HOST:SIZE",
	    "The same for groups. Default: as --uidmap, and the other way round.", NULL },
	{ "read-only", 0, OPT_FLAG, NULL, "Make its root filesystem read-only.", NULL },
	{ "privileged", 0, OPT_FLAG, NULL,
	    "All capabilities and devices, no seccomp, nothing masked: as good as root on the "
	    "host.",
	    NULL },
	{ "cap-add", 0, OPT_LIST, "CAP", "Add a capability, or ALL.", NULL },
	{ "cap-drop", 0, OPT_LIST, "CAP", "Drop a capability, or ALL.", NULL },
	{ "memory", 'm', OPT_TEXT, "SIZE", "Memory limit: 512m, 1.5g, or bytes.", "memory-limit" },
	{ "cpus", 0, OPT_TEXT, "N", "CPU time limit, in CPUs: 0.5, 2.", NULL },
	{ "cpu-quota", 0, OPT_TEXT, "US", "The same as microseconds in each period.", NULL },
	{ "cpu-period", 0, OPT_TEXT, "US", "That period, in microseconds. Default: 100000.", NULL },
	{ "pids-limit", 0, OPT_TEXT, "N", "Most processes at a time; -1 for no limit.", NULL },
	{ "stop-signal", 0, OPT_TEXT, "SIGNAL",
	    "Signal that asks it to end, instead of the image's.", NULL },
	{ "snapshotter", 0, OPT_TEXT, "NAME",
	    "How its root is laid out: see ctr plugins list. Default: the daemon's choice.", NULL },
	{ "platform", 0, OPT_TEXT, "OS/ARCH", "Platform of the image. Default: the host's.", NULL },
	{ .name = NULL },
};

/* --- environment ---------------------------------------------------------------------------------- */

struct words {
	struct arena *a;
	struct strs list;
	uint32_t room;
};

static void
words_add(struct words *w, const char *text)
{
	if (w->list.n == w->room) {
		const char **grown = arena_calloc(w->a, w->room * 2 + 16, sizeof(*grown));

		if (w->list.n > 0)
			memcpy(grown, w->list.v, w->list.n * sizeof(*grown));
		w->list.v = grown;
		w->room = w->room * 2 + 16;
	}
	w->list.v[w->list.n++] = text;
}

static int
env_add(struct words *w, const char *word, struct err *e)
{
	const char *value;
	char show[64];

	if (word[0] == '=' || word[0] == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT, "variable \"%s\" has no name",
		    ident_show(word, show, sizeof(show)));
	if (strchr(word, '=') != NULL) {
		words_add(w, word);
		return 0;
	}
	value = getenv(word);
	if (value != NULL)
		words_add(w, arena_printf(w->a, "%s=%s", word, value));
	return 0;
}

static int
env_file(struct words *w, const char *path, struct err *e)
{
	AUTO(buf_free) struct buf text = BUF_ZERO;
	int r = fs_read(AT_FDCWD, path, ENV_FILE_MAX, &text, e);
	char *line;

	if (r < 0)
		return r;
	if (memchr(buf_str(&text), '\0', text.len) != NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s is not a text file", path);
	line = text.data;
	for (unsigned n = 1; line != NULL && *line != '\0'; n++) {
		size_t len = strcspn(line, "\n"), skip = strspn(line, " \t\r");
		size_t end = len > 0 && line[len - 1] == '\r' ? len - 1 : len;
		bool more = line[len] == '\n';

		if (skip < end && line[skip] != '#') {
			r = env_add(w, arena_memdup(w->a, line + skip, end - skip), e);
			if (r < 0)
				return err_wrap(e, "%s, line %u", path, n);
		}
		line += len + more;
	}
	return 0;
}

int
create_env(const struct opts *o, struct arena *a, struct strs *ret, struct err *e)
{
	struct strs files = opts_list(o, "env-file"), given = opts_list(o, "env");
	struct words w = { .a = a };
	int r = 0;

	for (uint32_t i = 0; i < files.n && r == 0; i++)
		r = env_file(&w, files.v[i], e);
	for (uint32_t i = 0; i < given.n && r == 0; i++)
		r = env_add(&w, given.v[i], e);
	if (r == 0)
		*ret = w.list;
	return r;
}

/* --- the rest ------------------------------------------------------------------------------------- */

/* A word, or a JSON list of words. An empty one means: no entrypoint, the command alone. */
static int
entrypoint(const char *text, struct arena *a, struct container_create_req *req, struct err *e)
{
	struct words w = { .a = a };
	json_t *list, *word;
	size_t i;

	if (text == NULL)
		return 0;
	if (text[0] == '\0') {
		if (req->args.n == 0)
			return err_set(
			    e, ERR_INVALID_ARGUMENT, "an empty --entrypoint needs a command");
		req->entrypoint = (struct strs){ req->args.v, 1 };
		req->args = (struct strs){ req->args.v + 1, req->args.n - 1 };
		return 0;
	}
	if (text[0] != '[') {
		words_add(&w, text);
		req->entrypoint = w.list;
		return 0;
	}
	list = json_loads(text, 0, NULL);
	json_array_foreach (list, i, word)
		if (json_is_string(word))
			words_add(&w, arena_strdup(a, json_string_value(word)));
	i = json_array_size(list);
	json_decref(list);
	if (i == 0 || i != w.list.n)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "--entrypoint is a word or a list as [\"a\", \"b\"]");
	req->entrypoint = w.list;
	return 0;
}

static int
cpu_limit(const struct opts *o, struct container_create_req *req, struct err *e)
{
	const char *cpus = opts_text(o, "cpus");
	char *end;
	double n;

	if (opts_signed(o, "cpu-quota", &req->cpu_quota, e) < 0 ||
	    opts_number(o, "cpu-period", &req->cpu_period, e) < 0)
		return -(int)e->code;
	if (cpus == NULL)
		return 0;
	if (req->cpu_quota != 0)
		return err_set(
		    e, ERR_INVALID_ARGUMENT, "--cpus and --cpu-quota say the same thing: give one");
	n = strtod(cpus, &end);
	if (*end != '\0' || end == cpus || !(n > 0) || n > 1e6)
		return err_set(e, ERR_INVALID_ARGUMENT, "option --cpus: a number as 0.5 or 2");
	if (req->cpu_period == 0)
		req->cpu_period = CPU_PERIOD_US;
	req->cpu_quota = (int64_t)(n * (double)req->cpu_period + 0.5);
	return 0;
}

static int
limits(const struct opts *o, struct container_create_req *req, struct err *e)
{
	if (opts_bytes(o, "memory", &req->memory, e) < 0 ||
	    opts_signed(o, "pids-limit", &req->pids_limit, e) < 0)
		return -(int)e->code;
	return cpu_limit(o, req, e);
}

int
create_request(
    const struct opts *o, struct arena *a, struct container_create_req *req, struct err *e)
{
	int r;

	*req = (struct container_create_req){
		.image = o->args.v[0],
		.id = o->args.v[1],
		.args = { o->args.v + 2, o->args.n - 2 },
		.mounts = opts_list(o, "mount"),
		.user = opts_text(o, "user"),
		.cwd = opts_text(o, "cwd"),
		.hostname = opts_text(o, "hostname"),
		.net_host = opts_flag(o, "net-host"),
		.privileged = opts_flag(o, "privileged"),
		.read_only = opts_flag(o, "read-only"),
		.uidmap = opts_list(o, "uidmap"),
		.gidmap = opts_list(o, "gidmap"),
		.tty = opts_flag(o, "tty"),
		.stdin_open = opts_flag(o, "interactive") || opts_flag(o, "tty"),
		.cap_add = opts_list(o, "cap-add"),
		.cap_drop = opts_list(o, "cap-drop"),
		.stop_signal = opts_text(o, "stop-signal"),
		.runtime = opts_text(o, "runtime"),
		.platform = opts_text(o, "platform"),
		.snapshotter = opts_text(o, "snapshotter"),
	};
	r = create_env(o, a, &req->env, e);
	if (r == 0)
		r = ctr_map("label", opts_list(o, "label"), a, &req->labels, e);
	if (r == 0)
		r = ctr_map("annotation", opts_list(o, "annotation"), a, &req->annotations, e);
	if (r == 0)
		r = entrypoint(opts_text(o, "entrypoint"), a, req, e);
	return r < 0 ? r : limits(o, req, e);
}
