/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew - see crew.h.
 *
 *	            START               READY
 *	  DOWN ------------> STARTING ---------> RUNNING
 *	   ^                  |  ^ died            | died
 *	   | died             v  | due             v
 *	STOPPING <--stop--- (any)  BACKOFF <-------+
 *
 * Deadlines: STARTING: the limit to get ready; RUNNING: only after an abort, the time to die of it;
 * BACKOFF: the next start; STOPPING: the end of patience. All of a member's deadlines share due_ms.
 */
#include "supervisor/crew.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/fdpass.h"
#include "lib/base/log.h"

#define TICK_MS 1000
#define ABORT_MS 1000 /* from SIGABRT to SIGKILL: room for a core file */
#define BACKOFF_MS 100
#define PACKETS_PER_TURN 32

enum happening { EV_START, EV_READY, EV_DIED, EV_SILENT, EV_DUE, EV_STOP, EV_COUNT };

#define STATE_COUNT (BOARD_STOPPING + 1)

static void fire(struct member *m, enum happening ev);
static void timer_arm(struct crew *c);
static void death_run(void *arg, uint32_t events);

static void
timer_run(void *arg)
{
	struct crew *c = arg;
	uint64_t now = clock_mono_ms();

	c->timer = NULL;
	for (unsigned i = 0; i < PROC_COUNT; i++) {
		struct member *m = &c->members[i];

		if (m->due_ms != 0 && m->due_ms <= now) {
			m->due_ms = 0;
			fire(m, EV_DUE);
		}
	}
	timer_arm(c);
}

/* Before each wait of the loop: one timer for the nearest deadline. */
static void
timer_arm(struct crew *c)
{
	uint64_t now = clock_mono_ms(), next = 0;

	loop_del(&c->timer);
	for (unsigned i = 0; i < PROC_COUNT; i++)
		if (c->members[i].due_ms != 0 && (next == 0 || c->members[i].due_ms < next))
			next = c->members[i].due_ms;
	if (next != 0)
		c->timer = loop_once(c->loop, next > now ? next - now : 0, timer_run, c);
}

/* Enters a state; wait_ms (0 = no deadline) starts its clock. */
static void
enter(struct member *m, enum board_state state, uint64_t wait_ms)
{
	struct err e = ERR_ZERO;

	m->state = state;
	m->since_ms = clock_mono_ms();
	m->due_ms = wait_ms == 0 ? 0 : m->since_ms + wait_ms;
	m->super.state = state;
	m->super.pid = m->pid > 0 ? (uint32_t)m->pid : 0;
	m->super.next_start_mono_ms = state == BOARD_BACKOFF ? m->due_ms : 0;
	if (m->board >= 0 && board_super_write(m->board, &m->super, &e) < 0)
		log_warn("%s", e.msg);
	timer_arm(m->crew);
}

/* --- what a worker says --------------------------------------------------------------------------- */

static void
violation(struct member *m, const char *what)
{
	log_error("%s broke the control protocol: %s; it is replaced", proc_name(m->proc), what);
	m->killed_for = what;
	member_signal(m, SIGKILL);
	loop_del(&m->on_control);
}

static void
packet_take(struct member *m, const struct order *o, size_t n, int *fds, unsigned nfds)
{
	struct crew *c = m->crew;
	const char *wrong = NULL;

	if (n != sizeof(*o) || o->size != sizeof(*o) || o->version != CONTROL_VERSION)
		wrong = "a packet of another version or size";
	else if (o->op == CONTROL_READY && nfds == 0)
		fire(m, EV_READY);
	else if (m->proc != PROC_TASK)
		wrong = "an order that it may not give";
	else
		c->hooks.order(c->hooks.arg, o, fds, nfds); /* takes fds */
	if (wrong == NULL && o->op != CONTROL_READY)
		return;
	while (nfds > 0)
		fd_close(&fds[--nfds]);
	if (wrong != NULL)
		violation(m, wrong);
}

