#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# f-images - the content worker killed at random moments of pulls and removals, power lost, the disk full at
# any write: what is listed is whole, nothing is left, and every command ends as if nothing had happened or
# says in a line what did. COFFER_SEED repeats a run; it is printed.

load ../lib/harness.bash

setup_file()
{
	export COFFER_BUILD=$harness_top/build/release-fault
	harness_up bare
	export COFFER_FAULTS=@$T/faults
	: >"$T/faults"
	chmod 1777 "$T" && chmod 644 "$T/faults"
	printf '[supervisor]\nbackoff-limit = 0\n[content]\ndownload-retries = 2\n' >"$T/config.toml"
	images_make "$T/images" tiny1 tiny2
	registry_start main "$T/registry"
	export REG=127.0.0.1:$REGISTRY_MAIN_PORT
	images_push_all
	coffer_start
	export COFFER_SEED=${COFFER_SEED:-$((RANDOM * 32768 + RANDOM))}
	echo "# seed $COFFER_SEED" >&3
}
teardown_file() { harness_down; }

images_push_all()
{
	local name
	for name in tiny1 tiny2; do
		images_copy "oci:$T/images:$name" "docker://$REG/coffer/$name:latest"
	done
}
# First: a page of the store may hold what was in it before.
@test "a power cut: no row names a blob that is not on disk" {
	local strace hexes
	mapfile -t hexes < <(find "$T/images/blobs/sha256" -type f -printf '%f\n')
	strace -f -y -s 65536 -e trace=write,pwrite64,writev,pwritev,ftruncate,fsync,fdatasync,renameat,renameat2 \
	    -o "$T/trace" -p "$(content_pid)" 2>"$T/strace.log" 3>&- &
	strace=$!
	wait_until 10 grep -q attached "$T/strace.log"
	ok ctr images pull --no-unpack "$REG/coffer/tiny1:latest"
	ok ctr images pull --no-unpack "$REG/coffer/tiny2:latest"
	kill -INT "$strace"
	wait "$strace" || true
	ok "$harness_lib/durable.py" "$T/trace" "${hexes[@]}"
	# The check can fail: without the syncs of the trace it does.
	grep -v fsync "$T/trace" >"$T/trace.unsynced"
	run -1 "$harness_lib/durable.py" "$T/trace.unsynced" "${hexes[@]}"
	echo "# $(grep -cE 'f(data)?sync\(' "$T/trace") syncs for two images of $((${#hexes[@]} - 1)) blobs" >&3
	all_gone
}

@test "killed at 230 random moments of pulls and removals" {
	local i name killed=0 there extra
	RANDOM=$COFFER_SEED
	for ((i = 1; killed < 230; i++)); do
		name=$REG/coffer/tiny$((RANDOM % 2 + 1)):latest
		there=$(ctr images list -q | grep -cxF "$name") || true
		extra=()
		((RANDOM % 3 == 0)) || extra=(--no-unpack)
		if ((there)); then
			shot images remove "$name" || fail "seed $COFFER_SEED, round $i" || return 1
		else
			shot images pull "${extra[@]}" "$name" || fail "seed $COFFER_SEED, round $i" || return 1
		fi
		if ((i % 20 == 0)); then
			wait_until 10 coffer_ready
			store_whole || fail "seed $COFFER_SEED, round $i" || return 1
		fi
	done
	[[ ! -e $T/refused ]] || echo "# $(wc -l <"$T/refused") of $i commands failed, with a line each" >&3
	wait_until 10 coffer_ready
	store_whole
	all_gone
}

@test "no space at the k-th write, sync or rename: says so, is whole, and works when there is room" {
	local point k
	for point in write sync rename; do
		for k in 1 2 3 4; do
			kill_worker content
			echo "content.ingest.$point=error:ENOSPC@$k" >"$T/faults"
			MAY_PRINT=1 refused 1 'No space left' ctr images pull --no-unpack \
			    --max-concurrent-downloads $((k % 3 + 1)) "$REG/coffer/tiny1:latest" ||
			    fail "at $point $k" || return 1
			: >"$T/faults"
			ok ctr images list -q
			assert_is ""
			store_whole
		done
	done
	ok ctr images pull "$REG/coffer/tiny1:latest"
	store_whole
	all_gone
}

@test "a disk of any size that is too small" {
	local kb status=0
	coffer_stop
	mkdir -p "$T/small"
	mount -t tmpfs -o size=100m,mode=711 small "$T/small"
	ROOT=$T/small/root coffer_start
	for kb in $(seq 32 24 320); do
		# So much is left.
		mount -o "remount,size=$(($(du -sk "$T/small" | cut -f 1) + kb))k" "$T/small"
		status=0
		ctr images pull --no-unpack "$REG/coffer/tiny1:latest" >"$T/out" 2>"$T/err" || status=$?
		echo "# $kb KiB: $status $(<"$T/err")" >>"$T/sizes"
		[[ $status == 0 ]] || grep -qiE '^ctr: .*no space' "$T/err" || fail "$kb KiB: $(<"$T/err")"
		ROOT=$T/small/root store_whole
		mount -o remount,size=100m "$T/small"
		[[ $status != 0 ]] || ok ctr images remove "$REG/coffer/tiny1:latest"
	done
	# Both were seen.
	grep -q ': 0' "$T/sizes" && grep -q ': 1' "$T/sizes" || fail "$(<"$T/sizes")"
	ok ctr images pull "$REG/coffer/tiny1:latest"
	ROOT=$T/small/root all_gone
	coffer_stop
	umount "$T/small"
}
