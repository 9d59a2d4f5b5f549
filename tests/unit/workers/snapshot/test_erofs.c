/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EROFS images where they are unlike folders: sizes around a block's end, large folders, holes, long
 * names and links, large attributes, the same bytes for the same tar. What every sink does is in
 * test_unpack.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "tests/unit/workers/snapshot/shell.h"
#include "tests/unit/workers/snapshot/tarmake.h"
#include "workers/snapshot/erofs_image.h"
#include "workers/snapshot/settle.h"
#include "workers/snapshot/erofs_mount.h"
#include "workers/snapshot/unpack.h"

struct fix {
	char dir[64];
	int top;
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
	(void)strcpy(f->dir, "/tmp/coffer-erofs-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chdir(f->dir), 0);
	f->top = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(f->top, "m", 0755), 0);
	f->limits =
	    (struct unpack_limits){ .bytes = 64ULL << 30, .entries = 10000000, .held = 256 << 20 };
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	assert_int_equal(chdir(f->dir), 0);
	(void)umount("m");
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, &f->e), 0);
	fd_close(&f->top);
	buf_free(&f->tar);
	buf_free(&f->implied);
	free(f);
	return 0;
}

static void
add(struct fix *f, struct entry e)
{
	tar_add(&f->tar, &e);
}
#define ADD(...) add(f, (struct entry){ __VA_ARGS__ })

/* Makes layer.erofs of blob. */
static int
make(struct fix *f, int blob)
{
	AUTO(erofs_image_free) struct erofs_image *im = NULL;

	assert_int_equal(lseek(blob, 0, SEEK_SET), 0);
	(void)unlinkat(f->top, EROFS_IMAGE_NAME, 0);
	f->e = ERR_ZERO;
	buf_free(&f->implied);
	assert_int_equal(erofs_image_new(f->top, f->limits.held, &im, &f->e), 0);
	return unpack_run(blob, NULL, erofs_image_sink(im), &f->limits, false, NULL, NULL,
	    &f->implied, &f->res, &f->e);
}

/* Makes, checks and mounts it at m. */
static void
make_ok(struct fix *f, int blob)
{
	if (make(f, blob) < 0)
		fail_msg("%s", f->e.msg);
	shell(f->dir, "fsck.erofs layer.erofs; dump.erofs -s layer.erofs | grep -q sb_csum");
	(void)umount("m");
	if (mount(EROFS_IMAGE_NAME, "m", "erofs", MS_RDONLY, NULL) < 0)
		fail_msg("mount: %s", strerror(errno));
}

/* The same from f->tar. */
static int
tar_blob(struct fix *f)
{
	int blob = memfd_create("blob", MFD_CLOEXEC);

	tar_end(&f->tar);
	assert_int_equal(fs_write_all(blob, f->tar.data, f->tar.len), 0);
	buf_free(&f->tar);
	return blob;
}

static void
tar_ok(struct fix *f)
{
	AUTO(fd_close) int blob = tar_blob(f);

	make_ok(f, blob);
}

