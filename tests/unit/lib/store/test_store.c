/* SPDX-License-Identifier: Apache-2.0 */
/* test_store - environments, tables and keys of lib/store on a real file. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <lmdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/store/store.h"

enum { IMAGES, OTHER };
static const char *const tables[] = { "images", "other" };

struct fix {
	char dir[64], path[96];
	struct store *s;
	struct err e;
	struct arena a;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/coffer-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/db", f->dir);
	assert_int_equal(store_open(f->path, tables, 2, false, &f->s, &f->e), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	store_close(&f->s);
	arena_free(&f->a);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &f->e), 0);
	free(f);
	return 0;
}

static void
reopen(struct fix *f)
{
	store_close(&f->s);
	assert_int_equal(store_open(f->path, tables, 2, false, &f->s, &f->e), 0);
}

/* Adds an image record. */
static void
put(struct txn *t, const char *ns, const char *name, uint64_t size)
{
	struct descriptor d = { .media_type = "m", .digest = "sha256:0", .size = size };
	struct image i = { .name = name, .target = &d, .created_at = 1, .updated_at = 2 };
	struct err e = ERR_ZERO;
	struct key k;

	store_key(&k, ns, name);
	assert_int_equal(store_put(t, IMAGES, &k, &image_schema, &i, &e), 0);
}

static void
commit_one(struct fix *f, const char *ns, const char *name, uint64_t size)
{
	struct txn *t = NULL;

	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	put(t, ns, name, size);
	assert_int_equal(store_commit(&t, &f->e), 0);
	assert_null(t);
}

static int
get(struct fix *f, const char *ns, const char *name, struct image *ret)
{
	AUTO(store_abort) struct txn *t = NULL;
	struct key k;
	int r;

	assert_int_equal(store_read(f->s, &t, &f->e), 0);
	store_key(&k, ns, name);
	r = store_get(t, IMAGES, &k, &image_schema, &f->a, ret, &f->e);
	assert_int_equal(store_has(t, IMAGES, &k), r != -ERR_NOT_FOUND);
	return r;
}

static void
test_put_get_del(void **state)
{
	struct fix *f = *state;
	struct image i;
	struct txn *t = NULL;
	struct key k;

	assert_int_equal(get(f, "default", "a", &i), -ERR_NOT_FOUND);
	assert_non_null(strstr(f->e.msg, "default/a"));
	commit_one(f, "default", "a", 7);
	commit_one(f, "default", "a", 8); /* replaces */
	assert_int_equal(get(f, "default", "a", &i), 0);
	assert_string_equal(i.name, "a");
	assert_int_equal(i.target->size, 8);
	reopen(f);
	assert_int_equal(get(f, "default", "a", &i), 0);

	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	store_key(&k, "default", "a");
	assert_int_equal(store_del(t, IMAGES, &k, &f->e), 0);
	assert_int_equal(store_del(t, IMAGES, &k, &f->e), 0); /* again: fine */
	assert_int_equal(store_commit(&t, &f->e), 0);
	assert_int_equal(get(f, "default", "a", &i), -ERR_NOT_FOUND);
}

static void
test_abort_leaves_nothing(void **state)
{
	struct fix *f = *state;
	struct image i;
	struct txn *t = NULL;

	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	put(t, "default", "a", 1);
	store_abort(&t);
	assert_null(t);
	store_abort(&t);
	assert_int_equal(get(f, "default", "a", &i), -ERR_NOT_FOUND);
}

/* A reader that was opened before a write sees the state of before, and both may be open at once. */
static void
test_reader_beside_writer(void **state)
{
	struct fix *f = *state;
	struct txn *r = NULL;
	struct key k;

	assert_int_equal(store_read(f->s, &r, &f->e), 0);
	commit_one(f, "default", "a", 1);
	store_key(&k, "default", "a");
	assert_false(store_has(r, IMAGES, &k));
	store_abort(&r);
	assert_int_equal(store_read(f->s, &r, &f->e), 0);
	assert_true(store_has(r, IMAGES, &k));
	store_abort(&r);
}

