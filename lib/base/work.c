/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work - see work.h.
 *
 * One lock guards both queues and the counts of threads. A finished job is put on the done queue and
 * the eventfd is written; the loop takes the whole queue at once. Threads are detached; work_free
 * waits on a condition until the last one has left.
 */
#include "lib/base/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/auto.h"

#define STACK_BYTES (256 * 1024)
#define IDLE_SECONDS 5

struct job {
	struct job *next;
	work_fn *run, *done;
	void *arg;
};

struct queue {
	struct job *head, **tail;
};

struct work {
	struct loop_source *source;
	int event_fd;
	unsigned pending, max_threads;
	pthread_mutex_t lock;
	pthread_cond_t more, left; /* a job was added or the end came; a thread ended */
	struct queue todo, done;
	unsigned threads, idle, waiting; /* threads: alive; idle: of them; waiting: jobs in todo */
	bool stop;
};

static void
queue_init(struct queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

static void
queue_push(struct queue *q, struct job *j)
{
	j->next = NULL;
	*q->tail = j;
	q->tail = &j->next;
}

static struct job *
queue_pop(struct queue *q)
{
	struct job *j = q->head;

	if (j == NULL)
		return NULL;
	q->head = j->next;
	if (q->head == NULL)
		q->tail = &q->head;
	return j;
}

static void
queue_free(struct queue *q)
{
	struct job *j;

	while ((j = queue_pop(q)) != NULL)
		free_ptr(&j);
}

/* The next job, or NULL when the thread should end. Called and returns with the lock held. */
static struct job *
job_wait(struct work *w)
{
	while (w->todo.head == NULL && !w->stop) {
		struct timespec until;
		int r;

		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += IDLE_SECONDS;
		w->idle++;
		r = pthread_cond_timedwait(&w->more, &w->lock, &until);
		w->idle--;
		if (r == ETIMEDOUT && w->todo.head == NULL)
			return NULL;
	}
	if (w->stop)
		return NULL;
	w->waiting--;
	return queue_pop(&w->todo);
}

static void *
thread_main(void *arg)
{
	struct work *w = arg;
	struct job *j;

	MUST(pthread_mutex_lock(&w->lock) == 0);
	while ((j = job_wait(w)) != NULL) {
		uint64_t one = 1;

		MUST(pthread_mutex_unlock(&w->lock) == 0);
		j->run(j->arg);
		MUST(pthread_mutex_lock(&w->lock) == 0);
		queue_push(&w->done, j);
		MUST(write(w->event_fd, &one, sizeof(one)) == sizeof(one));
	}
	w->threads--;
	MUST(pthread_cond_signal(&w->left) == 0);
	MUST(pthread_mutex_unlock(&w->lock) == 0);
	return NULL;
}

/* One more thread, with every signal blocked: they are the loop's. Called with the lock held. */
static bool
thread_start(struct work *w)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t t;
	int r;

	(void)sigfillset(&all);
	MUST(pthread_attr_init(&attr) == 0);
	MUST(pthread_attr_setstacksize(&attr, STACK_BYTES) == 0);
	MUST(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
	MUST(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
	r = pthread_create(&t, &attr, thread_main, w);
	MUST(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	(void)pthread_attr_destroy(&attr);
	if (r == 0)
		w->threads++;
	return r == 0;
}

static void
on_event(void *arg, uint32_t events)
{
	struct work *w = arg;
	struct queue done;
	struct job *j;
	uint64_t n;

	(void)events;
	(void)!read(w->event_fd, &n, sizeof(n)); /* only to quieten it */
	queue_init(&done);
	MUST(pthread_mutex_lock(&w->lock) == 0);
	while ((j = queue_pop(&w->done)) != NULL)
		queue_push(&done, j);
	MUST(pthread_mutex_unlock(&w->lock) == 0);
	while ((j = queue_pop(&done)) != NULL) {
		work_fn *fn = j->done;
		void *job_arg = j->arg;

		free_ptr(&j);
		w->pending--;
		fn(job_arg);
	}
}

int
work_new(struct loop *l, unsigned threads, struct work **ret, struct err *e)
{
	struct work *w = xcalloc(1, sizeof(*w));
	pthread_condattr_t attr;

	MUST(threads > 0);
	w->max_threads = threads;
	queue_init(&w->todo);
	queue_init(&w->done);
	MUST(pthread_mutex_init(&w->lock, NULL) == 0);
	MUST(pthread_condattr_init(&attr) == 0);
	MUST(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	MUST(pthread_cond_init(&w->more, &attr) == 0);
	MUST(pthread_cond_init(&w->left, NULL) == 0);
	(void)pthread_condattr_destroy(&attr);
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->event_fd >= 0)
		w->source = loop_fd(l, w->event_fd, EPOLLIN, on_event, w);
	if (w->source == NULL) {
		(void)err_sys(e, errno, "make the eventfd of a thread pool");
		work_free(&w);
		return -(int)e->code;
	}
	*ret = w;
	return 0;
}

void
work_free(struct work **wp)
{
	struct work *w = *wp;

	if (w == NULL)
		return;
	MUST(pthread_mutex_lock(&w->lock) == 0);
	w->stop = true;
	MUST(pthread_cond_broadcast(&w->more) == 0);
	while (w->threads > 0)
		MUST(pthread_cond_wait(&w->left, &w->lock) == 0);
	MUST(pthread_mutex_unlock(&w->lock) == 0);
	queue_free(&w->todo);
	queue_free(&w->done);
	loop_del(&w->source);
	fd_close(&w->event_fd);
	(void)pthread_cond_destroy(&w->more);
	(void)pthread_cond_destroy(&w->left);
	(void)pthread_mutex_destroy(&w->lock);
	free_ptr(wp);
}

void
work_add(struct work *w, work_fn *run, work_fn *done, void *arg)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->run = run;
	j->done = done;
	j->arg = arg;
	w->pending++;
	MUST(pthread_mutex_lock(&w->lock) == 0);
	queue_push(&w->todo, j);
	w->waiting++;
	/* No thread can be had (a limit of the system): with none alive that is as bad as no memory. */
	if (w->idle < w->waiting && w->threads < w->max_threads && !thread_start(w))
		MUST(w->threads > 0);
	MUST(pthread_cond_signal(&w->more) == 0);
	MUST(pthread_mutex_unlock(&w->lock) == 0);
}

unsigned
work_pending(const struct work *w)
{
	return w->pending;
}
