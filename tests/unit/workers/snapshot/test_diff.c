/* SPDX-License-Identifier: Apache-2.0 */
/* The tar of what changed between stacks of layers: what is in it, and that applying it gives the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "workers/snapshot/diff.h"
#include "workers/snapshot/tree.h"
#include "workers/snapshot/tree_copy.h"
#include "workers/snapshot/unpack.h"

struct fix {
	char dir[64];
	int layers;
	int tar; /* what run made */
	struct layer_out_result res;
	uint64_t sockets;
	struct err e;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)umask(0);
	assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
	(void)strcpy(f->dir, "/tmp/coffer-diff-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->layers = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->tar = -1;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	assert_int_equal(chdir("/"), 0);
	assert_int_equal(tree_empty(f->layers, &f->e), 0);
	assert_int_equal(rmdir(f->dir), 0);
	fd_close(&f->layers);
	fd_close(&f->tar);
	free(f);
	return 0;
}

/* --- making trees -------------------------------------------------------------------------------------- */

static int
layer(struct fix *f, unsigned number)
{
	char path[32];
	int fd;

	(void)snprintf(path, sizeof(path), "%u/fs", number);
	assert_int_equal(fs_open_dir(f->layers, path, 0755, &fd, &f->e), 0);
	return fd;
}

/* Sets a time that depends on nothing but its arguments. */
static void
touch(int at, const char *path, time_t s, long ns)
{
	struct timespec t[2] = { { .tv_sec = s, .tv_nsec = ns }, { .tv_sec = s, .tv_nsec = ns } };

	assert_int_equal(utimensat(at, path, t, AT_SYMLINK_NOFOLLOW), 0);
}

static void
put(int at, const char *path, const char *text)
{
	int fd = openat(at, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	fd_close(&fd);
	touch(at, path, 1000, 5);
}

static void
folder(int at, const char *path)
{
	assert_int_equal(mkdirat(at, path, 0755), 0);
	touch(at, path, 1000, 5);
}

static void
whiteout(int at, const char *path)
{
	assert_int_equal(mknodat(at, path, S_IFCHR, makedev(0, 0)), 0);
}

static void
opaque(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0), 0);
	fd_close(&fd);
	touch(at, path, 1000, 5);
}

/* --- running -------------------------------------------------------------------------------------------- */

/* Stacks are numbers with 0 at their end. */
static struct diff_stack
stack(const uint64_t *numbers)
{
	struct diff_stack s = { .numbers = numbers };

	while (numbers[s.n] != 0)
		s.n++;
	return s;
}

static int
run_as(struct fix *f, enum layer_packing how, const uint64_t *upper, const uint64_t *lower)
{
	AUTO(layer_out_free) struct layer_out *out = NULL;
	struct diff_stack u = stack(upper), l = stack(lower);
	int r;

	fd_close(&f->tar);
	f->tar = memfd_create("tar", MFD_CLOEXEC);
	f->e = ERR_ZERO;
	assert_int_equal(layer_out_new(f->tar, how, &out, &f->e), 0);
	r = diff_run(f->layers, &u, &l, out, &f->sockets, &f->e);
	if (r == 0)
		r = layer_out_finish(out, &f->res, &f->e);
	assert_int_equal(lseek(f->tar, 0, SEEK_SET), 0);
	return r;
}

static void
run(struct fix *f, const uint64_t *upper, const uint64_t *lower)
{
	if (run_as(f, LAYER_PLAIN, upper, lower) < 0)
		fail_msg("%s", f->e.msg);
}
#define STACK(...) ((const uint64_t[]){ __VA_ARGS__, 0 })
#define NOTHING ((const uint64_t[]){ 0 })

