#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# f-restart - kill -9 of any worker, or of the whole daemon, at any time: running containers go on,
# their logs and exit codes are kept, what was asked for is answered, the next command works.

load ../lib/harness.bash

setup_file()
{
	harness_up
	ctr images pull "$REG/coffer/busybox:latest"
	export BB=$REG/coffer/busybox:latest CTR=$COFFER_BUILD/ctr
}
teardown_file() { harness_down; }

workers=(content snapshot task events)
counter='n=0; while [ $n -lt 2000 ]; do n=$((n+1)); echo tick $n; sleep 0.02; done'

# kill_daemon: everything of it at once, shims not; then a new one
kill_daemon()
{
	local pids
	mapfile -t pids < <(crew)
	kill -KILL "${pids[@]}"
	wait_until 10 no_crew
	coffer_start
}
# strike WHAT: a worker, "daemon", or "supervisor" (its workers end by themselves)
strike()
{
	case $1 in
	daemon) kill_daemon ;;
	supervisor) coffer_stop KILL && coffer_start ;;
	*) kill_worker "$1" ;;
	esac
}
# no_gaps FILE: the ticks in it are 1, 2, 3, ...
no_gaps()
{
	local got want
	got=$(grep -o 'tick [0-9]*' "$1" | cut -d ' ' -f 2)
	want=$(seq 1 "$(tail -n 1 <<<"$got")")
	[[ $got == "$want" ]] || fail "$(diff <(echo "$got") <(echo "$want") | head -n 5)"
}
logs_reach() { ctr containers logs "$1" | grep -qx "tick $2"; }

each_worker_while_running()
{
	local what pid n=1
	ok ctr run -d "$BB" fr-run sh -c "$counter"
	pid=$(container_pid fr-run)
	for what in "${workers[@]}" supervisor daemon; do
		strike "$what" || fail "$what did not come back"
		is_status fr-run running || fail "after the death of $what: $(task_status fr-run)"
		[[ $(container_pid fr-run) == "$pid" ]] || fail "another process after $what"
		n=$(($(ctr containers logs fr-run | grep -c tick) + 10))
		wait_until 10 logs_reach fr-run "$n" || fail "logs stand still after $what"
		ok ctr containers exec --exec-id "e-$what" fr-run echo alive
		assert_is alive
		ok ctr run --rm "$BB" fr-next echo next
		assert_is next
	done
	ctr containers logs fr-run >"$T/log"
	no_gaps "$T/log"
	ok ctr containers stop --timeout 1 fr-run
	ok ctr containers delete fr-run
	nothing_left fr-run fr-next
}
@test "while a container runs: it goes on, logs have no gap, exec and run work" {
	each_worker_while_running
}

@test "the exit code of a container that ended while the daemon was dead" {
	local what
	for what in task supervisor daemon; do
		ok ctr run -d "$BB" "fr-exit-$what" sh -c 'while [ ! -e /go ]; do sleep 0.02; done; echo end; exit 41'
		case $what in
		task)
			ok ctr containers exec --exec-id go "fr-exit-$what" touch /go
			kill_worker task
			;;
		*)
			local root
			root=/proc/$(container_pid "fr-exit-$what")/root
			if [[ $what == daemon ]]; then
				mapfile -t pids < <(crew)
				kill -KILL "${pids[@]}"
			else
				coffer_stop KILL
			fi
			wait_until 10 no_crew
			touch "$root/go"
			wait_until 10 gone "$(pgrep -f 'while.*-e /go' | head -n 1)" || true
			coffer_start
			;;
		esac
		wait_until 10 is_status "fr-exit-$what" stopped
		[[ $(ctr tasks list --format json | jq --arg id "fr-exit-$what" \
		    '.[] | select(.id == $id) | .exit_status') == 41 ]] || fail "$what: $(ctr tasks list)"
		ok ctr containers logs "fr-exit-$what"
		assert_is end
		ok ctr containers delete "fr-exit-$what"
	done
	nothing_left fr-exit
}

