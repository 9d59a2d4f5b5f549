#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-bad-input - what people and programs get wrong: one clear line, the right exit code, the state
# unchanged, nothing left, the same workers.

load ../lib/harness.bash

setup_file()
{
	harness_up
	ctr images pull "$REG/coffer/busybox:latest"
	ctr images pull "$REG/coffer/config:latest"
	export BB=$REG/coffer/busybox:latest KEEP=ci-there
	ctr run -d "$BB" ci-there sleep 10000
	state_now >"$T/state.before"
	workers_now >"$T/workers.before"
}
teardown_file() { harness_down; }

one_shim() { [[ $(shims | wc -l) == 1 ]]; }
unharmed()
{
	state_now >"$T/state.now"
	diff "$T/state.before" "$T/state.now" >&2 || fail "the state changed" || return 1
	[[ $(workers_now) == "$(<"$T/workers.before")" ]] || fail "workers: $(workers_now)" || return 1
	# A daemon that just began tries the runtimes, by the shim's program too.
	wait_until 5 one_shim || fail "shims: $(shims)" || return 1
	[[ $(ls "$STATE/bundles/default") == ci-there ]] || fail "bundles: $(ls "$STATE/bundles/default")"
}
no() { refused "$@" && unharmed; }

@test "an image that is not there" {
	no 1 'no-such-image' ctr containers create example.com/no-such-image:latest ci-new
	no 125 'example.com' ctr run --rm example.com/no-such-image:latest ci-new
	no 1 'no-such-image' ctr images remove example.com/no-such-image:latest
	no 1 'no-such-image' ctr images tag example.com/no-such-image:latest x:y
}

@test "a container that is not there" {
	local verb
	for verb in start info logs stop kill delete; do
		no 1 'nosuch' ctr containers "$verb" nosuch
	done
	no 1 'nosuch' ctr tasks delete nosuch
	no 1 'nosuch' ctr tasks attach nosuch </dev/null
	run ctr containers exec --exec-id e nosuch true
	[[ $status == 125 || $status == 1 ]]
	assert_has nosuch
	unharmed
}

@test "a name that exists" {
	no 1 'ci-there.*(exist|already)|(exist|already).*ci-there' ctr containers create "$BB" ci-there
	no 125 'ci-there.*(exist|already)|(exist|already).*ci-there' ctr run "$BB" ci-there true
	no 125 'ci-there.*(exist|already)|(exist|already).*ci-there' ctr run --rm "$BB" ci-there true
}

@test "an exec id that exists" {
	ctr containers exec --exec-id ci-e ci-there sleep 1001 >"$T/e" 2>&1 3>&- &
	wait_until 10 pgrep -f '^sleep 1001$' # not the ctr that asks for it
	run ctr containers exec --exec-id ci-e ci-there true
	[[ $status == 125 || $status == 1 ]]
	assert_match 'ci-e.* (already|exists)|exist.*ci-e'
	ok ctr tasks kill -s KILL --exec-id ci-e ci-there
	wait || true
	unharmed
}