/* The names in the tar, in their order: "a/ a/f a/l=a/f". */
static char *
names(struct fix *f)
{
	struct archive *a = archive_read_new();
	struct archive_entry *ent;
	struct buf out = BUF_ZERO;
	int r;

	assert_int_equal(archive_read_support_format_tar(a), ARCHIVE_OK);
	assert_int_equal(archive_read_open_fd(a, f->tar, 4096), ARCHIVE_OK);
	while ((r = archive_read_next_header(a, &ent)) != ARCHIVE_EOF) {
		assert_true(r == ARCHIVE_OK || r == ARCHIVE_WARN);
		(void)buf_addf(&out, "%s%s", out.len > 0 ? " " : "", archive_entry_pathname(ent));
		if (archive_entry_hardlink(ent) != NULL)
			(void)buf_addf(&out, "=%s", archive_entry_hardlink(ent));
	}
	(void)archive_read_free(a);
	assert_int_equal(lseek(f->tar, 0, SEEK_SET), 0);
	return buf_take(&out);
}

static void
expect(struct fix *f, const char *want)
{
	AUTO(free_ptr) char *got = names(f);

	assert_string_equal(got, want);
}

/* Unpacks the tar as a layer into folder number. */
static void
unpack(struct fix *f, unsigned number)
{
	AUTO(fd_close) int to = layer(f, number);
	AUTO(tree_free) struct tree *t = tree_new(to, 1 << 20);
	struct unpack_limits limits = { .bytes = 1ULL << 40, .entries = 1 << 20, .held = 1 << 20 };
	struct buf implied = BUF_ZERO;
	struct unpack_result res;

	if (unpack_run(
		f->tar, NULL, tree_sink(t), &limits, false, NULL, NULL, &implied, &res, &f->e) < 0)
		fail_msg("%s", f->e.msg);
	assert_int_equal(implied.len, 0);
	assert_true(digest_equal(&res.diff_id, &f->res.diff_id));
	assert_int_equal(lseek(f->tar, 0, SEEK_SET), 0);
	buf_free(&implied);
}

/* The tree that layer above, on the whole tree below, makes: in folder to. */
static void
flatten(struct fix *f, unsigned below, unsigned above, unsigned to)
{
	AUTO(fd_close) int from = layer(f, below);
	AUTO(fd_close) int whole = layer(f, to);
	AUTO(fd_close) int top = layer(f, above);

	assert_int_equal(tree_copy(from, whole, &f->e), 0);
	assert_int_equal(tree_apply(top, whole, &f->e), 0);
}

/* Everything about the tree, as text. */
static void
describe(int dir, const char *path, struct buf *out)
{
	AUTO(free_ptr) struct dirent **list = NULL;
	int n = scandirat(dir, ".", &list, NULL, alphasort);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		AUTO(free_ptr) char *sub = xasprintf("%s/%s", path, name);
		AUTO(free_ptr) char *body = NULL;
		char target[PATH_MAX] = "", attrs[4096] = "";
		struct stat st;
		int fd;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
			free(list[i]);
			continue;
		}
		assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
		(void)!readlinkat(dir, name, target, sizeof(target) - 1);
		assert_int_equal(fchdir(dir), 0);
		(void)!lgetxattr(name, "user.a", attrs, 100);
		(void)!lgetxattr(name, "security.capability", attrs + strlen(attrs), 100);
		if (S_ISREG(st.st_mode) && st.st_size < 1 << 20) {
			struct buf text = BUF_ZERO;
			struct err e = ERR_ZERO;

			assert_int_equal(fs_read(dir, name, 1 << 20, &text, &e), 0);
			body = buf_take(&text);
		}
		(void)buf_addf(out, "%s %o %u:%u %lld.%09ld %lld %lu %llx %s %s %s\n", sub,
		    st.st_mode, st.st_uid, st.st_gid, (long long)st.st_mtim.tv_sec,
		    st.st_mtim.tv_nsec, S_ISDIR(st.st_mode) ? 0 : (long long)st.st_size,
		    S_ISDIR(st.st_mode) ? 0 : (unsigned long)st.st_nlink,
		    (unsigned long long)st.st_rdev, target, attrs, body == NULL ? "" : body);
		if (S_ISDIR(st.st_mode)) {
			fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			describe(fd, sub, out);
			fd_close(&fd);
		}
		free(list[i]);
	}
}

