/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - one thread, one epoll, timers: the event loop of the supervisor, every worker, the shim
 * and ctr.
 *
 * Callbacks run one at a time on the thread in loop_run. Any source may be removed in any callback,
 * its own too: removal takes effect at once (a removed source is never called again) and its memory
 * is freed at the end of the turn. A source does not own its descriptor: close it after loop_del.
 */
#ifndef CF_BASE_LOOP_H
#define CF_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct loop_source;

typedef void loop_fd_fn(void *arg, uint32_t events); /* events as epoll: EPOLLIN, EPOLLHUP, ... */
typedef void loop_timer_fn(void *arg);
typedef void loop_signal_fn(void *arg, int signo);

/* NULL only when the kernel refuses an epoll descriptor. Free with loop_free (which frees sources). */
struct loop *loop_new(void);
void loop_free(struct loop **l);

/* Watches fd. NULL with errno when epoll refuses it. */
struct loop_source *loop_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg);
/* Changes what is watched (0 keeps the source and hears only HUP and ERR). */
void loop_fd_events(struct loop_source *s, uint32_t events);

/* Calls fn once, delay_ms from now. The source is gone after the call; it must not be deleted then. */
struct loop_source *loop_once(struct loop *l, uint64_t delay_ms, loop_timer_fn *fn, void *arg);
/* Calls fn every period_ms until deleted. */
struct loop_source *loop_every(struct loop *l, uint64_t period_ms, loop_timer_fn *fn, void *arg);

/* Blocks the signal in this thread and calls fn when it arrives (signalfd). Call it before any
 * thread is started. NULL with errno on failure. */
struct loop_source *loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg);

/* Called once before each wait, for work that callbacks queued; true when it did something: then the
 * turn does not wait. One per loop, NULL for none. */
typedef bool loop_before_fn(void *arg);
void loop_before_wait(struct loop *l, loop_before_fn *fn, void *arg);

/* Removes *s and sets it to NULL; NULL is fine. */
void loop_del(struct loop_source **s);

/* Turns until loop_stop is called; returns the value given there. */
int loop_run(struct loop *l);
/* One turn: waits at most timeout_ms (-1 = until something happens), runs what is due. */
void loop_turn(struct loop *l, int timeout_ms);
void loop_stop(struct loop *l, int value);

#endif