static void
control_run(void *arg, uint32_t events)
{
	struct member *m = arg;
	struct crew *c = m->crew;

	if ((events & EPOLLOUT) != 0 && m->proc == PROC_TASK)
		c->hooks.writable(c->hooks.arg);
	if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		loop_del(
		    &m->on_control); /* it is dying, its pidfd will tell; orders of the dead are void */
	for (int i = 0; i < PACKETS_PER_TURN && m->on_control != NULL && !c->held; i++) {
		int fds[FDPASS_FDS_MAX];
		unsigned nfds = COUNT(fds);
		struct order o;
		ssize_t n = fdpass_recv(m->control, &o, sizeof(o), fds, &nfds);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == EMSGSIZE)
			violation(m, "a packet that is too large");
		else if (n <= 0)
			loop_del(&m->on_control);
		else
			packet_take(m, &o, (size_t)n, fds, nfds);
	}
}

int
crew_reply(struct crew *c, const struct order_reply *r, const int *fds, unsigned nfds)
{
	struct member *m = &c->members[PROC_TASK];

	if (m->on_control == NULL) {
		errno = EPIPE;
		return -1;
	}
	return fdpass_send(m->control, r, r->size, fds, nfds);
}

void
crew_want(struct crew *c, bool orders, bool writable)
{
	struct member *m = &c->members[PROC_TASK];

	c->held = !orders;
	if (m->on_control != NULL)
		loop_fd_events(m->on_control, (orders ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U));
}

/* --- actions of the state table -------------------------------------------------------------------- */

static void
do_nothing(struct member *m)
{
	(void)m;
}

static uint64_t
backoff_ms(const struct member *m)
{
	uint64_t cap = (uint64_t)m->crew->config->backoff_s * 1000, wait = BACKOFF_MS;
	uint32_t random = 0;

	if (m->fails <= 1)
		return 0;
	for (unsigned i = 2; i < m->fails && wait < cap; i++)
		wait *= 2;
	wait = wait < cap ? wait : cap;
	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK); /* no jitter then */
	return wait - wait / 4 + random % (wait / 4 + 1);	  /* jitter: up to a quarter less */
}

static void
do_rest(struct member *m)
{
	bool all = true;

	enter(m, BOARD_DOWN, 0);
	for (unsigned i = PROC_COUNT; i-- > 0;) /* the next one, in reverse order */
		if (m->crew->members[i].state != BOARD_DOWN) {
			fire(&m->crew->members[i], EV_STOP);
			all = false;
			break;
		}
	if (all)
		m->crew->hooks.stopped(m->crew->hooks.arg);
}

static void
do_wait(struct member *m)
{
	uint64_t wait;

	if (m->crew->stopping) {
		do_rest(m);
		return;
	}
	m->fails++;
	wait = backoff_ms(m);
	enter(m, BOARD_BACKOFF, wait);
	if (wait == 0)
		fire(m, EV_DUE);
	else
		log_warn("%s starts again in %llu ms (death %u in a row)", proc_name(m->proc),
		    (unsigned long long)wait, m->fails);
}

static void
do_start(struct member *m)
{
	struct err e = ERR_ZERO;

	m->killed_for = NULL;
	m->beat = m->silent_ms = 0;
	if (member_birth(m, death_run, control_run, &e) < 0) {
		log_error("start %s: %s", proc_name(m->proc), e.msg);
		(void)snprintf(
		    m->super.death_text, sizeof(m->super.death_text), "not started: %.480s", e.msg);
		if (m->fails == 0)
			m->fails = 1; /* at once would only fail again */
		do_wait(m);
		return;
	}
	if (m->proc == PROC_TASK)
		m->crew->held = false;
	m->super.starts++;
	m->super.started_at = clock_real_ns();
	enter(m, BOARD_STARTING, (uint64_t)m->crew->config->start_s * 1000);
	FAULT_POINT("supervisor.worker.started");
	log_debug("%s started (pid %d)", proc_name(m->proc), m->pid);
}

static void
do_run(struct member *m)
{
	struct crew *c = m->crew;
	bool all = true;

	log_info("%s is ready (pid %d, after %llu ms)", proc_name(m->proc), m->pid,
	    (unsigned long long)(clock_mono_ms() - m->since_ms));
	enter(m, BOARD_RUNNING, 0);
	m->ever_ready = true;
	for (unsigned i = 0; i < PROC_COUNT; i++)
		all = all && c->members[i].ever_ready;
	if (all && !c->told_ready) {
		c->told_ready = true;
		c->hooks.ready(c->hooks.arg);
	}
}

