#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-bus - the bus from outside: a program in Python that knows only docs/bus.md, ZeroMQ and msgpack;
# and bytes that break every rule of that page, which must harm nobody.

load ../lib/harness.bash

setup_file()
{
	harness_up
	ctr images pull "$REG/coffer/busybox:latest"
	export BB=$REG/coffer/busybox:latest
}
teardown_file() { harness_down; }

bus() { timeout -k 2 120 /usr/bin/python3 "$BATS_TEST_DIRNAME/bus.py" "$STATE" "$@" 3>&-; }
# same_workers SCENARIO [ARGUMENT...]: it goes well and no worker dies of it
same_workers()
{
	local before
	before=$(workers_now)
	ok bus "$@"
	[[ $(workers_now) == "$before" ]] || fail "workers were: $before" "are: $(workers_now)"
	ok ctr images list -q
	assert_has "$BB"
}

@test "pull, create, start, wait, events, delete" {
	same_workers life "$REG/coffer/layers:latest"
	nothing_left bus-life
}
@test "attach: input and output" {
	same_workers attach "$BB"
	nothing_left bus-attach
}
@test "the same request twice is executed once" { same_workers again; }
@test "a request outlives the death of its worker" {
	ok bus survive "$BB"
	nothing_left bus-survive
}
@test "wrong fields are named; methods of workers are refused" { same_workers refused; }
@test "malformed msgpack" { same_workers malformed; }
@test "bytes that are not ZeroMQ" { same_workers raw; }
@test "a frame of 100 MB" { same_workers huge; }
@test "callers that vanish mid-request" { same_workers vanish "$BB"; }
@test "deadlines" { same_workers deadline; }
@test "a hundred callers at once" { same_workers many; }

@test "a worker may not be called as another worker is" {
	local uid
	uid=$(stat -c %u "$ROOT/events")
	run setpriv --reuid "$uid" --regid "$uid" --groups "$(stat -c %g "$STATE/bus")" \
	    timeout 10 "$COFFER_BUILD/ctr" images remove "$BB"
	[[ $status != 0 ]]
	assert_match 'not for user'
}
