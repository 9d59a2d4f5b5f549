#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# c-streaming - layers are unpacked while they are being downloaded: their files appear before the last byte
# has come, once for all who pull, and none of it stays when the download fails or was not what it should be.

load ../lib/harness.bash

setup_file()
{
	harness_up bare
	mkdir "$T/m"
	export EVIL_IMAGES=$T/images
	images_make "$T/images" drips tiny1 many
	evil_start
	printf '[content]\nstall-timeout = 2\n[supervisor]\nbackoff-limit = 0\n[snapshot]\nsnapshotter = "overlay"\n' >"$T/config.toml"
	coffer_start
}
teardown_file() { harness_down; }

# A small layer below one of 2 MiB in 32 files that do not compress: two seconds at a megabyte a second.
images_make_drips()
{
	local n
	mkdir -p drips-1 drips-2/files
	echo low >drips-1/low
	openssl enc -aes-128-ctr -K "$(printf %032d 77)" -iv 0 -in /dev/zero 2>/dev/null |
	    head -c $((2 << 20)) | split -b 65536 -d -a 3 - drips-2/files/f
	"$oci" image "$layout" drips --config '{"Env":["PATH=/bin"],"Cmd":["sh"]}' \
	    "$(images_layer gzip drips-1)" "$(images_layer gzip drips-2)"
}

# start_pull REFERENCE [NAME [OPTION...]]: in the background; its end in $T/NAME.status
start_pull()
{
	local name=${2:-pull}
	rm -f "$T/$name.status"
	{
		local status=0
		ctr images pull "${@:3}" "$1" >"$T/$name.out" 2>"$T/$name.err" || status=$?
		echo $status >"$T/$name.status"
	} 3>&- &
}
pull_ended() { [[ -s $T/${1:-pull}.status ]]; }
pull_went() { wait_until 30 pull_ended "${1:-pull}" && [[ $(<"$T/${1:-pull}.status") == 0 ]] || fail "$(<"$T/${1:-pull}.err")"; }
# appearing N: so many files of a layer that is not committed are there
appearing() { (($(find "$ROOT/snapshot/new" -path '*/files/f*' 2>/dev/null | wc -l) >= $1)); }
# half_made N: so many layers are
half_made() { (($(find "$ROOT/snapshot/new" -mindepth 1 -maxdepth 1 | wc -l) >= $1)); }
tidy() { [[ -z $(find "$ROOT/snapshot/new" "$ROOT/snapshot/trash" -mindepth 1) ]]; }
unpacks() { grep -c 'unpacked sha256:' "$T/cofferd.log"; }
# tree_right: the layer's files are those of the image
tree_right()
{
	local found
	found=$(find "$ROOT/snapshot/" -path '*/files/f000' -printf '%h\n')
	[[ $(wc -l <<<"$found") == 1 ]] || fail "trees: $found" || return 1
	cat "$found"/f* | cmp - <(openssl enc -aes-128-ctr -K "$(printf %032d 77)" -iv 0 -in /dev/zero 2>/dev/null |
	    head -c $((2 << 20)))
}
no_snapshots() { [[ -z $(ctr snapshots list -q) ]]; }
removed()
{
	ok ctr images remove "$1"
	wait_until 10 store_empty && wait_until 10 tidy
}

@test "files of a layer are there before its last byte has come, and the image is ready right behind it" {
	local came
	start_pull "$EVIL/slow/drips"
	wait_until 10 appearing 12
	came=$(evil_sent '/v2/slow/drips/blobs/')
	! pull_ended || fail "it is through already"
	((came < (2 << 20))) || fail "$came bytes had come"
	echo "# 12 of 32 files behind $came bytes" >&3
	wait_until 10 appearing 31
	pull_went
	tree_right
	removed "$EVIL/slow/drips:latest"
}

# image_grows KIB: an image that is not committed has that much in it
image_grows() { (($(find "$ROOT/snapshot/new" -name layer.erofs -printf '%k\n' | sort -n | tail -n 1) >= $1)); }

@test "the same into an image: it grows while the layer comes" {
	start_pull "$EVIL/slow/drips" pull --snapshotter erofs
	wait_until 10 image_grows 1000
	! pull_ended || fail "it is through already"
	pull_went
	ok ctr images mount --snapshotter erofs "$EVIL/slow/drips:latest" "$T/m"
	cat "$T"/m/files/f* | cmp - <(openssl enc -aes-128-ctr -K "$(printf %032d 77)" -iv 0 -in /dev/zero 2>/dev/null |
	    head -c $((2 << 20)))
	ok ctr images unmount "$T/m"
	removed "$EVIL/slow/drips:latest"
}