static void
do_abort(struct member *m)
{
	m->killed_for = m->state == BOARD_RUNNING ? "it stopped beating"
						  : "it did not get ready in time";
	log_error("%s (pid %d): %s; aborted", proc_name(m->proc), m->pid, m->killed_for);
	member_signal(m, SIGABRT);
	m->due_ms = clock_mono_ms() + ABORT_MS;
	timer_arm(m->crew);
}

static void
do_due(struct member *m)
{
	if (m->killed_for == NULL && m->state == BOARD_STARTING) {
		do_abort(m);
		return;
	}
	member_signal(m, SIGKILL);
}

static void
do_kill(struct member *m)
{
	log_warn("%s (pid %d) does not end: killed", proc_name(m->proc), m->pid);
	m->killed_for = "it did not end in time";
	member_signal(m, SIGKILL);
}

static void
do_ask(struct member *m)
{
	enter(m, BOARD_STOPPING, (uint64_t)m->crew->config->stop_s * 1000);
	member_signal(m, SIGTERM);
}

static void
do_refuse(struct member *m)
{
	violation(m, "it said READY twice");
}

static void (*const actions[STATE_COUNT][EV_COUNT])(struct member *) = {
	[BOARD_DOWN] = { [EV_START] = do_start },
	[BOARD_STARTING] = { [EV_READY] = do_run,
	    [EV_DIED] = do_wait,
	    [EV_DUE] = do_due,
	    [EV_STOP] = do_ask },
	[BOARD_RUNNING] = { [EV_READY] = do_refuse,
	    [EV_DIED] = do_wait,
	    [EV_SILENT] = do_abort,
	    [EV_DUE] = do_due,
	    [EV_STOP] = do_ask },
	[BOARD_BACKOFF] = { [EV_DUE] = do_start, [EV_STOP] = do_rest },
	[BOARD_STOPPING] = { [EV_DIED] = do_rest, [EV_DUE] = do_kill },
};

static void
fire(struct member *m, enum happening ev)
{
	void (*act)(struct member *) = actions[m->state][ev];

	(act != NULL ? act : do_nothing)(m);
}

/* --- death ---------------------------------------------------------------------------------------- */

static void
death_describe(struct member *m, int status, const struct board *was)
{
	char *to = m->super.death_text;
	const size_t size = sizeof(m->super.death_text);
	const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
	int n;

	if (WIFSIGNALED(status))
		n = snprintf(to, size, "killed by signal %d (SIG%s)", WTERMSIG(status),
		    name != NULL ? name : "?");
	else
		n = snprintf(to, size, "exited with status %d", WEXITSTATUS(status));
	if (m->killed_for != NULL)
		n += snprintf(to + n, size - (size_t)n, ", since %s", m->killed_for);
	if (was->self.last_words[0] != '\0')
		(void)snprintf(to + n, size - (size_t)n, ": %s", was->self.last_words);
}

static void
death_record(struct member *m, int status)
{
	static struct board was; /* too big for a stack; nothing in it outlives the call */
	bool own_fault = WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL &&
			 WTERMSIG(status) != SIGTERM && m->killed_for == NULL;
	struct err e = ERR_ZERO;
	uint32_t deaths;

	memset(&was, 0, sizeof(was));
	deaths = board_bury(m->board, own_fault, &was, &e);
	if (e.code != ERR_NONE) {
		log_warn("%s: %s", proc_name(m->proc), e.msg);
		memset(&was, 0, sizeof(was));
	}
	if (m->state == BOARD_STOPPING && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		m->super.starts--; /* as asked for: the next start makes up for no death */
		log_info("%s has ended", proc_name(m->proc));
		return;
	}
	death_describe(m, status, &was);
	m->super.died_at = clock_real_ns();
	m->super.death_status = status;
	m->super.death_by_supervisor = m->killed_for != NULL;
	log_error("%s (pid %d) died: %s", proc_name(m->proc), m->pid, m->super.death_text);
	if (deaths > 0)
		log_error("%s was executing %s when it died: death %u of this request",
		    proc_name(m->proc), was.self.in_hand_method, deaths);
}

