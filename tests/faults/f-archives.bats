#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# f-archives - the content worker killed at random moments of imports, exports and conversions: what is
# listed is whole, nothing is left, and every command ends as if nothing had happened or says in a line what
# did. COFFER_SEED repeats a run; it is printed.

load ../lib/harness.bash

setup_file()
{
	export COFFER_BUILD=$harness_top/build/release-fault
	harness_up bare
	printf '[supervisor]\nbackoff-limit = 0\n' >"$T/config.toml"
	images_make "$T/images" tiny1 tiny2
	skopeo copy -q "oci:$T/images:tiny1" "oci-archive:$T/1.tar:one:1"
	skopeo copy -q "oci:$T/images:tiny2" "docker-archive:$T/2.tar:two:1"
	coffer_start
	export COFFER_SEED=${COFFER_SEED:-$((RANDOM * 32768 + RANDOM))}
	echo "# seed $COFFER_SEED" >&3
}
teardown_file() { harness_down; }

# exported: an archive that ctr says it wrote is whole
exported()
{
	[[ ! -e $T/x.tar ]] || skopeo copy -q "oci-archive:$T/x.tar" "dir:$T/x" || return 1
	rm -rf "$T/x.tar" "$T/x"
	[[ -z $(find "$T" -maxdepth 1 -name '.x.tar.*') ]] || fail "a partial file is left"
}

# one_shot: a random command on what there is
one_shot()
{
	local there

	mapfile -t there < <(ctr images list -q)
	case $((RANDOM % 7)) in
	0 | 1) shot images import "$T/1.tar" ;;
	2 | 3) shot images import --no-unpack - <"$T/2.tar" ;;
	4) ((${#there[@]} == 0)) || { shot images export "$T/x.tar" "${there[0]}" && exported; } ;;
	5) ((${#there[@]} == 0)) || shot images convert --zstd "${there[-1]}" "conv:$((RANDOM % 2))" ;;
	6) ((${#there[@]} == 0)) || shot images remove "${there[RANDOM % ${#there[@]}]}" ;;
	esac
}

@test "killed at 170 random moments of imports, exports, conversions and removals" {
	local i killed=0

	RANDOM=$COFFER_SEED
	for ((i = 1; killed < 170; i++)); do
		one_shot || fail "seed $COFFER_SEED, round $i" || return 1
		if ((i % 20 == 0)); then
			wait_until 10 coffer_ready
			store_whole || fail "seed $COFFER_SEED, round $i" || return 1
		fi
	done
	[[ ! -e $T/refused ]] || echo "# $(wc -l <"$T/refused") of $i commands failed, with a line each" >&3
	wait_until 10 coffer_ready
	store_whole
	ok ctr images import -q "$T/1.tar"
	all_gone
	[[ -z $(find "$ROOT/content/drafts" -type f) ]]
}

@test "a disk of any size that is too small, for an import and for an export" {
	local kb status

	coffer_stop
	mkdir -p "$T/small" "$T/out.d"
	mount -t tmpfs -o size=100m,mode=711 small "$T/small"
	ROOT=$T/small/root coffer_start
	for kb in $(seq 16 24 256); do
		# So much is left.
		mount -o "remount,size=$(($(du -sk "$T/small" | cut -f 1) + kb))k" "$T/small"
		status=0
		ctr images import -q --no-unpack "$T/2.tar" >"$T/out" 2>"$T/err" || status=$?
		echo "# $kb KiB: $status $(<"$T/err")" >>"$T/sizes"
		[[ $status == 0 ]] || grep -qiE '^ctr: .*no space' "$T/err" || fail "$kb KiB: $(<"$T/err")"
		mount -o remount,size=100m "$T/small"
		ROOT=$T/small/root store_whole
		[[ $status != 0 ]] || ok ctr images remove --sync two:1
		ROOT=$T/small/root store_empty
	done
	# Both were seen.
	grep -q ': 0' "$T/sizes" && grep -q ': 1' "$T/sizes" || fail "$(<"$T/sizes")"
	ok ctr images import -q "$T/2.tar"
	mount -t tmpfs -o size=64k out "$T/out.d"
	refused 1 "No space left" ctr images export "$T/out.d/x.tar" two:1
	[[ -z $(ls -A "$T/out.d") ]]
	refused 1 "No space left" ctr images export /dev/full two:1
	umount "$T/out.d"
	ROOT=$T/small/root all_gone
	coffer_stop
	umount "$T/small"
}
