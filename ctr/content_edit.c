/* SPDX-License-Identifier: Apache-2.0 */
/* content_edit - a blob through the user's editor: what comes out is stored as a new blob. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctr/blobs.h"
#include "ctr/ctr.h"
#include "ctr/text.h"
#include "lib/base/auto.h"
#include "lib/base/fs.h"
#include "lib/oci/json.h"

static const char *
editor(const struct opts *o)
{
	const char *names[] = { opts_text(o, "editor"), getenv("VISUAL"), getenv("EDITOR") };

	for (size_t i = 0; i < COUNT(names); i++)
		if (names[i] != NULL && names[i][0] != '\0')
			return names[i];
	return "vi";
}

/* By a shell, since people put options into EDITOR. */
static int
editor_run(const char *command, const char *path, struct err *e)
{
	AUTO(free_ptr) char *line = xasprintf("%s \"$1\"", command);
	char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", line,
		(char *)(uintptr_t) "ctr", (char *)(uintptr_t)path, NULL };
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return err_sys(e, errno, "start the editor");
	if (pid == 0) {
		(void)execv("/bin/sh", argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "wait for the editor");
	return status == 0 ? 0
			   : err_set(e, ERR_CANCELLED,
				 "the editor (%.100s) failed: nothing was changed", command);
}

static int
edited(int fd, const char *path, const struct opts *o, struct buf *text, struct err *e)
{
	int r;

	if (fs_write_all(fd, text->data, text->len) < 0)
		return err_sys(e, errno, "write %s", path);
	r = editor_run(editor(o), path, e);
	if (r < 0)
		return r;
	text->len = 0;
	return fs_read(AT_FDCWD, path, OCI_JSON_MAX, text, e); /* editors may replace the file */
}

int
content_edit(struct ctr *c, const struct opts *o, struct err *e)
{
	AUTO(arena_free) struct arena a = ARENA_ZERO;
	AUTO(buf_free) struct buf text = BUF_ZERO;
	AUTO(fd_close) int fd = -1;
	char path[] = "/tmp/ctr-edit.XXXXXX";
	const struct blob_ref req = { .digest = o->args.v[0] };
	struct oci_desc d = { .size = 0 }, made = { .size = 0 };
	struct blob blob;
	int r;

	if ((r = digest_parse(req.digest, &d.digest, e)) < 0 ||
	    (r = ctr_call(c, &content_blob_stat_method, &req, &a, &blob, e)) < 0)
		return r;
	d.size = blob.size;
	r = blob_text(c, &d, &text, e);
	if (r < 0)
		return r;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "create %s", path);
	r = edited(fd, path, o, &text, e);
	(void)unlink(path);
	if (r == 0)
		r = blob_put_text(c, &text, &blob.labels, &made, e);
	if (r == 0)
		text_print(stdout, made.digest.text);
	return r;
}
