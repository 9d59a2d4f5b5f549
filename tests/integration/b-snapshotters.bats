#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# b-snapshotters - the same images by each snapshotter that works here: which is taken, and that all show the
# same trees.

load ../lib/harness.bash

setup_file()
{
	harness_up || return 1
	mkdir "$T/m"
	export BUSYBOX=$REG/coffer/busybox:latest LAYERS=$REG/coffer/layers:latest
	export ALL
	ALL=$(ctr plugins list --format json | jq -r '.[] | select(.works) | .name')
}
teardown_file()
{
	umount -l "$T/m" "$T/x" 2>/dev/null || true
	harness_down
}

# tree FOLDER: all there is of it, a line each
tree()
{
	(cd "$1" && find . -printf '%p|%y|%m|%U|%G|%s|%T@|%l|%n\n' | sort) |
	    sed -E '/^[^|]*\|d\|/s/^(([^|]*\|){5})[0-9]+/\1-/; s/^(.*\|d\|.*\|)[0-9]+$/\1-/'
	(cd "$1" && find . -type f -exec sha256sum {} + | sort -k 2)
	(cd "$1" && getfattr -Rhd -m - --absolute-names . 2>/dev/null)
}

@test "plugins list: the snapshotters, which one is taken, and why one does not work" {
	ok ctr plugins list
	[[ ${lines[0]} =~ ^TYPE\ +ID\ +STATUS\ +ABOUT$ ]]
	assert_match '^snapshotter +overlay +ok'
	assert_match '^snapshotter +native +ok +whole copies'
	[[ $(grep -c 'default' <<<"$output") == 1 ]]
	ok ctr plugins ls -q
	assert_has native
}

@test "a snapshotter that is not there is refused" {
	refused 2 'snapshotter "zfs": there is none of that name' ctr images pull --snapshotter zfs "$BUSYBOX"
	refused 125 'snapshotter "zfs"' ctr run --rm --snapshotter zfs "$BUSYBOX" none true
	wait_until 10 no_shims
	[[ -z $(ctr containers list -q) ]]
}

@test "run: the root is laid out as asked, and is gone behind it" {
	local s
	for s in $ALL; do
		ok ctr run --rm --snapshotter "$s" "$BUSYBOX" "r-$s" sh -c 'echo "$(ls / | wc -l)" >/made && cat /made && rm /bin/true && ! ls /bin/true 2>/dev/null'
		[[ $output -gt 3 ]]
		ok ctr snapshots list --snapshotter "$s" "kind==committed" -q
		[[ ${#lines[@]} -ge 1 ]]
		ok ctr snapshots list "kind==active" -q
		assert_is ""
	done
}

@test "a container keeps its snapshotter: what it wrote is there at the next start" {
	local s
	for s in $ALL; do
		ok ctr run --snapshotter "$s" "$BUSYBOX" "k-$s" sh -c 'echo $((1 + $(cat /n 2>/dev/null || echo 0))) >/n; cat /n'
		assert_is 1
		ok ctr containers start --attach "k-$s"
		assert_is 2
		[[ $(ctr containers info "k-$s" | jq -r .snapshotter) == "$s" ]]
		ok ctr containers delete "k-$s"
		ok ctr snapshots list -q "key==k-$s"
		assert_is ""
	done
}

@test "all snapshotters show the same tree of an image with whiteouts, links and implied folders" {
	local s first=
	for s in $ALL; do
		ok ctr images pull -q --snapshotter "$s" "$LAYERS"
		ok ctr images mount --snapshotter "$s" "$LAYERS" "$T/m"
		tree "$T/m" >"$T/tree.$s"
		ok ctr images unmount "$T/m"
		[[ -s $T/tree.$s ]]
		[[ -z $first ]] || diff -u "$T/tree.$first" "$T/tree.$s" >&2 || fail "$s shows another tree than $first"
		first=${first:-$s}
	done
}

@test "removed images take their layers with them, of all snapshotters" {
	ok ctr images remove --sync "$BUSYBOX" "$LAYERS"
	ok ctr snapshots list -q
	assert_is ""
	ok cleanup
	[[ -z $(find "$ROOT"/snapshot/{trash,new,erofs,overlay,native} -mindepth 1 -maxdepth 1) ]]
}
cleanup()
{
	(cd "$BATS_TEST_DIRNAME" && timeout 30 /usr/bin/python3 -c \
	    'import sys; from bus import Actor; Actor(sys.argv[1], "snapshot").call("snapshot_cleanup")' "$STATE") 3>&-
}

@test "native shares blocks where the filesystem can: a root of 40 MiB on XFS costs next to nothing" {
	local before after
	coffer_stop
	truncate -s 400M "$T/disk"
	mkfs.xfs -q "$T/disk"
	mkdir -m 711 "$T/x"
	mount -o loop "$T/disk" "$T/x"
	chmod 711 "$T/x"
	ROOT=$T/x/root coffer_start
	images_make "$T/images" wide 2>/dev/null
	ok ctr images import --snapshotter native --index-name wide:1 "$T/images"
	ok ctr gc
	ok ctr snapshots list -q --snapshotter native
	[[ ${#lines[@]} == 1 ]] # the image holds its layer, whose ever it is
	ok ctr containers create --snapshotter native wide:1 first
	sync -f "$T/x" && before=$(df --output=used "$T/x" | tail -n 1)
	ok ctr containers create --snapshotter native wide:1 shared
	sync -f "$T/x" && after=$(df --output=used "$T/x" | tail -n 1)
	((after - before < 8192)) || fail "$((after - before)) KiB for a copy"
	ok ctr containers delete first shared
	coffer_stop
	umount "$T/x"
}
