/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nursery_child - the nursery itself, and what its children do before and after their work.
 *
 * The nursery trusts its orders' contents as much as it must (they come from the worker) and checks
 * their form. It has one thread, keeps no state but the list of its children, and reports for a child
 * that died.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fdpass.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "workers/snapshot/cell.h"
#include "workers/snapshot/follow.h"
#include "workers/snapshot/diff.h"
#include "workers/snapshot/erofs_image.h"
#include "workers/snapshot/nursery.h"
#include "workers/snapshot/erofs_verity.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/settle.h"
#include "workers/snapshot/tree_copy.h"
#include "workers/snapshot/tree.h"

#define CHILD_FILES 8200 /* copying goes 2000 folders deep, with four for each */
#define CHILD_MEMORY (1ULL << 30)
#define CHILD_CPU_S 7200
#define IMAGE_HELD (640u << 20) /* five million names of usual length */
#define IMAGE_MORE (1ULL << 30)

struct child {
	pid_t pid; /* 0 = free */
	uint64_t id;
	int pipe;
};

struct house {
	int sock, signals;
	struct child children[NURSERY_CHILDREN_MAX];
};

/* Where things are in a child. */
enum { FD_PIPE = 3, FD_FOLDER, FD_FILE, FD_LIST, FD_BOARD, FD_END };

/* --- rights -------------------------------------------------------------------------------------- */

/* A child that makes or reads trees has all but the last, one that makes an image none. */
static const cap_value_t nursery_caps[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
	CAP_MKNOD, CAP_SETFCAP, CAP_SYS_ADMIN /* trusted.* attributes */, CAP_SYS_CHROOT };

static void
cap_done(cap_t *c)
{
	if (*c != NULL)
		(void)cap_free(*c);
}

/* Keeps those of the first n that there are. */
static int
keep_caps(unsigned n)
{
	AUTO(cap_done) cap_t now = cap_get_proc();
	AUTO(cap_done) cap_t set = cap_init();

	if (now == NULL || set == NULL)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		cap_flag_value_t have = CAP_CLEAR;

		if (cap_get_flag(now, nursery_caps[i], CAP_PERMITTED, &have) < 0 || have != CAP_SET)
			continue;
		if (cap_set_flag(set, CAP_PERMITTED, 1, &nursery_caps[i], CAP_SET) < 0 ||
		    cap_set_flag(set, CAP_EFFECTIVE, 1, &nursery_caps[i], CAP_SET) < 0)
			return -1;
	}
	return cap_set_proc(set);
}

static void
limit(int what, uint64_t most)
{
	struct rlimit r = { .rlim_cur = most, .rlim_max = most }, now;

	if (getrlimit(what, &now) == 0 && now.rlim_max != RLIM_INFINITY && now.rlim_max < most)
		r.rlim_cur = r.rlim_max = now.rlim_max;
	(void)setrlimit(what, &r);
}

static enum cell
cell_of(uint32_t op)
{
	switch (op) {
	case NURSERY_COUNT:
	case NURSERY_DIFF:
		return CELL_LOOK;
	case NURSERY_EMPTY:
		return CELL_CLEAR;
	default:
		return CELL_MAKE;
	}
}

/* The child's cell. root: the descriptor whose folder becomes its root. */
static int
confine(int root, const struct nursery_order *o, struct err *e)
{
	bool image = o->op == NURSERY_UNPACK && o->form == NURSERY_IMAGE;

	if (fchdir(root) < 0 || chroot(".") < 0)
		return err_sys(e, errno, "make the folder the root");
	if (keep_caps(image ? 0 : COUNT(nursery_caps) - 1) < 0)
		return err_sys(e, errno, "drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "set no_new_privs");
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, CHILD_FILES);
	limit(RLIMIT_CPU, CHILD_CPU_S);
	if (o->op == NURSERY_UNPACK) /* an image has more in it than files */
		limit(RLIMIT_FSIZE, o->limits.bytes * (image ? 2 : 1) + IMAGE_MORE);
#ifndef __SANITIZE_ADDRESS__
	limit(RLIMIT_AS, CHILD_MEMORY);
#endif
	(void)umask(0);
	return cell_enter(image ? CELL_IMAGE : cell_of(o->op), e);
}

/* --- a child ------------------------------------------------------------------------------------- */

static void
report(struct nursery_report *r)
{
	r->size = sizeof(*r);
	if (write(FD_PIPE, r, sizeof(*r)) != (ssize_t)sizeof(*r))
		_exit(3); /* nobody listens any more */
}

