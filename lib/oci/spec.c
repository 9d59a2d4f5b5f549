/* SPDX-License-Identifier: Apache-2.0 */
/* spec - see spec.h. Each part of the document has one function that makes it. */
#include "lib/oci/spec.h"

#include <jansson.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/ident.h"
#include "lib/base/idmap.h"
#include "lib/oci/caps.h"
#include "lib/oci/devices.h"
#include "lib/oci/json.h"
#include "lib/oci/mount_arg.h"
#include "lib/oci/seccomp.h"

#define SPEC_VERSION "1.0.2"
#define PATH_DEFAULT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define NOFILE_DEFAULT 1024

static void
json_text_drop(char **text)
{
	free(*text);
	*text = NULL;
}

const char *
oci_user_wanted(const char *request, const struct oci_image_config *image)
{
	return request != NULL && request[0] != '\0' ? request : image->user;
}

/* jansson refuses what is not UTF-8; a program's words need not be. */
static int
append_text(json_t *list, const char *what, size_t i, const char *text, struct err *e)
{
	char shown[64];

	if (json_array_append_new(list, json_string(text)) == 0)
		return 0;
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "%s %zu, \"%s\": not UTF-8, which a spec cannot hold", what, i + 1,
	    ident_show(text, shown, sizeof(shown)));
}

static int
check_text(const char *what, const char *text, size_t *total, struct err *e)
{
	char shown[64];
	size_t n = strlen(text);

	*total += n + 1;
	if (n > OCI_ARG_BYTES_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s \"%s\": %zu bytes, at most %u", what,
		    ident_show(text, shown, sizeof(shown)), n, OCI_ARG_BYTES_MAX);
	if (*total > OCI_ARGS_BYTES_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "%ss: more than %u bytes together", what,
		    OCI_ARGS_BYTES_MAX);
	return 0;
}

/* --- user namespace ------------------------------------------------------------------------------- */

struct maps {
	struct idmap uids, gids;
};

static int
maps_add(struct idmap *m, const char *what, struct oci_list list, uint32_t wanted, struct err *e)
{
	uint32_t outside;

	for (size_t i = 0; i < list.n; i++)
		if (idmap_add(m, list.v[i], e) < 0)
			return err_wrap(e, "%ss", what);
	if (!idmap_outside(m, 0, &outside) || !idmap_outside(m, wanted, &outside))
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "%s %u of the container has no mapping, and it is needed", what,
		    idmap_outside(m, 0, &outside) ? wanted : 0);
	return 0;
}

/* ret stays NULL without a user namespace. */
static int
maps_make(const struct oci_spec_opts *o, struct arena *a, const struct maps **ret, struct err *e)
{
	struct maps *m;
	int r;

	if (o->uidmap.n == 0 && o->gidmap.n == 0)
		return 0;
	m = arena_calloc(a, 1, sizeof(*m));
	if ((r = maps_add(&m->uids, "user id", o->uidmap, o->user.uid, e)) < 0 ||
	    (r = maps_add(&m->gids, "group id", o->gidmap, o->user.gid, e)) < 0)
		return r;
	*ret = m;
	return 0;
}

static json_t *
make_mappings(const struct idmap *m)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < m->n; i++)
		(void)json_array_append_new(list,
		    json_pack("{s:I, s:I, s:I}", "containerID", (json_int_t)m->v[i].inside,
			"hostID", (json_int_t)m->v[i].outside, "size", (json_int_t)m->v[i].size));
	return list;
}

/* --- environment ---------------------------------------------------------------------------------- */

static size_t
name_len(const char *env)
{
	return strcspn(env, "=");
}

static size_t
env_find(const json_t *env, const char *entry)
{
	size_t n = name_len(entry), i;

	for (i = 0; i < json_array_size(env); i++) {
		const char *have = json_string_value(json_array_get(env, i));

		if (name_len(have) == n && strncmp(have, entry, n) == 0)
			break;
	}
	return i;
}

