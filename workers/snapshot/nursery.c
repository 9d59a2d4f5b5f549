/* SPDX-License-Identifier: Apache-2.0 */
/* nursery - see nursery.h: the worker's side. */
#include "workers/snapshot/nursery.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fdpass.h"

struct nursery {
	struct loop *loop;
	struct loop_source *source;
	int sock;
	pid_t pid;
	loop_timer_fn *died;
	void *arg;
	uint64_t last_id;
	struct nursery_job *jobs;
};

struct nursery_job {
	struct nursery_job *next;
	struct nursery *nursery;
	struct loop_source *source;
	int pipe;
	uint64_t id;
	nursery_fn *fn;
	void *arg;
	struct nursery_report last; /* DONE or FAILED, when it came */
};

static void
on_socket(void *arg, uint32_t events)
{
	struct nursery *n = arg;
	char unused;
	ssize_t r = recv(n->sock, &unused, sizeof(unused), MSG_DONTWAIT);

	(void)events;
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loop_del(&n->source); /* the nursery never says anything: this is its end */
	n->died(n->arg);
}

int
nursery_new(struct loop *l, loop_timer_fn *died, void *arg, struct nursery **ret, struct err *e)
{
	AUTO(nursery_free) struct nursery *n = xcalloc(1, sizeof(*n));
	int pair[2];

	*n = (struct nursery){ .loop = l, .sock = -1, .died = died, .arg = arg };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "make the nursery's socket");
	n->sock = pair[0];
	n->pid = fork();
	if (n->pid == 0)
		nursery_main(pair[1]);
	fd_close(&pair[1]);
	if (n->pid < 0)
		return err_sys(e, errno, "start the nursery");
	n->source = loop_fd(l, n->sock, EPOLLIN, on_socket, n);
	if (n->source == NULL)
		return err_sys(e, errno, "watch the nursery");
	*ret = TAKE(n);
	return 0;
}

static void
job_free(struct nursery_job *j)
{
	struct nursery_job **at = &j->nursery->jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	loop_del(&j->source);
	fd_close(&j->pipe);
	free(j);
}

void
nursery_free(struct nursery **n)
{
	if (*n == NULL)
		return;
	while ((*n)->jobs != NULL)
		job_free((*n)->jobs);
	loop_del(&(*n)->source);
	fd_close(&(*n)->sock);
	if ((*n)->pid > 0) {
		(void)kill((*n)->pid, SIGKILL);
		(void)waitpid((*n)->pid, NULL, 0);
	}
	free(*n);
	*n = NULL;
}

static void
job_end(struct nursery_job *j)
{
	struct nursery_report r = j->last;
	nursery_fn *fn = j->fn;
	void *arg = j->arg;

	if (r.kind == 0) {
		r = (struct nursery_report){ .kind = NURSERY_FAILED, .code = ERR_INTERNAL };
		(void)strcpy(r.message, "the process that did it ended without a word");
	}
	job_free(j);
	fn(arg, &r);
}

/* What a child wrote, made safe: a child may have been taken over by what it unpacked. */
static void
take_report(struct nursery_job *j, struct nursery_report *r)
{
	r->diff_id[sizeof(r->diff_id) - 1] = '\0';
	r->digest[sizeof(r->digest) - 1] = '\0';
	r->message[sizeof(r->message) - 1] = '\0';
	if (r->kind == NURSERY_PROGRESS) {
		j->fn(j->arg, r); /* j may be gone */
		return;
	}
	if (r->kind == NURSERY_FAILED) {
		r->code = (uint32_t)err_from_wire(r->code);
		if (r->code == ERR_NONE)
			r->code = ERR_UNKNOWN;
	} else if (r->kind != NURSERY_DONE) {
		return;
	}
	j->last = *r;
}

static void
on_pipe(void *arg, uint32_t events)
{
	struct nursery_job *j = arg;
	struct nursery_report r;
	ssize_t n = read(j->pipe, &r, sizeof(r));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == (ssize_t)sizeof(r) && r.size == sizeof(r))
		take_report(j, &r);
	else
		job_end(j);
}

/* Sends an order; the descriptors' order on the socket is pipe, folder, file, list, board. */
static int
send_order(struct nursery *n, struct nursery_order *o, int pipe, const struct nursery_fds *f,
    struct err *e)
{
	int fds[FDPASS_FDS_MAX] = { -1 };
	unsigned nfds = 0;

	o->version = NURSERY_VERSION;
	o->size = sizeof(*o);
	if (f != NULL) {
		fds[nfds++] = pipe;
		fds[nfds++] = f->folder;
		if (f->file >= 0)
			fds[nfds++] = f->file;
		if (f->list >= 0)
			fds[nfds++] = f->list;
		if (o->take != 0)
			fds[nfds++] = f->board;
	}
	if (fdpass_send(n->sock, o, sizeof(*o), fds, nfds) < 0)
		return err_sys(e, errno, "give an order to the nursery");
	return 0;
}

int
nursery_run(struct nursery *n, struct nursery_order *o, const struct nursery_fds *fds,
    nursery_fn *fn, void *arg, struct nursery_job **ret, struct err *e)
{
	AUTO(fd_close) int ours = -1;
	AUTO(fd_close) int theirs = -1;
	struct nursery_job *j;
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	ours = pair[0];
	theirs = pair[1];
	(void)fcntl(ours, F_SETFL, O_NONBLOCK);
	o->id = ++n->last_id;
	if (send_order(n, o, theirs, fds, e) < 0)
		return -(int)e->code;
	j = xcalloc(1, sizeof(*j));
	*j = (struct nursery_job){
		.nursery = n, .next = n->jobs, .pipe = ours, .id = o->id, .fn = fn, .arg = arg
	};
	j->source = loop_fd(n->loop, ours, EPOLLIN, on_pipe, j);
	MUST(j->source != NULL);
	(void)fd_take(&ours);
	n->jobs = j;
	*ret = j;
	return 0;
}

void
nursery_cancel(struct nursery_job **j)
{
	struct nursery_order o = { .op = NURSERY_CANCEL };
	struct err e = ERR_ZERO;

	if (*j == NULL)
		return;
	o.id = (*j)->id;
	(void)send_order((*j)->nursery, &o, -1, NULL, &e); /* else it ends at its next report */
	job_free(*j);
	*j = NULL;
}
