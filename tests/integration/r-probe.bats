#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# r-probe - a probe of the runtimes that is killed half way once left the host's root mounted below
# /run, and its control groups: a daemon killed while it starts did that.

load ../lib/harness.bash

setup_file() { harness_up bare; }
teardown_file() { harness_down; }

probe() { timeout 30 "$COFFER_BUILD/containerd-shim-coffer-v1" probe 3>&-; }
# Folders of probes that no living one has locked.
left()
{
	local d
	for d in /run/coffer-probe-* /tmp/coffer-probe-*; do
		[[ ! -d $d ]] || ! flock -n "$d" true || echo "$d"
	done
}

@test "a whole probe finds a runtime and leaves nothing" {
	ok probe
	assert_match '^(runc|crun) ok$'
	[[ -z $(left) ]] || fail "$(left)"
}

@test "a daemon that ends or dies in the middle of one: it comes to its end and leaves nothing" {
	local signal seen=0
	for signal in TERM KILL TERM KILL TERM KILL; do
		coffer_start
		[[ -z $(shims) ]] || seen=$((seen + 1))
		coffer_stop "$signal"
		wait_until 20 no_shims || fail "shims: $(shims)"
		[[ -z $(left) ]] || fail "$signal: $(left)"
	done
	((seen > 0)) || fail "no probe was met"
}

@test "killed at any moment: no mount is left, and the next one takes the rest away" {
	local delay pid
	for delay in 0.01 0.02 0.03 0.05 0.07 0.09 0.12 0.15; do
		"$COFFER_BUILD/containerd-shim-coffer-v1" probe >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "$delay"
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" || true
		run ! grep coffer-probe /proc/self/mountinfo
	done
	ok probe
	[[ -z $(left) ]] || fail "$(left)"
	run ! grep coffer-probe /proc/self/mountinfo
	for pid in $(cat /sys/fs/cgroup/*/coffer-probe-*/cgroup.procs /sys/fs/cgroup/coffer-probe-*/cgroup.procs 2>/dev/null); do
		[[ ! -d /proc/$pid ]] || fail "still runs: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
	done
}
