#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-tasks - containers and what runs in them: tasks, execs, attach, logs, events, the crew.

load ../lib/harness.bash

setup_file()
{
	harness_up
	ctr images pull "$REG/coffer/busybox:latest"
	export BB=$REG/coffer/busybox:latest CTR=$COFFER_BUILD/ctr
}
teardown_file() { harness_down; }

# A shell that ends well on TERM, with a line each 100 ms.
ticker='trap "echo bye; exit 0" TERM; n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.1; done'

@test "create, with command, environment and mounts; info shows them" {
	ok ctr containers create --env A=1 --mount "type=bind,src=/etc,dst=/host-etc,options=rbind:ro" \
	    "$BB" bt-create -- sleep 100
	ok ctr containers info bt-create
	assert_match '"A=1"'
	assert_match '/host-etc'
	assert_match '"sleep"'
	assert_match "$BB"
	ok ctr containers list
	assert_match '^bt-create .*'
	ok ctr containers delete bt-create
	nothing_left bt-create
}

@test "ctr task start (containerd's word) runs a created container" {
	ok ctr containers create "$BB" bt-word sleep 1000
	ok ctr task start -d bt-word
	is_status bt-word running
	ok ctr c stop --timeout 1 bt-word
	ok ctr c rm bt-word
}

@test "tasks list, and its aliases" {
	ok ctr run -d "$BB" bt-list sleep 1000
	ok ctr tasks list
	assert_match "^bt-list +$(container_pid bt-list) +(RUNNING|running)"
	ok ctr t ls
	assert_match '^bt-list '
	ok ctr tasks list -q
	assert_is bt-list
	[[ $(tr '\0' ' ' <"/proc/$(container_pid bt-list)/cmdline") == "sleep 1000 " ]]
}

@test "tasks kill with a signal, tasks delete gives the exit code" {
	refused 1 'running' ctr tasks delete bt-list
	# USR1 does nothing to the first process of a process namespace that does not handle it.
	ok ctr tasks kill -s USR1 bt-list
	is_status bt-list running
	ok ctr tasks kill -s KILL bt-list
	wait_until 10 is_status bt-list stopped
	run ctr tasks delete bt-list
	[[ $status == 137 || $status == 0 ]] || fail "$status"
	ok ctr tasks list -q
	assert_is ""
	ok ctr containers list -q
	assert_is bt-list
	ok ctr containers delete bt-list
	nothing_left bt-list
}

@test "tasks exec: output, exit code, environment, user, folder, stdin" {
	ok ctr run -d --env COLOUR=green "$BB" bt-exec sleep 1000
	ok ctr tasks exec --exec-id e1 bt-exec sh -c 'echo $COLOUR'
	assert_is green
	run ctr tasks exec --exec-id e2 bt-exec sh -c 'exit 17'
	assert_status 17
	ok ctr tasks exec --exec-id e3 --user alice --cwd /tmp bt-exec sh -c 'id -un; pwd'
	assert_is "$(printf 'alice\n/tmp')"
	run bash -c 'echo through stdin | timeout 30 "$CTR" tasks exec --exec-id e4 bt-exec cat'
	assert_is "through stdin"
	run --separate-stderr ctr tasks exec --exec-id e5 bt-exec sh -c 'echo a; echo b >&2'
	[[ $output == a && $stderr == b ]]
}

@test "exec: an id is made up when none is given" {
	ok ctr c exec bt-exec echo no id
	assert_is "no id"
}

@test "exec -t: a terminal that resizes" {
	run on_terminal --size 90x33 'expect:[#$] ' 'send:stty size\n' 'expect:33 90' 'size:70x11' \
	    'send:sleep 0.3; stty size\n' 'expect:11 70' 'send:exit 12\n' \
	    -- "$CTR" containers exec --exec-id et -t bt-exec sh
	assert_status 12
}

@test "many execs at once" {
	local i pids=() got
	for i in 1 2 3 4 5 6 7 8 9 10; do
		"$CTR" c exec --exec-id "many-$i" bt-exec sh -c "echo e$i; exit $i" >"$T/e.$i" 2>&1 3>&- &
		pids[i]=$!
	done
	for i in "${!pids[@]}"; do
		got=0
		wait "${pids[i]}" || got=$?
		[[ $got == "$i" && $(<"$T/e.$i") == "e$i" ]] || fail "$i: $got $(<"$T/e.$i")"
	done
}

@test "execs leave nothing in the container" {
	ok ctr c exec bt-exec sh -c 'ps | wc -l'
	((output <= 5)) || fail "$(ctr c exec bt-exec ps)"
	ok ctr containers delete --force bt-exec
	nothing_left bt-exec
}

@test "stop: the stop signal, and KILL when that is not heard" {
	local start
	ok ctr run -d "$BB" bt-stop sh -c "$ticker"
	ok ctr containers stop bt-stop
	ok ctr containers logs bt-stop
	assert_match '^bye$'
	ok ctr containers start bt-stop
	ok ctr containers delete --force bt-stop
	ok ctr run -d "$BB" bt-deaf sh -c 'trap "" TERM; while :; do sleep 0.1; done'
	start=$(now_ms)
	ok ctr containers stop --timeout 1 bt-deaf
	(($(now_ms) - start >= 900 && $(now_ms) - start < 8000))
	[[ $(ctr tasks list --format json | jq '.[] | select(.id == "bt-deaf") | .exit_status') == 137 ]]
	ok ctr containers delete bt-deaf
	nothing_left bt-stop bt-deaf
}

