/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step - the step machines behind the methods that change containers, and what they share.
 *
 * Each is an operation (ops.h) whose steps are callbacks of orders, bus calls and shim calls. A step
 * that fails goes to the machine's undo, which ends in op_fail; what each undoes, and where a death in
 * between leaves things, is said in README.md.
 */
#ifndef CF_TASK_STEP_H
#define CF_TASK_STEP_H

#include "workers/task/containers.h"
#include "workers/task/ops.h"
#include "workers/task/runtimes.h"
#include "workers/task/shims.h"
#include "workers/task/tells.h"

/* make.c: container_create. The request is copied. */
void make_container(struct taskd *t, struct call *c, const struct container_create_req *req);

/* run.c */
void run_create(struct taskd *t, struct call *c, const struct task_create_req *req);
void run_start(struct taskd *t, struct call *c, const struct task_ref_req *req);
/* Takes apart what a create that was cut off has left; the row goes with it. */
void run_undo_left(struct box *b);

/* execs.c */
void exec_add(struct taskd *t, struct call *c, const struct task_exec_req *req);

/* drop.c */
void drop_task(struct taskd *t, struct call *c, const struct task_delete_req *req);
void drop_container(struct taskd *t, struct call *c, const struct container_delete_req *req);

/* signals.c */
void signal_kill(struct taskd *t, struct call *c, const struct task_kill_req *req);
void signal_stop(struct taskd *t, struct call *c, const struct task_stop_req *req);
void signal_wait(struct taskd *t, struct call *c, const struct task_ref_req *req);
void signal_pause(struct taskd *t, struct call *c, const char *id, bool on);
void signal_resize(struct taskd *t, struct call *c, const struct task_resize_req *req);
void signal_close_stdin(struct taskd *t, struct call *c, const struct task_ref_req *req);
void signal_pids(struct taskd *t, struct call *c, const char *id);

/* The order, with the box's shim filled in. */
void step_order(struct op *op, enum order_op what, int *fds, unsigned nfds, order_done_fn *done);
/* A bus call in the box's namespace; done gets op. An error at once goes to done, too, from within. */
struct client_call *
step_bus(struct op *op, const struct method *m, const void *req, client_done_fn *done);
/* shim_call with op as its argument. */
void step_shim(struct op *op, const char *method, uint64_t timeout_ms, const ProtobufCMessage *req,
    const ProtobufCMessageDescriptor *rep_type, ttrpc_done_fn *done);

/* A user_resolve_rep as numbers, checked. */
struct oci_user;
int step_take_user(const void *rep, struct oci_user *u, struct err *e);

/* "container x has no task", "container x has no exec y". */
int step_no_proc(const char *id, const char *exec_id, struct err *e);

/*
 * What the runtime says about a command that cannot be run, in classes a script can tell apart: not_found
 * (a shell's 127) and permission_denied (126), "exec: " in front. Other errors stay as they are.
 */
void step_exec_error(struct err *e);

#endif
