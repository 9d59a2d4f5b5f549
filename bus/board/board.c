/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board - see board.h.
 *
 * Crash story: a board is plain memory of a tmpfs file, never synced; a death between two writes
 * leaves counters that are off by one, and at worst a request in hand that is buried twice. Readers
 * bound every string and trust no number.
 */
#include "bus/board/board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/auto.h"

_Static_assert(
    offsetof(struct board, self) == 1024, "the layout is fixed: readers in other languages");
_Static_assert(sizeof(struct board_super) <= 1024, "super outgrew its part");

static const char *const state_text[] = {
	[BOARD_DOWN] = "down",
	[BOARD_STARTING] = "starting",
	[BOARD_RUNNING] = "running",
	[BOARD_BACKOFF] = "backoff",
	[BOARD_STOPPING] = "stopping",
};

#define END(array) ((array)[sizeof(array) - 1] = '\0')

static bool
board_ours(const struct board_super *s)
{
	return s->magic == BOARD_MAGIC && s->version == BOARD_VERSION;
}

int
board_map(int fd, int writable, struct board **ret, struct err *e)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat board");
	if (st.st_size < BOARD_BYTES)
		return err_set(
		    e, ERR_DATA_LOSS, "board is only %lld bytes long", (long long)st.st_size);
	p = mmap(
	    NULL, BOARD_BYTES, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "map board");
	if (!board_ours(&((struct board *)p)->super)) {
		(void)munmap(p, BOARD_BYTES);
		return err_set(e, ERR_FAILED_PRECONDITION, "board is of another version");
	}
	*ret = p;
	return 0;
}

void
board_unmap(struct board **b)
{
	if (*b != NULL)
		(void)munmap(*b, BOARD_BYTES);
	*b = NULL;
}

/* Gives the file its size, and zeroes when what is in it is not a board of this version. */
static int
board_shape(int fd, const char *name, struct err *e)
{
	struct board_super s;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat board %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_FAILED_PRECONDITION, "board %s is not a file", name);
	memset(&s, 0, sizeof(s));
	if (st.st_size == BOARD_BYTES && pread(fd, &s, sizeof(s), 0) == (ssize_t)sizeof(s) &&
	    board_ours(&s))
		return 0;
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, BOARD_BYTES) < 0)
		return err_sys(e, errno, "size board %s", name);
	memset(&s, 0, sizeof(s));
	s.magic = BOARD_MAGIC;
	s.version = BOARD_VERSION;
	(void)snprintf(s.name, sizeof(s.name), "%s", name);
	return board_super_write(fd, &s, e);
}

int
board_create(int dirfd, const char *name, uint32_t uid, uint32_t gid, int *ret_fd, struct err *e)
{
	AUTO(fd_close)
	int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "open board %s", name);
	r = board_shape(fd, name, e);
	if (r < 0)
		return r;
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, 0640) < 0)
		return err_sys(e, errno, "set owner of board %s", name);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Every string ends; counts stay inside their arrays. */
static void
board_bound(struct board *b)
{
	END(b->super.death_text);
	END(b->super.name);
	END(b->self.in_hand_method);
	END(b->self.last_words);
	for (size_t i = 0; i < COUNT(b->self.poison); i++)
		END(b->self.poison[i].words);
	for (size_t i = 0; i < COUNT(b->self.ingest); i++)
		END(b->self.ingest[i].digest);
}

int
board_read_fd(int fd, struct board *out, struct err *e)
{
	ssize_t n = pread(fd, out, sizeof(*out), 0);

	if (n < 0)
		return err_sys(e, errno, "read board");
	if ((size_t)n < sizeof(*out))
		return err_set(e, ERR_DATA_LOSS, "board is cut short");
	if (!board_ours(&out->super))
		return err_set(e, ERR_FAILED_PRECONDITION, "board is of another version");
	board_bound(out);
	return 0;
}

int
board_read(int dirfd, const char *name, struct board *out, struct err *e)
{
	AUTO(fd_close) int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct board b;

	if (fd < 0)
		return err_sys(e, errno, "open board %s", name);
	if (board_read_fd(fd, &b, e) < 0)
		return err_wrap(e, "%s", name);
	*out = b;
	return 0;
}

int
board_super_write(int fd, const struct board_super *s, struct err *e)
{
	ssize_t n = pwrite(fd, s, sizeof(*s), offsetof(struct board, super));

	if (n != (ssize_t)sizeof(*s))
		return err_sys(e, n < 0 ? errno : ENOSPC, "write board %s", s->name);
	return 0;
}

uint64_t
board_beat(int fd)
{
	uint64_t beat = 0;

	if (pread(fd, &beat, sizeof(beat), offsetof(struct board, self.beat_mono_ms)) !=
	    (ssize_t)sizeof(beat))
		return 0;
	return beat;
}

/* The slot of this request; else a free one, else that with the fewest deaths. */
static size_t
poison_slot(const struct board_self *self)
{
	size_t least = 0;

	for (size_t i = 0; i < COUNT(self->poison); i++) {
		const struct board_poison *p = &self->poison[i];

		if (p->deaths > 0 && memcmp(p->id, self->in_hand, sizeof(p->id)) == 0)
			return i;
		if (p->deaths < self->poison[least].deaths)
			least = i;
	}
	return least;
}

static uint32_t
poison_add(int fd, const struct board_self *self)
{
	size_t i = poison_slot(self);
	struct board_poison p = self->poison[i];
	size_t n;

	if (p.deaths == 0 || memcmp(p.id, self->in_hand, sizeof(p.id)) != 0) {
		memset(&p, 0, sizeof(p));
		memcpy(p.id, self->in_hand, sizeof(p.id));
	}
	if (p.deaths < UINT32_MAX)
		p.deaths++;
	n = strlen(self->last_words);
	n = n < sizeof(p.words) - 1 ? n : sizeof(p.words) - 1;
	memset(p.words, 0, sizeof(p.words));
	memcpy(p.words, self->last_words, n);
	(void)!pwrite(fd, &p, sizeof(p),
	    (off_t)(offsetof(struct board, self.poison) +
		    i * sizeof(p))); /* a full tmpfs: not refused */
	return p.deaths;
}

uint32_t
board_bury(int fd, int own_fault, struct board *out, struct err *e)
{
	const uint32_t none = 0;
	uint32_t deaths = 0;

	if (board_read_fd(fd, out, e) < 0)
		return 0;
	if (out->self.in_hand_set == 0)
		return 0;
	if (own_fault)
		deaths = poison_add(fd, &out->self);
	(void)!pwrite(fd, &none, sizeof(none), offsetof(struct board, self.in_hand_set));
	return deaths;
}

const char *
board_state_text(uint32_t state)
{
	return state < COUNT(state_text) ? state_text[state] : "unknown";
}

uint64_t
board_latency_us(const struct board_self *s, double q)
{
	double total = 0, seen = 0;

	for (size_t i = 0; i < COUNT(s->latency_us); i++)
		total += (double)s->latency_us[i];
	if (total <= 0)
		return 0;
	for (size_t i = 0; i < COUNT(s->latency_us); i++) {
		seen += (double)s->latency_us[i];
		if (seen >= q * total && s->latency_us[i] > 0)
			return 2ULL << i;
	}
	return 2ULL << (COUNT(s->latency_us) - 1);
}
