#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-downloads - how blobs come: in pieces on several connections, on from the byte that was reached whatever
# broke, each one once however many ask, in bounded memory.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	export EVIL_IMAGES=$T/images
	images_make "$T/images" tiny1 tiny2 wide many
	evil_start
	configure 4
	coffer_start
}
teardown_file() { harness_down; }

# configure CONNECTIONS
configure()
{
	printf '[content]\nstall-timeout = 2\nconnections-per-blob = %d\n' "$1" >"$T/config.toml"
}
layer_sizes() { jq '[.layers[].size] | add' "$T/images/blobs/sha256/$(manifest_of "$1")"; }
manifest_of()
{
	jq -r --arg n "$1" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $n) | .digest[7:]' \
	    "$T/images/index.json"
}
blobs_path() { echo "/v2/$1/$2/blobs/"; }
pull() { ctr images pull --no-unpack "$@"; }
# pulled_whole REFERENCE: it is here; and then gone again
pulled_whole()
{
	store_whole && ok ctr images remove "$1"
}
# came_once MODE NAME [SLACK]: the registry sent each byte of it once, but for that many
came_once()
{
	local sent size
	sent=$(evil_sent "$(blobs_path "$1" "$2")") size=$(layer_sizes "$2")
	echo "# $1/$2: $sent bytes sent for $size" >&3
	((sent <= size + 1000 + ${3:-0})) || fail "$sent bytes sent for $size"
}
sent_at_least() { (($(evil_sent "$(blobs_path "$1" "$2")") >= $3)); }

@test "a large layer comes in pieces, faster where each connection is slow" {
	local start one four
	start=$(now_ms)
	ok pull "$EVIL/throttle/wide"
	four=$(($(now_ms) - start))
	came_once throttle wide
	(($(evil_seen '^GET .*/throttle/wide/blobs/.* bytes=[0-9]+-[0-9]+') >= 4)) || fail "no pieces"
	pulled_whole "$EVIL/throttle/wide:latest"
	coffer_stop
	configure 1
	coffer_start
	start=$(now_ms)
	ok pull "$EVIL/throttle/wide"
	one=$(($(now_ms) - start))
	pulled_whole "$EVIL/throttle/wide:latest"
	echo "# 40 MiB at 8 MiB/s a connection: $one ms on one, $four ms on four" >&3
	((one > 2 * four)) || fail "$one ms on one connection, $four ms on four"
	coffer_stop
	configure 4
	coffer_start
}

@test "Range ignored: the first answer is the download" {
	ok pull "$EVIL/norange/wide"
	came_once norange wide
	[[ $(evil_seen "^GET $(blobs_path norange wide)") == 2 ]] # config, layer
	pulled_whole "$EVIL/norange/wide:latest"
}

@test "Range answered with another part: all again, without Range" {
	ok pull "$EVIL/wrongpart/wide"
	pulled_whole "$EVIL/wrongpart/wide:latest"
}

@test "killed in the middle of pieces, twice: goes on with what is there" {
	local job size
	evil_forget
	size=$(layer_sizes wide)
	pull "$EVIL/throttle/wide" 3>&- >"$T/out" 2>&1 &
	job=$!
	wait_until 10 sent_at_least throttle wide $((size / 3))
	kill_worker content
	wait_until 10 sent_at_least throttle wide $((size * 2 / 3))
	kill_worker content
	wait "$job" || fail "$(<"$T/out")"
	came_once throttle wide $((8 << 20))
	pulled_whole "$EVIL/throttle/wide:latest"
}

@test "given up by Ctrl-C in the middle, and again: goes on with what is there" {
	local job size
	evil_forget
	size=$(layer_sizes wide)
	"$COFFER_BUILD/ctr" images pull --no-unpack "$EVIL/throttle/wide" 3>&- >"$T/out" 2>&1 &
	job=$!
	wait_until 10 sent_at_least throttle wide $((size / 2))
	kill -INT "$job"
	wait "$job" || true
	ok ctr images list -q
	assert_is ""
	ok pull "$EVIL/throttle/wide"
	came_once throttle wide $((8 << 20))
	pulled_whole "$EVIL/throttle/wide:latest"
}

@test "a connection that brings nothing any more is given up and gone on with" {
	local start
	start=$(now_ms)
	ok pull "$EVIL/stallonce/tiny1"
	(($(now_ms) - start < 15000)) || fail "$(($(now_ms) - start)) ms"
	came_once stallonce tiny1
	pulled_whole "$EVIL/stallonce/tiny1:latest"
}

@test "so is one that was good before and is used again" {
	ok pull "$EVIL/hangafter/tiny1"
	ok pull "$EVIL/ok/tiny2"
	pulled_whole "$EVIL/hangafter/tiny1:latest"
	ok ctr images remove "$EVIL/ok/tiny2:latest"
}

@test "so is one that brings next to nothing" {
	local start
	start=$(now_ms)
	ok pull "$EVIL/trickleonce/wide"
	(($(now_ms) - start < 20000)) || fail "$(($(now_ms) - start)) ms"
	pulled_whole "$EVIL/trickleonce/wide:latest"
}

@test "ten pulls at once of two images with layers in common: each blob comes once" {
	local i jobs=() j n
	evil_forget
	for i in 1 2 3 4 5; do
		pull "$EVIL/ok/tiny1" 3>&- >"$T/out.1.$i" 2>&1 &
		jobs+=($!)
		pull "$EVIL/ok/tiny2" 3>&- >"$T/out.2.$i" 2>&1 &
		jobs+=($!)
	done
	for j in "${jobs[@]}"; do
		wait "$j" || fail "$(tail -n 1 "$T"/out.[12].?)"
	done
	n=$(curl -s "http://$EVIL/seen" | sed -nE 's,^GET /v2/ok/.*/blobs/([^ ]+) .*,\1,p' | sort | uniq -d | wc -l)
	((n == 0)) || fail "$n blobs were asked for more than once: $(curl -s "http://$EVIL/seen")"
	store_whole
	ok ctr images remove "$EVIL/ok/tiny1:latest"
	ok ctr images remove "$EVIL/ok/tiny2:latest"
}

# pss_most PID FILE: the most that it had, kB, until the process ends or FILE is gone
pss_most()
{
	local most=0 now
	while [[ -e $2 ]] && now=$(sed -n 's/^Pss: *\([0-9]*\).*/\1/p' "/proc/$1/smaps_rollup"); do
		((now <= most)) || most=$now
		echo "$most" >"$2.most"
		sleep 0.02
	done
}

@test "64 layers at once, and one large one: under 32 MB of memory" {
	local watcher pid
	kill_worker content
	pid=$(worker_pid content)
	: >"$T/watching"
	pss_most "$pid" "$T/watching" 3>&- &
	watcher=$!
	ok pull --max-concurrent-downloads 64 "$EVIL/throttle/many"
	ok pull --max-concurrent-downloads 64 "$EVIL/ok/wide"
	rm "$T/watching"
	wait "$watcher" || true
	echo "# content had $(<"$T/watching.most") kB PSS at most" >&3
	(($(<"$T/watching.most") < 32000)) || fail "$(<"$T/watching.most") kB"
	[[ $(worker_pid content) == "$pid" ]]
	store_whole
}
