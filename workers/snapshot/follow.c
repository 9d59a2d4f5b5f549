/* SPDX-License-Identifier: Apache-2.0 */
/* follow - see follow.h */
#include "workers/snapshot/follow.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_S 1 /* without being woken: whoever should have done it may be dead */

/* Content makes a blob read-only when it is whole and right. */
static bool
whole(const struct follow *f)
{
	struct stat st;

	return fstat(f->file, &st) == 0 && (uint64_t)st.st_size == f->size &&
	       (st.st_mode & 0222) == 0;
}

int
follow_wait(struct follow *f, uint64_t at, struct err *e)
{
	const struct timespec limit = { .tv_sec = LOOK_S };

	while (at >= f->safe && at < f->size) {
		uint32_t seq = __atomic_load_n(&f->slot->seq, __ATOMIC_ACQUIRE);
		uint64_t written = __atomic_load_n(&f->slot->written, __ATOMIC_ACQUIRE);

		/* In this order: what was read of written was written under this take. */
		if (__atomic_load_n(&f->slot->used, __ATOMIC_ACQUIRE) != f->take) {
			if (!whole(f))
				return err_set(
				    e, ERR_UNAVAILABLE, "its download ended or began again");
			written = f->size;
		}
		f->safe = written < f->size ? written : f->size;
		if (at >= f->safe)
			(void)syscall(SYS_futex, &f->slot->seq, FUTEX_WAIT, seq, &limit, NULL, 0);
	}
	return 0;
}
