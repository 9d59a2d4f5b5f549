/* SPDX-License-Identifier: Apache-2.0 */
/* archive: what is written is read back, the same each time; names and links are cleaned or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctr/archive.h"
#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "tests/unit/workers/snapshot/tarmake.h"

/* The first file of a tar of one entry. */
static int
first(const struct entry *ent, struct archive_in **a, struct archive_file *f, struct err *e)
{
	static struct buf tar; /* must outlive the reader */
	int r;

	tar.len = 0;
	tar_header(&tar, ent, ent->name, ent->type, 0);
	tar_pad(&tar);
	*e = ERR_ZERO;
	r = archive_in_memory(tar.data, tar.len, a, e);
	return r < 0 ? r : archive_in_next(*a, f, e);
}

static void
names(void **state)
{
	static const struct {
		struct entry ent;
		const char *path, *link, *why;
	} all[] = {
		{ { .name = "./a//b/./c", .type = '0' }, "a/b/c", NULL, NULL },
		{ { .name = "a/..b", .type = '0' }, "a/..b", NULL, NULL },
		{ { .name = "/a", .type = '0' }, NULL, NULL, "/a: has an absolute name" },
		{ { .name = "a/../b", .type = '0' }, NULL, NULL, "a/../b: has \"..\" in its name" },
		{ { .name = "a/b", .type = '2', .link = "../c" }, "a/b", "c", NULL },
		{ { .name = "a/b", .type = '2', .link = "./x/../c" }, "a/b", "a/c", NULL },
		{ { .name = "a/b", .type = '2', .link = "../../c" }, NULL, NULL,
		    "a/b: leads out of the archive" },
		{ { .name = "a", .type = '2', .link = "/c" }, NULL, NULL,
		    "a: is a link out of the archive" },
		{ { .name = "a/b", .type = '1', .link = "x/y" }, "a/b", "x/y", NULL },
		{ { .name = "a", .type = '1', .link = "../y" }, NULL, NULL,
		    "a: has \"..\" in its name" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(all); i++) {
		AUTO(archive_in_close) struct archive_in *a = NULL;
		struct archive_file f;
		struct err e;
		int r = first(&all[i].ent, &a, &f, &e);

		if (all[i].why != NULL) {
			assert_int_equal(r, -ERR_INVALID_ARGUMENT);
			assert_string_equal(e.msg, all[i].why);
			continue;
		}
		assert_int_equal(r, 1);
		assert_string_equal(f.path, all[i].path);
		if (all[i].link == NULL)
			assert_null(f.link);
		else
			assert_string_equal(f.link, all[i].link);
	}
}

static void
must(int r, const struct err *e)
{
	if (r < 0)
		fail_msg("%s", e->msg);
}

static void
written(const char *to, bool done)
{
	AUTO(archive_out_close) struct archive_out *a = NULL;
	struct err e = ERR_ZERO;

	must(archive_out_open(to, &a, &e), &e);
	must(archive_out_folder(a, "blobs", &e), &e);
	must(archive_out_file(a, "blobs/x", 5, &e), &e);
	must(archive_out_write(a, "he", 2, &e), &e);
	must(archive_out_write(a, "llo", 3, &e), &e);
	if (done)
		must(archive_out_done(a, &e), &e);
}

/* path: an archive or the folder that was packed. */
static void
read_back(const char *path)
{
	AUTO(archive_in_close) struct archive_in *a = NULL;
	struct archive_file f;
	struct err e = ERR_ZERO;
	char text[16];
	size_t n, all = 0;

	must(archive_in_open(path, NULL, NULL, &a, &e), &e);
	assert_int_equal(archive_in_next(a, &f, &e), 1);
	assert_string_equal(f.path, "blobs/x");
	assert_int_equal(f.size, 5);
	do {
		must(archive_in_read(a, text + all, sizeof(text) - all, &n, &e), &e);
		all += n;
	} while (n > 0);
	assert_int_equal(all, 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(archive_in_next(a, &f, &e), 0);
}

static void
there_and_back(void **state)
{
	AUTO(buf_free) struct buf one = BUF_ZERO, two = BUF_ZERO;
	struct err e = ERR_ZERO;
	char dir[] = "/tmp/coffer-archive.XXXXXX";
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	written("one.tar", true);
	written("two.tar", true);
	read_back("one.tar");
	must(fs_read(AT_FDCWD, "one.tar", 1 << 20, &one, &e), &e);
	must(fs_read(AT_FDCWD, "two.tar", 1 << 20, &two, &e), &e);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);

	/* Not finished: the old one stays, nothing is beside it. */
	written("one.tar", false);
	written("three.tar", false);
	assert_int_equal(stat("three.tar", &st), -1);
	read_back("one.tar");

	assert_int_equal(mkdir("folder", 0755), 0);
	assert_int_equal(mkdir("folder/blobs", 0755), 0);
	must(fs_write(AT_FDCWD, "folder/blobs/x", "hello", 5, 0644, false, &e), &e);
	read_back("folder");
	read_back("folder/");
	assert_int_equal(chdir("/"), 0);
	must(fs_remove_tree(AT_FDCWD, dir, &e), &e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
