/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control - what passes between the supervisor and its workers, over a SOCK_SEQPACKET pair.
 *
 * Fixed-size structs of one build: both ends are installed together and the supervisor checks version
 * and size. The supervisor trusts no field: every string must end inside its array, names must be
 * idents, and paths are made by the supervisor from them, never taken.
 *
 * A worker inherits exactly:
 *	0,1,2	/dev/null, the daemon's stderr twice
 *	3	this socket
 *	4	its listening mailbox socket
 *	5	its board, writable
 * and its arguments: --root DIR --state DIR --log-level L --log-format F --uid N --gid N --groups N,...
 * --crew N,... [-o KEY=VALUE]...  --crew: the users of all workers, in the order of procs.def.
 * KEY=VALUE are the lines of the worker's section of the config, as written there.
 *
 * Worker -> supervisor: CONTROL_READY once, then, from task only, struct order.
 * Supervisor -> worker: struct order_reply per order, in any order of completion. End of file: exit.
 */
#ifndef CF_SUPERVISOR_CONTROL_H
#define CF_SUPERVISOR_CONTROL_H

#include <stdint.h>

#define CONTROL_FD 3
#define MAILBOX_FD 4
#define BOARD_FD 5

#define CONTROL_VERSION 1
#define ORDER_NAME_MAX 80
#define ORDER_RUNTIME_MAX 256
#define ORDER_ADDRESS_MAX 108
#define ORDER_DATA_MAX 16384 /* most bytes of a shim's answer that are passed on */

enum order_op {
	CONTROL_READY = 1,
	/*
	 * Makes STATE/bundles/<ns>/<id>/ (root, 0700) with config.json from fds[0] (a sealed memfd, at
	 * most 8 MiB) and an empty rootfs/, then runs the shim's start call in it: its stdin is fds[1]
	 * (a memfd: options), its stdout comes back as data. Fails with already_exists when the bundle is
	 * there. When the start call fails the bundle is removed again.
	 */
	ORDER_SHIM_START,
	/* Connects to address (a Unix socket of a shim: below STATE/s or /run/containerd/s, owned by
	 * root); the descriptor comes back. */
	ORDER_SHIM_CONNECT,
	/* Runs the shim's delete call in the bundle: ends what is left of the container, first the shim
	 * itself should it live; stdout comes back as data. not_found when there is no bundle. */
	ORDER_SHIM_DELETE,
	/* Undoes mounts below the bundle and removes it. Success when there is none. */
	ORDER_BUNDLE_REMOVE,
	/* Removes ROOT/logs/<ns>/<id>/. Success when there is none. */
	ORDER_LOGS_REMOVE,
	/* Asks our shim which OCI runtimes work here ("containerd-shim-coffer-v1 probe"): data is its
	 * stdout, lines "runc ok" or "crun failed: its words". */
	ORDER_RUNTIME_PROBE,
	/* Sends signo to the process of fds[0] (a pidfd); for shims that hang. */
	ORDER_SHIM_KILL,
	/* A container or exec is about to be started: our shim lets the kernel make ready for a process to
	 * change its control group ("containerd-shim-coffer-v1 ready"). */
	ORDER_MAKE_READY
};

struct order {
	uint32_t version, size; /* CONTROL_VERSION, sizeof(struct order) */
	uint32_t op;
	uint32_t signo;
	uint64_t seq;	     /* chosen by the worker, given back in the reply */
	uint32_t timeout_ms; /* for the calls of shims; 0 = 30 s */
	uint32_t unused;
	char ns[ORDER_NAME_MAX], id[ORDER_NAME_MAX];
	char runtime[ORDER_RUNTIME_MAX]; /* io.containerd.NAME.vN, or the absolute path of a shim */
	char address[ORDER_ADDRESS_MAX];
};

struct order_reply {
	uint32_t version, size; /* of the whole packet, data included */
	uint64_t seq;
	uint32_t code;	     /* enum err_code; 0 = fine */
	int32_t exit_status; /* of the shim's call */
	uint32_t pid;	     /* unused: 0 */
	uint32_t data_len;
	char message[512]; /* when code != 0: what was wrong, with the shim's last stderr line */
	unsigned char data[];
};

#endif