static void
death_run(void *arg, uint32_t events)
{
	struct member *m = arg;
	struct crew *c = m->crew;
	uint64_t healthy_ms = (uint64_t)c->config->healthy_s * 1000;
	int status = 0;

	(void)events;
	if (waitpid(m->pid, &status, WNOHANG) == 0)
		return;
	death_record(m, status);
	member_forget(m);
	if (m->state == BOARD_RUNNING && clock_mono_ms() - m->since_ms >= healthy_ms)
		m->fails = 0;
	if (m->proc == PROC_TASK)
		c->hooks.task_gone(c->hooks.arg);
	fire(m, EV_DIED);
}

/* --- the pulse -------------------------------------------------------------------------------------- */

/* As the first process of a container we inherit what nobody waits for. Ours are reaped in the turn in
 * which they die, so who is found twice is a stranger. */
static void
strangers_reap(struct crew *c)
{
	siginfo_t info = { .si_pid = 0 };

	if (getpid() != 1 || waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return;
	if (info.si_pid != 0 && info.si_pid == c->stranger)
		(void)waitpid(info.si_pid, NULL, WNOHANG);
	c->stranger = info.si_pid;
}

/* Counts only time that we were running ourselves: a machine that slept has no silent workers. */
static void
tick_run(void *arg)
{
	struct crew *c = arg;
	uint64_t now = clock_mono_ms(), passed = now - c->last_tick_ms;

	c->last_tick_ms = now;
	passed = passed < 2ULL * TICK_MS ? passed : 2ULL * TICK_MS;
	for (unsigned i = 0; i < PROC_COUNT; i++) {
		struct member *m = &c->members[i];
		uint64_t beat;

		if (m->state != BOARD_RUNNING || m->killed_for != NULL)
			continue;
		beat = board_beat(m->board);
		m->silent_ms = beat != m->beat ? 0 : m->silent_ms + passed;
		m->beat = beat;
		if (m->silent_ms > (uint64_t)c->config->hang_s * 1000)
			fire(m, EV_SILENT);
	}
	strangers_reap(c);
}

/* --- as a whole ------------------------------------------------------------------------------------- */

static int
member_open(struct member *m, struct err *e)
{
	static struct board was;
	int r = member_board_renew(m, e);

	if (r < 0 || (r = board_read_fd(m->board, &was, e)) < 0)
		return r;
	m->super = was.super;
	if (m->super.pid > 0)
		member_ghost_clear(m, (pid_t)m->super.pid);
	enter(m, BOARD_DOWN, 0);
	return 0;
}

int
crew_open(struct crew *c, struct loop *l, const struct config *config, const struct folders *f,
    const struct crew_hooks *hooks, const char *self_dir, struct err *e)
{
	int r;

	*c = (struct crew){ .loop = l, .config = config, .hooks = *hooks };
	for (unsigned i = 0; i < PROC_COUNT; i++) {
		struct member *m = &c->members[i];

		member_init(m, i, l, config, f, self_dir);
		m->crew = c;
	}
	for (unsigned i = 0; i < PROC_COUNT; i++)
		if ((r = member_open(&c->members[i], e)) < 0)
			return r;
	c->last_tick_ms = clock_mono_ms();
	c->tick = loop_every(l, TICK_MS, tick_run, c);
	for (unsigned i = 0; i < PROC_COUNT; i++)
		fire(&c->members[i], EV_START);
	return 0;
}

void
crew_stop(struct crew *c)
{
	bool again = c->stopping;

	c->stopping = true;
	if (!again) {
		for (unsigned i = PROC_COUNT; i-- > 0;)
			if (c->members[i].state != BOARD_DOWN) {
				fire(&c->members[i], EV_STOP);
				return;
			}
		c->hooks.stopped(c->hooks.arg);
		return;
	}
	for (unsigned i = 0; i < PROC_COUNT; i++)
		if (c->members[i].pidfd >= 0)
			member_signal(&c->members[i], SIGKILL);
}

void
crew_close(struct crew *c)
{
	if (c->loop == NULL)
		return;
	loop_del(&c->timer);
	loop_del(&c->tick);
	for (unsigned i = 0; i < PROC_COUNT; i++) {
		struct member *m = &c->members[i];

		member_forget(m);
		fd_close(&m->board);
	}
}