static void
same_trees(struct fix *f, unsigned a, unsigned b)
{
	AUTO(fd_close) int x = layer(f, a);
	AUTO(fd_close) int y = layer(f, b);
	struct buf p = BUF_ZERO, q = BUF_ZERO;

	describe(x, "", &p);
	describe(y, "", &q);
	assert_string_equal(buf_str(&p), buf_str(&q));
	buf_free(&p);
	buf_free(&q);
}

/* --- what is in it ---------------------------------------------------------------------------------------- */

/* A base layer with a bit of everything that the tests change. */
static void
base(struct fix *f, unsigned number)
{
	AUTO(fd_close) int l = layer(f, number);

	folder(l, "etc");
	put(l, "etc/hosts", "old");
	put(l, "etc/passwd", "root");
	folder(l, "usr");
	folder(l, "usr/lib");
	put(l, "usr/lib/a", "a");
	put(l, "usr/lib/b", "b");
	folder(l, "var");
	put(l, "var/x", "x");
	put(l, "file", "file");
	touch(l, "usr/lib", 1000, 5);
	touch(l, "usr", 1000, 5);
	touch(l, "etc", 1000, 5);
	touch(l, "var", 1000, 5);
}

static void
reads_an_upper_folder(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int u = layer(f, 2);

	base(f, 1);
	folder(u, "etc"); /* as copied up: nothing but what is in it changed */
	put(u, "etc/hosts", "new");
	whiteout(u, "etc/passwd");
	touch(u, "etc", 1000, 5);
	folder(u, "usr");
	folder(u, "usr/lib"); /* copied up for nothing */
	touch(u, "usr/lib", 1000, 5);
	touch(u, "usr", 1000, 5);
	folder(u, "new");
	put(u, "new/deep", "1");
	whiteout(u, "new/never-was");
	whiteout(u, "gone-twice");
	whiteout(u, "file");
	run(f, STACK(2, 1), STACK(1));
	expect(f, ".wh.file etc/ etc/.wh.passwd etc/hosts new/ new/deep");
	assert_int_equal(f->sockets, 0);
}

static void
nothing_changed(void **state)
{
	struct fix *f = *state;
	int u = layer(f, 2);

	base(f, 1);
	run(f, STACK(2, 1), STACK(1));
	expect(f, "");
	assert_int_equal(f->res.tar_bytes, 1024);
	run(f, STACK(1), STACK(1));
	expect(f, "");
	assert_int_equal(fchmod(u, 01777), 0); /* the root itself */
	run(f, STACK(2, 1), STACK(1));
	expect(f, "./");
	fd_close(&u);
}

static void
opaque_folders(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int u = layer(f, 2);

	base(f, 1);
	folder(u, "usr");
	opaque(u, "usr"); /* in place of the one below */
	folder(u, "usr/lib");
	put(u, "usr/lib/a", "a"); /* the same as below, and still part of it */
	folder(u, "fresh");
	opaque(u, "fresh"); /* overlayfs marks what is new, too: nothing to hide */
	put(u, "fresh/f", "f");
	run(f, STACK(2, 1), STACK(1));
	expect(f, "fresh/ fresh/f usr/ usr/.wh..wh..opq usr/lib/ usr/lib/a");
	unpack(f, 3);
	flatten(f, 1, 2, 4);
	flatten(f, 1, 3, 5);
	same_trees(f, 4, 5);
}