@test "ctr run in the foreground does not notice a worker's death" {
	local what
	for what in "${workers[@]}"; do
		"$CTR" run --rm "$BB" "fr-fg-$what" sh -c 'for i in $(seq 1 50); do echo tick $i; sleep 0.02; done; exit 9' \
		    >"$T/fg" 2>"$T/fg.err" 3>&- &
		local pid=$! status=0
		wait_until 10 grep -q 'tick 5' "$T/fg"
		kill_worker "$what"
		wait "$pid" || status=$?
		[[ $status == 9 ]] || fail "$what: $status: $(<"$T/fg.err")"
		no_gaps "$T/fg"
		[[ $(tail -n 1 "$T/fg") == "tick 50" ]] || fail "$(tail -n 1 "$T/fg")"
	done
	nothing_left fr-fg
}

@test "ctr run in the foreground outlives the whole daemon's death and rebirth" {
	"$CTR" run --rm "$BB" fr-fgd sh -c 'for i in $(seq 1 100); do echo tick $i; sleep 0.02; done; exit 8' \
	    >"$T/fg" 2>"$T/fg.err" 3>&- &
	local pid=$! status=0
	wait_until 10 grep -q 'tick 5' "$T/fg"
	kill_daemon
	wait "$pid" || status=$?
	[[ $status == 8 ]] || fail "$status: $(<"$T/fg.err")"
	no_gaps "$T/fg"
	nothing_left fr-fgd
}

@test "exec goes on, with its exit code" {
	local what pid status
	ok ctr run -d "$BB" fr-exec sleep 1000
	for what in "${workers[@]}" daemon; do
		"$CTR" containers exec --exec-id "x-$what" fr-exec \
		    sh -c 'for i in $(seq 1 50); do echo tick $i; sleep 0.02; done; exit 6' >"$T/ex" 2>&1 3>&- &
		pid=$! status=0
		wait_until 10 grep -q 'tick 5' "$T/ex"
		strike "$what"
		wait "$pid" || status=$?
		[[ $status == 6 ]] || fail "$what: $status: $(tail -n 2 "$T/ex")"
		[[ $(tail -n 1 "$T/ex") == "tick 50" ]] || fail "$what: $(tail -n 1 "$T/ex")"
	done
	ok ctr containers delete --force fr-exec
	nothing_left fr-exec
}

@test "logs -f goes on, without a gap" {
	local what pid
	for what in task daemon; do
		ok ctr run -d "$BB" fr-logs sh -c 'for i in $(seq 1 80); do echo tick $i; sleep 0.02; done'
		"$CTR" containers logs -f fr-logs >"$T/lf" 2>"$T/lf.err" 3>&- &
		pid=$!
		wait_until 10 grep -q 'tick 5' "$T/lf"
		strike "$what"
		wait "$pid" || fail "$what: $? $(<"$T/lf.err")"
		no_gaps "$T/lf"
		[[ $(tail -n 1 "$T/lf") == "tick 80" ]] || fail "$what: $(tail -n 1 "$T/lf")"
		ok ctr containers delete fr-logs
	done
	nothing_left fr-logs
}

@test "a pull goes on where it was" {
	local what pid status
	evil_start
	for what in content snapshot daemon; do
		"$CTR" images pull "$EVIL/slow/big:latest" >"$T/pull" 2>&1 3>&- &
		pid=$! status=0
		# Some megabytes of it are there.
		wait_until 30 ingested 1500000
		strike "$what"
		# The rest at full speed, from another name of the same server: same blobs.
		ok ctr images pull "$EVIL/ok/big:latest"
		kill -INT "$pid" 2>/dev/null || true
		wait "$pid" || status=$?
		ok ctr run --rm "$EVIL/ok/big:latest" fr-pull sh -c 'cat /big-* | md5sum'
		local sum=$output
		ok ctr images remove "$EVIL/ok/big:latest"
		ctr images remove "$EVIL/slow/big:latest" >/dev/null 2>&1 || true
		[[ -z ${first-} || $sum == "$first" ]] || fail "$what: other content"
		local first=$sum
	done
	(($(evil_seen 'GET /v2/.*/blobs/.* bytes=[1-9]') >= 1)) || fail "it began anew each time"
	evil_stop
	nothing_left fr-pull
}
ingested() { (($(du -sb "$ROOT/content/ingest" | cut -f 1) > $1)); }

