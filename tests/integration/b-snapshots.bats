#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-snapshots - snapshots by hand: the verbs of `ctr snapshots`, beside what containerd's ctr prints for the
# same, and layers of what changed.

load ../lib/harness.bash
load ../lib/peer.bash

setup_file()
{
	harness_up || return 1
	mkdir "$T/m"
	export IMAGE=$REG/coffer/layers:latest
	ctr images pull -q "$IMAGE" >"$T/name" && IMAGE=$(<"$T/name") || return 1
	export TOP
	TOP=$(chain_of "$IMAGE")
	ALL=$(ctr plugins list --format json | jq -r '.[] | select(.works) | .name')
	DEFAULT=$(ctr plugins list --format json | jq -r '.[] | select(.chosen) | .name')
	export ALL DEFAULT
}
teardown_file()
{
	umount -l "$T/m" 2>/dev/null || true
	peer_stop
	harness_down
}

# chain_of IMAGE: the key of its topmost layer
chain_of() { ctr images inspect --format json "$1" | jq -r '[.. | .chain_id? // empty] | last'; }
# tree FOLDER: all there is of it, a line each
tree()
{
	(cd "$1" && find . -printf '%p|%y|%m|%U|%G|%s|%T+|%l|%n\n' | sort) |
	    sed -E '/^[^|]*\|d\|/s/^(([^|]*\|){5})[0-9]+/\1-/; s/^(.*\|d\|.*\|)[0-9]+$/\1-/'
	(cd "$1" && find . -type f -size -100M -exec sha256sum {} + | sort -k 2)
	(cd "$1" && getfattr -Rhd -m - --absolute-names . 2>/dev/null)
}
mounted() { ctr snapshots mounts "$T/m" "$1" | sh; }
unmounted() { umount "$T/m"; }
no_draft() { [[ -z $(ctr content active -q) ]]; }
gone_all() { ctr snapshots delete "$@" >/dev/null; }

@test "list, tree, info, usage: what containerd's ctr prints for the same image" {
	peer_start
	skopeo copy -q "oci:$COFFER_FIXTURES/images:layers" "oci-archive:$T/layers.tar:docker.io/library/layers:1"
	peer images import "$T/layers.tar"
	ok ctr snapshots ls
	assert_match '^KEY +PARENT +KIND$'
	diff <(ctr snapshots ls | awk '{print $1, $2, $3}' | sort) \
	    <(peer snapshots ls | awk 'NF == 2 {print $1, "-", $2} NF == 3 {print $1, $2, $3}' | sort)
	diff <(ctr snapshots tree) <(peer snapshots tree)
	diff <(ctr snapshots info "$TOP" | jq -S 'del(.Created, .Updated, .Labels)') \
	    <(peer snapshots info "$TOP" | jq -S 'del(.Created, .Updated, .Labels)')
	ok ctr snapshots info "$TOP"
	jq -e '.Kind == "Committed" and (.Created | fromdateiso8601? // (.[:19] + "Z" | fromdateiso8601)) > 1700000000' <<<"$output"
	# What a folder takes is the filesystem's affair.
	diff <(ctr snapshots usage -b | awk '{print $1, $3}' | sort) \
	    <(peer snapshots usage -b | awk '{print $1, $3}' | sort)
	ok ctr snapshots list -q kind==committed
	assert_has "$TOP"
	ok ctr snapshot ls --format json
	jq -e --arg k "$TOP" 'map(select(.key == $k and .kind == "committed")) | length == 1' <<<"$output"
}

@test "prepare, mounts, commit, view, delete: a snapshot's whole life" {
	ok ctr snapshots prepare work "$TOP"
	assert_is work
	mounted work
	echo written >"$T/m/new"
	ok ctr snapshots info work
	jq -e --arg p "$TOP" '.Kind == "Active" and .Parent == $p and .Labels["containerd.io/gc.root"] != null' <<<"$output"
	unmounted
	refused 1 'is active|not committed' ctr snapshots prepare other work
	refused 1 'there is a snapshot work already' ctr snapshots prepare work
	refused 1 'already' ctr snapshots commit "$TOP" work
	ok ctr snapshots commit finished work
	assert_is finished
	refused 1 'snapshot work' ctr snapshots info work
	ok ctr snapshots view -t "$T/m" look finished
	sh -c "$output"
	[[ $(<"$T/m/new") == written ]]
	run ! touch "$T/m/not"
	unmounted
	refused 1 'look' ctr snapshots delete finished
	refused 1 'committed' ctr snapshots mounts /m finished
	ok ctr gc
	ok ctr snapshots rm look finished
	assert_is $'look\nfinished'
	MAY_PRINT=1 refused 1 'snapshot look' ctr snapshots del look
}

