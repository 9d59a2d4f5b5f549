/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig - what the tests of the supervisor share: folders of their own, a loop that turns until something
 * is so, and this very test program under other names, as workers and shims.
 */
#ifndef TEST_SUPERVISOR_RIG_H
#define TEST_SUPERVISOR_RIG_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/auto.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "supervisor/config.h"
#include "supervisor/folders.h"

#define PATIENCE_MS 10000

struct rig {
	char dir[64], bin[80];
	struct config config;
	struct folders folders;
	struct loop *loop;
};

static inline struct rig *
rig_new(void)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct err e = ERR_ZERO;

	log_init("test", LOG_ERROR + 1, false); /* what they say is not the point */
	(void)strcpy(r->dir, "/tmp/coffer-sv-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(chmod(r->dir, 0755), 0);
	(void)snprintf(r->bin, sizeof(r->bin), "%s/bin", r->dir);
	assert_int_equal(mkdir(r->bin, 0755), 0);
	config_init(&r->config);
	(void)snprintf(r->config.root, sizeof(r->config.root), "%s/root", r->dir);
	(void)snprintf(r->config.state, sizeof(r->config.state), "%s/state", r->dir);
	r->loop = loop_new();
	folders_init(&r->folders);
	if (folders_open(&r->folders, &r->config, &e) < 0)
		fail_msg("%s", e.msg);
	return r;
}

static inline void
rig_free(struct rig *r)
{
	struct err e = ERR_ZERO;

	folders_close(&r->folders);
	loop_free(&r->loop);
	config_free(&r->config);
	if (fs_remove_tree(AT_FDCWD, r->dir, &e) < 0)
		fail_msg("%s", e.msg);
	free(r);
}

/* This program again, as bin/NAME. */
static inline void
rig_program(struct rig *r, const char *name)
{
	char self[4096], path[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct err e = ERR_ZERO;

	assert_true(n > 0);
	self[n] = '\0';
	(void)snprintf(path, sizeof(path), "%s/%s", r->bin, name);
	*strrchr(path, '/') = '\0';
	assert_int_equal(fs_mkdirs(AT_FDCWD, path, 0755, &e), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", r->bin, name);
	assert_int_equal(symlink(self, path), 0);
}

/* Turns the loop until cond holds. */
#define UNTIL(rig, cond)                                                             \
	do {                                                                         \
		uint64_t until_ = clock_mono_ms() + PATIENCE_MS;                     \
		while (!(cond)) {                                                    \
			if (clock_mono_ms() > until_)                                \
				fail_msg("line %d: waited for %s", __LINE__, #cond); \
			loop_turn((rig)->loop, 20);                                  \
		}                                                                    \
	} while (0)

#endif
