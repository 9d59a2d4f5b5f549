/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board - one small page of shared memory per worker: what it does, readable while it is dead.
 *
 * STATE/board/<worker> is made by the supervisor before the fork and outlives every incarnation. The
 * worker maps it writable (inherited descriptor), everyone else read-only. Fixed layout, native byte
 * order, no pointers, no locks: each field has one writer and is read with relaxed atomics; a reader
 * takes it as untrusted bytes (bounded strings, numbers that may be torn between fields).
 *
 *	super	written by the supervisor: pid, state, starts, last death
 *	self	written by the worker: beat, counters, the request in hand, last words
 *
 * lib/base only: the supervisor uses this too.
 */
#ifndef CF_BUS_BOARD_H
#define CF_BUS_BOARD_H

#include <stdint.h>

#include "lib/base/err.h"

#define BOARD_MAGIC 0x31304452414f4243ULL /* "CBOARD01" */
#define BOARD_VERSION 1
#define BOARD_BYTES 8192
#define BOARD_TEXT 512
#define BOARD_BUCKETS 32 /* latency histogram: bucket i counts answers of [2^i, 2^(i+1)) us */
#define BOARD_POISON 16
#define BOARD_INGESTS 16

/* The states of a worker as the supervisor sees it. */
enum board_state {
	BOARD_DOWN,	/* not running, nothing planned */
	BOARD_STARTING, /* forked, not READY yet */
	BOARD_RUNNING,	/* READY */
	BOARD_BACKOFF,	/* died; starts again at next_start_ms */
	BOARD_STOPPING	/* asked to end */
};

struct board_super {
	uint64_t magic;
	uint32_t version, pid;
	uint32_t state;		      /* enum board_state */
	uint32_t starts;	      /* incarnations, this one too; restarts = starts - 1 */
	int64_t started_at, died_at;  /* Unix ns */
	uint64_t next_start_mono_ms;  /* with BOARD_BACKOFF */
	int32_t death_status;	      /* wait status of the last death, 0 = none */
	uint32_t death_by_supervisor; /* it was killed for a hang */
	char death_text[BOARD_TEXT]; /* "killed by signal 11 (SIGSEGV)"; its last words behind it */
	char name[16];
};

/* A request that was being executed when its worker died by its own fault, and how often. */
struct board_poison {
	uint8_t id[16];
	uint32_t deaths;
	uint32_t unused;
	char words[104];
};

/* A download that runs: content's board only. total 0 = not known yet. */
struct board_ingest {
	uint64_t total, written; /* written: bytes from 0 on that are in the file, without a gap */
	uint32_t seq;		 /* futex word: raised with every change of written */
	uint32_t used;		 /* 0: free; else a number that no other download has had: what was
				  * written under it is not changed any more */
	char digest[80];
};

struct board_self {
	uint64_t beat_mono_ms;	 /* last turn of its loop */
	uint64_t served, failed; /* answers: replies, errors */
	uint64_t bytes_in, bytes_out;
	uint32_t in_flight; /* requests not answered yet */
	uint32_t in_hand_set;
	uint8_t in_hand[16]; /* id of the request being executed on the stack */
	uint64_t in_hand_since_mono_ms;
	char in_hand_method[64];
	char last_words[BOARD_TEXT];
	uint64_t latency_us[BOARD_BUCKETS];
	struct board_poison poison[BOARD_POISON];
	struct board_ingest ingest[BOARD_INGESTS];
};

struct board {
	struct board_super super;
	_Alignas(1024) struct board_self self;
};

_Static_assert(sizeof(struct board) <= BOARD_BYTES, "the board outgrew its size");

/* Maps fd (BOARD_BYTES long, made by the supervisor). Unmap with board_unmap. */
int board_map(int fd, int writable, struct board **ret, struct err *e);
void board_unmap(struct board **b);

/* Makes or reuses STATE/board/<name> below dirfd, sized and with magic set; ret_fd is the caller's.
 * What an earlier incarnation left in self stays (poison, last words). */
int
board_create(int dirfd, const char *name, uint32_t uid, uint32_t gid, int *ret_fd, struct err *e);

/* Copies a board so that every string in it ends; fails when magic or version is not ours. */
int board_read(int dirfd, const char *name, struct board *out, struct err *e);

/*
 * For the supervisor, which never maps a board: a worker may cut its file short, and touching a mapping
 * would then kill the reader. These use pread and pwrite.
 */
int board_read_fd(int fd, struct board *out, struct err *e);
int board_super_write(int fd, const struct board_super *s, struct err *e);
/* The beat alone, 0 when it cannot be read. */
uint64_t board_beat(int fd);
/*
 * What to do with the board of a worker that is dead: out gets a copy of it, then the request in hand
 * is taken off it. With own_fault that request is put into self.poison; returns how many workers it
 * has killed by now, 0 when none was in hand (or not own_fault).
 */
uint32_t board_bury(int fd, int own_fault, struct board *out, struct err *e);

/* "running" and so on. */
const char *board_state_text(uint32_t state);

/* Upper bound in microseconds of the bucket where the q-quantile (0..1) lies; 0 without samples. */
uint64_t board_latency_us(const struct board_self *s, double q);

#endif
