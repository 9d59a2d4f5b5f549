#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-run - ctr run: what runs is what was asked for, and ctr behaves as the command itself would.

load ../lib/harness.bash

setup_file()
{
	harness_up
	ctr images pull "$REG/coffer/busybox:latest"
	ctr images pull "$REG/coffer/config:latest"
	export BB=$REG/coffer/busybox:latest
	CTR=$COFFER_BUILD/ctr
	export CTR
}
teardown_file() { harness_down; }

@test "output goes to stdout and stderr, exit codes are passed on" {
	run --separate-stderr ctr run --rm "$BB" br-out sh -c 'echo out; echo err >&2; exit 3'
	assert_status 3
	assert_is out
	[[ $stderr == err ]] || fail "$stderr"
	nothing_left br-out
}

@test "every exit code is itself, signals are 128 and more" {
	local code
	for code in 0 1 2 77 125 126 127 255; do
		run "-$code" ctr run --rm "$BB" br-code sh -c "exit $code"
	done
	run ctr run --rm "$BB" br-code sh -c 'kill -TERM $$; sleep 5'
	[[ $status == 143 || $status == 0 ]] || fail "$status"
	run ctr run --rm "$BB" br-code sh -c 'sh -c "kill -9 \$\$"; exit $?'
	assert_status 137
	nothing_left br-code
}

@test "the image's entrypoint, command, user, groups, folder and environment hold" {
	ok ctr run --rm "$REG/coffer/config:latest" br-config
	assert_is "$(printf '%s\n' 'args: one two' 'user: 1234:1235 groups: 1235 40' \
	    'cwd: /home/alice/work' 'colour: blue' 'home: /home/alice')"
}

@test "words behind the name replace the command, not the entrypoint" {
	ok ctr run --rm "$REG/coffer/config:latest" br-args three four
	assert_match '^args: one three four$'
}

@test "--env, --cwd, --user, --hostname, --read-only" {
	ok ctr run --rm --env COLOUR=red --env EXTRA=1 --cwd /tmp --user daemon --hostname box \
	    "$BB" br-flags sh -c 'echo $COLOUR $EXTRA $(pwd) $(id -un) $(hostname)'
	assert_is "red 1 /tmp daemon box"
	run ctr run --rm --read-only "$BB" br-flags touch /file
	[[ $status != 0 ]]
	assert_match 'Read-only'
	ok ctr run --rm --user 77:88 "$BB" br-flags id -u
	assert_is 77
}

@test "--mount binds, read-only when asked" {
	mkdir -p "$T/share"
	echo shared >"$T/share/file"
	ok ctr run --rm --mount "type=bind,src=$T/share,dst=/mnt/in,options=rbind:ro" "$BB" br-mount \
	    sh -c 'cat /mnt/in/file; touch /mnt/in/x 2>&1 || true'
	assert_match '^shared$'
	assert_match 'Read-only'
	ok ctr run --rm --mount "type=bind,src=$T/share,dst=/mnt/in,options=rbind:rw" "$BB" br-mount \
	    touch /mnt/in/made
	[[ -e $T/share/made ]]
}

@test "a network of its own unless --net-host" {
	ok ctr run --rm "$BB" br-net sh -c 'ls /sys/class/net; readlink /proc/self/ns/net'
	assert_match '^lo$'
	assert_hasnt "$(readlink /proc/self/ns/net)"
	ok ctr run --rm --net-host "$BB" br-net readlink /proc/self/ns/net
	assert_is "$(readlink /proc/self/ns/net)"
}

@test "what containers get by default: few capabilities, masked paths, seccomp, no new privileges" {
	ok ctr run --rm "$BB" br-safe cat /proc/1/status
	assert_match '^CapEff:.00000000a80425fb'
	assert_match '^Seccomp:.2'
	run ctr run --rm "$BB" br-safe sh -c 'cat /proc/kcore | head -c 1 | wc -c; mount -t tmpfs x /mnt'
	[[ $status != 0 ]]
	assert_match '^0'
	ok ctr run --rm "$BB" br-safe sh -c 'ls /dev | tr "\n" " "'
	assert_hasnt mem
	ok ctr run --rm --privileged "$BB" br-safe cat /proc/1/status
	assert_match '^Seccomp:.0'
}

@test "nothing of ours is inherited by a container" {
	ok ctr run --rm "$BB" br-fds sh -c 'ls -l /proc/self/fd | grep -c coffer || true'
	assert_is 0
	ok ctr run --rm "$BB" br-fds sh -c 'ls /proc/1/fd; true'
	assert_is "$(printf '0\n1\n2')"
	ok ctr run --rm "$BB" br-fds env
	assert_hasnt COFFER
	assert_hasnt NOTIFY_SOCKET
}

@test "stdin is passed on, and its end" {
	run --separate-stderr bash -c 'printf "a\nb\nc\n" | "$CTR" run --rm "$BB" br-stdin wc -l'
	assert_status 0
	assert_match '^ *3$'
	run bash -c 'head -c 5000000 /dev/zero | timeout 30 "$CTR" run --rm "$BB" br-stdin wc -c'
	assert_is 5000000
}

@test "a lot of output comes whole and in order" {
	ok ctr run --rm "$BB" br-much seq 1 200000
	[[ $(md5sum <<<"$output") == $(seq 1 200000 | md5sum) ]]
	run bash -c 'timeout 60 "$CTR" run --rm "$BB" br-much head -c 30000000 /dev/zero | wc -c'
	assert_is 30000000
}

@test "output into a closed pipe does not hang anything" {
	run timeout 30 bash -c '"$CTR" run --rm "$BB" br-pipe seq 1 1000000 | head -n 1'
	assert_match '^1$'
	wait_until 10 no_container br-pipe
	nothing_left br-pipe
}
no_container() { ! ctr containers list -q | grep -qx "$1"; }

