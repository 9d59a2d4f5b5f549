/* SPDX-License-Identifier: Apache-2.0 */
/* Folders, owners, locks and mailboxes, on a real filesystem; and the service manager's socket. */
#include "supervisor/folders.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "supervisor/notify.h"
#include "tests/unit/supervisor/rig.h"

static int
setup(void **state)
{
	*state = rig_new();
	return 0;
}

static int
teardown(void **state)
{
	rig_free(*state);
	return 0;
}

static void
check(struct rig *r, const char *rel, uid_t uid, gid_t gid, mode_t mode)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", r->dir, rel);
	if (lstat(path, &st) < 0)
		fail_msg("%s is not there", path);
	if (st.st_uid != uid || st.st_gid != gid || (st.st_mode & 07777) != mode)
		fail_msg("%s: %u:%u %04o", path, st.st_uid, st.st_gid, st.st_mode & 07777);
}

static void
everything_has_its_owner_and_mode(void **state)
{
	struct rig *r = *state;
	const struct user *u = r->folders.users;
	const gid_t coffer = r->folders.coffer;

	check(r, "root", 0, 0, 0711);
	check(r, "root/content", u[PROC_CONTENT].uid, u[PROC_CONTENT].gid, 0750);
	check(r, "root/snapshot", u[PROC_SNAPSHOT].uid, u[PROC_SNAPSHOT].gid, 0700);
	check(r, "root/task", u[PROC_TASK].uid, u[PROC_TASK].gid, 0700);
	check(r, "root/events", u[PROC_EVENTS].uid, u[PROC_EVENTS].gid, 0700);
	check(r, "root/logs", 0, coffer, 0750);
	check(r, "state", 0, 0, 0711);
	check(r, "state/bus", 0, coffer, 0750);
	check(r, "state/board", 0, coffer, 0750);
	check(r, "state/task", u[PROC_TASK].uid, u[PROC_TASK].gid, 0700);
	check(r, "state/bundles", 0, 0, 0711);
	check(r, "state/s", 0, coffer, 0750);
	check(r, "state/bus/content.sock", 0, coffer, 0660);
	check(r, "state/bus/events.sock", 0, coffer, 0660);
	check(r, "state/cofferd.pid", 0, 0, 0644);
	assert_int_equal(u[PROC_CONTENT].ngroups, 1);
	assert_int_equal(u[PROC_SNAPSHOT].ngroups, 2);
	assert_int_equal(u[PROC_SNAPSHOT].groups[1], u[PROC_CONTENT].gid);
	assert_int_not_equal(u[PROC_CONTENT].uid, u[PROC_TASK].uid);
}

static int
open_again(struct rig *r, struct err *e)
{
	struct folders f;
	int bad;

	folders_init(&f);
	*e = ERR_ZERO;
	bad = folders_open(&f, &r->config, e);
	folders_close(&f);
	return bad;
}

static void
a_second_daemon_is_refused_for_either_folder(void **state)
{
	struct rig *r = *state;
	struct err e;
	char want[64], was[4096];

	(void)snprintf(want, sizeof(want), "another cofferd (pid %d) already uses", getpid());
	(void)strcpy(was, r->config.root);
	(void)snprintf(r->config.root, sizeof(r->config.root), "%s/root2", r->dir);
	assert_int_equal(open_again(r, &e), -ERR_FAILED_PRECONDITION);
	assert_ptr_equal(strstr(e.msg, want), e.msg);
	assert_non_null(strstr(e.msg, "/state"));
	(void)strcpy(r->config.root, was);
	(void)snprintf(r->config.state, sizeof(r->config.state), "%s/state2", r->dir);
	assert_int_equal(open_again(r, &e), -ERR_FAILED_PRECONDITION);
	assert_non_null(strstr(e.msg, "/root"));
}

static void
a_restart_replaces_sockets_and_puts_modes_right(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct err e = ERR_ZERO;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/state/bus", r->dir);
	assert_int_equal(chmod(path, 0777), 0);
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s/state/bus/content.sock", r->dir);
	folders_close(&r->folders);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), -1);
	folders_init(&r->folders);
	if (folders_open(&r->folders, &r->config, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	check(r, "state/bus", 0, r->folders.coffer, 0750);
}

static void
folders_that_cannot_serve_are_refused(void **state)
{
	struct rig *r = *state;
	struct err e;
	char path[256];

	folders_close(&r->folders);
	folders_init(&r->folders);
	(void)snprintf(path, sizeof(path), "%s/root/content", r->dir);
	assert_int_equal(chown(path, 4242, 4242), 0);
	assert_int_equal(open_again(r, &e), -ERR_FAILED_PRECONDITION);
	assert_non_null(strstr(e.msg, "belongs to uid 4242"));
	assert_int_equal(chown(path, 0, 0), 0); /* made, and then a crash: fine */
	assert_int_equal(open_again(r, &e), 0);

	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/etc", path), 0);
	assert_true(open_again(r, &e) < 0);
	assert_int_equal(unlink(path), 0);

	(void)strcpy(r->config.state, r->config.root);
	assert_int_equal(open_again(r, &e), -ERR_INVALID_ARGUMENT);

	(void)snprintf(r->config.state, sizeof(r->config.state), "%s/%060d", r->dir, 7);
	assert_int_equal(open_again(r, &e), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(e.msg, "at most 50"));
	assert_int_equal(access(r->config.state, F_OK), -1);

	(void)snprintf(path, sizeof(path), "%s/closed", r->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(r->config.state, sizeof(r->config.state), "%s/closed/s", r->dir);
	assert_int_equal(open_again(r, &e), -ERR_FAILED_PRECONDITION);
	assert_non_null(strstr(e.msg, "lets no other user through"));

	(void)snprintf(r->config.state, sizeof(r->config.state), "%s/bin/x", r->dir);
	(void)snprintf(path, sizeof(path), "%s/bin/x", r->dir);
	fd_close(&(int){ open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644) });
	assert_int_equal(open_again(r, &e), -ERR_FAILED_PRECONDITION);
}

/* The datagram that arrived at fd. */
static const char *
heard(int fd, char *text, size_t size)
{
	ssize_t n = recv(fd, text, size - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
the_service_manager_hears(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	AUTO(fd_close) int path = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	AUTO(fd_close) int name = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char abstract[64], text[64];
	struct err e = ERR_ZERO;

	(void)unsetenv("NOTIFY_SOCKET");
	notify_init();
	assert_int_equal(notify_send("READY=1", &e), 0);

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", r->dir);
	assert_int_equal(bind(path, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", at.sun_path, 1), 0);
	notify_init();
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_int_equal(notify_send("READY=1\nMAINPID=7", &e), 0);
	assert_string_equal(heard(path, text, sizeof(text)), "READY=1\nMAINPID=7");

	(void)snprintf(abstract, sizeof(abstract), "@coffer-test-%d", getpid());
	(void)strcpy(at.sun_path, abstract);
	at.sun_path[0] = '\0';
	assert_int_equal(
	    bind(name, (struct sockaddr *)&at,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(abstract))),
	    0);
	assert_int_equal(setenv("NOTIFY_SOCKET", abstract, 1), 0);
	notify_init();
	assert_int_equal(notify_send("STOPPING=1", &e), 0);
	assert_string_equal(heard(name, text, sizeof(text)), "STOPPING=1");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(everything_has_its_owner_and_mode),
		T(a_second_daemon_is_refused_for_either_folder),
		T(a_restart_replaces_sockets_and_puts_modes_right),
		T(folders_that_cannot_serve_are_refused),
		T(the_service_manager_hears),
	};

	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