static void
on_progress(void *arg, uint64_t offset)
{
	struct nursery_report r = { .kind = NURSERY_PROGRESS, .offset = offset };

	(void)arg;
	report(&r);
}

static int
fill(const struct nursery_order *o, struct sink *sink, struct nursery_report *r, struct err *e)
{
	struct buf implied = BUF_LIMIT(NURSERY_IMPLIED_BYTES_MAX);
	struct unpack_result res = { .offset = 0 };
	AUTO(board_unmap) struct board *board = NULL;
	struct follow f = { .file = FD_FILE, .take = o->take, .size = o->blob_size };
	int ret = o->take != 0 ? board_map(FD_BOARD, 0, &board, e) : 0;

	if (board != NULL)
		f.slot = &board->self.ingest[o->slot % BOARD_INGESTS];
	if (ret == 0)
		ret = unpack_run(FD_FILE, board != NULL ? &f : NULL, sink, &o->limits, true,
		    on_progress, NULL, &implied, &res, e);
	if (ret == 0 && implied.len > 0 && fs_write_all(FD_LIST, implied.data, implied.len) < 0)
		ret = err_sys(e, errno, "note the implied folders");
	(void)strcpy(r->diff_id, res.diff_id.text);
	r->implied = implied.len > 0;
	buf_free(&implied);
	r->offset = res.offset;
	r->bytes = res.usage.bytes;
	r->inodes = res.usage.inodes;
	r->xattrs_skipped = res.usage.xattrs_skipped;
	r->opaque_root = res.usage.opaque_root;
	return ret;
}

static int
do_unpack(const struct nursery_order *o, struct nursery_report *r, struct err *e)
{
	AUTO(erofs_image_free) struct erofs_image *im = NULL;
	AUTO(tree_free) struct tree *t = NULL;

	if (o->form != NURSERY_IMAGE) {
		t = tree_new(FD_FOLDER, o->limits.held);
		return fill(o, tree_sink(t), r, e);
	}
	if (erofs_image_new(FD_FOLDER, IMAGE_HELD, &im, e) < 0)
		return -(int)e->code;
	return fill(o, erofs_image_sink(im), r, e);
}