static void
test_bad_record_refused(void **state)
{
	struct fix *f = *state;
	struct image i = { .name = "no target" };
	struct txn *t = NULL;
	struct key k;

	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	store_key(&k, "default", "x");
	assert_int_equal(store_put(t, IMAGES, &k, &image_schema, &i, &f->e), -ERR_INTERNAL);
	assert_non_null(strstr(f->e.msg, "target"));
	/* A record of another kind under an image's key is damage, and says where. */
	assert_int_equal(store_put(t, IMAGES, &k, &nothing_schema, &(struct nothing){}, &f->e), 0);
	assert_int_equal(store_commit(&t, &f->e), 0);
	assert_int_equal(get(f, "default", "x", &i), -ERR_DATA_LOSS);
	assert_non_null(strstr(f->e.msg, "default/x"));
	assert_non_null(strstr(f->e.msg, "images"));
}

/* --- keys ------------------------------------------------------------------------------------- */

static int
key_cmp(const struct key *a, const struct key *b)
{
	size_t n = a->n < b->n ? a->n : b->n;
	int d = memcmp(a->p, b->p, n);

	return d != 0 ? d : (a->n > b->n) - (a->n < b->n);
}

static void
test_long_keys_stay_distinct(void **state)
{
	AUTO(free_ptr) char *one = xcalloc(1, 5001), *two = xcalloc(1, 5001);
	struct key a, b, c;

	(void)state;
	memset(one, 'x', 5000);
	memset(two, 'x', 5000);
	two[4999] = 'y';
	store_key(&a, "default", one);
	store_key(&b, "default", two);
	assert_int_equal(a.n, STORE_KEY_MAX);
	assert_int_not_equal(key_cmp(&a, &b), 0);
	store_key(&c, "default", one);
	assert_int_equal(key_cmp(&a, &c), 0);
	store_key(&c, "other", one);
	assert_int_not_equal(key_cmp(&a, &c), 0);

	/* Around the limit: 510 bytes are the text itself, 511 are cut, and a name that spells out the
	 * cut key of another is cut as well. */
	one[STORE_KEY_MAX - 8 - 1] = '\0';
	store_key(&a, "default", one);
	assert_int_equal(a.n, STORE_KEY_MAX - 1);
	memset(one, 'x', 5000);
	one[STORE_KEY_MAX - 8] = '\0';
	store_key(&a, "default", one);
	assert_int_equal(a.n, STORE_KEY_MAX);
	memset(two, 0, 5001);
	memcpy(two, a.p + 8, STORE_KEY_MAX - 8);
	store_key(&b, "default", two);
	assert_int_not_equal(key_cmp(&a, &b), 0);
}

static void
test_keys_sort(void **state)
{
	struct key a, b;

	(void)state;
	store_key(&a, "a", "zzz");
	store_key(&b, "aa", "a");
	assert_true(key_cmp(&a, &b) < 0); /* namespaces first */
	store_key_u64(&a, 255);
	store_key_u64(&b, 256);
	assert_true(key_cmp(&a, &b) < 0);
	assert_int_equal(store_key_to_u64(&b), 256);
	store_key_u64(&b, UINT64_MAX);
	assert_true(store_key_to_u64(&b) == UINT64_MAX);
	store_key_text(&a, "abc");
	assert_int_equal(a.n, 3);
}

static void
test_long_name_record(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *name = xcalloc(1, 1001);
	struct image i;

	memset(name, 'n', 1000);
	commit_one(f, "default", name, 5);
	assert_int_equal(get(f, "default", name, &i), 0);
	assert_string_equal(i.name, name);
	name[999] = 'm';
	assert_int_equal(get(f, "default", name, &i), -ERR_NOT_FOUND);
}

/* --- store_each ------------------------------------------------------------------------------- */

struct seen {
	struct txn *t;
	char names[256];
	bool del, twice;
	unsigned stop_after, n;
	int fail;
};