/* One entry onto the list: replaces that of its name in place, or takes it away without a '='. */
static int
env_merge(json_t *env, const char *entry, size_t nth, struct err *e)
{
	size_t at = env_find(env, entry);
	char shown[64];

	if (entry[0] == '=' || entry[0] == '\0')
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "environment entry %zu, \"%s\": has no name", nth + 1,
		    ident_show(entry, shown, sizeof(shown)));
	if (strchr(entry, '=') == NULL) {
		if (at < json_array_size(env))
			(void)json_array_remove(env, at);
		return 0;
	}
	if (at == json_array_size(env))
		return append_text(env, "environment entry", nth, entry, e);
	if (json_array_set_new(env, at, json_string(entry)) == 0)
		return 0;
	return err_set(e, ERR_INVALID_ARGUMENT, "environment entry %zu, \"%s\": not UTF-8", nth + 1,
	    ident_show(entry, shown, sizeof(shown)));
}

static int
env_merge_list(json_t *env, struct oci_list list, size_t *total, struct err *e)
{
	int r;

	for (size_t i = 0; i < list.n; i++)
		if ((r = check_text("environment entry", list.v[i], total, e)) < 0 ||
		    (r = env_merge(env, list.v[i], i, e)) < 0)
			return r;
	return 0;
}

static int
make_env(const struct oci_image_config *image, const struct oci_spec_opts *o, const char *hostname,
    struct arena *a, json_t *env, struct err *e)
{
	size_t total = 0;
	int r;

	(void)json_array_append_new(env, json_string(PATH_DEFAULT));
	(void)json_array_append_new(env, json_string(arena_printf(a, "HOSTNAME=%s", hostname)));
	if (o->tty)
		(void)json_array_append_new(env, json_string("TERM=xterm"));
	if ((r = env_merge_list(env, image->env, &total, e)) < 0)
		return err_wrap(e, "image config");
	return env_merge_list(env, o->env, &total, e);
}

/* --- process -------------------------------------------------------------------------------------- */

static int
append_args(json_t *args, struct oci_list list, size_t *total, struct err *e)
{
	int r;

	for (size_t i = 0; i < list.n; i++)
		if ((r = check_text("argument", list.v[i], total, e)) < 0 ||
		    (r = append_text(args, "argument", i, list.v[i], e)) < 0)
			return r;
	return 0;
}

/* An entrypoint of one empty string is how docker spells "none". */
static bool
is_none(struct oci_list list)
{
	return list.n == 0 || (list.n == 1 && list.v[0][0] == '\0');
}

static int
make_args(const struct oci_image_config *image, const struct oci_spec_opts *o, json_t *args,
    struct err *e)
{
	struct oci_list entry = o->entrypoint.n > 0 ? o->entrypoint : image->entrypoint;
	struct oci_list cmd = o->args;
	size_t total = 0;
	int r;

	if (o->args.n == 0 && o->entrypoint.n == 0)
		cmd = image->cmd;
	if (!is_none(entry) && (r = append_args(args, entry, &total, e)) < 0)
		return r;
	if ((r = append_args(args, cmd, &total, e)) < 0)
		return r;
	if (json_array_size(args) == 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "no command: the image has none, so one must be given");
	if (json_string_length(json_array_get(args, 0)) == 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "the command is an empty string");
	return 0;
}

/* Nothing below /proc: a descriptor of the runtime may hide there (CVE-2024-21626). */
static int
make_cwd(const char *wanted, const char *what, struct arena *a, const char **ret, struct err *e)
{
	const char *clean;
	char shown[96];

	if (wanted == NULL || wanted[0] == '\0')
		wanted = "/";
	clean = oci_path_clean(wanted, a);
	if (clean == NULL || strlen(clean) > OCI_PATH_BYTES_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s \"%s\": not an absolute path", what,
		    ident_show(wanted, shown, sizeof(shown)));
	if (strcmp(clean, "/proc") == 0 || strncmp(clean, "/proc/", 6) == 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "%s \"%s\": must not be below /proc", what,
		    ident_show(wanted, shown, sizeof(shown)));
	*ret = clean;
	return 0;
}

static json_t *
make_user(const struct oci_user *u)
{
	json_t *user = json_pack(
	    "{s:I, s:I}", "uid", (json_int_t)u->uid, "gid", (json_int_t)u->gid);
	json_t *gids;

	if (u->ngids == 0)
		return user;
	gids = json_array();
	for (unsigned i = 0; i < u->ngids; i++)
		(void)json_array_append_new(gids, json_integer(u->gids[i]));
	(void)json_object_set_new(user, "additionalGids", gids);
	return user;
}