@test "a pull whose worker dies ends well for who asked for it" {
	local what pid
	evil_start
	for what in content snapshot events; do
		"$CTR" images pull "$EVIL/slow/layers:latest" >"$T/pull" 2>&1 3>&- &
		pid=$!
		wait_until 30 ingested 200000
		kill_worker "$what"
		wait "$pid" || fail "$what: $? $(tail -n 3 "$T/pull")"
		ok ctr run --rm "$EVIL/slow/layers:latest" fr-slow cat /data/back
		assert_is three
		# Its blobs go with its name: the next one downloads again.
		ok ctr images remove "$EVIL/slow/layers:latest"
	done
	evil_stop
	nothing_left fr-slow
}

@test "events: a subscriber misses nothing and sees nothing twice, whoever dies" {
	local what round=0 n pid
	"$CTR" events --format json >"$T/ev" 2>"$T/ev.err" 3>&- &
	pid=$!
	wait_until 10 event_began
	for what in "${workers[@]}"; do
		round=$((round + 1))
		ok ctr run --rm "$BB" "fr-ev-$round-a" true
		kill_worker "$what"
		ok ctr run --rm "$BB" "fr-ev-$round-b" true
	done
	wait_until 10 grep -q 'fr-ev-4-b.*' "$T/ev" || fail "$(tail -n 3 "$T/ev")" "$(<"$T/ev.err")" "$(ctr workers)"
	wait_until 10 last_event
	kill "$pid"
	wait "$pid" || true
	for n in 1-a 1-b 2-a 2-b 3-a 3-b 4-a 4-b; do
		[[ $(grep -c "/tasks/exit.*fr-ev-$n\|fr-ev-$n.*/tasks/exit" "$T/ev") == 1 ]] ||
		    fail "$n: $(grep -c "/tasks/exit.*fr-ev-$n" "$T/ev") exits"
	done
	jq -s '[.[].seq] | . == [range(.[0]; .[0] + length)]' "$T/ev" | grep -qx true || fail "gaps"
}
event_began() { ctr images tag --force "$BB" example.com/began:v1 && grep -q /images/ "$T/ev"; }
last_event() { grep '/containers/delete' "$T/ev" | grep -q 'fr-ev-4-b'; }

@test "a worker that hangs is found out and replaced" {
	local pid
	pid=$(worker_pid events)
	kill -STOP "$pid"
	wait_until 60 worker_is_new events "$pid"
	ok ctr workers
}

@test "a worker that is killed again and again comes back each time, ever more slowly" {
	local n before
	for n in 1 2 3 4; do
		kill_worker events || fail "death $n"
	done
	ok ctr events --help
	before=$(ctr workers --format json | jq '.[] | select(.name == "events") | .restarts')
	((before >= 4)) || fail "restarts: $before"
	ok ctr run --rm "$BB" fr-again echo fine
}

@test "SIGTERM: containers run on; after the start they are there again" {
	local pid
	ok ctr run -d "$BB" fr-term sh -c "$counter"
	pid=$(container_pid fr-term)
	coffer_stop TERM
	! gone "$pid" || fail "the container died with the daemon"
	[[ -n $(shims) ]]
	coffer_start
	is_status fr-term running
	[[ $(container_pid fr-term) == "$pid" ]]
	ctr containers logs fr-term >"$T/log"
	no_gaps "$T/log"
	ok ctr containers delete --force fr-term
	nothing_left fr-term
}

@test "the shim killed: the container is seen as ended and can be deleted and started" {
	local shim pid
	ok ctr run -d "$BB" fr-shim sleep 1000
	pid=$(container_pid fr-shim)
	shim=$(sed -n 's/^PPid:\t//p' "/proc/$pid/status")
	[[ $(readlink "/proc/$shim/exe") == *containerd-shim* ]]
	kill -KILL "$shim"
	wait_until 15 is_status fr-shim stopped
	wait_until 10 gone "$pid"
	ok ctr containers delete fr-shim
	nothing_left fr-shim
	ok ctr run --rm "$BB" fr-shim echo again
	assert_is again
}

@test "nothing is left of all this" {
	ok ctr containers list -q
	assert_is ""
	nothing_left fr-
}
