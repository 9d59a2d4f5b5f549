#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# f-supervisor - the whole daemon killed at every named place of the supervisor, in the middle of what
# a caller waits for, and started again as a service manager does. Callers do not notice, nothing is left.

load ../lib/harness.bash

setup_file()
{
	export COFFER_BUILD=$harness_top/build/release-fault
	harness_scratch
	export COFFER_FAULTS=@$T/faults
	: >"$T/faults"
	chmod 1777 "$T"
	registry_start main "$COFFER_FIXTURES/registry"
	export REG=127.0.0.1:$REGISTRY_MAIN_PORT BB=127.0.0.1:$REGISTRY_MAIN_PORT/coffer/busybox:latest
	# Started again whenever it dies, until $T/enough is there.
	setsid bash -c 'while [[ ! -e $T/enough ]]; do
		"$COFFER_BUILD/cofferd" --root "$ROOT" --state "$STATE" </dev/null &
		echo $! >"$T/cofferd.pid"
		wait
		sleep 0.05
	done' </dev/null >>"$T/cofferd.log" 2>&1 3>&- &
	disown $!
	wait_until 20 coffer_ready
	ok ctr images pull "$BB"
}
teardown_file()
{
	: >"$T/enough"
	harness_down
}

points()
{
	grep -rhoE 'FAULT_POINT\("[^"]+"\)' --include='*.c' "$harness_top/supervisor" |
	    sed -E 's/.*"(.*)".*/\1/' | sort -u
}

arm() { echo "$1=once:kill" >"$T/faults.new" && chmod 644 "$T/faults.new" && mv "$T/faults.new" "$T/faults"; }
hit() { [[ -e $T/faults.$1 ]]; }
new_daemon() { [[ $(coffer_pid) != "$1" ]] && coffer_ready; }

# again COMMAND...: as ok; one that was typed while there was no daemon at all is typed once more
again()
{
	run --separate-stderr "$@"
	if [[ $stderr == *'is it running'* ]]; then
		wait_until 20 coffer_ready
		run --separate-stderr "$@"
	fi
	assert_status 0
}

life()
{
	again ctr containers create "$BB" fs-life sh -c 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done' || return 1
	again ctr containers start fs-life || return 1
	again ctr containers exec --exec-id e fs-life echo three || return 1
	assert_is three || return 1
	again ctr containers stop --timeout 5 fs-life || return 1
	again ctr containers logs fs-life || return 1
	assert_has up || return 1
	again ctr containers delete fs-life
}

@test "the daemon killed once at each point of the supervisor" {
	local p pid bad=""
	for p in $(points); do
		pid=$(coffer_pid)
		arm "$p"
		case $p in
		supervisor.folders.*) kill -KILL "$pid" && wait_until 10 hit "$p" ;;
		supervisor.worker.*) kill -KILL "$(worker_pid events)" && wait_until 10 hit "$p" ;;
		esac
		wait_until 20 coffer_ready
		if ! life >"$T/out.$p" 2>&1; then
			bad+="$p: $(tail -n 3 "$T/out.$p" | tr '\n' ' ')"$'\n'
			: >"$T/faults"
			ctr containers delete --force fs-life >/dev/null 2>&1 || true
		fi
		wait_until 10 hit "$p" || bad+="$p: was not passed"$'\n'
		: >"$T/faults"
		wait_until 20 new_daemon "$pid" || bad+="$p: not ready again"$'\n'
		wait_until 10 nothing_left fs-life ||
		    bad+="$p: left behind: $(nothing_left fs-life 2>&1 | tail -n 2)"$'\n'
	done
	[[ -z $bad ]] || fail "$bad"
}