@test "prepare --mounts and -t: as containerd's ctr prints them" {
	peer_start
	ok ctr snapshots prepare -t '/a b' --mounts p-1 "$TOP"
	assert_match "^mount -t overlay overlay '/a b' -o .*lowerdir=.*upperdir=.*workdir="
	sed 1d <<<"$output" | jq -e '.[0] | .Type == "overlay" and .Source == "overlay" and .Target == "" and (.Options | length >= 3)'
	diff <(sed 1d <<<"$output" | jq 'map(del(.Target, .Options))') \
	    <(peer snapshots prepare --mounts p-1 "$TOP" | jq 'map(del(.Options))')
	peer snapshots rm p-1
	ok ctr snapshots prepare --snapshotter native -t /x p-1
	assert_match "^mount -t bind $ROOT/snapshot/native/[0-9]+/fs /x -o .*rw"
	ok ctr snapshots ls
	assert_match '^KEY +PARENT +KIND +SNAPSHOTTER$'
	ok ctr snapshots delete --snapshotter native p-1
	ok ctr snapshots delete p-1
}

@test "label" {
	ok ctr snapshots prepare l-1
	ok ctr snapshots label l-1 a=b c=d
	assert_match '^a=b$'
	assert_match '^containerd.io/gc.root='
	ok ctr snapshots label l-1 a=
	assert_hasnt a=b
	ok ctr snapshots label l-1
	assert_match '^c=d$'
	jq -e '.Labels.c == "d"' < <(ctr snapshots info l-1)
	refused 1 'snapshot l-2' ctr snapshots label l-2 a=b
	gone_all l-1
}

@test "usage is exact: bytes as they are on disk, files with several names once" {
	local want
	ok ctr snapshots prepare u-1
	mounted u-1
	dd if=/dev/urandom of="$T/m/f" bs=1000 count=300 status=none
	ln "$T/m/f" "$T/m/g"
	mkdir "$T/m/d"
	ln "$T/m/f" "$T/m/d/h"
	truncate -s 1G "$T/m/hole"
	ln -s f "$T/m/s"
	sync -f "$T/m"
	want=$(find "$T/m" -printf '%i %b\n' | sort -u | awk '{n += $2 * 512; i++} END {print n, i}')
	unmounted
	ok ctr snapshots usage -b u-1
	assert_match "^u-1 +${want/ / +}$"
	ok ctr snapshots usage u-1
	assert_match '^u-1 +[0-9.]+ KiB +5$'
	ok ctr snapshots usage --format json
	jq -e 'map(select(.key == "u-1"))[0].inodes == 5' <<<"$output"
	gone_all u-1
}

@test "diff: the layer of what changed, the same bytes each time, by hand and as containerd writes it" {
	local type=application/vnd.oci.image.layer.v1.tar
	ok ctr snapshots prepare d-1 "$TOP"
	mounted d-1
	mkdir -p "$T/m/new/deep"
	echo one >"$T/m/new/deep/f"
	ln "$T/m/new/deep/f" "$T/m/new/link"
	rm -r "$T/m/bin"
	chmod 700 "$T/m/etc"
	touch -d '1969-12-31 23:59:58.25 UTC' "$T/m/new/deep/f"
	setcap cap_net_raw=ep "$T/m/new/link"
	setfattr -n user.a -v b "$T/m/new"
	truncate -s 5G "$T/m/new/sparse"
	touch -d '2040-01-01 00:00:00.123456789 UTC' "$T/m/new"
	unmounted
	ctr snapshots diff d-1 >"$T/d.gz"
	ctr snapshots diff --media-type $type d-1 >"$T/d.tar"
	ctr snapshots diff --media-type $type+zstd d-1 | zstd -dc | cmp - "$T/d.tar"
	ctr snapshots diff d-1 | cmp - "$T/d.gz"
	gzip -dc "$T/d.gz" | cmp - "$T/d.tar"
	ok tar -tf "$T/d.tar"
	assert_match '^\.wh\.bin$'
	assert_match '^etc/$'
	assert_match '^new/deep/f$'
	assert_hasnt usr
	(($(stat -c %s "$T/d.tar") < 100000))
	mkdir "$T/x"
	tar --xattrs --xattrs-include='*' -C "$T/x" -xf "$T/d.tar" new 2>/dev/null
	mounted d-1
	diff <(tree "$T/m/new") <(tree "$T/x/new")
	unmounted
	grep -q '|1969-12-31+23:59:58.2500000000|' < <(tree "$T/x/new")
	grep -q '|2040-01-01+00:00:00.1234567890|' < <(tree "$T/x/new")
	refused 2 'media type text/plain' ctr snapshots diff --media-type text/plain d-1
	refused 1 'snapshot d-2' ctr snapshots diff d-2
	[[ -z $(ctr leases list -q) ]]
	no_draft
	gone_all d-1
}

