/* SPDX-License-Identifier: Apache-2.0 */
/* test_spec - OCI specs from image configs: docker's rules, defaults, hostile configs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/oci/caps.h"
#include "lib/oci/mount_arg.h"
#include "lib/oci/signo.h"
#include "lib/oci/spec.h"

#define LIST(...)                                                      \
	((struct oci_list){ .v = (const char *const[]){ __VA_ARGS__ }, \
	    .n = sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *) })

static const char image_text[] =
    "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"User\":\"\","
    "\"Env\":[\"PATH=/opt/bin\",\"A=1\",\"B=2\"],\"Entrypoint\":[\"/entry\"],"
    "\"Cmd\":[\"one\",\"two\"],\"WorkingDir\":\"/srv/./x/../y\",\"StopSignal\":\"SIGQUIT\","
    "\"Labels\":{\"containerd.io/restart.loguri\":\"binary:///bin/sh\",\"who\":\"me\"},"
    "\"Volumes\":{\"/../../etc\":{}}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";

struct fix {
	struct arena a;
	struct err e;
	struct oci_image_config image;
	struct oci_spec_opts o;
	json_t *doc;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	assert_int_equal(
	    oci_image_config_parse(image_text, strlen(image_text), &f->a, &f->image, &f->e), 0);
	f->o = (struct oci_spec_opts){ .ns = "default", .id = "web" };
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	json_decref(f->doc);
	arena_free(&f->a);
	free(f);
	return 0;
}

static void
make(struct fix *f)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;

	if (oci_spec_make(&f->image, &f->o, &out, &f->e) != 0)
		fail_msg("%s", f->e.msg);
	json_decref(f->doc);
	f->doc = json_loads(buf_str(&out), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(f->doc);
}

static void
refused(struct fix *f, const char *word)
{
	AUTO(buf_free) struct buf out = BUF_ZERO;

	f->e = ERR_ZERO;
	assert_int_equal(oci_spec_make(&f->image, &f->o, &out, &f->e), -ERR_INVALID_ARGUMENT);
	if (strstr(f->e.msg, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", f->e.msg, word);
}

static const json_t *
at(const struct fix *f, const char *a, const char *b)
{
	return json_object_get(json_object_get(f->doc, a), b);
}

/* The list as one string, with '|' between. */
static const char *
joined(struct fix *f, const json_t *list)
{
	const char *text = "";

	assert_true(json_is_array(list));
	for (size_t i = 0; i < json_array_size(list); i++)
		text = arena_printf(&f->a, "%s%s%s", text, i == 0 ? "" : "|",
		    json_string_value(json_array_get(list, i)));
	return text;
}

static bool
has(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
			return true;
	return false;
}

static const json_t *
mount_at(const struct fix *f, const char *target)
{
	const json_t *list = json_object_get(f->doc, "mounts");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i);

		if (strcmp(json_string_value(json_object_get(m, "destination")), target) == 0)
			return m;
	}
	return NULL;
}

static void
test_args(void **state)
{
	struct fix *f = *state;

	make(f);
	assert_string_equal(joined(f, at(f, "process", "args")), "/entry|one|two");
	f->o.args = LIST("x", "y");
	make(f);
	assert_string_equal(joined(f, at(f, "process", "args")), "/entry|x|y");
	f->o.entrypoint = LIST("/mine");
	make(f);
	assert_string_equal(joined(f, at(f, "process", "args")), "/mine|x|y");
	f->o.args = (struct oci_list){ .n = 0 };
	make(f);
	assert_string_equal(joined(f, at(f, "process", "args")), "/mine"); /* cmd goes */
	f->o.entrypoint = LIST("");
	refused(f, "no command");
	f->o.args = LIST("sh");
	make(f);
	assert_string_equal(joined(f, at(f, "process", "args")), "sh");
}

static void
test_env(void **state)
{
	struct fix *f = *state;

	f->o.env = LIST("B=3", "A", "C=x=y", "C=z");
	f->o.tty = true;
	make(f);
	assert_string_equal(
	    joined(f, at(f, "process", "env")), "PATH=/opt/bin|HOSTNAME=web|TERM=xterm|B=3|C=z");
	f->o.env = LIST("=x");
	refused(f, "has no name");
}

