/* SPDX-License-Identifier: Apache-2.0 */
/* folders - see folders.h. The table below is the one in docs/ARCHITECTURE.md. */
#include "supervisor/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"

#define MAILBOX_BACKLOG 1024

static const struct {
	const char *name;
	uid_t uid;
} procs[] = {
#define PROC(NAME, name, uid, caps, doc) { #name, uid },
#include "schemas/procs.def"
};

enum owner { ROOT_OWNS = -1 };

static const struct folder {
	bool in_state;
	const char *name;
	int owner; /* PROC_x or ROOT_OWNS, which with 0750 means group coffer */
	mode_t mode;
} table[] = {
	{ false, "content", PROC_CONTENT, 0750 },
	{ false, "snapshot", PROC_SNAPSHOT, 0700 },
	{ false, "task", PROC_TASK, 0700 },
	{ false, "events", PROC_EVENTS, 0700 },
	{ false, "logs", ROOT_OWNS, 0750 },
	{ true, "bus", ROOT_OWNS, 0750 },
	{ true, "board", ROOT_OWNS, 0750 },
	{ true, "task", PROC_TASK, 0700 },
	{ true, "bundles", ROOT_OWNS, 0711 },
	{ true, "s", ROOT_OWNS, 0750 },
};

const char *
proc_name(unsigned proc)
{
	return proc < PROC_COUNT ? procs[proc].name : "?";
}

/* The host's user coffer-NAME, else the number of schemas/procs.def, when nobody else has it. */
static int
user_find(unsigned proc, struct user *u, struct err *e)
{
	char name[32];
	struct passwd *pw;

	(void)snprintf(name, sizeof(name), "coffer-%s", procs[proc].name);
	pw = getpwnam(name);
	if (pw != NULL) {
		u->uid = pw->pw_uid;
		u->gid = pw->pw_gid;
		if (u->uid == 0)
			return err_set(
			    e, ERR_FAILED_PRECONDITION, "user %s must not be root", name);
		return 0;
	}
	u->uid = procs[proc].uid;
	u->gid = procs[proc].uid;
	pw = getpwuid(u->uid);
	if (pw != NULL)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "there is no user %s, and its stand-in, uid %u, belongs to %s: make the user",
		    name, u->uid, pw->pw_name);
	return 0;
}

static int
users_find(struct folders *f, struct err *e)
{
	struct group *gr = getgrnam("coffer");
	int r;

	f->coffer = gr != NULL ? gr->gr_gid : COFFER_GID;
	for (unsigned i = 0; i < PROC_COUNT; i++) {
		struct user *u = &f->users[i];

		r = user_find(i, u, e);
		if (r < 0)
			return r;
		u->groups[u->ngroups++] = f->coffer;
	}
	f->users[PROC_SNAPSHOT].groups[f->users[PROC_SNAPSHOT].ngroups++] =
	    f->users[PROC_CONTENT].gid; /* reads blobs */
	return 0;
}

int
folder_make(
    int dirfd, const char *name, uid_t uid, gid_t gid, mode_t mode, int *ret_fd, struct err *e)
{
	AUTO(fd_close) int fd = -1;
	struct stat st;

	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make folder %s", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open folder %s", name);
	if (st.st_uid != 0 && st.st_uid != uid)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "folder %s belongs to uid %u, not to %u: chown -R it or use another folder",
		    name, st.st_uid, uid);
	if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
		return err_sys(e, errno, "set owner of folder %s", name);
	if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		return err_sys(e, errno, "set mode of folder %s", name);
	if (ret_fd != NULL)
		*ret_fd = fd_take(&fd);
	return 0;
}

/* Workers run as their own users, so every folder above theirs must let others through. */
static int
check_way(const char *path, struct err *e)
{
	char part[PATH_MAX];
	struct stat st;

	(void)snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strrchr(part, '/'); slash != NULL && slash != part;
	     slash = strrchr(part, '/')) {
		*slash = '\0';
		if (stat(part, &st) == 0 && (st.st_mode & S_IXOTH) == 0)
			return err_set(e, ERR_FAILED_PRECONDITION,
			    "%s: folder %s (mode %04o) lets no other user through, and workers run "
			    "as "
			    "users of their own: chmod o+x it",
			    path, part, st.st_mode & 07777);
	}
	return 0;
}

/* Makes the folder at path, 0711, and says where it really is. */
static int
base_make(const char *path, char *real, size_t size, int *ret_fd, struct err *e)
{
	AUTO(free_ptr) char *found = NULL;
	int r;

	if (path[0] == '/' && strlen(path) >= size) /* before anything is made */
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "folder %s: its path is %zu bytes long, at most %zu are allowed", path,
		    strlen(path), size - 1);
	r = fs_mkdirs(AT_FDCWD, path, 0711, e);
	if (r < 0)
		return r;
	found = realpath(path, NULL);
	if (found == NULL)
		return err_sys(e, errno, "find folder %s", path);
	if (strlen(found) >= size)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "folder %s: its path is %zu bytes long, at most %zu are allowed", found,
		    strlen(found), size - 1);
	(void)strcpy(real, found);
	r = check_way(real, e);
	return r < 0 ? r : folder_make(AT_FDCWD, real, 0, 0, 0711, ret_fd, e);
}

