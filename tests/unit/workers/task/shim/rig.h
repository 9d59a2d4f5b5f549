/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig - a scratch bundle, a real shim and a real OCI runtime, driven over ttrpc and the attach socket.
 * Everything lives below one folder in /tmp and is gone after rig_down, which checks that the shim left
 * no process, mount, socket or control group.
 */
#ifndef CF_TEST_RIG_H
#define CF_TEST_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/loop.h"
#include "lib/ttrpc/proto/runc.pb-c.h"
#include "lib/ttrpc/proto/task.pb-c.h"
#include "lib/ttrpc/ttrpc.h"

struct rig {
	char dir[64], bundle[128], image[128], state[128], logs[128];
	char address[128], attach[128];
	char id[40];
	pid_t shim;
	struct loop *loop;
	struct ttrpc_client *client;
	bool contained; /* started as containerd does: no COFFER_STATE */
};

/* One answer. */
struct answer {
	bool done;
	struct err e;
	ProtobufCMessage *rep; /* copy; freed by answer_free */
};

/* config.json runs args ("," separated JSON strings); then the shim is started and connected to. */
void rig_up(struct rig *r, const char *args, bool terminal, bool contained);
/* Shutdown, then the checks. */
void rig_down(struct rig *r);

/* Starts a call; it ends in rig_wait. */
void rig_call(struct rig *r, struct answer *a, const char *method, const ProtobufCMessage *req,
    const ProtobufCMessageDescriptor *rep_type);
void rig_wait(struct rig *r, struct answer *a);
void answer_free(struct answer *a);

/* Whole calls. Those that return a class return 0 or ERR_x; msg gets the error's text. */
int rig_create(struct rig *r, bool terminal, const char *in, const char *out, const char *err,
    char msg[ERR_MSG_MAX]);
int rig_start(struct rig *r, const char *exec_id, char msg[ERR_MSG_MAX]);
unsigned rig_exit(struct rig *r, const char *exec_id);
int rig_exec(struct rig *r, const char *exec_id, const char *args, bool terminal, const char *in);
int rig_kill(struct rig *r, const char *exec_id, unsigned signo, bool all);
int rig_delete(struct rig *r, const char *exec_id);
pid_t rig_pid(struct rig *r, const char *exec_id);

/* Attaches; the hello is read (-1 when it is an error, else 1 for a terminal). */
int rig_attach(struct rig *r, const char *exec_id, int *ret_fd);
/* Reads packets until the end (or an error packet, which is appended to out), at most seconds. */
void rig_drain(int fd, struct buf *out, struct buf *err, int seconds);
void rig_send(int fd, unsigned char type, const char *text);

/* Runs the shim's delete call; returns its exit status. */
int rig_delete_call(struct rig *r);
/* True when what is at path holds text. */
bool rig_file_has(const char *path, const char *text);
size_t rig_cgroups(const struct rig *r);
size_t rig_mounts(const struct rig *r);
/* Turns the loop until the condition holds; fails the test after ten seconds. */
#define RIG_UNTIL(r, cond)                                       \
	do {                                                     \
		for (int i_ = 0; !(cond) && i_ < 1000; i_++)     \
			loop_turn((r)->loop, 10);                \
		assert_true(cond);                               \
	} while (0)

#endif