static json_t *
make_cap_names(uint64_t mask)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < OCI_CAPS_COUNT; i++)
		if ((mask >> i & 1) != 0)
			(void)json_array_append_new(list, json_string(oci_cap_name(i)));
	return list;
}

/* Nothing inheritable and nothing ambient: who is not root gets none (CVE-2022-24769). */
static json_t *
make_caps(uint64_t mask)
{
	return json_pack("{s:o, s:o, s:o}", "bounding", make_cap_names(mask), "effective",
	    make_cap_names(mask), "permitted", make_cap_names(mask));
}

static int
make_process(const struct oci_image_config *image, const struct oci_spec_opts *o,
    const char *hostname, uint64_t caps, struct arena *a, json_t *process, struct err *e)
{
	json_t *args = json_array(), *env = json_array();
	const char *cwd = NULL;
	bool own = o->cwd != NULL && o->cwd[0] != '\0';
	int r;

	(void)json_object_set_new(process, "args", args);
	(void)json_object_set_new(process, "env", env);
	if ((r = make_args(image, o, args, e)) < 0 ||
	    (r = make_env(image, o, hostname, a, env, e)) < 0 ||
	    (r = make_cwd(own ? o->cwd : image->workdir,
		 own ? "working folder" : "image config: WorkingDir", a, &cwd, e)) < 0)
		return r;
	if (json_object_set_new(process, "cwd", json_string(cwd)) < 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "working folder: not UTF-8");
	(void)json_object_set_new(process, "terminal", json_boolean(o->tty));
	(void)json_object_set_new(process, "user", make_user(&o->user));
	(void)json_object_set_new(process, "capabilities", make_caps(caps));
	(void)json_object_set_new(process, "noNewPrivileges", json_boolean(!o->privileged));
	(void)json_object_set_new(
	    process, "oomScoreAdj", json_integer(o->oom_score_adj > 0 ? o->oom_score_adj : 0));
	(void)json_object_set_new(process, "rlimits",
	    json_pack("[{s:s, s:i, s:i}]", "type", "RLIMIT_NOFILE", "hard", NOFILE_DEFAULT, "soft",
		NOFILE_DEFAULT));
	return 0;
}

/* --- mounts --------------------------------------------------------------------------------------- */

#define DEVPTS "nosuid noexec newinstance ptmxmode=0666 mode=0620"
#define GID_TTY 5

static const struct {
	const char *target, *type, *source, *options;
} default_mounts[] = {
	{ "/proc", "proc", "proc", "nosuid noexec nodev" },
	{ "/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k" },
	{ "/dev/pts", "devpts", "devpts", DEVPTS " gid=5" },
	{ "/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k" },
	{ "/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev" },
	{ "/sys", "sysfs", "sysfs", "nosuid noexec nodev ro" },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro" },
};

static json_t *
make_options(const char *words, bool no_ro)
{
	json_t *list = json_array();

	while (*words != '\0') {
		size_t n = strcspn(words, " ");

		if (!(no_ro && n == 2 && strncmp(words, "ro", 2) == 0))
			(void)json_array_append_new(list, json_stringn(words, n));
		words += n;
		words += *words == ' ';
	}
	return list;
}

static void
add_mount(json_t *mounts, const char *target, const char *type, const char *source, json_t *options)
{
	(void)json_array_append_new(
	    mounts, json_pack("{s:s, s:s, s:s, s:o}", "destination", target, "type", type, "source",
			source, "options", options));
}

static size_t
mount_find(const json_t *mounts, const char *target)
{
	size_t i;

	for (i = 0; i < json_array_size(mounts); i++)
		if (strcmp(json_string_value(
			       json_object_get(json_array_get(mounts, i), "destination")),
			target) == 0)
			break;
	return i;
}