static void
test_defaults(void **state)
{
	struct fix *f = *state;
	const json_t *caps;

	make(f);
	assert_string_equal(json_string_value(at(f, "process", "cwd")), "/srv/y");
	assert_string_equal(json_string_value(json_object_get(f->doc, "hostname")), "web");
	assert_string_equal(
	    json_string_value(at(f, "linux", "cgroupsPath")), "/coffer/default/web");
	assert_true(json_is_true(at(f, "process", "noNewPrivileges")));
	assert_true(json_is_false(at(f, "root", "readonly")));
	assert_int_equal(json_integer_value(at(f, "process", "oomScoreAdj")), 0);
	caps = json_object_get(at(f, "process", "capabilities"), "bounding");
	assert_int_equal(json_array_size(caps), 14);
	assert_true(has(caps, "CAP_NET_BIND_SERVICE"));
	assert_false(has(caps, "CAP_SYS_ADMIN"));
	assert_null(json_object_get(at(f, "process", "capabilities"), "inheritable"));
	assert_int_equal(json_array_size(at(f, "linux", "namespaces")), 6);
	assert_true(has(at(f, "linux", "maskedPaths"), "/proc/kcore"));
	assert_true(has(at(f, "linux", "readonlyPaths"), "/proc/sys"));
	assert_non_null(mount_at(f, "/dev/pts"));
	assert_null(mount_at(f, "/etc/resolv.conf"));
	assert_null(mount_at(f, "/etc")); /* Volumes are not read */
}

static bool
seccomp_allows(const struct fix *f, const char *name)
{
	const json_t *rules = json_object_get(at(f, "linux", "seccomp"), "syscalls");

	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *r = json_array_get(rules, i);

		if (strcmp(json_string_value(json_object_get(r, "action")), "SCMP_ACT_ALLOW") ==
			0 &&
		    json_object_get(r, "args") == NULL && has(json_object_get(r, "names"), name))
			return true;
	}
	return false;
}

static void
test_seccomp(void **state)
{
	struct fix *f = *state;

	make(f);
	assert_string_equal(
	    json_string_value(json_object_get(at(f, "linux", "seccomp"), "defaultAction")),
	    "SCMP_ACT_ERRNO");
	assert_true(seccomp_allows(f, "openat"));
	assert_true(seccomp_allows(f, "writev"));
	assert_true(seccomp_allows(f, "chroot")); /* by its capability, which is a default one */
	assert_false(seccomp_allows(f, "mount"));
	assert_false(seccomp_allows(f, "bpf"));
	assert_false(seccomp_allows(f, "clone"));
	f->o.cap_add = LIST("sys_admin");
	f->o.cap_drop = LIST("CAP_SYS_CHROOT");
	make(f);
	assert_true(seccomp_allows(f, "mount"));
	assert_false(seccomp_allows(f, "chroot"));
}

static void
test_caps(void **state)
{
	struct fix *f = *state;
	const json_t *caps;

	f->o.cap_drop = LIST("all");
	f->o.cap_add = LIST("CAP_CHOWN");
	make(f);
	caps = json_object_get(at(f, "process", "capabilities"), "permitted");
	assert_string_equal(joined(f, caps), "CAP_CHOWN");
	f->o.cap_add = LIST("ALL");
	f->o.cap_drop = LIST("CAP_SYS_ADMIN");
	make(f);
	caps = json_object_get(at(f, "process", "capabilities"), "permitted");
	assert_int_equal(json_array_size(caps), OCI_CAPS_COUNT - 1);
	f->o.caps_host = UINT64_C(1) << CAP_KILL;
	make(f);
	caps = json_object_get(at(f, "process", "capabilities"), "effective");
	assert_string_equal(joined(f, caps), "CAP_KILL");
	f->o.cap_add = LIST("CAP_NONSENSE");
	refused(f, "CAP_NONSENSE");
}

