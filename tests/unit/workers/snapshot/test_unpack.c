/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's tar to disk: every kind of entry, and everything that a hostile archive tries. All of it twice:
 * into a folder, and into an EROFS image, which is checked and then mounted to be looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <locale.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zstd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "tests/unit/workers/snapshot/shell.h"
#include "tests/unit/workers/snapshot/tarmake.h"
#include "workers/snapshot/erofs_image.h"
#include "workers/snapshot/tree.h"
#include "workers/snapshot/unpack.h"

#define LIMITS                                                        \
	{                                                             \
		.bytes = 1 << 30, .entries = 100000, .held = 16 << 20 \
	}

struct fix {
	char dir[64];
	int top, root; /* the scratch folder; its "root", where layers go or are mounted */
	bool image;
	struct buf tar, implied;
	struct unpack_limits limits;
	struct unpack_result res;
	struct err e;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)umask(0);
	assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
	(void)strcpy(f->dir, "/tmp/coffer-unpack-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->top = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(f->top, "root", 0755), 0);
	f->root = openat(f->top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->root >= 0);
	/* What lies outside of the root and must stay as it is. */
	assert_int_equal(fs_write(f->top, "outside", "mine", 4, 0600, false, &f->e), 0);
	assert_int_equal(mkdirat(f->top, "etc", 0700), 0);
	f->limits = (struct unpack_limits)LIMITS;
	*state = f;
	return 0;
}

static int
setup_image(void **state)
{
	int r = setup(state);

	((struct fix *)*state)->image = true;
	return r;
}

/* Looks at "root" anew. */
static void
reopen(struct fix *f)
{
	fd_close(&f->root);
	f->root = openat(f->top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->root >= 0);
}

/* Nothing is in the root any more. */
static void
clear(struct fix *f)
{
	assert_int_equal(chdir(f->dir), 0);
	fd_close(&f->root);
	(void)umount("root");
	(void)unlinkat(f->top, EROFS_IMAGE_NAME, 0);
	reopen(f);
	assert_int_equal(tree_empty(f->root, &f->e), 0);
}