static void
tar_fails(struct fix *f, enum err_code code, const char *text)
{
	AUTO(fd_close) int blob = tar_blob(f);

	assert_int_equal(make(f, blob), -(int)code);
	if (strstr(f->e.msg, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, f->e.msg);
}

/* Makes the image of what the script leaves in t/, by GNU tar, and compares with its extraction: names,
 * types, modes, owners, sizes, links, times, attributes, bytes. */
static void
same_as_tar(struct fix *f, const char *script, const char *options)
{
	AUTO(free_ptr)
	char *pack = xasprintf("tar -C t --xattrs --xattrs-include='*' --acls %s -cf t.tar .\n"
			       "mkdir g; tar -C g --xattrs --xattrs-include='*' --acls "
			       "--numeric-owner -xpf t.tar",
	    options);
	AUTO(fd_close) int blob = -1;

	shell(f->dir, script);
	shell(f->dir, pack);
	blob = open("t.tar", O_RDONLY | O_CLOEXEC);
	assert_true(blob >= 0);
	make_ok(f, blob);
	shell(f->dir,
	    "for d in m g; do (cd $d; find . -printf '%p %y %m %U %G %n %T@ %l\\n' | sort; "
	    "find . ! -type d -printf '%p %s\\n' | sort; "
	    "find . -type f -print0 | sort -z | xargs -0 getfattr -d -m - -e hex 2>/dev/null"
	    ") > $d.list; done\n"
	    "cmp m.list g.list || { diff m.list g.list | head -20; exit 1; }\n"
	    "diff -r --no-dereference m g");
}

/* --- tests --------------------------------------------------------------------------------------- */

static void
sizes(void **state)
{
	same_as_tar(*state,
	    "mkdir -p t/s t/x; cd t/s\n"
	    "for n in 0 1 31 32 33 2047 2048 2049 4000 4031 4032 4033 4095 4096 4097 6143 6144 "
	    "6145 "
	    "8191 8192 8193 1048575 1048576 1048577 5000000; do\n"
	    "  head -c $n /dev/urandom > $n; ln -s \"$(printf 'y%.0s' $(seq $((n % 4000 + 1))))\" "
	    "l$n; done\n"
	    "ln 5000000 ../x/hard; ln 33 ../x/hard2; ln ../x/hard2 ../x/hard3; ln -P l33 "
	    "../x/hard4\n"
	    "i=0; while [ $i -lt 700 ]; do echo $i > ../x/$i; i=$((i+1)); done",
	    "--format=pax");
}

static void
holes(void **state)
{
	struct fix *f = *state;

	same_as_tar(f,
	    "mkdir t; cd t; truncate -s 10G all; truncate -s 10G some; truncate -s 3000000 small\n"
	    "echo a > end; truncate -s 9000000 end; truncate -s 5000001 begin; echo b >> begin\n"
	    "for at in 0 4096 1000000 70000000 9999999; do printf 'hello %s' $at |\n"
	    "  dd of=some bs=1 seek=$at conv=notrunc status=none; done\n"
	    "for at in 70000 200000 2999990; do head -c 5000 /dev/urandom |\n"
	    "  dd of=small bs=4096 seek=$((at / 4096)) conv=notrunc status=none; done\n"
	    "head -c 300000 /dev/urandom > front; truncate -s 900000 front; echo behind > zz\n"
	    "truncate -s 100M all some",
	    "--format=pax -S");
	(void)umount("m");
	shell(f->dir,
	    "rm -rf t g t.tar; mkdir t; truncate -s 10G t/big; printf end >> t/big; echo x > t/x\n"
	    "tar -C t --format=pax -S -cf t.tar .");
	{
		AUTO(fd_close) int blob = open("t.tar", O_RDONLY | O_CLOEXEC);

		make_ok(f, blob);
	}
	shell(f->dir, "test $(du -k layer.erofs | cut -f1) -lt 200; tail -c 3 m/big | grep -q end\n"
		      "test $(stat -c %s m/big) = 10737418243; cmp -n 65536 m/big /dev/zero\n"
		      "cmp -n 65536 -i 5G:0 m/big /dev/zero; cmp m/x t/x");
}

static void
large_folder(void **state)
{
	struct fix *f = *state;

	/* Names of all lengths, in no order; some sort before "." and "..". */
	same_as_tar(f,
	    "mkdir t; cd t; i=0; while [ $i -lt 3000 ]; do echo $((i * 7919 % 3001)); i=$((i+1)); "
	    "done | xargs touch -d @7\n"
	    "touch -- '!' './-' '-x' '.a' '...' '..a' ',' '+' \"$(printf '\\001')\" \"$(printf "
	    "'\\377')\" \"$(printf 'n%.0s' $(seq 255))\" \"$(printf 'm%.0s' $(seq 254))\"\n"
	    "for i in $(seq 40); do touch \"$(printf 'k%.0s' $(seq $((i * 6))))$i\"; done\n"
	    "mkdir d e e/f; touch -d @1.5 d e/f e .",
	    "--format=pax");
	shell(f->dir, "test $(ls -A m | wc -l) = 3054; test $(stat -c %h m) = 4");
}

static void
attributes(void **state)
{
	struct fix *f = *state;
	struct buf pax = BUF_ZERO;

	same_as_tar(f,
	    "mkdir -p t/d; cd t; echo x > a; echo y > d/b; setfattr -n user.k -v value a d\n"
	    "setfattr -n user.long -v \"$(printf 'v%.0s' $(seq 3000))\" a; setcap cap_net_raw+ep "
	    "d/b\n"
	    "head -c 2000 /dev/urandom > c; setfattr -n user.long -v \"$(printf 'v%.0s' $(seq "
	    "3000))\" c",
	    "--format=pax");
	(void)umount("m");
	for (int i = 0; i < 4; i++) {
		(void)buf_addf(&pax, "SCHILY.xattr.user.k%d=", i);
		for (int n = 0; n < 60000; n++)
			(void)buf_add(&pax, "x", 1);
		(void)buf_adds(&pax, "\n");
	}
	ADD(.name = "f", .body = "body", .pax = buf_str(&pax));
	ADD(.name = "d", .type = '5', .pax = buf_str(&pax));
	ADD(.name = "l", .type = '2', .link = "f", .pax = buf_str(&pax));
	tar_ok(f);
	shell(f->dir,
	    "for f in f d; do for i in 0 1 2 3; do test $(getfattr --only-values -n user.k$i "
	    "m/$f | wc -c) = 60000; done; done; test $(cat m/f) = body; test $(readlink m/l) = f");
	ADD(.name = ".", .type = '5', .pax = buf_str(&pax));
	tar_fails(f, ERR_RESOURCE_EXHAUSTED, "root folder");
	(void)buf_adds(&pax, "SCHILY.xattr.user.last=");
	for (int n = 0; n < 60000; n++)
		(void)buf_add(&pax, "y", 1);
	(void)buf_adds(&pax, "\n");
	ADD(.name = "f", .body = "body", .pax = buf_str(&pax));
	tar_fails(f, ERR_RESOURCE_EXHAUSTED, "of all of a file");
	buf_free(&pax);
}

static void
same_tar_same_bytes(void **state)
{
	struct fix *f = *state;

	for (int i = 0; i < 2; i++) {
		ADD(.name = "implied/f", .body = "text");
		ADD(.name = "d/.wh.gone", .body = "");
		ADD(.name = "d", .type = '5', .mtime = 5);
		ADD(.name = "x/.wh..wh..opq", .body = "");
		ADD(.name = "h", .type = '1', .link = "implied/f");
		tar_ok(f);
		assert_int_equal(umount("m"), 0);
		shell(f->dir,
		    "if test -e first; then cmp first layer.erofs; else cp layer.erofs first; fi");
	}
	ADD(.name = "other", .body = "text");
	tar_ok(f);
	shell(f->dir, "! cmp -s -n 16 -i 1072 first layer.erofs"); /* uuids */
}

/* Marks are of what is below: never of a folder that this layer has as something else. */
static void
marks_in_vain(void **state)
{
	struct fix *f = *state;

	ADD(.name = "file", .body = "text");
	ADD(.name = "file/.wh.x", .body = "");
	ADD(.name = "file/a/.wh.x", .body = "");
	ADD(.name = "file/.wh..wh..opq", .body = "");
	ADD(.name = ".wh.away", .body = "");
	ADD(.name = "away/.wh.x", .body = "");
	ADD(.name = "away/.wh..wh..opq", .body = "");
	tar_ok(f);
	shell(f->dir, "test \"$(cat m/file)\" = text && test -c m/away");
}

/* Names are all that is held in memory, and there is a limit to that. */
static void
memory(void **state)
{
	struct fix *f = *state;
	char name[32];

	f->limits.held = 64 << 10;
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "file%d", i);
		ADD(.name = name);
	}
	tar_fails(f, ERR_RESOURCE_EXHAUSTED, "memory");
}