/* A mount that was asked for takes the place of a default one; two for one target are a mistake. */
static int
add_wanted(json_t *mounts, size_t ndefault, const char *text, struct arena *a, struct err *e)
{
	struct oci_mount m;
	json_t *options, *one;
	char shown[96];
	size_t at;
	int r;

	if ((r = oci_mount_parse(text, a, &m, e)) < 0)
		return r;
	at = mount_find(mounts, m.target);
	if (at >= ndefault && at < json_array_size(mounts))
		return err_set(e, ERR_INVALID_ARGUMENT, "mount on %s: given twice",
		    ident_show(m.target, shown, sizeof(shown)));
	options = json_array();
	for (size_t i = 0; i < m.options.n; i++)
		(void)json_array_append_new(options, json_string(m.options.v[i]));
	one = json_pack("{s:s, s:s, s:s, s:o}", "destination", m.target, "type", m.type, "source",
	    m.source, "options", options);
	if (one == NULL)
		return err_set(e, ERR_INVALID_ARGUMENT, "mount \"%s\": not UTF-8",
		    ident_show(text, shown, sizeof(shown)));
	if (at < ndefault)
		(void)json_array_set_new(mounts, at, one);
	else
		(void)json_array_append_new(mounts, one);
	return 0;
}

/* What a user namespace cannot have: sysfs of a network that is not its own, the group tty where that is not mapped. */
static void
add_default(json_t *mounts, const struct oci_spec_opts *o, const struct maps *maps, size_t i)
{
	const char *target = default_mounts[i].target;
	uint32_t outside;

	if (maps != NULL && o->net_host && strcmp(target, "/sys") == 0)
		add_mount(mounts, target, "bind", "/sys",
		    make_options("rbind nosuid noexec nodev ro", false));
	else if (maps != NULL && strcmp(target, "/dev/pts") == 0 &&
		 !idmap_outside(&maps->gids, GID_TTY, &outside))
		add_mount(mounts, target, "devpts", "devpts", make_options(DEVPTS, false));
	else
		add_mount(mounts, target, default_mounts[i].type, default_mounts[i].source,
		    make_options(default_mounts[i].options, o->privileged));
}

static int
make_mounts(const struct oci_spec_opts *o, const struct maps *maps, struct arena *a, json_t *mounts,
    struct err *e)
{
	size_t ndefault;
	int r;

	for (size_t i = 0; i < COUNT(default_mounts); i++)
		add_default(mounts, o, maps, i);
	if (o->net_host && o->host_hosts)
		add_mount(
		    mounts, "/etc/hosts", "bind", "/etc/hosts", make_options("rbind ro", false));
	if (o->net_host && o->host_resolv)
		add_mount(mounts, "/etc/resolv.conf", "bind", "/etc/resolv.conf",
		    make_options("rbind ro", false));
	ndefault = json_array_size(mounts);
	for (size_t i = 0; i < o->mounts.n; i++)
		if ((r = add_wanted(mounts, ndefault, o->mounts.v[i], a, e)) < 0)
			return r;
	return 0;
}

/* --- linux ---------------------------------------------------------------------------------------- */

static const char *const masked[] = { "/proc/acpi", "/proc/asound", "/proc/interrupts",
	"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
	"/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap" };
static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
	"/proc/sysrq-trigger" };

static json_t *
make_names(const char *const *v, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_string(v[i]));
	return list;
}

static json_t *
make_namespaces(bool net_host, bool user)
{
	static const char *const types[] = { "pid", "ipc", "uts", "mount", "cgroup" };
	json_t *list = json_array();

	for (size_t i = 0; i < COUNT(types); i++)
		(void)json_array_append_new(list, json_pack("{s:s}", "type", types[i]));
	if (!net_host)
		(void)json_array_append_new(list, json_pack("{s:s}", "type", "network"));
	if (user)
		(void)json_array_append_new(list, json_pack("{s:s}", "type", "user"));
	return list;
}

static int
check_limits(const struct oci_spec_opts *o, struct err *e)
{
	if (o->memory > INT64_MAX)
		return err_set(e, ERR_INVALID_ARGUMENT, "memory limit %llu: too large",
		    (unsigned long long)o->memory);
	if (o->cpu_period != 0 && (o->cpu_period < 1000 || o->cpu_period > 1000000))
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "cpu period %llu: 1000 to 1000000 microseconds",
		    (unsigned long long)o->cpu_period);
	if (o->cpu_quota > 0 && o->cpu_quota < 1000)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "cpu quota %lld: at least 1000 microseconds", (long long)o->cpu_quota);
	return 0;
}

