#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-image-verbs - label, prune, mount and unmount, inspect, check, usage.

load ../lib/harness.bash

setup_file()
{
	harness_up || return 1
	mkdir "$T/m" "$T/n"
	export BUSYBOX=$REG/coffer/busybox:latest LAYERS=$REG/coffer/layers:latest
	ctr images pull "$BUSYBOX" >/dev/null && ctr images pull "$LAYERS" >/dev/null
}
teardown_file()
{
	umount -l "$T/m" "$T/n" 2>/dev/null || true
	harness_down
}

# --- label -----------------------------------------------------------------------------------------

@test "label: set, show, remove, replace all" {
	ok ctr images label "$BUSYBOX"
	assert_is ""
	ok ctr images label "$BUSYBOX" a=1 b=x=y c
	assert_is $'a=1\nb=x=y\nc=true'
	ok ctr images label "$BUSYBOX" a= b=2
	assert_is $'c=true\nb=2'
	ok ctr images list -q labels.c==true,labels.b==2
	assert_is "$BUSYBOX"
	ok ctr images label --replace-all "$BUSYBOX" only=this
	assert_is only=this
	ok ctr images label --replace-all "$BUSYBOX"
	assert_is ""
}

@test "label: what is wrong" {
	refused 1 'is not here' ctr images label nothing.example/x a=b
	refused 2 'no name' ctr images label "$BUSYBOX" =x
	refused 2 '4096' ctr images label "$BUSYBOX" "k=$(printf 'x%.0s' {1..5000})"
}

@test "a label's control characters are not printed raw" {
	ok ctr images label "$BUSYBOX" $'bell=\a\e[31mred\nline'
	assert_has 'bell=\x07\x1b[31mred\x0aline'
	[[ $output != *$'\e'* && ${#lines[@]} == 1 ]]
	ok ctr images list --format json
	[[ $output != *$'\e'* ]]
	ctr images label --replace-all "$BUSYBOX" >/dev/null
}

# --- mount -----------------------------------------------------------------------------------------

@test "mount: the image's files, read-only; unmount leaves nothing" {
	ok ctr images mount "$LAYERS" "$T/m"
	assert_is "$T/m"
	[[ $(<"$T/m/data/back") == three && ! -e $T/m/data/dir/gone ]]
	run ! touch "$T/m/data/new"
	[[ $(findmnt -n -o OPTIONS "$T/m") == *nosuid* ]]
	ok ctr snapshots list -q kind==view
	assert_is "$T/m"
	ok ctr images unmount "$T/m"
	[[ ! -e $T/m/data ]]
	ok ctr snapshots list -q kind==view
	assert_is ""
}

@test "mount: an image of one layer" {
	ok ctr images mount "$BUSYBOX" "$T/m"
	[[ -x $T/m/bin/busybox ]]
	run ! touch "$T/m/new"
	ok ctr images umount "$T/m"
}

@test "mount --rw: what is written stays until unmount --rm, and the image as it is" {
	ok ctr images mount --rw "$LAYERS" "$T/m"
	echo mine >"$T/m/data/new"
	rm "$T/m/data/back"
	ok ctr images mount "$LAYERS" "$T/n"
	[[ -e $T/n/data/back && ! -e $T/n/data/new ]]
	ok ctr images unmount "$T/m" "$T/n"
	assert_is "$T/m"$'\n'"$T/n"
	ok ctr images mount --rw "$LAYERS" "$T/m"
	[[ $(<"$T/m/data/new") == mine && ! -e $T/m/data/back ]]
	ok ctr images unmount --rm "$T/m"
	refused 1 'no image is mounted' ctr images unmount "$T/m"
	ok ctr images mount --rw "$LAYERS" "$T/m"
	[[ ! -e $T/m/data/new ]]
	ok ctr images unmount --rm "$T/m"
}

@test "a mount outlives its image and every worker; its layers stay meanwhile" {
	ok ctr images mount "$LAYERS" "$T/m"
	ok ctr images remove --sync "$LAYERS"
	kill_worker snapshot
	kill_worker content
	[[ $(<"$T/m/data/back") == three ]]
	ok ctr images unmount "$T/m"
	ok ctr images pull -q "$LAYERS"
	ok ctr run --rm "$LAYERS" bv-after cat /data/back
	assert_is three
}

@test "mount: what is wrong; nothing is left" {
	local before
	before=$(ctr snapshots list -q)
	refused 1 'No such file' ctr images mount "$BUSYBOX" "$T/absent"
	refused 2 'no folder' ctr images mount "$BUSYBOX" /etc/passwd
	refused 1 'is not here' ctr images mount nothing.example/x "$T/m"
	refused 1 'no manifest for linux/s390x' ctr images mount --platform linux/s390x "$BUSYBOX" "$T/m"
	refused 1 'no image is mounted at /proc' ctr images unmount /proc
	[[ $(ctr snapshots list -q) == "$before" ]]
	ctr images mount "$BUSYBOX" "$T/m" >/dev/null
	refused 1 'something is mounted there' ctr images mount "$LAYERS" "$T/m"
	ctr images unmount "$T/m" >/dev/null
	ctr images mount --rw "$BUSYBOX" "$T/m" >/dev/null
	ctr images unmount "$T/m" >/dev/null
	refused 1 'another image or kind' ctr images mount --rw "$LAYERS" "$T/m"
	refused 1 'is not mounted' ctr images unmount "$T/m"
	ok ctr images unmount --rm "$T/m"
	[[ $(ctr snapshots list -q) == "$before" ]]
}

# --- prune -----------------------------------------------------------------------------------------

@test "prune takes names without a tag; --all what no container was made from" {
	local digest
	digest=$(ctr images list --format json "name==$LAYERS" | jq -r '.[0].target.digest')
	ctr images tag "$LAYERS" example.com/other:1 >/dev/null
	ctr images pull -q "$REG/coffer/layers@$digest" >/dev/null
	ctr containers create "$BUSYBOX" bv-keeper >/dev/null
	ok ctr images prune
	assert_is "$REG/coffer/layers@$digest
1 image and 0 blobs removed, 0 B"
	ok ctr images prune
	assert_is "0 images and 0 blobs removed, 0 B"
	ok ctr images prune --all --force name==example.com/other:1
	assert_is "example.com/other:1
1 image and 0 blobs removed, 0 B"
	ok ctr images prune --all
	assert_match "^$LAYERS$"
	assert_match '^1 image and [1-9][0-9]* blobs removed, [0-9.]+ [KM]iB$'
	ok ctr images list -q
	assert_is "$BUSYBOX"
	ctr containers delete bv-keeper >/dev/null
	ctr images pull -q "$LAYERS" >/dev/null
}

@test "prune asks on a terminal" {
	ok on_terminal 'expect:y/N' 'send:n\n' -- "$COFFER_BUILD/ctr" images prune --all
	assert_has '0 images'
	ok ctr images list -q
	assert_has "$BUSYBOX"
}
