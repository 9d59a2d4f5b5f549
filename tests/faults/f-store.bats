#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# f-store - the content worker killed at each of its points, and at random moments, while clients store,
# lease, let go, collect garbage and verify: every command ends well, what is held is whole, and after the
# next collection nothing is left that has no row. COFFER_SEED repeats a run; it is printed.

load ../lib/harness.bash

setup_file()
{
	export COFFER_BUILD=$harness_top/build/release-fault
	harness_up bare
	export COFFER_FAULTS=@$T/faults
	: >"$T/faults"
	chmod 1777 "$T"
	printf '[supervisor]\nbackoff-limit = 0\n' >"$T/config.toml"
	coffer_start
	export COFFER_SEED=${COFFER_SEED:-$((RANDOM * 32768 + RANDOM))}
	echo "# seed $COFFER_SEED" >&3
}
teardown_file() { harness_down; }

points()
{
	(cd "$harness_top" && grep -hoE 'FAULT_POINT\("[^"]+"\)' workers/content/{drafts,gc,verify,remove}.c \
	    lib/store/store.c | sed -E 's/.*"(.*)".*/\1/' | sort -u)
}

# work N: what is leased is there until it is let go, what is damaged is found
work()
{
	local d e f

	ok ctr leases create --id "l$1" || return 1
	head -c 70000 /dev/urandom >"$T/data.$1"
	d=$(ctr content ingest --lease "l$1" "i$1" <"$T/data.$1") || fail "ingest" || return 1
	ctr content get "$d" | cmp - "$T/data.$1" || return 1
	ok ctr content label "$d" "n=$1" || return 1
	ok ctr gc || return 1
	ctr content get "$d" | cmp - "$T/data.$1" || return 1
	ok ctr leases delete --sync "l$1" || return 1
	ok ctr gc || return 1
	! ctr content get "$d" >/dev/null 2>&1 || fail "$d is still there" || return 1
	e=$(echo "damaged $1" | ctr content ingest --label containerd.io/gc.root=1 "e$1") || return 1
	f=$ROOT/content/blobs/sha256/${e#sha256:}
	chmod 640 "$f" && echo "DAMAGED $1" >"$f" || return 1
	run ctr content verify # 1, or 0 when its worker died behind the discovery
	((status <= 1)) || fail "verify: $status $output" || return 1
	run ctr content get "$e"
	[[ $status == 1 && $output == *'not in namespace'* ]] || fail "get: $status $output" || return 1
	wait_until 10 gone_file "$f" || fail "the damaged file is still there"
}

gone_file() { [[ ! -e $1 ]]; } # by the start, when the worker died behind the commit

# clean: rows and files agree, nothing is on its way, and what is there is whole
clean()
{
	wait_until 20 coffer_ready || return 1
	ok ctr gc || return 1
	diff <(ctr content list -q | sed 's/.*://' | sort) <(ls "$ROOT/content/blobs/sha256") || fail "rows and files" || return 1
	[[ -z $(find "$ROOT"/content/{drafts,trash} -mindepth 1) ]] || fail "left: $(find "$ROOT"/content/{drafts,trash} -mindepth 1)" || return 1
	ok ctr content verify || return 1
	ok ctr leases list -q || return 1
	assert_is ""
}

@test "killed once at each point" {
	local p bad="" hit=0
	for p in $(points); do
		echo "$p=once:kill" >"$T/faults.new"
		chmod 644 "$T/faults.new"
		mv "$T/faults.new" "$T/faults"
		work "$p" >"$T/out.$p" 2>&1 || bad+="$p: $(tail -n 3 "$T/out.$p" | tr '\n' ' ')"$'\n'
		: >"$T/faults"
		clean >"$T/out.$p" 2>&1 || bad+="$p: afterwards: $(tail -n 4 "$T/out.$p" | tr '\n' ' ')"$'\n'
		[[ ! -e $T/faults.$p ]] || hit=$((hit + 1))
	done
	echo "# $hit of $(points | wc -l) points were passed" >&3
	[[ -z $bad ]] || fail "$bad"
	((hit >= 8)) || fail "only $hit points were passed: are faults armed?"
}

# killer: content, again and again, until $T/stop is there
killer()
{
	local n=0
	RANDOM=$COFFER_SEED
	while [[ ! -e $T/stop ]]; do
		sleep "0.0$((RANDOM % 9 + 1))"
		kill -KILL "$(worker_pid content)" 2>/dev/null && echo $((++n)) >"$T/killed"
		wait_until 10 coffer_ready
	done
}

@test "killed at random moments" {
	local k n=0 bad="" end=$((SECONDS + 20))
	killer 3>&- &
	k=$!
	while ((SECONDS < end)); do
		work "r$((n++))" >"$T/out.r" 2>&1 || bad+="round $n: $(tail -n 3 "$T/out.r" | tr '\n' ' ')"$'\n'
	done
	touch "$T/stop"
	wait "$k" || true
	echo "# $(<"$T/killed") killed in $n rounds" >&3
	[[ -z $bad ]] || fail "seed $COFFER_SEED: $bad"
	(($(<"$T/killed") >= 30)) || fail "only $(<"$T/killed") killed"
	clean
}
