#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# a-harness - the daemon starts, is whole, and ends; everything else here stands on that.

load ../lib/harness.bash

setup_file() { harness_up; }
teardown_file() { harness_down; }

@test "make leaves the programs in build/" {
	local p
	for p in cofferd ctr containerd-shim-coffer-v1; do
		[[ -x $COFFER_BUILD/$p ]] || fail "no $p"
	done
}

@test "four workers run, each under a user of its own and without root" {
	local name pid uids=""
	for name in content snapshot task events; do
		pid=$(worker_pid "$name")
		[[ $(readlink "/proc/$pid/exe") == */coffer-$name ]] || fail "$name: $(readlink "/proc/$pid/exe")"
		uids+="$(sed -n 's/^Uid:\t\([0-9]*\)\t\([0-9]*\)\t.*/\1 \2/p' "/proc/$pid/status")"$'\n'
		[[ $(sed -n 's/^NoNewPrivs:\t//p' "/proc/$pid/status") == 1 ]] || fail "$name: no_new_privs"
	done
	[[ $(sort -u <<<"${uids%$'\n'}" | wc -l) == 4 ]] || fail "users: $uids"
	! grep -qE '^0|0$' <<<"$(awk '{print $1}' <<<"${uids%$'\n'}" | grep -x 0)" || fail "root: $uids"
}

@test "workers hold no capability but snapshot, and none that it can do without" {
	local name pid caps
	for name in content task events; do
		pid=$(worker_pid "$name")
		caps=$(sed -n 's/^CapEff:\t//p;s/^CapPrm:\t//p;s/^CapInh:\t//p;s/^CapAmb:\t//p' \
		    "/proc/$pid/status" | sort -u)
		[[ $caps == 0000000000000000 ]] || fail "$name: $caps"
	done
	caps=$(capsh --decode="$(sed -n 's/^CapEff:\t//p' "/proc/$(worker_pid snapshot)/status")")
	[[ $caps != *cap_sys_ptrace* && $caps != *cap_net_admin* && $caps != *cap_sys_module* ]] ||
	    fail "snapshot: $caps"
}

@test "the supervisor loads no message library and has one thread" {
	run ! grep -E 'libzmq|liblmdb|libmsgpack' "/proc/$(coffer_pid)/maps"
	[[ $(find "/proc/$(coffer_pid)/task" -mindepth 1 -maxdepth 1 | wc -l) == 1 ]]
}

@test "nothing of ours is inherited: workers hold only their own descriptors" {
	local pid
	pid=$(worker_pid events)
	! find "/proc/$pid/fd" -lname '*/coffer-content*' | grep . || fail "content's"
	[[ $(readlink "/proc/$pid/fd/0") == /dev/null ]]
}

@test "folders have the owners and modes that the manual gives" {
	[[ $(stat -c '%U %a' "$ROOT") == "root 711" ]] || fail "$(stat -c '%U %a' "$ROOT")"
	[[ $(stat -c '%U %a' "$STATE") == "root 711" ]] || fail "$(stat -c '%U %a' "$STATE")"
	[[ $(stat -c '%U %a' "$STATE/bus") == "root 750" ]] || fail "$(stat -c '%U %a' "$STATE/bus")"
	[[ $(stat -c '%a' "$STATE/bus/task.sock") == 660 ]]
	[[ $(stat -c '%a' "$ROOT/content") == 750 ]]
	[[ $(stat -c '%a' "$ROOT/snapshot") == 700 ]]
}

@test "ctr version names the client and every worker" {
	ok ctr version
	assert_match '[0-9]+\.[0-9]+\.[0-9]+'
	assert_match 'content'
	assert_match 'events'
}

@test "a second daemon on the same folders is refused, and the first does not mind" {
	local before
	before=$(workers_now)
	run timeout 20 "$COFFER_BUILD/cofferd" --root "$ROOT" --state "$STATE" 3>&-
	[[ $status != 0 ]]
	assert_match 'already|lock|running'
	run timeout 20 "$COFFER_BUILD/cofferd" --root "$ROOT" --state "$T/state2" 3>&-
	[[ $status != 0 ]]
	[[ $(workers_now) == "$before" ]]
}

