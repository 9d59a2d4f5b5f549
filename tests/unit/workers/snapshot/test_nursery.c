/* SPDX-License-Identifier: Apache-2.0 */
/* Confined children: unpacking, settling, counting and emptying through the nursery; layers as folders and
 * as images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "tests/unit/workers/snapshot/tarmake.h"
#include "workers/snapshot/merged.h"
#include "workers/snapshot/nursery.h"
#include "workers/snapshot/tree.h"

struct fix {
	char dir[64];
	int top, layers;
	struct loop *loop;
	struct nursery *nursery;
	struct nursery_job *job;
	struct nursery_report last;
	bool done, died;
	bool image; /* layers are images, mounted where folders would be */
	struct err e;
};

static void
on_death(void *arg)
{
	struct fix *f = arg;

	f->died = true;
}

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	(void)strcpy(f->dir, "/tmp/coffer-nursery-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->top = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_open_dir(f->top, "layers", 0700, &f->layers, &f->e), 0);
	f->loop = loop_new();
	assert_int_equal(nursery_new(f->loop, on_death, f, &f->nursery, &f->e), 0);
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

static void
hide(struct fix *f, unsigned number)
{
	AUTO(free_ptr) char *path = xasprintf("%s/layers/%u/fs", f->dir, number);

	(void)umount2(path, MNT_DETACH);
}

/* Mounts the image of a layer. */
static void
show(struct fix *f, unsigned number)
{
	AUTO(free_ptr) char *image = xasprintf("%s/layers/%u/layer.erofs", f->dir, number);
	AUTO(free_ptr) char *path = xasprintf("%s/layers/%u/fs", f->dir, number);

	if (f->image && mount(image, path, "erofs", MS_RDONLY, NULL) < 0)
		fail_msg("mount %s: %s", image, strerror(errno));
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	nursery_free(&f->nursery);
	for (unsigned i = 1; f->image && i < 4; i++)
		hide(f, i);
	loop_free(&f->loop);
	fd_close(&f->layers);
	assert_int_equal(tree_empty(f->top, &f->e), 0);
	fd_close(&f->top);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void
on_report(void *arg, const struct nursery_report *r)
{
	struct fix *f = arg;

	f->last = *r;
	if (r->kind == NURSERY_PROGRESS)
		return;
	f->job = NULL;
	f->done = true;
}

static void
start(struct fix *f, struct nursery_order *o, int folder, int file, int list)
{
	struct nursery_fds fds = { .folder = folder, .file = file, .list = list };

	f->done = false;
	assert_int_equal(nursery_run(f->nursery, o, &fds, on_report, f, &f->job, &f->e), 0);
}

static void
finish(struct fix *f)
{
	for (int i = 0; i < 1000 && !f->done; i++)
		loop_turn(f->loop, 100);
	assert_true(f->done);
}

static int
layer_folder(struct fix *f, unsigned number)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "%u/fs", number);
	assert_int_equal(fs_open_dir(f->layers, path, 0755, &fd, &f->e), 0);
	return fd;
}

/* Unpacks tar (freed) into layers/<number>/fs; the list of implied folders is the caller's. */
static int
unpack_layer(struct fix *f, struct buf *tar, unsigned number)
{
	struct nursery_order o = { .op = NURSERY_UNPACK,
		.limits = { .bytes = 1 << 30, .entries = 1000, .held = 1 << 20 } };
	AUTO(fd_close) int blob = memfd_create("blob", MFD_CLOEXEC);
	AUTO(fd_close) int folder = layer_folder(f, number);
	AUTO(fd_close) int beside = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int list = memfd_create("list", MFD_CLOEXEC);

	tar_end(tar);
	assert_int_equal(fs_write_all(blob, tar->data, tar->len), 0);
	assert_int_equal(lseek(blob, 0, SEEK_SET), 0);
	buf_free(tar);
	o.form = f->image ? NURSERY_IMAGE : NURSERY_FOLDER;
	start(f, &o, f->image ? beside : folder, blob, list);
	finish(f);
	if (f->last.kind == NURSERY_DONE)
		show(f, number);
	return list;
}