static void
types_change(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int u = layer(f, 2);

	base(f, 1);
	folder(u, "file"); /* was a file */
	put(u, "file/inside", "i");
	put(u, "usr", "was a folder");
	assert_int_equal(symlinkat("etc", u, "var"), 0);
	run(f, STACK(2, 1), STACK(1));
	expect(f, "usr var file/ file/inside");
	unpack(f, 3);
	flatten(f, 1, 2, 4);
	flatten(f, 1, 3, 5);
	same_trees(f, 4, 5);
}

/* Three layers above a common one against two others. */
static void
stacks_with_a_common_end(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int a = layer(f, 2);
	AUTO(fd_close) int b = layer(f, 3);
	AUTO(fd_close) int c = layer(f, 4);

	base(f, 1);
	folder(a, "etc");
	put(a, "etc/hosts", "a's");
	put(a, "etc/only-a", "a");
	folder(b, "etc");
	put(b, "etc/only-a", "b over a");
	put(b, "etc/back", "again");
	folder(c, "etc");
	opaque(c, "etc");
	put(c, "etc/c", "c");
	whiteout(c, "var");
	run(f, STACK(3, 2, 1), STACK(2, 1));
	expect(f, "etc/ etc/back etc/only-a");
	run(f, STACK(3, 2, 1), STACK(1));
	expect(f, "etc/ etc/back etc/hosts etc/only-a");
	run(f, STACK(4, 1), STACK(2, 1));
	expect(f, ".wh.var etc/ etc/.wh..wh..opq etc/c");
	run(f, STACK(2, 1), STACK(4, 1)); /* the folder below is the opaque one */
	expect(f, "etc/ etc/.wh.c etc/hosts etc/only-a etc/passwd var/ var/x");
}

/* The same change as overlay's layers and as whole trees: what is applied makes the same. */
static void
whole_trees(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int u = layer(f, 2);
	AUTO(fd_close) int w = -1;

	base(f, 1);
	folder(u, "etc");
	put(u, "etc/hosts", "new");
	whiteout(u, "etc/passwd");
	touch(u, "etc", 1000, 5);
	folder(u, "new");
	put(u, "new/f", "f");
	folder(u, "usr");
	opaque(u, "usr");
	run(f, STACK(2, 1), STACK(1));
	unpack(f, 6);
	flatten(f, 1, 6, 3);
	run(f, STACK(3), STACK(1));
	expect(f, "etc/ etc/.wh.passwd etc/hosts new/ new/f usr/ usr/.wh.lib");
	unpack(f, 4);
	flatten(f, 1, 4, 5);
	same_trees(f, 3, 5);
	run(f, STACK(3), NOTHING); /* all of it */
	expect(f, "./ file etc/ etc/hosts new/ new/f usr/ var/ var/x");
	/* Same length, same time, other bytes. */
	w = layer(f, 3);
	put(w, "etc/hosts", "neW");
	touch(w, "etc", 1000, 5);
	run(f, STACK(3), STACK(5));
	expect(f, "etc/ etc/hosts");
	put(w, "etc/hosts", "new");
	assert_int_equal(unlinkat(w, "file", 0), 0);
	assert_int_equal(symlinkat("fil0", w, "file"), 0);
	run(f, STACK(3), STACK(5));
	expect(f, "file");
}