/* The layer below, copied, with the layer applied to it: in whole/, which becomes fs/. */
static int
apply(const struct nursery_order *o, int layer, struct err *e)
{
	AUTO(fd_close) int below = -1;
	AUTO(fd_close) int whole = -1;
	int r = 0;

	if (mkdirat(FD_FOLDER, "whole", 0755) < 0)
		return err_sys(e, errno, "make folder whole");
	whole = openat(FD_FOLDER, "whole", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (o->nlowers > 0)
		below = merged_layer(FD_FILE, o->lowers[0]);
	if (whole < 0 || (o->nlowers > 0 && below < 0))
		return err_sys(e, errno, "open the layer below");
	if (below >= 0)
		r = tree_copy(below, whole, e);
	if (r == 0)
		r = tree_apply(layer, whole, e);
	if (r == 0)
		r = tree_empty(layer, e);
	if (r == 0 && (unlinkat(FD_FOLDER, "fs", AT_REMOVEDIR) < 0 ||
			  renameat(FD_FOLDER, "whole", FD_FOLDER, "fs") < 0))
		r = err_sys(e, errno, "put it in its place");
	return r;
}

static int
do_apply(const struct nursery_order *o, struct nursery_report *r, struct err *e)
{
	AUTO(fd_close)
	int layer = openat(FD_FOLDER, "fs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(fd_close) int whole = -1;
	struct settled_folder settled;
	int ret;

	if (layer < 0)
		return err_sys(e, errno, "open the layer");
	settled = settled_folder(layer);
	ret = settle_run(&settled.settled, FD_FILE, FD_LIST, o->lowers, o->nlowers, e);
	if (ret == 0)
		ret = apply(o, layer, e);
	if (ret < 0)
		return ret;
	whole = openat(FD_FOLDER, "fs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (whole < 0 || syncfs(whole) < 0)
		return err_sys(e, errno, "bring the layer to disk");
	return tree_count(whole, &r->bytes, &r->inodes, e);
}

static int
do_diff(const struct nursery_order *o, struct nursery_report *r, struct err *e)
{
	AUTO(layer_out_free) struct layer_out *out = NULL;
	struct diff_stack upper = { .numbers = o->lowers, .n = o->nuppers };
	struct diff_stack lower = { .numbers = o->lowers + o->nuppers,
		.n = o->nlowers - o->nuppers };
	struct layer_out_result res;
	int ret = layer_out_new(FD_FILE, (enum layer_packing)o->packing, &out, e);

	if (ret == 0)
		ret = diff_run(FD_FOLDER, &upper, &lower, out, &r->sockets, e);
	if (ret == 0)
		ret = layer_out_finish(out, &res, e);
	if (ret < 0)
		return ret;
	(void)strcpy(r->diff_id, res.diff_id.text);
	(void)strcpy(r->digest, res.digest.text);
	r->bytes = res.tar_bytes;
	r->offset = res.bytes;
	return 0;
}

static int
do_settle(const struct nursery_order *o, struct err *e)
{
	struct settled_folder folder = settled_folder(FD_FOLDER);
	struct stat list;
	int r = 0;

	if (o->form != NURSERY_IMAGE)
		return settle_run(&folder.settled, FD_FILE, FD_LIST, o->lowers, o->nlowers, e);
	if (fstat(FD_LIST, &list) < 0)
		return err_sys(e, errno, "look for implied folders");
	if (list.st_size > 0 && o->nlowers > 0)
		r = settle_image(FD_FOLDER, FD_FILE, FD_LIST, o->lowers, o->nlowers, e);
	return r < 0 || o->seal == 0 ? r : erofs_verity_seal(FD_FOLDER, e);
}

static int
work(const struct nursery_order *o, struct nursery_report *r, struct err *e)
{
	bool beside = o->op == NURSERY_SETTLE || o->op == NURSERY_APPLY;

	if (confine(beside ? FD_FILE : FD_FOLDER, o, e) < 0)
		return -(int)e->code;
	switch (o->op) {
	case NURSERY_UNPACK:
		return do_unpack(o, r, e);
	case NURSERY_SETTLE:
		return do_settle(o, e);
	case NURSERY_APPLY:
		return do_apply(o, r, e);
	case NURSERY_COPY:
		return tree_copy(FD_FILE, FD_FOLDER, e);
	case NURSERY_SEAL:
		if (syncfs(FD_FOLDER) < 0)
			return err_sys(e, errno, "bring it to disk");
		return tree_count(FD_FOLDER, &r->bytes, &r->inodes, e);
	case NURSERY_COUNT:
		return tree_count(FD_FOLDER, &r->bytes, &r->inodes, e);
	case NURSERY_DIFF:
		return do_diff(o, r, e);
	case NURSERY_EMPTY:
		return tree_empty(FD_FOLDER, e);
	default:
		return err_set(e, ERR_INTERNAL, "order %u", o->op);
	}
}

/* Puts the descriptors where they belong and closes all others. */
static int
arrange(const int *fds, unsigned nfds)
{
	int high[FDPASS_FDS_MAX];

	for (unsigned i = 0; i < nfds; i++) {
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_END + 32);
		if (high[i] < 0)
			return -1;
	}
	for (unsigned i = 0; i < nfds; i++)
		if (dup3(high[i], FD_PIPE + (int)i, O_CLOEXEC) < 0)
			return -1;
	return close_range(FD_PIPE + nfds, ~0U, 0);
}

static _Noreturn void
child_main(const struct nursery_order *o, const int *fds, unsigned nfds)
{
	struct nursery_report r = { .kind = NURSERY_DONE };
	struct err e = ERR_ZERO;
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (arrange(fds, nfds) < 0)
		_exit(2);
	(void)prctl(PR_SET_NAME, "coffer-unpack", 0, 0, 0);
	if (work(o, &r, &e) < 0) {
		r.kind = NURSERY_FAILED;
		r.code = e.code;
		(void)snprintf(r.message, sizeof(r.message), "%s", e.msg);
	}
	report(&r);
	_exit(0);
}

/* --- the nursery --------------------------------------------------------------------------------- */

/* The socket's end and the parent's death end this process, and this process' end its children. */
static void
die_with_parent(pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(0);
}

static void
fail(int pipe, enum err_code code, const char *text)
{
	struct nursery_report r = { .size = sizeof(r), .kind = NURSERY_FAILED, .code = code };

	(void)snprintf(r.message, sizeof(r.message), "%s", text);
	(void)!write(pipe, &r, sizeof(r)); /* the worker sees the end of the pipe in any case */
}

static void
start_child(struct house *h, const struct nursery_order *o, int *fds, unsigned nfds)
{
	pid_t self = getpid();
	struct child *c = NULL;
	pid_t pid;

	for (unsigned i = 0; i < NURSERY_CHILDREN_MAX && c == NULL; i++)
		if (h->children[i].pid == 0)
			c = &h->children[i];
	if (c == NULL) {
		fail(fds[0], ERR_RESOURCE_EXHAUSTED, "too many children at once");
		return;
	}
	pid = fork();
	if (pid == 0) {
		die_with_parent(self);
		child_main(o, fds, nfds);
	}
	if (pid < 0) {
		fail(fds[0], ERR_RESOURCE_EXHAUSTED, "no new process can be started");
		return;
	}
	*c = (struct child){ .pid = pid, .id = o->id, .pipe = fd_take(&fds[0]) };
}

static void
cancel(struct house *h, uint64_t id)
{
	for (unsigned i = 0; i < NURSERY_CHILDREN_MAX; i++)
		if (h->children[i].pid != 0 && h->children[i].id == id)
			(void)kill(h->children[i].pid, SIGKILL);
}

static void
take_order(struct house *h)
{
	struct nursery_order o;
	int fds[FDPASS_FDS_MAX] = { -1 };
	unsigned nfds = COUNT(fds);
	ssize_t n = fdpass_recv(h->sock, &o, sizeof(o), fds, &nfds);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		_exit(0);
	if (n < 0)
		return;
	if (n != (ssize_t)sizeof(o) || o.version != NURSERY_VERSION || o.size != sizeof(o) ||
	    o.nlowers > NURSERY_LOWERS_MAX || o.nuppers > o.nlowers)
		_exit(4);
	if (o.op == NURSERY_CANCEL)
		cancel(h, o.id);
	else if (nfds >= 2)
		start_child(h, &o, fds, nfds);
	for (unsigned i = 0; i < nfds; i++)
		fd_close(&fds[i]);
}

static void
child_died(struct child *c, int status)
{
	char text[128];

	if (WIFSIGNALED(status)) {
		int signo = WTERMSIG(status);

		(void)snprintf(text, sizeof(text), "the process that did it was killed by %s (%s)",
		    sigabbrev_np(signo) == NULL ? "a signal" : sigabbrev_np(signo),
		    signo == SIGXCPU || signo == SIGXFSZ ? "a limit"
		    : signo == SIGSYS			 ? "a system call it may not make"
							 : "a fault or somebody");
		fail(c->pipe,
		    signo == SIGXCPU || signo == SIGXFSZ ? ERR_RESOURCE_EXHAUSTED : ERR_INTERNAL,
		    text);
	} else if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3) {
		(void)snprintf(text, sizeof(text), "the process that did it ended with status %d",
		    WEXITSTATUS(status));
		fail(c->pipe, ERR_INTERNAL, text);
	}
	fd_close(&c->pipe);
	c->pid = 0;
}

static void
reap(struct house *h)
{
	struct signalfd_siginfo info;
	pid_t pid;
	int status;

	(void)!read(
	    h->signals, &info, sizeof(info)); /* only says that there is something to reap */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < NURSERY_CHILDREN_MAX; i++)
			if (h->children[i].pid == pid)
				child_died(&h->children[i], status);
}