/* Settles it; list is closed. Returns its folder. */
static int
settle_layer(struct fix *f, struct nursery_order *o, unsigned number, int list)
{
	AUTO(free_ptr) char *path = xasprintf("%u", number);
	AUTO(fd_close) int beside = openat(f->layers, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(fd_close) int folder = layer_folder(f, number);

	hide(f, number);
	o->form = f->image ? NURSERY_IMAGE : NURSERY_FOLDER;
	start(f, o, f->image ? beside : folder, f->layers, list);
	finish(f);
	fd_close(&list);
	if (f->last.kind != NURSERY_DONE)
		fail_msg("%s", f->last.message);
	show(f, number);
	return layer_folder(f, number);
}

static void
unpacks(void **state)
{
	struct fix *f = *state;
	struct buf tar = BUF_ZERO;
	struct digest want;
	struct stat st;
	int list;

	tar_add(&tar, &(struct entry){ .name = "a/f", .body = "text", .uid = 77, .mode = 04755 });
	tar_add(&tar, &(struct entry){ .name = ".wh.w", .body = "" });
	tar_end(&tar);
	digest_of(DIGEST_SHA256, tar.data, tar.len, &want);
	tar.len -= 1024; /* unpack_layer ends it */
	list = unpack_layer(f, &tar, 1);
	assert_int_equal(f->last.kind, NURSERY_DONE);
	assert_string_equal(f->last.diff_id, want.text);
	assert_int_equal(f->last.inodes, 4);
	assert_int_equal(f->last.implied, 1);
	assert_int_equal(fstatat(f->layers, "1/fs/a/f", &st, 0), 0);
	assert_int_equal(st.st_uid, 77);
	assert_int_equal(st.st_mode & 07777, 04755);
	fd_close(&list);
}

static void
failures_come_back(void **state)
{
	struct fix *f = *state;
	struct buf tar = BUF_ZERO;
	int list;

	tar_add(&tar, &(struct entry){ .name = "a\x1b", .type = '1', .link = "b" });
	list = unpack_layer(f, &tar, 1);
	assert_int_equal(f->last.kind, NURSERY_FAILED);
	assert_int_equal(f->last.code, ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(f->last.message, "archive entry \"a\\x1b\""));
	fd_close(&list);
}

/* A child that waits for its blob: a pipe that nobody writes to. */
static int
stuck(struct fix *f, int *ret_folder, int *ret_list)
{
	struct nursery_order o = { .op = NURSERY_UNPACK,
		.limits = { .bytes = 1 << 30, .entries = 1000, .held = 1 << 20 } };
	int pair[2];

	*ret_folder = layer_folder(f, 9);
	*ret_list = memfd_create("list", MFD_CLOEXEC);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	start(f, &o, *ret_folder, pair[0], *ret_list);
	fd_close(&pair[0]);
	return pair[1];
}

/* True when no child holds the reading end of the pipe any more. */
static bool
let_go(int pipe)
{
	for (int i = 0; i < 200; i++) {
		if (write(pipe, "", 1) < 0 && errno == EPIPE)
			return true;
		(void)usleep(10000);
	}
	return false;
}

static void
cancels(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int folder = -1;
	AUTO(fd_close) int list = -1;
	AUTO(fd_close) int pipe = stuck(f, &folder, &list);

	for (int i = 0; i < 5; i++)
		loop_turn(f->loop, 10);
	assert_false(f->done);
	nursery_cancel(&f->job);
	assert_null(f->job);
	assert_true(let_go(pipe));
	loop_turn(f->loop, 10);
	assert_false(f->done);
}

static void
children_end_with_the_nursery(void **state)
{
	struct fix *f = *state;
	AUTO(fd_close) int folder = -1;
	AUTO(fd_close) int list = -1;
	AUTO(fd_close) int pipe = stuck(f, &folder, &list);

	nursery_free(&f->nursery);
	f->job = NULL;
	assert_true(let_go(pipe));
	assert_int_equal(nursery_new(f->loop, on_death, f, &f->nursery, &f->e), 0);
}

static void
settles(void **state)
{
	struct fix *f = *state;
	struct nursery_order o = { .op = NURSERY_SETTLE, .nlowers = 2, .lowers = { 2, 1 } };
	AUTO(fd_close) int folder = -1;
	AUTO(fd_close) int fd = -1;
	struct buf tar = BUF_ZERO;
	struct stat st;
	char value[8];
	int list;

	tar_add(&tar, &(struct entry){ .name = "a",
			  .type = '5',
			  .mode = 0700,
			  .uid = 5,
			  .gid = 6,
			  .mtime = 1000,
			  .pax = "SCHILY.xattr.user.k=v\n" });
	tar_add(&tar, &(struct entry){ .name = "a/b", .type = '5', .mode = 0711, .uid = 7 });
	tar_add(&tar, &(struct entry){ .name = "gone", .type = '5', .mode = 0700, .uid = 8 });
	tar_add(&tar, &(struct entry){ .name = "op/in", .type = '5', .mode = 0700, .uid = 9 });
	list = unpack_layer(f, &tar, 1);
	fd_close(&list);
	tar_add(&tar, &(struct entry){ .name = ".wh.gone", .body = "" });
	tar_add(&tar, &(struct entry){ .name = "op/.wh..wh..opq", .body = "" });
	list = unpack_layer(f, &tar, 2);
	fd_close(&list);
	tar_add(&tar, &(struct entry){ .name = "a/b/f", .body = "x" });
	tar_add(&tar, &(struct entry){ .name = "gone/f", .body = "x" });
	tar_add(&tar, &(struct entry){ .name = "op/in/f", .body = "x" });
	tar_add(&tar, &(struct entry){ .name = "new/f", .body = "x" });
	list = unpack_layer(f, &tar, 3);
	assert_int_equal(f->last.implied, 1);
	folder = settle_layer(f, &o, 3, list);
	assert_int_equal(fstatat(folder, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(st.st_uid, 5);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	fd = openat(folder, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fgetxattr(fd, "user.k", value, sizeof(value)), 1);
	assert_int_equal(fstatat(folder, "a/b", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(fstatat(folder, "gone", &st, 0), 0);
	assert_int_equal(st.st_uid, 0); /* a whiteout hides the one below */
	assert_int_equal(fstatat(folder, "op/in", &st, 0), 0);
	assert_int_equal(st.st_uid, 0); /* so does an opaque folder */
	assert_int_equal(fstatat(folder, "new", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

/* "bin/new" of an archive that does not name "bin", over a layer where that is a link. */
static void
settles_behind_links(void **state)
{
	struct fix *f = *state;
	struct nursery_order o = { .op = NURSERY_SETTLE, .nlowers = 1, .lowers = { 1 } };
	AUTO(fd_close) int folder = -1;
	struct buf tar = BUF_ZERO, text = BUF_ZERO;
	struct stat st;
	int list;

	tar_add(&tar, &(struct entry){ .name = "usr/bin", .type = '5', .mode = 0711, .uid = 5 });
	tar_add(&tar, &(struct entry){ .name = "bin", .type = '2', .link = "usr/bin" });
	tar_add(&tar, &(struct entry){ .name = "esc", .type = '2', .link = "../../../../usr" });
	tar_add(&tar, &(struct entry){ .name = "dead", .type = '2', .link = "/no/where" });
	list = unpack_layer(f, &tar, 1);
	fd_close(&list);
	tar_add(&tar, &(struct entry){ .name = "bin/new", .body = "n" });
	tar_add(&tar, &(struct entry){ .name = "bin/.wh.old", .body = "" });
	tar_add(&tar, &(struct entry){ .name = "bin/sub/f", .body = "s" });
	tar_add(&tar, &(struct entry){ .name = "usr/bin/sub/g", .body = "g" });
	tar_add(&tar, &(struct entry){ .name = "hard", .body = "h" });
	tar_add(&tar, &(struct entry){ .name = "bin/hard", .type = '1', .link = "hard" });
	tar_add(&tar, &(struct entry){ .name = "bin/both", .type = '1', .link = "hard" });
	tar_add(&tar, &(struct entry){ .name = "usr/bin/both", .body = "stays" });
	tar_add(&tar, &(struct entry){ .name = "esc/share/f", .body = "e" });
	tar_add(&tar, &(struct entry){ .name = "dead/f", .body = "d" });
	list = unpack_layer(f, &tar, 2);
	folder = settle_layer(f, &o, 2, list);
	assert_int_equal(faccessat(folder, "bin", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(faccessat(folder, "esc", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(fs_read(folder, "usr/bin/new", 10, &text, &f->e), 0);
	assert_int_equal(fs_read(folder, "usr/bin/sub/f", 10, &text, &f->e), 0);
	assert_int_equal(fs_read(folder, "usr/bin/sub/g", 10, &text, &f->e), 0);
	assert_int_equal(fs_read(folder, "usr/share/f", 10, &text, &f->e), 0);
	assert_int_equal(fs_read(folder, "no/where/f", 10, &text, &f->e), 0);
	assert_string_equal(text.data, "nsged");
	assert_int_equal(fs_read(folder, "usr/bin/both", 10, &text, &f->e), 0);
	assert_string_equal(text.data, "nsgedstays");
	assert_int_equal(fstatat(folder, "usr/bin/old", &st, 0), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(fstatat(folder, "usr/bin", &st, 0), 0);
	assert_int_equal(st.st_uid, 5);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(st.st_nlink, 3);
	assert_int_equal(fstatat(folder, "hard", &st, 0), 0);
	assert_int_equal(st.st_nlink, 2); /* the name that was in the way is gone */
	buf_free(&text);
}

static void
counts_and_empties(void **state)
{
	struct fix *f = *state;
	struct nursery_order count = { .op = NURSERY_COUNT }, empty = { .op = NURSERY_EMPTY };
	AUTO(fd_close) int folder = -1;
	struct buf tar = BUF_ZERO;
	int list;

	tar_add(&tar, &(struct entry){ .name = "a/b/f", .body = "x" });
	tar_add(&tar, &(struct entry){ .name = "a/b/g", .type = '1', .link = "a/b/f" });
	list = unpack_layer(f, &tar, 1);
	fd_close(&list);
	folder = layer_folder(f, 1);
	start(f, &count, folder, -1, -1);
	finish(f);
	assert_int_equal(f->last.kind, NURSERY_DONE);
	assert_int_equal(f->last.inodes, 4);
	assert_true(f->last.bytes >= 4096);
	start(f, &empty, folder, -1, -1);
	finish(f);
	assert_int_equal(f->last.kind, NURSERY_DONE);
	assert_int_equal(faccessat(folder, "a", F_OK, 0), -1);
}

/* Names in a stack of layers, as user_resolve asks for them. */
static void
finds_files_in_stacks(void **state)
{
	struct fix *f = *state;
	static const uint64_t stack[] = { 3, 2, 1 };
	struct buf tar = BUF_ZERO;
	static const struct {
		const char *path, *text; /* NULL: no such file; "!": an error */
	} want[] = { { "etc/passwd", "one" }, { "etc/group", "three" }, { "gone", NULL },
		{ "gone/deeper", NULL }, { "op/old", NULL }, { "op/new", "new" }, { "link", "one" },
		{ "up", "one" }, { "loop", "!" }, { "etc", "!" }, { "fifo", "!" },
		{ "etc/passwd/x", NULL }, { "host", NULL } };
	int list;

	tar_add(&tar, &(struct entry){ .name = "etc/passwd", .body = "one" });
	tar_add(&tar, &(struct entry){ .name = "etc/group", .body = "one" });
	tar_add(&tar, &(struct entry){ .name = "gone", .body = "one" });
	tar_add(&tar, &(struct entry){ .name = "op/old", .body = "old" });
	tar_add(&tar, &(struct entry){ .name = "fifo", .type = '6' });
	list = unpack_layer(f, &tar, 1);
	fd_close(&list);
	tar_add(&tar, &(struct entry){ .name = ".wh.gone", .body = "" });
	tar_add(&tar, &(struct entry){ .name = "op/.wh..wh..opq", .body = "" });
	tar_add(&tar, &(struct entry){ .name = "link", .type = '2', .link = "/e/passwd" });
	tar_add(&tar, &(struct entry){ .name = "e", .type = '2', .link = "../../etc" });
	tar_add(&tar, &(struct entry){ .name = "loop", .type = '2', .link = "loop" });
	tar_add(&tar, &(struct entry){ .name = "host", .type = '2', .link = "/etc/hostname" });
	list = unpack_layer(f, &tar, 2);
	fd_close(&list);
	tar_add(&tar, &(struct entry){ .name = "etc/group", .body = "three" });
	tar_add(&tar, &(struct entry){ .name = "op/new", .body = "new" });
	tar_add(&tar, &(struct entry){ .name = "up", .type = '2', .link = "op/../e/./passwd" });
	list = unpack_layer(f, &tar, 3);
	fd_close(&list);
	for (size_t i = 0; i < COUNT(want); i++) {
		struct buf text = BUF_ZERO;
		AUTO(fd_close) int fd = -1;
		int r = merged_open(f->layers, stack, COUNT(stack), want[i].path, &fd, &f->e);

		if (want[i].text == NULL) {
			if (r != 0 || fd >= 0)
				fail_msg("%s is there", want[i].path);
		} else if (strcmp(want[i].text, "!") == 0) {
			assert_int_equal(r, -ERR_FAILED_PRECONDITION);
		} else {
			if (r != 0 || fd < 0)
				fail_msg("%s is not there", want[i].path);
			assert_int_equal(fs_read_fd(fd, 100, &text, &f->e), 0);
			assert_string_equal(text.data, want[i].text);
		}
		buf_free(&text);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define I(name) cmocka_unit_test_setup_teardown(name, setup_image, teardown)
	const struct CMUnitTest tests[] = { T(unpacks), T(failures_come_back), T(cancels),
		T(children_end_with_the_nursery), T(settles), T(settles_behind_links), I(unpacks),
		I(failures_come_back), I(settles), I(settles_behind_links), T(counts_and_empties),
		T(finds_files_in_stacks) };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	if (geteuid() != 0) {
		(void)printf("needs root\n");
		return 77;
	}
	/* What is mounted here is seen nowhere else, and ends with this process. */
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