static int
see(void *arg, const struct key *k, void *rec, struct err *e)
{
	struct seen *s = arg;
	struct image *i = rec;

	(void)strcat(strcat(s->names, i->name), " ");
	s->n++;
	if (s->del)
		assert_int_equal(store_del(s->t, IMAGES, k, e), 0);
	if (s->twice)
		assert_int_equal(store_put(s->t, IMAGES, k, &image_schema, i, e), 0);
	if (s->fail != 0)
		return err_set(e, ERR_CANCELLED, "enough");
	return s->n == s->stop_after;
}

static void
fill(struct fix *f)
{
	static const char *const names[] = { "a", "b", "c", "d" };

	for (size_t i = 0; i < COUNT(names); i++) {
		commit_one(f, "n1", names[i], i);
		commit_one(f, "n2", names[i], i);
	}
	commit_one(f, "n10", "z", 1);
}

static int
each(struct fix *f, struct txn *t, const char *ns, const char *after, struct seen *s)
{
	struct key prefix, from;

	s->t = t;
	store_key(&prefix, ns == NULL ? "" : ns, "");
	store_key(&from, ns == NULL ? "" : ns, after == NULL ? "" : after);
	return store_each(t, IMAGES, ns == NULL ? NULL : &prefix, after == NULL ? NULL : &from,
	    &image_schema, &f->a, see, s, &f->e);
}

static void
test_each(void **state)
{
	struct fix *f = *state;
	struct txn *t = NULL;
	struct seen s = { .n = 0 };

	fill(f);
	assert_int_equal(store_read(f->s, &t, &f->e), 0);
	assert_int_equal(each(f, t, "n1", NULL, &s), 0);
	assert_string_equal(s.names, "a b c d ");
	s = (struct seen){ .n = 0 };
	assert_int_equal(each(f, t, NULL, NULL, &s), 0);
	assert_string_equal(s.names, "a b c d z a b c d ");
	s = (struct seen){ .n = 0 };
	assert_int_equal(each(f, t, "n1", "b", &s), 0);
	assert_string_equal(s.names, "c d ");
	s = (struct seen){ .n = 0 };
	assert_int_equal(each(f, t, "n1", "bb", &s), 0); /* behind a name that is not there */
	assert_string_equal(s.names, "c d ");
	s = (struct seen){ .n = 0 };
	assert_int_equal(each(f, t, "n1", "d", &s), 0);
	assert_string_equal(s.names, "");
	s = (struct seen){ .n = 0 };
	assert_int_equal(each(f, t, "none", NULL, &s), 0);
	assert_string_equal(s.names, "");
	s = (struct seen){ .stop_after = 2 };
	assert_int_equal(each(f, t, "n2", NULL, &s), 0);
	assert_string_equal(s.names, "a b ");
	s = (struct seen){ .fail = 1 };
	assert_int_equal(each(f, t, "n2", NULL, &s), -ERR_CANCELLED);
	store_abort(&t);
}

static void
test_each_deletes(void **state)
{
	struct fix *f = *state;
	struct txn *t = NULL;
	struct seen s = { .del = true };
	uint64_t n = 0;

	fill(f);
	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	assert_int_equal(each(f, t, "n1", NULL, &s), 0);
	assert_string_equal(s.names, "a b c d ");
	s = (struct seen){ .twice = true };
	assert_int_equal(each(f, t, "n2", NULL, &s), 0);
	assert_string_equal(s.names, "a b c d ");
	assert_int_equal(store_commit(&t, &f->e), 0);
	assert_int_equal(store_read(f->s, &t, &f->e), 0);
	assert_int_equal(store_count(t, IMAGES, &n, &f->e), 0);
	assert_int_equal(n, 5);
	store_abort(&t);
}

/* --- growth, limits, damage ------------------------------------------------------------------- */

/* More than the first map holds, in transactions of 4 MiB, then still there after reopening. */
static void
test_grows(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *text = xcalloc(1, 60001);
	struct txn *t = NULL;
	struct key k;
	uint64_t n = 0;

	memset(text, 't', 60000);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(store_write(f->s, &t, &f->e), 0);
		for (unsigned j = 0; j < 70; j++) {
			struct outbox_entry o = {
				.seq = i, .ns = "n", .topic = "t", .body = { text, 60000 }
			};

			store_key_u64(&k, i * 1000 + j);
			assert_int_equal(
			    store_put(t, OTHER, &k, &outbox_entry_schema, &o, &f->e), 0);
		}
		assert_int_equal(store_commit(&t, &f->e), 0);
	}
	reopen(f);
	assert_int_equal(store_read(f->s, &t, &f->e), 0);
	assert_int_equal(store_count(t, OTHER, &n, &f->e), 0);
	assert_int_equal(n, 40 * 70);
	store_abort(&t);
}