@test "ctr to a daemon that is not there says so and where it looked" {
	refused 1 "$T/nowhere" ctr --address "$T/nowhere" images list
}

@test "--address and COFFER_ADDRESS say the same" {
	ok env -u COFFER_ADDRESS "$COFFER_BUILD/ctr" --address "$STATE" images list
	ok env COFFER_ADDRESS="$STATE" "$COFFER_BUILD/ctr" images list
}

@test "a user outside group coffer is kept out, a member is let in" {
	run timeout 20 setpriv --reuid 4242 --regid 4242 --clear-groups "$COFFER_BUILD/ctr" images list
	[[ $status == 1 ]] || fail "status $status: $output"
	assert_match 'ermission'
	ok timeout 20 setpriv --reuid 4242 --regid 4242 \
	    --groups "$(stat -c %g "$STATE/bus")" "$COFFER_BUILD/ctr" images list
}

@test "readiness is told by sd_notify, and only when the workers answer" {
	harness_second
	/usr/bin/python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
open(sys.argv[1] + ".up", "w").close()
s.settimeout(20)
while True:
    m = s.recv(4096).decode()
    if "READY=1" in m.split("\n"):
        break
' "$T/notify" 3>&- &
	local py=$! pid
	wait_until 10 test -e "$T/notify.up"
	NOTIFY_SOCKET=$T/notify setsid "$COFFER_BUILD/cofferd" --root "$T/root2" --state "$T/state2" \
	    </dev/null >"$T/second.log" 2>&1 3>&- &
	pid=$!
	wait "$py"
	run timeout 10 "$COFFER_BUILD/ctr" --address "$T/state2" images list
	kill "$pid"
	wait "$pid" || true
	assert_status 0
}
harness_second() { rm -rf "$T/root2" "$T/state2"; }

@test "log lines have a time, a level and a worker; JSON when asked" {
	local pid
	grep -qE '20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+.* (info|INFO)' "$T/cofferd.log" ||
	    fail "$(head -n 5 "$T/cofferd.log")"
	harness_second
	setsid "$COFFER_BUILD/cofferd" --root "$T/root2" --state "$T/state2" --log-format json \
	    --log-level debug </dev/null >"$T/json.log" 2>&1 3>&- &
	pid=$!
	wait_until 10 timeout 5 "$COFFER_BUILD/ctr" --address "$T/state2" images list
	kill "$pid"
	wait "$pid" || true
	jq -es 'length > 3 and all(has("time") and has("level"))' "$T/json.log" >/dev/null ||
	    fail "$(head -n 5 "$T/json.log")"
}

@test "a config file moves the folders; a wrong one is refused with its line" {
	local pid
	harness_second
	printf 'root = "%s"\nstate = "%s"\n' "$T/root2" "$T/state2" >"$T/second.toml"
	setsid "$COFFER_BUILD/cofferd" --config "$T/second.toml" </dev/null >"$T/second.log" 2>&1 3>&- &
	pid=$!
	run wait_until 10 timeout 5 "$COFFER_BUILD/ctr" --address "$T/state2" images list
	kill "$pid"
	wait "$pid" || true
	assert_status 0
	printf 'root = "/x"\nrooot = 5\n' >"$T/wrong.toml"
	run timeout 20 "$COFFER_BUILD/cofferd" --config "$T/wrong.toml" 3>&-
	[[ $status != 0 ]]
	assert_match 'wrong.toml.*2'
	assert_has rooot
}

@test "SIGTERM stops everything in order and leaves no socket that answers" {
	ok coffer_stop TERM
	no_crew
	refused 1 'daemon|cofferd|connect|running' ctr images list
}

@test "it starts again on what it left, and after kill -9 too" {
	coffer_start
	coffer_stop KILL
	coffer_start
	ok ctr images list
}