static json_t *
make_resources(const struct oci_spec_opts *o)
{
	/* The runtime adds the devices that every container has: null, zero, tty, pts and so on. */
	json_t *res = json_pack(
	    "{s:[{s:b, s:s}]}", "devices", "allow", o->privileged ? 1 : 0, "access", "rwm");
	json_t *cpu;

	if (o->memory != 0)
		(void)json_object_set_new(
		    res, "memory", json_pack("{s:I}", "limit", (json_int_t)o->memory));
	if (o->pids_limit != 0)
		(void)json_object_set_new(
		    res, "pids", json_pack("{s:I}", "limit", (json_int_t)o->pids_limit));
	if (o->cpu_quota == 0 && o->cpu_period == 0)
		return res;
	cpu = json_object();
	if (o->cpu_quota != 0)
		(void)json_object_set_new(cpu, "quota", json_integer(o->cpu_quota));
	if (o->cpu_period != 0)
		(void)json_object_set_new(cpu, "period", json_integer((json_int_t)o->cpu_period));
	(void)json_object_set_new(res, "cpu", cpu);
	return res;
}

static json_t *
make_linux(const struct oci_spec_opts *o, const struct maps *maps, uint64_t caps, struct arena *a)
{
	json_t *doc = json_object();

	(void)json_object_set_new(doc, "cgroupsPath",
	    json_string(arena_printf(
		a, "%s/%s/%s", o->cgroup_root == NULL ? "/coffer" : o->cgroup_root, o->ns, o->id)));
	(void)json_object_set_new(doc, "namespaces", make_namespaces(o->net_host, maps != NULL));
	if (maps != NULL) {
		(void)json_object_set_new(doc, "uidMappings", make_mappings(&maps->uids));
		(void)json_object_set_new(doc, "gidMappings", make_mappings(&maps->gids));
	}
	(void)json_object_set_new(doc, "resources", make_resources(o));
	if (o->privileged) {
		(void)json_object_set_new(doc, "devices", oci_devices_host());
		return doc;
	}
	(void)json_object_set_new(doc, "maskedPaths", make_names(masked, COUNT(masked)));
	(void)json_object_set_new(doc, "readonlyPaths", make_names(readonly, COUNT(readonly)));
	(void)json_object_set_new(doc, "seccomp", oci_seccomp_default(caps));
	return doc;
}

/* --- the whole ------------------------------------------------------------------------------------ */

static int
make_annotations(const struct oci_spec_opts *o, json_t *doc, struct err *e)
{
	json_t *notes;

	if (o->nannotations == 0)
		return 0;
	notes = json_object();
	(void)json_object_set_new(doc, "annotations", notes);
	for (size_t i = 0; i < o->nannotations; i++)
		if (o->annotations[i].key[0] == '\0' ||
		    json_object_set_new(
			notes, o->annotations[i].key, json_string(o->annotations[i].value)) < 0)
			return err_set(
			    e, ERR_INVALID_ARGUMENT, "annotation %zu: no key, or not UTF-8", i + 1);
	return 0;
}

/* A host name is one line of the kernel's: 64 bytes, printable, no blanks. */
static int
check_hostname(const char *name, struct err *e)
{
	char shown[96];

	if (strlen(name) <= 64 &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			 "._-") == strlen(name))
		return 0;
	return err_set(e, ERR_INVALID_ARGUMENT,
	    "host name \"%s\": at most 64 letters, digits, '.', '_', '-'",
	    ident_show(name, shown, sizeof(shown)));
}

static int
dump(const json_t *doc, struct buf *out, struct err *e)
{
	AUTO(json_text_drop) char *text = json_dumps(doc, JSON_COMPACT);

	if (text == NULL)
		return err_set(e, ERR_INTERNAL, "spec: cannot be written as JSON");
	if (strlen(text) > OCI_SPEC_BYTES_MAX || buf_adds(out, text) < 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "the container's spec would be %zu bytes, at most %u", strlen(text),
		    OCI_SPEC_BYTES_MAX);
	return 0;
}

/* The kernel cuts a host name at 64 bytes and a container's name may be longer. */
static const char *
pick_hostname(const struct oci_spec_opts *o, struct arena *a)
{
	if (o->hostname != NULL && o->hostname[0] != '\0')
		return o->hostname;
	if (o->net_host && o->host_name != NULL && o->host_name[0] != '\0')
		return o->host_name;
	return arena_memdup(a, o->id, strnlen(o->id, 63));
}