/* A transaction larger than the map fails cleanly; the next one has a larger map. */
static void
test_transaction_too_large(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *text = xcalloc(1, 60001);
	struct outbox_entry o = { .seq = 1, .ns = "n", .topic = "t", .body = { text, 60000 } };
	struct txn *t = NULL;
	struct key k;
	struct image i;
	int r = 0;

	commit_one(f, "default", "before", 1);
	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	for (unsigned j = 0; j < 2000 && r == 0; j++) {
		store_key_u64(&k, j);
		r = store_put(t, OTHER, &k, &outbox_entry_schema, &o, &f->e);
	}
	assert_int_equal(r, -ERR_RESOURCE_EXHAUSTED);
	assert_true(store_commit(&t, &f->e) < 0);
	assert_null(t);
	assert_int_equal(get(f, "default", "before", &i), 0);
	assert_int_equal(store_write(f->s, &t, &f->e), 0);
	for (unsigned j = 0; j < 1400; j++) { /* 84 MB: more than the first map */
		store_key_u64(&k, j);
		assert_int_equal(store_put(t, OTHER, &k, &outbox_entry_schema, &o, &f->e), 0);
	}
	assert_int_equal(store_commit(&t, &f->e), 0);
}

static void
test_newer_format_refused(void **state)
{
	struct fix *f = *state;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val k = { 6, (char[]){ "format" } }, v = { 8, (char[]){ 0, 0, 0, 0, 0, 0, 0, 2 } };

	store_close(&f->s);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
	assert_int_equal(mdb_env_open(env, f->path, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "meta", 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	assert_int_equal(
	    store_open(f->path, tables, 2, false, &f->s, &f->e), -ERR_FAILED_PRECONDITION);
	assert_null(f->s);
	assert_non_null(strstr(f->e.msg, f->path));
	assert_non_null(strstr(f->e.msg, "format 2"));
}

static int
file_open(struct fix *f, off_t *size)
{
	char path[160];
	struct stat st;
	int fd;

	store_close(&f->s);
	(void)snprintf(path, sizeof(path), "%s/data.mdb", f->path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	*size = st.st_size;
	return fd;
}

static void
test_damaged_meta(void **state)
{
	struct fix *f = *state;
	char junk[8192];
	off_t size;
	AUTO(fd_close) int fd = -1;

	commit_one(f, "default", "a", 1);
	fd = file_open(f, &size);
	memset(junk, 0x5a, sizeof(junk));
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 0), sizeof(junk));
	assert_int_equal(store_open(f->path, tables, 2, false, &f->s, &f->e), -ERR_DATA_LOSS);
	assert_null(f->s);
	assert_non_null(strstr(f->e.msg, f->path));
	assert_non_null(strstr(f->e.msg, "move it away"));
}

/* Cut at every page: an error or the records of a whole transaction, never a crash. */
static void
test_cut_short(void **state)
{
	struct fix *f = *state;
	AUTO(free_ptr) char *whole = NULL;
	AUTO(fd_close) int fd = -1;
	unsigned lost = 0, fine = 0;
	char name[24];
	off_t size;

	for (int i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "image-%d", i);
		commit_one(f, "default", name, (uint64_t)i);
	}
	fd = file_open(f, &size);
	whole = xcalloc(1, (size_t)size);
	assert_int_equal(pread(fd, whole, (size_t)size, 0), size);
	for (off_t cut = 0; cut < size; cut += 4096) {
		int r;

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, whole, (size_t)cut, 0), cut);
		r = store_open(f->path, tables, 2, false, &f->s, &f->e);
		if (r == 0) {
			struct image i;

			fine++;
			if (cut > 8192) /* not a new store */
				assert_int_equal(get(f, "default", "image-59", &i), 0);
			store_close(&f->s);
		} else {
			assert_int_equal(r, -ERR_DATA_LOSS);
			lost++;
		}
	}
	assert_true(lost > 2);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, whole, (size_t)size, 0), size);
	assert_int_equal(store_open(f->path, tables, 2, false, &f->s, &f->e), 0);
}

