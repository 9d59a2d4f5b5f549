/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim - what passes between Coffer and its own shim beyond the shim v2 protocol.
 *
 * Start: the supervisor runs, in the bundle, with stdin as the caller gives it (not read),
 *
 *	containerd-shim-coffer-v1 -namespace NS -id ID -address ADDRESS [-publish-binary P] start
 *
 * and reads the address ("unix:///run/coffer/s/0123456789abcdef.sock") from its stdout, until its end.
 * Delete: the same with "delete" (stdout: protobuf containerd.task.v2.DeleteResponse). Environment:
 *
 *	COFFER_STATE	STATE folder: the sockets are STATE/s/<16 hex>.sock and .attach (the
 *			start of the SHA-256 of NS/ID), the OCI
 *			runtime's own state is STATE/runtime/<ns>. Group of the attach socket and the
 *			log: the group of STATE/s. Without it the shim behaves as containerd's do
 *			and has no attach socket.
 *	COFFER_LOG_DIR	ROOT/logs/<ns>/<id>: the container's own process is logged to "log" in there
 *			(made with its parents), in CRI format. Without it: no log.
 *	COFFER_RUNTIME	OCI runtime when Create's options name none: a name in PATH or a path.
 *	COFFER_RUNTIME_TIMEOUT_MS	A call of the OCI runtime is killed after this time (60000), with
 *			all that it started in its process group. Read when the shim starts, and by
 *			each delete, which gives it 15 s at most: give the call 30.
 *
 * The attach socket's path is the address without "unix://" and with ".attach" for ".sock".
 *
 * Create and Exec of a shim that was started with COFFER_STATE:
 *
 *	stdin	""		/dev/null
 *		"attach://"	stays open for attached clients until one of them, or CloseIO, ends it
 *		path		fifo, as containerd's clients have it; attached clients may write as well
 *	stdout,	""		attached clients, and for the container's own process its log
 *	stderr	"attach://"	the same
 *		"cri-log:///path?max-size=BYTES&max-files=N"	(stdout only) another log file
 *		path, "fifo:///path", "file:///path"	that too
 *
 * Without COFFER_STATE "" is /dev/null and "attach://" is refused.
 *
 * With a terminal the OCI spec (or process) must say so too, and there is no stderr.
 * The score for the kernel's OOM killer is inherited from who starts the shim unless the spec
 * sets process.oomScoreAdj: set it.
 *
 * Options (Any, type URL SHIM_OPTIONS_TYPE): binary_name is the OCI runtime, root its state folder,
 * systemd_cgroup, no_pivot_root and no_new_keyring are passed on. io_uid and io_gid own the pipes of the processes;
 * an io_gid that is not root's (a user namespace: root's ids outside) may go through the bundle to its rootfs.
 *
 * Errors that callers tell apart, by class: not_found (no such container or exec), already_exists,
 * failed_precondition (wrong state: "process is running" and such), invalid_argument, unimplemented, and
 * internal or not_found with the OCI runtime's own last words when the runtime failed.
 */
#ifndef CF_TTRPC_SHIM_H
#define CF_TTRPC_SHIM_H

#define SHIM_SERVICE "containerd.task.v2.Task"
#define SHIM_OPTIONS_TYPE "containerd.runc.v1.Options"
#define SHIM_PROCESS_TYPE "types.containerd.io/opencontainers/runtime-spec/1/Process"
#define SHIM_DETAILS_TYPE "containerd.runc.v1.ProcessDetails"

#define SHIM_STDIO_ATTACH "attach://"

#define SHIM_ENV_STATE "COFFER_STATE"
#define SHIM_ENV_LOG_DIR "COFFER_LOG_DIR"
#define SHIM_ENV_RUNTIME "COFFER_RUNTIME"
#define SHIM_ENV_RUNTIME_TIMEOUT "COFFER_RUNTIME_TIMEOUT_MS"

#endif