static void
everything_a_layer_holds(void **state)
{
	struct fix *f = *state;
	int u = layer(f, 2), fd, s;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char longest[NAME_MAX + 1];
	struct timespec before[2] = { { .tv_sec = -5, .tv_nsec = 250000000 },
		{ .tv_sec = -5, .tv_nsec = 250000000 } };

	memset(longest, 'n', NAME_MAX);
	longest[NAME_MAX] = '\0';
	base(f, 1);
	put(u, "caps", "c");
	assert_int_equal(fchmodat(u, "caps", 06711, 0), 0);
	fd = openat(u, "caps", O_RDONLY | O_CLOEXEC);
	assert_int_equal(
	    fsetxattr(fd, "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0),
	    0);
	assert_int_equal(fsetxattr(fd, "user.a", "v\xff", 2, 0), 0);
	assert_int_equal(fsetxattr(fd, "user.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(fsetxattr(fd, "trusted.mine", "y", 1, 0), 0);
	fd_close(&fd);
	touch(u, "caps", 5000000000, 123456789);
	put(u, longest, "255");
	put(u, "bytes\xff\xfe\n", "b");
	assert_int_equal(symlinkat("to\xff", u, "link\xff"), 0);
	touch(u, "link\xff", 7, 8);
	assert_int_equal(linkat(u, "caps", u, "caps2", 0), 0);
	assert_int_equal(linkat(u, "caps", u, "bytes\xff-link", 0), 0);
	assert_int_equal(mkfifoat(u, "fifo", 0640), 0);
	assert_int_equal(mknodat(u, "disk", S_IFBLK | 0600, makedev(4095, 1048575)), 0);
	assert_int_equal(mknodat(u, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
	assert_int_equal(fchownat(u, "null", 2147483647, 3000000, 0), 0);
	put(u, "past", "p");
	assert_int_equal(utimensat(u, "past", before, 0), 0);
	for (const char *p = "fifo\0disk\0null\0"; *p != '\0'; p += 5)
		touch(u, p, 9, 9);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/2/fs/socket", f->dir);
	assert_int_equal(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	fd_close(&s);
	run(f, STACK(2, 1), STACK(1));
	assert_int_equal(f->sockets, 1);
	unpack(f, 3);
	assert_int_equal(unlinkat(u, "socket", 0), 0);
	same_trees(f, 2, 3);
	fd = layer(f, 3);
	assert_int_equal(fchdir(fd), 0);
	assert_int_equal(getxattr("caps", "trusted.mine", NULL, 0), -1);
	assert_int_equal(getxattr("caps", "user.overlay.opaque", NULL, 0), -1);
	fd_close(&fd);
	fd_close(&u);
}

static void
holes(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int u = layer(f, 1);
	AUTO(fd_close) int got = -1;
	struct stat st;
	char text[8];
	int fd;

	fd = openat(u, "ten-gigabytes", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 10LL << 30), 0);
	assert_int_equal(pwrite(fd, "middle", 6, 5LL << 30), 6);
	fd_close(&fd);
	fd = openat(u, "nothing", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 9LL << 30), 0);
	fd_close(&fd);
	fd = openat(u, "small", O_RDWR | O_CREAT | O_CLOEXEC, 0644); /* not worth a map */
	assert_int_equal(ftruncate(fd, 100000), 0);
	fd_close(&fd);
	run(f, STACK(1), NOTHING);
	assert_true(f->res.tar_bytes < 200000);
	unpack(f, 2);
	got = layer(f, 2);
	fd = openat(got, "ten-gigabytes", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size == 10LL << 30 && st.st_blocks < 1000);
	assert_int_equal(pread(fd, text, 6, 5LL << 30), 6);
	assert_memory_equal(text, "middle", 6);
	fd_close(&fd);
	assert_int_equal(fstatat(got, "nothing", &st, 0), 0);
	assert_true(st.st_size == 9LL << 30 && st.st_blocks < 1000);
	assert_int_equal(fstatat(got, "small", &st, 0), 0);
	assert_int_equal(st.st_size, 100000);
}

/* Names and folders as long as they come; a whiteout's name is longer than any file's. */
static void
long_paths(void **state)
{
	struct fix *f = *state;
	int u = layer(f, 1), at = layer(f, 1), v = layer(f, 2);
	char name[NAME_MAX + 1];
	struct stat st;

	memset(name, 'd', NAME_MAX);
	name[NAME_MAX] = '\0';
	for (unsigned i = 0; i < 15; i++) { /* 15 * 256 = 3840 */
		int next;

		folder(at, name);
		next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		fd_close(&at);
		at = next;
	}
	put(at, name, "deep"); /* 4095 bytes in all */
	run(f, STACK(1), NOTHING);
	unpack(f, 3);
	folder(at, "sub");
	assert_int_equal(unlinkat(at, name, 0), 0);
	fd_close(&at);
	whiteout(v, name);
	run(f, STACK(2, 1), STACK(1));
	unpack(f, 4);
	at = layer(f, 4);
	assert_int_equal(fstatat(at, name, &st, 0), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
	fd_close(&at);
	fd_close(&u);
	fd_close(&v);
}

static void
the_same_bytes(void **state)
{
	struct fix *f = *state;
	static const char *const one[] = { "b", "a", "c" }, *const two[] = { "c", "b", "a" };
	int x = layer(f, 1), y = layer(f, 2);
	struct digest first;

	for (unsigned i = 0; i < 3; i++) {
		put(x, one[i], "text");
		put(y, two[i], "text");
	}
	assert_int_equal(fchdir(x), 0);
	assert_int_equal(setxattr("a", "user.1", "1", 1, 0), 0);
	assert_int_equal(setxattr("a", "user.2", "2", 1, 0), 0);
	assert_int_equal(fchdir(y), 0);
	assert_int_equal(setxattr("a", "user.2", "2", 1, 0), 0);
	assert_int_equal(setxattr("a", "user.1", "1", 1, 0), 0);
	touch(x, ".", 1, 1);
	touch(y, ".", 1, 1);
	run(f, STACK(1), NOTHING);
	first = f->res.diff_id;
	run(f, STACK(2), NOTHING);
	assert_string_equal(f->res.diff_id.text, first.text);
	assert_string_equal(f->res.digest.text, first.text);
	for (int how = LAYER_GZIP; how <= LAYER_ZSTD; how++) {
		struct digest packed;

		assert_int_equal(run_as(f, how, STACK(1), NOTHING), 0);
		packed = f->res.digest;
		assert_string_equal(f->res.diff_id.text, first.text);
		assert_string_not_equal(packed.text, first.text);
		unpack(f, 10 + (unsigned)how);
		assert_int_equal(run_as(f, how, STACK(2), NOTHING), 0);
		assert_string_equal(f->res.digest.text, packed.text);
		same_trees(f, 1, 10 + (unsigned)how);
	}
	fd_close(&x);
	fd_close(&y);
}

static void
refused(struct fix *f, const char *text)
{
	assert_int_equal(run_as(f, LAYER_PLAIN, STACK(2, 1), STACK(1)), -ERR_FAILED_PRECONDITION);
	if (strstr(f->e.msg, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, f->e.msg);
}

static void
what_no_layer_holds(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int u = layer(f, 2);

	base(f, 1);
	folder(u, "etc");
	put(u, "etc/.wh.passwd", "");
	refused(f, "/etc: .wh.passwd: in a layer, a name that begins with .wh.");
	assert_int_equal(unlinkat(u, "etc/.wh.passwd", 0), 0);
	assert_int_equal(fchdir(u), 0);
	assert_int_equal(setxattr("etc", "trusted.overlay.redirect", "/usr", 4, 0), 0);
	refused(f, "redirect_dir");
	assert_int_equal(removexattr("etc", "trusted.overlay.redirect"), 0);
	put(u, "etc/hosts", "");
	assert_int_equal(setxattr("etc/hosts", "trusted.overlay.metacopy", "", 0, 0), 0);
	refused(f, "/etc/hosts: it was mounted with redirect_dir or metacopy");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_an_upper_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(opaque_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(types_change, setup, teardown),
		cmocka_unit_test_setup_teardown(stacks_with_a_common_end, setup, teardown),
		cmocka_unit_test_setup_teardown(whole_trees, setup, teardown),
		cmocka_unit_test_setup_teardown(everything_a_layer_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(holes, setup, teardown),
		cmocka_unit_test_setup_teardown(long_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(the_same_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_no_layer_holds, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