/* Fills the store until the disk is full. Runs in a mount namespace of its own; returns a step that
 * went wrong, 0 for none. */
static int
fill_disk(const char *dir, struct err *e)
{
	AUTO(free_ptr) char *text = xcalloc(1, 60001);
	struct outbox_entry o = { .seq = 1, .ns = "n", .topic = "t", .body = { text, 60000 } };
	struct store *s = NULL;
	struct txn *t = NULL;
	uint64_t done = 0, n = 0;
	struct key k;
	int r = 0;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir, "tmpfs", 0, "size=2m") < 0)
		return 77;
	if (store_open(dir, tables, 2, true, &s, e) < 0)
		return 1;
	while (r == 0 && done < 1000) {
		if (store_write(s, &t, e) < 0)
			return 2;
		store_key_u64(&k, done);
		r = store_put(t, OTHER, &k, &outbox_entry_schema, &o, e);
		if (r == 0)
			r = store_commit(&t, e);
		store_abort(&t);
		done += r == 0;
	}
	if (r != -ERR_RESOURCE_EXHAUSTED || strstr(e->msg, "No space") == NULL || done < 10)
		return 3;
	/* What was acknowledged is there, in this process and in the next; with room it goes on. */
	for (int again = 0; again < 2; again++) {
		if (store_read(s, &t, e) < 0 || store_count(t, OTHER, &n, e) < 0 || n != done)
			return 4;
		store_abort(&t);
		store_close(&s);
		if (again == 0 && mount("none", dir, "tmpfs", MS_REMOUNT, "size=4m") < 0)
			return 5;
		if (store_open(dir, tables, 2, true, &s, e) < 0)
			return 6;
	}
	if (store_write(s, &t, e) < 0 || store_put(t, OTHER, &k, &outbox_entry_schema, &o, e) < 0 ||
	    store_commit(&t, e) < 0)
		return 7;
	store_close(&s);
	return 0;
}

static void
test_disk_full(void **state)
{
	struct fix *f = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fill_disk(f->dir, &f->e));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* no right to mount */
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
test_open_errors(void **state)
{
	struct fix *f = *state;
	struct store *s = NULL;
	char path[128];
	AUTO(fd_close) int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/file", f->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_true(store_open(path, tables, 2, false, &s, &f->e) < 0);
	assert_null(s);
	assert_non_null(strstr(f->e.msg, path));
	store_close(&s);
}

static void
test_folder_is_private(void **state)
{
	struct fix *f = *state;
	struct stat st;
	char path[160];

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	(void)snprintf(path, sizeof(path), "%s/data.mdb", f->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* No descriptor of the environment may be inherited by what a worker starts. */
static void
test_descriptors_close_on_exec(void **state)
{
	struct fix *f = *state;
	unsigned ours = 0;

	for (int fd = 0; fd < 64; fd++) {
		char link[64], to[256];
		ssize_t n;

		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, to, sizeof(to) - 1);
		if (n < 0)
			continue;
		to[n] = '\0';
		if (strncmp(to, f->dir, strlen(f->dir)) != 0)
			continue;
		ours++;
		assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	}
	assert_true(ours >= 2);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_put_get_del),
		T(test_abort_leaves_nothing),
		T(test_reader_beside_writer),
		T(test_bad_record_refused),
		T(test_long_keys_stay_distinct),
		T(test_keys_sort),
		T(test_long_name_record),
		T(test_each),
		T(test_each_deletes),
		T(test_grows),
		T(test_transaction_too_large),
		T(test_newer_format_refused),
		T(test_damaged_meta),
		T(test_cut_short),
		T(test_disk_full),
		T(test_open_errors),
		T(test_folder_is_private),
		T(test_descriptors_close_on_exec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
