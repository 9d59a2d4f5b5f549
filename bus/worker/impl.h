/* SPDX-License-Identifier: Apache-2.0 */
/* impl - what the files of bus/worker share; nobody else includes it. */
#ifndef CF_BUS_WORKER_IMPL_H
#define CF_BUS_WORKER_IMPL_H

#include "bus/peer/mailbox.h"
#include "bus/worker/worker.h"

#define STORES_MAX 2
#define OPTIONS_MAX 64
#define CALL_BUCKETS 256
#define CALLS_MAX 4096 /* in flight, all callers together */
#define CALLS_PER_CALLER_MAX 256
#define PARKED_MAX 16 /* outbox_read calls that wait */
#define NS_DEFAULT "default"

struct arguments {
	const char *root, *state;
	long uid, gid; /* -1: stay */
	gid_t groups[8];
	unsigned ngroups;
	uid_t crew[PROC_COUNT]; /* users of all workers: who calls as which of them */
	const char *keys[OPTIONS_MAX], *values[OPTIONS_MAX];
	unsigned noptions;
};

struct call {
	struct call *next; /* in its bucket */
	struct worker *worker;
	const struct method *method;
	uint8_t id[16];
	char id_text[33];
	char ns[80], lease[80];
	struct route from;
	uid_t uid;
	pid_t pid;
	unsigned by;
	struct arena arena;
	zmq_msg_t body;
	uint64_t since_ns;
	struct loop_source *timer; /* its deadline */
	void *note;
};

/* Replies sent lately, for requests that come twice without a death in between. */
#define RECENT_MAX 256
#define RECENT_BYTES_MAX 65536

struct recent {
	uint8_t id[16];
	char *body; /* NULL: free slot */
	size_t n;
	bool error;
};

struct parked {
	struct call *call;
	uint64_t after;
	unsigned limit;
	struct loop_source *timer;
};

struct worker {
	const struct worker_spec *spec;
	struct arguments args;
	const char *name;
	struct loop *loop;
	struct client *client;
	struct mailbox *mailbox;
	struct board *board;
	void *state;
	struct store *stores[STORES_MAX];
	unsigned nstores;
	struct call *calls[CALL_BUCKETS];
	unsigned ncalls;
	struct recent recent[RECENT_MAX];
	unsigned recent_next;
	struct parked parked[PARKED_MAX];
	struct loop_source *outbox_wake;
	struct loop_source *control;
	bool ending;	     /* the loop is over: nothing is answered any more */
	uint64_t trimmed_at; /* answers given when memory was last handed back */
};

/* arguments.c; prints what is wrong itself. */
int arguments_parse(int argc, char **argv, struct arguments *a);

/* jail.c: gives up what the role does not need. */
int jail_enter(const struct worker *w, struct err *e);

/* dispatch.c */
void dispatch_mail(void *arg, struct mail *m);
void dispatch_gone(void *arg, int fd);

/* common.c */
void outbox_wake(void *worker);
void outbox_call_gone(struct worker *w, struct call *c);

#endif