static int
lock_take(int dirfd, const char *where, int *ret_fd, struct err *e)
{
	AUTO(fd_close)
	int fd = openat(dirfd, "cofferd.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	char pid[16] = "";

	if (fd < 0)
		return err_sys(e, errno, "open %s/cofferd.lock", where);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, errno, "lock %s/cofferd.lock", where);
		if (pread(fd, pid, sizeof(pid) - 1, 0) <= 0)
			pid[0] = '\0';
		pid[strspn(pid, "0123456789")] = '\0';
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "another cofferd (pid %s) already uses %s", pid[0] == '\0' ? "unknown" : pid,
		    where);
	}
	(void)snprintf(pid, sizeof(pid), "%d\n", getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
		return err_sys(e, errno, "write %s/cofferd.lock", where);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Binds and listens; a socket file of an earlier daemon is replaced (its lock is ours by now). */
static int
mailbox_open(struct folders *f, unsigned proc, struct err *e)
{
	AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	(void)snprintf(
	    to.sun_path, sizeof(to.sun_path), "%s/bus/%s.sock", f->state, proc_name(proc));
	if (fd < 0)
		return err_sys(e, errno, "make socket %s", to.sun_path);
	if (unlink(to.sun_path) < 0 && errno != ENOENT)
		return err_sys(e, errno, "replace socket %s", to.sun_path);
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    chown(to.sun_path, 0, f->coffer) < 0 || chmod(to.sun_path, 0660) < 0 ||
	    listen(fd, MAILBOX_BACKLOG) < 0)
		return err_sys(e, errno, "open socket %s", to.sun_path);
	f->mailboxes[proc] = fd_take(&fd);
	return 0;
}

static int
table_make(struct folders *f, int root, int state, struct err *e)
{
	int *const keep[] = { &f->logs, &f->boards, &f->bundles, &f->shims };
	const char *const names[] = { "logs", "board", "bundles", "s" };

	for (size_t i = 0; i < COUNT(table); i++) {
		const struct folder *t = &table[i];
		const struct user *u = t->owner == ROOT_OWNS ? NULL : &f->users[t->owner];
		gid_t gid = u != NULL ? u->gid : (t->mode & 070) == 010 ? 0 : f->coffer;
		int *ret_fd = NULL;

		for (size_t k = 0; k < COUNT(keep); k++)
			if (strcmp(names[k], t->name) == 0)
				ret_fd = keep[k];
		if (folder_make(t->in_state ? state : root, t->name, u != NULL ? u->uid : 0, gid,
			t->mode, ret_fd, e) < 0)
			return err_wrap(e, "%s", t->in_state ? f->state : f->root);
	}
	return 0;
}

void
folders_init(struct folders *f)
{
	memset(f, 0, sizeof(*f));
	f->root_lock = f->state_lock = f->bundles = f->logs = f->shims = f->boards = -1;
	for (unsigned i = 0; i < PROC_COUNT; i++)
		f->mailboxes[i] = -1;
}

int
folders_open(struct folders *f, const struct config *c, struct err *e)
{
	AUTO(fd_close) int root = -1;
	AUTO(fd_close) int state = -1;
	char pid[16];
	int r;

	if ((r = users_find(f, e)) < 0 ||
	    (r = base_make(c->state, f->state, sizeof(f->state), &state, e)) < 0 ||
	    (r = base_make(c->root, f->root, sizeof(f->root), &root, e)) < 0)
		return r;
	if (strcmp(f->root, f->state) == 0)
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "root and state are the same folder, %s: they must be two", f->root);
	if ((r = lock_take(state, f->state, &f->state_lock, e)) < 0 ||
	    (r = lock_take(root, f->root, &f->root_lock, e)) < 0 ||
	    (r = table_make(f, root, state, e)) < 0)
		return r;
	FAULT_POINT("supervisor.folders.made");
	for (unsigned i = 0; i < PROC_COUNT; i++)
		if ((r = mailbox_open(f, i, e)) < 0)
			return r;
	(void)snprintf(pid, sizeof(pid), "%d\n", getpid());
	return fs_write(state, "cofferd.pid", pid, strlen(pid), 0644, false, e);
}

void
folders_close(struct folders *f)
{
	for (unsigned i = 0; i < PROC_COUNT; i++)
		fd_close(&f->mailboxes[i]);
	fd_close(&f->bundles);
	fd_close(&f->logs);
	fd_close(&f->shims);
	fd_close(&f->boards);
	fd_close(&f->root_lock);
	fd_close(&f->state_lock);
}