static int
teardown(void **state)
{
	struct fix *f = *state;
	struct buf text = BUF_ZERO;
	struct stat st;

	clear(f);
	assert_int_equal(fs_read(f->top, "outside", 100, &text, &f->e), 0);
	assert_string_equal(text.data, "mine");
	assert_int_equal(fstatat(f->top, "outside", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(unlinkat(f->top, "etc", AT_REMOVEDIR), 0); /* still empty */
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(tree_empty(f->top, &f->e), 0);
	assert_int_equal(rmdir(f->dir), 0);
	buf_free(&text);
	buf_free(&f->tar);
	buf_free(&f->implied);
	fd_close(&f->top);
	fd_close(&f->root);
	free(f);
	return 0;
}

static void
add(struct fix *f, struct entry e)
{
	tar_add(&f->tar, &e);
}
#define ADD(...) add(f, (struct entry){ __VA_ARGS__ })

static int
run(struct fix *f, int blob, struct sink *to)
{
	return unpack_run(
	    blob, NULL, to, &f->limits, false, NULL, NULL, &f->implied, &f->res, &f->e);
}

/* The image is mounted where folders go. */
static int
unpack_image(struct fix *f, int blob)
{
	AUTO(erofs_image_free) struct erofs_image *im = NULL;
	AUTO(free_ptr) char *path = xasprintf("%s/%s", f->dir, EROFS_IMAGE_NAME);
	int r;

	clear(f);
	assert_int_equal(erofs_image_new(f->top, f->limits.held, &im, &f->e), 0);
	r = run(f, blob, erofs_image_sink(im));
	if (r < 0)
		return r;
	shell(f->dir, "fsck.erofs $1/layer.erofs");
	if (mount(path, "root", "erofs", MS_RDONLY, NULL) < 0)
		fail_msg("mount: %s", strerror(errno));
	reopen(f);
	return 0;
}

/* Unpacks these bytes as a blob. */
static int
unpack_bytes(struct fix *f, const void *p, size_t n)
{
	AUTO(fd_close) int blob = memfd_create("blob", MFD_CLOEXEC);
	AUTO(tree_free) struct tree *t = NULL;

	assert_int_equal(fs_write_all(blob, p, n), 0);
	assert_int_equal(lseek(blob, 0, SEEK_SET), 0);
	buf_free(&f->implied);
	f->e = ERR_ZERO;
	if (f->image)
		return unpack_image(f, blob);
	t = tree_new(f->root, f->limits.held);
	return run(f, blob, tree_sink(t));
}

/* Ends the tar and unpacks it. */
static int
unpack(struct fix *f)
{
	int r;

	tar_end(&f->tar);
	r = unpack_bytes(f, f->tar.data, f->tar.len);
	buf_free(&f->tar);
	return r;
}

static void
unpack_ok(struct fix *f)
{
	int r = unpack(f);

	if (r < 0)
		fail_msg("%s", f->e.msg);
}

static void
unpack_fails(struct fix *f, enum err_code code, const char *text)
{
	assert_int_equal(unpack(f), -(int)code);
	if (strstr(f->e.msg, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, f->e.msg);
}

static struct stat
look(struct fix *f, const char *path)
{
	struct stat st;

	if (fstatat(f->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

static bool
there(struct fix *f, const char *path)
{
	struct stat st;

	return fstatat(f->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
holds(struct fix *f, const char *path, const char *text)
{
	struct buf b = BUF_ZERO;

	if (fs_read(f->root, path, 1 << 20, &b, &f->e) < 0)
		fail_msg("%s", f->e.msg);
	assert_string_equal(buf_str(&b), text);
	buf_free(&b);
}

static bool
is_whiteout(struct fix *f, const char *path)
{
	struct stat st = look(f, path);

	return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

static bool
is_opaque(struct fix *f, const char *path)
{
	AUTO(fd_close) int fd = openat(f->root, path, O_RDONLY | O_DIRECTORY);
	char c = 0;

	return fd >= 0 && fgetxattr(fd, "trusted.overlay.opaque", &c, 1) == 1 && c == 'y';
}

static void
every_kind(void **state)
{
	struct fix *f = *state;
	struct stat st;

	ADD(.name = "./", .type = '5', .mode = 0711, .mtime = 1000);
	ADD(.name = "d/", .type = '5', .mode = 01777, .mtime = 1234, .uid = 5, .gid = 6);
	ADD(.name = "d/f", .body = "text", .mode = 04755, .uid = 7, .gid = 8, .mtime = 99,
	    .pax = "mtime=1700000000.123456789\n");
	ADD(.name = "d/link", .type = '1', .link = "d/f");
	ADD(.name = "s", .type = '2', .link = "d/f", .uid = 3);
	ADD(.name = "p", .type = '6', .mode = 0622);
	ADD(.name = "c", .type = '3', .major = 1, .minor = 3, .mode = 0666);
	ADD(.name = "b", .type = '4', .major = 7, .minor = 300, .mode = 0660);
	ADD(.name = "d/sub", .type = '5');
	unpack_ok(f);
	assert_int_equal(look(f, ".").st_mode & 07777, 0711);
	assert_int_equal(look(f, ".").st_mtim.tv_sec, 1000);
	st = look(f, "d");
	assert_int_equal(st.st_mode & 07777, 01777);
	assert_int_equal(st.st_mtim.tv_sec, 1234);
	assert_int_equal(st.st_uid, 5);
	st = look(f, "d/f");
	assert_int_equal(st.st_mode, S_IFREG | 04755);
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(st.st_gid, 8);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(st.st_mtim.tv_sec, 1700000000);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_int_equal(st.st_ino, look(f, "d/link").st_ino);
	holds(f, "d/f", "text");
	assert_true(S_ISLNK(look(f, "s").st_mode));
	assert_int_equal(look(f, "s").st_uid, 3);
	assert_int_equal(look(f, "p").st_mode, S_IFIFO | 0622);
	assert_int_equal(look(f, "c").st_rdev, makedev(1, 3));
	assert_int_equal(look(f, "b").st_rdev, makedev(7, 300));
	assert_int_equal(f->res.usage.inodes, 8); /* root d f s p c b sub */
	assert_int_equal(f->implied.len, 0);
}

/* T01, T02: links out of the root lead to places in it. */
static void
absolute_links_stay_inside(void **state)
{
	struct fix *f = *state;

	ADD(.name = "a", .type = '2', .link = "/etc");
	ADD(.name = "a/x1", .body = "1");
	ADD(.name = "b", .type = '2', .link = "../../../../etc");
	ADD(.name = "b/x2", .body = "2");
	ADD(.name = "c", .type = '2', .link = "/dummy/../etc");
	ADD(.name = "c/x3", .body = "3");
	ADD(.name = "d", .type = '2', .link = "b");
	ADD(.name = "d/x4", .body = "4");
	ADD(.name = "deep/er/l", .type = '2', .link = "../../../../../../etc");
	ADD(.name = "deep/er/l/x5", .body = "5");
	unpack_ok(f);
	holds(f, "etc/x1", "1");
	holds(f, "etc/x2", "2");
	holds(f, "etc/x3", "3");
	holds(f, "etc/x4", "4");
	holds(f, "etc/x5", "5");
	assert_int_equal(access("/etc/x1", F_OK), -1);
}

/* T03: a folder made a link and a folder again. */
static void
folder_link_folder(void **state)
{
	struct fix *f = *state;
	char path[128];

	(void)snprintf(path, sizeof(path), "foo%s/gone", f->dir);
	ADD(.name = "foo", .type = '5');
	ADD(.name = "foo/before", .body = "x");
	ADD(.name = "foo", .type = '2', .link = "/");
	ADD(.name = path, .body = "x");
	ADD(.name = "foo", .type = '5', .mode = 0700);
	ADD(.name = "foo/after", .body = "y");
	unpack_ok(f);
	assert_true(S_ISDIR(look(f, "foo").st_mode));
	assert_false(there(f, "foo/before"));
	holds(f, "foo/after", "y");
	(void)snprintf(path, sizeof(path), "%s/gone", f->dir);
	assert_int_equal(access(path, F_OK), -1);
	holds(f, path + 1, "x"); /* "/" of the link is the layer's root */
}

/* T04, T05: hard links reach nothing outside. */
static void
hard_links_stay_inside(void **state)
{
	struct fix *f = *state;
	char target[128];

	ADD(.name = "x", .type = '1', .link = "../outside");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "not in this layer");
	(void)snprintf(target, sizeof(target), "%s/outside", f->dir);
	ADD(.name = "x", .type = '1', .link = target);
	unpack_fails(f, ERR_INVALID_ARGUMENT, "archive entry \"x\"");
	ADD(.name = "up", .type = '2', .link = "..");
	ADD(.name = "x", .type = '1', .link = "up/outside");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "not in this layer");
	/* To a link that points at a file of the host, then attributes for it. */
	ADD(.name = "s", .type = '2', .link = target);
	ADD(.name = "h", .type = '1', .link = "s", .mode = 0777);
	ADD(.name = "h", .body = "new", .mode = 0777);
	unpack_ok(f);
	assert_true(S_ISLNK(look(f, "s").st_mode));
	holds(f, "h", "new");
}

/* T06 */
static void
odd_hard_links(void **state)
{
	struct fix *f = *state;

	ADD(.name = "a", .type = '1', .link = "b");
	ADD(.name = "b", .body = "late");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "to \"b\"");
	ADD(.name = "f", .body = "keep");
	ADD(.name = "f", .type = '1', .link = "./f");
	unpack_ok(f);
	holds(f, "f", "keep");
	ADD(.name = "d", .type = '5');
	ADD(.name = "x", .type = '1', .link = "d");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "hard link to a folder");
	ADD(.name = "f2", .body = "one");
	ADD(.name = "x", .body = "was");
	ADD(.name = "x", .type = '1', .link = "f2");
	unpack_ok(f);
	holds(f, "x", "one");
	assert_int_equal(look(f, "x").st_nlink, 2);
}

/* T07 */
static void
odd_names(void **state)
{
	struct fix *f = *state;
	struct buf pax = BUF_ZERO;
	char long_name[600];

	ADD(.name = "/abs/f", .body = "1");
	ADD(.name = "../../up", .body = "2");
	ADD(.name = "a/sub/../f", .body = "3");
	ADD(.name = ".", .type = '5', .mode = 0750);
	ADD(.name = "..", .type = '5', .mode = 0751);
	ADD(.name = "/", .type = '5', .mode = 0752);
	unpack_ok(f);
	holds(f, "abs/f", "1");
	holds(f, "up", "2");
	holds(f, "a/f", "3");
	assert_int_equal(look(f, ".").st_mode & 07777, 0752);
	ADD(.name = "..", .body = "x");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "would replace the root");
	memset(long_name, 'n', 256);
	(void)snprintf(long_name + 256, 8, "/x");
	(void)buf_addf(&pax, "path=%s\n", long_name);
	ADD(.name = "x", .body = "x", .pax = pax.data);
	unpack_fails(f, ERR_INVALID_ARGUMENT, "longer than 255 bytes");
	buf_free(&pax);
	(void)buf_adds(&pax, "path=");
	for (int i = 0; i < 3000; i++)
		(void)buf_adds(&pax, "d/");
	(void)buf_adds(&pax, "x\n");
	ADD(.name = "x", .body = "x", .pax = pax.data);
	unpack_fails(f, ERR_INVALID_ARGUMENT, "longer than 4095 bytes");
	buf_free(&pax);
	ADD(.name = "x\x01\x1b[31m", .type = '1', .link = "none");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "archive entry");
	assert_null(strchr(f->e.msg, 0x1b));
	/* Latin-1 in the plain header, UTF-8 in pax: both are bytes to us. */
	ADD(.name = "caf\xe9", .body = "raw");
	ADD(.name = "x", .body = "utf8", .pax = "path=caf\xc3\xa9\xe2\x82\xac\n");
	unpack_ok(f);
	holds(f, "caf\xe9", "raw");
	holds(f, "caf\xc3\xa9\xe2\x82\xac", "utf8");
}

/* T08 */
static void
root_is_not_replaced(void **state)
{
	struct fix *f = *state;
	static const char *const names[] = { "/.", "./", "/", "a/..", "." };

	for (size_t i = 0; i < COUNT(names); i++) {
		ADD(.name = names[i], .type = '2', .link = "/etc");
		unpack_fails(f, ERR_INVALID_ARGUMENT, "would replace the root");
	}
}

/* T09, T10, T12 */
static void
whiteouts(void **state)
{
	struct fix *f = *state;
	static const char *const bad[] = { ".wh..", ".wh...", "d/.wh..", "d/.wh...", ".wh.",
		"d/.wh." };

	for (size_t i = 0; i < COUNT(bad); i++) {
		ADD(.name = bad[i], .body = "");
		unpack_fails(f, ERR_INVALID_ARGUMENT, "whiteout");
	}
	ADD(.name = ".wh.gone", .body = "");
	ADD(.name = "d/.wh.gone", .body = "");
	ADD(.name = "l", .type = '2', .link = "/d");
	ADD(.name = "l/.wh.through", .body = "");
	ADD(.name = "dead", .type = '2', .link = "/nowhere");
	ADD(.name = "dead/.wh.x", .body = "");
	ADD(.name = "dne/../.wh.etc", .body = "");
	ADD(.name = ".wh.dir/", .type = '5');
	ADD(.name = ".wh.dir/file", .body = "in");
	ADD(.name = ".wh..wh.plnk/1", .body = "aufs");
	ADD(.name = ".wh..wh.aufs", .body = "");
	ADD(.name = "present", .body = "here");
	ADD(.name = ".wh.present", .body = "");
	ADD(.name = "presentdir/f", .body = "here");
	ADD(.name = ".wh.presentdir", .body = "");
	ADD(.name = "present/.wh.x", .body = ""); /* of a folder that was, as umoci writes it */
	ADD(.name = "present/a/.wh.x", .body = "");
	ADD(.name = "present/.wh..wh..opq", .body = "");
	ADD(.name = "gone/.wh.x", .body = "");
	unpack_ok(f);
	assert_true(is_whiteout(f, "gone"));
	assert_true(is_whiteout(f, "d/gone"));
	assert_true(is_whiteout(f, "d/through"));
	assert_true(is_whiteout(f, "nowhere/x"));
	assert_true(is_whiteout(f, "etc"));
	holds(f, ".wh.dir/file", "in");
	assert_false(there(f, ".wh..wh.plnk"));
	assert_false(there(f, ".wh..wh.aufs"));
	holds(f, "present", "here");
	holds(f, "presentdir/f", "here");
	assert_true(is_opaque(f, "presentdir"));
}

/* T11 */
static void
opaque(void **state)
{
	struct fix *f = *state;

	ADD(.name = "d/", .type = '5');
	ADD(.name = "d/early", .body = "e");
	ADD(.name = "d/.wh..wh..opq", .body = "");
	ADD(.name = "d/late", .body = "l");
	ADD(.name = "l", .type = '2', .link = "real");
	ADD(.name = "real", .type = '5');
	ADD(.name = "l/.wh..wh..opq", .body = "");
	ADD(.name = ".wh.again", .body = "");
	ADD(.name = "again/f", .body = "f");
	ADD(.name = ".wh.again2", .body = "");
	ADD(.name = "again2", .type = '5');
	unpack_ok(f);
	assert_true(is_opaque(f, "d"));
	holds(f, "d/early", "e");
	holds(f, "d/late", "l");
	assert_true(is_opaque(f, "real"));
	assert_true(S_ISLNK(look(f, "l").st_mode));
	assert_true(is_opaque(f, "again"));
	assert_true(is_opaque(f, "again2"));
	assert_int_equal(f->res.usage.opaque_root, false);
	ADD(.name = ".wh..wh..opq", .body = "");
	unpack_ok(f);
	assert_int_equal(f->res.usage.opaque_root, true);
}

/* T13 */
static void
overlay_marks_are_not_taken(void **state)
{
	struct fix *f = *state;
	char value[8];

	ADD(.name = "w", .type = '3', .major = 0, .minor = 0);
	unpack_fails(f, ERR_INVALID_ARGUMENT, "0:0");
	ADD(.name = "d", .type = '5',
	    .pax = "SCHILY.xattr.trusted.overlay.opaque=y\n"
		   "SCHILY.xattr.user.overlay.opaque=y\n"
		   "SCHILY.xattr.trusted.overlay.redirect=/etc\n"
		   "SCHILY.xattr.security.selinux=evil\n"
		   "SCHILY.xattr.user.fine=yes\n");
	unpack_ok(f);
	assert_false(is_opaque(f, "d"));
	assert_int_equal(chdir(f->dir), 0);
	assert_int_equal(getxattr("root/d", "user.overlay.opaque", value, 8), -1);
	assert_int_equal(getxattr("root/d", "trusted.overlay.redirect", value, 8), -1);
	assert_int_equal(getxattr("root/d", "security.selinux", value, 8), -1);
	assert_int_equal(getxattr("root/d", "user.fine", value, 8), 3);
}

/* T16 */
static void
parents_that_are_no_folders(void **state)
{
	struct fix *f = *state;

	ADD(.name = "file", .body = "x");
	ADD(.name = "file/in", .body = "1");
	ADD(.name = "fifo", .type = '6');
	ADD(.name = "fifo/in", .body = "2");
	ADD(.name = ".wh.white", .body = "");
	ADD(.name = "white/in", .body = "3");
	ADD(.name = "loop", .type = '2', .link = "loop");
	unpack_ok(f);
	holds(f, "file/in", "1");
	holds(f, "fifo/in", "2");
	holds(f, "white/in", "3");
	assert_true(is_opaque(f, "white"));
	ADD(.name = "loop", .type = '2', .link = "loop");
	ADD(.name = "loop/x", .body = "x");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "archive entry \"loop/x\"");
}

/* T17, T18, T19 */
static void
devices_modes_owners(void **state)
{
	struct fix *f = *state;

	ADD(.name = "x", .type = '3', .major = 010000, .minor = 1);
	unpack_fails(f, ERR_INVALID_ARGUMENT, "device");
	ADD(.name = "x", .pax = "uid=2147483648\n");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "owner");
	ADD(.name = "x", .pax = "gid=4294967295\n");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "owner");
	ADD(.name = "x", .pax = "uid=1111111111222222222233333333334444444444\n");
	unpack_fails(f, ERR_INVALID_ARGUMENT, "");
	ADD(.name = "x", .body = "x", .mode = 07777, .uid = 1000, .gid = 1000);
	ADD(.name = "big", .body = "x", .pax = "uid=2147483647\n");
	unpack_ok(f);
	assert_int_equal(look(f, "x").st_mode & 07777, 07777);
	assert_int_equal(look(f, "big").st_uid, 2147483647);
}