@test "names with / or .. or of 5,000 characters, and other strange ones" {
	local name
	for name in a/b ../../etc .. . -x "" "a b" $'a\nb' a..b .a a- "ü" "\$(id)" "$(printf 'x%.0s' {1..5000})" \
	    "$(printf 'x%.0s' {1..77})"; do
		run --separate-stderr ctr containers create "$BB" -- "$name"
		[[ $status == 2 || $status == 1 ]] || fail "name '${name:0:20}': $status $output $stderr"
		[[ $(wc -l <<<"$stderr") == 1 && ${#stderr} -lt 1000 ]] || fail "$stderr"
		run --separate-stderr ctr containers start -- "$name"
		[[ $status == 2 || $status == 1 ]] || fail "name '${name:0:20}': $status"
		[[ $(wc -l <<<"$stderr") == 1 ]] || fail "$stderr"
	done
	unharmed
	[[ ! -e $STATE/etc && ! -e $ROOT/etc ]]
}

@test "references that are none" {
	local ref
	for ref in "" : @ a: "a b" UPPER/case:x a@sha256:1234 "a:$(printf 't%.0s' {1..200})" \
	    "http://x/y" "../x" "x//y" "$(printf 'y%.0s' {1..5000})" $'a\x1b[31mb'; do
		run --separate-stderr ctr images pull -- "$ref"
		[[ $status == 2 || $status == 1 ]] || fail "'${ref:0:30}': $status $output $stderr"
		[[ $(wc -l <<<"$stderr") == 1 && ${#stderr} -lt 1500 ]] || fail "$stderr"
		[[ $stderr != *$'\x1b'* ]] || fail "control characters reach the terminal"
	done
	unharmed
}

@test "a command that does not exist in the image: 127 and the runtime's words" {
	refused 127 'nosuchcommand' ctr run --rm "$BB" ci-cmd nosuchcommand
	unharmed
	nothing_is ci-cmd
	refused 127 'nosuchcommand' ctr containers exec --exec-id ci-x ci-there nosuchcommand
	unharmed
}
nothing_is()
{
	[[ -z $(cgroups_of "$1") ]] || fail "control groups of $1" || return 1
	! grep -F "/$1/" /proc/self/mountinfo || fail "mounts of $1"
}

@test "a command that cannot be executed: 126" {
	refused 126 'denied|permission|format' ctr run --rm "$BB" ci-noexec /etc/passwd
	unharmed
	nothing_is ci-noexec
}

@test "a created container whose command does not exist can be deleted after" {
	ok ctr containers create "$BB" ci-cmd2 nosuchcommand
	run --separate-stderr ctr containers start ci-cmd2
	[[ $status == 127 || $status == 1 ]]
	[[ $stderr == *nosuchcommand* ]]
	ok ctr containers delete ci-cmd2
	unharmed
	nothing_is ci-cmd2
}

@test "a working folder, user or group that is not there" {
	run --separate-stderr ctr run --rm --user nosuchuser "$BB" ci-user true
	[[ $status == 125 && $stderr == *nosuchuser* ]] || fail "$status $stderr"
	run --separate-stderr ctr run --rm --user root:nosuchgroup "$BB" ci-user true
	[[ $status == 125 && $stderr == *nosuchgroup* ]] || fail "$status $stderr"
	unharmed
}

@test "a mount whose source is not there, and mounts that are none" {
	local m
	for m in "type=bind,src=$T/nosuch,dst=/x,options=rbind" "dst=/x" "src=/etc" "type=bind,src=/etc,dst=x" \
	    "nonsense" "type=bind,src=/etc,dst=/x,options=frob"; do
		run --separate-stderr ctr run --rm --mount "$m" "$BB" ci-mount true
		[[ $status == 125 || $status == 2 ]] || fail "$m: $status $stderr"
		[[ $(wc -l <<<"$stderr") == 1 ]] || fail "$stderr"
	done
	unharmed
	nothing_is ci-mount
}

@test "a container that already runs" {
	no 1 'running|already' ctr containers start ci-there
	no 1 'running' ctr containers delete ci-there
	no 1 'running' ctr tasks delete ci-there
}

@test "one that does not run" {
	ok ctr containers create "$BB" ci-still
	refused 1 'not running|no.*task|not.*start|not found' ctr containers kill ci-still
	run ctr containers exec --exec-id e ci-still true
	[[ $status == 125 || $status == 1 ]]
	ok ctr containers delete ci-still
	unharmed
}

@test "remove of an image in use is refused and says by whom; --force does it" {
	no 1 'ci-there' ctr images remove "$BB"
	no 1 'ci-there' ctr images rm "$BB"
	ok ctr images remove --force "$BB"
	ok ctr containers exec --exec-id after ci-there echo still here
	assert_is "still here"
	ok ctr images pull "$BB"
	unharmed
}

@test "words that are missing, too many or unknown" {
	no 2 . ctr containers create
	no 2 . ctr containers create "$BB"
	no 2 . ctr containers start
	no 2 . ctr run
	no 2 . ctr images list --no-such-option
	no 2 . ctr containers stop --timeout soon ci-there
	no 2 . ctr tasks kill -s NOSUCHSIGNAL ci-there
	no 2 . ctr containers logs --tail many ci-there
	no 2 . ctr --namespace "../x" images list
}

@test "bad bytes in names do not reach the terminal" {
	run ctr containers start -- $'x\x1b[2J'
	[[ $output != *$'\x1b'* ]]
	unharmed
}

@test "a full state folder" {
	local before
	coffer_stop
	mkdir -p "$T/st"
	mount -t tmpfs -o size=6m,mode=711 small "$T/st"
	local old=$STATE
	export STATE=$T/st/s COFFER_ADDRESS=$T/st/s
	coffer_start
	before=$(workers_now)
	head -c 50m /dev/zero >"$T/st/fill" 2>/dev/null || true
	run --separate-stderr ctr run --rm "$BB" ci-full true
	[[ $status == 125 || $status == 0 ]] || fail "$status $output $stderr"
	rm "$T/st/fill"
	ok ctr run --rm "$BB" ci-full2 echo room
	assert_is room
	[[ $(workers_now) == "$before" ]]
	coffer_stop
	export STATE=$old COFFER_ADDRESS=$old
	umount "$T/st"
	coffer_start
	workers_now >"$T/workers.before"
	unharmed
}

@test "the container that was there all the time still runs" {
	is_status ci-there running
	ok ctr containers delete --force ci-there
	nothing_left ci-
}