static void
test_privileged(void **state)
{
	struct fix *f = *state;

	f->o.privileged = true;
	make(f);
	assert_true(json_is_false(at(f, "process", "noNewPrivileges")));
	assert_null(at(f, "linux", "seccomp"));
	assert_null(at(f, "linux", "maskedPaths"));
	assert_false(has(json_object_get(mount_at(f, "/sys"), "options"), "ro"));
	assert_true(has(json_object_get(mount_at(f, "/sys"), "options"), "nosuid"));
	assert_true(json_is_array(at(f, "linux", "devices")));
}

static void
test_net_host(void **state)
{
	struct fix *f = *state;

	f->o.net_host = true;
	f->o.host_hosts = f->o.host_resolv = true;
	f->o.host_name = "machine";
	make(f);
	assert_int_equal(json_array_size(at(f, "linux", "namespaces")), 5);
	assert_string_equal(json_string_value(json_object_get(f->doc, "hostname")), "machine");
	assert_non_null(mount_at(f, "/etc/hosts"));
	assert_true(has(json_object_get(mount_at(f, "/etc/resolv.conf"), "options"), "ro"));
}

static void
test_limits_and_user(void **state)
{
	struct fix *f = *state;
	const json_t *res;

	f->o.memory = 64 << 20;
	f->o.pids_limit = 10;
	f->o.cpu_quota = 50000;
	f->o.cpu_period = 100000;
	f->o.user = (struct oci_user){ .uid = 7, .gid = 8, .gids = { 8, 9 }, .ngids = 2 };
	make(f);
	res = at(f, "linux", "resources");
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(res, "memory"), "limit")), 64 << 20);
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(res, "pids"), "limit")), 10);
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(res, "cpu"), "quota")), 50000);
	assert_int_equal(json_integer_value(json_object_get(at(f, "process", "user"), "uid")), 7);
	assert_int_equal(
	    json_array_size(json_object_get(at(f, "process", "user"), "additionalGids")), 2);
	f->o.cpu_period = 1;
	refused(f, "cpu period");
}

static void
test_mounts(void **state)
{
	struct fix *f = *state;
	const json_t *m;

	f->o.mounts = LIST("type=bind,src=/data,dst=/srv/../srv/d,options=rbind:ro",
	    "type=bind,source=/d2,target=/two,readonly", "type=tmpfs,dst=/dev/shm,tmpfs-size=1m");
	make(f);
	m = mount_at(f, "/srv/d");
	assert_string_equal(json_string_value(json_object_get(m, "source")), "/data");
	assert_string_equal(joined(f, json_object_get(m, "options")), "rbind|ro");
	assert_string_equal(joined(f, json_object_get(mount_at(f, "/two"), "options")), "ro|rbind");
	/* takes the place of the default one */
	assert_string_equal(
	    joined(f, json_object_get(mount_at(f, "/dev/shm"), "options")), "size=1m");
	f->o.mounts = LIST("src=/a,dst=/b", "src=/c,dst=/b");
	refused(f, "twice");
}

static void
test_bad_mounts(void **state)
{
	struct fix *f = *state;
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "unknown word" },
		{ "type=bind", "no dst=" },
		{ "type=bind,dst=/x", "no src=" },
		{ "type=bind,src=rel,dst=/x", "absolute" },
		{ "type=bind,src=/a,dst=x", "absolute" },
		{ "type=bind,src=/a,dst=/..", "root" },
		{ "type=volume,src=v,dst=/x", "volumes" },
		{ "type=bind,src=/a,src=/b,dst=/x", "twice" },
		{ "type=bind,src=,dst=/x", "needs a value" },
		{ "type=bind,src=/a,dst=/x,options=ro::rw", "empty option" },
		{ "type=bind,src=/a,dst=/x,readonly=maybe", "true or false" },
		{ "type=bind,src=/a,dst=/x,colour=red", "colour" },
		{ "type=bind,src=/a,dst=/x,options=frob", "frob" },
		{ "type=bind,src=/a,dst=/x,options=size=1m", "size=1m" },
		{ "type=tmpfs,dst=/x,options=frob", "frob" },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		f->o.mounts = (struct oci_list){ .v = &bad[i].text, .n = 1 };
		refused(f, bad[i].word);
	}
}