/* Negative and base-256 owners: never 0, never wrapped. */
static void
binary_owners(void **state)
{
	struct fix *f = *state;
	static const unsigned char values[][8] = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
						       0xff },
		{ 0x80, 0, 0, 0x01, 0, 0, 0, 0 }, { 0x80, 0, 0, 0, 0x80, 0, 0, 0 } };

	for (size_t i = 0; i < COUNT(values); i++) {
		unsigned sum = 0;
		char *h;

		ADD(.name = "x", .body = "x");
		h = f->tar.data;
		memcpy(h + 108, values[i], 8);
		memset(h + 148, ' ', 8);
		for (unsigned k = 0; k < 512; k++)
			sum += (unsigned char)h[k];
		(void)snprintf(h + 148, 8, "%06o", sum);
		h[155] = ' ';
		if (unpack(f) == 0)
			assert_int_not_equal(look(f, "x").st_uid, 0);
	}
}

/* T20 */
static void
attributes(void **state)
{
	struct fix *f = *state;
	struct buf pax = BUF_ZERO;
	unsigned char cap[20] = { 1, 0, 0, 2, 0x20 }, got[32];
	struct entry file = { .name = "f", .body = "x", .uid = 9 }, link = {
		.name = "s", .type = '2', .link = "f", .pax = "SCHILY.xattr.user.no=1\n"
	};

	tar_pax_record(&pax, "SCHILY.xattr.security.capability", cap, sizeof(cap));
	tar_header(&f->tar, &file, "pax", 'x', pax.len);
	(void)buf_add(&f->tar, pax.data, pax.len);
	tar_pad(&f->tar);
	tar_add(&f->tar, &file);
	tar_add(
	    &f->tar, &link); /* user attributes on links are refused by Linux: the entry stays */
	ADD(.name = "after", .body = "y");
	unpack_ok(f);
	assert_int_equal(chdir(f->dir), 0);
	assert_int_equal(getxattr("root/f", "security.capability", got, sizeof(got)), 20);
	assert_memory_equal(got, cap, 20);
	assert_true(there(f, "s") && there(f, "after"));
	assert_int_equal(f->res.usage.xattrs_skipped, 1);
	buf_free(&pax);
	for (int i = 0; i < 300; i++)
		(void)buf_addf(&pax, "SCHILY.xattr.user.k%d=1\n", i);
	ADD(.name = "many", .pax = pax.data);
	unpack_fails(f, ERR_RESOURCE_EXHAUSTED, "more than 256 extended attributes");
	buf_free(&pax);
}