int
oci_spec_make(const struct oci_image_config *image, const struct oci_spec_opts *o, struct buf *out,
    struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(json_free_ptr) json_t *doc = json_object();
	json_t *process = json_object(), *mounts = json_array();
	const char *hostname = pick_hostname(o, &a);
	uint64_t caps = o->privileged ? OCI_CAPS_ALL : oci_caps_default();
	const struct maps *maps = NULL;
	int r;

	(void)json_object_set_new(doc, "ociVersion", json_string(SPEC_VERSION));
	(void)json_object_set_new(doc, "root",
	    json_pack("{s:s, s:b}", "path", "rootfs", "readonly", o->read_only ? 1 : 0));
	(void)json_object_set_new(doc, "process", process);
	(void)json_object_set_new(doc, "hostname", json_string(hostname));
	(void)json_object_set_new(doc, "mounts", mounts);
	if ((r = maps_make(o, &a, &maps, e)) < 0 || (r = check_hostname(hostname, e)) < 0 ||
	    (r = check_limits(o, e)) < 0 ||
	    (r = oci_caps_change(caps, o->cap_add, o->cap_drop, &caps, e)) < 0)
		return r;
	if (o->caps_host != 0)
		caps &= o->caps_host;
	if ((r = make_process(image, o, hostname, caps, &a, process, e)) < 0 ||
	    (r = make_mounts(o, maps, &a, mounts, e)) < 0 || (r = make_annotations(o, doc, e)) < 0)
		return r;
	(void)json_object_set_new(doc, "linux", make_linux(o, maps, caps, &a));
	return dump(doc, out, e);
}

/* --- exec ----------------------------------------------------------------------------------------- */

static int
exec_env(json_t *process, const struct oci_exec_opts *o, struct err *e)
{
	json_t *env = json_object_get(process, "env");
	size_t total = 0;

	if (!json_is_array(env)) {
		env = json_array();
		(void)json_object_set_new(process, "env", env);
	}
	if (o->tty && env_find(env, "TERM") == json_array_size(env))
		(void)json_array_append_new(env, json_string("TERM=xterm"));
	return env_merge_list(env, o->env, &total, e);
}

static int
load_process(const void *spec, size_t n, json_t **ret, struct err *e)
{
	AUTO(json_free_ptr) json_t *doc = NULL;
	const json_t *env;
	json_t *process;

	if (oci_json_parse(spec, n, &doc, e) < 0)
		return err_wrap(e, "the container's stored spec");
	process = json_object_get(doc, "process");
	env = json_object_get(process, "env");
	if (!json_is_object(process))
		return err_set(e, ERR_DATA_LOSS, "the container's stored spec has no process");
	for (size_t i = 0; i < json_array_size(env); i++)
		if (!json_is_string(json_array_get(env, i)))
			return err_set(e, ERR_DATA_LOSS,
			    "the container's stored spec: env[%zu] is no string", i);
	*ret = json_incref(process);
	return 0;
}

int
oci_exec_make(
    const void *spec, size_t n, const struct oci_exec_opts *o, struct buf *out, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(json_free_ptr) json_t *process = NULL;
	json_t *args = json_array();
	const char *cwd = NULL;
	size_t total = 0;
	int r;

	if ((r = load_process(spec, n, &process, e)) < 0) {
		json_decref(args);
		return r;
	}
	(void)json_object_set_new(process, "args", args);
	if ((r = append_args(args, o->args, &total, e)) < 0 || (r = exec_env(process, o, e)) < 0)
		return r;
	if (json_array_size(args) == 0 || json_string_length(json_array_get(args, 0)) == 0)
		return err_set(e, ERR_INVALID_ARGUMENT, "no command to execute");
	if (o->cwd != NULL && o->cwd[0] != '\0') {
		if ((r = make_cwd(o->cwd, "working folder", &a, &cwd, e)) < 0)
			return r;
		if (json_object_set_new(process, "cwd", json_string(cwd)) < 0)
			return err_set(e, ERR_INVALID_ARGUMENT, "working folder: not UTF-8");
	}
	if (o->user != NULL)
		(void)json_object_set_new(process, "user", make_user(o->user));
	(void)json_object_set_new(process, "terminal", json_boolean(o->tty));
	return dump(process, out, e);
}