# in_cell CAPABILITIES: the child that unpacks has these, a filter, no network and few descriptors; its files are its root
in_cell()
{
	local pid status
	pid=$(pgrep -x coffer-unpack)
	status=$(</proc/"$pid"/status)
	grep -qE '^Seccomp:\s2$' <<<"$status" || fail "$status" || return 1
	grep -qE '^NoNewPrivs:\s1$' <<<"$status" || fail "$status" || return 1
	grep -qE "^CapPrm:\\s$1\$" <<<"$status" || fail "$status" || return 1
	[[ $(readlink "/proc/$pid/ns/net") != $(readlink "/proc/$(worker_pid snapshot)/ns/net") ]] || return 1
	find "/proc/$pid/root/" -mindepth 1 -maxdepth 1 -printf '%f\n' >"$T/inside"
	(($(find "/proc/$pid/fd" -type l | wc -l) < 12)) || fail "$(ls -l "/proc/$pid/fd")" || return 1
	[[ -z $(find "/proc/$pid/fd" -lname 'socket:*') ]] || fail "$(ls -l "/proc/$pid/fd")"
}
@test "the child that unpacks is in its cell" {
	start_pull "$EVIL/slow/drips"
	wait_until 10 appearing 4
	# chown, dac_override, fowner, fsetid, sys_admin, mknod, setfcap
	in_cell 000000008820001b
	[[ $(<"$T/inside") == files ]] || fail "$(<"$T/inside")"
	pull_went
	removed "$EVIL/slow/drips:latest"
	start_pull "$EVIL/slow/drips" pull --snapshotter erofs
	wait_until 10 image_grows 100
	in_cell 0000000000000000
	[[ $(sort "$T/inside" | tr '\n' ' ') == 'fs layer.erofs ' ]] || fail "$(<"$T/inside")"
	pull_went
	removed "$EVIL/slow/drips:latest"
}

@test "two pulls at the same moment: one download, one unpack" {
	local before
	before=$(unpacks)
	evil_forget
	start_pull "$EVIL/slow/drips" one
	wait_until 10 appearing 4
	start_pull "$EVIL/slow/drips" two
	ok ctr --namespace other images pull "$EVIL/slow/drips"
	pull_went one
	pull_went two
	(($(evil_sent '/v2/slow/drips/blobs/') < (2 << 20) + 100000)) || fail "downloaded twice"
	(($(unpacks) == before + 2)) || fail "unpacked $(($(unpacks) - before)) layers of two"
	tree_right
	ok ctr --namespace other images remove "$EVIL/slow/drips:latest"
	removed "$EVIL/slow/drips:latest"
}

@test "a blob whose digest is wrong in the end: nothing of its layer stays, though what is in it is right" {
	start_pull "$EVIL/wrongtime/drips"
	wait_until 10 appearing 12
	wait_until 30 pull_ended
	[[ $(<"$T/pull.status") != 0 ]] || fail "it went well"
	grep -q 'is not what it should be' "$T/pull.err" || fail "$(<"$T/pull.err")"
	store_empty
	wait_until 10 tidy
}

@test "a pull that is given up: its half unpacked layer goes" {
	start_pull "$EVIL/slow/drips"
	wait_until 10 appearing 4
	kill -TERM "$(running ctr)"
	wait_until 10 pull_ended
	wait_until 10 tidy
	wait_until 10 no_snapshots
	ok ctr images pull "$EVIL/ok/drips"
	tree_right
	removed "$EVIL/ok/drips:latest"
}

@test "a registry that cuts each layer half way: on from there, and so is the unpack" {
	local before
	before=$(unpacks)
	ok ctr images pull "$EVIL/cutonce/drips"
	(($(unpacks) == before + 2))
	tree_right
	removed "$EVIL/cutonce/drips:latest"
}

@test "content killed in the middle: the pull goes on, and its layer is whole" {
	local n
	for n in 4 24; do
		start_pull "$EVIL/slow/drips"
		wait_until 10 appearing "$n"
		kill_worker content
		pull_went
		tree_right
		removed "$EVIL/slow/drips:latest"
	done
}

@test "snapshot killed in the middle: the pull goes on, and its layer is whole" {
	local n
	for n in 4 24; do
		start_pull "$EVIL/slow/drips"
		wait_until 10 appearing "$n"
		kill_worker snapshot
		pull_went
		tree_right
		removed "$EVIL/slow/drips:latest"
	done
}

@test "more stalled downloads than places: a layer that is here is unpacked beside them" {
	start_pull "$EVIL/stall/many" stalled --max-concurrent-downloads 12
	wait_until 10 half_made 8
	ok ctr images pull "$EVIL/ok/tiny1"
	! pull_ended stalled || fail "$(<"$T/stalled.err")"
	half_made 8
	kill -TERM "$(running ctr)"
	wait_until 10 pull_ended stalled
	ok ctr images remove "$EVIL/ok/tiny1:latest"
	wait_until 10 no_snapshots
	wait_until 10 tidy
}