@test "diff of two, kept, with a label: the blob stays and says what it is unpacked" {
	local digest
	ok ctr snapshots prepare k-1 "$TOP"
	ok ctr snapshots prepare k-2 "$TOP"
	mounted k-1; echo 1 >"$T/m/only-1"; echo same >"$T/m/both"; touch -d @5 "$T/m/both"; unmounted
	mounted k-2; echo 2 >"$T/m/only-2"; echo same >"$T/m/both"; touch -d @5 "$T/m/both"; unmounted
	ctr snapshots diff --keep --label who=me --ref mine k-1 k-2 >"$T/k.gz"
	ok tar -tzf "$T/k.gz"
	assert_is $'.wh.only-1\nonly-2'
	digest=sha256:$(sha256sum <"$T/k.gz" | cut -d ' ' -f 1)
	ok ctr gc
	ok ctr content list --format json "digest==$digest"
	jq -e --arg d "sha256:$(gzip -dc "$T/k.gz" | sha256sum | cut -d ' ' -f 1)" \
	    '.[0].labels | .who == "me" and ."containerd.io/uncompressed" == $d' <<<"$output"
	ok ctr content delete "$digest"
	gone_all k-1 k-2
}

@test "unpack: by digest, and for another snapshotter" {
	local digest
	digest=$(ctr images list --format json | jq -r --arg n "$IMAGE" '.[] | select(.name == $n) | .target.digest')
	ok ctr snapshots unpack --snapshotter native "$digest"
	assert_is "$IMAGE"
	ok ctr snapshots info --snapshotter native "$TOP"
	diff <(ctr snapshots ls -q --snapshotter native kind==committed) \
	    <(ctr snapshots ls -q --snapshotter "$DEFAULT" kind==committed)
	refused 1 'is not here' ctr snapshots unpack "sha256:$(printf '0%.0s' {1..64})"
}

@test "diff of whole trees is the layer that overlay's is" {
	local s type=application/vnd.oci.image.layer.v1.tar
	for s in $ALL; do
		ok ctr snapshots unpack --snapshotter $s "$IMAGE"
		ok ctr snapshots prepare --snapshotter $s w-1 "$TOP"
		ctr snapshots mounts --snapshotter $s "$T/m" w-1 | sh
		mkdir "$T/m/w"
		echo w >"$T/m/w/f"
		touch -d @77 "$T/m/w/f" "$T/m/w"
		rm "$T/m/etc/"*
		chown 5:6 "$T/m/etc"
		touch -d @78 "$T/m/etc"
		umount "$T/m"
		ctr snapshots diff --snapshotter $s --media-type $type w-1 >"$T/w.$s"
		ok ctr snapshots delete --snapshotter $s w-1
	done
	for s in $ALL; do
		cmp "$T/w.native" "$T/w.$s"
	done
}

@test "sockets are left out and counted; names no layer can hold are refused" {
	ok ctr snapshots prepare s-1
	mounted s-1
	/usr/bin/python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$T/m/sock"
	mkfifo "$T/m/fifo"
	unmounted
	run --separate-stderr ctr snapshots diff --media-type application/vnd.oci.image.layer.v1.tar s-1
	[[ $stderr == "ctr: snapshots diff: 1 socket left out: no layer holds one" ]]
	mounted s-1; touch "$T/m/.wh.x"; unmounted
	MAY_PRINT=1 refused 1 'a name that begins with .wh.' ctr snapshots diff s-1
	no_draft
	gone_all s-1
}

@test "interrupted, and workers killed meanwhile: nothing is left, or the same layer comes" {
	local pid i type=application/vnd.oci.image.layer.v1.tar
	ok ctr snapshots prepare i-1
	mounted i-1
	dd if=/dev/urandom of="$T/m/big" bs=1M count=120 status=none
	unmounted
	ctr snapshots diff --media-type $type i-1 >"$T/i.want"
	for i in snapshot content; do
		ctr snapshots diff --media-type $type i-1 >"$T/i.got" &
		pid=$!
		wait_until 10 draft_grows
		kill_worker $i
		wait $pid
		cmp "$T/i.want" "$T/i.got"
	done
	"$COFFER_BUILD/ctr" snapshots diff i-1 >"$T/i.gz" 3>&- &
	pid=$!
	wait_until 10 draft_grows
	kill -INT $pid
	status=0
	wait $pid || status=$?
	assert_status 130
	no_draft
	[[ -z $(ctr leases list -q) ]]
	gone_all i-1
	wait_until 10 no_child
}
draft_grows() { ctr content active --format json | jq -e 'any(.ref | startswith("diff-"))'; }
no_child() { [[ -z $(grep -l coffer-unpack /proc/[0-9]*/comm 2>/dev/null) ]]; }

@test "deleted while it is read: said so" {
	local pid
	ok ctr snapshots prepare r-1
	mounted r-1
	dd if=/dev/urandom of="$T/m/big" bs=1M count=100 status=none
	unmounted
	ctr snapshots diff r-1 >"$T/r.gz" 2>"$T/r.err" &
	pid=$!
	wait_until 10 draft_grows
	gone_all r-1
	status=0
	wait $pid || status=$?
	assert_status 1
	grep -q 'snapshot r-1.*while it was read' "$T/r.err"
	no_draft
}