/* Leaves what the worker had: descriptors, signal masks, rights it does not need. */
static void
settle_in(struct house *h, int sock)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	pid_t parent = getppid();
	struct err e = ERR_ZERO;
	sigset_t set;

	if (sock != FD_PIPE && dup3(sock, FD_PIPE, O_CLOEXEC) < 0)
		_exit(2);
	h->sock = FD_PIPE;
	(void)close_range(FD_PIPE + 1, ~0U, 0);
	(void)prctl(PR_SET_NAME, "coffer-nursery", 0, 0, 0);
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC) < 0)
		log_warn("layers are unpacked without a network namespace of their own: %s",
		    strerror(errno));
	if (cell_prepare(&e) < 0)
		log_warn("layers are unpacked without a system call filter: %s", e.msg);
	if (keep_caps(COUNT(nursery_caps)) < 0)
		log_warn("nursery: can't reduce capabilities: %s", strerror(errno));
	die_with_parent(parent); /* behind what changes rights: that clears it */
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigfillset(&set);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	h->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (h->signals < 0)
		_exit(2);
	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) /* else libarchive loses names beyond ASCII */
		log_warn("no UTF-8 locale: names in layers may not be readable");
}

void
nursery_main(int sock)
{
	struct house h = { .sock = -1 };

	settle_in(&h, sock);
	for (;;) {
		struct pollfd p[2] = { { .fd = h.sock, .events = POLLIN },
			{ .fd = h.signals, .events = POLLIN } };

		if (poll(p, COUNT(p), -1) < 0 && errno != EINTR)
			_exit(2);
		if (p[1].revents != 0)
			reap(&h);
		if (p[0].revents != 0)
			take_order(&h);
	}
}