/* T21, T22 */
static void
pax_headers(void **state)
{
	struct fix *f = *state;
	struct buf pax = BUF_ZERO;
	struct entry e = { .name = "x" };
	static const char *const broken[] = { "0 path=x\n", "99999999999999999999 path=x\n",
		"5 path=x", "12 path=xyzw", "path=x\n" };

	tar_header(&f->tar, &e, "pax", 'x', 1ULL << 30); /* claims a gigabyte */
	assert_true(unpack(f) < 0);
	(void)buf_adds(&pax, "comment=");
	while (pax.len < (2 << 20))
		(void)buf_adds(
		    &pax, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	(void)buf_adds(&pax, "\n");
	ADD(.name = "x", .body = "x", .pax = pax.data);
	assert_true(unpack(f) < 0);
	buf_free(&pax);
	for (size_t i = 0; i < COUNT(broken); i++) {
		tar_header(&f->tar, &e, "pax", 'x', strlen(broken[i]));
		(void)buf_adds(&f->tar, broken[i]);
		tar_pad(&f->tar);
		ADD(.name = "after", .body = "y");
		(void)unpack(f); /* refused or skipped: either will do, as long as it ends */
		assert_false(there(f, "../x"));
	}
	/* A size in pax counts against the one of the header: the body is not taken for headers. */
	ADD(.name = "x", .body = "0123456789", .pax = "size=10\n");
	ADD(.name = "y", .body = "next");
	unpack_ok(f);
	holds(f, "x", "0123456789");
	holds(f, "y", "next");
}

static struct buf
gzip_of(const void *p, size_t n)
{
	AUTO(free_ptr) struct isal_zstream *z = xcalloc(1, sizeof(*z));
	struct buf out = BUF_ZERO;

	isal_deflate_init(z);
	z->gzip_flag = IGZIP_GZIP;
	z->end_of_stream = 1;
	z->next_in = (uint8_t *)(uintptr_t)p;
	z->avail_in = (uint32_t)n;
	do {
		z->next_out = buf_room(&out, 65536);
		z->avail_out = 65536;
		assert_int_equal(isal_deflate(z), COMP_OK);
		out.len += 65536 - z->avail_out;
	} while (z->avail_out == 0);
	return out;
}

/* T25, T27: what is too much is stopped, and memory stays flat. */
static void
bombs(void **state)
{
	struct fix *f = *state;
	struct buf zeros = BUF_ZERO, packed, blob = BUF_ZERO;
	struct rusage before, after;
	struct entry e = { .name = "bomb" };

	memset(buf_room(&zeros, 32 << 20), 0, 32 << 20);
	zeros.len = 32 << 20;
	packed = gzip_of(zeros.data, zeros.len);
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	/* 2 GiB of zeros behind the end of an empty tar: only hashed. */
	for (int i = 0; i < 16; i++)
		(void)buf_add(&blob, packed.data, packed.len);
	assert_int_equal(unpack_bytes(f, blob.data, blob.len), 0);
	for (int i = 0; i < 48; i++)
		(void)buf_add(&blob, packed.data, packed.len);
	assert_int_equal(unpack_bytes(f, blob.data, blob.len), -ERR_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(f->e.msg, "more than"));
	/* A file that is larger than the limit. */
	tar_header(&f->tar, &e, "bomb", '0', 7ULL << 30);
	assert_int_equal(unpack(f), -ERR_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(f->e.msg, "archive entry \"bomb\""));
	f->limits.entries = 3;
	for (int i = 0; i < 4; i++)
		ADD(.name = "same", .body = "x");
	unpack_fails(f, ERR_RESOURCE_EXHAUSTED, "more than 3 entries");
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
#ifndef __SANITIZE_ADDRESS__
	assert_true(after.ru_maxrss - before.ru_maxrss < 32 << 10);
#endif
	buf_free(&zeros);
	buf_free(&packed);
	buf_free(&blob);
}

/* T25, T26 */
static void
compressions(void **state)
{
	struct fix *f = *state;
	struct buf gz, two = BUF_ZERO, z = BUF_ZERO;
	struct digest want;
	char *to;

	ADD(.name = "f", .body = "packed");
	tar_end(&f->tar);
	digest_of(DIGEST_SHA256, f->tar.data, f->tar.len, &want);
	gz = gzip_of(f->tar.data, f->tar.len);
	assert_int_equal(unpack_bytes(f, gz.data, gz.len), 0);
	assert_string_equal(f->res.diff_id.text, want.text);
	for (size_t cut = 1; cut < gz.len; cut += 7) /* cut short anywhere: an error, no hang */
		assert_true(unpack_bytes(f, gz.data, cut) < 0);
	(void)buf_add(&gz, "junk", 4);
	assert_int_equal(unpack_bytes(f, gz.data, gz.len), -ERR_DATA_LOSS);
	memset(gz.data + gz.len - 4, 0, 4);
	assert_int_equal(unpack_bytes(f, gz.data, gz.len), 0);
	buf_free(&gz);
	/* Two members, cut in the middle of the tar. */
	gz = gzip_of(f->tar.data, 700);
	(void)buf_add(&two, gz.data, gz.len);
	buf_free(&gz);
	gz = gzip_of(f->tar.data + 700, f->tar.len - 700);
	(void)buf_add(&two, gz.data, gz.len);
	assert_int_equal(unpack_bytes(f, two.data, two.len), 0);
	assert_string_equal(f->res.diff_id.text, want.text);
	two.data[two.len / 2] ^= 0x55;
	assert_true(unpack_bytes(f, two.data, two.len) < 0);
	/* zstd: a skippable frame, then the data; cut; a window that is too large. */
	(void)buf_add(&z, "\x50\x2a\x4d\x18\x04\x00\x00\x00skip", 12);
	to = buf_room(&z, 1 << 16);
	z.len += ZSTD_compress(to, 1 << 16, f->tar.data, f->tar.len, 3);
	assert_int_equal(unpack_bytes(f, z.data, z.len), 0);
	assert_string_equal(f->res.diff_id.text, want.text);
	for (size_t cut = 5; cut < z.len; cut += 3)
		if (cut != 12)
			assert_true(unpack_bytes(f, z.data, cut) < 0);
	assert_int_equal(unpack_bytes(f, z.data, 12), 0); /* skippable only: an empty layer */
	buf_free(&z);
	(void)buf_add(&z, "\x28\xb5\x2f\xfd\x00\xa8\x00\x00\x00\x00\x00\x00", 12); /* 2 GiB */
	assert_int_equal(unpack_bytes(f, z.data, z.len), -ERR_RESOURCE_EXHAUSTED);
	buf_free(&z);
	buf_free(&gz);
	buf_free(&two);
	assert_true(unpack_bytes(f, "not a tar at all", 16) < 0);
	assert_int_equal(unpack_bytes(f, "", 0), 0);
}

/* T28 */
static void
last_one_wins(void **state)
{
	struct fix *f = *state;
	char body[16];

	for (int i = 0; i < 2000; i++) {
		(void)snprintf(body, sizeof(body), "%d", i);
		ADD(.name = "same", .body = body);
	}
	for (int i = 0; i < 20; i++) {
		ADD(.name = "turn", .type = '5');
		ADD(.name = "turn/a/b", .body = "x");
		ADD(.name = "turn", .body = "y");
		ADD(.name = "turn/c", .body = "z");
		ADD(.name = "turn", .type = '2', .link = "same");
	}
	ADD(.name = "turn", .type = '5');
	ADD(.name = "turn/last", .body = "l");
	ADD(.name = "Same", .body = "other");
	unpack_ok(f);
	holds(f, "same", "1999");
	holds(f, "turn/last", "l");
	assert_false(there(f, "turn/a"));
	assert_false(there(f, "turn/c"));
	assert_int_equal(f->res.usage.inodes, 5); /* root same Same turn last */
}

/* T30 */
static void
odd_times(void **state)
{
	struct fix *f = *state;
	static const char *const times[] = { "mtime=-1\n", "mtime=-9223372036854775809\n",
		"mtime=9223372036854775808\n", "mtime=9e99\n", "mtime=1.\n", "mtime=.5\n",
		"mtime=1.99999999999999999999\n", "mtime=\n" };

	for (size_t i = 0; i < COUNT(times); i++) {
		ADD(.name = "x", .body = "x", .pax = times[i]);
		ADD(.name = "y", .body = "after");
		if (unpack(f) == 0)
			holds(f, "y", "after");
	}
	ADD(.name = "old", .body = "x", .pax = "mtime=-86400\n");
	unpack_ok(f);
	assert_int_equal(look(f, "old").st_mtim.tv_sec, -86400);
}

/* T31: every byte is in the digest, also behind the end mark. */
static void
digest_of_everything(void **state)
{
	struct fix *f = *state;
	struct digest want;

	ADD(.name = "f", .body = "x");
	tar_end(&f->tar);
	(void)buf_adds(&f->tar, "trailing bytes that are no tar");
	digest_of(DIGEST_SHA256, f->tar.data, f->tar.len, &want);
	assert_int_equal(unpack_bytes(f, f->tar.data, f->tar.len), 0);
	assert_string_equal(f->res.diff_id.text, want.text);
	holds(f, "f", "x");
}

static void
cut_short(void **state)
{
	struct fix *f = *state;

	ADD(.name = "f", .body = "a body of some length");
	assert_int_equal(unpack_bytes(f, f->tar.data, 520), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(f->e.msg, "not a sound tar"));
}

static void
implied_folders(void **state)
{
	struct fix *f = *state;

	ADD(.name = "a/b/f", .body = "x");
	ADD(.name = "l", .type = '2', .link = "/c");
	ADD(.name = "l/d/f", .body = "x");
	ADD(.name = "a", .type = '5', .mode = 0700); /* named after all */
	unpack_ok(f);
	assert_int_equal(look(f, "a").st_mode & 07777, 0700);
	assert_int_equal(look(f, "a/b").st_mode & 07777, 0755);
	assert_true(memmem(f->implied.data, f->implied.len, "a/b", 4) != NULL);
	assert_true(memmem(f->implied.data, f->implied.len, "c", 2) != NULL);
	assert_true(memmem(f->implied.data, f->implied.len, "c/d", 4) != NULL);
	assert_int_equal(f->implied.len, 4 + 2 + 4);
}

/* --- beside GNU tar ------------------------------------------------------------------------------ */

static void
same_as_gnu_tar(void **state)
{
	struct fix *f = *state;
	static const char *const formats[] = { "gnu", "pax" };

	shell(f->dir,
	    "cd $1; mkdir -p tree/a/very/long; cd tree\n"
	    "n=$(printf 'x%.0s' $(seq 200)); mkdir $n; echo deep > $n/$n\n"
	    "echo one > a/f; ln a/f a/hard; ln -s f a/soft; mkfifo a/fifo; mknod a/null c 1 3\n"
	    "chmod 4711 a/f; chown 12:34 a/very; touch -d '2001-02-03 04:05:06.789' a/f\n"
	    "truncate -s 20M a/sparse; printf x | dd of=a/sparse bs=1 seek=9000000 conv=notrunc "
	    "status=none\n"
	    "head -c 3000000 /dev/urandom > a/big; setfattr -n user.k -v v a/big 2>/dev/null || "
	    "true\n"
	    "touch -h -d @5 a/soft; touch -d @1000000000 a a/very $n .");
	for (size_t i = 0; i < COUNT(formats); i++) {
		char script[256];
		struct buf blob = BUF_ZERO;

		(void)snprintf(script, sizeof(script),
		    "cd $1; tar -C tree --format=%s %s -cSf t.tar .; rm -rf g; mkdir g; tar -C g "
		    "-xpf t.tar --numeric-owner",
		    formats[i], i == 1 ? "--xattrs" : "");
		shell(f->dir, script);
		assert_int_equal(fs_read(f->top, "t.tar", 1 << 26, &blob, &f->e), 0);
		if (unpack_bytes(f, blob.data, blob.len) < 0)
			fail_msg("%s", f->e.msg);
		buf_free(&blob);
		shell(f->dir,
		    "cd $1; for d in root g; do (cd $d; find . -printf '%p %y %m %U %G %s %n "
		    "%T@ %l\\n' | "
		    "sed '/ d /s/ [0-9]* \\([0-9]*\\) \\([0-9.]*\\) $/ \\1 \\2/' | sort) > "
		    "$d.list; done\n"
		    "diff root.list g.list; diff -r --no-dereference -x null -x fifo root g\n"
		    "x=root/a/sparse\n"
		    "! test -e layer.erofs || { x=layer.erofs; }\n"
		    "test $(du -s $x | cut -f1) -lt 4000");
		clear(f);
	}
}

/* --- removing ------------------------------------------------------------------------------------ */

static void
removes_any_depth(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int at = fcntl(f->root, F_DUPFD_CLOEXEC, 0);

	for (int i = 0; i < 5000; i++) {
		int next;

		assert_int_equal(mkdirat(at, "deeper", 0700), 0);
		next = openat(at, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fd_close(&at);
		at = next;
	}
	assert_int_equal(symlinkat("/etc", f->root, "l"), 0);
	assert_int_equal(tree_empty(f->root, &f->e), 0);
	assert_false(there(f, "deeper"));
}

int
main(void)
{
#define T(name)                                                 \
	cmocka_unit_test_setup_teardown(name, setup, teardown), \
	    cmocka_unit_test_setup_teardown(name, setup_image, teardown)
	const struct CMUnitTest tests[] = { T(every_kind), T(absolute_links_stay_inside),
		T(folder_link_folder), T(hard_links_stay_inside), T(odd_hard_links), T(odd_names),
		T(root_is_not_replaced), T(whiteouts), T(opaque), T(overlay_marks_are_not_taken),
		T(parents_that_are_no_folders), T(devices_modes_owners), T(binary_owners),
		T(attributes), T(pax_headers), T(bombs), T(compressions), T(last_one_wins),
		T(odd_times), T(digest_of_everything), T(cut_short), T(implied_folders),
		T(same_as_gnu_tar), T(removes_any_depth) };

	if (geteuid() != 0) {
		(void)printf("needs root\n");
		return 77;
	}
	/* What is mounted here is seen nowhere else, and ends with this process. */
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
