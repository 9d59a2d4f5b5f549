#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-sharing - equal blobs are stored once; whether a namespace may use what it did not bring itself.

load ../lib/harness.bash

setup_file() { harness_up; }
teardown_file() { harness_down; }

gets() { blobs_of layers; }
blobs_of() { grep -c "\"GET /v2/coffer/$1/blobs/" "$REGISTRY_MAIN_LOG" || true; }
files() { find "$ROOT/content/blobs" -type f | wc -l; }
isolated()
{
	coffer_stop
	printf '[content]\ncontent-sharing = "isolated"\n' >"$T/config.toml"
	coffer_start
}

@test "shared: a namespace takes what another one brought, stored once" {
	local before n d
	ok ctr images pull "$REG/coffer/layers:latest"
	before=$(gets) n=$(files)
	ok ctr -n other images pull "$REG/coffer/layers:latest"
	[[ $(gets) == "$before" && $(files) == "$n" ]] || fail "$(gets) of $before downloads, $(files) of $n files"
	d=$(echo bytes | ctr content ingest --label containerd.io/gc.root=1 x)
	ok ctr -n other content ingest --expected-digest "$d" x </dev/null
	[[ $(ctr -n other content get "$d") == bytes ]]
	# The one goes, the other keeps it.
	ok ctr images remove "$REG/coffer/layers:latest"
	[[ $(files) == $((n + 1)) ]]
	ok ctr -n other content verify
	ok ctr -n other images remove "$REG/coffer/layers:latest"
	[[ $(files) == 1 ]] || fail "$(files) files"
}

@test "isolated: bytes have to be presented, and are still stored once; a namespace may share by label" {
	local before n d
	isolated
	d=$(echo mine | ctr content ingest --label containerd.io/gc.root=1 y)
	ok ctr images pull "$REG/coffer/layers:latest"
	before=$(gets) n=$(files)
	refused 1 'is not what it should be' ctr -n third content ingest --expected-digest "$d" y </dev/null
	ok ctr -n third content abort y
	echo mine | ok ctr -n third content ingest --expected-digest "$d" --label containerd.io/gc.root=1 y
	ok ctr -n third images pull "$REG/coffer/layers:latest"
	(($(gets) >= before + 6)) || fail "$(gets) of $before downloads: it did not present them"
	[[ $(files) == "$n" ]] || fail "$(files) files, not $n"
	ok ctr content verify
	# default shares with all.
	ok ctr namespaces label default containerd.io/namespace.shareable=true
	before=$(gets)
	ok ctr -n fourth content ingest --expected-digest "$d" y </dev/null
	ok ctr -n fourth images pull "$REG/coffer/layers:latest"
	[[ $(gets) == "$before" ]] || fail "$(gets) of $before downloads"
}

@test "isolated: downloads at the same moment are two" {
	local ns pids=() before
	rm -f "$T/config.toml"
	isolated
	before=$(blobs_of big)
	for ns in fifth sixth; do
		ctr -n "$ns" images pull -q "$REG/coffer/big:latest" >"$T/$ns" 2>&1 3>&- &
		pids+=("$!")
	done
	wait "${pids[0]}" || fail "$(<"$T/fifth")"
	wait "${pids[1]}" || fail "$(<"$T/sixth")"
	# Every layer and the config, by each of them.
	(($(blobs_of big) - before >= 2 * 6)) || fail "$(blobs_of big) of $before downloads"
	ok ctr content verify
	[[ -z $(ls "$ROOT/content/ingest") ]] || fail "$(ls "$ROOT/content/ingest")"
}

@test "a policy that there is not is refused at the start" {
	coffer_stop
	printf '[content]\ncontent-sharing = "some"\n' >"$T/config.toml"
	coffer_start >/dev/null 2>&1 &
	wait_until 10 grep -q 'content-sharing = "some": shared or isolated is wanted' "$T/cofferd.log"
	kill "$!"
	printf '' >"$T/config.toml"
}
