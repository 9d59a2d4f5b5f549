/* SPDX-License-Identifier: Apache-2.0 */
/* inodes - see inodes.h. Open addressing, half full at most. */
#include "workers/snapshot/inodes.h"

#include <stdint.h>
#include <stdlib.h>

#include "lib/base/auto.h"

static struct inode_seen *
place(const struct inodes *t, dev_t dev, ino_t ino)
{
	size_t at = (size_t)(((uint64_t)ino ^ (uint64_t)dev << 32) * 0x9e3779b97f4a7c15ULL >> 20) &
		    (t->room - 1);

	while (t->v[at].ino != 0 && (t->v[at].ino != ino || t->v[at].dev != dev))
		at = (at + 1) & (t->room - 1);
	return &t->v[at];
}

static void
grow(struct inodes *t)
{
	struct inodes wider = { .n = t->n, .room = t->room == 0 ? 256 : 2 * t->room };

	wider.v = xcalloc(wider.room, sizeof(*wider.v));
	for (size_t i = 0; i < t->room; i++)
		if (t->v[i].ino != 0)
			*place(&wider, t->v[i].dev, t->v[i].ino) = t->v[i];
	free(t->v);
	*t = wider;
}

struct inode_seen *
inodes_meet(struct inodes *t, const struct stat *st, bool *ret_new)
{
	struct inode_seen *s;

	if (2 * t->n >= t->room)
		grow(t);
	s = place(t, st->st_dev, st->st_ino);
	*ret_new = s->ino == 0;
	t->n += *ret_new;
	s->dev = st->st_dev;
	s->ino = st->st_ino;
	return s;
}

void
inodes_free(struct inodes *t)
{
	for (size_t i = 0; i < t->room; i++)
		free(t->v[i].path);
	free(t->v);
}