@test "attach shows what comes from now on; leaving does not harm" {
	ok ctr run -d "$BB" bt-attach sh -c "$ticker"
	run on_terminal 'expect:tick [0-9]+' 'expect:tick [0-9]+' 'kill:KILL' -- "$CTR" tasks attach bt-attach
	assert_status 137
	is_status bt-attach running
	ok ctr containers delete --force bt-attach
}

@test "two clients attached to one container both see all" {
	ok ctr run -d "$BB" bt-two sh -c "$ticker"
	"$CTR" tasks attach bt-two >"$T/a1" 2>&1 3>&- </dev/null &
	"$CTR" tasks attach bt-two >"$T/a2" 2>&1 3>&- </dev/null &
	wait_until 10 grep -q tick "$T/a1"
	wait_until 10 grep -q tick "$T/a2"
	ok ctr containers stop bt-two
	wait_until 10 grep -q bye "$T/a1"
	wait_until 10 grep -q bye "$T/a2"
	wait
	ok ctr containers delete bt-two
	nothing_left bt-attach bt-two
}

@test "logs: whole, tail, timestamps, follow" {
	ok ctr run -d "$BB" bt-logs sh -c 'for i in 1 2 3 4 5; do echo line $i; done; echo err >&2; sleep 0.5; echo last'
	"$CTR" containers logs -f bt-logs >"$T/follow" 2>&1 3>&- &
	local pid=$!
	wait "$pid"
	[[ $(tail -n 1 "$T/follow") == last ]] || fail "$(<"$T/follow")"
	[[ $(head -n 1 "$T/follow") == "line 1" ]]
	run --separate-stderr ctr containers logs bt-logs
	assert_is "$(printf 'line %d\n' 1 2 3 4 5; echo last)"
	[[ $stderr == err ]]
	ok ctr containers logs --tail 1 bt-logs
	assert_is last
	ok ctr containers logs --tail 0 bt-logs
	assert_is ""
	ok ctr containers logs --timestamps --tail 1 bt-logs
	assert_match '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9:]+) last$'
}

@test "logs on disk are in the CRI format" {
	local f
	f=$(find "$ROOT/logs" -path '*bt-logs*' -name log)
	! grep -vE '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+) (stdout|stderr) [PF] ' "$f" ||
	    fail "$(head "$f")"
	ok ctr containers delete bt-logs
	[[ -z $(find "$ROOT/logs" -path '*bt-logs*') ]]
}

# A last line without its end gets one, as every CRI log reader expects.
@test "logs: long lines and binary come back byte for byte" {
	ok ctr run -d "$BB" bt-long sh -c 'head -c 100000 /dev/zero | tr "\0" x; echo; printf "a\001b\377c\n"; printf "no end"'
	wait_until 10 is_status bt-long stopped
	run bash -c '"$CTR" containers logs bt-long | md5sum'
	assert_is "$( (head -c 100000 /dev/zero | tr '\0' x; echo; printf 'a\001b\377c\n'; printf 'no end\n') | md5sum)"
	ok ctr containers delete bt-long
}

@test "events shows what happens while it happens, in order" {
	"$CTR" events >"$T/events" 2>&1 3>&- &
	local pid=$!
	wait_until 10 event_began
	ok ctr run --rm "$BB" bt-events true
	wait_until 10 grep -q '/containers/delete.*bt-events' "$T/events"
	kill "$pid"
	wait "$pid" || true
	run grep -oE '/(containers|tasks|snapshot)/[a-z-]+' <(grep bt-events "$T/events")
	assert_match /containers/create
	local want
	for want in /tasks/create /tasks/start /tasks/exit /tasks/delete /containers/delete; do
		grep -n "$want" <<<"$output" | head -n 1 | cut -d: -f1 >>"$T/order"
	done
	sort -n -c "$T/order" || fail "$output"
	[[ $(wc -l <"$T/order") == 5 ]] || fail "$output"
}
# Its subscription stands when an event that we make comes out of it.
event_began()
{
	ctr images tag --force "$BB" "example.com/began:v1" && sleep 0.1 && grep -q /images/ "$T/events"
}

@test "workers: state, pid, restarts, requests" {
	ok ctr workers
	local name
	for name in content snapshot task events; do
		assert_match "^$name +.*$(worker_pid "$name")"
	done
	jq -e 'length == 4 and all(.pid > 0)' <<<"$(ctr workers --format json)" >/dev/null
}

@test "pause and resume" {
	ok ctr run -d "$BB" bt-pause sh -c "$ticker"
	ok ctr tasks pause bt-pause
	is_status bt-pause paused
	ok ctr tasks resume bt-pause
	is_status bt-pause running
	ok ctr containers delete --force bt-pause
}

@test "every command has help, with an example; unknown words are refused with a hint" {
	local c
	ok ctr --help
	for c in images containers tasks snapshots content namespaces events workers version run; do
		assert_match "^ +$c"
	done
	for c in "images pull" "images list" "images remove" "containers create" "containers start" \
	    "containers list" "containers info" "containers exec" "containers logs" "containers stop" \
	    "containers kill" "containers delete" run "tasks list" "tasks kill" "tasks delete" \
	    "tasks exec" "tasks attach" "snapshots list" "content list" "namespaces list" events \
	    workers version; do
		# shellcheck disable=SC2086
		ok ctr $c --help
		[[ ${#output} -gt 200 ]] || fail "$c: short help: $output"
		assert_match "ctr .*${c##* }"
	done
	refused 2 'frobnicate' ctr frobnicate
	refused 2 'frobnicate' ctr images frobnicate
	refused 2 '\-\-frob' ctr images list --frob
	refused 2 'IMAGE|image|missing|argument' ctr images pull
}

@test "nothing is left of all this" {
	ok ctr containers list -q
	assert_is ""
	nothing_left bt-
}