static void
test_cwd(void **state)
{
	struct fix *f = *state;

	f->o.cwd = "relative";
	refused(f, "absolute");
	f->o.cwd = "/proc/self/fd/7"; /* CVE-2024-21626 */
	refused(f, "below /proc");
	f->o.cwd = "/x/../proc/self/cwd";
	refused(f, "below /proc");
	f->o.cwd = "/process";
	make(f);
}

static void
test_long(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *big = xcalloc(1, OCI_ARG_BYTES_MAX + 2);
	const char **many = arena_calloc(&f->a, 64, sizeof(*many));

	memset(big, 'a', OCI_ARG_BYTES_MAX + 1);
	f->o.args = LIST(big);
	refused(f, "at most");
	big[OCI_ARG_BYTES_MAX] = '\0';
	make(f);
	for (size_t i = 0; i < 64; i++)
		many[i] = big;
	f->o.args = (struct oci_list){ .v = many, .n = 64 };
	refused(f, "together");
	f->o.args = LIST("\xff\xfe");
	refused(f, "UTF-8");
	f->o.args = LIST("ok");
	f->o.hostname = "a b";
	refused(f, "host name");
}

static void
test_exec(void **state)
{
	struct fix *f = *state;
	AUTO(buf_free) struct buf spec = BUF_ZERO, out = BUF_ZERO;
	struct oci_user user = { .uid = 5, .gid = 6 };
	struct oci_exec_opts x = {
		.args = LIST("ps", "aux"), .env = LIST("A=9"), .user = &user, .tty = true
	};

	assert_int_equal(oci_spec_make(&f->image, &f->o, &spec, &f->e), 0);
	assert_int_equal(oci_exec_make(spec.data, spec.len, &x, &out, &f->e), 0);
	f->doc = json_pack("{s:o}", "process", json_loads(buf_str(&out), 0, NULL));
	assert_string_equal(joined(f, at(f, "process", "args")), "ps|aux");
	assert_string_equal(
	    joined(f, at(f, "process", "env")), "PATH=/opt/bin|HOSTNAME=web|A=9|B=2|TERM=xterm");
	assert_int_equal(json_integer_value(json_object_get(at(f, "process", "user"), "uid")), 5);
	assert_true(json_is_true(at(f, "process", "terminal")));
	assert_int_equal(
	    json_array_size(json_object_get(at(f, "process", "capabilities"), "bounding")), 14);
	assert_int_equal(oci_exec_make("[1", 2, &x, &out, &f->e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(oci_exec_make("{}", 2, &x, &out, &f->e), -ERR_DATA_LOSS);
}

static void
test_labels(void **state)
{
	struct fix *f = *state;

	assert_int_equal(f->image.nlabels, 1); /* the daemon's own are not the image's to set */
	assert_string_equal(f->image.labels[0].key, "who");
	assert_string_equal(f->image.stop_signal, "SIGQUIT");
}

static void
test_hostile_config(void **state)
{
	struct fix *f = *state;
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "JSON" },
		{ "[]", "object" },
		{ "{\"config\":{},\"config\":{}}", "JSON" },
		{ "{} x", "JSON" },
		{ "{\"config\":[]}", "config" },
		{ "{\"config\":{\"Env\":\"A=1\"}}", "Env" },
		{ "{\"config\":{\"Env\":[1]}}", "Env[0]" },
		{ "{\"config\":{\"Env\":[\"a\\u0000b\"]}}", "JSON" },
		{ "{\"config\":{\"User\":7}}", "User" },
		{ "{\"config\":{\"Cmd\":{}}}", "Cmd" },
		{ "{\"config\":{\"Labels\":[]}}", "Labels" },
		{ "{\"os\":3}", "os" },
	};
	struct oci_image_config c;

	for (size_t i = 0; i < COUNT(bad); i++) {
		f->e = ERR_ZERO;
		assert_int_equal(
		    oci_image_config_parse(bad[i].text, strlen(bad[i].text), &f->a, &c, &f->e),
		    -ERR_INVALID_ARGUMENT);
		if (strstr(f->e.msg, bad[i].word) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", f->e.msg, bad[i].word);
	}
	assert_int_equal(oci_image_config_parse("{}", 2, &f->a, &c, &f->e), 0);
	assert_string_equal(c.user, "");
	assert_int_equal(c.env.n, 0);
}

static void
test_signals(void **state)
{
	struct err e = ERR_ZERO;
	int n = 0;

	(void)state;
	assert_int_equal(oci_signal_parse("SIGTERM", &n, &e), 0);
	assert_int_equal(n, 15);
	assert_int_equal(oci_signal_parse("quit", &n, &e), 0);
	assert_int_equal(n, 3);
	assert_int_equal(oci_signal_parse("9", &n, &e), 0);
	assert_int_equal(n, 9);
	assert_int_equal(oci_signal_parse("SIGRTMIN+3", &n, &e), 0);
	assert_int_equal(n, 37);
	assert_int_equal(oci_signal_parse("RTMAX-1", &n, &e), 0);
	assert_int_equal(n, 63);
	assert_int_equal(oci_signal_parse("0", &n, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(oci_signal_parse("65", &n, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(oci_signal_parse("RTMIN+31", &n, &e), -ERR_INVALID_ARGUMENT);
	assert_int_equal(oci_signal_parse("SIG", &n, &e), -ERR_INVALID_ARGUMENT);
}

/* --- user namespaces ------------------------------------------------------------------------------ */

static const json_t *
mount_on(const struct fix *f, const char *target)
{
	const json_t *m;
	size_t i;

	json_array_foreach (json_object_get(f->doc, "mounts"), i, m)
		if (strcmp(json_string_value(json_object_get(m, "destination")), target) == 0)
			return m;
	fail_msg("nothing is mounted on %s", target);
	return NULL;
}

static void
test_userns(void **state)
{
	struct fix *f = *state;
	const json_t *line;

	f->o.uidmap = LIST("0:100000:10", "10:5:1");
	f->o.gidmap = LIST("0:100000:6");
	make(f);
	assert_int_equal(json_array_size(at(f, "linux", "namespaces")), 7);
	assert_int_equal(json_array_size(at(f, "linux", "gidMappings")), 1);
	line = json_array_get(at(f, "linux", "uidMappings"), 1);
	assert_int_equal(json_integer_value(json_object_get(line, "containerID")), 10);
	assert_int_equal(json_integer_value(json_object_get(line, "hostID")), 5);
	assert_int_equal(json_integer_value(json_object_get(line, "size")), 1);
	assert_string_equal(
	    json_string_value(json_object_get(mount_on(f, "/sys"), "type")), "sysfs");
	assert_non_null(
	    strstr(joined(f, json_object_get(mount_on(f, "/dev/pts"), "options")), "gid=5"));
}

/* What a user namespace cannot mount: sysfs of the host's network, terminals of a group it does not have. */
static void
test_userns_mounts(void **state)
{
	struct fix *f = *state;

	f->o.uidmap = f->o.gidmap = LIST("0:100000:5");
	f->o.net_host = true;
	make(f);
	assert_string_equal(
	    json_string_value(json_object_get(mount_on(f, "/sys"), "type")), "bind");
	assert_null(strstr(joined(f, json_object_get(mount_on(f, "/dev/pts"), "options")), "gid="));
}

static void
test_userns_refused(void **state)
{
	struct fix *f = *state;

	f->o.uidmap = f->o.gidmap = LIST("0:100000:5", "4:200000:5");
	refused(f, "overlaps 0:100000:5");
	f->o.uidmap = LIST("1:100000:5");
	refused(f, "user id 0 of the container has no mapping");
	f->o.uidmap = LIST("0:100000:5");
	f->o.gidmap = LIST("0:100000:5");
	f->o.user.gid = 5;
	refused(f, "group id 5 of the container has no mapping");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_args, setup, teardown),
		cmocka_unit_test_setup_teardown(test_env, setup, teardown),
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_seccomp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_privileged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_net_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits_and_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mounts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_mounts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cwd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exec, setup, teardown),
		cmocka_unit_test_setup_teardown(test_labels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_config, setup, teardown),
		cmocka_unit_test_setup_teardown(test_userns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_userns_mounts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_userns_refused, setup, teardown),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
