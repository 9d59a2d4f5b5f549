/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_tar - hostile layers, unpacked for real: nothing outside of the layer's folder may change.
 *
 * First byte 0: the rest is a tar as it is. Else the rest describes entries, which come with right
 * checksums, so that mutations reach the files and not only libarchive's checks. As root this runs in
 * mount namespace of its own on a tmpfs without devices, with everything but build/ read-only.
 */
#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/arena.h"
#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/workers/snapshot/tarmake.h"
#include "workers/snapshot/tar.h"
#include "workers/snapshot/tree.h"

#define ENTRIES_MAX 40

/* The one thing that outlives an input: libFuzzer gives no argument to carry it. */
static struct {
	int top, home;
	char dir[64];
} ground = { -1, -1, "" };

static const char *const kept = "mine";

static void
ground_drop(void)
{
	struct err e = ERR_ZERO;

	(void)fs_remove_tree(AT_FDCWD, ground.dir, &e); /* what is left is only in the way */
}

/* The tmpfs has no place in the tree any more once it is open; all but build/ becomes read-only. */
static void
ground_jail(void)
{
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };
	AUTO(free_ptr) char *build = realpath("build", NULL);

	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	MUST(mount("none", ground.dir, "tmpfs", MS_NODEV | MS_NOSUID, "size=64m") == 0);
	ground.top = open(ground.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(ground.top >= 0 && umount2(ground.dir, MNT_DETACH) == 0 && rmdir(ground.dir) == 0);
	if (build != NULL)
		MUST(mount(build, build, NULL, MS_BIND, NULL) == 0);
	MUST(syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &ro, sizeof(ro)) == 0);
	if (build != NULL)
		MUST(mount(NULL, build, NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
}

static void
ground_make(void)
{
	struct err e = ERR_ZERO;

	MUST(setlocale(LC_CTYPE, "C.UTF-8") != NULL);
	(void)snprintf(ground.dir, sizeof(ground.dir), "/tmp/coffer-fuzz-tar-XXXXXX");
	MUST(mkdtemp(ground.dir) != NULL);
	(void)umask(0);
	if (unshare(CLONE_NEWNS) == 0) {
		ground_jail();
	} else { /* not root: its rights are the jail */
		ground.top = open(ground.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		MUST(atexit(ground_drop) == 0);
	}
	ground.home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	MUST(ground.top >= 0 && ground.home >= 0 && mkdirat(ground.top, "etc", 0700) == 0);
	MUST(fs_write(ground.top, "outside", kept, strlen(kept), 0600, false, &e) == 0);
}

static void
ground_check(void)
{
	AUTO(buf_free) struct buf b = BUF_ZERO;
	AUTO(dir_close) DIR *d = NULL;
	struct err e = ERR_ZERO;
	struct dirent *ent;
	unsigned n = 0;
	struct stat st;

	MUST(fchdir(ground.home) == 0); /* unpacking owns the working folder */
	MUST(fs_read(ground.top, "outside", 100, &b, &e) == 0 && strcmp(buf_str(&b), kept) == 0);
	MUST(fstatat(ground.top, "outside", &st, 0) == 0 && (st.st_mode & 07777) == 0600);
	MUST(st.st_nlink == 1);
	MUST(unlinkat(ground.top, "etc", AT_REMOVEDIR) == 0); /* still empty */
	MUST(mkdirat(ground.top, "etc", 0700) == 0);
	d = fdopendir(openat(ground.top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	MUST(d != NULL);
	while ((ent = readdir(d)) != NULL)
		n++;
	MUST(n == 5); /* ., .., etc, outside, root */
}

struct input {
	const uint8_t *p;
	size_t n;
	bool given;
};

static ssize_t
next(void *arg, const void **ret_block, struct err *e)
{
	struct input *in = arg;

	(void)e;
	if (in->given)
		return 0;
	in->given = true;
	*ret_block = in->p;
	return (ssize_t)in->n;
}

static void
unpack(const void *p, size_t n)
{
	struct tar_limits limits = { .bytes = 4 << 20, .entries = 1000 };
	struct input in = { .p = p, .n = n };
	AUTO(buf_free) struct buf implied = BUF_ZERO;
	AUTO(fd_close) int root = -1;
	struct tree *t;
	struct layer_usage usage;
	struct err e = ERR_ZERO;

	MUST(mkdirat(ground.top, "root", 0755) == 0);
	root = openat(ground.top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(root >= 0);
	t = tree_new(root, 1 << 20);
	if (tar_unpack(next, &in, tree_sink(t), &limits, &e) < 0)
		MUST(e.code != ERR_NONE && e.msg[0] != '\0');
	tree_sink(t)->ops->usage(tree_sink(t), &usage);
	(void)tree_sink(t)->ops->implied(tree_sink(t), &implied);
	tree_free(&t);
	ground_check();
	MUST(fs_remove_tree(ground.top, "root", &e) == 0);
}

static uint8_t
byte(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

/* A text of the input, its length before it; NULL for none. */
static char *
text(struct input *in, struct arena *a, size_t max)
{
	size_t n = byte(in) % (max + 1);
	char *t;

	if (n > in->n)
		n = in->n;
	if (n == 0)
		return NULL;
	t = arena_memdup(a, in->p, n);
	in->p += n;
	in->n -= n;
	return t;
}

/* Lines "key=value", which is all that tar_pax can write. */
static char *
pax_text(struct input *in, struct arena *a)
{
	const char *t = text(in, a, 200);
	char *lines;

	if (t == NULL || t[0] == '\n')
		return NULL;
	lines = arena_printf(a, "%s\n", t);
	for (char *p = lines; *p != '\0'; p += strcspn(p, "\n") + 1) {
		size_t key = strcspn(p, "=\n");

		if (p[key] != '=' || key > 100)
			return NULL;
	}
	return lines;
}

static void
describe(struct input *in, struct buf *tar)
{
	static const char types[] = "0123456502";
	AUTO(arena_free) struct arena a = ARENA_ZERO;

	for (unsigned i = 0; i < ENTRIES_MAX && in->n > 0; i++) {
		uint8_t first = byte(in);
		struct entry e = { .type = types[first % 10] };

		e.name = text(in, &a, 90);
		if (e.name == NULL)
			e.name = "x";
		e.link = (first & 0x20) != 0 || e.type == '1' || e.type == '2' ? text(in, &a, 90)
									       : NULL;
		if (e.type == '0')
			e.body = text(in, &a, 255);
		if ((first & 0x40) != 0)
			e.pax = pax_text(in, &a);
		e.mode = byte(in) | (unsigned)(byte(in) & 0x0f) << 8;
		e.uid = byte(in);
		e.major = byte(in) % 4;
		e.minor = byte(in) % 4;
		tar_add(tar, &e);
	}
	tar_end(tar);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_free) struct buf tar = BUF_ZERO;
	struct input in = { .p = data + 1, .n = n - 1 };

	if (n == 0 || n > 65536)
		return 0;
	if (ground.top < 0)
		ground_make();
	if (data[0] == 0) {
		unpack(data + 1, n - 1);
		return 0;
	}
	describe(&in, &tar);
	unpack(tar.data, tar.len);
	return 0;
}

/* Length, then the text. */
static void
say(struct buf *b, const char *t)
{
	char n = (char)strlen(t);

	(void)buf_add(b, &n, 1); /* no limit */
	(void)buf_adds(b, t);
}

static void
whole_tar(fuzz_seed_fn *seed, void *arg)
{
	static const struct entry entries[] = { { .name = "etc/", .type = '5' },
		{ .name = "etc/passwd", .type = '0', .body = "root" },
		{ .name = "etc/link", .type = '2', .link = "../../outside" },
		{ .name = "etc/link/x", .type = '0', .body = "y" },
		{ .name = "hard", .type = '1', .link = "etc/passwd" },
		{ .name = "etc/.wh.passwd", .type = '0' },
		{ .name = "etc/.wh..wh..opq", .type = '0' },
		{ .name = "x", .type = '0', .pax = "path=long/name\nSCHILY.xattr.user.a=b\n" } };
	AUTO(buf_free) struct buf b = BUF_ZERO;

	MUST(buf_add(&b, "", 1) == 0);
	for (size_t i = 0; i < COUNT(entries); i++) {
		AUTO(buf_free) struct buf one = BUF_ZERO;

		tar_add(&one, &entries[i]);
		(void)buf_add(&b, one.data, one.len);
	}
	seed(arg, b.data, b.len);
}

void
fuzz_seeds(fuzz_seed_fn *seed, void *arg)
{
	static const struct {
		char first;
		const char *name, *link, *body, *pax;
	} entries[] = { { 5, "d", NULL, NULL, NULL }, { 0, "d/f", NULL, "body", NULL },
		{ 2, "d/out", "../../outside", NULL, NULL }, { 2, "abs", "/", NULL, NULL },
		{ 0, "d/out", NULL, "over", NULL }, { 0, "abs/etc/x", NULL, "x", NULL },
		{ 1, "hard", "../outside", NULL, NULL }, { 1, "hard2", "d/f", NULL, NULL },
		{ 0, "../../etc/y", NULL, "y", NULL }, { 3, "d/null", NULL, NULL, NULL },
		{ 6, "d/fifo", NULL, NULL, NULL }, { 0, "d/.wh.f", NULL, "", NULL },
		{ 0, "d/.wh..wh..opq", NULL, "", NULL },
		{ 0x40, "p", NULL, "b", "path=q\nSCHILY.xattr.user.k=v\nsize=1\n" } };
	AUTO(buf_free) struct buf b = BUF_ZERO;

	whole_tar(seed, arg);
	MUST(buf_adds(&b, "\1") == 0);
	for (size_t i = 0; i < COUNT(entries); i++) {
		(void)buf_add(&b, &entries[i].first, 1);
		say(&b, entries[i].name);
		if (entries[i].link != NULL)
			say(&b, entries[i].link);
		if (entries[i].body != NULL)
			say(&b, entries[i].body);
		if (entries[i].pax != NULL)
			say(&b, entries[i].pax);
		(void)buf_add(&b, "\xa4\1\0\1\2", 5);
		if (i % 3 == 0)
			seed(arg, b.data, b.len);
	}
	seed(arg, b.data, b.len);
}
