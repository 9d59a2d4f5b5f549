/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - the environment and its transactions; see store.h.
 *
 * LMDB is used so:
 *	MDB_NOTLS	reader slots belong to transactions, not to the thread: an actor may read while its
 *			one write transaction is open
 *	durable		default sync: data, then the meta page, each synced by the commit
 *	not durable	MDB_NOSYNC and MDB_NOMETASYNC; on tmpfs there is nothing to sync to, and the page
 *			cache outlives a killed process
 * The map starts at 64 MiB of address space (not memory, not disk) and doubles before a write
 * transaction when less than half of it is free; growing remaps, so no transaction may be open then.
 *
 * A file that was cut short would be a SIGBUS at the first touch of the missing pages. At open it is
 * filled up with zeros to the length its meta page claims, which turns missing pages into pages that
 * LMDB refuses, and every record is walked once. (The last pages may be missing in a sound
 * file: pages that a transaction took and gave back are never written.)
 */
#include "lib/store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/base/auto.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"

#define MAP_START ((size_t)64 << 20)
#define ROOM ((size_t)1 << 20)

_Static_assert(MAP_START >= 4 * (size_t)STORE_TXN_MAX, "half of the map holds a transaction");

static const char *const own_names[OWN_TABLES] = { "meta", "outbox", "replies" };

int
store_fail(struct store *s, int rc, struct err *e, const char *doing)
{
	switch (rc) {
	case MDB_MAP_FULL:
		s->full = true;
		return err_set(e, ERR_RESOURCE_EXHAUSTED,
		    "store %s: %s: more than %u MiB in one transaction; try again", s->path, doing,
		    STORE_TXN_MAX >> 20);
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
		return err_set(e, ERR_DATA_LOSS,
		    "store %s: %s: %s; stop cofferd, put a saved copy of this folder in its place "
		    "or move it away, and start again: without it this part starts empty, and "
		    "images can be pulled again",
		    s->path, doing, mdb_strerror(rc));
	case MDB_PANIC:
		return err_set(e, ERR_INTERNAL,
		    "store %s: %s: the disk failed to write before, and this process cannot tell "
		    "what is there; kill it, cofferd starts it again",
		    s->path, doing);
	case MDB_VERSION_MISMATCH:
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "store %s: %s: written by another version of LMDB (%s)", s->path, doing,
		    mdb_strerror(rc));
	case MDB_BAD_VALSIZE:
		return err_set(e, ERR_INVALID_ARGUMENT,
		    "store %s: %s: a key of no bytes, or more than %d", s->path, doing,
		    STORE_KEY_MAX);
	default:
		if (rc > 0)
			return err_sys(e, rc, "store %s: %s", s->path, doing);
		return err_set(
		    e, ERR_INTERNAL, "store %s: %s: %s", s->path, doing, mdb_strerror(rc));
	}
}

static size_t
page_bytes(struct store *s)
{
	MDB_stat st;

	(void)mdb_env_stat(s->env, &st); /* fails only without an environment */
	return st.ms_psize;
}

static void
map_state(struct store *s, size_t *ret_used, size_t *ret_size)
{
	MDB_envinfo info;

	(void)mdb_env_info(s->env, &info); /* fails only without an environment */
	*ret_used = (info.me_last_pgno + 1) * page_bytes(s);
	*ret_size = info.me_mapsize;
}

/* Doubles the map until half of it is free. Skipped while a reader is open: half of the map is still
 * free then, or it will be grown once it is not. */
static int
map_grow(struct store *s, struct err *e)
{
	size_t used, size, want;
	int rc;

	map_state(s, &used, &size);
	want = size;
	while (s->full || used > want / 2) {
		want *= 2;
		s->full = false;
	}
	if (want == size || s->open_txns > 0)
		return 0;
	rc = mdb_env_set_mapsize(s->env, want);
	return rc == 0 ? 0 : store_fail(s, rc, e, "grow the map");
}

/* Keeps room on the disk behind the used pages: removing things writes pages too, and must work where
 * nothing else fits any more. Whatever stands against it: the next transaction tries again. */
static void
room_keep(struct store *s)
{
	size_t used, size;
	int fd = -1;

	map_state(s, &used, &size);
	if (s->room >= used + ROOM / 2 || mdb_env_get_fd(s->env, &fd) != 0)
		return;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)used, ROOM) == 0)
		s->room = used + ROOM;
}