/* As on a kernel that mounts EROFS from block devices only. */
static void
by_loop_device(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int image = -1;
	AUTO(fd_close) int mounted = -1;
	struct buf text = BUF_ZERO;

	ADD(.name = "f", .body = "text");
	tar_ok(f);
	image = openat(f->top, EROFS_IMAGE_NAME, O_RDONLY | O_CLOEXEC);
	if (erofs_mount_loop(image, &mounted, &f->e) < 0)
		fail_msg("%s", f->e.msg);
	assert_int_equal(fs_read(mounted, "f", 10, &text, &f->e), 0);
	assert_string_equal(buf_str(&text), "text");
	buf_free(&text);
	shell(f->dir, "losetup --list --noheadings --output BACK-FILE | grep -qF $1/layer.erofs");
	fd_close(&mounted);
	shell(f->dir, "i=0; while losetup --list --noheadings --output BACK-FILE | grep -qF "
		      "$1/layer.erofs; do i=$((i + 1)); test $i -lt 1000; done");
}

/* Where a link below leads may have a part that no name can be: what is implied can't move there. */
static void
long_links_below(void **state)
{
	struct fix *f = *state;
	static const uint64_t lowers[] = { 1 };
	AUTO(fd_close) int below = -1;
	AUTO(fd_close) int list = memfd_create("list", MFD_CLOEXEC);
	char target[3000];

	memset(target, 'x', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	assert_int_equal(fs_open_dir(f->top, "1/fs", 0755, &below, &f->e), 0);
	assert_int_equal(symlinkat(target, below, "bin"), 0);
	ADD(.name = "bin/a", .type = '0', .body = "a");
	tar_ok(f);
	assert_int_equal(umount("m"), 0);
	assert_int_equal(fs_write_all(list, "bin", 4), 0);
	assert_true(settle_image(f->top, f->top, list, lowers, 1, &f->e) < 0);
	assert_non_null(strstr(f->e.msg, "File name too long"));
}

/* A list is a child's word. */
static void
long_names_in_the_list(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int list = memfd_create("list", MFD_CLOEXEC);
	char path[1000];

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	ADD(.name = "bin/a", .type = '0', .body = "a");
	tar_ok(f);
	assert_int_equal(umount("m"), 0);
	assert_int_equal(fs_write_all(list, path, sizeof(path)), 0);
	assert_int_equal(settle_image(f->top, f->top, list, NULL, 0, &f->e), 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = { T(sizes), T(holes), T(large_folder), T(attributes),
		T(same_tar_same_bytes), T(marks_in_vain), T(memory), T(by_loop_device),
		T(long_links_below), T(long_names_in_the_list) };

	if (geteuid() != 0) {
		(void)printf("needs root\n");
		return 77;
	}
	/* What is mounted here is seen nowhere else, and ends with this process. */
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
