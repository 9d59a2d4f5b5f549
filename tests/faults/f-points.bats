#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# f-points - the process killed at every named place of the source (FAULT_POINT) in turn, once, in the
# middle of a whole life: pull, export, import, create, start, exec, stop, commit, delete, remove. Nobody may notice.

load ../lib/harness.bash

setup_file()
{
	export COFFER_BUILD=$harness_top/build/release-fault
	harness_scratch
	export COFFER_FAULTS=@$T/faults
	: >"$T/faults"
	# Whoever is hit leaves a mark beside the file.
	chmod 1777 "$T"
	registry_start main "$COFFER_FIXTURES/registry"
	export REG=127.0.0.1:$REGISTRY_MAIN_PORT CTR=$COFFER_BUILD/ctr
	# So many deaths in a row are not what the longer pauses are for.
	printf '[supervisor]\nbackoff-limit = 1\n' >"$T/config.toml"
	coffer_start
}
teardown_file() { harness_down; }

points()
{
	(cd "$harness_top" && grep -rhoE 'FAULT_POINT\("[^"]+"\)' --include='*.c' bus lib \
	    workers ctr | sed -E 's/.*"(.*)".*/\1/' | sort -u)
}

life()
{
	local ref=$REG/coffer/layers:latest
	ok ctr images pull "$ref" || return 1
	damaged || return 1
	ok ctr images pull "$ref" || return 1
	ok ctr images export "$T/layers.tar" "$ref" || return 1
	ok ctr images remove --sync "$ref" || return 1
	ok ctr images import "$T/layers.tar" || return 1
	ok ctr containers create --user root "$ref" fp-life sh -c 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done' || return 1
	ok ctr containers start fp-life || return 1
	ok ctr containers exec --exec-id e fp-life cat /data/back || return 1
	assert_is three || return 1
	ok ctr containers stop --timeout 5 fp-life || return 1
	ok ctr containers logs fp-life || return 1
	assert_has up || return 1
	ok ctr containers commit fp-life fp:commit || return 1
	ok ctr images remove --sync fp:commit || return 1
	copies || return 1
	ok ctr containers delete fp-life || return 1
	ok ctr images remove "$ref" || return 1
	ok ctr gc || return 1
	ok ctr content list -q || return 1
	assert_is ""
}

# copies: snapshots by hand, of whole trees
copies()
{
	ok ctr snapshots prepare --snapshotter native fp-1 || return 1
	ok ctr snapshots commit --snapshotter native fp-2 fp-1 || return 1
	ok ctr snapshots prepare --snapshotter native fp-3 fp-2 || return 1
	ok ctr snapshots delete --snapshotter native fp-3 fp-2 || return 1
	assert_is $'fp-3\nfp-2'
}

# damaged: verify finds a layer that is not what it was, and takes it away
damaged()
{
	local f

	f=$(find "$ROOT/content/blobs/sha256" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
	chmod 640 "$f"
	printf x | dd of="$f" bs=1 seek=50 conv=notrunc status=none
	run ctr content verify # 0 when its worker died behind the discovery
	((status <= 1)) || fail "verify: $status $output" || return 1
	wait_until 10 gone_file "$f"
}
gone_file() { [[ ! -e $1 ]]; }

@test "without faults" {
	life
	wait_until 10 nothing_left fp-life
}

@test "killed once at each point" {
	local p bad="" missed=""
	for p in $(points); do
		echo "$p=once:kill" >"$T/faults.new"
		chmod 644 "$T/faults.new"
		mv "$T/faults.new" "$T/faults"
		if ! life >"$T/out.$p" 2>&1; then
			bad+="$p: $(tail -n 3 "$T/out.$p" | tr '\n' ' ')"$'\n'
			: >"$T/faults"
			ctr containers delete --force fp-life >/dev/null 2>&1 || true
			ctr snapshots delete --snapshotter native fp-3 fp-2 fp-1 >/dev/null 2>&1 || true
			ctr images remove --force fp:commit >/dev/null 2>&1 || true
			ctr images remove --force "$REG/coffer/layers:latest" >/dev/null 2>&1 || true
		fi
		: >"$T/faults"
		wait_until 20 coffer_ready || bad+="$p: not ready again"$'\n'
		if ! wait_until 10 nothing_left fp-life; then
			bad+="$p: left behind: $(nothing_left fp-life 2>&1 | tail -n 2)"$'\n'
		fi
		[[ -e $T/faults.$p ]] || missed+=" $p"
	done
	[[ -z $bad ]] || fail "$bad"
	[[ -z $missed ]] || fail "not reached:$missed"
}
