/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - see loop.h.
 *
 * Timers sit in a list sorted by due time: there are few (one per deadline in flight), and the
 * list needs no memory of its own. Dead sources wait on a graveyard list until the turn ends,
 * since epoll may have reported them in the batch being run.
 */
#include "lib/base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"

#define TURN_EVENTS 32

enum source_kind { SOURCE_FD, SOURCE_SIGNAL, SOURCE_TIMER };

struct loop_source {
	struct loop *loop;
	struct loop_source *prev, *next; /* in live, timers or dead */
	enum source_kind kind;
	bool dead;
	int fd;
	uint64_t due_ms, period_ms;
	union {
		loop_fd_fn *on_fd;
		loop_timer_fn *on_time;
		loop_signal_fn *on_signal;
	};
	void *arg;
};

struct loop {
	int epfd;
	struct loop_source *live, *timers, *dead;
	loop_before_fn *before;
	void *before_arg;
	bool stopped;
	int value;
};

static void
list_push(struct loop_source **head, struct loop_source *s)
{
	s->prev = NULL;
	s->next = *head;
	if (*head != NULL)
		(*head)->prev = s;
	*head = s;
}

static void
list_remove(struct loop_source **head, struct loop_source *s)
{
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		*head = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
}

static void
timer_insert(struct loop *l, struct loop_source *s)
{
	struct loop_source *at = l->timers, *last = NULL;

	while (at != NULL && at->due_ms <= s->due_ms) {
		last = at;
		at = at->next;
	}
	s->prev = last;
	s->next = at;
	if (at != NULL)
		at->prev = s;
	if (last != NULL)
		last->next = s;
	else
		l->timers = s;
}

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0)
		free_ptr(&l);
	return l;
}

static void
list_free(struct loop_source **head)
{
	struct loop_source *s = *head;

	while (s != NULL) {
		struct loop_source *next = s->next;

		if (s->kind == SOURCE_SIGNAL)
			fd_close(&s->fd);
		free(s);
		s = next;
	}
	*head = NULL;
}

void
loop_free(struct loop **lp)
{
	struct loop *l = *lp;

	if (l == NULL)
		return;
	list_free(&l->live);
	list_free(&l->timers);
	list_free(&l->dead);
	fd_close(&l->epfd);
	free(l);
	*lp = NULL;
}

static struct loop_source *
source_new(struct loop *l, enum source_kind kind, void *arg)
{
	struct loop_source *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->kind = kind;
	s->fd = -1;
	s->arg = arg;
	return s;
}

static int
source_watch(struct loop_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(s->loop->epfd, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		return -1;
	list_push(&s->loop->live, s);
	return 0;
}

struct loop_source *
loop_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg)
{
	struct loop_source *s = source_new(l, SOURCE_FD, arg);

	s->fd = fd;
	s->on_fd = fn;
	if (source_watch(s, events) < 0)
		free_ptr(&s);
	return s;
}

void
loop_fd_events(struct loop_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	MUST(epoll_ctl(s->loop->epfd, EPOLL_CTL_MOD, s->fd, &ev) == 0);
}

static struct loop_source *
timer_new(struct loop *l, uint64_t delay_ms, uint64_t period_ms, loop_timer_fn *fn, void *arg)
{
	struct loop_source *s = source_new(l, SOURCE_TIMER, arg);

	s->on_time = fn;
	s->due_ms = clock_mono_ms() + delay_ms;
	s->period_ms = period_ms;
	timer_insert(l, s);
	return s;
}

struct loop_source *
loop_once(struct loop *l, uint64_t delay_ms, loop_timer_fn *fn, void *arg)
{
	return timer_new(l, delay_ms, 0, fn, arg);
}

struct loop_source *
loop_every(struct loop *l, uint64_t period_ms, loop_timer_fn *fn, void *arg)
{
	MUST(period_ms > 0);
	return timer_new(l, period_ms, period_ms, fn, arg);
}

struct loop_source *
loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg)
{
	struct loop_source *s = source_new(l, SOURCE_SIGNAL, arg);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	errno = pthread_sigmask(SIG_BLOCK, &set, NULL);
	s->on_signal = fn;
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->fd < 0 || source_watch(s, EPOLLIN) < 0) {
		fd_close(&s->fd);
		free_ptr(&s);
	}
	return s;
}

void
loop_before_wait(struct loop *l, loop_before_fn *fn, void *arg)
{
	l->before = fn;
	l->before_arg = arg;
}

void
loop_del(struct loop_source **sp)
{
	struct loop_source *s = *sp;

	*sp = NULL;
	if (s == NULL || s->dead)
		return;
	s->dead = true;
	if (s->kind == SOURCE_TIMER) {
		list_remove(&s->loop->timers, s);
	} else {
		/* The caller may have closed it already; the kernel then forgot it by itself. */
		(void)epoll_ctl(s->loop->epfd, EPOLL_CTL_DEL, s->fd, NULL);
		list_remove(&s->loop->live, s);
		if (s->kind == SOURCE_SIGNAL)
			fd_close(&s->fd);
	}
	list_push(&s->loop->dead, s);
}

static void
signal_run(struct loop_source *s)
{
	struct signalfd_siginfo info;

	while (!s->dead && read(s->fd, &info, sizeof(info)) == sizeof(info))
		s->on_signal(s->arg, (int)info.ssi_signo);
}

static void
timers_run(struct loop *l)
{
	uint64_t now = clock_mono_ms();

	while (l->timers != NULL && l->timers->due_ms <= now) {
		struct loop_source *s = l->timers;
		loop_timer_fn *fn = s->on_time;
		void *arg = s->arg;

		if (s->period_ms > 0) {
			list_remove(&l->timers, s);
			s->due_ms = now + s->period_ms;
			timer_insert(l, s);
		} else {
			loop_del(&s);
		}
		fn(arg);
	}
}

static int
wait_ms(const struct loop *l, int timeout_ms)
{
	uint64_t now;
	int due;

	if (l->timers == NULL)
		return timeout_ms;
	now = clock_mono_ms();
	if (l->timers->due_ms <= now)
		return 0;
	due = l->timers->due_ms - now > 1000000 ? 1000000 : (int)(l->timers->due_ms - now);
	return timeout_ms < 0 || due < timeout_ms ? due : timeout_ms;
}

void
loop_turn(struct loop *l, int timeout_ms)
{
	struct epoll_event evs[TURN_EVENTS];
	int n;

	if (l->before != NULL && l->before(l->before_arg))
		timeout_ms = 0;
	if (l->stopped)
		return;
	n = epoll_wait(l->epfd, evs, TURN_EVENTS, wait_ms(l, timeout_ms));
	MUST(n >= 0 || errno == EINTR);
	for (int i = 0; i < n; i++) {
		struct loop_source *s = evs[i].data.ptr;

		if (s->dead)
			continue;
		if (s->kind == SOURCE_SIGNAL)
			signal_run(s);
		else
			s->on_fd(s->arg, evs[i].events);
	}
	timers_run(l);
	list_free(&l->dead);
}

int
loop_run(struct loop *l)
{
	l->stopped = false;
	while (!l->stopped)
		loop_turn(l, -1);
	return l->value;
}

void
loop_stop(struct loop *l, int value)
{
	l->stopped = true;
	l->value = value;
}