static int
txn_begin(struct store *s, bool write, struct txn **ret, struct err *e)
{
	AUTO(free_ptr) struct txn *t = xcalloc(1, sizeof(*t));
	unsigned flags = write ? 0 : MDB_RDONLY;
	int rc;

	rc = mdb_txn_begin(s->env, NULL, flags, &t->mdb);
	if (rc == MDB_MAP_RESIZED && s->open_txns == 0) {
		rc = mdb_env_set_mapsize(s->env, 0);
		if (rc == 0)
			rc = mdb_txn_begin(s->env, NULL, flags, &t->mdb);
	}
	if (rc != 0)
		return store_fail(s, rc, e, "begin");
	t->s = s;
	t->write = write;
	s->open_txns++;
	s->writing |= write;
	*ret = TAKE(t);
	return 0;
}

int
store_read(struct store *s, struct txn **ret, struct err *e)
{
	return txn_begin(s, false, ret, e);
}

int
store_write(struct store *s, struct txn **ret, struct err *e)
{
	struct txn *t = NULL;
	int r;

	MUST(!s->writing); /* LMDB would wait for the other one: for ever, on one thread */
	r = map_grow(s, e);
	room_keep(s);
	if (r == 0)
		r = txn_begin(s, true, &t, e);
	if (r == 0 && s->forgot < s->forget) {
		r = outbox_trim(t, e);
		if (r < 0)
			store_abort(&t);
	}
	if (r == 0)
		*ret = t;
	return r;
}

static void
txn_end(struct txn **t)
{
	(*t)->s->open_txns--;
	if ((*t)->write)
		(*t)->s->writing = false;
	free_ptr(t);
}

/* LMDB says EIO for a write that came out short, which is what a disk that fills up does first. */
static bool
disk_full(struct store *s)
{
	struct statvfs fs;
	int fd = -1;

	return mdb_env_get_fd(s->env, &fd) == 0 && fstatvfs(fd, &fs) == 0 &&
	       (uint64_t)fs.f_bavail * fs.f_frsize < STORE_TXN_MAX;
}

int
store_commit(struct txn **t, struct err *e)
{
	struct store *s = (*t)->s;
	bool write = (*t)->write;
	int rc = 0;

	if (write)
		FAULT_POINT("store.commit.before");
	if (write && FAULT_FAILS("store.commit.write")) {
		rc = errno;
		mdb_txn_abort((*t)->mdb);
	} else {
		rc = mdb_txn_commit((*t)->mdb); /* ends it, whatever comes of it */
	}
	txn_end(t);
	if (rc == EIO && disk_full(s))
		rc = ENOSPC;
	if (rc != 0)
		return store_fail(s, rc, e, "commit");
	if (write)
		FAULT_POINT("store.commit.after");
	return 0;
}

void
store_abort(struct txn **t)
{
	if (*t == NULL)
		return;
	mdb_txn_abort((*t)->mdb);
	txn_end(t);
}

/* A page that fails LMDB's own checks: the walk at open ends with an error; anywhere else the process
 * ends, with words. LMDB would abort after this function, so it does not return. */
static void
on_assert(MDB_env *env, const char *msg)
{
	struct store *s = mdb_env_get_userctx(env);

	if (s->check != NULL)
		longjmp(*s->check, 1);
	must_fail("lmdb", 0, msg);
}

static int
env_open(struct store *s, bool durable, struct err *e)
{
	unsigned flags = MDB_NOTLS | (durable ? 0 : MDB_NOSYNC | MDB_NOMETASYNC);
	int rc, fd = -1, dead;

	rc = mdb_env_create(&s->env);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(s->env, s->ntables + OWN_TABLES);
	if (rc == 0)
		rc = mdb_env_set_mapsize(s->env, MAP_START);
	if (rc == 0)
		rc = mdb_env_open(s->env, s->path, flags, 0600);
	if (rc == 0)
		rc = mdb_env_set_userctx(s->env, s);
	if (rc == 0)
		rc = mdb_env_set_assert(s->env, on_assert);
	if (rc == 0)
		rc = mdb_env_get_fd(s->env, &fd);
	if (rc != 0)
		return store_fail(s, rc, e, "open");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, errno, "store %s: open", s->path);
	if (!durable)
		s->room = SIZE_MAX; /* on tmpfs room is memory */
	rc = mdb_reader_check(s->env, &dead);
	return rc == 0 ? 0 : store_fail(s, rc, e, "check readers");
}

