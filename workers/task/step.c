/* SPDX-License-Identifier: Apache-2.0 */
/* step - see step.h */
#include "workers/task/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/oci/passwd.h"

void
step_order(struct op *op, enum order_op what, int *fds, unsigned nfds, order_done_fn *done)
{
	struct order o;

	order_init(&o, what, op->box->ns, op->box->id);
	(void)snprintf(o.runtime, sizeof(o.runtime), "%s", op->box->shim);
	(void)orders_send(op->t->orders, &o, fds, nfds, done, op);
}

struct client_call *
step_bus(struct op *op, const struct method *m, const void *req, client_done_fn *done)
{
	struct client_opts opts = { .ns = op->box->ns };
	struct client_call *call = NULL;
	struct err e = ERR_ZERO;

	if (client_call(op->t->bus, m, &opts, req, done, op, &call, &e) < 0) {
		done(op, NULL, &e);
		return NULL;
	}
	return call;
}

void
step_shim(struct op *op, const char *method, uint64_t timeout_ms, const ProtobufCMessage *req,
    const ProtobufCMessageDescriptor *rep_type, ttrpc_done_fn *done)
{
	(void)shim_call(op->box, method, timeout_ms, req, rep_type, done, op);
}

int
step_no_proc(const char *id, const char *exec_id, struct err *e)
{
	char shown[2][96];

	(void)ident_show(id, shown[0], sizeof(shown[0]));
	if (exec_id == NULL || exec_id[0] == '\0')
		return err_set(e, ERR_NOT_FOUND, "container \"%s\" has no task", shown[0]);
	return err_set(e, ERR_NOT_FOUND, "container \"%s\" has no exec \"%s\"", shown[0],
	    ident_show(exec_id, shown[1], sizeof(shown[1])));
}

int
step_take_user(const void *record, struct oci_user *u, struct err *e)
{
	const struct user_resolve_rep *rep = record;

	*u = (struct oci_user){ .uid = (uint32_t)rep->uid, .gid = (uint32_t)rep->gid };
	if (rep->uid > OCI_ID_MAX || rep->gid > OCI_ID_MAX || rep->gids.n > OCI_GIDS_MAX)
		return err_set(e, ERR_INTERNAL, "user_resolve: numbers out of range");
	for (uint32_t i = 0; i < rep->gids.n; i++)
		u->gids[u->ngids++] = (uint32_t)strtoul(rep->gids.v[i], NULL, 10);
	return 0;
}

/* runc: exec: "x": executable file not found in $PATH; exec: "/x": stat /x: no such file or directory;
 * crun: executable file `x` not found in $PATH: No such file or directory; open executable: ... */
void
step_exec_error(struct err *e)
{
	static const char *const about[] = { "exec: ", "executable", "exec format",
		"starting container process" };
	bool of_exec = false;

	for (size_t i = 0; i < COUNT(about); i++)
		of_exec = of_exec || strstr(e->msg, about[i]) != NULL;
	if (!of_exec)
		return;
	if (strcasestr(e->msg, "not found") != NULL ||
	    strcasestr(e->msg, "no such file or directory") != NULL)
		e->code = ERR_NOT_FOUND;
	else if (strcasestr(e->msg, "permission denied") != NULL ||
		 strcasestr(e->msg, "exec format error") != NULL ||
		 strcasestr(e->msg, "is a directory") != NULL)
		e->code = ERR_PERMISSION_DENIED;
	else
		return;
	if (strncmp(e->msg, "exec: ", 6) != 0)
		(void)err_wrap(e, "exec");
}