@test "-d gives the prompt back; the container runs on" {
	ok ctr run -d "$BB" br-daemon sleep 1000
	is_status br-daemon running
	ok ctr containers delete --force br-daemon
	nothing_left br-daemon
}

@test "-d --rm: gone when it has ended" {
	ok ctr run -d --rm "$BB" br-drm sh -c 'exit 4'
	wait_until 10 no_container br-drm
	nothing_left br-drm
}

@test "without --rm the container stays, with its exit code" {
	run ctr run "$BB" br-stay sh -c 'echo stays; exit 5'
	assert_status 5
	ok ctr tasks list --format json
	[[ $(jq -r '.[] | select(.id == "br-stay") | .exit_status' <<<"$output") == 5 ]]
	ok ctr containers logs br-stay
	assert_has stays
	ok ctr containers start br-stay
	wait_until 10 is_status br-stay stopped
	ok ctr containers delete br-stay
	nothing_left br-stay
}

@test "-t: a terminal, with its size, that resizes" {
	run on_terminal --size 101x37 'expect:[#$] ' 'send:stty size; tty\n' 'expect:37 101' \
	    'expect:/dev/' 'size:64x20' 'send:sleep 0.3; stty size\n' 'expect:20 64' 'send:exit 6\n' \
	    -- "$CTR" run --rm -t "$BB" br-tty sh
	assert_status 6
	nothing_left br-tty
}

@test "-t: Ctrl-C goes to the container's foreground process, not to ctr" {
	# The word comes from the command, which the shell has given the terminal to by then.
	run on_terminal 'expect:[#$] ' 'send:sh -c "echo sl\\"\\"eeps; exec sleep 1000"\n' 'expect:sleeps' 'send:\x03' \
	    'expect:[#$] ' 'send:echo al""ive; exit 9\n' 'expect:alive' \
	    -- "$CTR" run --rm -t "$BB" br-ctrlc sh
	assert_status 9
}

@test "-t: ctr leaves the terminal as it was" {
	run on_terminal 'expect:before' 'expect:after' -- bash -c \
	    'stty -g; echo before; "$CTR" run --rm -t "$BB" br-stty true; stty -g; echo after'
	assert_status 0
	run bash -c 'grep -aoE "[0-9a-f]+(:[0-9a-f]+){10,}" <<<"$1" | sort -u | wc -l' bash "$output"
	assert_is 1
}

@test "without -t: INT and TERM are passed on to the container" {
	local sig
	for sig in INT TERM; do
		run on_terminal 'expect:ready' "kill:$sig" 'expect:got it' -- "$CTR" run --rm "$BB" br-sig \
		    sh -c "trap 'echo got it; exit 33' $sig; echo ready; while :; do sleep 0.1; done"
		assert_status 33
	done
	nothing_left br-sig
}

@test "without -t: Ctrl-C on the terminal too" {
	run on_terminal 'expect:ready' 'send:\x03' 'expect:got it' -- "$CTR" run --rm "$BB" br-sig \
	    sh -c "trap 'echo got it; exit 34' INT; echo ready; while :; do sleep 0.1; done"
	assert_status 34
	nothing_left br-sig
}

@test "ctr killed: the container goes on and can be found" {
	"$CTR" run "$BB" br-orphan sh -c 'while :; do echo tick; sleep 0.1; done' >"$T/orphan.out" 2>&1 3>&- &
	local pid=$!
	wait_until 10 grep -q tick "$T/orphan.out"
	kill -9 "$pid"
	wait "$pid" || true
	is_status br-orphan running
	ok ctr containers delete --force br-orphan
	nothing_left br-orphan
}

@test "--runtime runc is used; one that is not there is refused" {
	ok ctr run --rm --runtime runc "$BB" br-runc echo runc
	assert_is runc
	refused 125 'nosuchruntime' ctr run --rm --runtime nosuchruntime "$BB" br-nort true
	nothing_left br-nort
}

@test "--runtime crun where it works" {
	if ! ctr run --rm --runtime crun "$BB" br-crun true; then
		skip "crun does not work on this host: $(ctr run --rm --runtime crun "$BB" br-crun true 2>&1 | head -c 200)"
	fi
	ok ctr run --rm --runtime crun "$BB" br-crun echo crun
	assert_is crun
	nothing_left br-crun
}

@test "limits: memory and processes" {
	local dir
	ok ctr run -d --memory-limit 64m "$BB" br-limit sleep 1000
	dir=$(sed -n 's/^[0-9]*:memory:\(.*\)/\/sys\/fs\/cgroup\/memory\1\/memory.limit_in_bytes/p;s/^0::\(.*\)/\/sys\/fs\/cgroup\1\/memory.max/p' \
	    "/proc/$(container_pid br-limit)/cgroup" | while read -r f; do [[ -e $f ]] && echo "$f"; done | head -n 1)
	[[ -n $dir && $(<"$dir") == $((64 * 1024 * 1024)) ]] || fail "$dir: $(cat "$dir")"
	ok ctr containers delete --force br-limit
	nothing_left br-limit
}

@test "ten at once, each with its own answer" {
	local i pids=()
	for i in 0 1 2 3 4 5 6 7 8 9; do
		"$CTR" run --rm "$BB" "br-many-$i" sh -c "echo answer $i; exit $i" >"$T/many.$i" 2>&1 3>&- &
		pids+=($!)
	done
	for i in 0 1 2 3 4 5 6 7 8 9; do
		local got=0
		wait "${pids[i]}" || got=$?
		[[ $got == "$i" && $(<"$T/many.$i") == "answer $i" ]] || fail "$i: $got $(<"$T/many.$i")"
	done
	nothing_left br-many
}