/* Fills a file that is shorter than its meta page says; *ret_short tells that it was. */
static int
file_fill(struct store *s, bool *ret_short, struct err *e)
{
	size_t used, size;
	struct stat st;
	int fd = -1;

	map_state(s, &used, &size);
	(void)mdb_env_get_fd(s->env, &fd); /* fails only without an environment */
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "store %s: open", s->path);
	*ret_short = (size_t)st.st_size < used;
	if (*ret_short && ftruncate(fd, (off_t)used) < 0)
		return err_sys(e, errno, "store %s: fill up", s->path);
	return 0;
}

/* Opens all tables; a missing one is made. */
static int
tables_open(struct store *s, struct txn *t, struct err *e)
{
	for (unsigned i = 0; i < s->ntables + OWN_TABLES; i++) {
		int rc = mdb_dbi_open(t->mdb, s->names[i], MDB_CREATE, &s->dbi[i]);

		if (rc != 0)
			return store_fail(s, rc, e, s->names[i]);
	}
	return 0;
}

/* Checks the format, or writes it down in a new store. */
static int
format_check(struct store *s, struct txn *t, struct err *e)
{
	unsigned char number[8];
	MDB_val val;
	int r = raw_get(t, own(s, TABLE_META), "format", 6, &val, e);
	uint64_t format;

	if (r < 0)
		return r;
	if (r == 0) {
		u64_put(number, STORE_FORMAT);
		return raw_put(t, own(s, TABLE_META), "format", 6, number, sizeof(number), e);
	}
	format = val.mv_size == sizeof(number) ? u64_get(val.mv_data) : 0;
	if (format == 0)
		return store_fail(s, MDB_CORRUPTED, e, "read its format");
	if (format > STORE_FORMAT)
		return err_set(e, ERR_FAILED_PRECONDITION,
		    "store %s has format %llu, made by a newer cofferd; this one knows up to %d",
		    s->path, (unsigned long long)format, STORE_FORMAT);
	return 0;
}

/* MDB_NOTFOUND (the end of the last table), or what is wrong. Transactions end their cursors. */
static int
walk_all(struct store *s, struct txn *t)
{
	int rc = MDB_NOTFOUND;

	for (unsigned i = 0; rc == MDB_NOTFOUND && i < s->ntables + OWN_TABLES; i++) {
		MDB_cursor *c = NULL;
		MDB_val key, val;

		rc = mdb_cursor_open(t->mdb, s->dbi[i], &c);
		while (rc == 0)
			rc = mdb_cursor_get(c, &key, &val, MDB_NEXT);
		mdb_cursor_close(c);
	}
	return rc;
}

/* Touches every record, so that missing pages are found now. */
static int
file_check(struct store *s, struct txn *t, struct err *e)
{
	jmp_buf back;
	int rc;

	s->check = &back;
	rc = setjmp(back) == 0 ? walk_all(s, t) : MDB_CORRUPTED;
	s->check = NULL;
	return rc == MDB_NOTFOUND ? 0 : store_fail(s, rc, e, "the file is cut short");
}

static int
store_init(struct store *s, bool durable, struct err *e)
{
	AUTO(store_abort) struct txn *t = NULL;
	bool cut = false;
	int r;

	r = env_open(s, durable, e);
	if (r == 0)
		r = file_fill(s, &cut, e);
	if (r == 0)
		r = store_write(s, &t, e);
	if (r == 0)
		r = tables_open(s, t, e);
	if (r == 0)
		r = format_check(s, t, e);
	if (r == 0 && cut)
		r = file_check(s, t, e);
	return r < 0 ? r : store_commit(&t, e);
}

int
store_open(const char *path, const char *const *tables, unsigned ntables, bool durable,
    struct store **ret, struct err *e)
{
	AUTO(store_close) struct store *s = xcalloc(1, sizeof(*s));
	int r = fs_mkdirs(AT_FDCWD, path, 0700, e);

	if (r < 0)
		return err_wrap(e, "store %s", path);
	MUST(ntables <= STORE_TABLES_MAX);
	s->path = xstrdup(path);
	s->ntables = ntables;
	for (unsigned i = 0; i < ntables + OWN_TABLES; i++)
		s->names[i] = xstrdup(i < ntables ? tables[i] : own_names[i - ntables]);
	r = store_init(s, durable, e);
	if (r < 0)
		return r;
	*ret = TAKE(s);
	return 0;
}

void
store_close(struct store **sp)
{
	struct store *s = *sp;

	if (s == NULL)
		return;
	MUST(s->open_txns == 0);
	if (s->env != NULL)
		mdb_env_close(s->env);
	for (unsigned i = 0; i < s->ntables + OWN_TABLES; i++)
		free(s->names[i]);
	free(s->path);
	free_ptr(sp);
}
